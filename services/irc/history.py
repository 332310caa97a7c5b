"""What was said, for CHATHISTORY and for those who come back after a restart. No I/O."""

from __future__ import annotations

import bisect
import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain

KEPT = 1000  # items a target
PAGE_LIMIT = 200  # items a reply


def timestamp(at: float) -> str:
    """Return a moment as server-time writes it: 2026-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(at: float) -> int:
    """Return a moment as clients see it, in whole milliseconds: cut, as `timestamp` cuts, never rounded.

    Clients send back what they were shown, so that is what moments are compared by.
    """
    return round(at * 1_000_000) // 1000


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

    Messages and events (joins, topics, modes) are kept apart, so that a door that keeps swinging pushes no word out.

    In a snapshot: saved; whoever was there can page through it after a restart.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._messages: deque[Item] = deque(maxlen=kept)
        self._events: deque[Item] = deque(maxlen=max(1, kept // 4))

    def __len__(self) -> int:
        return len(self._messages) + len(self._events)

    def __iter__(self) -> Iterator[Item]:
        return heapq.merge(self._messages, self._events, key=_time)

    @property
    def last_time(self) -> float:
        """When the last message was said, seconds since 1970; 0 when there is none."""
        return self._messages[-1].time if self._messages else 0.0

    def add(self, item: Item) -> None:
        (self._messages if item.is_message else self._events).append(item)

    def remove(self, msgid: str) -> bool:
        """Forget one item; tell whether it was there."""
        item = self.find(msgid)
        if item is None:
            return False
        (self._messages if item.is_message else self._events).remove(item)
        return True

    def find(self, msgid: str) -> Item | None:
        return next((item for item in chain(self._messages, self._events) if item.msgid == msgid), None)

    # --- pages; `events` takes joins, topics and the like too

    def latest(self, limit: int, *, after: Point | None = None, events: bool = False) -> list[Item]:
        items = self._items(events=events)
        start = self._place(items, after)[1] if after else 0
        return items[max(start, len(items) - limit) :]

    def before(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        items = self._items(events=events)
        stop = self._place(items, point)[0]
        return items[max(0, stop - limit) : stop]

    def after(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        items = self._items(events=events)
        start = self._place(items, point)[1]
        return items[start : start + limit]

    def between(self, first: Point, second: Point, limit: int, *, events: bool = False) -> list[Item]:
        """Return what lies strictly between, from first on: the newest of it when first is the later one."""
        items = self._items(events=events)
        one, two = self._place(items, first), self._place(items, second)
        if one[1] <= two[0]:
            return items[one[1] : min(two[0], one[1] + limit)]
        return items[max(two[1], one[0] - limit) : one[0]]

    def around(self, point: Point, limit: int, *, events: bool = False) -> list[Item]:
        items = self._items(events=events)
        middle = self._place(items, point)[0]
        start = max(0, middle - limit // 2)
        return items[start : start + limit]

    def _items(self, *, events: bool) -> list[Item]:
        return list(self) if events else list(self._messages)

    def _place(self, items: list[Item], point: Point) -> tuple[int, int]:
        """Return the places just before and just behind a point: the same where no item is exactly there."""
        if point.msgid:
            for place, item in enumerate(items):
                if item.msgid == point.msgid:
                    return place, place + 1
            known = self.find(point.msgid)  # an event, where only messages were asked for
            place = bisect.bisect_left(items, known.time, key=_time) if known else 0
            return place, place
        shown = milliseconds(point.time)
        return bisect.bisect_left(items, shown, key=_shown), bisect.bisect_right(items, shown, key=_shown)


def _time(item: Item) -> float:
    return item.time


def _shown(item: Item) -> int:
    return milliseconds(item.time)


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
        return Point(time=at)
    return None
