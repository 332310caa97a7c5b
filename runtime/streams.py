"""`async def handler(reader, writer)`, the style of asyncio's streams, over the same `Connection` as everything else.

The reader takes from the connection's own inbox, so the bytes a handler has not asked for yet stay where the
hand-over finds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from .connection import Connection
from .errors import LimitExceeded


class Reader:
    """What the peer sent, when you are ready for it. The method names and errors are those of `asyncio.StreamReader`."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection

    def at_eof(self) -> bool:
        """Whether the peer has ended its side and everything was read."""
        return self._connection.ended and not self._connection.inbox

    async def read(self, n: int = -1) -> bytes:
        """At least one and at most `n` bytes; all until the end with -1; b"" at the end."""
        if n < 0:
            parts = []
            while part := await self.read(self._connection.max_inbox):
                parts.append(part)
            return b"".join(parts)
        if not self._connection.inbox:
            await self._connection.more()
        return self._connection.take(min(n, len(self._connection.inbox)))

    async def readexactly(self, n: int) -> bytes:
        """Exactly `n` bytes.

        Raises:
            asyncio.IncompleteReadError: the peer ended first; the error holds what came.
            LimitExceeded: n is more than the connection's `max_inbox`.
        """
        if n > self._connection.max_inbox:
            raise LimitExceeded("a read", self._connection.max_inbox, unit="bytes")
        while len(self._connection.inbox) < n:
            if not await self._connection.more():
                raise asyncio.IncompleteReadError(self._connection.take(len(self._connection.inbox)), n)
        return self._connection.take(n)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """Up to and with the separator.

        Raises:
            asyncio.IncompleteReadError: the peer ended first; the error holds what came.
            LimitExceeded: it is longer than the connection's `max_inbox`; the peer should be dropped.
        """
        searched = 0
        while (at := self._connection.inbox.find(separator, searched)) < 0:
            searched = max(0, len(self._connection.inbox) - len(separator) + 1)
            if not await self._connection.more():
                raise asyncio.IncompleteReadError(self._connection.take(len(self._connection.inbox)), None)
        return self._connection.take(at + len(separator))

    async def readline(self) -> bytes:
        """One line with its end, or what came before the peer ended: b"" at the end."""
        try:
            return await self.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self.readline():
            yield line


class Writer:
    """What the peer gets. The method names are those of `asyncio.StreamWriter`."""

    def __init__(self, connection: StreamConnection) -> None:
        self._connection = connection

    @property
    def transport(self) -> asyncio.Transport:
        return self._connection.transport

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self._connection.write(b"".join(parts))

    def can_write_eof(self) -> bool:
        return self._connection.transport.can_write_eof()

    def write_eof(self) -> None:
        self._connection.transport.write_eof()

    async def drain(self) -> None:
        await self._connection.drain()

    def is_closing(self) -> bool:
        return self._connection.is_closing

    def close(self) -> None:
        self._connection.close()

    async def wait_closed(self) -> None:
        await self._connection.lost()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._connection.transport.get_extra_info(name, default)


Handler: TypeAlias = Callable[[Reader, Writer], Awaitable[None]]


class StreamConnection(Connection):
    """A connection whose messages a coroutine reads. Reading stops while the inbox is full: that is the back-pressure."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.ended = False

    def opened(self) -> None:
        self._news = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        try:
            await self._handler(Reader(self), Writer(self))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.log.debug("the peer left: %s", error)
        except LimitExceeded as error:
            self.failed(error)
        except Exception:
            self.log.exception("error in %s", getattr(self._handler, "__qualname__", self._handler))
        finally:
            self.close()

    def received(self) -> None:
        self._news.set()
        if len(self.inbox) > self.max_inbox:
            self.pause()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        # The handler may still answer and closes when it is done; TLS has no half-closed state.
        return self.transport.get_extra_info("sslcontext") is None

    def closed(self, reason: BaseException | None) -> None:
        self.ended = True
        self._news.set()
        if reason is not None:
            self.log.debug("lost: %s", reason)

    async def more(self) -> bool:
        """Wait for more bytes in the inbox; False when none will come.

        Raises:
            LimitExceeded: the inbox is full already.
        """
        if len(self.inbox) > self.max_inbox:
            raise LimitExceeded("a message", self.max_inbox, unit="bytes")
        before = len(self.inbox)
        while len(self.inbox) == before and not self.ended:
            self._news.clear()
            await self._news.wait()
        return len(self.inbox) > before

    def take(self, n: int) -> bytes:
        data = bytes(self.inbox[:n])
        del self.inbox[:n]
        if len(self.inbox) <= self.max_inbox:
            self.resume()
        return data
