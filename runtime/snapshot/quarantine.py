"""Objects that kept the state of an older schema, because their upgrade failed when they were loaded.

They are instances of today's class with yesterday's state, so using one raises `NotUpgraded`. A snapshot says so for each
of them and for those that an edit could not upgrade; the next load, and each edit, tries again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import rebuild
from .names import full_name
from .schema import Lineage, lineage

#: (state, items, pairs) as they were stored.
Kept = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Held:
    """One object, with the schemas that its state has."""

    obj: Any
    stored: Lineage
    #: Why.
    reason: str
    #: Where its own `__setstate__` failed: what that was to get.
    kept: Kept | None = None


_held: dict[int, Held] = {}


def hold(obj: Any, stored: Lineage, error: BaseException, kept: Kept | None = None) -> None:
    """Let nobody use this object, and remember what its state is."""
    cls = type(obj)
    reason = (
        f"{cls.__module__}.{cls.__qualname__} at {id(obj):#x} could not be upgraded ({type(error).__name__}: {error})"
    )
    _held[id(obj)] = Held(obj, stored, reason, kept)
    rebuild.close(obj, f"{reason}; it keeps its old state and is tried again by the next edit")


def held() -> list[Held]:
    """All that are in quarantine, those that an edit could not upgrade too."""
    others = [
        Held(
            obj, [(full_name(cls), schemas.get(cls, number)) for cls, (_, number) in _by_class(type(obj))], "by an edit"
        )
        for obj, schemas in rebuild.not_upgraded()
    ]
    return [*_held.values(), *others]


def _by_class(cls: type) -> list[tuple[type, tuple[str, int]]]:
    return list(zip((base for base in cls.__mro__ if base is not object), lineage(cls), strict=True))


def loaded() -> list[Held]:
    """Those that a load left here."""
    return list(_held.values())


def kept(obj: Any) -> Kept | None:
    """What the `__setstate__` of this object was to get."""
    found = _held.get(id(obj))
    return found.kept if found else None


def release(obj: Any) -> None:
    """This object's state fits its class by now."""
    if _held.pop(id(obj), None):
        rebuild.open_again(obj)
