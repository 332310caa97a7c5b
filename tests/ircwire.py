"""An IRC server on real sockets, and raw clients that say exactly what they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from ircnet import read_line

from midair.runtime.server import Server
from midair.runtime.space import Space
from midair.services.irc import Irc
from midair.services.irc.message import Message

PATIENCE = 60.0  # seconds until a wait for an event is given up; only a broken server uses them up


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *lines: str | bytes) -> None:
        for line in lines:
            self.writer.write((line if isinstance(line, bytes) else line.encode()) + b"\r\n")

    async def next(self) -> Message:
        """The next message; ConnectionError at the end."""
        line = await asyncio.wait_for(self.reader.readline(), PATIENCE)
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed")
        message = read_line(line[:-2])
        assert message
        return message

    async def until(self, wanted: str | Callable[[Message], bool]) -> list[Message]:
        """Everything up to a command, or to the message that a function wants."""
        found = []
        while True:
            found.append(await self.next())
            if found[-1].command == wanted if isinstance(wanted, str) else wanted(found[-1]):
                return found

    async def sync(self, token: str = "sync") -> list[Message]:
        """Everything the server had to say until now."""
        self.send(f"PING {token}")
        return (await self.until(lambda m: m.command == "PONG" and m.params[-1] == token))[:-1]

    async def register(self, nick: str, *joins: str, caps: str = "") -> None:
        if caps:
            self.send("CAP LS 302", f"CAP REQ :{caps}")
        self.send(f"NICK {nick}", f"USER {nick} 0 * :{nick}", *(["CAP END"] if caps else []))
        await self.until(lambda m: m.command in {"376", "422"})
        for name in joins:
            self.send(f"JOIN {name}")
            await self.until("366")

    async def at_end(self) -> list[Message]:
        """Everything until the server closes."""
        found = []
        with contextlib.suppress(ConnectionError):
            while True:
                found.append(await self.next())
        return found

    def close(self) -> None:
        self.writer.close()


class Running:
    """A space with an IRC server that runs."""

    def __init__(self, irc: Irc, server: Server) -> None:
        self.irc, self.server = irc, server
        self.wires: list[Wire] = []

    @property
    def net(self) -> Any:
        return self.irc.network

    async def wire(self, place: int = 0, tls: ssl.SSLContext | None = None) -> Wire:
        """A new connection to the first address it listens on, or another."""
        host, _, port = self.irc.addresses[place].rpartition(":")
        wire = Wire(*await asyncio.open_connection(host, int(port), ssl=tls, limit=2**20))
        self.wires.append(wire)
        return wire

    async def person(self, nick: str, *joins: str, caps: str = "") -> Wire:
        wire = await self.wire()
        await wire.register(nick, *joins, caps=caps)
        return wire


@contextlib.asynccontextmanager
async def running(irc: Irc | Space | None = None, **options: Any) -> AsyncIterator[Running]:
    """Run a server on free ports for the length of a block."""
    space = irc if isinstance(irc, Space) else Space()
    if not isinstance(irc, Space):
        space["irc"] = irc or Irc(0, name="My.Little.Server", title="testnet", **options)
    lines: list[str] = []
    server = Server(space, say=lines.append, complain=lines.append, drain=0.5)
    life = asyncio.ensure_future(server.main())
    ready = asyncio.ensure_future(server.ready.wait())
    await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
    assert server.ready.is_set(), lines
    here = Running(space["irc"], server)
    try:
        yield here
    finally:
        for wire in here.wires:
            wire.writer.transport.abort()
        server.stop_soon("the test is over")
        await life
