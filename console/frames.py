"""What is said over the Unix socket, at both ends. No I/O.

A client that begins with a hello line, `MIDAIR 1 {"mode": ...}\\n`, gets what it asks for; any other client (`nc -U`) gets the plain prompt.

    mode     then
    editor   frames: terminal bytes both ways, the window size to the server
    run      frames: Python text to the server, output and exit status back
    call     frames: one command with its arguments (in the hello), output and exit status back
    json     lines of JSON both ways
    plain    lines of text both ways

A frame is one byte of kind, four bytes of length (big endian), and the payload.
"""

import json
import struct
from typing import Any

HELLO = b"MIDAIR 1 "
MAX_HELLO = 64 * 1024
"""Longest hello line, in bytes."""

DATA = b"D"
"""To the server: keys, or source. To the client: terminal bytes, or standard output."""
ERROR = b"E"
"""To the client: standard error."""
SIZE = b"W"
"""To the server: the window, as JSON [columns, rows]."""
INTERRUPT = b"I"
"""To the server: Ctrl-C."""
END = b"Z"
"""To the server: there is no more input."""
EXIT = b"Q"
"""To the client: the exit status, as JSON; the last frame."""

_HEAD = struct.Struct("!cI")
MAX_PAYLOAD = 4 * 1024 * 1024
"""Longest payload, in bytes."""


class BadFrame(ValueError):
    """The other side does not speak this protocol."""


def pack(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame, or several when the payload is longer than one takes."""
    if len(payload) <= MAX_PAYLOAD:
        return _HEAD.pack(kind, len(payload)) + payload
    return b"".join(pack(kind, payload[i : i + MAX_PAYLOAD]) for i in range(0, len(payload), MAX_PAYLOAD))


def hello(mode: str, **fields: Any) -> bytes:
    """The first line of a client."""
    return HELLO + json.dumps({"mode": mode, **fields}).encode() + b"\n"


def read_hello(line: bytes) -> dict[str, Any]:
    """What a hello line says.

    Raises:
        BadFrame: it is not one.
    """
    try:
        fields = json.loads(line[len(HELLO) :])
    except ValueError as error:
        raise BadFrame(f"not a hello line: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("mode"), str):
        raise BadFrame("a hello line is a JSON object with a mode")
    return fields


class Frames:
    """Puts frames together again, however they were cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Take what arrived; return (kind, payload) of each frame that is complete.

        Raises:
            BadFrame: a payload longer than `MAX_PAYLOAD` is announced.
        """
        self._buffer += data
        frames: list[tuple[bytes, bytes]] = []
        position = 0
        while len(self._buffer) - position >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._buffer, position)
            if length > MAX_PAYLOAD:
                raise BadFrame(f"a frame of {length} bytes is announced, more than {MAX_PAYLOAD}")
            end = position + _HEAD.size + length
            if len(self._buffer) < end:
                break
            frames.append((kind, bytes(self._buffer[position + _HEAD.size : end])))
            position = end
        del self._buffer[:position]
        return frames
