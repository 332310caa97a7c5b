"""What every way in has: a transport of asyncio's, seen as a session's `Wire`."""

import asyncio
import logging
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ..console import Console
    from ..session import Session

log = logging.getLogger("midair.console")

READ_OUT = 0.5
"""Seconds that a refused client gets to stop talking before it is cut off: closing with unread input would take our last words back."""


class Connection(asyncio.Protocol):
    """A client in the console's loop."""

    def __init__(self, console: "Console") -> None:
        self.console = console
        self.transport: asyncio.Transport
        self.session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # a loop's own class need not derive from it
        self.transport.set_write_buffer_limits(high=64 * 1024)
        self.console.connections.add(self)
        self.opened()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went is the same to us
        self.console.connections.discard(self)
        self.lost()
        if self.session is not None:
            self.session.close()
        elif self._task is not None:
            self._task.cancel()

    def opened(self) -> None:
        """The client is there."""

    def lost(self) -> None:
        """The client is gone."""

    def start(self, work: "asyncio.Task[None]") -> None:
        """Keep the task that serves this client; an error in it is logged and ends the connection."""
        self._task = work
        work.add_done_callback(self._ended)

    def _ended(self, work: "asyncio.Task[None]") -> None:
        if not work.cancelled() and (error := work.exception()) is not None:
            log.error("a console session ended by an error of ours", exc_info=error)
        if not self._refused:
            self.transport.close()

    def refuse(self, words: bytes) -> None:
        """Say why, read out what the client sends, then hang up."""
        self._refused = True
        self.transport.write(words)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        asyncio.get_running_loop().call_later(READ_OUT, self.transport.abort)

    def unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def close(self) -> None:
        self.transport.close()

    def hide(self, hidden: bool) -> None:
        """A client in line mode shows what is typed by itself; only telnet can ask it not to."""
