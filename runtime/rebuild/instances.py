"""Bringing live instances to the schema of their class.

A class says its schema with `__schema__ = 3` and the way there with `__upgrade__(self, schema, state)`; both are read
from each class's own namespace. Once per instance, base first. Fields that appear in a dataclass or attrs class with a
default are filled in without a hook.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import functools
import gc
import time
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import layout, native
from .errors import RebuildError
from .kinds import isa, of_types

if TYPE_CHECKING:
    from .guards import Waiting
    from .plan import ModulePlan
    from .shared import Edit
    from .transaction import Transaction


class TooSlow(RebuildError):
    """The upgrades did not fit the time that they were given: they are to be rehearsed, and made in slices."""


Hook = Callable[[Any, int, dict[str, Any]], None]


def schema_of(namespace: Any) -> int:
    """A class's own schema: 0 where it says none, or says something that is not ours."""
    number = namespace.get("__schema__", 0)
    return number if type(number) is int else 0


def hook_of(cls: type) -> Hook | None:
    found = vars(cls).get("__upgrade__")
    if type(vars(cls).get("__schema__")) is not int or not isa(found, types.FunctionType):
        return None
    return found


@dataclasses.dataclass(eq=False)
class Upgrades:
    """What instances of which classes have to go through."""

    raised: dict[type, tuple[int, Hook]] = dataclasses.field(default_factory=dict)
    lowered: dict[type, tuple[int, Hook]] = dataclasses.field(default_factory=dict)
    fills: dict[type, dict[str, Callable[[], Any]]] = dataclasses.field(default_factory=dict)
    joined: dict[type, set[type]] = dataclasses.field(default_factory=dict)  # class -> bases new in its MRO

    def __bool__(self) -> bool:
        return bool(self.raised or self.lowered or self.fills or self.joined)

    def renewed(self) -> Upgrades:
        """The same way with the hooks that the classes have by now."""
        raised = {c: (was, hook_of(c) or hook) for c, (was, hook) in self.raised.items()}
        return Upgrades(raised, dict(self.lowered), dict(self.fills), dict(self.joined))

    def classes(self) -> set[type]:
        found: set[type] = set()
        for cls in {*self.raised, *self.lowered, *self.fills, *self.joined}:
            found |= {cls, *_below(cls)}
        return found


def _below(cls: type) -> Iterator[type]:
    for each in native.subclasses(cls):
        yield each
        yield from _below(each)


def plan(edit: Edit) -> Upgrades:
    """Compare each edited class with what it was.

    Raises:
        RebuildError: a schema was lowered and the class being left has no `__downgrade__`.
    """
    made = Upgrades()
    for cls, old in edit.before.items():
        was, back, mro = old.schema, old.back, old.mro
        now = schema_of(vars(cls))
        if now > was and (hook := hook_of(cls)) is not None:
            made.raised[cls] = was, hook
        elif now < was:
            if back is None:
                raise RebuildError(
                    f"{cls.__module__}.{cls.__qualname__} goes from schema {was} to {now} and has no __downgrade__",
                    stage="upgrade",
                )
            made.lowered[cls] = now, back
        new_bases = {b for b in cls.__mro__ if b not in mro and b is not cls and hook_of(b) and schema_of(vars(b))}
        new_bases -= {
            b for b in new_bases if any(m.__qualname__ == b.__qualname__ and m.__module__ == b.__module__ for m in mro)
        }
        if new_bases:
            made.joined[cls] = new_bases
    for cls, fields in _new_fields(edit):
        made.fills[cls] = fields
    return made


def _new_fields(edit: Edit) -> Iterator[tuple[type, dict[str, Callable[[], Any]]]]:
    for cls, makers in edit.field_makers:
        if makers:
            yield cls, makers


def makers(cls: type, made: type) -> dict[str, Callable[[], Any]]:
    """Fields that `made` has and `cls` has not, with what gives their first value."""
    old = _fields(cls)
    return {name: maker for name, maker in _fields(made).items() if name not in old and maker is not None}


def unfilled(cls: type, made: type) -> set[str]:
    """Fields that `made` has and `cls` has not, for which nothing gives a first value."""
    old = _fields(cls)
    return {name for name, maker in _fields(made).items() if name not in old and maker is None}


def warnings(edit: Edit, upgrades: Upgrades) -> list[str]:
    """Say how many live instances have no value for a field that is new in their class, and no hook that gives one."""
    bare = {cls: names for cls, names in edit.unfilled if names}
    if not bare:
        return []
    hooked = {*upgrades.raised, *upgrades.joined}
    wanted = {each for cls in bare for each in (cls, *_below(cls))}
    lacking: collections.Counter[tuple[type, str]] = collections.Counter()
    for thing in of_types(edit.scan.heap("instances that lack a new field"), wanted):
        mro = type(thing).__mro__
        if hooked.isdisjoint(mro):
            cls = next(each for each in mro if each in bare)
            lacking.update((cls, name) for name in bare[cls] - layout.state(thing).keys())
    return [
        f"{count} live {cls.__module__}.{cls.__qualname__} {'has' if count == 1 else 'have'} no `{name}`;"
        " give it a default or an __upgrade__"
        for cls, names in bare.items()
        for name in sorted(names)
        if (count := lacking[cls, name])
    ]


def _fields(cls: type) -> dict[str, Callable[[], Any] | None]:
    found: dict[str, Callable[[], Any] | None] = {}
    for field in dataclasses.fields(cls) if "__dataclass_fields__" in vars(cls) else ():
        name = field.name
        if field.default_factory is not dataclasses.MISSING:
            found[name] = field.default_factory
        elif field.default is not dataclasses.MISSING:
            found[name] = functools.partial(_same, field.default)
        else:
            found[name] = None
    for attribute in vars(cls).get("__attrs_attrs__") or ():
        found[attribute.name] = _attrs_maker(attribute.default)
    for name, info in (vars(cls).get("__pydantic_fields__") or {}).items():
        required = info.is_required()
        found[name] = None if required else functools.partial(info.get_default, call_default_factory=True)
    return found


