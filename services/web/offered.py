"""A site for another web server: offered as a remote object, and asked by `FarSite` (far.py).

    ask(head, body) -> status, headers, body so far, rest      rest: None, a stream, or True: on the lane
    websocket(head, messages) -> a stream of events

`head` is flat: method, scheme, target, the client's address, the lane, and the header lines, name after value. Bodies are
streams (`spread.Source`), so whoever is slower holds the other back. A long answer whose length is known does not go in messages: it goes
as it is, by `sendfile`, on a *lane*, a socket beside the calls that the asking side opened; that is what makes a relay cost little.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from ...runtime.connection import Connection, Frozen
from ..spread import Limits, Link, Referenceable, RemoteReference, Source, SpreadError
from ..spread.errors import DeadReference, RemoteError
from .asgi import Message, RawHeaders, Scope
from .credentials import peer_of
from .errors import Disconnected
from .sockets import writable

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("midair.web")

DIALECT = "midair-1"  # the one that streams
#: Pieces are small; what is not goes as pieces.
LIMITS = Limits(message=2 << 20, calls=10_000)
PIECE = 256 << 10  # bytes of a body in one message
AT_ONCE = 1 << 20  # bytes given to the kernel before others get their turn
LONG = 64 << 10  # bytes from which on an answer takes a lane
#: Turns of the loop until the head is with the kernel: without it the other side can do nothing with what is on a lane.
TURNS = 3
HEAD = 5  # items before the header lines
LANE_NAME = 16  # bytes


class Offer:
    """Makes the connections over which a web server's site is asked for.

    Args:
        name: what the site is called by; unguessable where anybody can connect.
        users: on a Unix socket: the ids of the users who may ask.
    """

    def __init__(self, engine: Engine, *, name: str = "root", users: frozenset[int] | None = None) -> None:
        self.engine, self.name, self.users = engine, name, users
        self.lanes: dict[bytes, Lane] = {}

    def link(self) -> Link:
        """A connection for calls; a factory for a listener."""
        asked = Asked(self)
        return Link(
            server=True,
            limits=LIMITS,
            lookup=lambda link, name: asked if self.is_name(name) else None,  # noqa: ARG005 - one object for each link
            ready=self._look_at,
            gone=lambda link, reason: asked.leave(),  # noqa: ARG005 - likewise
            dialects=(DIALECT,),
        )

    def lane(self) -> Lane:
        """A connection for long answers; a factory for a listener."""
        return Lane(self)

    def is_name(self, name: str) -> bool:
        return hmac.compare_digest(name.encode(), self.name.encode())

    def may_ask(self, link: Link | Lane, uid: int | None) -> bool:
        """Whether this user may; if not, the connection is dropped."""
        if self.users is None or uid in self.users:
            return True
        self.engine.dropped(f"is user {uid}, who may not ask", "a process")
        link.abort()
        return False

    def _look_at(self, link: Link) -> None:
        credentials = link.credentials
        self.may_ask(link, credentials.uid if credentials else None)


class Asked(Referenceable):
    """The site, for one connection."""

    def __init__(self, offer: Offer) -> None:
        self._offer, self._engine = offer, offer.engine
        self._under_way: set[Reply | Talk] = set()

    def leave(self) -> None:
        """The other side is gone: whatever is being answered has nobody to go to."""
        for reply in tuple(self._under_way):
            reply.leave()

    async def remote_ask(self, head: list[Any], body: Any = None) -> Any:
        scope = scope_of("http", head)
        lane = self._offer.lanes.get(head[4]) if head[4] else None
        reply = Reply(scope, aiter(body) if isinstance(body, RemoteReference) else None, lane)
        if reply.lane is not None:
            scope["extensions"]["http.response.zerocopysend"] = {}
        self._start(reply, self._answered(reply))
        try:
            return await reply.head
        except asyncio.CancelledError:
            reply.leave()
            raise

    def remote_websocket(self, head: list[Any], messages: Any) -> Any:
        scope = scope_of("websocket", head[:HEAD] + head[HEAD + 1 :])
        scope["subprotocols"] = [name for name in head[HEAD].split(",") if name]
        talk = Talk(aiter(messages))
        self._start(talk, self._talked(scope, talk))
        return Rest(talk.events(), talk.leave)

    def _start(self, what: Reply | Talk, work: Any) -> None:
        # Among the engine's tasks, so that a drain waits for it and a stop ends it.
        tasks = self._engine.state.tasks
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        self._under_way.add(what)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(lambda _: self._under_way.discard(what))

    async def _answered(self, reply: Reply) -> None:
        engine, scope = self._engine, reply.scope
        began = engine.now()
        engine.active += 1
        try:
            rest = engine.app(scope, reply.receive, reply.send)
            if rest is not None:
                await rest
        except Disconnected as error:
            reply.fail(str(error))
        except Exception as error:
            log.exception("error in an answer for another server")
            reply.fail(f"the site failed: {type(error).__name__}")
        finally:
            reply.fail("the site did not end its answer")
            engine.active -= 1
            engine.answered(scope, reply.status, reply.sent, engine.now() - began)

    async def _talked(self, scope: Scope, talk: Talk) -> None:
        try:
            await self._engine.websocket(scope, talk.receive, talk.send)
        except Disconnected:
            pass  # it went away first, which is how most websockets end
        except Exception:
            log.exception("error in a websocket for another server")
        finally:
            talk.end(1011)


def scope_of(kind: str, head: list[Any]) -> dict[str, Any]:
    """The ASGI scope of a request that another server passes on.

    Raises:
        SpreadError: it is none.
    """
    method, scheme, target, client, lane, *lines = head
    if not all(isinstance(text, str) for text in (method, scheme, client)) or not all(
        isinstance(data, bytes) for data in (target, lane, *lines)
    ):
        raise SpreadError("a request is method, scheme, target, client, lane and header lines")
    path, _, query = target.partition(b"?")
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(zip(lines[::2], lines[1::2], strict=True)),
        "client": (client, 0),
        "server": None,
        "state": {},
        "extensions": {},
    }


class Rest(Source):
    """A stream whose writer is told when its reader has gone, also when nothing was read."""

    def __init__(self, items: AsyncIterator[Any], left: Callable[[], None]) -> None:
        super().__init__(items)
        self._left = left

    def remote_stop(self) -> None:
        super().remote_stop()
        self._left()


class Handover:
    """One item at a time, from who has it to who asks for it."""

    def __init__(self) -> None:
        self._item: Any = None
        self._last: Any = None
        self._taken, self._there = asyncio.Event(), asyncio.Event()
        self._taken.set()
        self.closed = False

    async def put(self, item: Any) -> None:
        """Raises:
        Disconnected: nobody takes it any more.
        """
        while not self._taken.is_set():  # another may have been quicker
            await self._taken.wait()
        if self.closed:
            raise Disconnected("the other server left before its answer was complete")
        self._item = item
        self._taken.clear()
        self._there.set()

    async def items(self) -> AsyncIterator[Any]:
        """Each item, until it is closed and empty; an exception among them is raised."""
        while not (self.closed and self._item is None):
            await self._there.wait()
            item, self._item = self._item, None
            self._there.clear()
            self._taken.set()
            if item is not None:
                yield item
        if isinstance(self._last, Exception):
            raise self._last
        if self._last is not None:
            yield self._last

    def close(self, last: Any = None) -> None:
        """Take no more; what waits is still handed over, and `last` after it."""
        if not self.closed:
            self.closed, self._last = True, last
            self._taken.set()
            self._there.set()


class Reply:
    """What an application sees in place of an engine's connection: `receive`, `send`, and somebody far away.

    Attributes:
        head: settled with status, headers, what there is of the body, and where the rest will be.
    """

    def __init__(self, scope: Scope, body: AsyncIterator[Any] | None, lane: Lane | None) -> None:
        self.scope, self._body = scope, body
        self.lane = lane if lane is not None and lane.take(self) else None
        self.head: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.head.add_done_callback(lambda head: head.cancelled() or head.exception())  # seen, if nobody waits
        self.status = self.sent = 0
        self._headers: RawHeaders = []
        self._bodiless = False
        self._asked = self._on_lane = self._complete = False
        self._due = 0  # bytes that the lane has still to carry
        self._out = Handover()
        self._left = asyncio.Event()

    # --- the application's side

    async def receive(self) -> Message:
        if self._body is not None:
            try:
                return {"type": "http.request", "body": await anext(self._body), "more_body": True}
            except StopAsyncIteration:
                self._body = None
            except (SpreadError, RemoteError):
                self.leave()
        if not self._asked and not self._left.is_set():
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._complete:
            await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._left.is_set():
            raise Disconnected("the other server left before its answer was complete")
        kind = message["type"]
        if kind == "http.response.start":
            self.status, self._headers = message["status"], list(message.get("headers", ()))
            self._bodiless = self.scope["method"] == "HEAD" or self.status in {204, 304}
        elif kind == "http.response.body":
            await self._send(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.zerocopysend":
            await self._send_file(message)

    async def _send(self, data: bytes, *, more: bool) -> None:
        if self._bodiless:
            data = b""
        self.sent += len(data)
        if not self.head.done():
            if len(data) <= PIECE and not more:
                self._begin(data, None)
                self._end()
                return
            await self._choose()
        if self._on_lane:
            await self._take_lane(len(data)).send(data)
        else:
            for at in range(0, len(data), PIECE):
                await self._out.put(data[at : at + PIECE])
        if not more:
            self._end()

    async def _send_file(self, message: Message) -> None:
        file, offset, count = message["file"], message["offset"], message["count"]
        fd = file if isinstance(file, int) else file.fileno()
        if not self.head.done():
            await self._choose()
        if self._on_lane:
            await self._take_lane(count).send_file(fd, offset, count)
            self.sent += count
        else:
            end = offset + count
            while offset < end:
                piece = await asyncio.to_thread(os.pread, fd, min(PIECE, end - offset), offset)
                if not piece:
                    raise OSError("the file became shorter while it was sent")
                offset += len(piece)
                await self._send(piece, more=True)
        if not message.get("more_body", False):
            self._end()

    # --- inside

    async def _choose(self) -> None:
        """Where the body goes: by a lane when it is long, and its length is known."""
        length = next((value for name, value in self._headers if name.lower() == b"content-length"), b"")
        self._on_lane = self.lane is not None and length.isdigit() and int(length) > LONG and not self._bodiless
        self._due = int(length) if self._on_lane else 0
        if not self._on_lane:
            self._free(whole=True)
        self._begin(b"", True if self._on_lane else Rest(self._out.items(), self.leave))
        for _ in range(TURNS if self._on_lane else 0):
            await asyncio.sleep(0)

    def _take_lane(self, count: int) -> Lane:
        if self.lane is None or count > self._due:
            raise RuntimeError("the body of an answer is longer than its Content-Length")
        self._due -= count
        return self.lane

    def _begin(self, data: bytes, rest: Any) -> None:
        if not self.head.done():
            flat = [part for line in self._headers for part in line]
            self.head.set_result((self.status, flat, data, rest))

    def _end(self) -> None:
        self._complete = True
        self._out.close()
        self._free(whole=not self._due)

    def _free(self, *, whole: bool) -> None:
        lane, self.lane = self.lane, None
        if lane is not None:
            lane.give_back(whole=whole or not self._on_lane)

    def fail(self, reason: str) -> None:
        """End an answer that is not complete; one that is stays as it is."""
        if self._complete:
            return
        self._complete = True
        error = SpreadError(reason)
        if not self.head.done():
            self.head.set_exception(error)
        self._out.close(error)
        self._free(whole=False)

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        self._left.set()
        self._out.close()
        if self.lane is not None:
            self.lane.break_off()


class Talk:
    """A websocket of somebody far away, as an application sees it."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages
        self._out = Handover()
        self._begun = self._ended = False

    def events(self) -> AsyncIterator[Any]:
        return self._out.items()

    async def receive(self) -> Message:
        if not self._begun:
            self._begun = True
            return {"type": "websocket.connect"}
        try:
            said = await anext(self._messages)
        except (StopAsyncIteration, SpreadError, RemoteError):
            said = 1006
        if isinstance(said, int):
            self.leave()
            return {"type": "websocket.disconnect", "code": said}
        return {"type": "websocket.receive", "text" if isinstance(said, str) else "bytes": said}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            lines = [part for line in message.get("headers", ()) for part in line]
            await self._out.put(["accept", message.get("subprotocol") or "", *lines])
        elif kind == "websocket.send":
            text = message.get("text")
            await self._out.put(text if text is not None else message["bytes"])
        elif kind == "websocket.close":
            await self._out.put(message.get("code", 1000))
            self.leave()

    def end(self, code: int) -> None:
        """The application is done; `code` if it did not say how."""
        if not self._out.closed:
            self._out.close(code)

    def leave(self) -> None:
        self._out.close()


