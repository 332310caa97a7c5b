"""What may have a session's whole screen for a while: a program on a pseudo-terminal, a live view."""

import asyncio
import concurrent.futures
import contextlib
import errno
import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from ..runtime.errors import ConsoleError
from .plain import Plain

if TYPE_CHECKING:
    from .session import Session


class TakeOver(Protocol):
    """Has the keys and the screen from `run` to its end. Console's thread only."""

    async def run(self) -> int: ...
    def feed(self, data: bytes) -> None: ...
    def resized(self) -> None: ...

    def end(self) -> None:
        """The person is gone: `run` returns soon."""
        ...


async def take_over(session: "Session", view: TakeOver, *, terminal: bool = True) -> int:
    """Give a session's screen to a view until it ends; what it returned. From the server's loop or the console's.

    Args:
        terminal: the view needs one; else a session of plain lines will do.

    Raises:
        ConsoleError: the session is not on a terminal, or nobody is there, or its screen is taken already.
    """
    if not session.rich and (terminal or not isinstance(session.frontend, Plain)):
        raise ConsoleError("this needs a terminal; this session is on a plain line or a pipe")
    if session.view is not None:
        raise ConsoleError("the screen is taken already")
    if asyncio.get_running_loop() is session.console.loop:
        return await _show(session, view)
    running: concurrent.futures.Future[int] = asyncio.run_coroutine_threadsafe(
        _show(session, view), session.console.loop
    )
    return await asyncio.wrap_future(running)


async def _show(session: "Session", view: TakeOver) -> int:
    session.view = view
    try:
        return await view.run()
    finally:
        session.view = None
        session._flush()  # what was printed meanwhile


# A child becomes the master of its terminal by asking for it; done in a small program of its own, because code run between fork
# and exec in a process with threads may hang.
_BECOME_MASTER = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class Program:
    """A program on a pseudo-terminal of the server, shown in a session: an editor, a pager, a shell.

    Args:
        argv: the program and its arguments.
    """

    def __init__(self, session: "Session", argv: Sequence[str]) -> None:
        self.session, self.argv = session, list(argv)
        self._master = -1
        self._gone = asyncio.Event()

    def feed(self, data: bytes) -> None:
        # Bounded by the kernel's buffer: what a program does not read is not kept here.
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._master, data)

    def resized(self) -> None:
        size = struct.pack("HHHH", self.session.rows, self.session.columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def end(self) -> None:
        self._gone.set()

    async def run(self) -> int:
        """Until the program ends; its exit status. It is ended when the person goes away."""
        loop = asyncio.get_running_loop()
        self._master, slave = os.openpty()
        try:
            self.resized()
            environment = {**os.environ, "TERM": self.session.term or "vt100"}
            try:
                child = await asyncio.create_subprocess_exec(
                    sys.executable, "-Sc", _BECOME_MASTER, *self.argv,
                    stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment,
                )  # fmt: skip
            finally:
                os.close(slave)
            os.set_blocking(self._master, False)
            loop.add_reader(self._master, self._relay)
            try:
                await self._gone.wait()
            finally:
                loop.remove_reader(self._master)
                if not self.session.alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGHUP)
            return await child.wait()
        finally:
            os.close(self._master)
            self._master = -1

    def _relay(self) -> None:
        wire = self.session.wire
        try:
            while wire.unsent() < self.session.max_unsent and (data := os.read(self._master, 65536)):
                wire.send(data)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO is how Linux says that the last program on a terminal has closed it
                raise
            self._gone.set()
