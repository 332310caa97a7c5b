"""One pass over the heap: references to some objects become references to others.

A chunk of objects is asked for its referents at once and compared with the set of what is wanted, all in C; only a
chunk with a hit is looked at closer. So the pass is linear in what is tracked, however many objects are to be found.

An object is replaced at every reference or at none: the references that can be written are counted and compared with
its reference count.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import gc
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import frames, functions, native
from .kinds import exactly, isa
from .transaction import Transaction

_CHUNK = 512
Mapping = dict[int, tuple[Any, Any]]  # identity of the old -> (old, new)


def holders(wanted: Iterable[Any], things: list[Any], skip: set[int]) -> Iterator[tuple[Any, list[Any]]]:
    """(holder, its referents) for all that refer to something wanted."""
    ids = set(map(id, wanted))
    stack = [(start, min(start + _CHUNK, len(things))) for start in range(0, len(things), _CHUNK)]
    while stack:
        low, high = stack.pop()
        inside = gc.get_referents(*things[low:high])
        if ids.isdisjoint(map(id, inside)):
            continue
        if high - low == 1:
            if id(things[low]) not in skip:
                yield things[low], inside
            continue
        step = max(1, (high - low) // 8)
        del inside
        stack += [(start, min(start + step, high)) for start in range(low, high, step)]


def file_again(tx: Transaction, changed: list[Any], things: list[Any], own: set[int]) -> None:
    """Fill dicts and sets again whose keys are these, alone or in a tuple: they hash otherwise now."""
    own |= {id(things), id(changed)}
    latest, ids = changed, set(map(id, changed))
    while latest:  # what holds them and is a key itself, from the inside out
        latest = [h for h, _ in holders(latest, things, own) if type(h) is tuple or isa(h, frozenset)]
        latest = [h for h in latest if id(h) not in ids]
        own.add(id(latest))
        for holder in latest:
            ids.add(id(holder))
            changed.append(holder)
            if isa(holder, frozenset):
                _fill_again(tx, holder, native.refill_frozenset, list(holder))
    for holder, _ in holders(changed, things, own):
        if isa(holder, dict) and not ids.isdisjoint(map(id, holder)):
            _fill_again(tx, holder, _refill, list(dict.items(holder)))
        elif isa(holder, set) and not ids.isdisjoint(map(id, holder)):
            _fill_again(tx, holder, _reset, list(holder))


def _fill_again(tx: Transaction, holder: Any, fill: Callable[[Any, Any], None], content: list[Any]) -> None:
    fill(holder, content)
    tx.did_keys(fill, holder, content)


class Swap:
    """Collects what has to be written; `apply` writes it where every reference was found."""

    def __init__(self, tx: Transaction, mapping: Mapping, scan: functions.Scan, *, all_or_none: bool) -> None:
        self.tx, self.mapping, self.scan, self.strict = tx, mapping, scan, all_or_none
        self.found: collections.Counter[int] = collections.Counter()
        self.writers: list[tuple[set[int], Callable[[Mapping], None]]] = []
        self.left: list[Any] = []
        self.tuples: list[Callable[[], Any]] = []

    def run(self, books: set[int], why: str, passed_over: set[int] | None = None) -> None:
        """Look, decide, write. What our own books refer to counts, and stays; what is passed over is not looked at."""
        things = self.scan.heap(why)
        began = time.perf_counter()
        own: set[int] = set()
        own |= {part for old, _ in self.mapping.values() if isa(old, type) for part in _of_class(old)}
        own |= {part for old, new in self.mapping.values() if isa(old, type) > isa(new, type) for part in _lineage(old)}
        own |= {id(things), id(self.mapping), id(self.writers), id(self.__dict__)} | {
            id(pair) for pair in self.mapping.values()
        }
        if not self.strict and len(self.mapping) <= 4:
            things = gc.get_referrers(*(old for old, _ in self.mapping.values()))
            own.add(id(things))
        hidden = own | passed_over if passed_over else own
        things = [thing for thing in things if id(thing) not in hidden]  # so that a chunk with a hit is worth a look
        own.add(id(things))
        for holder, referents in holders((old for old, _ in self.mapping.values()), things, own):
            if id(holder) in books:
                self.found.update(id(r) for r in referents if id(r) in self.mapping)
            elif not isa(holder, types.FrameType):
                self._consider(holder, referents)
            del holder, referents
        del things
        self._frames()
        self._decide()
        if tuples := [t for t in self.tuples if t() is not None]:
            self._hash_again([t() for t in tuples], own | books)
        self.scan.seconds += time.perf_counter() - began

    def _consider(self, holder: Any, referents: list[Any]) -> None:
        hits = collections.Counter(id(r) for r in referents if id(r) in self.mapping)
        write = _writer(self.tx, holder, hits, self.mapping)
        if write is not None:
            if type(holder) is tuple or isa(holder, frozenset):
                self.tuples.append(lambda: holder)
            self.found.update(hits)
            self.writers.append((set(hits), write))
            if id(holder) in self.mapping:
                self.found[id(holder)] += 1  # the writer's own reference

    def _frames(self) -> None:
        """Local variables of the functions that all threads are in; those of coroutines were found as objects."""

        def see(_: int, frame: types.FrameType) -> None:
            ours = frame.f_globals.get("__name__", "").startswith(__package__ or "")
            if not ours and frame.f_code.co_flags & 0x2A1 == 1:
                self._consider_frame(frame)

        frames.visit(see)

    def _consider_frame(self, frame: types.FrameType) -> None:
        code = frame.f_code
        plain = [n for n in code.co_varnames if n not in code.co_cellvars]
        local = frame.f_locals
        hits = collections.Counter(id(local[n]) for n in plain if n in local and id(local[n]) in self.mapping)
        if hits:
            self.found.update(hits)
            self.writers.append((set(hits), lambda chosen: _write_frame(self.tx, frame, plain, chosen)))
            for name in plain:  # the snapshot that asking for f_locals made counts as a reference of its own
                if name in local and id(local[name]) in self.mapping:
                    del local[name]

    def _decide(self) -> None:
        chosen = dict(self.mapping)
        if self.strict:
            usual = self._usual()
            for key, (old, _) in self.mapping.items():
                if sys.getrefcount(old) - usual != self.found[key]:
                    del chosen[key]
                    self.left.append(old)
        for keys, write in self.writers:
            if not keys.isdisjoint(chosen):
                write(chosen)
        self.mapping = chosen

    def _hash_again(self, changed: list[Any], own: set[int]) -> None:
        """Tuples hash by what they hold: dicts and sets that have the changed ones as keys are filled again."""
        own.add(id(self.tuples))
        file_again(self.tx, changed, self.scan.heap("tuples that are keys"), own)

    def _usual(self) -> int:
        """How many references something in the mapping has that nobody else holds."""

        class Probe: ...

        mapping = {0: (Probe(), None)}
        for old, _ in mapping.values():
            return sys.getrefcount(old)
        raise AssertionError


def _of_class(cls: type) -> set[int]:
    """What makes a class a class refers to it, and is its own affair."""
    parts = [v for v in vars(cls).values() if isa(v, (types.GetSetDescriptorType, types.MemberDescriptorType))]
    return {id(cls), id(cls.__mro__), id(native.class_dict(cls)), *map(id, parts)}


def _lineage(cls: type) -> set[int]:
    """What says of the classes below that they derive from it: no class can derive from something else."""
    found: set[int] = set()
    for each in native.subclasses(cls):
        found |= {id(each.__bases__), id(each.__mro__)} | _lineage(each)
    return found


_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_HOLD_ANYTHING = (types.MethodType, functools.partial, *_SUSPENDED, property, staticmethod, classmethod)


def _may_hold(holder: Any, pairs: list[tuple[Any, Any]]) -> bool:
    """May the words of an object made in C be written? Most count on the kind of what they refer to."""
    if isa(holder, tuple) or exactly(holder, *_HOLD_ANYTHING) or type(holder).__flags__ & (1 << 9):
        return True
    return all(native.layout(type(old))[0] is native.layout(type(new))[0] for old, new in pairs)


def _writer(
    tx: Transaction, holder: Any, hits: collections.Counter[int], mapping: Mapping
) -> Callable[[Mapping], None] | None:
    """How to replace references inside one object; None where it cannot be written."""
    kind = type(holder)
    if isa(holder, dict):
        return lambda chosen: _write_dict(tx, holder, chosen)
    if isa(holder, list):
        return lambda chosen: _write_list(tx, holder, chosen)
    if isa(holder, set):
        return lambda chosen: _write_set(tx, holder, chosen)
    if isa(holder, collections.deque):
        return lambda chosen: _write_deque(tx, holder, chosen)
    if isa(holder, types.CellType):
        return lambda chosen: functions.set_cell(tx, holder, chosen[id(holder.cell_contents)][1])
    if kind.__flags__ & (1 << 4) and not isa(holder, type):
        inside = functions._attributes(holder)  # from here on the attributes are in a dict
        if inside is not None:
            return lambda chosen: _write_object(tx, holder, inside, chosen)
    if isa(holder, type):
        return lambda chosen: _write_class(tx, holder, chosen)
    if isa(holder, frozenset):
        return lambda chosen: _write_frozenset(tx, holder, chosen)
    if not _may_hold(holder, [mapping[key] for key in hits]):
        return None
    size = _size(holder)
    count = collections.Counter(w for w in native.words(holder, size)[2:] if w in hits)
    if exactly(holder, *_SUSPENDED):  # behind what is on its stack lies what was there before
        if any(count[key] < number for key, number in hits.items()):
            return None
        return lambda chosen: _write_words(tx, holder, chosen, hits)
    if any(count[key] != number for key, number in hits.items()):
        return None
    return lambda chosen: _write_words(tx, holder, chosen)


def _size(holder: Any) -> int:
    """How many bytes of an object are its own: what it keeps elsewhere is not looked at."""
    kind = type(holder)
    if isa(holder, tuple):
        return tuple.__sizeof__(holder)
    if exactly(holder, *_SUSPENDED):
        return int(holder.__sizeof__())
    return kind.__basicsize__


def _write_words(tx: Transaction, holder: Any, chosen: Mapping, limits: collections.Counter[int] | None = None) -> None:
    size = _size(holder)
    start = 2 * ctypes.sizeof(ctypes.c_void_p)
    for word in set(native.words(holder, size)[2:]):
        if word in chosen:
            old, new = chosen[word]
            limit = limits[word] if limits is not None else None
            native.replace_words(holder, old, new, size, start, limit)
            tx.did(native.replace_words, holder, new, old, size, start, limit)


def _write_object(tx: Transaction, holder: Any, inside: dict[str, Any], chosen: Mapping) -> None:
    _write_dict(tx, inside, chosen)
    _write_words(tx, holder, chosen)


def _write_dict(tx: Transaction, holder: dict[Any, Any], chosen: Mapping) -> None:
    if not any(id(key) in chosen for key in holder):
        for key, value in list(holder.items()):
            if id(value) in chosen:
                dict.__setitem__(holder, key, chosen[id(value)][1])
                tx.did(dict.__setitem__, holder, key, value)
        return
    before = list(holder.items())
    after: list[tuple[Any, Any]] = []
    seen: set[int] = set()
    for key, value in before:
        k = chosen[id(key)][1] if id(key) in chosen else key
        if id(k) not in seen:
            seen.add(id(k))
            after.append((k, chosen[id(value)][1] if id(value) in chosen else value))
    _refill(holder, after)
    tx.did(_refill, holder, before)


def _refill(holder: dict[Any, Any], items: list[tuple[Any, Any]]) -> None:
    dict.clear(holder)
    for key, value in items:
        dict.__setitem__(holder, key, value)


def _write_list(tx: Transaction, holder: list[Any], chosen: Mapping) -> None:
    before = list(holder)
    present = set(map(id, before))
    after: list[Any] = []
    for value in before:
        if id(value) in chosen:
            put = chosen[id(value)][1]
            if id(put) not in present:  # else the earlier entry stands for it
                after.append(put)
        else:
            after.append(value)
    list.__setitem__(holder, slice(None), after)
    tx.did(list.__setitem__, holder, slice(None), before)


def _write_set(tx: Transaction, holder: set[Any], chosen: Mapping) -> None:
    before = list(holder)
    set.clear(holder)
    set.update(holder, [chosen[id(v)][1] if id(v) in chosen else v for v in before])
    tx.did(_reset, holder, before)


def _write_frozenset(tx: Transaction, holder: frozenset[Any], chosen: Mapping) -> None:
    before = list(holder)
    native.refill_frozenset(holder, [chosen[id(v)][1] if id(v) in chosen else v for v in before])
    tx.did_keys(native.refill_frozenset, holder, before)


def _reset(holder: set[Any], items: list[Any]) -> None:
    set.clear(holder)
    set.update(holder, items)


def _write_deque(tx: Transaction, holder: collections.deque[Any], chosen: Mapping) -> None:
    for i, value in enumerate(list(holder)):
        if id(value) in chosen:
            collections.deque.__setitem__(holder, i, chosen[id(value)][1])
            tx.did(collections.deque.__setitem__, holder, i, value)


def _write_class(tx: Transaction, holder: type, chosen: Mapping) -> None:
    for name, value in list(vars(holder).items()):
        if id(value) in chosen:
            type.__setattr__(holder, name, chosen[id(value)][1])
            tx.did(type.__setattr__, holder, name, value)


def _write_frame(tx: Transaction, frame: types.FrameType, names: list[str], chosen: Mapping) -> None:
    local = frame.f_locals
    store = ctypes.pythonapi.PyFrame_LocalsToFast
    for name in names:
        if name in local and id(local[name]) in chosen:
            local[name] = chosen[id(local[name])][1]
    store(ctypes.py_object(frame), ctypes.c_int(0))
    local.clear()
    back = {id(new): (new, old) for old, new in chosen.values()}
    tx.did(_write_frame_back, frame, names, back)


def _write_frame_back(frame: types.FrameType, names: list[str], chosen: Mapping) -> None:
    _write_frame(Transaction(), frame, names, chosen)
