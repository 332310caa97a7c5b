"""Another memory layout: a new class takes over, with its instances and with everybody who refers to either.

Instances whose memory can serve the new class change their type. The others are made again and take the place of the
old ones at every reference; one that cannot be reached everywhere stays whole as it is, runs the new bodies, and
still is an instance of the new class.
"""

from __future__ import annotations

import collections
import enum
import functools
import itertools
import operator
import sys
import types
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import functions, heap, native, unify
from .functions import FunctionType
from .kinds import exactly, isa, of_types
from .report import Straggler
from .transaction import MISSING

if TYPE_CHECKING:
    from .scopes import Scope
    from .shared import Edit

Members = dict[str, types.MemberDescriptorType]

_SKIPPED = {
    "__dict__",
    "__weakref__",
    "__module__",
    "__qualname__",
    "_abc_impl",
    "__slots__",
    "__slotnames__",
    "__annotations__",
    "__doc__",
}


def take_over(scope: Scope, cls: type, made: type, kept: set[str]) -> type:
    """Prepare a class built aside to be the class from now on; references follow at the end of the edit."""
    known = scope.plan.record.members.get(cls.__qualname__, {})
    old, new = dict(vars(cls)), dict(vars(made))
    for name, live in old.items():
        if name in _SKIPPED or isa(live, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            continue
        value = new.get(name, MISSING)
        if value is MISSING:
            if name not in known:  # set by the running program
                type.__setattr__(made, name, live)
        elif isa(live, (FunctionType, staticmethod, classmethod, property)) and live is not value:
            found = next(functions.reach(live, 1), None)
            if found is not None and found.__module__ == cls.__module__:
                type.__setattr__(made, name, unify.join(scope, live, value))
        elif name in kept and not isa(live, type) and not isa(value, types.MemberDescriptorType):
            type.__setattr__(made, name, live)
    scope.edit.moved_classes.append((cls, made))
    return made


def finish(edit: Edit) -> tuple[int, list[Straggler], list[tuple[Any, Any]]]:
    """Move subclasses, instances and references to the classes that took over.

    Returns:
        (how many instances moved, those that stayed, (old, new) of those that moved)
    """
    classes = dict(edit.moved_classes)
    for cls in list(classes):
        _move_subclasses(edit, cls, classes)
    for cls in list(classes):  # one that was built aside twice
        new = classes[cls]
        while new in classes:
            new = classes[new]
        classes[cls] = new
    mapping: heap.Mapping = {}
    moved: list[tuple[Any, Any]] = []
    stay: list[Any] = []
    things, copies, batches = _remake_all(edit, classes, mapping, moved, stay)
    kinds = None if any(issubclass(c, type) or isa(c, enum.EnumMeta) for c in classes) else classes
    swap = heap.Swap(edit.tx, mapping, edit.scan, all_or_none=True, kinds=kinds)
    if mapping:
        linked = _link(batches, mapping, swap.found, things)
        swap.run(own_ids(edit), "references to instances that were made again", things, copies)
        if linked and swap.left:
            _unlink(batches, mapping, swap)
    del copies, batches
    things.clear()
    stay += swap.left
    hashed = _settle_copies(edit, classes, mapping, swap.mapping)
    moved += swap.mapping.values()
    edit.moved_classes[:] = classes.items()
    del classes
    pairs: heap.Mapping = {id(cls): (cls, new) for cls, new in edit.moved_classes}
    again = heap.Swap(edit.tx, pairs, edit.scan, all_or_none=False)
    again.run(own_ids(edit), "references to the class", passed_over=[cls for cls, _ in edit.moved_classes])
    for cls, new in edit.moved_classes:
        _lend(edit, cls, new)
        hashed += _move_class(edit, cls, new)
    file_again(edit, hashed)
    return len(moved), [left(edit, o) for o in stay], moved


def _remake_all(
    edit: Edit,
    classes: dict[type, type],
    mapping: heap.Mapping,
    moved: list[tuple[Any, Any]],
    stay: list[Any],
) -> tuple[list[Any], list[Any], list[_Batch]]:
    """Retype the instances of the classes, or make them again; returns all that may refer to one of those, those made
    one by one that refer to no more than the old ones do, and those made together.

    Each step is one call for all instances of a class: a million of them take no more than a scan does each.
    """
    things = edit.scan.heap(f"the layout of {next(iter(classes)).__qualname__} changed")
    instances = of_types(things, classes)
    groups = {cls: instances if len(classes) == 1 else of_types(instances, [cls]) for cls in classes}
    if any(cls.__dictoffset__ for cls in classes):
        things.clear()
        for olds in groups.values():  # from here on attributes are in dicts, which are objects of their own
            _run(map(functions._attributes, olds))
        things = edit.scan.heap("attributes")
    copies: list[Any] = []
    batches: list[_Batch] = []
    # Their fields may be asked for as soon as a copy is a key somewhere.
    firsts = {cls: made for cls, made in edit.field_makers if getattr(cls, "__hash__", None) is not object.__hash__}
    for cls, olds in groups.items():
        new = classes[cls]
        if not olds:
            continue
        if native.layout(cls) == native.layout(new):
            native.set_types(olds, cls, new)
            edit.tx.did(native.set_types, list(olds), new, cls)
            moved += zip(olds, olds, strict=True)
        else:
            batch = None if firsts.get(new) else _copy_all(olds, cls, new, set(map(id, classes)))
            if batch is not None:
                mapping.update(zip(map(id, olds), zip(olds, batch.news, strict=True), strict=True))
                batches.append(batch)
                continue
            made = things if cls.__dictoffset__ else copies
            stay += _remake_class(olds, cls, new, mapping, made, firsts.get(new) or {})
    for olds in (instances, *groups.values()):
        olds.clear()  # they are among the things, and no reference of anybody's
    return things, copies, batches


def _remake_class(
    olds: list[Any],
    cls: type,
    new: type,
    mapping: heap.Mapping,
    made: list[Any],
    firsts: dict[str, Callable[[], Any]],
) -> list[Any]:
    """Make the instances of one class again; returns those whose kind cannot be, adds the others and their parts.

    Args:
        firsts: fields that they have from the beginning, by what makes them.
    """
    members, new_members = _members(cls), _members(new)
    solids = native.layout(cls)[0], native.layout(new)[0]
    stay = []
    while olds:
        old = olds.pop()
        if isa(new, enum.EnumMeta):
            copy = vars(new)["_member_map_"].get(vars(old).get("_name_"))
        else:
            copy = remake(old, new, state(old, members), new_members, solids)
        if copy is None:
            stay.append(old)
            continue
        mapping[id(old)] = (old, copy)
        if isa(new, enum.EnumMeta):
            continue  # it was there before
        present = state(copy, new_members) if firsts else {}
        fill(copy, {n: make() for n, make in firsts.items() if n not in present}, new_members)
        made.append(copy)
        if (inside := functions._attributes(copy)) is not None:
            made.append(inside)
    return stay


@dataclass
class _Batch:
    """Copies of all plain instances of a class, made together.

    Only identities are kept of the old ones: each reference to them is counted.
    """

    news: list[Any]
    members: Members  # slots that may hold something
    dicts: list[dict[str, Any]] = field(default_factory=list)  # of the copies
    held: array[int] = field(default_factory=lambda: array("Q"))  # what the old ones refer to by name
    olds: array[int] = field(default_factory=lambda: array("Q"))  # and their dicts; where something is held

    def note(self, values: list[Any], kinds: set[int]) -> None:
        """Know what the old ones refer to, if anything of these kinds is among it."""
        if not kinds.isdisjoint(map(id, map(type, values))):
            self.held.extend(map(id, values))


def _copy_all(olds: list[Any], cls: type, new: type, kinds: set[int]) -> _Batch | None:
    """Copies of the plain instances of a class; None where one by one must be looked at.

    Args:
        kinds: the identities of all classes whose instances move.
    """
    if (native.layout(cls)[0], native.layout(new)[0]) != (object, object) or isa(new, enum.EnumMeta):
        return None
    members, new_members = _members(cls), _members(new)
    if getattr(new, "__del__", None) is not None or _hides_slots(cls, members):
        return None  # nothing half made may come to its end, and each reference of the old ones must be known
    try:
        filled = (
            new_members if cls.__dictoffset__ else {name: new_members[name] for name in members if name in new_members}
        )
        batch = _Batch(list(map(object.__new__, itertools.repeat(new, len(olds)))), filled)
        batch.dicts = _dicts(batch.news) if new.__dictoffset__ else []
        before = _dicts(olds) if cls.__dictoffset__ else []
    except (TypeError, AttributeError):
        return None
    if set(map(id, map(type, itertools.chain.from_iterable(before)))) - {id(str)}:
        return None
    for name, member in members.items():
        put: Callable[[Any, Any], None] | None = None
        into: list[Any] = batch.news
        if name in new_members:
            put = new_members[name].__set__
        elif batch.dicts:
            put, into = functools.partial(_put, name), batch.dicts
        batch.note(_copy_slot(member.__get__, olds, put, into), kinds)
    if batch.dicts and all(map(new_members.keys().isdisjoint, before)):
        _run(map(dict.update, batch.dicts, before))
    else:
        for values, made in zip(before, batch.news, strict=False):  # no values where there was no dict
            fill(made, values, new_members)
    if before:
        batch.note(list(itertools.chain.from_iterable(map(dict.values, before))), kinds)
    if batch.held:
        batch.olds.extend(map(id, itertools.chain(olds, before)))
    return batch


def _hides_slots(cls: type, members: Members) -> bool:
    """Has a class a slot of the same name as one above it, which is then out of reach?"""
    slots = [m for each in cls.__mro__ for m in vars(each).values() if isa(m, types.MemberDescriptorType)]
    return len(slots) != len(members)


def _put(name: str, inside: dict[str, Any], value: object) -> None:
    inside[name] = value


def _copy_slot(
    get: Callable[[Any], Any], olds: list[Any], put: Callable[[Any, Any], None] | None, into: list[Any]
) -> list[Any]:
    """Copy what a slot holds in each of the old ones; returns that."""
    try:
        values = list(map(get, olds))
    except AttributeError:  # it is empty in one of them
        values, filled = [], []
        for old, each in zip(olds, into, strict=True):
            try:
                values.append(get(old))
            except AttributeError:
                continue
            filled.append(each)
        into = filled
    if put is not None:
        _run(map(put, into, values))
    return values


def _link(batches: list[_Batch], mapping: heap.Mapping, found: list[list[int]], things: list[Any]) -> bool:
    """Let copies refer to copies, where the old ones referred to each other; says whether any did.

    What the old ones referred to counts as found, and nobody has to look at them.
    """
    hits = list(filter(mapping.__contains__, itertools.chain.from_iterable(batch.held for batch in batches)))
    if not hits:
        return False
    found.append(hits)
    olds = set(itertools.chain.from_iterable(batch.olds for batch in batches))
    things[:] = itertools.compress(things, map(operator.not_, map(olds.__contains__, map(id, things))))
    for batch in batches:
        _replace(batch, mapping)
    return True


def _replace(batch: _Batch, mapping: heap.Mapping) -> None:
    """In the copies, put the second of each pair where the first is."""
    which, seconds = _seconds(itertools.chain.from_iterable(map(dict.values, batch.dicts)), mapping)
    owners = itertools.chain.from_iterable(map(itertools.repeat, batch.dicts, map(len, batch.dicts)))
    names = itertools.chain.from_iterable(batch.dicts)
    _run(map(dict.__setitem__, itertools.compress(owners, which), itertools.compress(names, which), seconds))
    for member in batch.members.values():
        filled = batch.news
        try:
            which, seconds = _seconds(map(member.__get__, filled), mapping)
        except AttributeError:  # it is empty in one of them
            filled = [made for made in filled if _is_filled(member, made)]
            which, seconds = _seconds(map(member.__get__, filled), mapping)
        _run(map(member.__set__, itertools.compress(filled, which), seconds))


def _seconds(values: Iterable[Any], mapping: heap.Mapping) -> tuple[list[bool], Iterator[Any]]:
    """(which of them are the first of a pair, the second of each of these pairs)"""
    ids = list(map(id, values))
    which = list(map(mapping.__contains__, ids))
    pairs = map(mapping.__getitem__, itertools.compress(ids, which))
    return which, map(operator.itemgetter(1), pairs)


def _is_filled(member: types.MemberDescriptorType, thing: Any) -> bool:
    try:
        member.__get__(thing)
    except AttributeError:
        return False
    return True


def _unlink(batches: list[_Batch], mapping: heap.Mapping, swap: heap.Swap) -> None:
    """Some of the old ones stay: they are what copies refer to, and refer to copies themselves."""
    pairs = [mapping[id(old)] for old in swap.left]
    back: heap.Mapping = {id(new): (new, old) for old, new in pairs}
    for batch in batches:
        _replace(batch, back)
    for old in swap.left:
        swap.write_in(old)
        if (inside := functions._attributes(old)) is not None:
            swap.write_in(inside)


def _run(calls: Iterable[Any]) -> None:
    collections.deque(calls, maxlen=0)


def _dicts(things: list[Any]) -> list[dict[str, Any]]:
    """The `__dict__` of each."""
    found = list(map(object.__getattribute__, things, itertools.repeat("__dict__")))
    if set(map(type, found)) - {dict}:
        raise TypeError("a class calls something of its own __dict__")
    return found


def _settle_copies(edit: Edit, classes: dict[type, type], mapping: heap.Mapping, chosen: heap.Mapping) -> list[Any]:
    """Weak references go with those that moved; nobody's `__del__` runs for what is not really gone.

    Returns:
        Weak references that hash otherwise now.
    """
    hashed: list[Any] = []
    dying = {id(cls) for pair in classes.items() for cls in pair if getattr(cls, "__del__", None) is not None}
    if any(cls.__weakrefoffset__ > 0 and new.__weakrefoffset__ > 0 for cls, new in classes.items()):
        for old, new in chosen.values():
            if weakref.getweakrefcount(old):
                hashed += _move_weak_references(edit, old, new)
    if not dying:
        return hashed
    for key, (old, new) in mapping.items():
        if id(type(old)) not in dying and id(type(new)) not in dying:
            continue
        if key in chosen:
            edit.tx.on_commit(functools.partial(native.mark_finalized, old))
            edit.tx.did(native.mark_finalized, new)
        else:
            native.mark_finalized(new)  # it never came to be
    return hashed


def own_ids(edit: Edit) -> set[int]:
    """Our own books, which must go on naming what was there before."""
    tx = edit.tx
    ids = {
        id(vars(edit)),
        id(vars(tx)),
        id(edit.swaps),
        id(edit.moved_classes),
        id(edit.touched),
        id(edit.noted),
        id(edit.made),
        id(edit.before),
        id(edit.field_makers),
        id(edit.changed),
    }
    ids |= {
        id(edit.rehash),
        id(tx._held),
        id(tx._undo),
        id(tx._finish),
        id(tx._spaces),
        id(tx._containers),
        id(tx._overlay),
        id(tx._staged),
        id(tx._inverse),
    }
    for book in (
        tx._undo,
        tx._staged,
        tx._inverse,
        edit.swaps,
        edit.moved_classes,
        edit.field_makers,
        tx._containers,
        tx._spaces,
    ):
        for entry in book:
            ids.add(id(entry))
            ids |= {  # after the call and the user's own object that it is for
                id(part)
                for part in entry[2:]
                if isa(part, (list, tuple)) and book in (tx._undo, tx._staged, tx._inverse)
            }
    for call in tx._finish:
        ids |= {id(call), *(map(id, (call.args, *call.args)) if isa(call, functools.partial) else ())}
    ids |= {id(copy) for _, copy in (*tx._spaces, *tx._containers)}
    ids |= {id(held) for held in tx._held if exactly(held, dict, list, tuple, set)}
    ids |= {id(pair) for pair in edit.changed.values()}
    # A module's globals are nobody's book, though a function that takes up other globals keeps them alive here.
    return ids - {id(vars(module)) for module in list(sys.modules.values()) if isa(module, types.ModuleType)}


def _members(cls: type) -> Members:
    """The slots of a class and those above it, by name."""
    found: Members = {}
    for each in cls.__mro__:
        if each.__flags__ & (1 << 9):
            for name, member in vars(each).items():
                if isa(member, types.MemberDescriptorType):
                    found.setdefault(name, member)
    return found


def state(thing: Any, members: Members | None = None) -> dict[str, Any]:
    """A shallow copy of all that an instance holds by name, slots included."""
    found: dict[str, Any] = {}
    for name, member in (_members(type(thing)) if members is None else members).items():
        try:
            found[name] = member.__get__(thing)
        except AttributeError:
            continue
    found.update(functions._attributes(thing) or {})
    return found


_EXTEND: dict[Any, Any] = {list: list.extend, set: set.update, dict: dict.update, bytearray: bytearray.extend}


def remake(old: Any, cls: type, values: dict[str, Any], members: Members, solids: tuple[Any, Any]) -> Any:
    """An instance of cls with the contents of another; None where its kind cannot be made again."""
    source, solid = solids
    if source is not solid and source is not object and (solid is object or not isa(old, solid)):
        return None  # what the built-in base held would be lost
    try:
        if solid is object or not isa(old, solid):
            new = solid.__new__(cls)
        elif solid in (int, float, str, bytes, tuple, frozenset, complex):
            new = solid.__new__(cls, _plain(old, solid))
        elif solid is bytearray or solid in (list, set, dict):
            new = solid.__new__(cls)
            _EXTEND[solid](new, old)
        elif solid is collections.deque:
            new = solid.__new__(cls)
            collections.deque.__init__(new, old, old.maxlen)
        elif issubclass(solid, BaseException):
            new = solid.__new__(cls, *old.args)
            for name in ("__cause__", "__context__", "__traceback__", "__suppress_context__"):
                setattr(new, name, getattr(old, name))
        else:
            return None
    except TypeError:
        return None
    fill(new, values, members)
    return new


def _plain(old: Any, solid: Any) -> Any:
    if solid is tuple:
        return tuple(tuple.__iter__(old))
    if solid is frozenset:
        return frozenset.copy(old)
    plain: dict[Any, Any] = {int: int.__int__, float: float.__float__, str: str.__str__, complex: complex.__pos__}
    return bytes.__getitem__(old, slice(None)) if solid is bytes else plain[solid](old)


def fill(new: Any, values: dict[str, Any], members: Members | None = None) -> None:
    """Put values into slots of their names, and the rest into the `__dict__` where there is one."""
    members = _members(type(new)) if members is None else members
    inside = functions._attributes(new)
    for name, value in values.items():
        if name in members:
            members[name].__set__(new, value)
        elif inside is not None:
            inside[name] = value


def _move_subclasses(edit: Edit, cls: type, classes: dict[type, type]) -> None:
    for sub in native.subclasses(cls):
        if sub in classes or sub in classes.values():
            continue
        bases = tuple(classes.get(b, b) for b in sub.__bases__)
        if native.layout(cls) == native.layout(classes[cls]):
            edit.tx.flush()
            old_bases, base = sub.__bases__, sub.__base__
            assert base is not None
            native.set_bases(sub, bases, classes.get(base, base))
            edit.tx.did(native.set_bases, sub, old_bases, base)
            continue
        body = {
            n: v
            for n, v in vars(sub).items()
            if n not in {"__dict__", "__weakref__"} and not isa(v, types.MemberDescriptorType)
        }
        made = _quietly(type(sub), sub.__name__, bases, body)
        for value in body.values():
            for function in functions.reach(value, 2):
                for cell in functions.class_cells(function, sub):
                    functions.set_cell(edit.tx, cell, made)
        classes[sub] = made
        edit.remember(sub)
        edit.tx.flush()
        _move_subclasses(edit, sub, classes)


def _hear_nothing(_cls: type[Any], /, **_: Any) -> None:
    """In the place of an `__init_subclass__` that heard of the class when it was made."""


def _quietly(meta: type, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
    """A class like another, without telling `__init_subclass__` again."""
    first = next((b for b in bases if b.__flags__ & (1 << 9)), None)
    own = vars(first).get("__init_subclass__", MISSING) if first is not None else MISSING
    if first is not None:
        type.__setattr__(first, "__init_subclass__", classmethod(_hear_nothing))
    try:
        made: type = type.__new__(meta, name, bases, body)
        return made
    finally:
        if first is not None:
            if own is MISSING:
                type.__delattr__(first, "__init_subclass__")
            else:
                type.__setattr__(first, "__init_subclass__", own)


def _lend(edit: Edit, cls: type, new: type) -> None:
    """What stays on the old class runs the new bodies, and says that it is of the new one."""
    for name, value in vars(new).items():
        if name in _SKIPPED or isa(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
            continue
        if isa(vars(cls).get(name), types.MemberDescriptorType):
            continue
        edit.tx.set_attr(cls, name, value)
    edit.tx.set_attr(cls, "__class__", property(lambda _: new))
    edit.tx.flush()


def _move_weak_references(edit: Edit, old: Any, new: Any) -> list[Any]:
    if type(old).__weakrefoffset__ <= 0 or type(new).__weakrefoffset__ <= 0 or not weakref.getweakrefcount(old):
        return []
    references = weakref.getweakrefs(old)
    hashed = native.move_weak_references(references, new)
    edit.tx.did(native.move_weak_references, references, old)
    return hashed


def _move_class(edit: Edit, cls: type, new: type) -> list[Any]:
    """Weak references to a class go to the one that took over; its bases go on knowing both."""
    lists = [each for base in cls.__bases__ if (each := native.subclass_book(base, cls)) is not None]
    hashed = _move_weak_references(edit, cls, new)
    for book in lists:
        edit.tx.did(dict.__setitem__, book, id(cls), book[id(cls)])
        book[id(cls)] = weakref.ref(cls)
    return hashed


def file_again(edit: Edit, hashed: list[Any]) -> None:
    """Weak references that hash otherwise now are keys of weak dicts and sets."""
    if hashed:
        heap.file_again(edit.tx, hashed, edit.scan.heap("weak references that are keys"), own_ids(edit))


def left(edit: Edit, thing: Any) -> Straggler:
    """An instance that stays as it is, with the place of its class."""
    cls = type(thing)
    return Straggler("instance", cls.__qualname__, f"at {id(thing):#x}", *edit.place(cls))
