"""A stream to objects, in steps that each touch everything before the next begins:

    1. shells and containers, by the standard unpickler; 2. the state of each; 3. keys find their hashes; 4. upgrades;
    5. keys again, where an upgrade may have changed a hash; 6. weak collections; 7. `__resume__`.

The unpickler gets at nothing but what the manifest names, each looked up by module and qualified name beforehand; the
only functions it may call besides are those of `parts`.
"""

from __future__ import annotations

import gc
import pickle
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ..errors import SnapshotError, UpgradeRefused
from . import names, parts
from .filling import Fill, as_dict, attributes, fill_defaults, fill_own, filler, put_back
from .hashes import Asleep
from .lost import Lost, LostFunction, LostMethod, lost_class
from .parts import DICT, LIST, SET, STATE, VALUE, WEAK
from .quarantine import Kept
from .schema import Lineage, Lowered, Maker, Step, defaults, is_ordinary, lineage, needs_state_for_hash, steps

_intern = sys.intern
_CONTAINERS: dict[int, type] = {LIST: list, DICT: dict, SET: set}


@dataclass(frozen=True)
class Problem:
    """An object that did not come back as it should: where, of what class, why."""

    path: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: {self.reason}"


@dataclass
class Outcome:
    """What a load met besides the objects."""

    upgraded: int = 0
    #: Objects whose `__upgrade__` or `__resume__` raised, or whose class is older than their state; they keep that state.
    quarantined: list[tuple[Any, str, BaseException]] = field(default_factory=list)
    #: Names of classes and functions that are gone, and how many stand-ins each has.
    lost: dict[str, int] = field(default_factory=dict)
    #: By id: the schemas that the state of each quarantined object has, and what its `__setstate__` refused.
    kept: dict[int, tuple[Lineage, Kept | None]] = field(default_factory=dict)