class Lane(Connection):
    """A socket on which long answers go as they are, one after the other; calls say which and how long.

    The asking side names it with its first bytes. It is used past its transport, by a duplicate, since an event loop lets nobody
    wait on a transport's own socket.
    """

    max_inbox = LANE_NAME

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._name = b""
        self._out: socket.socket | None = None
        self._user: Reply | None = None

    def opened(self) -> None:
        self._offer.may_ask(self, peer_of(self.transport.get_extra_info("socket")))

    def received(self) -> None:
        if self._name or len(self.inbox) < LANE_NAME:
            return
        self._name = bytes(self.inbox[:LANE_NAME])
        del self.inbox[:LANE_NAME]
        self._out = socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))
        self._out.setblocking(False)
        # As much as the system lets it have: each time it is full, two processes have to wake each other.
        self._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._offer.lanes[self._name] = self

    def closed(self, reason: BaseException | None) -> None:  # noqa: ARG002 - it is gone, whyever
        if self._offer.lanes.get(self._name) is self:
            del self._offer.lanes[self._name]
        if self._user is not None:
            self._user.leave()  # it may be waiting for this very socket, and gives it back
        else:
            self._close_out()

    def freeze(self) -> Frozen:
        """Not possible, as for the calls beside it; the asking side opens another.

        Raises:
            DeadReference: always.
        """
        raise DeadReference(f"the lane of {self.peer} ends with this process; it is to connect again")

    def _close_out(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None

    def take(self, user: Reply) -> bool:
        """Reserve it; whether it was free."""
        if self._user is not None or self._out is None or self.is_closing:
            return False
        self._user = user
        return True

    def give_back(self, *, whole: bool) -> None:
        """Free it; after half an answer it is closed, which is how the other side sees that."""
        self._user = None
        if not whole or self.is_closing:
            self.abort()
            self._close_out()

    def break_off(self) -> None:
        """Wake who waits for it: nothing goes through any more."""
        if self._out is not None:
            with contextlib.suppress(OSError):  # the other side was quicker
                self._out.shutdown(socket.SHUT_RDWR)

    async def send(self, data: bytes) -> None:
        """Raises:
        Disconnected: nobody takes it any more.
        """
        try:
            await asyncio.get_running_loop().sock_sendall(self._living(), data)
        except OSError as error:
            raise Disconnected(f"the other server left: {error}") from error

    async def send_file(self, fd: int, offset: int, count: int) -> None:
        """Raises:
        Disconnected: nobody takes it any more.
        """
        end = offset + count
        while offset < end:
            out = self._living()
            try:
                sent = os.sendfile(out.fileno(), fd, offset, min(AT_ONCE, end - offset))
            except BlockingIOError:
                await writable(out.fileno())
                continue
            except OSError as error:
                raise Disconnected(f"the other server left: {error}") from error
            if not sent:
                raise OSError("the file became shorter while it was sent")
            offset += sent
            if offset < end:
                await asyncio.sleep(0)

    def _living(self) -> socket.socket:
        if self._out is None or self.is_closing:
            raise Disconnected("the other server left before its answer was complete")
        return self._out
