"""A stored state into a new instance, as far as it fits the class of today."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from .lost import Lost
from .schema import Maker, slots

#: Puts the values of these names into an instance.
Fill = Callable[[Any, tuple[str, ...], list[Any]], None]


def filler(cls: type, makers: Mapping[str, Maker], keep: Callable[[Any, dict[str, Any]], None] | None) -> Fill:
    """How instances of a class take their attributes.

    Args:
        makers: defaults for attributes that were not stored.
        keep: gets each instance and its stored state, a copy: for the hooks that come later.
    """
    basic = _basic(cls)
    if not makers and keep is None:
        return basic

    def fill(obj: Any, names: tuple[str, ...], values: list[Any]) -> None:
        basic(obj, names, values)
        fill_defaults(obj, makers, names)
        if keep is not None:
            keep(obj, dict(zip(names, values, strict=True)))

    return fill


def fill_defaults(obj: Any, makers: Mapping[str, Maker], stored: Container[str]) -> None:
    """Make what has a default and was not stored."""
    for name, make in makers.items():
        if name not in stored:
            object.__setattr__(obj, name, make())


def _basic(cls: type) -> Fill:
    if hasattr(cls, "__setstate__") and not issubclass(cls, Lost):
        return _by_setstate
    if slots(cls):
        return _by_slots
    return _by_dict if _has_dict(cls) else _drop


def _has_dict(cls: type) -> bool:
    return cls.__dictoffset__ != 0


def _by_dict(obj: Any, names: tuple[str, ...], values: list[Any]) -> None:
    obj.__dict__.update(zip(names, values, strict=True))


def _drop(obj: Any, names: tuple[str, ...], values: list[Any]) -> None:
    """Instances have no attributes any more; an upgrade hook still gets them."""


def _by_slots(obj: Any, names: tuple[str, ...], values: list[Any]) -> None:
    cls = type(obj)
    slotted, loose = frozenset(slots(cls)), _has_dict(cls)
    for name, value in zip(names, values, strict=True):
        if name in slotted:
            object.__setattr__(obj, name, value)
        elif loose:
            obj.__dict__[name] = value


def _by_setstate(obj: Any, names: tuple[str, ...], values: list[Any]) -> None:
    if names:
        obj.__setstate__(dict(zip(names, values, strict=True)))


def fill_own(obj: Any, state: Any, items: Iterable[Any] | None, pairs: tuple[Any, ...] | None) -> None:
    """A state that the object made itself, and the items of a list or dict class.

    Raises:
        TypeError: the class has no `__setstate__` for it any more.
    """
    if _is_error_state(state):
        _, obj.args, state = state
    if state is not None and not hasattr(type(obj), "__setstate__"):
        # Attributes first: an own __setitem__ or append may need them.
        _attributes(obj, state)
        state = None
    if items is not None:
        extend = getattr(obj, "extend", None) or getattr(obj, "update", None)
        if extend is None:
            raise TypeError(f"{type(obj).__qualname__} takes no items any more")
        extend(items)
    if pairs is not None:
        for at in range(0, len(pairs), 2):
            obj[pairs[at]] = pairs[at + 1]
    if state is not None:
        obj.__setstate__(state)


def _attributes(obj: Any, state: Any) -> None:
    for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
        if part is None:
            continue
        if not isinstance(part, dict):
            raise TypeError(f"{type(obj).__qualname__} has no __setstate__ for the {type(part).__name__} it had stored")
        names = tuple(map(str, part))
        (_by_slots if slots(type(obj)) else _by_dict)(obj, names, list(part.values()))


def as_dict(state: Any) -> dict[str, Any]:
    """A stored state as an upgrade hook gets it: a copy, slots included; empty when it is no set of names."""
    if _is_error_state(state):
        return dict(state[2])
    found: dict[str, Any] = {}
    for part in state if isinstance(state, tuple) and len(state) == 2 else (state,):
        if isinstance(part, dict):
            found.update(part)
    return found


def attributes(obj: Any) -> dict[str, Any]:
    """What an instance holds by name, slots included; a copy."""
    found = {name: getattr(obj, name) for name in slots(type(obj)) if hasattr(obj, name)}
    return {**found, **getattr(obj, "__dict__", {})}


def _is_error_state(state: Any) -> bool:
    """Whether it is what `reducers` makes for an exception: ("error", args, attributes)."""
    return isinstance(state, tuple) and state[:1] == ("error",)


def put_back(obj: Any, state: dict[str, Any]) -> None:
    """The stored attributes as they were, after a hook failed half-way."""
    if hasattr(obj, "__dict__"):
        obj.__dict__.clear()
    (_by_slots if slots(type(obj)) else _by_dict)(obj, tuple(state), list(state.values()))
