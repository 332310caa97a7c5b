"""What was said, for CHATHISTORY and for those who come back after a restart. No I/O."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

KEPT = 1000  # items a target
PAGE_LIMIT = 200  # items a reply


def timestamp(at: float) -> str:
    """Return a moment as server-time writes it: 2026-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_timestamp(text: str) -> float | None:
    """Return the moment that a server-time text names, or None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


@dataclass(frozen=True)
class Item:
    """One message or event, as it was relayed."""

    msgid: str
    time: float
    source: str
    account: str
    command: str
    target: str
    text: str | None = None
    params: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    bot: bool = False

    @property
    def is_message(self) -> bool:
        return self.command in {"PRIVMSG", "NOTICE"}


class History:
    """The last items of one conversation, oldest first.

    In a snapshot: saved; whoever was there can page through it after a restart.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._items: deque[Item] = deque(maxlen=kept)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @property
    def last_time(self) -> float:
        """When the last item was said, seconds since 1970; 0 when there is none."""
        return self._items[-1].time if self._items else 0.0

    def add(self, item: Item) -> None:
        self._items.append(item)

    def remove(self, msgid: str) -> bool:
        """Forget one item; tell whether it was there."""
        for item in self._items:
            if item.msgid == msgid:
                self._items.remove(item)
                return True
        return False

    def find(self, msgid: str) -> Item | None:
        return next((item for item in self._items if item.msgid == msgid), None)

    # --- pages; `events` takes joins, topics and the like too

    def latest(self, limit: int, *, after: Point | None = None, events: bool = False) -> list[Item]:
        return self._tail(self._between(after, None, events=events), limit)

    def before(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        return self._tail(self._between(None, point, events=events), limit)

    def after(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        return list(islice(self._between(point, None, events=events), limit))

    def between(self, first: Point, second: Point, limit: int, *, events: bool = False) -> list[Item]:
        """Return what lies strictly between, from first on: the newest of it when first is the later one."""
        if self._place(first)[1] <= self._place(second)[0]:
            return list(islice(self._between(first, second, events=events), limit))
        return self._tail(self._between(second, first, events=events), limit)

    def around(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        older = self.before(point, limit // 2, events=events)
        items = list(self._items)
        start, _ = self._place(point)
        rest = (item for item in items[start:] if events or item.is_message)
        return older + list(islice(rest, limit - len(older)))

    def _between(self, first: Point | None, second: Point | None, *, events: bool) -> Iterator[Item]:
        start = self._place(first)[1] if first else 0
        stop = self._place(second)[0] if second else len(self._items)
        return (item for item in list(self._items)[start:stop] if events or item.is_message)

    def _place(self, point: Point) -> tuple[int, int]:
        """Return the places just before and just behind a point: the same where no item is exactly there."""
        if point.msgid:
            for place, item in enumerate(self._items):
                if item.msgid == point.msgid:
                    return place, place + 1
            return 0, 0
        # Clients send back the milliseconds that they were shown, so those are compared.
        times = [round(item.time, 3) for item in self._items]
        return bisect.bisect_left(times, point.time), bisect.bisect_right(times, point.time)

    @staticmethod
    def _tail(items: Iterable[Item], limit: int) -> list[Item]:
        return list(deque(items, maxlen=limit))


@dataclass(frozen=True)
class Point:
    """A place in a history: a message id, or a time in seconds since 1970."""

    msgid: str = ""
    time: float = 0.0


def parse_point(text: str) -> Point | None:
    """Return the point that "msgid=…" or "timestamp=…" names, or None."""
    kind, _, value = text.partition("=")
    if kind == "msgid" and value:
        return Point(msgid=value)
    if kind == "timestamp" and (at := parse_timestamp(value)) is not None:
        return Point(time=round(at, 3))
    return None
