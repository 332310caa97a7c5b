"""What each module was made from: recorded when it is imported, compared by content ever after.

A finder in front of `sys.meta_path` asks the others and, for a file below a recorded folder, replaces the loader by
one that compiles the text itself and keeps it. So a baseline is exactly what was executed: no stale bytecode, no
guess from times. It moves only when an edit has succeeded.

*In a snapshot:* never; records belong to the process.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.machinery
import importlib.util
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from typing import Any

from . import outline
from .errors import RebuildError
from .kinds import isa
from .outline import Imported, Statement

SKIPPED = ("site-packages", "dist-packages", "__pycache__", ".venv", "venv", "node_modules", ".git")


@dataclass(eq=False)
class Text:
    """A source text, cut into statements. `code` is filled in when it was compiled whole."""

    data: bytes
    lines: list[str]
    body: list[Statement]
    flags: int

    @classmethod
    def parse(cls, data: bytes, path: str) -> tuple[Text, ast.Module]:
        """Cut a whole text.

        Raises:
            SyntaxError: with the file's name and line.
        """
        text = decode(data, path)
        module = ast.parse(text, path)
        return cls(data, outline.lines(text), outline.statements(module.body), outline.futures(module.body)), module

    @functools.cached_property
    def _imports(self) -> list[ast.stmt]:
        """A statement that imports nothing, from which the compiler learns what the whole text imports."""
        names = sorted({name for statement in self.body for name in statement.imported})
        if not names:
            return []
        node = ast.If(ast.Constant(False), [ast.Import([ast.alias(name) for name in names])], [])
        return [ast.fix_missing_locations(node)]

    def compile(self, nodes: list[ast.stmt], path: str) -> types.CodeType:
        """Compile a part of the text to what it is in the whole.

        For `module.function()` CPython has another instruction when it has seen the import of `module`: without it, functions
        that nobody edited would count as edited.
        """
        module = ast.Module([*nodes, *self._imports], [])
        code: types.CodeType = compile(module, path, "exec", flags=self.flags, dont_inherit=True)
        return code


def decode(data: bytes, path: str) -> str:
    if b"\0" in data:  # Python says so without naming the file
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise SyntaxError("source code cannot contain null bytes", (path, line, 0, ""))
    try:
        return importlib.util.decode_source(data)
    except (UnicodeDecodeError, SyntaxError) as error:
        raise SyntaxError(f"the text cannot be decoded: {error}", (path, 1, 0, "")) from error


@dataclass(eq=False)
class Record:
    """A module that can be rebuilt, and what it was made from."""

    name: str
    path: str
    text: Text
    package: str
    taken: list[Imported] = field(default_factory=list)  # names it takes from other modules
    whole: list[str] = field(default_factory=list)  # modules it imports as such
    put: dict[str, int] = field(default_factory=dict)  # identity of what its body bound
    members: dict[str, dict[str, int]] = field(default_factory=dict)  # the same for the classes in it, by path
    body: dict[str, Any] | None = None  # its globals, where it put another object into sys.modules in its place
    absent: bool = False  # its file is gone, and it stays because somebody imports it
    gone: dict[tuple[str, str], Any] = field(default_factory=dict)  # weak references to definitions removed
    gone_codes: dict[tuple[str, str], list[types.CodeType]] = field(default_factory=dict)  # and what they ran

    @property
    def module(self) -> types.ModuleType | None:
        return sys.modules.get(self.name)

    def note(self, module: types.ModuleType, names: Iterable[str] | None = None) -> None:
        """Remember what the module's body has put there."""
        space = vars(module)
        if names is None:
            self.put = {name: id(value) for name, value in space.items()}
        else:
            for name in names:
                if name in space:
                    self.put[name] = id(space[name])
                else:
                    self.put.pop(name, None)
        for name in space if names is None else names:
            if isa(cls := space.get(name), type) and type.__getattribute__(cls, "__module__") == self.name:
                self.note_class(cls, name)

    def note_class(self, cls: type, path: str) -> None:
        inside = vars(cls)
        self.members[path] = {name: id(value) for name, value in inside.items()}
        for name, value in list(inside.items()):
            if isa(value, type) and type.__getattribute__(value, "__qualname__") == f"{path}.{name}":
                self.note_class(value, f"{path}.{name}")

    def holds(self, name: str, value: object) -> bool:
        """Is this still what the body had bound to the name?"""
        return self.put.get(name) == id(value)


records: dict[str, Record] = {}
folders: list[str] = []
excluded: set[str] = set()  # folders of virtual environments found below recorded ones


def real(path: str | os.PathLike[str]) -> str:
    return os.path.realpath(os.fspath(path))


def is_ours(path: str | None) -> bool:
    """Does this file lie in a recorded folder, installed packages and virtual environments excepted?"""
    if not path or not path.endswith(".py"):
        return False
    path = real(path)
    for folder in folders:
        if path == folder:
            return True
        if path.startswith(folder + os.sep):
            inner = path[len(folder) + 1 :].split(os.sep)[:-1]
            if not any(part in SKIPPED for part in inner) and not any(
                os.path.exists(os.path.join(folder, *inner[: i + 1], "pyvenv.cfg")) for i in range(len(inner))
            ):
                return True
    return False


def register(name: str, path: str, text: Text, code: types.CodeType | None) -> Record:
    is_package = os.path.basename(path) == "__init__.py"
    package = name if is_package else name.rpartition(".")[0]
    record = Record(name, path, text, package)
    record.taken, record.whole = outline.imports([s.node for s in text.body if s.links and s.node], package)
    if code is not None:
        outline.spread(outline.children(code), text.body)
    for statement in text.body:
        statement.forget()
    records[name] = record
    return record


