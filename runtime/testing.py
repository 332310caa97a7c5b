"""Helpers for tests, ours and yours: a clock to turn by hand, a transport in memory, an edit, a round trip.

clock = FakeClock(); server = Server(space, clock=clock); ...; clock.advance(5)
connection, transport = connected(Lines()); connection.data_received(b"hello\\r\\n"); transport.sent
edit(tmp_path / "greet.py", "'hello'", "'good day'")
again = resaved(space)
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .connection import Connection
from .space import Space

C = TypeVar("C", bound=Connection)


class FakeClock:
    """Time that stands still until `advance`: a `Clock` for servers and timers under test.

    Args:
        start: seconds since the epoch at first.
    """

    def __init__(self, start: float = 1_000_000.0) -> None:
        self._now = start
        self._calls: list[_Call] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> _Call:
        entry = _Call(self._now + delay, next(self._order), call, args)
        heapq.heappush(self._calls, entry)
        return entry

    def advance(self, seconds: float) -> None:
        """Let time pass, and make every call that falls due, in order, at its own moment."""
        until = self._now + seconds
        while self._calls and self._calls[0].at <= until:
            entry = heapq.heappop(self._calls)
            self._now = max(self._now, entry.at)
            if not entry.cancelled:
                entry.call(*entry.args)
        self._now = until

    def jump(self, seconds: float) -> None:
        """Set the clock forward without anything being called, as when the machine slept."""
        self._now += seconds


class _Call:
    def __init__(self, at: float, order: int, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.at, self.order, self.call, self.args = at, order, call, args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: _Call) -> bool:
        return (self.at, self.order) < (other.at, other.order)


class MemoryTransport(asyncio.Transport):
    """A transport without a socket: what was written is in `sent`, or held back while `stalled`."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self.sent = bytearray()
        self.held = bytearray()
        #: Whether the peer takes nothing.
        self.stalled = False
        self.reading = True
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        (self.held if self.stalled else self.sent).extend(data)

    def release(self, n: int) -> None:
        """Let the peer take `n` of the bytes held back."""
        self.sent += self.held[:n]
        del self.held[:n]
        if not self.held:
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.held)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self.held.clear()
        self._lose(None)

    def _lose(self, reason: Exception | None) -> None:
        if not self._closing:
            self._closing = True
            self._protocol.connection_lost(reason)


def connected(connection: C) -> tuple[C, MemoryTransport]:
    """The connection, connected to a transport in memory. Call it where a loop runs."""
    transport = MemoryTransport(connection)
    connection.connection_made(transport)
    return connection, transport


def edit(path: str | Path, *change: str) -> None:
    """Save a file as editors do, by rename: with a new text, or with one piece of it replaced.

    Args:
        change: the whole new text; or the old piece, which must be there exactly once, and the new one.
    """
    path = Path(path)
    if len(change) == 2:
        before, (old, new) = path.read_text(encoding="utf-8"), change
        if before.count(old) != 1:
            raise ValueError(f"{old!r} is {before.count(old)} times in {path.name}; an edit needs it once")
        text = before.replace(old, new)
    else:
        (text,) = change
    scratch = path.with_name(f".{path.name}.{os.getpid()}~")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def resaved(space: Space) -> Space:
    """The space as it comes back after a save and a load."""
    from . import snapshot

    again = snapshot.loads(snapshot.dumps(space))
    assert isinstance(again, Space)
    return again
