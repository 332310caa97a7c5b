"""The object space: the persistent tree of named objects, the root of everything.

A `Space` maps names to objects, any objects; those that are `Service`s run while a server runs the space. It is saved
whole as a `.spl` file (`midair.runtime.snapshot` does that) and needs no server for it.
"""

from __future__ import annotations

import ast
import threading
import uuid
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .errors import NoSuchObject, SpaceError
from .service import Service
from .timers import Timer

if TYPE_CHECKING:
    from .snapshot import Check


class Runner(Protocol):
    """The server, as far as a space knows it: told when a service comes or goes, and when a timer does."""

    def placed(self, service: Service) -> None: ...
    def removed(self, service: Service) -> None: ...
    def arm(self, timer: Timer) -> None: ...
    def now(self) -> float: ...
    async def snapshot(self) -> int: ...


class Space(MutableMapping[str, Any]):
    """Named objects that outlive the process.

    Services start in the order in which they were put in and stop in reverse. A service put into a space that runs is
    started at once; one that is taken out or replaced is stopped.

    Across a rebuild: the same objects, with the new code.
    In a snapshot: all that can be reached from it, timers included; see `__transient__` for what to leave out.
    """

    __transient__ = ("lock", "path", "generation", "runner")

    #: The `.spl` file that this space came from or was last saved to.
    path: Path | None
    #: The number of that file's generation; 0 before there is one.
    generation: int
    #: Who runs this space, if anybody does.
    runner: Runner | None

    def __init__(self) -> None:
        self.uuid = str(uuid.uuid4())
        self._objects: dict[str, Any] = {}
        self._timers: list[Timer] = []
        self._begin()

    def _begin(self) -> None:
        # Threads that change objects hold this lock, and a snapshot takes it before it forks.
        self.lock = threading.RLock()
        self.path, self.generation, self.runner = None, 0, None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    # --- the mapping

    def __getitem__(self, name: str) -> Any:
        try:
            return self._objects[name]
        except KeyError:
            raise NoSuchObject(f"space[{name!r}]", nearest="space") from None

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"a name in the space is a string that is not empty; got {name!r}")
        before = self._objects.get(name)
        if before is value and name in self._objects:
            return
        if isinstance(value, Service):
            if value._space is not None:
                raise SpaceError(f"{value!r} is in a space already; take it out before it goes in as {name!r}")
            value._space, value._name = self, name
        if isinstance(before, Service):
            self._take_out(before)
        self._objects[name] = value
        if isinstance(value, Service) and self.runner:
            self.runner.placed(value)

    def __delitem__(self, name: str) -> None:
        value = self[name]
        del self._objects[name]
        if isinstance(value, Service):
            self._take_out(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"<Space {', '.join(self._objects) or 'empty'}>"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def _take_out(self, service: Service) -> None:
        for timer in [t for t in self._timers if t.target is service]:
            self.drop_timer(timer)
        if self.runner:
            self.runner.removed(service)
        service._space = None

    # --- services and timers

    def services(self) -> Mapping[str, Service]:
        """The services by name, in the order in which they start."""
        return {name: value for name, value in self._objects.items() if isinstance(value, Service)}

    @property
    def timers(self) -> list[Timer]:
        """The calls to come. Add through a service's `call_later` and `every`; cancel through the timer."""
        return self._timers

    def add_timer(self, timer: Timer) -> None:
        self._timers.append(timer)
        if self.runner:
            self.runner.arm(timer)

    def drop_timer(self, timer: Timer) -> None:
        timer.cancel()
        if timer in self._timers:
            self._timers.remove(timer)

    # --- paths

    def resolve(self, path: str) -> Any:
        """The object at a path as errors and reports write it: `space['web'].handlers[2]`, or `web.handlers[2]`.

        Raises:
            NoSuchObject: nothing there; the error names the last part that exists.
            SpaceError: the text is not a path of names, attributes and literal keys.
        """
        steps = _steps(path)
        here: Any = self
        nearest = "space"
        for written, kind, key in steps:
            try:
                here = getattr(here, key) if kind == "attribute" else here[key]
            except (AttributeError, LookupError, TypeError):
                raise NoSuchObject(path, nearest=nearest) from None
            nearest = nearest + written
        return here

    # --- snapshots

    def save(self, path: str | Path | None = None) -> int:
        """Write the next generation, in this process, now; its number.

        Args:
            path: such as "app.spl"; the file this space came from unless given.

        Raises:
            NotStorable: an object cannot be saved; the error names its path, and the file that was there stays.
            SnapshotError: the file could not be written; the file that was there stays.
        """
        from . import snapshot

        return snapshot.save(self, self._file(path))

    async def snapshot(self) -> int:
        """Write the next generation in the background; its number, once it is on disk and was read back.

        Raises: what `save` raises.
        """
        if self.runner:
            return await self.runner.snapshot()
        from . import snapshot

        return await snapshot.take(self, self._file(None))

    def check(self) -> Check:
        """What could not be saved, by path, without writing anything; also the deepest path and the biggest subtrees."""
        from . import snapshot

        return snapshot.check(self)

    @classmethod
    def load(cls, path: str | Path, *, generation: int | None = None) -> Space:
        """The newest whole generation of a `.spl` file, or the one with this number.

        Raises:
            FileNotFoundError: there is none.
            SnapshotError: it is damaged, from a newer midair, somebody else's, or does not fit today's classes.
        """
        from . import snapshot

        return snapshot.load(Path(path), generation=generation)

    def _file(self, path: str | Path | None) -> Path:
        chosen = Path(path) if path is not None else self.path
        if chosen is None:
            raise SpaceError("this space has no file yet; say which: space.save('app.spl')")
        return chosen


def _steps(path: str) -> list[tuple[str, str, Any]]:
    """A path as (how it is written, "attribute" or "item", key), outermost first."""
    refused = SpaceError(f"{path!r} is not a path such as space['web'].handlers[2]")
    try:
        node: ast.expr = ast.parse(path, mode="eval").body
    except SyntaxError:
        raise refused from None
    steps: list[tuple[str, str, Any]] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append((f".{node.attr}", "attribute", node.attr))
        elif isinstance(node, ast.Subscript):
            try:
                key = ast.literal_eval(node.slice)
            except ValueError:
                raise refused from None
            steps.append((f"[{key!r}]", "item", key))
        else:
            raise refused
        node = node.value
    if node.id != "space":
        steps.append((f"[{node.id!r}]", "item", node.id))
    return steps[::-1]
