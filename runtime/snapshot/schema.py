"""Schemas of classes: which upgrade an instance needs between what was stored and the class of today."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from .names import full_name

#: A class and each of its bases by name with its own schema, as a manifest keeps them; most derived first.
Lineage = list[tuple[str, int]]


def own_schema(cls: type) -> int | None:
    """The `__schema__` that this very class declares; None when it declares none."""
    number = vars(cls).get("__schema__")
    return number if type(number) is int else None


def lineage(cls: type) -> Lineage:
    """The classes of the MRO with the schema of each; 0 where none is declared."""
    return [(full_name(base), own_schema(base) or 0) for base in cls.__mro__ if base is not object]


class Lowered(Exception):
    """The class of today declares an older schema than the stored one, or none."""

    def __init__(self, cls: str, stored: int, today: int) -> None:
        super().__init__(cls, stored, today)
        self.cls, self.stored, self.today = cls, stored, today

    def __str__(self) -> str:
        return f"the stored state of {self.cls} has schema {self.stored}, its class has {self.today} now: older code"


Step = tuple[Callable[[Any, int, dict[str, Any]], object], int]


def steps(cls: type, stored: Lineage, today_name: Callable[[str], str]) -> list[Step]:
    """The `__upgrade__` hooks to call, base first, each with the schema it starts from.

    Args:
        today_name: what a class that was stored under this name is called now.

    Raises:
        Lowered: some class went back to an older schema.
    """
    then = {today_name(name): number for name, number in stored}
    found: list[Step] = []
    for base in reversed(cls.__mro__):
        before, now = then.get(full_name(base), 0), own_schema(base)
        if before > (now or 0):
            raise Lowered(full_name(base), before, now or 0)
        hook = vars(base).get("__upgrade__")
        if now is not None and now > before and hook is not None:
            found.append((hook, before))
    return found


def transient(cls: type) -> frozenset[str]:
    """The attributes that some `__transient__` in the MRO leaves out of snapshots."""
    names: set[str] = set()
    for base in cls.__mro__:
        listed = vars(base).get("__transient__", ())
        names.update((listed,) if isinstance(listed, str) else listed)
    return frozenset(names)


def is_ordinary(cls: Any) -> bool:
    """Whether instances are reduced by `object`, state and all."""
    return cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__


def has_plain_state(cls: Any) -> bool:
    """Whether the state of instances is their attributes."""
    return cls.__getstate__ is object.__getstate__


def needs_state_for_hash(cls: type) -> bool:
    """Whether the hash of an instance is computed in Python, from its state."""
    return cls.__hash__ is not None and not isinstance(cls.__hash__, types.WrapperDescriptorType)


def slots(cls: type) -> list[str]:
    """The names under which instances keep state in slots, mangled as attributes are."""
    found: list[str] = []
    for base in reversed(cls.__mro__):
        listed = vars(base).get("__slots__", ())
        for name in (listed,) if isinstance(listed, str) else listed:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                found.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return found


Maker = Callable[[], object]


def defaults(cls: type) -> dict[str, Maker]:
    """How to make the value of each dataclass or attrs field that has a default or a default factory."""
    makers: dict[str, Maker] = {}
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if field.default_factory is not dataclasses.MISSING:
                makers[field.name] = field.default_factory
            elif field.default is not dataclasses.MISSING:
                makers[field.name] = _always(field.default)
    if "attr" in sys.modules:
        makers.update(_attrs_defaults(getattr(cls, "__attrs_attrs__", ())))
    return makers


def _attrs_defaults(fields: Iterable[Any]) -> dict[str, Maker]:
    attr = sys.modules["attr"]
    makers: dict[str, Maker] = {}
    for field in fields:
        if isinstance(field.default, attr.Factory):
            if not field.default.takes_self:
                makers[field.name] = field.default.factory
        elif field.default is not attr.NOTHING:
            makers[field.name] = _always(field.default)
    return makers


def _always(value: object) -> Maker:
    return lambda: value
