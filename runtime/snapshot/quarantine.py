"""Objects that kept the state of an older schema, because their upgrade failed when they were loaded.

They are ordinary instances of today's class with yesterday's attributes. A snapshot says so for each of them, so that
the next load, under better code, tries again.
"""

from __future__ import annotations

from typing import Any

from .schema import Lineage

_held: dict[int, tuple[Any, Lineage]] = {}


def hold(obj: Any, stored: Lineage) -> None:
    """Remember the schemas that this object's state has."""
    _held[id(obj)] = (obj, stored)


def held() -> list[tuple[Any, Lineage]]:
    """All that are in quarantine."""
    return list(_held.values())


def release(obj: Any) -> None:
    """This object's state fits its class by now."""
    _held.pop(id(obj), None)
