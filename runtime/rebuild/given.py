"""Starting on texts that are not those of the files: the last good ones, kept in a snapshot.

*Across a rebuild:* the files go on being compared; a text that differs from what runs is held until it changes.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder

from . import edits, sources


class _Loader(sources.Loader):
    """Takes a text that it was given in the place of its file's."""

    def __init__(self, name: str, path: str, given: bytes, why: str) -> None:
        super().__init__(name, path)
        self._given, self._why = given, why

    def get_data(self, path: str) -> bytes:  # noqa: ARG002 - the file's own loader would read it
        return self._given

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        path = sources.real(self.path)
        try:
            with open(path, "rb") as file:
                differs = file.read() != self._given
        except FileNotFoundError:
            differs = True
        if differs:
            edits.hold_text(path, module.__name__, self._why)
            edits._show_lines(path, self._given)


class _Finder(MetaPathFinder):
    def __init__(self, texts: Mapping[str, str], folder: str, why: str) -> None:
        self._texts, self._folder, self._why = texts, folder, why
        self._asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        # The finder of recorded modules asks those behind it and before it, so this one too: it is not to answer itself.
        if self._asking or fullname not in self._texts:
            return None
        self._asking = True
        try:
            spec = sources._finder.find_spec(fullname, path, target)
        finally:
            self._asking = False
        if spec is None or spec.loader is None:
            return self._gone(fullname, path)
        if type(spec.loader) is sources.Loader:
            spec.loader = _Loader(fullname, spec.loader.path, self._texts[fullname].encode(), self._why)
        return spec

    def _gone(self, name: str, path: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
        """A module whose file is not there any more, as if it were where its package, or the program, is."""
        place = os.path.join(path[0] if path else self._folder, name.rpartition(".")[2])
        is_package = any(other.startswith(f"{name}.") for other in self._texts)
        file = os.path.join(place, "__init__.py") if is_package else f"{place}.py"
        loader = _Loader(name, file, self._texts[name].encode(), self._why)
        inside = [place] if is_package else None
        return importlib.util.spec_from_file_location(name, file, loader=loader, submodule_search_locations=inside)


@contextmanager
def given(texts: Mapping[str, str], folder: str, why: str = "the start was on its last good text") -> Iterator[None]:
    """Meanwhile, modules that are recorded and imported run these texts, by module name, instead of their files'.

    Args:
        folder: where modules of the program are whose files are gone.
        why: what `held()` says of files that differ.
    """
    finder = _Finder(texts, folder, why)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
