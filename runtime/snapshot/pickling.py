"""Objects to a stream: a graph of any depth, through zodbpickle's C pickler.

A recursive pickler goes as deep as the longest chain of references, and so fails on a few hundred friends. Here every
instance is first written as a shell, its class alone, and queued; the states follow in batches through the same memo,
where each reference finds a shell that is already there. So depth grows with the nesting of plain containers inside
one state only. The reader makes shells, then fills them: the place where old state meets new code.

The stream is a sequence of pickles on one memo; the first lists what must be made early, the last what an upgrade failed for:

    [object, ...], (root,), batch, batch, ..., ((object, lineage), ...)        where a batch is a flat list of entries:
    object, (name, ...), value, ...                  an instance and its attributes
    object, STATE, (state, items, pairs)             an instance with a state of its own making
    container, LIST | DICT | SET, (item, ...)        see below
    number, VALUE, tuple or frozenset
    weak collection, WEAK, (item, ...)

What the C pickler cannot do at all (containers nested without end, nested classes as values) is met by a second
attempt, `thorough`: there every list, dict and set is a shell too, and a tuple that nests deep is written from its
inside out. It takes about twice as long, so it is tried only after the quick way failed.
"""

from __future__ import annotations

import gc
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from zodbpickle import pickle as zodbpickle  # type: ignore[import-untyped]  # it has no stubs

from .. import rebuild
from ..errors import NotStorable
from . import names
from .parts import DICT, LIST, SET, STATE, VALUE
from .parts import MODULE as PARTS
from .reducers import Entry, Offender, Table
from .schema import Lineage, is_ordinary, lineage
from .walk import ATOMS, path_to, paths_to

PROTOCOL = 3
_CODE: dict[type, int] = {list: LIST, dict: DICT, set: SET}
# Objects in one batch: the pickler hands over its bytes once a batch, so this bounds its buffer.
_BATCH = 256
_MOST_BYTES = 4 << 20
# Tuples may nest this deep within one pickle; the C pickler manages about 300.
_TUPLES = 60
# Types that the pickler writes as type(None) and so on.
_NAMELESS = frozenset({type(None), type(...), type(NotImplemented)})
# The longest name of a module or class that is looked for in a stream.
_LONGEST_NAME = 300
_GLOBAL = ord("c")
# Bytes in one bytes or text.
_LONGEST_VALUE = 0xFFFF_FFFF


@dataclass
class Contents:
    """What a stream holds, for its manifest."""

    objects: int = 0
    counts: Counter[type] = field(default_factory=Counter)
    #: By name: each class that the stream names, with its lineage.
    classes: dict[str, Lineage] = field(default_factory=dict)
    hashed: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    #: What has None in its place: (path, kind, why).
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    #: What comes back, but not with all that it held, in the same form.
    notes: list[tuple[str, str, str]] = field(default_factory=list)


class _Again(Exception):
    """Start over, knowing more."""


def ignore(*_: object) -> None:
    """Nobody wants to know."""


def dump(
    root: object,
    sink: Callable[[bytes], object],
    restart: Callable[[], object],
    *,
    name: str = "space",
    leave_out: bool = False,
    progress: Callable[[int], object] = ignore,
) -> Contents:
    """Write the stream of everything that can be reached from `root`.

    Args:
        sink: takes the bytes, in order.
        restart: called when the attempt so far does not count and the stream begins again.
        name: what paths in errors begin with.
        leave_out: put None in the place of what cannot be saved and list it in `dropped`, instead of raising.
        progress: told how many instances are written so far.

    Raises:
        NotStorable: something cannot be saved; named by its path.
    """
    known = _Known(leave_out)
    collecting = gc.isenabled()
    gc.disable()  # nothing dies meanwhile, and each collection would look at all that the memo holds
    try:
        with rebuild.look_through():
            return _dump(root, sink, restart, known, name, progress)
    finally:
        if collecting:
            gc.enable()


def _dump(
    root: object,
    sink: Callable[[bytes], object],
    restart: Callable[[], object],
    known: _Known,
    name: str,
    progress: Callable[[int], object],
) -> Contents:
    while True:
        attempt = (_Thorough if known.thorough else Dumper)(sink, known, progress)
        try:
            contents = attempt.run(root)
        except _Again:
            restart()
            continue
        except Offender as offender:
            raise _named(root, offender, name) from offender.__cause__
        contents.dropped = _told(root, [*known.omitted.values(), *known.dropped], name)
        # Where they are takes a walk through everything; that is for who asked what is amiss.
        notes = known.notes
        contents.notes = _told(root, notes, name) if known.leave_out else [("", one.kind, one.reason) for one in notes]
        return contents


