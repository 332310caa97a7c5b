"""`with undo:` at a prompt: what the block changed in the space can be put back, and is when it fails.

Before the block, each container and each instance of the space is copied one level deep; after it, what differs is kept: the value before
and the value after. Nothing of the objects' own code runs, and attributes that a snapshot leaves out are left out here. Putting back is
careful: what has been changed again since stays as it is, and is said so.
"""

import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..runtime.errors import ConsoleError
from ..runtime.service import Service
from ..runtime.snapshot.schema import transient
from ..runtime.space import Space

MAX_PARTS = 200_000
"""Containers and instances that a block can be watched for: about 0.3 s."""

_MISSING = object()
_PLACE = frozenset({"_space", "_name"})
"""A service's place, which follows from the entry in the space."""
_CHANGING: tuple[Any, ...] = (list, set, deque, bytearray)
_FLAT = (
    int,
    float,
    complex,
    bool,
    str,
    bytes,
    type(None),
    type,
    types.ModuleType,
    types.FunctionType,
    types.MethodType,
)


@dataclass(frozen=True)
class _Part:
    """One thing that holds others, and what it held: `whole` for a sequence or set, by key otherwise."""

    thing: Any
    label: str
    read: Callable[[Any], Any]
    held: Any


@dataclass
class Change:
    """One value that a block changed."""

    name: str
    put_back: Callable[[], bool]
    """False when the value is no longer the one that the block left."""


@dataclass
class Block:
    """What one `with undo:` changed."""

    who: str
    time: float = field(default_factory=time.time)
    changes: list[Change] = field(default_factory=list)

    def put_back(self) -> list[str]:
        """Put each value back, the last first; the names of those that somebody has changed since, and that stay."""
        return [change.name for change in reversed(self.changes) if not change.put_back()]

    def names(self) -> str:
        """Which values, the first five of them."""
        shown = ", ".join(change.name for change in self.changes[:5])
        return shown + (f" and {len(self.changes) - 5} more" if len(self.changes) > 5 else "")


class Watched:
    """The space as it is now, to be compared with as it will be.

    Raises:
        ConsoleError: it holds more than `MAX_PARTS` containers and instances.
    """

    def __init__(self, space: Space) -> None:
        self._parts: list[_Part] = []
        seen: set[int] = set()
        waiting: deque[Any] = deque([space])
        while waiting:
            thing = waiting.popleft()
            if isinstance(thing, _FLAT) or id(thing) in seen:
                continue
            seen.add(id(thing))
            if len(seen) > MAX_PARTS:
                raise ConsoleError(
                    f"the space holds more than {MAX_PARTS:,} objects, too many to watch; nothing was run"
                )
            for part in _parts_of(thing):
                self._parts.append(part)
                waiting.extend(part.held.values() if isinstance(part.held, dict) else part.held)

    def changes(self) -> list[Change]:
        """What is different now."""
        return [change for part in self._parts for change in _differences(part)]


def _parts_of(thing: Any) -> Iterator[_Part]:
    """What a thing consists of: entries, attributes, slots. A subclass of a builtin container has both."""
    label = type(thing).__qualname__
    if isinstance(thing, Space):
        yield _Part(thing, "space", _entries_of_space, _entries_of_space(thing))
        return
    if isinstance(thing, dict):
        yield _Part(thing, label, dict.copy, dict.copy(thing))
    for kind in _CHANGING:
        if isinstance(thing, kind):
            copy: Callable[[Any], Any] = kind.copy
            yield _Part(thing, label, copy, copy(thing))
    if isinstance(thing, tuple | frozenset):
        # They do not change, but what is in them may.
        yield _Part(thing, label, lambda same: same, thing)
    skipped = transient(type(thing)) | (_PLACE if isinstance(thing, Service) else frozenset())
    if (own := _attributes(thing)) is not None:
        yield _Part(thing, label, lambda one: _kept(_attributes(one) or {}, skipped), _kept(own, skipped))
    if slots := _slots(type(thing)):

        def read(one: Any) -> dict[str, Any]:
            found = {name: _slot(member, one) for name, member in slots.items() if name not in skipped}
            return {name: value for name, value in found.items() if value is not _MISSING}

        yield _Part(thing, label, read, read(thing))


def _entries_of_space(space: Space) -> dict[str, Any]:
    return dict(space._objects)


def _kept(attributes: dict[str, Any], skipped: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in skipped}


def _attributes(thing: Any) -> dict[str, Any] | None:
    try:
        own = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return own if type(own) is dict else None


def _slots(kind: type) -> dict[str, types.MemberDescriptorType]:
    if kind.__module__ == "builtins":
        return {}
    return {
        name: member
        for base in type.mro(kind)
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType and base.__flags__ & _HEAP
    }


_HEAP = 1 << 9


def _slot(member: types.MemberDescriptorType, thing: Any) -> Any:
    try:
        return member.__get__(thing)
    except AttributeError:
        return _MISSING


def _differences(part: _Part) -> Iterator[Change]:
    now = part.read(part.thing)
    if not isinstance(part.held, dict):
        if not _same(part.held, now):
            yield Change(part.label, _restoring(part, now))
        return
    for key in [*part.held, *(key for key in now if key not in part.held)]:
        before, after = part.held.get(key, _MISSING), now.get(key, _MISSING)
        if before is not after:
            is_entry = part.read in (dict.copy, _entries_of_space)
            name = f"{part.label}[{key!r:.40}]" if is_entry else f"{part.label}.{key}"
            yield Change(name, _setting(part, key, before, after, is_entry=is_entry))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list | deque | tuple):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    return bool(one == other)


def _restoring(part: _Part, after: Any) -> Callable[[], bool]:
    thing, held = part.thing, part.held

    def put_back() -> bool:
        if not _same(part.read(thing), after):
            return False
        if isinstance(thing, list | bytearray):
            type(held).__setitem__(thing, slice(None), held)
        elif isinstance(thing, set):
            set.clear(thing)
            set.update(thing, held)
        else:
            deque.clear(thing)
            deque.extend(thing, held)
        return True

    return put_back


def _setting(part: _Part, key: Any, before: Any, after: Any, *, is_entry: bool) -> Callable[[], bool]:
    thing = part.thing

    def put_back() -> bool:
        if part.read(thing).get(key, _MISSING) is not after:
            return False
        if part.read is _entries_of_space:
            # Through its own methods, which start and stop services.
            if before is _MISSING:
                del thing[key]
            else:
                thing[key] = before
        elif is_entry:
            dict.pop(thing, key, None) if before is _MISSING else dict.__setitem__(thing, key, before)
        elif before is _MISSING:
            object.__delattr__(thing, key)
        else:
            object.__setattr__(thing, key, before)
        return True

    return put_back
