"""Protocols to build on: lines, netstrings, length-prefixed messages.

Each is two things: a pure function that takes one whole message from the front of a buffer, and a `Connection` that
calls a method of yours for each. A protocol in ten lines:

    class Echo(Lines):
        def line(self, text: str) -> None:
            self.send(text)
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..runtime.connection import Connection
from ..runtime.errors import LimitExceeded, ProtocolError

# --- sans-I/O: bytes in a buffer -> one message, or None while it is incomplete


def take_line(buffer: bytearray, *, limit: int) -> bytes | None:
    """Take one line from the front, without its end: LF, CR LF or CR NUL.

    Raises:
        LimitExceeded: the line is longer than `limit` bytes.
    """
    at = buffer.find(b"\n")
    nul = buffer.find(b"\r\0", 0, at if at >= 0 else len(buffer))
    end, width = (nul, 2) if nul >= 0 else (at, 1)
    length = end if end >= 0 else len(buffer)
    if length > limit + 1:  # one more for a CR that belongs to the end
        raise LimitExceeded("a line", limit, unit="bytes", reply=b"line too long\r\n")
    if end < 0:
        return None
    line = bytes(buffer[:end])
    del buffer[: end + width]
    return line.removesuffix(b"\r")


def take_netstring(buffer: bytearray, *, limit: int) -> bytes | None:
    """Take one netstring, `5:hello,`, from the front; its bytes.

    Raises:
        ProtocolError: what is there is not the beginning of a netstring.
        LimitExceeded: it says that it is longer than `limit` bytes.
    """
    digits, colon, _ = buffer.partition(b":")
    if not (digits.isdigit() or (not digits and not colon)) or (len(digits) > 1 and digits.startswith(b"0")):
        raise ProtocolError(f"a netstring begins with its length; got {bytes(digits[:20])!r}")
    if len(digits) > len(str(limit)) or (digits and int(digits) > limit):
        raise LimitExceeded("a netstring", limit, unit="bytes")
    if not colon:
        return None
    start = len(digits) + 1
    end = start + int(digits)
    if len(buffer) <= end:
        return None
    if buffer[end : end + 1] != b",":
        raise ProtocolError(f"a netstring ends with a comma; got {bytes(buffer[end : end + 1])!r}")
    message = bytes(buffer[start:end])
    del buffer[: end + 1]
    return message


def take_prefixed(buffer: bytearray, *, prefix: int, limit: int) -> bytes | None:
    """Take one message that follows its length as a big-endian number of `prefix` bytes.

    Raises:
        LimitExceeded: it says that it is longer than `limit` bytes.
    """
    if len(buffer) < prefix:
        return None
    length = int.from_bytes(buffer[:prefix], "big")
    if length > limit:
        raise LimitExceeded("a message", limit, unit="bytes")
    if len(buffer) < prefix + length:
        return None
    message = bytes(buffer[prefix : prefix + length])
    del buffer[: prefix + length]
    return message


# --- the same as connections


class Lines(Connection):
    """Text by lines. Override `line`; answer with `send`.

    Any of the usual line ends is understood, and CR LF is sent.
    """

    #: The longest line accepted, in bytes; a longer one drops the peer.
    max_line: int = 8 * 1024
    #: Bytes that are no text in this encoding arrive as U+FFFD.
    encoding: str = "utf-8"

    def line(self, text: str) -> None:
        """A whole line came, without its end."""

    def send(self, text: str) -> None:
        """Send a line. Line ends inside the text are kept apart as lines of their own."""
        lines = text.splitlines() or [""]
        self.write("".join(f"{part}\r\n" for part in lines).encode(self.encoding, "replace"))

    def received(self) -> None:
        line = take_line(self.inbox, limit=self.max_line)
        if line is not None:
            self.line(line.decode(self.encoding, "replace"))


class Messages(Connection, ABC):
    """Whole messages of bytes. Override `message`; answer with `send`. See `Netstrings` and `Prefixed`."""

    #: The longest message accepted and sent, in bytes.
    max_message: int = 64 * 1024

    def message(self, data: bytes) -> None:
        """A whole message came."""

    def send(self, data: bytes) -> None:
        """Send a message.

        Raises:
            LimitExceeded: it is longer than `max_message`; nothing was sent.
        """
        if len(data) > self.max_message:
            raise LimitExceeded("a message to send", self.max_message, unit="bytes")
        self.write(self.framed(data))

    @abstractmethod
    def framed(self, data: bytes) -> bytes:
        """The message as it goes over the wire."""

    @abstractmethod
    def take(self) -> bytes | None:
        """The next whole message of the inbox, if there is one."""

    @property
    def max_inbox(self) -> int:  # type: ignore[override] # a whole message and its frame must fit
        return self.max_message + 32

    def received(self) -> None:
        data = self.take()
        if data is not None:
            self.message(data)


class Netstrings(Messages):
    """Messages as netstrings: `5:hello,`."""

    def take(self) -> bytes | None:
        return take_netstring(self.inbox, limit=self.max_message)

    def framed(self, data: bytes) -> bytes:
        return b"%d:%b," % (len(data), data)


class Prefixed(Messages):
    """Messages behind their length, a big-endian number of `prefix` bytes."""

    prefix: int = 4

    def take(self) -> bytes | None:
        return take_prefixed(self.inbox, prefix=self.prefix, limit=self.max_message)

    def framed(self, data: bytes) -> bytes:
        return len(data).to_bytes(self.prefix, "big") + data
