"""The other end of the Unix socket: one command, or one script, from another process. Small, so that a one-shot starts quickly."""

import json
import shlex
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from . import frames

NO_SUCH_SERVER = 3
"""Exit status when nobody answers."""

Output = Callable[[bytes, bool], None]
"""Called with (bytes, is it standard error) as output arrives."""


class Result(NamedTuple):
    """What a command gave: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


class Unanswered(ConnectionError):
    """Nobody answers at a socket."""

    def __init__(self, path: str | Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        self.path = path

    def __str__(self) -> str:
        return f"no server answers at {self.path} ({self.strerror})"


def connect(path: str | Path) -> socket.socket:
    """A connection to the console at a socket.

    Raises:
        Unanswered: nobody is there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        raise Unanswered(path, error) from error
    return sock


def call(path: str | Path, command: str, args: Sequence[str] = (), *, output: Output | None = None) -> Result:
    """Run one named command in the server and wait for its end: `call(sock, "rebuild", ["game.world"])`.

    Args:
        output: also called with each piece as it comes, for commands that take long.

    Nobody there is status 3 and a line on standard error.
    """
    try:
        sock = connect(path)
    except Unanswered as error:
        return Result(NO_SUCH_SERVER, "", f"midair: {error}\n")
    with sock:
        sock.sendall(frames.hello("call", command=shlex.join([command, *args])))
        return collect(sock, output)


def collect(sock: socket.socket, output: Output | None = None) -> Result:
    """Read output until the exit status comes. A connection that ends before is status 1, and said so."""
    pieces: tuple[list[bytes], list[bytes]] = ([], [])
    status: int | None = None
    for kind, payload in _received(sock):
        if kind == frames.EXIT:
            status = int(json.loads(payload))
            break
        is_error = kind == frames.ERROR
        pieces[is_error].append(payload)
        if output:
            output(payload, is_error)
    if status is None:
        status = 1
        words = b"midair: the server went away before it had finished\n"
        pieces[1].append(words)
        if output:
            output(words, True)
    out, err = (b"".join(part).decode("utf-8", "replace") for part in pieces)
    return Result(status, out, err)


def _received(sock: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    together = frames.Frames()
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            return
        if not data:
            return
        yield from together.receive(data)
