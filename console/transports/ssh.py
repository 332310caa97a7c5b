"""A console over ssh: public keys only, roles as for telnet. Needs the extra `midair[ssh]`.

`NAME.keys` says who holds which key, one a line, the user's name before what `~/.ssh/id_ed25519.pub` holds:

    anna ssh-ed25519 AAAAC3Nz... anna@laptop

The user must be known to `midair user` too; that is where the role is. The server's own key is made at the first start, `NAME.ssh_key`, mode
0600, beside the space and not in it. With a terminal there is the editor, `ssh host 'status()'` runs one statement, and
`ssh host < script.py` a script.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from ...runtime.errors import ConsoleError
from ..script import Script
from ..session import Frontend, Person, Session
from ..users import UserError

if TYPE_CHECKING:
    from ..console import Console

log = logging.getLogger("midair.console")

LOGIN_TIMEOUT = 30
"""Seconds from connecting to a key that is accepted."""

MAX_SCRIPT_OUTPUT = 16 * 1024 * 1024


async def listen(console: "Console", host: str, port: int, keys: Path, host_key: Path) -> asyncssh.SSHAcceptor:
    """Listen for ssh.

    Raises:
        ConsoleError: the port is taken, or the server's key cannot be read or made.
    """
    if (chatter := logging.getLogger("asyncssh")).level == logging.NOTSET:
        chatter.setLevel(logging.WARNING)  # a dozen lines for each login say no more than our own one
    try:
        _make_host_key(host_key)
        return await asyncssh.listen(
            host,
            port,
            server_factory=lambda: _Gate(console, keys),
            server_host_keys=[str(host_key)],
            encoding=None,
            line_editor=False,
            login_timeout=LOGIN_TIMEOUT,
            server_version="midair",
        )
    except (OSError, asyncssh.KeyImportError) as error:
        raise ConsoleError(f"cannot listen for ssh on {host}:{port}: {error}") from error


def _make_host_key(path: Path) -> None:
    if path.exists():
        if path.stat().st_mode & 0o077:
            raise ConsoleError(f"{path} can be read by others; nobody is let in by ssh until its mode is 0600")
        return
    key = asyncssh.generate_private_key("ssh-ed25519", comment="midair")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(key.export_private_key())


def read_keys(path: Path) -> list[tuple[str, asyncssh.SSHKey]]:
    """(user, key) for each line of a file of keys; a line that is not one is named in the log and skipped.

    Raises:
        UserError: others can write to the file.
    """
    if not path.exists():
        return []
    if path.stat().st_mode & 0o022:
        raise UserError(f"{path} can be written by others; nobody is let in by ssh until its mode is 0600")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, _, key = line.strip().partition(" ")
        if not key or name.startswith("#"):
            continue
        try:
            found.append((name, asyncssh.import_public_key(key)))
        except asyncssh.KeyImportError as error:
            log.warning("%s, line %d is no key and was skipped: %s", path, number, error)
    return found


class _Gate(asyncssh.SSHServer):
    """One connection, until it has shown a key."""

    def __init__(self, console: "Console", keys: Path) -> None:
        self.console, self.keys = console, keys
        self.person: Person | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.peer = "{}:{}".format(*conn.get_extra_info("peername")[:2])

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        try:
            known = any(name == username and one == key for name, one in read_keys(self.keys))
            user = self.console.users.get(username) if known and self.console.users else None
        except UserError as error:
            log.error("nobody can log in: %s", error)  # noqa: TRY400 - one sentence says it all
            return False
        if user is not None:
            self.person = Person(user.name, user.role, "ssh", self.peer)
        return user is not None

    def auth_completed(self) -> None:
        if self.person is not None:
            log.info("login: %s (%s) by ssh from %s", self.person.user, self.person.role, self.peer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.person is None:
            log.warning("login refused: by ssh from %s%s", self.peer, f" ({exc})" if exc else "")
            self.console.note(event="refused", transport="ssh", peer=self.peer)

    def session_requested(self) -> "asyncssh.SSHServerSession[bytes] | bool":
        return _Channel(self.console, self.person) if self.person is not None else False


class _Channel(asyncssh.SSHServerSession[bytes]):
    """One session on a connection: the wire of a `Session`."""

    def __init__(self, console: "Console", person: Person) -> None:
        self.console, self.person = console, person
        self.session: Session | None = None
        self.command: str | None = None
        self.term = ""
        self.size = (80, 24)
        self._early = bytearray()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        self.channel = chan

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went is the same to us
        if self.session is not None:
            self.session.close()

    def pty_requested(
        self,
        term_type: str,
        term_size: tuple[int, int, int, int],
        term_modes: Mapping[int, int],  # noqa: ARG002 - the interface
    ) -> bool:
        self.term = (term_type or "vt100").lower()
        self.terminal_size_changed(*term_size)
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self.command = command
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - the interface
        if self.session is not None:
            self.session.feed(data)
        else:
            self._early += data[: 64 * 1024]

    def eof_received(self) -> bool:
        self._ended = True
        frontend = self.session.frontend if self.session else None
        if isinstance(frontend, Script):
            frontend.end_of_input()
        elif self.session is not None:
            self.session.close()
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:  # noqa: ARG002 - the interface
        self.size = (min(width or 80, 500), min(height or 24, 500))
        if self.session is not None:
            self.session.resize(*self.size)

    def break_received(self, msec: int) -> bool:  # noqa: ARG002 - the interface
        if self.session is not None:
            self.session.interrupt()
        return True

    def signal_received(self, signal: str) -> None:
        if signal == "INT" and self.session is not None:
            self.session.interrupt()

    async def _serve(self) -> None:
        columns, rows = self.size
        session = Session(self.console, self, self.person, term=self.term, columns=columns, rows=rows)
        frontend: Frontend
        if self.command is not None or not self.term:
            session.max_unsent = MAX_SCRIPT_OUTPUT
            frontend = Script(session, self._emit)
            if self.command is not None:
                frontend.feed(self.command.encode())
                frontend.end_of_input()
        else:
            frontend = await self.console.editor(session)
        session.frontend = frontend
        if not isinstance(frontend, Script):
            await self.console.greet(session)
        self.session = session
        session.resize(*self.size)
        early, self._early = bytes(self._early), bytearray()
        if early and self.command is None:
            session.feed(early)
        if self._ended:
            self.eof_received()
        try:
            await session.run(frontend)
        except Exception:
            log.exception("a console session ended by an error of ours")
        if not self.channel.is_closing():
            self.channel.exit(frontend.status if isinstance(frontend, Script) else 0)

    # -- the wire

    def send(self, data: bytes) -> None:
        if not self.channel.is_closing():
            self.channel.write(data)

    def _emit(self, text: str, stream: str) -> None:
        if self.channel.is_closing():
            return
        write: Callable[[bytes], None] = self.channel.write if stream == "out" else self.channel.write_stderr
        write(text.encode("utf-8", "surrogateescape"))

    def hide(self, hidden: bool) -> None:
        """The editor echoes, not the client."""

    def unsent(self) -> int:
        return self.channel.get_write_buffer_size()

    def close(self) -> None:
        return  # the exit status is sent when the session has ended, and closes the channel
