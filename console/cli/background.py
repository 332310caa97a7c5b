"""`--daemon`: the server goes on in the background, and its parent waits until it is ready.

What the child has to say until then travels through a pipe, so that the person sees the same lines, and the shell gets
the same exit status, as without --daemon.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from .faults import FAILED, guarded

if TYPE_CHECKING:
    from ...runtime.server import Server

_OUT, _ERR, _READY = b"o", b"e", b"r"


def in_background(work: Callable[[Parent], int]) -> int:
    """Do the work in a process of its own; return once that is ready, or ended.

    Args:
        work: gets the parent to talk to, which it adds to its server, so that this learns when that is ready.
            It returns its exit status.

    Returns:
        0 when it is ready, else its exit status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _child(work, writing)
    os.close(writing)
    with open(reading, "rb") as lines:
        return _pass_on(lines.readline, pid)


def _pass_on(readline: Callable[[], bytes], pid: int) -> int:
    try:
        while line := readline():
            kind, text = line[:1], line[1:].decode(errors="replace")
            if kind == _READY:
                return 0
            stream = sys.stdout if kind == _OUT else sys.stderr
            stream.write(text)
            stream.flush()
    except KeyboardInterrupt:
        # The child is in a session of its own, so the terminal's Ctrl-C has not reached it.
        os.kill(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status  # as shells count a death by signal


def divert(log: Path) -> None:
    """Send what is written to the three standard streams below Python, as C code does, to the log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _child(work: Callable[[Parent], int], writing: int) -> NoReturn:
    status = FAILED
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):  # what is said so far goes through the pipe
            os.dup2(null, number)
        os.close(null)
        parent = Parent(writing)
        sys.stdout, sys.stderr = _Stream(parent, _OUT, 1), _Stream(parent, _ERR, 2)
        status = guarded(lambda: work(parent))
    except SystemExit as end:  # a parser's, which has said why
        status = end.code if isinstance(end.code, int) else FAILED
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        # Not sys.exit: the parent's frames, and what they would do on the way out, are on this stack too.
        os._exit(status)


class Parent:
    """The process that waits, seen from the child: lines go there until the server is ready, then to the log. A companion."""

    def __init__(self, descriptor: int) -> None:
        self._pipe: int | None = descriptor  # None when nobody waits any more

    def send(self, kind: bytes, line: str) -> None:
        """Pass a line on, to whoever reads now."""
        data = line.encode(errors="replace") + b"\n"
        if self._pipe is not None:
            try:
                os.write(self._pipe, kind + data)
                return
            except BrokenPipeError:
                self._close()  # the parent was killed; the server goes on, it was asked for
        os.write(2 if kind == _ERR else 1, data)

    def say(self, line: str) -> None:
        self.send(_OUT, line)

    def complain(self, message: str) -> None:
        self.send(_ERR, f"midair: {message}")

    async def start(self, server: Server) -> None:
        self._waiting = asyncio.get_running_loop().create_task(self._until(server.ready))

    async def stop(self, server: Server) -> None:  # noqa: ARG002 - the interface of companions
        self._waiting.cancel()

    async def _until(self, ready: asyncio.Event) -> None:
        await ready.wait()
        if self._pipe is not None:
            self.send(_READY, "")
            self._close()

    def _close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None


class _Stream(io.TextIOBase):
    """A standard stream of the child, in whole lines. The console's router puts itself in front of it, so it stays the same object."""

    def __init__(self, parent: Parent, kind: bytes, descriptor: int) -> None:
        self._parent, self._kind, self._descriptor = parent, kind, descriptor
        self._partial = ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, text: str, /) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._parent.send(self._kind, line)
        return len(text)
