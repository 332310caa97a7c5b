"""A console over a Unix socket: mode 0600, and only for this user and root, as the kernel tells. No password, and never locked out."""

import asyncio
import json
import logging
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING, Any

from .. import frames
from ..plain import Plain
from ..script import JSONLines, Script
from ..session import Frontend, Person, Session
from ..users import Role
from .wire import Connection

if TYPE_CHECKING:
    from ..console import Console

log = logging.getLogger("midair.console")

HELLO_WAIT = 0.3
"""Seconds that a client has for its hello line before it gets the plain prompt."""

MAX_SCRIPT_OUTPUT = 16 * 1024 * 1024
"""Output kept for a pipe that is read slowly, in bytes: more than for a person, for it may be data."""

_CREDENTIALS = struct.Struct("3i")


class UnixConnection(Connection):
    """One client of the socket: `midair attach` in one of its modes, or `nc -U`."""

    def __init__(self, console: "Console") -> None:
        super().__init__(console)
        self._early = bytearray()
        self._frames: frames.Frames | None = None
        self._greeted = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended_early = False

    def opened(self) -> None:
        self.pid, uid, _ = peer_of(self.transport.get_extra_info("socket"))
        if uid not in {0, os.geteuid()}:
            log.warning(
                "console refused to process %d of user %d: the socket is for user %d", self.pid, uid, os.geteuid()
            )
            self.refuse(b"This console is for its own user.\n")
            return
        self.user = user_name(uid)
        self._timer = asyncio.get_running_loop().call_later(HELLO_WAIT, self._begin, {"mode": "plain"})

    def lost(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._greeted:
            self._take(data)
            return
        self._early += data
        if not self._early.startswith(frames.HELLO[: len(self._early)]):
            self._begin({"mode": "plain"})
        elif (end := self._early.find(b"\n")) >= 0:
            line, self._early = bytes(self._early[:end]), self._early[end + 1 :]
            try:
                self._begin(frames.read_hello(line))
            except frames.BadFrame as error:
                self.refuse(f"{error}\n".encode())
        elif len(self._early) > frames.MAX_HELLO:
            self.refuse(f"a hello line has at most {frames.MAX_HELLO} bytes\n".encode())

    def eof_received(self) -> bool:
        if not self._greeted and not self._refused:
            self._begin({"mode": "plain"})
        self._ended_early = True
        if self.session is not None:
            self._input_ended()
        return True

    def _input_ended(self) -> None:
        frontend = self.session.frontend if self.session else None
        if isinstance(frontend, Plain | JSONLines):
            frontend.end_of_input()
        elif self.session is not None:
            self.session.close()

    def _take(self, data: bytes) -> None:
        if self.session is None:
            self._early += data
            if len(self._early) > frames.MAX_PAYLOAD:
                self.transport.abort()
        elif self._frames is None:
            self.session.feed(data)
        else:
            self._framed(data)

    def _framed(self, data: bytes) -> None:
        assert self._frames is not None
        assert self.session is not None
        try:
            received = self._frames.receive(data)
        except frames.BadFrame as error:
            log.warning("console client, process %d, dropped: %s", self.pid, error)
            self.session.close()
            return
        for kind, payload in received:
            if kind == frames.DATA:
                self.session.feed(payload)
            elif kind == frames.SIZE:
                self.session.resize(*_size(payload))
            elif kind == frames.INTERRUPT:
                self.session.interrupt()
            elif kind == frames.END and isinstance(self.session.frontend, Script):
                self.session.frontend.end_of_input()

    # -- sessions

    def _begin(self, hello: dict[str, Any]) -> None:
        if self._greeted or self.transport.is_closing():
            return
        self._greeted = True
        if self._timer is not None:
            self._timer.cancel()
        self.start(asyncio.get_running_loop().create_task(self._serve(hello)))

    async def _serve(self, hello: dict[str, Any]) -> None:
        mode = hello["mode"]
        columns, rows = _size_of(hello.get("size"))
        session = Session(
            self.console,
            self,
            Person(self.user, Role.ADMIN, "unix", f"pid {self.pid}"),
            term=str(hello.get("term", ""))[:64].lower(),
            columns=columns,
            rows=rows,
        )
        level = logging.DEBUG if mode in {"run", "call"} else logging.INFO
        log.log(level, "login: %s by socket, process %d (%s)", self.user, self.pid, mode)
        if mode in {"editor", "run", "call"}:
            self._frames = frames.Frames()
        if mode in {"run", "call"}:
            session.max_unsent = MAX_SCRIPT_OUTPUT
        frontend = await self._frontend(mode, session, hello)
        if frontend is None:
            self.refuse(f"there is no mode {mode!r}\n".encode())
            return
        session.frontend = frontend
        if mode in {"editor", "plain"}:
            await self.console.greet(session)
        self.session = session
        early, self._early = bytes(self._early), bytearray()
        if early:
            self._take(early)
        if self._ended_early:
            self._input_ended()
        await session.run(frontend)
        if self._frames is not None:
            status = frontend.status if isinstance(frontend, Script) else 0
            self._frame(frames.EXIT, json.dumps(status).encode())

    async def _frontend(self, mode: str, session: Session, hello: dict[str, Any]) -> Frontend | None:
        match mode:
            case "editor":
                return await self.console.editor(session)
            case "plain":
                return Plain(session)
            case "json":
                return JSONLines(session)
            case "run":
                return Script(session, self._emit)
            case "call":
                return Script(session, self._emit, call=str(hello.get("command", "")))
            case _:
                return None

    # -- the wire

    def send(self, data: bytes) -> None:
        if self._frames is not None:
            self._frame(frames.DATA, data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def _emit(self, text: str, stream: str) -> None:
        self._frame(frames.DATA if stream == "out" else frames.ERROR, text.encode("utf-8", "surrogateescape"))

    def _frame(self, kind: bytes, payload: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(frames.pack(kind, payload))

    def close(self) -> None:
        if self._frames is None:
            self.transport.close()
        # Framed clients get their exit status first; the end of `_serve` closes.


def peer_of(sock: socket.socket) -> tuple[int, int, int]:
    """Process, user and group at the other end of a Unix socket, as the kernel saw them when it connected."""
    pid, uid, gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid, gid


def user_name(uid: int) -> str:
    """The login name of a user number, or the number itself."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _size(payload: bytes) -> tuple[int, int]:
    try:
        return _size_of(json.loads(payload))
    except ValueError:
        return 80, 24


def _size_of(value: Any) -> tuple[int, int]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value):
        return min(value[0] or 80, 500), min(value[1] or 24, 500)
    return 80, 24