def _attrs_maker(default: Any) -> Callable[[], Any] | None:
    kind = type(default).__name__
    if kind == "_Nothing" or "NOTHING" in repr(default):
        return None
    if kind == "Factory":
        factory: Callable[[], Any] | None = None if default.takes_self else default.factory
        return factory
    return functools.partial(_same, default)


def _same(value: Any) -> Any:
    return value


def expected(plans: list[ModulePlan]) -> int:
    """How many live instances the plans would have to upgrade, told from their text alone."""
    wanted: set[type] = set()
    for each in plans:
        space = vars(each.record.module) if each.record.module is not None else {}
        for step in each.steps:
            cls = space.get(step.node.name) if isinstance(step.node, ast.ClassDef) and step.kind == "run" else None
            if isa(cls, type) and _may_upgrade(step.node):
                wanted |= {cls, *_below(cls)}
    return len(of_types(gc.get_objects(), wanted)) if wanted else 0


def _may_upgrade(node: ast.stmt) -> bool:
    """Does a class statement, or one in it, speak of schemas or of fields with defaults?"""
    return any(
        (isinstance(n, ast.Name) and n.id == "__schema__")
        or (
            isinstance(n, ast.ClassDef)
            and any("dataclass" in ast.dump(d) or "attr" in ast.dump(d) for d in n.decorator_list)
        )
        for n in ast.walk(node)
    )


def find(edit: Edit, upgrades: Upgrades) -> list[Any]:
    """All live instances concerned."""
    wanted = upgrades.classes()
    first = next(iter(wanted))
    return of_types(edit.scan.heap(f"instances of {first.__qualname__}"), wanted)


def run(
    edit: Edit, upgrades: Upgrades, moved: list[tuple[Any, Any]], waiting: Waiting | None, seconds: float | None
) -> int:
    """Upgrade every instance, or raise and leave none upgraded.

    Args:
        moved: (old object, new object) of instances whose layout changed.
        waiting: where given, takes the instances whose upgrade can wait until they are used.
        seconds: how long the upgrades made here may take.

    Returns:
        How many went through a hook or got a field.

    Raises:
        TooSlow: they took longer.
    """
    wanted = upgrades.classes()
    concerned = of_types((new for _, new in moved), wanted)
    ids = set(map(id, concerned))
    states = {id(new): layout.state(old) for old, new in moved if id(new) in ids}
    everyone = {id(t): t for t in (*find(edit, upgrades), *concerned)}
    if waiting is not None:
        kinds = {id(cls): cls for cls in map(type, everyone.values())}
        plain = {key for key, cls in kinds.items() if native.layout(cls)[0] is object}
        later = [thing for thing in everyone.values() if id(type(thing)) in plain]
        edit.tx.on_commit(lambda: waiting.add(upgrades, later, states))
        everyone = {key: thing for key, thing in everyone.items() if id(type(thing)) not in plain}
    if seconds is not None and everyone:
        for each in edit.plans:  # what the hooks change in passing is put back when they are too slow
            edit.tx.watch(vars(each.record.module) if each.record.module is not None else {})
    return _run_now(edit.tx, upgrades, everyone, states, seconds)


def _run_now(
    tx: Transaction,
    upgrades: Upgrades,
    everyone: dict[int, Any],
    states: dict[int, dict[str, Any]],
    seconds: float | None,
) -> int:
    until = None if seconds is None else time.perf_counter() + seconds
    count = 0
    for number, (key, thing) in enumerate(everyone.items(), 1):
        count += one(tx, upgrades, thing, states.get(key))
        if until is not None and number < len(everyone) and time.perf_counter() > until:
            raise TooSlow(f"{number} of {len(everyone)} upgrades took longer than {seconds} s", stage="upgrade")
    return count


def one(tx: Transaction, upgrades: Upgrades, thing: Any, earlier: dict[str, Any] | None = None) -> bool:
    """Upgrade one instance."""
    now = layout.state(thing)
    before = now if earlier is None else earlier
    tx.did(restore, thing, now)
    touched = False
    mro = type(thing).__mro__
    for cls in mro:  # the most derived first on the way back
        if cls in upgrades.lowered:
            schema, back = upgrades.lowered[cls]
            back(thing, schema, dict(before))
            touched = True
    for cls in mro:
        for name, maker in upgrades.fills.get(cls, {}).items():
            if name not in layout.state(thing):
                layout.fill(thing, {name: maker()})
                touched = True
    for cls in reversed(mro):
        step = upgrades.raised.get(cls)
        if step is None and any(cls in upgrades.joined.get(owner, ()) for owner in mro):
            hook = hook_of(cls)
            step = (0, hook) if hook is not None else None
        if step is not None:
            step[1](thing, step[0], dict(before))
            touched = True
    return touched


def restore(thing: Any, values: dict[str, Any]) -> None:
    """Give an instance back the state it had."""
    now = layout.state(thing)
    if now.keys() == values.keys() and all(now[n] is v for n, v in values.items()):
        return
    from .functions import _attributes

    inside = _attributes(thing)
    if inside is not None:
        inside.clear()
    for cls in type(thing).__mro__:
        for name, member in vars(cls).items():
            if (
                isa(member, types.MemberDescriptorType)
                and cls.__flags__ & (1 << 9)
                and name in now
                and name not in values
            ):
                member.__delete__(thing)
    layout.fill(thing, values)
