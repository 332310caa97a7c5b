"""One edit as a transaction: every write has its inverse, and most are made together at the end.

Writes to functions, module globals and classes are *staged*; `flush` makes them in one call that runs no Python
(`native.perform`). It happens at the end, and before anything of the user's runs: a statement must see what those
before it did. Whatever goes wrong, `roll_back` replays the inverses, last first.
"""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from . import native, sources
from .kinds import exactly, isa
from .native import Write


class _Missing:
    def __repr__(self) -> str:
        return "<nothing>"


MISSING: Final = _Missing()
log = logging.getLogger("midair.rebuild")
_OF_TYPE = {  # setting these on a class means something else
    *("__class__", "__weakref__"),
    *(name for name, value in vars(type).items() if hasattr(value, "__set__")),
} - {"__doc__", "__module__", "__qualname__", "__annotations__", "__abstractmethods__"}
_MAX_COPIED = 10_000  # entries; larger containers are not watched for changes that a failed edit made in passing


class Transaction:
    """Everything an edit has done so far, and how to undo it."""

    def __init__(self) -> None:
        self._staged: list[Write] = []
        self._inverse: list[Write] = []
        self._overlay: dict[tuple[int, str], Any] = {}
        self._undo: list[Write] = []
        self._undo_keys: list[Write] = []
        self._spaces: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._modules: dict[str, types.ModuleType] | None = None
        self.functions: dict[int, tuple[types.CodeType, Any]] = {}  # staged code and closure, by identity
        self._finish: list[Callable[[], None]] = []
        self._held: list[object] = []  # what must not be freed while it may be wanted back

    # -- staging ------------------------------------------------------------------------------------------------

    def stage(self, write: Write, inverse: Write) -> None:
        """Have a C-level write made at the next flush."""
        self._staged.append(write)
        self._inverse.append(inverse)

    def stage_all(self, writes: Iterable[Write], inverses: Iterable[Write]) -> None:
        """The same for many that were made before."""
        self._staged += writes
        self._inverse += inverses

    def flush(self) -> None:
        """Make the staged writes, all in one call."""
        if self._staged:
            staged, inverse = self._staged, self._inverse
            self._staged, self._inverse = [], []
            self._undo += inverse
            self._overlay.clear()
            self.functions.clear()
            native.perform(staged)

    def hold(self, *things: object) -> None:
        self._held += things

    def on_commit(self, call: Callable[[], None]) -> None:
        self._finish.append(call)

    def did(self, inverse: Callable[..., Any], *args: Any) -> None:
        """Something was done at once; this undoes it."""
        self._undo.append((inverse, *args))

    def did_keys(self, inverse: Callable[..., Any], *args: Any) -> None:
        """The same for what asks keys for their hash: undone when their classes are as they were."""
        self._undo_keys.append((inverse, *args))

    # -- module globals and classes -----------------------------------------------------------------------------

    def get(self, space: Mapping[str, Any], name: str, key: int | None = None) -> Any:
        staged = self._overlay.get((key or id(space), name), self)
        return space.get(name, MISSING) if staged is self else staged

    def set_item(self, space: dict[str, Any], name: str, value: Any) -> None:
        old = self.get(space, name)
        if old is not value:
            self._overlay[id(space), name] = value
            self._hold_old(old)
            back: Write = (dict.pop, space, name, None) if old is MISSING else (dict.__setitem__, space, name, old)
            self.stage((dict.__setitem__, space, name, value), back)

    def del_item(self, space: dict[str, Any], name: str) -> None:
        old = self.get(space, name)
        if old is not MISSING:
            self._overlay[id(space), name] = MISSING
            self._hold_old(old)
            self.stage((dict.pop, space, name, None), (dict.__setitem__, space, name, old))

    def get_attr(self, cls: type, name: str) -> Any:
        return self.get(vars(cls), name, id(cls))

    def set_attr(self, cls: type, name: str, value: Any) -> None:
        old = self.get_attr(cls, name)
        if name in _OF_TYPE:
            self.set_item(native.class_dict(cls), name, value)
            self.stage((native.modified, cls), (native.modified, cls))
        elif old is not value:
            self._overlay[id(cls), name] = value
            self._hold_old(old)
            back: Write = (type.__delattr__, cls, name) if old is MISSING else (type.__setattr__, cls, name, old)
            if name == "__new__" and old is MISSING:
                self.stage((id, cls), (native.inherit_new, cls))  # undone after the next, being before it
            self.stage((type.__setattr__, cls, name, value), back)

    def del_attr(self, cls: type, name: str) -> None:
        old = self.get_attr(cls, name)
        if name in _OF_TYPE:
            self.del_item(native.class_dict(cls), name)
            self.stage((native.modified, cls), (native.modified, cls))
        elif old is not MISSING:
            self._overlay[id(cls), name] = MISSING
            self._hold_old(old)
            self.stage((type.__delattr__, cls, name), (type.__setattr__, cls, name, old))

    def _hold_old(self, old: object) -> None:
        self._held.append(old)  # its last reference must not go inside the one call: a finalizer is Python

    # -- what the user's own code does ----------------------------------------------------------------------------

    def run(self, code: types.CodeType, space: dict[str, Any], names: Any = None) -> None:
        """Execute a piece of a module, after everything before it took effect."""
        self.flush()
        self.watch(space)
        exec(code, space, space if names is None else names)  # noqa: S102 -- running the user's own source is the task

    def watch(self, space: dict[str, Any]) -> None:
        """Remember what the code about to run may change in passing: modules, and containers that recorded modules hold."""
        if self._modules is None:
            self._modules = dict(sys.modules)
            for record in sources.records.values():
                if (module := record.module) is not None:
                    self._remember_space(vars(module))
        if all(known is not space for known, _ in self._spaces):
            self._remember_space(space)

    def _remember_space(self, space: dict[str, Any]) -> None:
        self._spaces.append((space, dict(space)))
        for value in list(space.values()):
            self._remember_container(value)
            if type(value) is type and value.__module__ == space.get("__name__"):
                for inner in list(vars(value).values()):
                    self._remember_container(inner)

    def _remember_container(self, value: object) -> None:
        if exactly(value, list, dict, set) and len(value) <= _MAX_COPIED:  # type: ignore[arg-type]  # one of the three
            self._containers.append((value, value.copy()))  # type: ignore[attr-defined]  # one of the three

    # -- the end --------------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """The edit holds: let go of what was kept for undoing it."""
        self.flush()
        for call in self._finish:
            call()
        self._undo.clear()
        self._held.clear()

    def roll_back(self) -> None:
        """Put everything back."""
        self._staged, self._inverse = [], []
        self._overlay.clear()
        undo, self._undo = self._undo, []
        for space, before in self._spaces:
            if space.keys() != before.keys() or any(space[name] is not value for name, value in before.items()):
                self._held.append(dict(space))
                for name in [name for name in space if name not in before]:
                    del space[name]
                space.update(before)
        for live, before in self._containers:
            _put_back(live, before)
        if self._modules is not None:
            for name in [name for name in sys.modules if name not in self._modules]:
                module = sys.modules.pop(name)
                sources.forget(name)
                parent, _, last = name.rpartition(".")
                if parent in sys.modules and vars(sys.modules[parent]).get(last) is module:
                    delattr(sys.modules[parent], last)
            for name, module in self._modules.items():
                sys.modules.setdefault(name, module)
        inverses = iter([*reversed(undo), *reversed(self._undo_keys)])
        while True:
            try:
                native.perform(inverses)
                break
            except Exception:  # the user's own __hash__ or a property may raise; the rest must still be put back
                log.exception("part of a refused edit could not be undone")
        self._held.clear()


def _put_back(live: Any, before: Any) -> None:
    """Give a container its contents back, without asking its members how they compare."""
    if isa(live, list):
        same = len(live) == len(before) and all(a is b for a, b in zip(live, before, strict=True))
        if not same:
            live[:] = before
    elif isa(live, dict):
        same = len(live) == len(before) and all(
            a is b and live[a] is before[b] for a, b in zip(live, before, strict=True)
        )
        if not same:
            live.clear()
            live.update(before)
    elif len(live) != len(before) or {id(x) for x in live} != {id(x) for x in before}:
        live.clear()
        live.update(before)
