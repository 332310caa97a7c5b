"""Another memory layout: a new class takes over, with its instances and with everybody who refers to either.

Instances whose memory can serve the new class change their type. The others are made again and take the place of the
old ones at every reference; one that cannot be reached everywhere stays whole as it is, runs the new bodies, and
still is an instance of the new class.
"""

from __future__ import annotations

import collections
import functools
import itertools
import types
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import functions, heap, native, unify
from .functions import FunctionType
from .kinds import exactly, isa, of_types
from .report import Straggler
from .transaction import MISSING

if TYPE_CHECKING:
    from .scopes import Edit, Scope

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
    mapping: heap.Mapping = {}
    moved: list[tuple[Any, Any]] = []
    stay: list[Any] = []
    things = _remake_all(edit, classes, mapping, moved, stay)
    kinds = None if any(issubclass(cls, type) for cls in classes) else classes
    swap = heap.Swap(edit.tx, mapping, edit.scan, all_or_none=True, kinds=kinds)
    if mapping:
        swap.run(own_ids(edit), "references to instances that were made again", things)
    stay += swap.left
    _settle_copies(edit, classes, mapping, swap.mapping)
    moved += swap.mapping.values()
    edit.moved_classes[:] = classes.items()
    del classes
    pairs: heap.Mapping = {id(cls): (cls, new) for cls, new in edit.moved_classes}
    again = heap.Swap(edit.tx, pairs, edit.scan, all_or_none=False)
    again.run(own_ids(edit), "references to the class", passed_over=[cls for cls, _ in edit.moved_classes])
    for cls, new in edit.moved_classes:
        _lend(edit, cls, new)
    return len(moved), [_left(o) for o in stay], moved


def _remake_all(
    edit: Edit,
    classes: dict[type, type],
    mapping: heap.Mapping,
    moved: list[tuple[Any, Any]],
    stay: list[Any],
) -> list[Any]:
    """Retype the instances of the classes, or make them again; returns all that may refer to one of those.

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
    for cls, olds in groups.items():
        new = classes[cls]
        if not olds:
            continue
        if native.layout(cls) == native.layout(new):
            native.set_types(olds, cls, new)
            edit.tx.did(native.set_types, list(olds), new, cls)
            moved += zip(olds, olds, strict=True)
        else:
            stay += _remake_class(olds, cls, new, mapping, things)
    for olds in (instances, *groups.values()):
        olds.clear()  # they are among the things, and no reference of anybody's
    return things


def _remake_class(olds: list[Any], cls: type, new: type, mapping: heap.Mapping, things: list[Any]) -> list[Any]:
    """Make the instances of one class again; returns those whose kind cannot be, adds the others and their parts."""
    members, new_members = _members(cls), _members(new)
    solids = native.layout(cls)[0], native.layout(new)[0]
    made = _copies(olds, cls, new) if solids == (object, object) else None
    if made is not None:
        news, dicts = made
        mapping.update(zip(map(id, olds), zip(olds, news, strict=True), strict=True))
        things += news
        things += dicts
        return []
    stay = []
    while olds:
        old = olds.pop()
        copy = remake(old, new, state(old, members), new_members, solids)
        if copy is None:
            stay.append(old)
        else:
            mapping[id(old)] = (old, copy)
            things.append(copy)
            if (inside := functions._attributes(copy)) is not None:
                things.append(inside)
        del old
    return stay


def _copies(olds: list[Any], cls: type, new: type) -> tuple[list[Any], list[Any]] | None:
    """(copies, their dicts) of plain instances; None where one by one must be looked at: an empty slot, say."""
    members, new_members = _members(cls), _members(new)
    dicts: list[Any] = []
    try:
        news = list(map(object.__new__, itertools.repeat(new, len(olds))))
        for name, member in members.items():
            if name in new_members:
                _run(map(new_members[name].__set__, news, map(member.__get__, olds)))
            elif new.__dictoffset__:
                return None
        if new.__dictoffset__ and cls.__dictoffset__:
            before = _dicts(olds)
            if not all(map(new_members.keys().isdisjoint, before)):
                return None
            dicts = _dicts(news)
            _run(map(dict.update, dicts, before))
        elif cls.__dictoffset__:
            return None
    except (TypeError, AttributeError):
        return None
    return news, dicts


def _run(calls: Iterable[Any]) -> None:
    collections.deque(calls, maxlen=0)


def _dicts(things: list[Any]) -> list[dict[str, Any]]:
    """The `__dict__` of each."""
    found = list(map(object.__getattribute__, things, itertools.repeat("__dict__")))
    if set(map(type, found)) - {dict}:
        raise TypeError("a class calls something of its own __dict__")
    return found


def _settle_copies(edit: Edit, classes: dict[type, type], mapping: heap.Mapping, chosen: heap.Mapping) -> None:
    """Weak references go with those that moved; nobody's `__del__` runs for what is not really gone."""
    dying = {id(cls) for pair in classes.items() for cls in pair if getattr(cls, "__del__", None) is not None}
    if any(cls.__weakrefoffset__ > 0 and new.__weakrefoffset__ > 0 for cls, new in classes.items()):
        for old, new in chosen.values():
            if weakref.getweakrefcount(old):
                _move_weak_references(edit, old, new)
    if not dying:
        return
    for key, (old, new) in mapping.items():
        if id(type(old)) not in dying and id(type(new)) not in dying:
            continue
        if key in chosen:
            edit.tx.on_commit(functools.partial(native.mark_finalized, old))
            edit.tx.did(native.mark_finalized, new)
        else:
            native.mark_finalized(new)  # it never came to be


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
            ids |= {
                id(part) for part in entry if isa(part, (list, tuple)) and book in (tx._undo, tx._staged, tx._inverse)
            }
    for call in tx._finish:
        ids |= {id(call), *(map(id, (call.args, *call.args)) if isa(call, functools.partial) else ())}
    ids |= {id(copy) for _, copy in (*tx._spaces, *tx._containers)}
    ids |= {id(held) for held in tx._held if exactly(held, dict, list, tuple, set)}
    ids |= {id(pair) for pair in edit.changed.values()}
    return ids


Members = dict[str, types.MemberDescriptorType]


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
    try:
        if solid is object or (solid not in type(old).__mro__ and not issubclass(solid, BaseException)):
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
    if solid is object and source is not object:
        return None  # what the built-in base held would be lost
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
                for cell in functions.class_cells(function):
                    if cell.cell_contents is sub:
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


def _move_weak_references(edit: Edit, old: Any, new: Any) -> None:
    if type(old).__weakrefoffset__ > 0 and type(new).__weakrefoffset__ > 0 and weakref.getweakrefcount(old):
        native.move_weak_references(old, new)
        edit.tx.did(native.move_weak_references, new, old)


def _left(thing: Any) -> Straggler:
    cls = type(thing)
    return Straggler("instance", cls.__qualname__, f"at {id(thing):#x}", getattr(cls, "__module__", ""), 0)
