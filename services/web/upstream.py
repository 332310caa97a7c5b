"""Another server behind a path: requests and answers are streamed both ways, and held back by whoever is slower.

The other server may listen on a TCP port or a Unix socket. When it is away the client gets 502 within the connect timeout, and the next
request tries again.
"""

# ruff: noqa: N815  (isLeaf is the name that resources have)

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import h11

from ...runtime.errors import ServiceError
from . import relaying
from .asgi import RawHeaders
from .errors import Disconnected, WebError
from .request import Request
from .resource import Resource
from .sockets import dial, readable

log = logging.getLogger("midair.web")

PIECE = 256 << 10  # bytes read at a time
_IDLE = 8  # connections kept for the next request
_IDLE_FOR = 4.0  # seconds; shorter than what servers usually keep them


class Wire(Protocol):
    """Bytes to and from another server."""

    async def send(self, data: bytes) -> None: ...
    async def receive(self) -> bytes: ...
    def close(self) -> None: ...
    @property
    def is_gone(self) -> bool: ...


class Plain:
    """A socket as it is: what arrives is copied once, which a stream's buffer would do again."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket, self._loop = sock, asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def receive(self) -> bytes:
        return await self._loop.sock_recv(self.socket, PIECE)

    def close(self) -> None:
        self.socket.close()

    @property
    def is_gone(self) -> bool:
        # Anything that can be read from a connection at rest is its end, or worse.
        return readable(self.socket)


class Secure:
    """A stream under TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self) -> bytes:
        return await self._reader.read(PIECE)

    def close(self) -> None:
        self._writer.transport.abort()

    @property
    def is_gone(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()


class Connected:
    """One connection to the other server."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.since = asyncio.get_running_loop().time()
        self.machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 << 10)

    async def send(self, event: Any) -> None:
        data = self.machine.send(event)
        if data:
            await self.wire.send(data)

    async def next(self) -> Any:
        while True:
            event = self.machine.next_event()
            if event is not h11.NEED_DATA:
                return event
            self.machine.receive_data(await self.wire.receive())

    async def body(self) -> AsyncIterator[bytes]:
        """The body of the answer.

        Raises:
            h11.RemoteProtocolError: it ended too early.
        """
        while isinstance(event := await self.next(), h11.Data):
            yield bytes(event.data)

    def begun(self) -> bytes:
        """What of the body came with the header; the rest is on the wire, and the parser is not asked again."""
        self.past_parser = True
        parts = []
        while isinstance(event := self.machine.next_event(), h11.Data):
            parts.append(bytes(event.data))
        return b"".join(parts)

    #: Whether the parser has not seen all of the answer, and so cannot begin another.
    past_parser = False

    def start_anew(self) -> bool:
        """Be ready for another request; whether that can be."""
        machine = self.machine
        if self.past_parser and machine.our_state is h11.DONE:
            self.past_parser = False
            self.machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=64 << 10)
        elif machine.our_state is h11.DONE and machine.their_state is h11.DONE:
            machine.start_next_cycle()
        else:
            return False
        self.since = asyncio.get_running_loop().time()
        return True

    def close(self) -> None:
        self.wire.close()


class Upstream(Resource):
    """Relays what is below its path to another HTTP server.

    Args:
        url: `http://HOST[:PORT]/PATH`, `https://...`, or `http+unix:SOCKET`.
        connect: seconds for a connection to be made.
        answer: seconds for the first byte of an answer.
    """

    __transient__ = ("_idle",)
    isLeaf = True

    def __init__(self, url: str, *, connect: float = 5.0, answer: float = 60.0) -> None:
        self.url, self.connect, self.answer = url, connect, answer
        self.socket = url.removeprefix("http+unix:") if url.startswith("http+unix:") else None
        parts = urlsplit("http://localhost/" if self.socket else url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ServiceError(f"{url!r} is not the address of a web server, such as http://host:8080/")
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname, parts.port or (443 if self.secure else 80)
        self.authority = parts.netloc.rpartition("@")[2]
        self.base = parts.path.rstrip("/")
        self._idle: list[Connected] = []

    def __resume__(self, space: Any) -> None:
        self._idle = []

    async def end(self) -> None:
        for kept in self._idle:
            kept.close()
        self._idle = []

    # --- relaying

    async def respond(self, request: Request) -> None:
        link, used = self._kept(), True
        if link is None:
            link, used = await self._connected(), False
        try:
            try:
                response = await self._ask(link, request)
            except Disconnected:
                raise
            except (OSError, h11.RemoteProtocolError) as error:
                link.close()
                # The other side may just have closed a connection that we kept: once, and only if nothing was taken from the client.
                if not used or request.method not in {"GET", "HEAD", "OPTIONS"}:
                    raise self._away(error) from error
                link = await self._connected()
                try:
                    response = await self._ask(link, request)
                except (OSError, h11.RemoteProtocolError) as again:
                    raise self._away(again) from again
            await self._relay(link, response, request)
        except BaseException:
            link.close()
            raise
        self._keep(link, response)

    async def respond_websocket(self, request: Request) -> None:
        from .tunnel import relay

        path = relaying.target(request, self.base).decode("latin-1")
        scheme = "wss" if self.secure else "ws"
        wire = None
        try:
            async with asyncio.timeout(self.connect):
                wire = None if self.secure else await self._open()
            sock = wire.socket if isinstance(wire, Plain) else None
            url = f"{scheme}://{self.authority}{path}"
            await relay(request, url, self._told(request), sock, self.connect)
        except (OSError, TimeoutError) as error:
            if wire is not None:
                wire.close()
            raise self._away(error) from error

    def _kept(self) -> Connected | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            link = self._idle.pop()
            if now - link.since < _IDLE_FOR and not link.wire.is_gone:
                return link
            link.close()
        return None

    def _keep(self, link: Connected, response: h11.Response) -> None:
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in response.headers)
        if len(self._idle) < _IDLE and not closes and link.start_anew():
            self._idle.append(link)
        else:
            link.close()

    async def _connected(self) -> Connected:
        try:
            async with asyncio.timeout(self.connect):
                return Connected(await self._open())
        except (OSError, TimeoutError) as error:
            raise self._away(error) from error

    async def _open(self) -> Wire:
        if self.secure:
            context = ssl.create_default_context()
            return Secure(*await asyncio.open_connection(self.host, self.port, ssl=context, limit=PIECE))
        if self.socket:
            return Plain(await dial(socket.AF_UNIX, self.socket))
        loop, failed = asyncio.get_running_loop(), OSError(f"{self.host} has no address")
        for family, _, _, _, address in await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            try:
                return Plain(await dial(family, address))
            except OSError as error:
                failed = error
        raise failed

    def _away(self, error: BaseException) -> WebError:
        log.info("%s does not answer: %s", self.url, str(error) or type(error).__name__)
        return WebError(502, "the server behind this address does not answer")

    def _told(self, request: Request) -> RawHeaders:
        host = self.authority.encode() if not self.socket else request.headers.get(b"host", b"localhost")
        return relaying.told(request, host)

    async def _ask(self, link: Connected, request: Request) -> h11.Response:
        await link.send(
            h11.Request(method=request.method, target=relaying.target(request, self.base), headers=self._told(request))
        )
        sending = asyncio.ensure_future(self._send_body(link, request if relaying.has_body(request) else None))
        first = asyncio.ensure_future(self._first(link))
        try:
            await asyncio.wait({sending, first}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                # A server that closes early may have said why before; a client that left has said all it will.
                if isinstance(error := sending.exception(), Disconnected | WebError):
                    raise error
                # The clock runs from the end of the body: an upload may take as long as it takes.
                await asyncio.wait({first}, timeout=self.answer)
            if not first.done():
                raise WebError(504, f"the server behind this address did not answer within {self.answer:g} seconds")
            return first.result()
        finally:
            sending.cancel()
            first.cancel()
            await asyncio.gather(sending, first, return_exceptions=True)

    @staticmethod
    async def _send_body(link: Connected, request: Request | None) -> None:
        if request is not None:
            async for piece in request.stream():
                await link.send(h11.Data(data=piece))
        await link.send(h11.EndOfMessage())

    @staticmethod
    async def _first(link: Connected) -> h11.Response:
        while True:
            event = await link.next()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("it closed the connection before it answered")

    async def _relay(self, link: Connected, response: h11.Response, request: Request) -> None:
        headers = relaying.passed_back(response.headers.raw_items(), request)
        request.started = True
        await request.send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        length = max([int(value) for name, value in headers if name.lower() == b"content-length"], default=0)
        bodiless = request.method == "HEAD" or response.status_code in {204, 304}
        direct = "midair.response.splice" in request.scope.get("extensions", ())
        try:
            if length > PIECE and not bodiless and direct and isinstance(link.wire, Plain):
                await self._splice(link, link.wire, length, request)
            else:
                async for piece in link.body():
                    await request.send({"type": "http.response.body", "body": piece, "more_body": True})
        except Disconnected:
            raise
        except (OSError, h11.RemoteProtocolError) as error:
            # Half an answer cannot be taken back; the client sees the connection closed.
            raise Disconnected(f"{self.url} broke off its answer: {error}") from error
        request.finished = True
        await request.send({"type": "http.response.body", "body": b""})

    @staticmethod
    async def _splice(link: Connected, wire: Plain, length: int, request: Request) -> None:
        """A long answer, past the parser and from socket to socket."""
        begun = link.begun()
        await request.send({"type": "http.response.body", "body": begun, "more_body": True})
        await request.send({"type": "midair.response.splice", "socket": wire.socket, "count": length - len(begun)})
