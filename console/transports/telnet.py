"""A console over telnet: login with the echo off, then the editor, or the plain prompt for a client that has no terminal.

Clear text, so it listens on this machine only unless somebody insists (`allow_cleartext`).
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from ...runtime.errors import LimitExceeded
from ...services.telnet import AreYouThere, Data, Interrupt, Telnet, TerminalType, WindowSize
from ...services.telnet.protocol import ECHO, NAWS, SGA, TTYPE
from ..plain import Plain
from ..session import Frontend, Person, Session
from ..users import User, UserError
from .wire import Connection

if TYPE_CHECKING:
    from ..console import Console

log = logging.getLogger("midair.console")

LOGIN_TIMEOUT = 30.0
"""Seconds that a name and its password may take."""

MAX_STRANGERS = 10
"""Connections that may be at their login at the same time."""

TERMINAL_WAIT = 0.5
"""Seconds that a client which offered a terminal type has to name it."""

_HTTP = ("GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "TRACE ", "PATCH ", "PRI ")


class TelnetConnection(Connection):
    """One telnet client."""

    def __init__(self, console: "Console") -> None:
        super().__init__(console)
        self.machine = Telnet()
        self._arrived = asyncio.Event()
        self._early = bytearray()
        self._answers_options = False
        self._plain: Plain | None = None
        self._counted = False
        self.term = ""
        self.size = (80, 24)

    # -- bytes

    def opened(self) -> None:
        self.peer = "{}:{}".format(*self.transport.get_extra_info("peername")[:2])
        if self.console.strangers >= MAX_STRANGERS:
            self.refuse(b"Too many people are logging in; try again later.\r\n")
            return
        self.console.strangers += 1
        self._counted = True
        self.start(asyncio.get_running_loop().create_task(self._serve()))

    def _no_stranger(self) -> None:
        if self._counted:
            self._counted = False
            self.console.strangers -= 1

    def lost(self) -> None:
        self._no_stranger()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            events = self.machine.receive(data)
        except LimitExceeded as error:
            log.warning("telnet client %s dropped: %s", self.peer, error)
            self.refuse(b"Too many telnet options.\r\n")
            if self.session is not None:
                self.session.close()
            return
        for event in events:
            self._happened(event)
        self._push()

    def eof_received(self) -> bool:
        if self._plain is not None:
            self._plain.end_of_input()
            return True
        return False

    def _happened(self, event: object) -> None:
        match event:
            case Data(data):
                self._typed(data)
            case Interrupt():
                self._typed(b"\x03")
            case AreYouThere():
                self.send(f"[{self.console.server.name} is here]\n".encode())
            case WindowSize(columns, rows):
                self.size = (columns, rows)
                if self.session is not None:
                    self.session.resize(columns, rows)
            case TerminalType(name):
                self.term = name
                self._arrived.set()
            case _:
                self._answers_options = True

    def _typed(self, data: bytes) -> None:
        if self.session is not None:
            self.session.feed(data)
            return
        # At the login: complete lines are answers, and what comes after the last answer belongs to the session.
        if len(self._early) + len(data) > 64 * 1024:
            self.refuse(b"Too much at once.\r\n")
            return
        self._early += data
        self._arrived.set()

    def send(self, data: bytes) -> None:
        self.machine.send(data)
        self._push()

    def hide(self, hidden: bool) -> None:
        if self._plain is not None:
            (self.machine.will if hidden else self.machine.withdraw)(ECHO)
            self._push()

    def _push(self) -> None:
        if (output := self.machine.take_output()) and not self.transport.is_closing():
            self.transport.write(output)

    # -- the dialogue

    async def _serve(self) -> None:
        try:
            user = await self._login()
        except TimeoutError:
            self.refuse(b"\r\nToo slow; goodbye.\r\n")
            return
        finally:
            self._no_stranger()
        if user is None:
            return
        if self._answers_options and not self.term:
            await self._wait_for_terminal()
        await self._session(user)

    async def _login(self) -> User | None:
        """Who it is, with as many tries as the door allows; None when they were hung up on."""
        self.machine.do(NAWS)
        self.machine.do(TTYPE)
        self.send(f"\n{self.console.server.name}\nmidair {self.console.version}\n".encode())
        address = f"address {self.peer.rpartition(':')[0]}"
        door = self.console.door
        while True:
            async with asyncio.timeout(LOGIN_TIMEOUT):
                name, user = await self._try(address)
            if user is not None or self._refused:
                return user
            keys = (address, f"name {name}")
            if door.shut(*keys):
                self._refuse_login(name, "Login incorrect.")
                return None
            self._note_refusal(name)
            self.send(b"Login incorrect.\n")
            await asyncio.sleep(door.wait(*keys))

    async def _try(self, address: str) -> tuple[str, User | None]:
        """Ask for a name and a password."""
        name = await self._ask("username: ")
        if name.startswith(_HTTP) or " HTTP/" in name:
            # A web page made a browser talk to us: not one more word to it.
            log.warning("telnet: %s speaks HTTP, not telnet; hung up", self.peer)
            self.refuse(b"")
            return name, None
        if wait := self.console.door.wait(address, f"name {name}"):
            self._refuse_login(name, f"Try again in {wait:.0f} s.")
            return name, None
        self.machine.will(ECHO)
        password = await self._ask("password: ")
        self.machine.withdraw(ECHO)
        self.send(b"\n")
        try:
            user = await self.console.door.login(name, password, address.removeprefix("address "))
        except UserError as error:
            log.error("nobody can log in: %s", error)  # noqa: TRY400 - one sentence says it all
            self._refuse_login(name, "Nobody can log in here now; the server's log says why.")
            return name, None
        if user is not None:
            log.info("login: %s (%s) by telnet from %s", user.name, user.role, self.peer)
        return name, user

    def _refuse_login(self, name: str, words: str) -> None:
        self._note_refusal(name)
        self.refuse(words.encode() + b"\r\n")

    def _note_refusal(self, name: str) -> None:
        log.warning("login refused: %r by telnet from %s", name[:64], self.peer)
        self.console.note(event="refused", user=name[:64], transport="telnet", peer=self.peer)

    async def _ask(self, question: str) -> str:
        self.send(question.encode())
        while True:
            for index, byte in enumerate(self._early):
                if byte in b"\r\n":
                    line, self._early = bytes(self._early[:index]), self._early[index + 1 :]
                    return _edited(line)
            self._arrived.clear()
            await self._arrived.wait()

    async def _wait_for_terminal(self) -> None:
        try:
            async with asyncio.timeout(TERMINAL_WAIT):
                while not self.term:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return  # it will have the plain prompt

    async def _session(self, user: User) -> None:
        person = Person(user.name, user.role, "telnet", self.peer)
        columns, rows = self.size
        session = Session(self.console, self, person, term=self.term, columns=columns, rows=rows)
        if self.term and self.term not in {"dumb", "unknown", "network"}:
            self.machine.will(ECHO)
            self.machine.will(SGA)
            self._push()
            frontend: Frontend = await self.console.editor(session)
        else:
            frontend = self._plain = Plain(session)
        session.frontend = frontend
        await self.console.greet(session)
        self.session = session
        session.resize(*self.size)
        early, self._early = bytes(self._early), bytearray()
        if early:
            session.feed(early)
        await session.run(frontend)


def _edited(line: bytes) -> str:
    """A line as its typist saw it: with backspaces done and without control characters."""
    kept: list[str] = []
    for character in line.decode("utf-8", "replace"):
        if character in "\b\x7f":
            del kept[-1:]
        elif character == "\x15":
            kept.clear()
        elif character.isprintable():
            kept.append(character)
    return "".join(kept)
