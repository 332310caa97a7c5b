"""A console on a terminal of this machine: the one the server was started on (`run -i`), or one that anybody with the right may open.

`NAME.tty` is a link to a pseudo-terminal that the server keeps: `screen NAME.tty` has a session there, and leaves it with Ctrl-D or by closing.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from .. import router
from ..session import Person, Session
from ..users import Role
from .unix import user_name

if TYPE_CHECKING:
    from ..console import Console

LOOK = 0.3
"""Seconds between two looks whether somebody has opened the terminal, or changed its size: the kernel does not tell the other end."""

MAX_UNSENT = 1024 * 1024


class TerminalWire:
    """A terminal's file descriptors as a session's wire.

    Args:
        keys, screen: what is read and what is written; the same number for a pseudo-terminal.
    """

    def __init__(self, console: "Console", keys: int, screen: int, name: str) -> None:
        self.console, self.keys, self.screen, self.name = console, keys, screen, name
        self.session: Session | None = None
        self._unsent = bytearray()
        self._gone = False

    async def serve(self) -> None:
        """One session, from the first prompt to its end."""
        loop = asyncio.get_running_loop()
        before = termios.tcgetattr(self.keys)
        blocking = os.get_blocking(self.keys), os.get_blocking(self.screen)
        columns, rows = self._size()
        person = Person(user_name(os.geteuid()), Role.ADMIN, "terminal", self.name)
        self.session = session = Session(
            self.console, self, person, term=os.environ.get("TERM", "vt100"), columns=columns, rows=rows
        )
        frontend = await self.console.editor(session)
        session.frontend = frontend
        _by_key(self.keys)
        try:
            os.set_blocking(self.keys, False)
            os.set_blocking(self.screen, False)
            await self.console.greet(session)
            loop.add_reader(self.keys, self._read)
            sizes = loop.create_task(self._follow_size())
            try:
                with self._in_front_of_the_server(session):
                    await session.run(frontend)
            finally:
                sizes.cancel()
                loop.remove_reader(self.keys)
                loop.remove_writer(self.screen)
        finally:
            os.set_blocking(self.keys, blocking[0])
            os.set_blocking(self.screen, blocking[1])
            with contextlib.suppress(termios.error):  # the other end has gone, and its settings with it
                termios.tcsetattr(self.keys, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def _in_front_of_the_server(self, session: Session) -> Generator[None, None, None]:
        """On the terminal that the server was started on, its log comes above the prompt, and tells of edits already."""
        if self.keys == self.screen:
            yield
            return
        with router.shown_by(session.lines) as session.shows_log:
            yield

    def _read(self) -> None:
        if self.session is None:
            return
        try:
            data = os.read(self.keys, 4096)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # EIO: nobody has the other end open any more
                raise
            data = b""
        if data:
            self.session.feed(data)
        else:
            self._gone = True
            asyncio.get_running_loop().remove_reader(self.keys)
            self.session.close()

    async def _follow_size(self) -> None:
        while self.session is not None:
            await asyncio.sleep(LOOK)
            size = self._size()
            if self.session is not None and size != (self.session.columns, self.session.rows):
                self.session.resize(*size)

    def _size(self) -> tuple[int, int]:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.screen, termios.TIOCGWINSZ, bytes(8)))
        return columns or 80, rows or 24

    # -- the wire

    def send(self, data: bytes) -> None:
        if not self._gone and len(self._unsent) < MAX_UNSENT:
            self._unsent += data
            self._write()

    def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self.screen, self._unsent) if self._unsent else 0
        except BlockingIOError:
            written = 0
        except OSError:
            self._gone = True
            self._unsent.clear()
            return
        del self._unsent[:written]
        if self._unsent:
            loop.add_writer(self.screen, self._write)
        else:
            loop.remove_writer(self.screen)

    def unsent(self) -> int:
        return len(self._unsent)

    def close(self) -> None:
        return

    def hide(self, hidden: bool) -> None:
        """The editor echoes, not the terminal."""


def _by_key(descriptor: int) -> None:
    """Keys one by one, without echo and without signals; the log's lines on the same terminal still end properly."""
    settings = termios.tcgetattr(descriptor)
    settings[0] &= ~(termios.ICRNL | termios.IXON | termios.ISTRIP | termios.INLCR)
    settings[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
    termios.tcsetattr(descriptor, termios.TCSADRAIN, settings)


async def keep_terminal(console: "Console", link: Path) -> None:
    """Keep a pseudo-terminal under a link, with a session for whoever opens it, one after another, until cancelled."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    try:
        _by_key(master)  # from the start: a terminal that echoes would give us our own words as keys
        _replace_link(link, name)
        while True:
            if _is_open(master):
                await TerminalWire(console, master, master, str(link)).serve()
            await asyncio.sleep(LOOK)
    finally:
        _remove_link(link, name)
        os.close(master)


def _replace_link(link: Path, target: str) -> None:
    scratch = link.with_name(f"{link.name}.{os.getpid()}~")
    scratch.symlink_to(target)
    scratch.replace(link)


def _remove_link(link: Path, target: str) -> None:
    if link.is_symlink() and os.readlink(link) == target:
        link.unlink()


def _is_open(master: int) -> bool:
    """Whether somebody has the other end open."""
    poll = select.poll()
    poll.register(master, 0)
    return not any(events & select.POLLHUP for _, events in poll.poll(0))
