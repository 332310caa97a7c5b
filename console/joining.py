"""A session without its client, and with more than one.

Ctrl-\\ or `detach()` leaves a session behind: what it runs goes on, and what it prints is kept for whoever comes back. `join()` shows it again
inside of another session, as `tmux attach` would; with an invitation two people have the same prompt before them.
"""

import asyncio
from typing import TYPE_CHECKING

from ..runtime.errors import ConsoleError, NotAuthorised
from .display import one_line

if TYPE_CHECKING:
    from .session import Session, Wire

LEAVE = b"\x1c"
"""Ctrl-\\."""

MAX_DETACHED = 8
"""Detached sessions that a server keeps; each costs about 1 MiB, and what it printed."""

MAX_BEHIND = 1024 * 1024
"""Bytes that may wait for one of several screens; what is over is not drawn there."""


class Screens:
    """A session's wire: what it shows goes to its own client and to whoever has joined. Without any of them it is detached."""

    def __init__(self, wire: "Wire") -> None:
        self.wires = [wire]

    def send(self, data: bytes) -> None:
        if len(self.wires) == 1:
            self.wires[0].send(data)
            return
        for wire in tuple(self.wires):
            if wire.unsent() < MAX_BEHIND:
                wire.send(data)

    def unsent(self) -> int:
        return min((wire.unsent() for wire in self.wires), default=0)

    def close(self) -> None:
        for wire in tuple(self.wires):
            wire.close()

    def hide(self, hidden: bool) -> None:
        for wire in self.wires:
            wire.hide(hidden)


class Joined:
    """One session shown in another: has the guest's screen and keys until either of them leaves."""

    def __init__(self, guest: "Session", host: "Session") -> None:
        self.guest, self.host = guest, host
        self._left = asyncio.Event()

    async def run(self) -> int:
        host = self.host
        host.screens.wires.append(self)
        try:
            self.send(b"\x1b[2J\x1b[H")
            if host.statement is not None:
                self.send(f"[session {host.number} runs {running(host)}]\r\n".encode())
            host._flush()
            host.fit()
            await self._left.wait()
        finally:
            host.screens.wires.remove(self)
            host.fit()
        self.send(f"\r\n[left session {host.number}]\r\n".encode())
        return 0

    def feed(self, data: bytes) -> None:
        before, pressed, _ = data.partition(LEAVE)
        if before:
            self.host.feed(before)
        if pressed:
            self._left.set()

    def resized(self) -> None:
        self.host.fit()

    def end(self) -> None:
        self._left.set()

    # -- as a wire of the host

    def send(self, data: bytes) -> None:
        self.guest.wire.send(data)

    def unsent(self) -> int:
        return self.guest.wire.unsent()

    def hide(self, hidden: bool) -> None:
        self.guest.wire.hide(hidden)

    def close(self) -> None:
        self._left.set()


def find(me: "Session", number: int | None) -> "Session":
    """The session that somebody may join: their own that is detached, one of theirs by its number, or one that they were invited to.

    Raises:
        ConsoleError: there is none, or several, or it cannot be shown.
        NotAuthorised: it is somebody else's who has not invited them, or has a role that they have not.
    """
    others = [session for session in me.console.sessions if session is not me]
    if number is None:
        mine = [session for session in others if session.detached and session.user == me.user]
        if len(mine) != 1:
            listed = "; ".join(f"join({session.number}): {running(session) or 'at its prompt'}" for session in mine)
            raise ConsoleError(f"which one? {listed}" if mine else "no session of yours is detached; who() lists all")
        (host,) = mine
    else:
        host = next((session for session in others if session.number == number), me)
        if host is me:
            raise ConsoleError(f"there is no other session {number}; who() lists them")
    if host.user != me.user and me.user not in host.invited:
        raise NotAuthorised(f"session {host.number} is of {host.user}, who would have to type: invite({me.user!r})")
    if me.person.role < host.person.role:
        raise NotAuthorised(f"session {host.number} has the role {host.person.role}; you are {me.person.role}")
    if not host.rich or isinstance(host.view, Joined):
        raise ConsoleError(f"session {host.number} is on a plain line, or shows another session")
    return host


def running(session: "Session") -> str:
    """The first line of what a session runs; empty when it runs nothing."""
    return "" if session.statement is None else one_line(session.statement.source.partition("\n")[0])
