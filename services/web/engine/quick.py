"""A connection with the parser in C: uvicorn's protocol, with what it does for every request and few need done when it is needed.

This module needs httptools; without it connections are those of `guard.py` with h11.
"""

from __future__ import annotations

import asyncio
import contextvars
import urllib.parse
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..asgi import Receive, Scope, Send
from .guard import Guard, raising

if TYPE_CHECKING:
    from .engine import Engine

_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Cycle(RequestResponseCycle):
    """uvicorn's request and answer. Its body and its event are made when somebody looks at them, which for most requests is never."""

    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0

    def __init__(self, guard: QuickGuard, scope: Any, *, keep_alive: bool, expects: bool) -> None:
        self.scope = scope
        self.transport = guard.transport
        self.flow = guard.flow
        self.logger = guard.logger
        self.default_headers = guard.server_state.default_headers
        self.on_response = guard.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expects

    @cached_property
    def body(self) -> bytearray:  # type: ignore[override]  # an attribute there
        return bytearray()

    @cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]  # an attribute there
        event = asyncio.Event()
        if not self.more_body or self.disconnected or self.response_complete or self.__dict__.get("body"):
            event.set()  # what it stands for happened before anybody looked
        return event

    def wake(self) -> None:
        """Something happened that whoever waits has to see."""
        event = self.__dict__.get("message_event")
        if event is not None:
            event.set()


class QuickGuard(Guard, HttpToolsProtocol):
    """The parser in C. It takes a header of any length, so that is counted here."""

    direct = True
    fresh: Cycle | None = None
    in_head = receiving = upgrading = False
    parser: httptools.HttpRequestParser  # made before anything arrives, and let go of at the end

    def __init__(self, engine: Engine) -> None:
        HttpToolsProtocol.__init__(self, engine.config, engine.state, {})
        self._prepare(engine)

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
        self.in_head, self.expect_100_continue = True, False

    def on_headers_complete(self) -> None:
        parser = self.parser
        version = parser.get_http_version()
        self.in_head = False
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": _METHODS.get(method := parser.get_method()) or method.decode("ascii"),
            "root_path": "",
            "headers": self.headers,
            "state": {},
        }
        self.scope = cast("Any", scope)
        # What follows a request looks like headers to the parser, and must not become some.
        self.headers = []
        self.upgrading = parser.should_upgrade() and self._should_upgrade()
        if self.upgrading:
            return
        url = self.url
        if url[:1] == b"/" and b"#" not in url:
            raw_path, _, query = url.partition(b"?")
        else:
            parsed = httptools.parse_url(url)
            raw_path, query = parsed.path, parsed.query or b""
        path = raw_path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = raw_path, query
        before = self.cycle
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.cycle = cycle = Cycle(self, scope, keep_alive=keep_alive, expects=self.expect_100_continue)
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
        if cycle is not self.fresh:
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
        answer, began = self._enter(cycle), self.engine.now()
        # What an application sets in its context must not be seen by the next request.
        context = contextvars.copy_context()
        try:
            rest = context.run(self._ask, answer, cycle.scope, cycle.receive)
        except BaseException as error:  # noqa: BLE001 - uvicorn reports it, as it does for those in a task
            rest = raising(error)
        if rest is None:
            self._leave(cycle, answer, began)
            return

        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            await self._complete(cycle, answer, began, rest)

        context.run(self._start_asgi_task, cycle, cast("Any", app))

    # --- between requests

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.refused or self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        # A body that nobody read is dropped for a while, so that the connection can go on.
        limits, cycle = self.engine.limits, self.cycle
        self.resting = not cycle.more_body
        self.deadline = self.engine.now() + (limits.head if cycle.more_body else limits.idle)
