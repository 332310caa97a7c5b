"""One answer on its way out.

It stands between uvicorn's request cycle and the transport. The head waits for the first piece of the body, which ASGI allows and which
makes a small answer one write; a file goes by `sendfile` (the `http.response.zerocopysend` extension), and what is relayed by `splice`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import ssl
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import h11

from ..asgi import Message
from ..errors import Disconnected
from ..rules import phrase

if TYPE_CHECKING:
    from .guard import Guard

_JOIN = 64 << 10  # bytes up to which head and body are copied together
_AT_ONCE = 1 << 20  # bytes given to the kernel before others get their turn
_PIECE = 512 << 10
BODILESS = frozenset((204, 304))
FIRST_LINES = {code: b"HTTP/1.1 %d %b\r\n" % (code, phrase(code).encode()) for code in range(200, 600)}


class Answer:
    """The transport that a request cycle writes to, and the `send` that its application calls.

    Attributes:
        status: of the answer, 0 before it began.
        sent: bytes of the body so far, as written.
    """

    __slots__ = ("_cycle", "_guard", "_held", "_sized", "sent", "status", "transport")

    def __init__(self, guard: Guard, cycle: Any) -> None:
        self.transport, self._guard, self._cycle = guard.transport, guard, cycle
        self._held, self._sized = b"", False
        self.status = 0
        self.sent = 0

    # --- the transport, as the cycle sees it

    def write(self, data: bytes) -> None:
        if not self.status:
            code = int(data[9:12])
            if code < 200:  # "100 Continue" comes before the answer and must not wait for it
                self.transport.write(data)
                return
            self.status, self._sized = code, b"\r\ncontent-length:" in data.lower()
            if self._cycle.scope["method"] == "HEAD":
                self.transport.write(data)
            else:
                self._held = data
            return
        self.sent += len(data)
        if self._held:
            data, self._held = self._joined(data), b""
        if data:
            self.transport.write(data)

    def _joined(self, data: bytes) -> bytes:
        if len(data) <= _JOIN:
            return self._held + data
        self.transport.write(self._held)
        return data

    def flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self.transport.write(held)

    def close(self) -> None:
        self.flush()
        self._guard.part()

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    # --- what the application calls

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.zerocopysend":
            return self._send_file(message)
        if message["type"] == "midair.response.splice":
            return self._send_socket(message["socket"], message["count"])
        if self._cycle.disconnected and self.status:
            # uvicorn would take it in silence, and a loop that only sends would never end.
            raise Disconnected("the client went away before its answer was complete")
        sending: Awaitable[None] = self._cycle.send(message)
        return sending

    async def _send_file(self, message: Message) -> None:
        file, offset, count = message["file"], message["offset"], message["count"]
        fd = file if isinstance(file, int) else file.fileno()
        sock = self.transport.get_extra_info("socket")
        secure = isinstance(self.transport.get_extra_info("ssl_object"), ssl.SSLObject)
        if secure or sock is None or not self._account(count):
            await self._send_pieces(fd, offset, count, more=message.get("more_body", False))
            return
        self.flush()
        await self._emptied()
        # A duplicate, since an event loop does not let anybody wait on the socket of one of its transports.
        out = os.dup(sock.fileno())
        try:
            await self._pump(out, fd, offset, count)
        finally:
            os.close(out)
        self.sent += count
        if not message.get("more_body", False):
            await self._cycle.send({"type": "http.response.body", "body": b""})

    async def _send_socket(self, source: socket.socket, count: int) -> None:
        """Send what arrives at another socket, from kernel to kernel."""
        sock, loop = self.transport.get_extra_info("socket"), asyncio.get_running_loop()
        secure = isinstance(self.transport.get_extra_info("ssl_object"), ssl.SSLObject)
        if secure or sock is None or not hasattr(os, "splice") or not self._account(count):
            while count:
                body = await loop.sock_recv(source, min(_PIECE, count))
                if not body:
                    raise Disconnected("the other side ended too early")
                count -= len(body)
                await self._cycle.send({"type": "http.response.body", "body": body, "more_body": True})
            return
        self.flush()
        await self._emptied()
        out = os.dup(sock.fileno())
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            await self._splice(source.fileno(), pipe, out, count)
        finally:
            for fd in (out, *pipe):
                os.close(fd)
        self.sent += count

    async def _splice(self, source: int, pipe: tuple[int, int], out: int, count: int) -> None:
        with contextlib.suppress(OSError):  # a larger pipe is faster; the system's own will do
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _AT_ONCE)
        held = 0
        while count or held:
            if self._cycle.disconnected or self.transport.is_closing():
                raise Disconnected("the client went away while an answer was relayed to it")
            if not held:
                try:
                    held = os.splice(source, pipe[1], min(count, _AT_ONCE))
                except BlockingIOError:
                    await self._ready(source, reading=True)
                    continue
                if not held:
                    raise Disconnected("the other side ended too early")
                count -= held
            try:
                held -= os.splice(pipe[0], out, held)
            except BlockingIOError:
                await self._ready(out)

    def _account(self, count: int) -> bool:
        """Tell the cycle's own books of bytes that it will not see; whether that can be done."""
        connection = getattr(self._cycle, "conn", None)
        if isinstance(connection, h11.Connection):
            if not self._sized:
                return False
            connection.send_with_data_passthrough(h11.Data(data=_Length(count)))  # type: ignore[arg-type]  # h11 asks for its length only
            return True
        if self._cycle.chunked_encoding or count > self._cycle.expected_content_length:
            return False
        self._cycle.expected_content_length -= count
        return True

    async def _emptied(self) -> None:
        """Wait until the transport has given all it holds to the kernel."""
        if self.transport.get_write_buffer_size():
            self.transport.set_write_buffer_limits(0)
            try:
                await self._cycle.flow.drain()
            finally:
                self.transport.set_write_buffer_limits()

    async def _pump(self, out: int, fd: int, offset: int, count: int) -> None:
        end = offset + count
        while offset < end:
            if self._cycle.disconnected or self.transport.is_closing():
                raise Disconnected("the client went away while a file was sent to it")
            try:
                sent = os.sendfile(out, fd, offset, min(_AT_ONCE, end - offset))
            except BlockingIOError:
                await self._ready(out)
                continue
            if not sent:
                raise OSError("the file became shorter while it was sent; the connection was closed")
            offset += sent
            if offset < end:
                await asyncio.sleep(0)

    async def _ready(self, fd: int, *, reading: bool = False) -> None:
        """Wait until a descriptor can be written, or read; for as long as a client may stall."""
        loop = asyncio.get_running_loop()
        ready, stall = loop.create_future(), self._guard.engine.limits.stall
        (loop.add_reader if reading else loop.add_writer)(fd, _settle, ready)
        try:
            async with asyncio.timeout(stall):
                await ready
        except TimeoutError:
            self.transport.abort()
            raise Disconnected(f"nothing moved for {stall:g} seconds; the client was dropped") from None
        finally:
            (loop.remove_reader if reading else loop.remove_writer)(fd)

    async def _send_pieces(self, fd: int, offset: int, count: int, *, more: bool) -> None:
        end = offset + count
        while offset < end:
            body = await asyncio.to_thread(os.pread, fd, min(_PIECE, end - offset), offset)
            if not body:
                raise OSError("the file became shorter while it was sent; the connection was closed")
            offset += len(body)
            await self._cycle.send({"type": "http.response.body", "body": body, "more_body": more or offset < end})


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class _Length:
    """Stands for bytes that h11 is to count and not to see."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length
