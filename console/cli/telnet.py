"""`midair telnet HOST PORT`: a telnet client, for machines that have none.

While the server echoes, keys go out one by one and Ctrl-C is the server's; otherwise lines do, as the terminal edits them.
Ctrl-] leaves.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from ...runtime.errors import ConsoleError
from ...services.telnet.protocol import DO, DONT, ECHO, IAC, NAWS, SB, SE, SGA, TTYPE, WILL, WONT

LEAVE = b"\x1d"
_CONNECT_TIMEOUT = 15.0
_TTYPE_IS, _TTYPE_SEND = 0, 1

# From left to right: a whole command (a subnegotiation, an option request, or one of two bytes), or what may grow to one with
# the bytes to come.
_COMMAND = re.compile(
    rb"\xff\xfa(?P<sub>(?:[^\xff]|\xff\xff)*)\xff\xf0"
    rb"|\xff(?P<verb>[\xfb-\xfe])(?P<option>.)"
    rb"|\xff(?P<other>[^\xfa-\xfe])"
    rb"|(?P<begun>(?:\xff(?:\xfa(?:[^\xff]|\xff\xff)*\xff?|[\xfb-\xfe])?|\r)\Z)",
    re.DOTALL,
)
_MOST_BEGUN = 4096


class Client:
    """The client's end of telnet, without a socket: bytes in, text out, and what is to be answered in `output`.

    Args:
        term: the name of the terminal, told when it is asked for.
        size: gives columns and rows.
    """

    def __init__(self, term: str, size: Callable[[], tuple[int, int]]) -> None:
        self.term, self.size = term, size
        self.output = bytearray()
        #: Whether the server shows what is typed, and so wants each key.
        self.echoes = False
        self._on: set[tuple[int, int]] = set()
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Say something: line ends become CR LF."""
        text = re.sub(rb"\r\n?|\n", b"\r\n", data)
        self.output += text.replace(b"\xff", b"\xff\xff")

    def receive(self, data: bytes) -> bytes:
        """Take what arrived; the text in it."""
        data, self._rest = self._rest + data, b""
        return _COMMAND.sub(self._command, data).replace(b"\r\0", b"\r")

    def resized(self) -> None:
        """Tell the size of the window, when the server wants to know it."""
        if (WILL, NAWS) in self._on:
            columns, rows = self.size()
            self._subnegotiate(NAWS, columns.to_bytes(2, "big") + rows.to_bytes(2, "big"))

    def _command(self, found: re.Match[bytes]) -> bytes:
        if found["begun"]:
            # A subnegotiation that does not end is not kept for ever.
            self._rest = found[0] if len(found[0]) < _MOST_BEGUN else b""
        elif found["verb"]:
            self._requested(found["verb"][0], found["option"][0])
        elif found["sub"] == bytes((TTYPE, _TTYPE_SEND)):
            self._subnegotiate(TTYPE, bytes((_TTYPE_IS,)) + self.term.encode("ascii", "ignore"))
        return b"\xff" if found["other"] == b"\xff" else b""

    def _requested(self, verb: int, option: int) -> None:
        """Answer a request, and only one that changes something: so no exchange can loop."""
        agree, refuse = (WILL, WONT) if verb in (DO, DONT) else (DO, DONT)
        wanted = {SGA, NAWS, TTYPE} if agree == WILL else {SGA, ECHO}
        key, is_on = (agree, option), (agree, option) in self._on
        on = verb in (DO, WILL)
        if on and option not in wanted:
            self.output += bytes((IAC, refuse, option))
        elif on != is_on:
            (self._on.add if on else self._on.discard)(key)
            self.output += bytes((IAC, agree if on else refuse, option))
            if key == (WILL, NAWS):
                self.resized()
        self.echoes = (DO, ECHO) in self._on

    def _subnegotiate(self, option: int, payload: bytes) -> None:
        self.output += bytes((IAC, SB, option)) + payload.replace(b"\xff", b"\xff\xff") + bytes((IAC, SE))


def talk(host: str, port: int) -> int:
    """Be a telnet client on this terminal or pipe until either end leaves; the exit status.

    Raises:
        ConsoleError: nobody answers there.
    """
    try:
        sock = socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT)
    except OSError as error:
        raise ConsoleError(f"nobody answers at {host} port {port}: {error.strerror or error}") from error
    sock.settimeout(None)
    client = Client(os.environ.get("TERM", "dumb"), _window)
    with sock, _terminal() as set_raw:
        _converse(sock, client, set_raw)
    return 0


def _converse(sock: socket.socket, client: Client, set_raw: Callable[[bool], None]) -> None:
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    inputs: list[socket.socket | int] = [sock, keys]
    while True:
        readable, _, _ = select.select(inputs, [], [])
        if sock in readable:
            data = _receive(sock)
            if not data:
                return
            _write_all(screen, client.receive(data))
            set_raw(client.echoes)
        if keys in readable:
            data = os.read(keys, 4096)
            if data == LEAVE:
                return
            client.send(data)
            if not data:
                # The end of a pipe: nothing more is said, and what is answered is still to be heard.
                inputs.remove(keys)
                sock.sendall(client.output)
                client.output.clear()
                sock.shutdown(socket.SHUT_WR)
        if client.output:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # seen by the next read
                sock.sendall(client.output)
            client.output.clear()


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _window() -> tuple[int, int]:
    try:
        size = os.get_terminal_size()
    except OSError:
        return 80, 24
    return size.columns, size.lines


@contextlib.contextmanager
def _terminal() -> Iterator[Callable[[bool], None]]:
    """What switches this terminal between lines and single keys; as it was, afterwards."""
    if not sys.stdin.isatty():
        yield lambda _: None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def set_raw(raw: bool) -> None:
        if raw:
            tty.setraw(descriptor, termios.TCSADRAIN)
        else:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    try:
        yield set_raw
    finally:
        set_raw(False)
