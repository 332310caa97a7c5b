"""Instances that nobody may use: their state is older than their class, and no hook has brought it up to date.

While a class has any, it has a guard in front of its attributes, which raises `NotUpgraded` for those and lets all others
through. `type()`, `id()` and `isinstance()` work; whoever saves or mends them looks through.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import NotUpgraded
from .transaction import MISSING

_GUARDED = ("__getattribute__", "__setattr__", "__delattr__")

_closed: dict[int, tuple[Any, str]] = {}
_own: dict[type, dict[str, Any]] = {}
_looking: Counter[int] = Counter()  # by thread: how many blocks it is in


def close(thing: Any, why: str) -> None:
    """From now on using this instance raises `NotUpgraded(why)`."""
    _closed[id(thing)] = (thing, why)
    cls = type(thing)
    if cls not in _own:
        originals = {name: getattr(cls, name) for name in _GUARDED}
        _own[cls] = {name: vars(cls).get(name, MISSING) for name in _GUARDED}
        for name, original in originals.items():
            type.__setattr__(cls, name, _guard(original))


def open_again(thing: Any) -> None:
    """It is as its class wants it."""
    _closed.pop(id(thing), None)
    cls = type(thing)
    if not any(type(other) is cls for other, _ in _closed.values()):
        for name, own in _own.pop(cls, {}).items():
            if own is MISSING:
                type.__delattr__(cls, name)
            else:
                type.__setattr__(cls, name, own)


def _guard(original: Callable[..., Any]) -> Callable[..., Any]:
    def guard(thing: Any, *arguments: Any) -> Any:
        held = _closed.get(id(thing))
        if held is not None and not looking():
            raise NotUpgraded(held[1])
        return original(thing, *arguments)

    return guard


def looking() -> bool:
    """Whether this thread looks through."""
    return bool(_looking) and threading.get_ident() in _looking


@contextmanager
def look_through() -> Iterator[None]:
    """Meanwhile this thread may use such instances, as they are."""
    me = threading.get_ident()
    _looking[me] += 1
    try:
        yield
    finally:
        _looking[me] -= 1
        if not _looking[me]:
            del _looking[me]