def _told(root: object, offenders: list[Offender], name: str) -> list[tuple[str, str, str]]:
    paths = paths_to(root, [one.obj for one in offenders], name)
    return [(path, one.kind, one.reason) for path, one in zip(paths, offenders, strict=True)]


def _named(root: object, offender: Offender, name: str) -> NotStorable:
    return NotStorable(path_to(root, offender.obj, name), offender.kind, offender.reason)


@dataclass
class _Known:
    """What earlier attempts taught."""

    leave_out: bool
    thorough: bool = False
    #: By id: objects whose place None takes.
    omitted: dict[int, Offender] = field(default_factory=dict)
    #: Ids of objects that are held strongly somewhere, though a weak reference was met first.
    strong: dict[int, Any] = field(default_factory=dict)
    #: Classes whose own reduction runs in a circle: their arguments are not completed first.
    circular: set[type] = field(default_factory=set)
    dropped: list[Offender] = field(default_factory=list)
    notes: list[Offender] = field(default_factory=list)


class Dumper:
    """One attempt, the quick way."""

    #: Whether everything with parts is to be a shell.
    deep = False

    def __init__(self, sink: Callable[[bytes], object], known: _Known, progress: Callable[[int], object]) -> None:
        self.known = known
        known.dropped.clear()
        known.notes.clear()
        self._sink, self._progress = sink, progress
        self.contents = Contents()
        self._pickler = self._new_pickler()
        #: Instances whose states are still to be written, or were: in order of discovery.
        self.queue: list[Any] = []
        self._written = 0
        self._late: list[Any] = []
        self._shapes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self.table = Table(self)
        self._pickler.dispatch_table = self.table
        self._last_size = 0
        self._unwritten: Exception | None = None

    def _new_pickler(self) -> Any:
        return zodbpickle.Pickler(self, PROTOCOL)

    def write(self, data: bytes) -> int:
        """Called by the pickler, once for each pickle."""
        for module, qualname in _names_in(data):
            self.mention(module, qualname)
        self._last_size = len(data)
        try:
            self._sink(data)
        except Exception as error:
            self._unwritten = error
            raise
        return len(data)

    def mention(self, module: str, qualname: str) -> None:
        """Note that the stream names this class or function."""
        if module == PARTS:
            return
        found = names.look_up(module, qualname)
        if isinstance(found, type):
            self.contents.classes.setdefault(f"{module}:{qualname}", lineage(found))
        elif callable(found) or found in (..., NotImplemented):
            self.contents.functions.add(f"{module}:{qualname}")

    def run(self, root: object) -> Contents:
        self._dump(list(self.known.strong.values()))
        self._dump((root,))
        self._drain()
        while self._late:
            late, self._late = self._late, []
            is_held = self._strongly()
            self._dump([part for obj in late for part in self.table.weak_entry(obj, is_held)])
            self._drain()
        self._settle_weak()
        self._dump(self.table.quarantined())
        contents = self.contents
        contents.counts = Counter(map(type, self.queue))
        for kind in _CODE:
            contents.counts.pop(kind, None)
        contents.objects = contents.counts.total()
        return contents

    def _drain(self) -> None:
        count = _BATCH
        while self._written < len(self.queue):
            start = self._written
            stop = min(start + count, len(self.queue))
            self.table.batch = start
            flat = self._entries(self.queue[start:stop])
            self._written = stop
            self._dump(flat)
            self._progress(stop)
            # A batch of large objects is followed by a smaller one: the pickler's buffer is what is bounded.
            if self._last_size > _MOST_BYTES:
                count = max(1, count // 4)
            elif count < _BATCH:
                count *= 2

    def _entries(self, batch: list[Any]) -> list[Any]:
        flat: list[Any] = []
        entries, stated, shapes = self.table.entries, self.table.stated, self._shapes
        for obj in batch:
            if id(obj) in stated:
                continue
            if entries.get(type(obj)) is Entry.PLAIN:  # as in add_entry, without the call: this is most of them
                state = obj.__dict__
                keys = tuple(state)
                flat += (obj, shapes.setdefault(keys, keys))
                flat += state.values()
            else:
                self.add_entry(flat, obj)
        return flat

    def add_entry(self, flat: list[Any], obj: Any) -> None:
        """Append the entry of one queued object."""
        entry = self.table.entries[type(obj)]
        if entry is Entry.PLAIN:
            state = obj.__dict__
        else:
            try:
                state = entry(obj)
            except Offender:
                raise
            except Exception as error:  # noqa: BLE001 - a user's __getstate__ may raise anything
                self.refuse(obj, f"{type(error).__name__}: {error}", error)
                return
            if type(state) is not dict:
                flat += (obj, STATE, state)
                kept = state[0]
                self.mine(state, kept, *(kept if type(kept) is tuple else ()))
                return
        keys = tuple(state)
        flat += (obj, self._shapes.setdefault(keys, keys))
        flat += state.values()

    def _dump(self, value: object) -> None:
        try:
            self._pickler.dump(value)
        except (Offender, _Again, MemoryError):
            raise
        except Exception as error:
            if error is self._unwritten:  # the disk's word, nothing about the graph
                raise
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.known.thorough = True
        raise _Again from error

    def _settle_weak(self) -> None:
        """A weak reference was written dead; if its object was met later, that was wrong."""
        if not self.table.thought_dead:
            return
        is_held = self._strongly()
        wrong = {key: obj for key, obj in self.table.thought_dead.items() if is_held(obj)}
        if wrong:
            self.known.strong.update(wrong)
            raise _Again

    def _strongly(self) -> Callable[[Any], bool]:
        """Tells of an object whether something that is written by now holds it strongly."""
        queued, entries, omitted = {id(obj) for obj in self.queue}, self.table.entries, self.known.omitted
        memo: dict[int, tuple[int, Any]] = {}

        def is_held(obj: Any) -> bool:
            if id(obj) in queued or isinstance(obj, type | types.FunctionType):
                return True
            if id(obj) in omitted or (type(obj) in entries and is_ordinary(type(obj))):
                return False
            # A bare set, an array: such are never queued, but the pickler knows what it wrote. A copy of that takes a while.
            if not memo:
                memo.update(self._pickler.memo.copy())
            return id(obj) in memo and memo[id(obj)][1] is obj

        return is_held

    # --- what the table asks and reports

    def is_written(self, _container: Any) -> bool:
        """Whether a tuple or frozenset is in the stream already, with all below it."""
        return False

    def mine(self, *made: Any) -> None:
        """These were made for the stream; they are no part of the graph."""

    def refuse(self, obj: object, reason: str, error: Exception | None = None, kind: str | None = None) -> Any:
        """This object cannot be saved: raise, or note it and give what stands in its place."""
        offender = Offender(obj, kind or _kind(obj), reason)
        if not self.known.leave_out:
            raise offender from error
        if id(obj) not in self.known.omitted and any(queued is obj for queued in self.queue):
            self.known.omitted[id(obj)] = offender
            raise _Again
        self.known.dropped.append(offender)
        return self.table.nothing

    def drop(self, obj: object, reason: str) -> None:
        """Note that something of this object does not come back."""
        self.known.notes.append(Offender(obj, _kind(obj), reason))

    def late(self, obj: object) -> None:
        """Write this weak collection after everything that is held strongly."""
        self._late.append(obj)

    def again_without(self, cls: type) -> None:
        self.known.circular.add(cls)
        raise _Again


def _kind(obj: object) -> str:
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _names_in(data: bytes) -> Iterator[tuple[str, str]]:
    """Every (module, name) that a pickle may name: it writes c, module, newline, name, newline, q or r.

    Text in the data can look like one too: then the manifest lists a name that the stream does not need.
    """
    for end in (b"\nq", b"\nr"):
        at = data.find(end)
        while at >= 0:
            middle = data.rfind(b"\n", max(0, at - _LONGEST_NAME), at)
            if middle >= 0:
                name = data[middle + 1 : at].decode(errors="replace")
                before = data[max(0, middle - _LONGEST_NAME) : middle]
                # The byte before the c may be a c as well, and the name may hold some.
                for start in range(len(before)):
                    if before[start] == _GLOBAL:
                        yield before[start + 1 :].decode(errors="replace"), name
            at = data.find(end, at + 1)


class _Thorough(Dumper):
    """One attempt that nothing in the shape of the graph can defeat."""

    deep = True

    def __init__(self, sink: Callable[[bytes], object], known: _Known, progress: Callable[[int], object]) -> None:
        super().__init__(sink, known, progress)
        self._numbers: dict[int, int] = {}
        self._exempt: set[int] = set()
        self._kept: list[Any] = []
        self._last: object = None

    def _new_pickler(self) -> Any:
        return _Asking(self)

    def add_entry(self, flat: list[Any], obj: Any) -> None:
        cls = type(obj)
        if cls in _CODE:
            held = tuple(part for pair in obj.items() for part in pair) if cls is dict else tuple(obj)
            flat += (obj, _CODE[cls], held)
            self.mine(held)
        else:
            super().add_entry(flat, obj)

    def _dump(self, value: object) -> None:
        self.mine(value)
        self._dump_deep_parts(value)
        self._dump_one(value)
        self._exempt.clear()

    def is_written(self, container: Any) -> bool:
        return (
            type(container) in (tuple, frozenset)
            and id(container) in self._numbers
            and id(container) not in self._exempt
        )

    def mine(self, *made: Any) -> None:
        self._kept.append(made)
        self._exempt.update(map(id, made))

    def _dump_deep_parts(self, value: object) -> None:
        for deep in self._deep_parts(value):
            self.mine(entry := [self._number(deep), VALUE, deep])
            self._exempt.add(id(deep))
            self._dump_one(entry)
            self._exempt.discard(id(deep))

    def _dump_one(self, value: object) -> None:
        super()._dump(value)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, RecursionError):
            self.refuse_last("it nests deeper than can be saved, or its own reduction runs in a circle", error)
        self.refuse_last(f"{type(error).__name__}: {error}", error)

    def refuse_last(self, reason: str, error: Exception) -> None:
        obj = self._last
        if self.known.leave_out and id(obj) not in self.known.omitted:
            self.known.omitted[id(obj)] = Offender(obj, _kind(obj), reason)
            raise _Again
        raise Offender(obj, _kind(obj), reason) from error

    def _number(self, obj: Any) -> int:
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self._numbers)
            self._kept.append(obj)
        return number

    def persistent_id(self, obj: Any) -> Any:
        """Called by the pickler for everything: None for what it should write itself."""
        kind = type(obj)
        if kind in ATOMS:
            return self._refused_for_length(obj) if kind is bytes or kind is str else None
        self._last = obj
        if id(obj) in self.known.omitted:
            return ("none",)
        if kind is list or kind is dict or kind is set:
            if id(obj) in self._exempt:
                return None
            if id(obj) not in self._numbers:
                self.queue.append(obj)
            return self._number(obj) * 8 + _CODE[kind]
        if kind is tuple or kind is frozenset:
            known = id(obj) in self._numbers and id(obj) not in self._exempt
            return self._numbers[id(obj)] * 8 + VALUE if known else None
        if kind is type and obj not in _NAMELESS and not names.is_named_plainly(obj):
            return self.table.persistent_class(obj)
        if kind is types.BuiltinFunctionType and not names.is_named_plainly(obj):
            return self.table.persistent_builtin(obj)
        return None

    def _refused_for_length(self, text: bytes | str) -> Any:
        """None for what fits; the format has four bytes for a length."""
        if len(text) <= _LONGEST_VALUE // 4:
            return None
        size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
        if size <= _LONGEST_VALUE:
            return None
        self.refuse(
            text, f"it is {size} bytes long, the limit is {_LONGEST_VALUE} bytes; keep it in a file, or in parts"
        )
        return ("none",)

    def _deep_parts(self, value: Any) -> Iterable[Any]:
        """The tuples and frozensets in a batch below which others nest deep, innermost first."""
        if type(value) not in (list, tuple):
            return []
        found: list[Any] = []
        heights: dict[int, int] = {}
        todo: list[tuple[Any, bool]] = []
        for part in value if type(value) is list else [value]:
            made = type(part) is tuple and id(part) in self._exempt
            todo.extend((inner, False) for inner in (part if made else (part,)))
        while todo:
            part, seen_inside = todo.pop()
            if type(part) not in (tuple, frozenset) or id(part) in self._numbers:
                continue
            if not seen_inside:
                if id(part) not in heights:
                    heights[id(part)] = 0
                    todo.append((part, True))
                    todo.extend((inner, False) for inner in part if type(inner) in (tuple, frozenset))
                continue
            height = 1 + max((heights.get(id(inner), 0) for inner in part), default=0)
            if height > _TUPLES:
                found.append(part)
                self._number(part)
                height = 0
            heights[id(part)] = height
        return found


class _Asking(zodbpickle.Pickler):  # type: ignore[misc]
    def __init__(self, dumper: _Thorough) -> None:
        super().__init__(dumper, PROTOCOL)
        self.persistent_id = dumper.persistent_id
