"""One connection: uvicorn's protocol with deadlines and limits, and the face that a service's connections have.

uvicorn itself waits for ever for the first request, for the rest of a header and for a body, and its fast parser takes any number of
header lines. The guard keeps one deadline for a connection, and the engine looks at all of them once a second.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ..asgi import Receive, Scope, Send
from ..errors import Disconnected
from .answer import Answer

if TYPE_CHECKING:
    from .engine import Engine

_numbers = itertools.count(1)
NEVER = math.inf
EXTENSIONS: dict[str, dict[str, Any]] = {"http.response.zerocopysend": {}, "midair.response.splice": {}}
LINGER = 2.0  # seconds in which a refused client may go on sending into the void


class Guard(asyncio.Protocol):
    """What is added to uvicorn's protocol, whichever parser it has."""

    engine: Engine
    service: Any = None
    number = 0
    peer = "not connected"
    websocket: WebSocket | None = None
    _keeper: Any = None

    # What uvicorn's protocols bring with them.
    transport: asyncio.Transport
    cycle: Any
    flow: Any
    app: Any

    def _prepare(self, engine: Engine) -> None:
        self.engine = engine
        self.app = self._answer
        self.access_log = False  # ours is written when the answer is complete, and costs less
        self.ws_protocol_class: Any = functools.partial(WebSocket, guard=self)
        self.deadline = NEVER
        self.pending = 0
        self.taken = 0
        self.request_began = 0.0
        self.stuck_at = -1
        self.stuck_since = 0.0
        self.refused = False
        self.resting = False

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.number = next(_numbers)
        address = transport.get_extra_info("peername")
        self.peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "unix"
        self.deadline = self.engine.now() + self.engine.limits.head
        if self._keeper:
            self._keeper.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._keeper:
            self._keeper.touch()
        if self.refused:
            return  # read and dropped, or the refusal would be lost with the connection
        cycle = self.cycle
        super().data_received(data)
        if self.cycle is not cycle:
            self.pending = 0  # a request began, and its own deadline with it
        else:
            self._count(len(data))

    def _count(self, size: int) -> None:
        """Bytes came that began no request: a part of a header, or of a body."""
        cycle = self.cycle
        waiting = cycle is None or cycle.response_complete
        if waiting and (self.resting or self.deadline == NEVER):
            self.resting = False
            self.deadline = self.engine.now() + self.engine.limits.head
        elif not waiting and self.deadline != NEVER:
            # A body that comes too slowly runs into its deadline, however steadily it drips.
            self.taken += size
            self.deadline = self.request_began + self.engine.limits.body + self.taken / self.engine.limits.rate
        dropping = cycle is not None and cycle.more_body  # the rest of a body that nobody read
        if (waiting and not dropping) or self.half_a_head():
            self.pending += size
            if self.pending > self.engine.limits.head_bytes:
                self.refuse(431, f"the header of a request is limited to {self.engine.limits.head_bytes:,} bytes")

    def half_a_head(self) -> bool:
        """Whether the header of a next request has begun while this one is being answered."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.left()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's text
        self.refuse(400, "this is not a request that can be understood")

    def left(self) -> None:
        self.deadline = NEVER
        if self._keeper:
            self._keeper.closed(self)

    # --- requests

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What uvicorn calls as the application for each request that has a task."""
        cycle: Any = send.__self__  # type: ignore[attr-defined]  # uvicorn's send is a method of its cycle
        answer, own = self._writer(cycle)
        self._enter(cycle)
        await self._complete(cycle, answer, self.engine.now(), self._asking(scope, receive, own))

    def _writer(self, cycle: Any) -> tuple[Answer, Send]:
        """What uvicorn's cycle writes to from here on, and what the application sends by."""
        cycle.transport = answer = Answer(self, cycle)
        return answer, answer.send

    def _enter(self, cycle: Any) -> None:
        """An answer begins that is waited for."""
        engine = self.engine
        self.resting = False
        if cycle.more_body:
            self.request_began, self.taken = engine.now(), 0
            self.deadline = self.request_began + engine.limits.body
        else:
            self.deadline = NEVER
        cycle.scope["extensions"] = EXTENSIONS
        engine.active += 1

    def _ask(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None] | None:
        limit = self.engine.limits.headers
        if len(scope["headers"]) > limit:
            return _say(send, 431, f"a request has at most {limit} header lines")
        return self.engine.app(scope, receive, send)

    async def _asking(self, scope: Scope, receive: Receive, send: Send) -> None:
        rest = self._ask(scope, receive, send)
        if rest is not None:
            await rest

    async def _complete(self, cycle: Any, answer: Answer, began: float, rest: Awaitable[None]) -> None:
        try:
            await rest
        except Disconnected:
            # Either side went away in the middle: cut the answer short, and have uvicorn say nothing about it.
            cycle.disconnected = True
            answer.close()
        finally:
            # Nothing of a request points back at itself: its memory goes at once, and not at the collector's next round.
            answer.flush()
            cycle.transport = self.transport
            engine = self.engine
            engine.active -= 1
            engine.answered(cycle.scope, answer.status, answer.sent, engine.now() - began)

    def on_response_complete(self) -> None:
        # A body that nobody read is dropped for a while, so that the connection can go on.
        unread = self.cycle is not None and self.cycle.more_body
        if not self.refused:
            self.deadline = self.engine.now() + self.engine.limits.head if unread else NEVER
        super().on_response_complete()  # type: ignore[misc]  # uvicorn's

    def handle_websocket_upgrade(self, *args: Any) -> None:
        self.deadline = NEVER
        super().handle_websocket_upgrade(*args)  # type: ignore[misc]  # uvicorn's

    # --- deadlines

    def check(self, now: float, since: float) -> None:
        """Drop the client if it is over a deadline. `since` is the time since the last look, in seconds."""
        transport = self.transport
        if transport.is_closing():
            return
        if self.flow.write_paused:
            left = transport.get_write_buffer_size()
            if left != self.stuck_at:
                self.stuck_at, self.stuck_since = left, now
            elif now - self.stuck_since > self.engine.limits.stall:
                self.engine.dropped("took nothing of its answer", self.peer)
                transport.abort()
            return
        if self.flow.read_paused:
            self.deadline += since  # it is us who are slow
        elif now > self.deadline:
            cycle = self.cycle
            if cycle is not None and not cycle.response_complete and cycle.response_started:
                self.engine.dropped("sent its body too slowly", self.peer)
                transport.abort()
            elif cycle is not None and not cycle.response_complete:
                self.refuse(408, "the body of the request came too slowly")
            elif (
                self.refused
                or self.resting
                or (cycle is not None and cycle.more_body)
                or (cycle is None and not self.pending)
            ):
                transport.close()  # refused, or done with, or it never asked: there is nothing to answer
            else:
                self.refuse(408, "the header of the request came too slowly")

    def refuse(self, code: int, reason: str) -> None:
        """Say why, close, and let the parser see nothing more."""
        if self.transport.is_closing() or self.refused:
            return
        self.refused = True
        self.engine.dropped(f"got {code}, {reason}", self.peer)
        self.engine.metrics.add(code, 0, 0.0)
        cycle = self.cycle
        if cycle is None or not cycle.response_started or cycle.response_complete:
            self.transport.write(refusal(code, reason))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger()

    def part(self) -> None:
        """Close after what was written."""
        cycle = self.cycle
        if cycle is not None and cycle.more_body and not self.transport.is_closing():
            self.refused = True
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        # Closing at once would reset the connection while the client still sends, and it would never read why.
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
            self.deadline = self.engine.now() + LINGER
        else:
            self.transport.close()

    # --- what a service asks of its connections

    @property
    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def close(self) -> None:
        """Close after the answer in hand."""
        if self.websocket is not None:
            self.websocket.shutdown()
        elif self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def abort(self) -> None:
        self.transport.abort()

    def __repr__(self) -> str:
        kind = "websocket" if self.websocket else "http"
        return f"<{kind} connection {self.number} from {self.peer}>"


