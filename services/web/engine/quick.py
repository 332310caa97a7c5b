"""A connection with the parser in C: uvicorn's protocol, with what it does for every request and few need done when it is needed.

This module needs httptools; without it connections are those of `guard.py` with h11.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from collections.abc import Awaitable
from contextvars import copy_context
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..asgi import Message, Receive, Scope, Send
from .answer import BODILESS, FIRST_LINES, Answer
from .guard import EXTENSIONS, Guard, raising

if TYPE_CHECKING:
    from .engine import Engine

_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Cycle(RequestResponseCycle):
    """uvicorn's request and answer, and the `send` that its application gets.

    Its body, its event and its `Answer` are made when somebody needs them, which for most requests is never.

    Attributes:
        status, sent: of an answer that went out by `whole`.
    """

    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0
    waiting_for_100_continue = False
    logger = logging.getLogger("uvicorn.error")
    status = 0
    sent = 0
    scope: Any
    transport: Any
    _event: asyncio.Event | None = None

    def __init__(self, guard: QuickGuard, scope: Any, *, keep_alive: bool) -> None:
        self.guard, self.scope, self.keep_alive = guard, scope, keep_alive
        self.transport, self.flow = guard.transport, guard.flow

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]  # an attribute there
        return self.guard.server_state.default_headers

    @cached_property
    def body(self) -> bytearray:  # type: ignore[override]  # an attribute there
        return bytearray()

    @property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]  # an attribute there
        event = self._event
        if event is None:
            event = self._event = asyncio.Event()
            if not self.more_body or self.disconnected or self.response_complete or self.__dict__.get("body"):
                event.set()  # what it stands for happened before anybody looked
        return event

    def wake(self) -> None:
        """Something happened that whoever waits has to see."""
        if self._event is not None:
            self._event.set()

    def on_response(self) -> None:
        self.guard.on_response_complete()

    def answer(self) -> Answer:
        """What uvicorn writes to."""
        answer = self.transport
        if not isinstance(answer, Answer):
            self.transport = answer = Answer(self.guard, self)
        return answer

    def __call__(self, message: Message) -> Awaitable[None]:
        return self.answer().send(message)

    def whole(self, status: int, lines: bytes, body: bytes) -> bool:
        """Send an answer that is complete, in one write and without uvicorn looking at each header again.

        Args:
            lines: header lines, checked by who made them, each with its line end. Content-Length and Connection are added here.

        Returns:
            Whether it was sent. If not (it has begun, or the client is slow), it goes by messages.
        """
        if self.response_started or self.flow.write_paused or self.disconnected:
            return False
        guard = self.guard
        if not self.keep_alive:
            lines += b"connection: close\r\n"
        length = b"\r\n" if status in BODILESS else b"content-length: %d\r\n\r\n" % len(body)
        if status in BODILESS or self.scope["method"] == "HEAD":
            body = b""
        guard.transport.write(b"".join((FIRST_LINES[status], guard.engine.fixed, lines, length, body)))
        books = self.transport if isinstance(self.transport, Answer) else self
        books.status, books.sent = status, len(body)
        self.response_started = self.response_complete = True
        self.wake()
        if not self.keep_alive:
            guard.part()
        guard.on_response_complete()
        return True


class QuickGuard(Guard, HttpToolsProtocol):
    """The parser in C. It takes a header of any length, so that is counted here."""

    fresh: Cycle | None = None
    in_head = receiving = upgrading = connects = False
    parser: httptools.HttpRequestParser  # made before anything arrives, and let go of at the end
    scope: Any

    def __init__(self, engine: Engine) -> None:
        HttpToolsProtocol.__init__(self, engine.config, engine.state, {})
        self._prepare(engine)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        #: What the scopes of this connection have in common; a copy is quicker than making each anew.
        self.common: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": "GET",
            "root_path": "",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [],
            "extensions": EXTENSIONS,
        }

    def data_received(self, data: bytes) -> None:
        if self._keeper:
            self._keeper.touch()
        if self.refused:
            return  # read and dropped, or the refusal would be lost with the connection
        before = self.cycle
        self.receiving = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        self.receiving = False
        if self.fresh is not None:
            fresh, self.fresh = self.fresh, None
            self._start_now(fresh)
        if self.cycle is before:
            self._count(len(data))
        else:
            self.pending = 0  # a request began, and its own deadline with it

    # --- what the parser sees

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.in_head, self.expect_100_continue, self.connects = True, False, False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"connection":
            self.connects = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        self.in_head = False
        scope = self.common.copy()
        scope["headers"] = self.headers
        method, keep_alive = parser.get_method(), parser.should_keep_alive()
        if method != b"GET":
            scope["method"] = _METHODS.get(method) or method.decode("ascii")
        if self.connects or not keep_alive:  # who keeps a connection without a word speaks 1.1, and to ask is dear
            scope["http_version"] = version = parser.get_http_version()
            keep_alive = keep_alive and version != "1.0"
        self.scope = scope
        # What follows a request looks like headers to the parser, and must not become some.
        self.headers = []
        self.upgrading = parser.should_upgrade() and self._should_upgrade()
        if self.upgrading:
            return
        _address(scope, self.url)
        before = self.cycle
        self.cycle = cycle = Cycle(self, scope, keep_alive=keep_alive)
        if self.expect_100_continue:
            cycle.waiting_for_100_continue = True
        if before is not None and not before.response_complete:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        elif self.receiving:
            self.fresh = cycle  # not inside of the parser, which has the end of the request still to see
        else:
            self._start_asgi_task(cycle, self.app)

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if self.upgrading or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > 65536:
            self.flow.pause_reading()
        cycle.wake()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if self.upgrading or cycle.response_complete:
            return
        cycle.more_body = False
        cycle.wake()

    def half_a_head(self) -> bool:
        return self.in_head

    def _get_upgrade(self) -> bytes | None:
        kept, self.headers = self.headers, list(self.scope["headers"])
        found = super()._get_upgrade()
        self.headers = kept
        return found

    def _start_now(self, cycle: Any) -> None:
        """Begin to answer without a task; it gets one when something has to be awaited."""
        engine, began = self.engine, self.engine.now()
        # What an application sets in its context must not be seen by the next request.
        context = copy_context()
        try:
            rest = context.run(self._ask, cycle.scope, cycle.receive, cycle)
        except BaseException as error:  # noqa: BLE001 - uvicorn reports it, as it does for those in a task
            rest = raising(error)
        if rest is None:
            engine.answered(cycle.scope, cycle.status, cycle.sent, engine.now() - began)
            return
        waited = rest

        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            await self._complete(cycle, answer, began, waited)

        answer, _ = self._writer(cycle)
        self._enter(cycle)
        context.run(self._start_asgi_task, cycle, cast("Any", app))

    def _writer(self, cycle: Cycle) -> tuple[Answer, Send]:
        return cycle.answer(), cycle

    # --- between requests

    def on_response_complete(self) -> None:
        if self.refused or self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        # A body that nobody read is dropped for a while, so that the connection can go on.
        engine, unread = self.engine, self.cycle.more_body
        self.resting = not unread
        self.deadline = engine.now() + (engine.limits.head if unread else engine.limits.idle)


def _address(scope: dict[str, Any], url: bytes) -> None:
    """Put the parts of a request target into its scope."""
    raw_path, _, query = url.partition(b"?")
    path = raw_path.decode("ascii")
    if path[:1] != "/" or "#" in path or (query and b"#" in query):
        parsed = httptools.parse_url(url)
        raw_path, query = parsed.path, parsed.query or b""
        path = raw_path.decode("ascii")
    scope["path"] = urllib.parse.unquote(path) if "%" in path else path
    scope["raw_path"], scope["query_string"] = raw_path, query
