"""A site of another midair server behind a path, asked over services/spread: `midair://host/NAME`, or a Unix socket.

Calls carry requests, answers and websockets, streamed both ways and held back by whoever is slower (offered.py is the other end). When the other
server is away the client gets 502 within the connect timeout; the next request connects again. What it says is checked as a stranger's is.
"""

# ruff: noqa: N815  (isLeaf is the name that resources have)

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from ...runtime.errors import ProtocolError, ServiceError
from ..spread import How, Peer, RemoteReference, SpreadError
from ..spread.address import Address, parse
from ..spread.errors import BadAddress, DeadReference, RemoteError
from . import relaying
from .asgi import RawHeaders
from .credentials import peer_of
from .errors import Disconnected, WebError
from .offered import DIALECT, LANE_NAME, LIMITS, PIECE
from .request import Request
from .resource import Resource
from .sockets import dial, readable

log = logging.getLogger("midair.web")

DEFAULT_PORT = 8787
MOST_LANES = 8  # sockets kept for long answers
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FAILED = (SpreadError, RemoteError, ProtocolError, OSError)


class FarSite(Resource):
    """Relays what is below its path to a site that another midair server offers.

    Args:
        url: `midair://[PRINT@]HOST:PORT/NAME`, `midair+tcp://127.0.0.1:PORT/NAME`, or `midair+unix:///SOCKET`.
        connect: seconds for a connection to be made.
        answer: seconds for an answer to begin, from the end of the request on.
        owner: on a Unix socket: the id of the user that the socket and its listener must belong to.

    *In a snapshot:* the address; it connects again.
    """

    __transient__ = ("_connecting", "_lanes", "_peer")
    isLeaf = True

    def __init__(self, url: str, *, connect: float = 5.0, answer: float = 60.0, owner: int | None = None) -> None:
        try:
            self.address: Address = parse(with_port(url))
        except BadAddress as error:
            raise ServiceError(str(error)) from None
        self.url, self.connect, self.answer, self.owner = url, connect, answer, owner
        self.__resume__(None)

    def __resume__(self, space: Any) -> None:
        self._peer: Peer | None = None
        self._connecting: asyncio.Task[Peer] | None = None
        self._lanes: list[Lane] = []

    async def end(self) -> None:
        for lane in self._lanes:
            lane.close()
        self._lanes = []
        if self._connecting is not None:
            self._connecting.cancel()
        if self._peer is not None:
            await self._peer.close()

    # --- the connection

    async def _connected(self) -> Peer:
        if self._peer is not None and self._peer.connected:
            return self._peer
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._open())
            self._connecting.add_done_callback(self._tried)
        try:
            # All who wait share one attempt, and one who leaves does not end it for the others.
            return await asyncio.shield(self._connecting)
        except _FAILED as error:
            raise self._away(error) from error

    def _tried(self, task: asyncio.Task[Peer]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # seen, if nobody waits any more

    async def _open(self) -> Peer:
        self._check_file()
        peer = Peer(self.address, How(timeout=self.connect, limits=LIMITS, dialects=(DIALECT,), owner=self.owner))
        await peer.open()
        self._peer = peer
        return peer

    def _check_file(self) -> None:
        if self.owner is not None and (found := os.lstat(self.address.path)).st_uid != self.owner:
            raise PermissionError(f"{self.address.path} belongs to user {found.st_uid}; nothing was sent to it")

    def _away(self, error: BaseException) -> WebError:
        log.info("%s does not answer: %s", self.address.place, str(error) or type(error).__name__)
        return WebError(502, "the server behind this address does not answer")

    # --- requests

    async def respond(self, request: Request) -> None:
        body, patience = Body(request), asyncio.timeout(None)
        try:
            async with patience, body.watched(lambda: patience.reschedule(0)):
                await self._exchange(request, body)
        except TimeoutError:
            if not patience.expired():
                raise
            raise body.why or Disconnected("the client went away before its answer was complete") from None

    async def _exchange(self, request: Request, body: Body) -> None:
        was_there = self._peer is not None and self._peer.connected
        peer = await self._connected()
        lane = await self._lane(request)
        try:
            await self._exchange_on(peer, lane, request, body, again=was_there)
        finally:
            if lane is not None:
                self._give_back(lane)

    def _give_back(self, lane: Lane) -> None:
        lane.busy = False
        if lane.owed:
            # Whatever may still come on it belongs to nobody, and must not become part of the next answer.
            lane.close()
            self._lanes.remove(lane)

    async def _exchange_on(self, peer: Peer, lane: Lane | None, request: Request, body: Body, *, again: bool) -> None:
        try:
            try:
                answer = await self._ask(peer, request, body, lane)
            except DeadReference as error:
                # The other server may have been restarted since: once more, if nothing can have happened twice.
                if not again or request.method not in SAFE or body.expected:
                    raise self._away(error) from error
                peer, lane = await self._connected(), None
                answer = await self._ask(peer, request, body, lane)
        except _FAILED as error:
            raise self._away(error) from error
        if lane is not None:
            lane.owed = answer[3] is True
        await self._relay(request, lane, *answer)

    async def _ask(self, peer: Peer, request: Request, body: Body, lane: Lane | None) -> Any:
        head = self._head(request, lane)
        promise = peer.root.call("ask", head, body.pieces()) if body.expected else peer.root.call("ask", head)
        try:
            await asyncio.wait({promise, body.read}, return_when=asyncio.FIRST_COMPLETED)
            if not promise.done():
                # The clock runs from the end of the body: an upload may take as long as it takes.
                await asyncio.wait({promise}, timeout=self.answer)
            if not promise.done():
                raise WebError(504, f"the server behind this address did not answer within {self.answer:g} seconds")
            return checked(promise.result())
        finally:
            promise.cancel()

    def _head(self, request: Request, lane: Lane | None) -> list[Any]:
        host = request.headers.get(b"host", b"localhost")
        lines = [part for line in relaying.told(request, host) for part in line]
        scheme: str = request.scope["scheme"]
        name = lane.name if lane else b""
        return [request.method, scheme, relaying.target(request), request.client, name, *lines]

    async def _relay(
        self, request: Request, lane: Lane | None, status: int, lines: RawHeaders, begun: bytes, rest: Any
    ) -> None:
        headers = relaying.passed_back(lines, request)
        bodiless = request.method == "HEAD" or status in {204, 304}
        length = next((value for name, value in headers if name.lower() == b"content-length"), None)
        if rest is None and length is None and not bodiless:
            headers.append((b"content-length", b"%d" % len(begun)))
        request.started = True
        await request.send({"type": "http.response.start", "status": status, "headers": headers})
        try:
            if rest is True:
                await self._from_lane(request, lane, length)
            elif rest is not None:
                async with contextlib.aclosing(pieces_of(rest)) as pieces:
                    async for piece in pieces:
                        await request.send({"type": "http.response.body", "body": piece, "more_body": True})
        except _FAILED as error:
            # Half an answer cannot be taken back; the client sees the connection closed.
            raise Disconnected(f"{self.address.place} broke off its answer: {error}") from error
        request.finished = True
        try:
            await request.send({"type": "http.response.body", "body": begun})
        except RuntimeError as error:
            raise Disconnected(f"{self.address.place} sent another length than it said: {error}") from error

    # --- long answers

    async def _lane(self, request: Request) -> Lane | None:
        """A socket for a long answer, where there can be one and the engine can make use of it."""
        if not self.address.path or request.method != "GET":
            return None
        if "midair.response.splice" not in request.scope.get("extensions", ()):
            return None
        for lane in [lane for lane in self._lanes if not lane.busy and lane.is_gone]:
            lane.close()
            self._lanes.remove(lane)
        free = next((lane for lane in self._lanes if not lane.busy), None)
        if free is None and len(self._lanes) < MOST_LANES:
            with contextlib.suppress(*_FAILED):  # without a lane the answer comes in messages
                free = await self._new_lane()
        if free is not None:
            free.busy = free.owed = True
        return free

    async def _new_lane(self) -> Lane:
        async with asyncio.timeout(self.connect):
            sock = await dial(socket.AF_UNIX, lanes_of(self.address.path))
        if self.owner is not None and peer_of(sock) != self.owner:
            sock.close()
            raise PermissionError(f"somebody else answers beside {self.address.path}; nothing was sent there")
        lane = Lane(sock)
        lane.busy = True  # by who makes it
        await asyncio.get_running_loop().sock_sendall(sock, lane.name)
        self._lanes.append(lane)
        return lane

    async def _from_lane(self, request: Request, lane: Lane | None, length: bytes | None) -> None:
        if lane is None or length is None or not length.isdigit():
            raise SpreadError("an answer without a length, or on a lane that nobody offered")
        await request.send({"type": "midair.response.splice", "socket": lane.socket, "count": int(length)})
        lane.owed = False

    # --- websockets

    async def respond_websocket(self, request: Request) -> None:
        await request.receive()
        peer = await self._connected()
        offered = ",".join(request.scope.get("subprotocols", ()))
        head = self._head(request, None)
        head.insert(5, offered)
        try:
            events = await peer.root.within(self.connect).call("websocket", head, messages(request))
            async with contextlib.aclosing(read(events)) as said:
                async for event in said:
                    if not await self._say(request, event):
                        return
        except _FAILED as error:
            log.info("%s broke off a websocket: %s", self.address.place, error)
            await request.send({"type": "websocket.close", "code": 1011})

    @staticmethod
    async def _say(request: Request, event: Any) -> bool:
        """Pass on what the other side says; whether more may come."""
        if isinstance(event, int):
            await request.send({"type": "websocket.close", "code": event})
            return False
        if isinstance(event, list):
            _, subprotocol, *lines = event
            accepted = subprotocol if subprotocol in request.scope.get("subprotocols", ()) else None
            headers = [line for line in pairs(lines) if not line[0].lower().startswith(b"sec-websocket-")]
            await request.send({"type": "websocket.accept", "subprotocol": accepted, "headers": headers})
        else:
            await request.send({"type": "websocket.send", "text" if isinstance(event, str) else "bytes": event})
        return True


class Body:
    """The body of a request on its way, and the client behind it.

    Attributes:
        read: settled when the body is at its end.
        why: what is wrong with it, if anything.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.expected = relaying.has_body(request)
        self.read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.why: WebError | Disconnected | None = None
        if not self.expected:
            self.read.set_result(None)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._request.stream():
                for at in range(0, len(piece), PIECE):
                    yield piece[at : at + PIECE]
        except (WebError, Disconnected) as error:
            self.why = error
            raise SpreadError("the request broke off") from error
        finally:
            if not self.read.done():
                self.read.set_result(None)

    @contextlib.asynccontextmanager
    async def watched(self, left: Callable[[], None]) -> AsyncIterator[None]:
        """Call `left` when the client goes away, or its body breaks off, while this lasts."""
        watching = asyncio.get_running_loop().create_task(self._watch())

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and not self._request.finished:
                left()

        watching.add_done_callback(over)
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        await asyncio.wait({self.read})
        while self.why is None and (await self._request.receive())["type"] != "http.disconnect":
            pass


class Lane:
    """A socket for one long answer at a time.

    Attributes:
        busy: whether a request has it.
        owed: whether something may come on it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.name = os.urandom(LANE_NAME)
        self.busy = self.owed = False

    @property
    def is_gone(self) -> bool:
        # Anything that can be read from it at rest is its end, or worse.
        return readable(self.socket)

    def close(self) -> None:
        self.socket.close()


def with_port(url: str) -> str:
    """`midair://host/NAME` with the port that it leaves out."""
    scheme, mark, rest = url.partition("://")
    place, slash, name = rest.partition("/")
    if scheme in {"midair", "midair+tcp"} and place and not re.search(r":\d*$", place.rpartition("]")[2]):
        return f"{scheme}{mark}{place}:{DEFAULT_PORT}{slash}{name}"
    return url


def lanes_of(path: str | Path) -> str:
    """Where lanes to a server on a Unix socket are opened."""
    return f"{os.fspath(path).removesuffix('.sock')}.lanes"


def checked(answer: Any) -> tuple[int, RawHeaders, bytes, Any]:
    """An answer as another server gave it.

    Raises:
        SpreadError: it is none.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 4:
        raise SpreadError("an answer is status, headers, body and rest")
    status, lines, begun, rest = answer
    good = isinstance(status, int) and 200 <= status <= 599 and isinstance(begun, bytes)
    if not good or not (rest is None or rest is True or isinstance(rest, RemoteReference)):
        raise SpreadError(f"an answer with the status {status!r} or a part of the wrong kind")
    return status, pairs(lines), begun, rest


def pairs(lines: Any) -> RawHeaders:
    """Header lines as another server gave them, name after value.

    Raises:
        SpreadError: one of them is none.
    """
    if not isinstance(lines, tuple | list) or len(lines) % 2 or not all(isinstance(part, bytes) for part in lines):
        raise SpreadError("header lines are names and values in bytes")
    if not all(_NAME.fullmatch(name) for name in lines[::2]) or any(_BAD.search(value) for value in lines[1::2]):
        raise SpreadError("a header line with what may not be in one")
    return list(zip(lines[::2], lines[1::2], strict=True))


async def read(stream: Any) -> AsyncGenerator[Any, None]:
    """What another server streams.

    Raises:
        SpreadError: that is no stream.
    """
    if not isinstance(stream, RemoteReference):
        raise SpreadError("an answer that is no stream")
    async with contextlib.aclosing(cast("AsyncGenerator[Any, None]", aiter(stream))) as items:
        async for item in items:
            yield item


async def pieces_of(stream: Any) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(read(stream)) as items:
        async for item in items:
            if not isinstance(item, bytes):
                raise SpreadError("a piece of a body that is not bytes")
            yield item


async def messages(request: Request) -> AsyncIterator[Any]:
    """What the client says: texts, bytes, and at last the code that it closed with."""
    while (message := await request.receive())["type"] == "websocket.receive":
        text = message.get("text")
        yield text if text is not None else message["bytes"]
    yield message.get("code", 1006)