class GuardedH11(Guard, H11Protocol):  # pyright: ignore[reportIncompatibleMethodOverride] - arguments go through
    """The parser in Python, which is always there. It limits the header by itself."""

    def __init__(self, engine: Engine) -> None:
        H11Protocol.__init__(self, engine.config, engine.state, {})
        self._prepare(engine)


class WebSocket(WebSocketsSansIOProtocol):
    """A websocket, in the books of the connection that it began as."""

    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard = guard
        guard.websocket = self

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.guard.left()


def protocol(parser: str = "auto") -> Callable[[Engine], Guard]:
    """The class for connections: the parser in C when httptools is installed ("auto"), or "h11", or "httptools"."""
    if parser == "h11":
        return GuardedH11
    try:
        from .quick import QuickGuard
    except ImportError:
        if parser == "httptools":
            raise
        return GuardedH11
    return QuickGuard


def refusal(code: int, reason: str) -> bytes:
    from ..rules import phrase

    text = f"{reason[:1].upper()}{reason[1:]}.\n".encode()
    head = f"HTTP/1.1 {code} {phrase(code)}\r\ncontent-type: text/plain; charset=utf-8\r\n"
    return f"{head}content-length: {len(text)}\r\nconnection: close\r\n\r\n".encode() + text


async def raising(error: BaseException) -> None:
    raise error


async def _say(send: Send, code: int, reason: str) -> None:
    text = f"{reason[:1].upper()}{reason[1:]}.\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": text})