@contextmanager
def without_collector() -> Any:
    """No collection runs meanwhile: each would look through all that was made so far."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Reader(pickle.Unpickler):
    """Reads one stream. Call `read`, `run_upgrades`, `fill_weak`, `run_resume`, in this order.

    Args:
        file: the stream.
        manifest: names what the stream may use.
    """

    def __init__(self, file: BinaryIO, manifest: Mapping[str, Any]) -> None:
        super().__init__(file)
        self.outcome = Outcome()
        self._lineages: dict[str, Lineage] = {
            name: [(base, number) for base, number in entry["mro"]] for name, entry in manifest["classes"].items()
        }
        self._counts = {name: entry["count"] for name, entry in manifest["classes"].items()}
        self._hashed = {name for name, entry in manifest["classes"].items() if entry.get("hashed")}
        self._former: dict[str, type] | None = None
        self._lost_functions: list[LostFunction] = []
        self._asleep = Asleep()
        #: Sleeping classes that the stream makes instances of without knowing it.
        self._dozing: set[type] = set()
        self._found: dict[tuple[str, str], Any] = {}
        #: By class of today: under which name it was stored.
        self._stored_as: dict[type, str] = {}
        for name in self._lineages:
            self._resolve(name, is_class=True)
        for name in manifest["functions"]:
            self._resolve(name, is_class=False)
        self._modules = frozenset(manifest["modules"])
        own = (
            self.new,
            self.new_ex,
            self.hashed,
            self.find,
            self.state,
            self.call,
            self.member,
            self.fresh,
            self.module,
            self.method,
        )
        self._own: dict[str, Any] = {func.__name__: func for func in own}
        self._containers: dict[int, Any] = {}
        self._fillers: dict[type, Fill] = {}
        self._fields = {name: frozenset(entry.get("fields", ())) for name, entry in manifest["classes"].items()}
        self._planned: dict[type, list[Step] | Lowered] = {}
        self._older: dict[int, Lineage] = {}
        self._interned: dict[int, tuple[Any, tuple[str, ...]]] = {}
        self._done: set[int] = set()
        #: The instances that have hooks to run, with the state that was stored.
        self.instances: list[tuple[Any, dict[str, Any]]] = []
        self._weak: list[tuple[Any, tuple[Any, ...]]] = []
        self._refused: dict[int, Kept] = {}

    # --- what the stream may name

    def find_class(self, module: str, name: str) -> Any:
        if module == parts.MODULE:
            own = self._own.get(name)
            return own if own is not None else _PARTS[name]
        return self.find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, int):
            number, code = divmod(pid, 8)
            if code != VALUE and number not in self._containers:
                self._containers[number] = _CONTAINERS[code]()
            return self._containers[number]
        kind, *rest = pid
        if kind == "name":
            return self.find(*rest)
        if kind == "method":
            return self.method(*rest)
        if kind == "none":
            return None
        raise SnapshotError(f"the stream asks for {pid!r}, which no midair writes")

    def find(self, module: str, qualname: str) -> Any:
        try:
            return self._found[module, qualname]
        except KeyError:
            raise SnapshotError(f"the stream names {module}:{qualname}, which its manifest does not list") from None

    def module(self, name: str) -> Any:
        if name not in self._modules:
            raise SnapshotError(f"the stream names the module {name}, which its manifest does not list")
        return parts.module(name)

    def _resolve(self, name: str, *, is_class: bool) -> None:
        module, _, qualname = name.partition(":")
        try:
            found = names.import_and_look_up(module, qualname)
        except Exception as error:
            raise SnapshotError(f"{name} cannot be loaded, its module does not import: {error}") from error
        fits = (
            isinstance(found, type)
            if is_class
            else (callable(found) and not isinstance(found, type)) or found in (..., NotImplemented)
        )
        if not fits:
            found = self._former_names().get(name)
        if found is None:
            found = self._stand_in(name, is_class=is_class)
        self._found[module, qualname] = found
        if isinstance(found, type):
            self._stored_as[found] = name
            if self._gained_hash(name, found):
                sleeping = self._found[module, qualname] = self._asleep.sleeping(found)
                self._dozing.add(sleeping)

    def _gained_hash(self, name: str, cls: type) -> bool:
        """Whether instances were saved as keys of any kind are, though today their hash needs their state."""
        return (
            bool(self._counts.get(name)) and name not in self._hashed and is_ordinary(cls) and needs_state_for_hash(cls)
        )

    def _former_names(self) -> dict[str, type]:
        if self._former is None:
            self._former = names.former_names()
        return self._former

    def _stand_in(self, name: str, *, is_class: bool) -> Any:
        self.outcome.lost[name] = 0
        if is_class:
            return lost_class(name, self._lineages[name])
        self._lost_functions.append(LostFunction(name))
        return self._lost_functions[-1]

    def _today(self, name: str) -> str:
        """What a class that was stored under this name is called now."""
        module, _, qualname = name.partition(":")
        found = self._found.get((module, qualname))
        return names.full_name(found) if isinstance(found, type) and not issubclass(found, Lost) else name

    # --- what the stream may call

    def new(self, cls: Any, *args: Any) -> Any:
        return cls.__new__(cls, *args)

    def new_ex(self, cls: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if issubclass(cls, Lost):
            return self._lost(cls, "new_ex", (args, named))
        return cls.__new__(cls, *args, **named)

    def hashed(self, cls: Any, *args: Any) -> Any:
        if issubclass(cls, Lost):
            return self._lost(cls, "hashed", args)
        return self._asleep.make(cls, args)

    def member(self, cls: Any, name: str, value: Any) -> Any:
        if issubclass(cls, Lost):
            return self._lost(cls, "member", (name, value))
        try:
            return cls(value)
        except ValueError:
            if name in cls.__members__:
                return cls[name]
            raise UpgradeRefused(f"{names.full_name(cls)} has no member {name} = {value!r} any more") from None

    def fresh(self, cls: Any, base: str, *args: Any) -> Any:
        if issubclass(cls, Lost):
            return self._lost(cls, "fresh", (base, *args))
        return parts.fresh(cls, base, *args)

    def method(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, Lost) and not (isinstance(owner, type) and issubclass(owner, Lost)):
            try:
                return parts.method(owner, name)
            except AttributeError:
                pass
        cls = owner if isinstance(owner, type) else type(owner)
        full = f"{getattr(cls, '__lost__', names.full_name(cls))}.{name}"
        self.outcome.lost[full] = self.outcome.lost.get(full, 0) + 1
        return LostMethod(owner, name)

    def _lost(self, cls: type[Lost], maker: str, args: tuple[Any, ...]) -> Lost:
        obj = cls.__new__(cls)
        obj._lost_call = (maker, args)
        return obj

    def state(self, obj: Any, entry: list[Any]) -> None:
        """Fill one object before its turn."""
        self._fill(entry)
        self._done.add(id(obj))

    def call(self, _before: object, _end: object, func: Any, args: tuple[Any, ...]) -> Any:
        return func(*args)

    # --- reading

    def read(self) -> Any:
        """The root, with every state in place and every key under its hash; no hook has run."""
        self.load()  # what a weak reference comes before, made first
        while type(first := self.load()) is list:
            self._fill(first)
        while type(flat := self.load()) is list:
            self._fill(flat)
        self._asleep.wake()
        for function in self._lost_functions:
            function.reading = False
        self._exceptions_to_lineage(flat)
        return first[0]

    def _exceptions_to_lineage(self, end: tuple[Any, ...]) -> None:
        """Instances that an upgrade failed for before: their schema is older than that of their class."""
        kept = {id(obj) for obj, _ in self.instances} if end else ()
        for obj, stored in end:
            self._older[id(obj)] = list(stored)
            if id(obj) not in kept:
                self._keep(obj, attributes(obj))

    def _fill(self, flat: list[Any]) -> None:
        """Give the objects of one batch what their entries say."""
        at, done, fillers, interned = 0, self._done, self._fillers, self._interned
        while at < len(flat):
            obj, what = flat[at], flat[at + 1]
            if type(what) is not tuple:
                if what == VALUE or id(obj) not in done:
                    self._fill_other(obj, what, flat[at + 2])
                at += 3
                continue
            end = at + 2 + len(what)
            if id(obj) not in done:
                fill = fillers.get(type(obj)) or self._filler(type(obj))
                # One tuple of names serves all instances of a shape; attribute look-up is fast for interned names only.
                known = interned.get(id(what))
                if known is None:
                    known = interned[id(what)] = (what, tuple(map(_intern, what)))
                fill(obj, known[1], flat[at + 2 : end])
            at = end

    def _fill_other(self, obj: Any, what: int, payload: Any) -> None:
        if what == STATE:
            self._fill_state(obj, *payload)
        elif what == LIST:
            obj.extend(payload)
        elif what == DICT:
            obj.update(zip(payload[::2], payload[1::2], strict=True))
        elif what == SET:
            obj.update(payload)
        elif what == VALUE:
            self._containers[obj] = payload
        elif what == WEAK:
            self._weak.append((obj, payload))
        else:
            raise SnapshotError(f"the stream has an entry of kind {what!r}, which no midair writes")

    def _fill_state(self, obj: Any, state: Any, items: Any, pairs: Any) -> None:
        if isinstance(obj, Lost):
            obj._lost_state = (state, items, pairs)
            self._count_lost(obj)
            return
        cls = self._asleep.real(type(obj))
        if type(obj) in self._dozing:
            self._asleep.adopt(obj)
        try:
            fill_own(obj, state, items, pairs)
        except Exception as error:  # noqa: BLE001 - a user's __setstate__ may raise anything; the policy decides
            self.outcome.quarantined.append((obj, "__setstate__", error))
            self._refused[id(obj)] = (state, items, pairs)
            return
        fill_defaults(obj, self._makers(cls), as_dict(state))
        if self._wants_hooks(cls):
            self._keep(obj, as_dict(state))

    def _filler(self, kind: type) -> Fill:
        cls = self._asleep.real(kind)
        if issubclass(cls, Lost):
            fill = filler(cls, {}, lambda obj, _: self._count_lost(obj))
        else:
            fill = filler(cls, self._makers(cls), self._keep if self._wants_hooks(cls) else None)
            if kind in self._dozing:
                fill = self._then_wake(fill)
        self._fillers[kind] = fill
        return fill

    def _then_wake(self, fill: Fill) -> Fill:
        def both(obj: Any, stored: tuple[str, ...], values: list[Any]) -> None:
            fill(obj, stored, values)
            self._asleep.adopt(obj)

        return both

    def _makers(self, cls: type) -> dict[str, Maker]:
        """Defaults for the fields that a class got since its instances were stored."""
        stored = self._fields.get(self._stored_as.get(cls, ""), frozenset())
        return {name: make for name, make in defaults(cls).items() if name not in stored}

    def _count_lost(self, obj: Lost) -> None:
        self.outcome.lost[obj.__lost__] += 1

    # --- hooks

    def _wants_hooks(self, cls: type) -> bool:
        return hasattr(cls, "__resume__") or self._steps(cls) != []

    def _keep(self, obj: Any, state: dict[str, Any]) -> None:
        self.instances.append((obj, state))

    def _steps(self, cls: type) -> list[Step] | Lowered:
        """The upgrades between the stored schemas of a class and those of today."""
        found = self._planned.get(cls)
        if found is None:
            stored = self._lineages.get(self._stored_as.get(cls, ""), lineage(cls))
            found = self._planned[cls] = self._plan(cls, stored)
        return found

    def _plan(self, cls: type, stored: Lineage) -> list[Step] | Lowered:
        try:
            return steps(cls, stored, self._today)
        except Lowered as error:
            return error

    def run_upgrades(self) -> None:
        """Bring every instance to the schema of its class; those that were found last go first."""
        for obj, state in reversed(self.instances):
            older = self._older.get(id(obj))
            plan = self._plan(type(obj), older) if older is not None else self._steps(type(obj))
            if isinstance(plan, Lowered):
                self.outcome.quarantined.append((obj, "__schema__", plan))
            elif plan and self._upgrade(obj, state, plan):
                self.outcome.upgraded += 1
        if self.outcome.upgraded:
            self._asleep.again()

    def _upgrade(self, obj: Any, state: dict[str, Any], plan: list[Step]) -> bool:
        for hook, before in plan:
            try:
                hook(obj, before, dict(state))
            except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; the policy decides
                put_back(obj, state)
                self.outcome.quarantined.append((obj, "__upgrade__", error))
                return False
        return True

    def stored_lineage(self, obj: Any) -> Lineage:
        """The schemas that the stored state of an object has."""
        older = self._older.get(id(obj))
        return older if older is not None else self._lineages.get(self._stored_as.get(type(obj), ""), [])

    def keep_quarantined(self) -> None:
        """Note of what could not be brought up to date what a later attempt needs."""
        for obj, stage, _ in self.outcome.quarantined:
            if stage != "__resume__":
                self.outcome.kept[id(obj)] = self.stored_lineage(obj), self._refused.get(id(obj))

    def fill_weak(self) -> None:
        """Fill the weak collections: their members have their hashes by now."""
        for obj, payload in self._weak:
            if isinstance(obj, weakref.WeakSet):
                obj.update(payload)
            else:
                for at in range(0, len(payload), 2):
                    obj[payload[at]] = payload[at + 1]

    def run_resume(self, space: Any) -> None:
        """Call `__resume__` where there is one; those that were found last go first, the root last."""
        failed = {id(obj) for obj, _, _ in self.outcome.quarantined}
        for obj, _ in reversed(self.instances):
            resume = getattr(type(obj), "__resume__", None)
            if resume is None or id(obj) in failed:
                continue
            try:
                resume(obj, space)
            except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; the policy decides
                self.outcome.quarantined.append((obj, "__resume__", error))


_PARTS: dict[str, Callable[..., Any]] = {
    func.__name__: func
    for func in (
        parts.nothing, parts.entry, parts.lock, parts.rlock, parts.simple_queue, parts.method, parts.bind, parts.slot,
        parts.ref, parts.weak_method, parts.dead_ref,
    )
}  # fmt: skip
