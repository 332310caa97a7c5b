"""`midair attach`: this terminal, or this pipe, on a server's console.

On a terminal the keys go to the server as they are typed and the server draws; Ctrl-] leaves at once, whatever the server does. With
a pipe, what is read is run as a script: results on standard output, errors on standard error, exit status 1 when a statement failed.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
import tty
from collections.abc import Generator
from pathlib import Path

from . import client, frames

LEAVE = b"\x1d"
"""Ctrl-]."""

PATIENCE = 1.0
"""Seconds without an answer to Ctrl-C after which the signal is sent from here: while a C call of the server holds Python's lock,
nobody inside of the server can."""

_CREDENTIALS = struct.Struct("3i")


def main(path: str | Path, *, as_json: bool = False) -> int:
    """Attach standard input and output to the console at a socket; the exit status."""
    try:
        sock = client.connect(path)
    except client.Unanswered as error:
        sys.stderr.write(f"midair: {error}\n")
        return client.NO_SUCH_SERVER
    with sock:
        if as_json:
            return relay(sock)
        if sys.stdin.isatty() and sys.stdout.isatty():
            return Terminal(sock, sys.stdin.fileno(), sys.stdout.fileno()).run()
        return run_script(sock, sys.stdin.buffer.read())


def run_script(sock: socket.socket, source: bytes) -> int:
    """Run a script in the server. Ctrl-C stops it there; a second one leaves."""
    sock.sendall(frames.hello("run") + frames.pack(frames.DATA, source) + frames.pack(frames.END))

    def output(data: bytes, is_error: bool) -> None:
        stream = sys.stderr if is_error else sys.stdout
        stream.buffer.write(data)
        stream.flush()

    def press(number: int, frame: object) -> None:  # noqa: ARG001 - a signal handler's signature
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sock.sendall(frames.pack(frames.INTERRUPT))

    before = signal.signal(signal.SIGINT, press)
    try:
        return client.collect(sock, output).status
    except BrokenPipeError:
        # Nobody reads our output any more, as in `... | head`; the server is told by our hanging up.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, before)


def relay(sock: socket.socket) -> int:
    """Lines of JSON from standard input to the server, and its answers to standard output."""
    sock.sendall(frames.hello("json"))
    keys = sys.stdin.fileno()
    inputs = [sock.fileno(), keys]
    while True:
        readable, _, _ = select.select(inputs, [], [])
        if sock.fileno() in readable:
            data = sock.recv(65536)
            if not data:
                return 0
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if keys in readable:
            data = os.read(keys, 65536)
            if data:
                sock.sendall(data)
            else:
                sock.shutdown(socket.SHUT_WR)
                inputs.remove(keys)


class Terminal:
    """A terminal on a server's console, until either end leaves.

    Args:
        keys, screen: file descriptors of the terminal.
    """

    def __init__(self, sock: socket.socket, keys: int, screen: int) -> None:
        self.sock, self.keys, self.screen = sock, keys, screen
        self.server, _, _ = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        self._frames = frames.Frames()
        self._pressed = 0.0
        self._status: int | None = None

    def run(self) -> int:
        columns, rows = self._size()
        self.sock.sendall(frames.hello("editor", term=os.environ.get("TERM", ""), size=[columns, rows]))
        with self._resizes() as woken, self._raw():
            while self._status is None:
                wait = max(self._pressed + PATIENCE - time.monotonic(), 0) if self._pressed else None
                readable, _, _ = select.select([self.sock.fileno(), self.keys, woken], [], [], wait)
                if woken in readable:
                    os.read(woken, 64)
                    self._send(frames.SIZE, json.dumps(self._size()).encode())
                if self.sock.fileno() in readable:
                    self._answer()
                if self.keys in readable:
                    self._type()
                if self._pressed and time.monotonic() >= self._pressed + PATIENCE:
                    self._pressed = 0.0
                    self._knock()
        return self._status

    def _type(self) -> None:
        data = os.read(self.keys, 4096)
        if not data or data == LEAVE:
            self._status = 0
            return
        if b"\x03" in data:
            self._pressed = time.monotonic()
        self._send(frames.DATA, data)

    def _answer(self) -> None:
        self._pressed = 0.0
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            os.write(self.screen, b"\r\nThe server went away.\r\n")
            self._status = 1
            return
        for kind, payload in self._frames.receive(data):
            if kind == frames.EXIT:
                self._status = int(json.loads(payload))
            else:
                _write_all(self.screen, payload)

    def _send(self, kind: bytes, payload: bytes) -> None:
        try:
            self.sock.sendall(frames.pack(kind, payload))
        except (BrokenPipeError, ConnectionResetError):
            self._status = 1

    def _knock(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone, or root's and not ours: Ctrl-] is left
            os.kill(self.server, signal.SIGURG)

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self.screen)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    @contextlib.contextmanager
    def _raw(self) -> Generator[None, None, None]:
        before = termios.tcgetattr(self.keys)
        tty.setraw(self.keys, termios.TCSADRAIN)
        try:
            yield
        finally:
            termios.tcsetattr(self.keys, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def _resizes(self) -> Generator[int, None, None]:
        """A descriptor that becomes readable when the window changes."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.signal(signal.SIGWINCH, lambda *_: None)
        waker = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(waker)
            signal.signal(signal.SIGWINCH, before)
            os.close(reading)
            os.close(writing)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
