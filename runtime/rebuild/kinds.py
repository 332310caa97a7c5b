"""Asking what a live object is without asking the object: its class may do anything to attribute access."""

from __future__ import annotations

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


__all__ = ["attribute", "isa"]
