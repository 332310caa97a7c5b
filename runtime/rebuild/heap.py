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
import itertools
import operator
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import frames, functions, native
from .kinds import attribute, exactly, isa, not_of_types, of_types
from .transaction import Transaction

_CHUNK = 512
Mapping = dict[int, tuple[Any, Any]]  # identity of the old -> (old, new)


def naming(ids: set[int]) -> Callable[[list[Any]], bool]:
    """Is something of these identities in a list?"""
    return lambda inside: not ids.isdisjoint(map(id, inside))


def holders(wanted: Callable[[list[Any]], bool], things: list[Any], skip: set[int]) -> Iterator[tuple[Any, list[Any]]]:
    """(holder, its referents) for all that refer to something wanted, as one call says of many referents."""
    stack = [(start, min(start + _CHUNK, len(things))) for start in range(0, len(things), _CHUNK)]
    while stack:
        low, high = stack.pop()
        inside = gc.get_referents(*things[low:high])
        if not wanted(inside):
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
    for holder in hashed_by(list(changed), things, own):
        changed.append(holder)
        if isa(holder, frozenset):
            fill_again(tx, holder, native.refill_frozenset, list(holder))
    ids = set(map(id, changed))
    for holder, _ in holders(naming(ids), things, own):
        if isa(holder, dict) and not ids.isdisjoint(map(id, holder)):
            fill_again(tx, holder, refill, list(dict.items(holder)))
        elif isa(holder, set) and not ids.isdisjoint(map(id, holder)):
            fill_again(tx, holder, reset, list(holder))


def hashed_by(changed: list[Any], things: list[Any], own: set[int]) -> Iterator[Any]:
    """What holds these and hashes by what it holds, and may be a key itself: tuples, frozensets, instances that say how
    they hash. From the inside out.
    """
    kinds = {id(kind): kind for kind in map(type, things)}.values()
    mortal = of_types(things, [kind for kind in kinds if isa(attribute(kind, "__hash__"), types.FunctionType)])
    latest, seen = changed, set(map(id, changed))
    own |= {id(changed), id(mortal)}
    while latest:
        around = [holder for holder, _ in holders(naming(set(map(id, latest))), things, own)]
        inside = {*map(id, latest), *(id(each) for each in around if type(each) is dict)}  # it may be of attributes
        around = [each for each in around if type(each) is tuple or isa(each, frozenset)]
        around += [holder for holder, _ in holders(naming(inside), mortal, own)]
        latest = [each for each in around if id(each) not in seen]
        own.add(id(latest))
        seen.update(map(id, latest))
        yield from latest


def fill_again(tx: Transaction, holder: Any, fill: Callable[[Any, Any], None], content: list[Any]) -> None:
    tx.did_keys(_again, fill, holder, content)
    fill(holder, content)


def _again(fill: Callable[[Any, Any], None], holder: Any, content: list[Any]) -> None:
    """File what a container holds by the hashes of now; what it held before, if filling it had stopped half way."""
    now = list(dict.items(holder)) if isa(holder, dict) else list(holder)
    fill(holder, now if len(now) == len(content) else content)


