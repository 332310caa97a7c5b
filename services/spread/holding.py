"""Books of what crossed a connection and is still held: our objects at the peer, and the peer's caches here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import finalize, ref

from ...runtime import rebuild
from .errors import BadMessage, DeadReference
from .flavors import RemoteCache, ViewPoint
from .limits import exceeded

if TYPE_CHECKING:
    from .broker import Broker


_edits = 0


def _edited(report: Any) -> None:  # noqa: ARG001 - any edit may have replaced instances
    global _edits
    _edits += 1


rebuild.subscribe(_edited)


class Entry:
    """One object that the peer holds, as many times as it was sent and not given back."""

    __slots__ = ("count", "observer", "value")

    def __init__(self, value: Any) -> None:
        self.value, self.count = value, 0
        self.observer: Any = None


class Exports:
    """Objects of ours by the numbers under which the peer holds them.

    Across a rebuild: an edit of the memory layout replaces instances wherever they are referred to, here too; the
    identities by which they are found are taken anew after each edit.

    Args:
        what: their name in the message when there are too many.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[Any, int] = {}
        self._last = 0
        self._edits = _edits

    def __len__(self) -> int:
        return len(self._entries)

    def number(self, value: Any) -> int | None:
        """The number of an object the peer holds."""
        if self._edits != _edits:
            self._edits = _edits
            self._numbers = {_identity(entry.value): luid for luid, entry in self._entries.items()}
        return self._numbers.get(_identity(value))

    def add(self, value: Any, *, most: int) -> int:
        """Count one more sending of an object; its number.

        Raises:
            LimitExceeded: the peer holds `most` objects already.
        """
        luid = self.number(value)
        if luid is None:
            if len(self._entries) >= most:
                raise exceeded(f"{self._what} held by the peer", most, self._what)
            luid = self._last = self._last + 1
            self._entries[luid] = Entry(value)
            self._numbers[_identity(value)] = luid
        self._entries[luid].count += 1
        return luid

    def entry(self, luid: int) -> Entry:
        return self._entries[luid]

    def get(self, luid: int) -> Any:
        """The object with this number.

        Raises:
            DeadReference: the peer does not hold such an object.
        """
        entry = self._entries.get(luid)
        if entry is None:
            raise DeadReference(f"no object {luid} is held by you")
        return entry.value

    def drop(self, luid: int, count: int) -> Entry | None:
        """The peer gave an object back so many times; its entry, if that was the last.

        Raises:
            BadMessage: more often than it was sent.
        """
        entry = self._entries.get(luid)
        if entry is None or not 0 < count <= entry.count:
            raise BadMessage(f"object {luid} was given back {count} times, more than it was sent")
        entry.count -= count
        if entry.count:
            return None
        self._remove(luid)
        return entry

    def take_back(self, luid: int) -> Entry | None:
        """It was not sent after all; its entry, if the peer holds it not at all now."""
        return self.drop(luid, 1)

    def clear(self) -> Iterable[Entry]:
        entries = list(self._entries.values())
        self._entries.clear()
        self._numbers.clear()
        return entries

    def _remove(self, luid: int) -> None:
        identity = _identity(self._entries.pop(luid).value)
        if self._numbers.get(identity) == luid:
            del self._numbers[identity]


def _identity(value: Any) -> Any:
    """What makes two objects the same to a peer: views are the same when they show the same to the same."""
    return (id(value.perspective), id(value.target)) if type(value) is ViewPoint else id(value)


class Held:
    """A cache whose owner is the peer.

    Its state stays here until the owner agrees that we have dropped it, since the owner may be mentioning it in a
    message under way; the object that users see comes and goes, always with that same state.
    """

    def __init__(self, broker: Broker, luid: int, kind: type[RemoteCache]) -> None:
        self._broker, self._luid, self._kind = broker, luid, kind
        self._state: dict[str, Any] = {}
        self._live: ref[RemoteCache] | None = None
        self._receipts = 0

    def live(self) -> RemoteCache | None:
        return self._live() if self._live is not None else None

    def instance(self) -> RemoteCache:
        """The object, made anew with the same state if nobody holds it."""
        made = self.live()
        if made is None:
            made = self._kind.__new__(self._kind)
            made.__dict__ = self._state
            self._live = ref(made)
            finalize(made, self._unused, self._live).atexit = False
        return made

    def receive(self) -> RemoteCache:
        """The object, once more mentioned by its owner."""
        self._receipts += 1
        return self.instance()

    def become(self, made: RemoteCache, state: Any) -> None:
        """Take the state that its owner sent."""
        made.set_cache_state(state)
        self._state = made.__dict__  # it may have given itself another dictionary

    def _unused(self, live: ref[RemoteCache]) -> None:
        if self._live is live:
            self._live = None
        receipts, self._receipts = self._receipts, 0
        if receipts:
            self._broker.cache_dropped(self._luid, receipts)


class PeerObserver:
    """The peer's copy of a Cacheable of ours."""

    def __init__(self, broker: Broker, value: Any, perspective: Any) -> None:
        self._broker, self._value = broker, value
        self.perspective = perspective

    def send(self, name: str, /, *args: Any, **kw: Any) -> None:
        """Run `observe_name` on the copy, without waiting.

        Raises:
            DeadReference: the peer holds it no longer.
        """
        self._broker.observe(self._value, name, args, kw, answer=False)

    def call(self, name: str, /, *args: Any, **kw: Any) -> Any:
        """Run `observe_name` on the copy; awaited, its result."""
        return self._broker.observe(self._value, name, args, kw, answer=True)

    def __repr__(self) -> str:
        return f"<copy of {self._value!r} at {self._broker.peer}>"
