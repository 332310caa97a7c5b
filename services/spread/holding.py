"""Books of what crossed a connection and is still held: our objects at the peer, and the peer's caches here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import finalize, ref

from .errors import BadMessage, DeadReference
from .flavors import RemoteCache
from .limits import exceeded

if TYPE_CHECKING:
    from .broker import Broker


class Entry:
    """One object that the peer holds, as many times as it was sent and not given back."""

    __slots__ = ("count", "key", "observer", "value")

    def __init__(self, value: Any, key: Any) -> None:
        self.value, self.key, self.count = value, key, 0
        self.observer: Any = None


class Exports:
    """Objects of ours by the numbers under which the peer holds them.

    Args:
        what: their name in the message when there are too many.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: dict[int, Entry] = {}
        self._numbers: dict[Any, int] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def number(self, value: Any) -> int | None:
        """The number of an object the peer holds."""
        luid = self._numbers.get(id(value))
        # An edit may have replaced the object, and its address serve another now: the entry knows.
        return luid if luid is not None and self._entries[luid].value is value else None

    def add(self, value: Any, key: Any, *, most: int) -> int:
        """Count one more sending of an object; its number.

        Args:
            key: what makes two of these the same; its identity by default.

        Raises:
            LimitExceeded: the peer holds `most` objects already.
        """
        luid = self.number(value) if key is None else self._numbers.get(key)
        if luid is None:
            if len(self._entries) >= most:
                raise exceeded(f"{self._what} held by the peer", most, self._what)
            luid = self._last = self._last + 1
            key = id(value) if key is None else key
            self._entries[luid] = Entry(value, key)
            self._numbers[key] = luid
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
        entry = self._entries.pop(luid)
        if self._numbers.get(entry.key) == luid:
            del self._numbers[entry.key]


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