class Swap:
    """Collects what has to be written, and writes it where every reference was found.

    Args:
        kinds: the classes of all that is to be replaced, where those have few other instances: quicker to ask for.
    """

    def __init__(
        self,
        tx: Transaction,
        mapping: Mapping,
        scan: functions.Scan,
        *,
        all_or_none: bool,
        kinds: Iterable[type] | None = None,
    ) -> None:
        self.tx, self.mapping, self.scan, self.strict = tx, mapping, scan, all_or_none
        self.kinds = None if kinds is None else set(map(id, kinds))
        self.found: list[list[int]] = []  # the identity of what each reference names that was found
        self.writers: list[tuple[list[int], Callable[[Mapping], None]]] = []
        self.inner = False  # does one of the old ones refer to another?
        self.left: list[Any] = []
        self.tuples: list[Callable[[], Any]] = []

    def run(
        self,
        books: set[int],
        why: str,
        things: list[Any] | None = None,
        copies: list[Any] | None = None,
        passed_over: Iterable[type] = (),
    ) -> None:
        """Look, decide, write. What our own books refer to counts, and stays.

        Args:
            things: where to look, instead of everywhere; emptied, for it holds what is to be counted.
            copies: what refers to the same as those to be replaced: looked at when one of these refers to another.
            passed_over: classes whose instances are not looked at, all of which refer to them.
        """
        types_among = [] if self.kinds is not None else [pair for pair in self.mapping.values() if isa(pair[0], type)]
        own = {part for old, _ in types_among for part in _of_class(old)}
        own |= {part for old, new in types_among if not isa(new, type) for part in _lineage(old)}
        del types_among
        own |= {id(self.mapping), id(self.writers), id(self.__dict__)}
        began = time.perf_counter()
        if things is None:
            own |= set(map(id, self.mapping.values()))
            few = not self.strict and len(self.mapping) <= 4
            found = self.scan.referrers(why, self._olds()) if few else self.scan.heap(why)
            # without them, so that a chunk with a hit is worth a look
            things = [thing for thing in not_of_types(found, passed_over) if id(thing) not in own]
            del found
        own.add(id(things))
        self._look(things, own, books)
        if copies and self.inner:
            self._look(copies, own, books)
        things.clear()
        self._frames()
        self._decide()
        if tuples := [t for t in self.tuples if t() is not None]:
            self._hash_again([t() for t in tuples], own | books)
        self.scan.seconds += time.perf_counter() - began

    def _look(self, things: list[Any], own: set[int], books: set[int]) -> None:
        for holder, referents in holders(self._wanted(), things, own):
            if id(holder) in books:
                self.found.append(self._hits(referents))
            elif not isa(holder, types.FrameType):
                self._consider(holder, referents)
            del holder, referents

    def _olds(self) -> Iterator[Any]:
        return map(operator.itemgetter(0), self.mapping.values())

    def _wanted(self) -> Callable[[list[Any]], bool]:
        kinds = self.kinds
        if kinds is None:
            return naming(set(self.mapping))
        return lambda inside: not kinds.isdisjoint(map(id, map(type, inside)))

    def _hits(self, referents: list[Any]) -> list[int]:
        ids = map(id, referents)
        if self.kinds is None:
            return list(filter(self.mapping.__contains__, ids))
        return list(itertools.compress(ids, map(self.kinds.__contains__, map(id, map(type, referents)))))

    def _consider(self, holder: Any, referents: list[Any]) -> None:
        hits = self._hits(referents)
        self.inner = self.inner or id(holder) in self.mapping
        write = _writer(self.tx, holder, hits, self.mapping, fresh=self.strict and self.kinds is not None)
        if write is not None:
            if type(holder) is tuple or isa(holder, frozenset):
                self.tuples.append(lambda: holder)
            self.found.append(hits)
            self.writers.append((hits, write))
            if id(holder) in self.mapping:
                self.found.append([id(holder)])  # the writer's own reference

    def write_in(self, holder: Any) -> None:
        """Write inside one more object, after all has been decided."""
        hits = self._hits(gc.get_referents(holder))
        write = _writer(self.tx, holder, hits, self.mapping, fresh=False) if hits else None
        if write is not None:
            write(self.mapping)

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
        hits = [id(local[n]) for n in plain if n in local and id(local[n]) in self.mapping]
        if hits:
            self.found.append(hits)
            self.writers.append((hits, lambda chosen: _write_frame(self.tx, frame, plain, chosen)))
            for name in plain:  # the snapshot that asking for f_locals made counts as a reference of its own
                if name in local and id(local[name]) in self.mapping:
                    del local[name]

    def _decide(self) -> None:
        chosen = self.mapping
        if self.strict and not self._is_all_found():
            usual, found = self._usual(), collections.Counter(itertools.chain.from_iterable(self.found))
            others = map(operator.sub, _counts(chosen), itertools.repeat(usual))
            missed = itertools.compress(chosen, map(operator.ne, others, map(found.__getitem__, chosen)))
            late = list(missed)
            chosen = dict(chosen)
            self.left += [chosen.pop(key)[0] for key in late]
        for keys, write in self.writers:
            if any(map(chosen.__contains__, keys)):
                write(chosen)
        self.mapping = chosen

    def _is_all_found(self) -> bool:
        """None has fewer references than were found: so if the sums are equal, all are."""
        return sum(_counts(self.mapping)) - self._usual() * len(self.mapping) == sum(map(len, self.found))

    def _hash_again(self, changed: list[Any], own: set[int]) -> None:
        """Tuples hash by what they hold: dicts and sets that have the changed ones as keys are filled again."""
        own.add(id(self.tuples))
        file_again(self.tx, changed, self.scan.heap("tuples that are keys"), own)

    def _usual(self) -> int:
        """How many references something in the mapping has that nobody else holds."""

        class Probe: ...

        return next(_counts({0: (Probe(), None)}))


