"""What the connections of one web server share.

uvicorn's own `Server` takes the process's signals, ends the process when something fails at the start, and looks ten times a second whether
it should stop. None of that belongs inside a running server, so its protocols are used on listeners of ours, and this class does what is
left of `Server`'s work: the Date header, the drain, and one look a second at every connection's deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate

from uvicorn.config import Config
from uvicorn.server import ServerState

from ..asgi import Begin, Receive, Scope, Send
from .books import AccessLog, Metrics
from .guard import Guard, WebSocket, protocol
from .limits import Limits

log = logging.getLogger("midair.web")


class Engine:
    """Runs an ASGI application on connections that `factory` makes.

    Args:
        app: called for each request and each websocket: an ASGI application, or one that returns None when it has answered.
        access_log: where answered requests are written, if anywhere.
        parser: "auto" takes httptools when it is installed; "h11" and "httptools" name one.
    """

    def __init__(
        self,
        app: Begin,
        *,
        limits: Limits | None = None,
        access_log: AccessLog | None = None,
        parser: str = "auto",
        name: str = "midair",
    ) -> None:
        self.app = app
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.access_log = access_log
        #: Requests being answered now.
        self.active = 0
        #: The header lines of each answer: Date and Server.
        self.fixed = b""
        self.state = ServerState()
        self.config = Config(
            self.websocket,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            headers=[("server", name)],
            timeout_keep_alive=int(self.limits.idle),
            h11_max_incomplete_event_size=self.limits.head_bytes,
            ws_max_size=1 << 20,
        )
        self.config.load()
        self._protocol: Callable[[Engine], Guard] = protocol(parser)
        self._ticking: asyncio.Task[None] | None = None
        self._noted: dict[str, int] = {}

    def factory(self) -> Guard:
        """A new connection, for a listener."""
        return self._protocol(self)

    #: The clock of all deadlines, in seconds.
    now = staticmethod(time.monotonic)

    @property
    def connections(self) -> int:
        return len(self.state.connections)

    @property
    def websockets(self) -> int:
        return sum(isinstance(connection, WebSocket) for connection in self.state.connections)

    def start(self) -> None:
        self._date()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def drain(self) -> None:
        """Close what is idle, tell websockets that we go, and wait for the answers in hand."""
        for connection in tuple(self.state.connections):
            connection.shutdown()
        while self.state.tasks:
            await asyncio.wait(set(self.state.tasks))

    def stop(self) -> None:
        """Cancel what is still being answered. Call it after `drain`, whether that came to its end or not."""
        if self._ticking is not None:
            self._ticking.cancel()
        for task in tuple(self.state.tasks):
            task.cancel()
        if self.access_log is not None:
            self.access_log.flush()
            self.access_log.close()

    # --- what happened

    def answered(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        self.metrics.add(status or 500, size, seconds)
        if self.access_log is not None:
            self.access_log.add(scope, status, size)

    def dropped(self, why: str, peer: str) -> None:
        """Count a client that was dropped; the log gets the first of each kind in a second, not a line for each."""
        self.metrics.dropped += 1
        if why not in self._noted:
            log.info("dropped %s: %s", peer, why)
        self._noted[why] = self._noted.get(why, 0) + 1

    # --- inside

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application take a websocket, and note it."""
        self.metrics.websockets += 1
        if self.access_log is not None:
            self.access_log.add({**scope, "method": "GET"}, 101, 0)
        rest = self.app(scope, receive, send)
        if rest is not None:
            await rest

    def _date(self) -> None:
        date = (b"date", formatdate(time.time(), usegmt=True).encode())
        self.state.default_headers[:] = [date, *self.config.encoded_headers]
        self.fixed = b"".join(b"%b: %b\r\n" % item for item in self.state.default_headers)

    async def _tick(self) -> None:
        before = self.now()
        while True:
            await asyncio.sleep(1.0)
            self._date()
            now = self.now()
            for connection in tuple(self.state.connections):
                if isinstance(connection, Guard):
                    connection.check(now, now - before)
            before = now
            for why, count in self._noted.items():
                if count > 1:
                    log.info("dropped %d more: %s", count - 1, why)
            self._noted.clear()
            if self.access_log is not None:
                self.access_log.flush()
