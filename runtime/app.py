"""The program a space was built from: where its modules are, and the `build` that fills a new space."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import rebuild
from .errors import ServerError
from .rebuild.sources import is_ours
from .space import Space
from .words import near

_NOT_OURS = {"site-packages", "dist-packages", "node_modules", "__pycache__"}


class NoSuchModule(ServerError):
    """The program is not where it was."""


@dataclass(frozen=True)
class Application:
    """A program by its import name and the folder it is imported from. Saved in every snapshot."""

    module: str
    folder: str

    @classmethod
    def of(cls, target: str) -> Application:
        """From `APP.py`, a folder of the file system, or from `package.module`, importable from here.

        Raises:
            ServerError: there is no such file or module.
        """
        path = Path(target)
        if target.endswith(".py"):
            if not path.is_file():
                raise ServerError(f"there is no file {target}; nothing was started")
            if not path.stem.isidentifier():
                raise ServerError(f"{path.name} cannot be imported: {path.stem!r} is not a Python name; rename it")
            return cls(path.stem, str(path.absolute().parent))
        here = os.getcwd()
        if not all(part.isidentifier() for part in target.split(".")):
            raise ServerError(f"{target!r} is neither a .spl or .py file, nor a module, nor a kind of service")
        return cls(target, here)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Application:
        return cls(str(data["module"]), str(data["folder"]))

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @property
    def name(self) -> str:
        """What its space is called unless somebody says otherwise."""
        return self.module.rpartition(".")[2]

    @property
    def project(self) -> Path:
        """The folder whose modules are watched: the nearest one above with a pyproject.toml, or the application's own."""
        folder = Path(self.folder)
        for candidate in (folder, *folder.parents):
            if (candidate / "pyproject.toml").is_file():
                return candidate
        return folder

    def exists(self) -> bool:
        """Whether there is something to import; its outermost package is looked for, and nothing is imported."""
        top = self.module.partition(".")[0]
        if PathFinder.find_spec(top, [self.folder, *sys.path]) is not None:
            return True
        try:
            return find_spec(top) is not None  # some packages that are installed to be edited are on no path
        except ValueError:  # it is loaded and says nothing of where from, as `__main__`
            return False

    def record(self) -> None:
        """Make its modules importable, and editable from their first import on."""
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        rebuild.record(self.project)

    def import_(self) -> Any:
        """Import the application's module.

        Raises:
            NoSuchModule: there is none of that name.
        """
        self.record()
        try:
            return importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name and (self.module + ".").startswith(error.name + "."):
                raise NoSuchModule(
                    f"there is no module {self.module!r} in {self.folder}; nothing was started"
                ) from None
            raise

    def build(self, space: Space) -> None:
        """Fill a new space by the module's `build(space)`.

        Raises:
            ServerError: the module has none, or one that cannot be called with the space.
        """
        module = self.import_()
        build: Callable[[Space], None] | None = getattr(module, "build", None)
        if not callable(build):
            raise ServerError(
                f"{self.module} has no build(space); write one that puts the services into the space: "
                "def build(space): space['name'] = Service()"
            )
        if inspect.iscoroutinefunction(build):
            raise ServerError(
                f"build in {_file(module)} is async, and is not awaited; make it a plain 'def build(space)', "
                "and await in the start() of a service; nothing was started"
            )
        try:
            inspect.signature(build).bind(space)
        except TypeError:
            raise ServerError(
                f"build in {_file(module)} cannot be called with the space alone; make it 'def build(space)'; nothing was started"
            ) from None
        build(space)


def place_of(error: BaseException) -> str:
    """File and line where a program failed: the innermost frame in a recorded module; empty when there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{near(error.filename)} line {error.lineno}"
    found, frames = "", error.__traceback__
    while frames:
        filename = frames.tb_frame.f_code.co_filename
        if is_ours(filename):
            found = f"{near(filename)} line {frames.tb_lineno}"
        frames = frames.tb_next
    return found


def _file(module: Any) -> str:
    return near(getattr(module, "__file__", None) or module.__name__)