def _counts(mapping: Mapping) -> Iterator[int]:
    """How many references there are to each of the old ones."""
    return map(sys.getrefcount, map(operator.itemgetter(0), mapping.values()))


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
    tx: Transaction, holder: Any, hits: list[int], mapping: Mapping, *, fresh: bool
) -> Callable[[Mapping], None] | None:
    """How to replace references inside one object; None where it cannot be written. Fresh: nobody holds a new one yet."""
    kind = type(holder)
    if isa(holder, dict):
        return lambda chosen: _write_dict(tx, holder, chosen)
    if isa(holder, list):
        return lambda chosen: _write_list(tx, holder, chosen, fresh=fresh)
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
    if not _may_hold(holder, [mapping[key] for key in set(hits) if key in mapping]):
        return None
    size = _size(holder)
    wanted = set(hits)
    named = [word for word in native.words(holder, size)[2:] if word in wanted]
    if exactly(holder, *_SUSPENDED):  # behind what is on its stack lies what was there before
        limits = collections.Counter(hits)
        if limits - collections.Counter(named):
            return None
        return lambda chosen: _write_words(tx, holder, chosen, limits)
    if sorted(hits) != sorted(named):
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
    refill(holder, after)
    tx.did(refill, holder, before)


def refill(holder: dict[Any, Any], items: list[tuple[Any, Any]]) -> None:
    dict.clear(holder)
    for key, value in items:
        dict.__setitem__(holder, key, value)


def _write_list(tx: Transaction, holder: list[Any], chosen: Mapping, *, fresh: bool) -> None:
    before = list(holder)
    pairs = map(chosen.get, map(id, before))
    after = [value if pair is None else pair[1] for value, pair in zip(before, pairs, strict=True)]
    if not fresh:  # one that is there already stands for the one that would be put
        present = set(map(id, before))
        after = [now for was, now in zip(before, after, strict=True) if now is was or id(now) not in present]
    list.__setitem__(holder, slice(None), after)
    tx.did(list.__setitem__, holder, slice(None), before)


def _write_set(tx: Transaction, holder: set[Any], chosen: Mapping) -> None:
    before = list(holder)
    set.clear(holder)
    set.update(holder, [chosen[id(v)][1] if id(v) in chosen else v for v in before])
    tx.did(reset, holder, before)


def _write_frozenset(tx: Transaction, holder: frozenset[Any], chosen: Mapping) -> None:
    before = list(holder)
    native.refill_frozenset(holder, [chosen[id(v)][1] if id(v) in chosen else v for v in before])
    tx.did(native.refill_frozenset, holder, before)
    tx.did_keys(_again, native.refill_frozenset, holder, before)


def reset(holder: set[Any], items: list[Any]) -> None:
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