def node_of(statement: Statement, text: Text) -> ast.stmt:
    """The syntax tree of a statement, parsed from its lines when it is not there."""
    if statement.node is None:
        fill(text, [statement])
    assert statement.node is not None
    return statement.node


def fill(text: Text, some: list[Statement]) -> None:
    """Parse a run of neighbouring statements from their lines."""
    parsed = outline.parse(text.lines, some[0].start - 1, some[-1].end)
    for statement, node in zip(some, parsed.body, strict=True):
        statement.node = node


_tell: Callable[[Record, types.ModuleType], None] | None = None


@contextlib.contextmanager
def told(tell: Callable[[Record, types.ModuleType], None]) -> Iterator[None]:
    """Have `tell` called for each module that is imported meanwhile, before who imports it goes on."""
    global _tell
    _tell = tell
    try:
        yield
    finally:
        _tell = None


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles the file itself, never from bytecode, and records what it compiled."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        data = self.get_data(path)
        text, tree = Text.parse(data, path)
        code: types.CodeType = compile(tree, path, "exec", dont_inherit=True)
        register(fullname, real(path), text, code)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__
        before = records.get(name)
        try:
            super().exec_module(module)
        except BaseException:
            if before is None:
                records.pop(name, None)
            else:
                records[name] = before
            raise
        if record := records.get(name):
            record.note(module)
            record.body = vars(module) if sys.modules.get(name) is not module else None
            if _tell is not None:
                _tell(record, module)


class Finder(MetaPathFinder):
    """Asks the finders behind it, and puts our loader in front of a plain source file in a recorded folder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec: importlib.machinery.ModuleSpec | None = find(fullname, path, target) if find else None
            if spec is not None:
                if type(spec.loader) is importlib.machinery.SourceFileLoader and is_ours(spec.origin):
                    spec.loader = Loader(fullname, spec.loader.path)
                return spec
        return None


_finder = Finder()


def record(folder: str | os.PathLike[str]) -> list[str]:
    """Make modules below a folder (or one file) editable.

    Returns:
        Modules imported before this call that could not be adopted: their files say something else than what runs.
    """
    place = real(folder)
    if not os.path.exists(place):
        raise RebuildError("no such folder", file=place, stage="call")
    if place not in folders:
        folders.append(place)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    refused = []
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name not in records and isa(path, str) and isa(module, types.ModuleType) and is_ours(path):
            if name == "__mp_main__" or any(r.module is module for r in records.values()):
                continue
            try:
                adopt(name, module, path)
            except (RebuildError, OSError, SyntaxError):
                refused.append(name)
    return refused


def adopt(name: str, module: types.ModuleType, path: str) -> Record:
    """Record a module that was imported earlier, when its file compiles to the code that is live.

    Raises:
        RebuildError: it does not.
    """
    path = real(path)
    with open(path, "rb") as file:
        data = file.read()
    text, tree = Text.parse(data, path)
    code: types.CodeType = compile(tree, module.__file__ or path, "exec", dont_inherit=True)
    live = _live_codes(module)
    known = {each: each for each in outline.tree(code)}
    for each in live.values():
        if each not in known:
            raise RebuildError(
                f"{each.co_qualname} runs other code than its file holds; import {name!r} after rebuild.record()",
                file=path,
                line=each.co_firstlineno,
                stage="call",
            )
    record = register(name, path, text, _with(code, {each: each for each in live.values()}))
    record.note(module)
    return record


def _with(code: types.CodeType, live: dict[types.CodeType, types.CodeType]) -> types.CodeType:
    """The same tree with the live code objects in the place of equal ones."""
    consts = tuple(live.get(c) or _with(c, live) if isa(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_consts=consts)


def _live_codes(module: types.ModuleType) -> dict[int, types.CodeType]:
    """Code of the functions a module defines, found by name."""
    from .functions import reach

    files = {module.__file__, real(module.__file__ or "")}
    found: dict[int, types.CodeType] = {}
    for value in list(vars(module).values()):
        owner = getattr(value, "__module__", None) if isa(value, (type, types.FunctionType)) else module.__name__
        if owner == module.__name__:
            for function in reach(value):
                if function.__code__.co_filename in files:
                    found[id(function.__code__)] = function.__code__
    return found


def recover(name: str) -> Record:
    """The record of a module named in a call; adopts it when it was imported before.

    Raises:
        RebuildError: not imported, or its file is not what runs.
    """
    if name in records:
        return records[name]
    module = sys.modules.get(name)
    if module is None:
        raise RebuildError(f"module {name!r} is not imported; nothing of it runs", stage="call")
    path = getattr(module, "__file__", None)
    if not isa(path, str) or not path.endswith(".py"):
        raise RebuildError(f"module {name!r} has no source file", stage="call")
    if not is_ours(path):
        folder = os.path.dirname(path)
        raise RebuildError(
            f"module {name!r} is not recorded; call rebuild.record({folder!r}) first", file=path, stage="call"
        )
    return adopt(name, module, path)


def forget(name: str) -> None:
    records.pop(name, None)


def remember(name: str, kind: str, qualname: str, thing: object) -> None:
    """Keep a removed definition findable, so that it takes itself up again when it comes back."""
    if name in records:
        records[name].gone[kind, qualname] = weakref.ref(thing)
