"""Asking what a live object is without asking the object: its class may do anything to attribute access."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builtins import isinstance as isa
else:

    def isa(value: object, kinds: Any) -> bool:
        """`isinstance` by the type alone: `__class__` is not consulted."""
        return issubclass(type(value), kinds)


def attribute(value: object, name: str) -> Any:
    """An attribute found without `__getattr__` and an own `__getattribute__`; None where there is none."""
    try:
        return object.__getattribute__(value, name)
    except Exception:  # noqa: BLE001 -- whatever a property of somebody's raises, there is nothing to see
        return None


def exactly(value: object, *kinds: type) -> bool:
    """Is the type one of these? Types are compared by identity: a metaclass may do anything to `==` and `hash`."""
    kind = type(value)
    return any(kind is each for each in kinds)


def of_types(things: Iterable[Any], classes: Iterable[type]) -> list[Any]:
    """Those whose type is one of the classes."""
    classes = list(classes)
    if len(classes) == 1:  # the usual case, in a quarter of the time
        (only,) = classes
        return [thing for thing in things if type(thing) is only]
    wanted = set(map(id, classes))
    return [thing for thing in things if id(type(thing)) in wanted]


def not_of_types(things: Iterable[Any], classes: Iterable[type]) -> list[Any]:
    """Those whose type is none of the classes."""
    classes = list(classes)
    if len(classes) == 1:
        (only,) = classes
        return [thing for thing in things if type(thing) is not only]
    unwanted = set(map(id, classes))
    return [thing for thing in things if id(type(thing)) not in unwanted]


__all__ = ["attribute", "exactly", "isa", "not_of_types", "of_types"]
