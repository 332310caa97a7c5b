"""A console with a small server around it, and blocking clients that talk to it from another thread."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midair.console import client, frames
from midair.console.console import Console
from midair.console.users import Role, Users
from midair.runtime.files import write_private
from midair.runtime.space import Space

PASSWORD = "correct horse"
PATIENCE = 60.0
"""Seconds a client waits before a test fails: long, because the machine may be busy. Nothing is measured with it."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")


_ASKING = re.compile(
    rb"\x1b\[[>?][0-9;]*[mc]|\x1b\[>[0-9;]*q|\x1bP[^\x1b]*\x1b\\\\|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\\\)"
)


class SmallServer:
    """As much of a server as a console asks for."""

    def __init__(self, folder: Path) -> None:
        self.space = Space()
        self.name = "demo"
        self.path: Path | None = folder / "demo.spl"
        self.loop = asyncio.get_running_loop()
        self.touched = 0
        self.stopped = ""
        self.state: dict[str, Any] = {"held": [], "stragglers": 0, "snapshot_failed": None, "lag_ms": 0.0}

    def touch(self) -> None:
        self.touched += 1

    def status(self) -> dict[str, Any]:
        return dict(self.state)

    def stop_soon(self, reason: str) -> None:
        self.stopped = reason

    async def snapshot(self) -> int:
        await asyncio.sleep(0)
        return 7

    async def rebuild(self, *modules: str, who: str = "") -> str:
        await asyncio.sleep(0)
        return f"edit 1 by {who}: {', '.join(modules) or 'all'}"


class At:
    """What a scenario gets: where the console is, and the server's insides."""

    def __init__(self, console: Console, server: SmallServer, folder: Path) -> None:
        self.console, self.server, self.folder = console, server, folder
        self.clients: list[Client | JSONClient | Terminal] = []

    def _kept(self, one: "Client") -> "Client":
        self.clients.append(one)
        return one

    def telnet(self, user: str = "anna", *, term: str = "", password: str = PASSWORD) -> "Client":
        assert self.console.telnet_address
        one = self._kept(Client(socket.create_connection(self.console.telnet_address)))
        if term:
            # Everything a client says of itself, before it is asked.
            one.send(b"\xff\xfb\x18\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0")
        one.until("username: ")
        one.send(user.encode() + b"\r\n")
        one.until("password: ")
        if term:
            one.send(b"\xff\xfa\x18\x00" + term.encode() + b"\xff\xf0")
        one.send(password.encode() + b"\r\n")
        return one

    def raw(self) -> "Client":
        assert self.console.telnet_address
        return self._kept(Client(socket.create_connection(self.console.telnet_address)))

    def nc(self) -> "Client":
        """As `nc -U` would."""
        return self._kept(Client(client.connect(self.console.socket_path)))

    def attach(self, columns: int = 80, rows: int = 24, term: str = "xterm-256color") -> "Client":
        one = self._kept(Client(client.connect(self.console.socket_path), framed=True))
        one.sock.sendall(frames.hello("editor", term=term, size=[columns, rows]))
        return one

    def script(self, source: str) -> client.Result:
        with client.connect(self.console.socket_path) as sock:
            sock.sendall(frames.hello("run") + frames.pack(frames.DATA, source.encode()) + frames.pack(frames.END))
            return client.collect(sock)

    def command(self, name: str, *words: str) -> client.Result:
        return client.call(self.console.socket_path, name, words)

    def terminal(self, argv: list[str], **options: Any) -> "Terminal":
        """A program on a terminal of its own."""
        one = Terminal(argv, **options)
        self.clients.append(one)
        return one

    def json(self) -> "JSONClient":
        sock = client.connect(self.console.socket_path)
        sock.sendall(frames.hello("json"))
        one = JSONClient(sock)
        self.clients.append(one)
        return one

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "demo.audit").read_text().splitlines()]


class Client:
    """A terminal without a screen: keys in, text without escape sequences out."""

    def __init__(self, sock: socket.socket, *, framed: bool = False) -> None:
        self.sock, self.framed = sock, framed
        self._frames = frames.Frames()
        self._buffer = b""
        self.exit: int | None = None
        self.raw = bytearray()
        sock.settimeout(PATIENCE)

    def send(self, data: bytes | str) -> None:
        data = data.encode() if isinstance(data, str) else data
        self.sock.sendall(frames.pack(frames.DATA, data) if self.framed else data)

    def line(self, text: str) -> None:
        """Type a line and press Enter."""
        self.send(text + "\r")

    def resize(self, columns: int, rows: int) -> None:
        self.sock.sendall(frames.pack(frames.SIZE, json.dumps([columns, rows]).encode()))

    def until(self, text: str) -> str:
        """Read until the text came; what came up to and with it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            plain = self._plain()
            position = plain.find(text)
            if position >= 0:
                rest = plain[position + len(text) :]
                self._buffer = rest.encode()
                return plain[: position + len(text)]
            assert time.monotonic() < deadline, f"waited for {text!r}, have {plain[-2000:]!r}"
            assert self._more(), f"waited for {text!r}, but the server hung up after {plain[-2000:]!r}"

    def prompt(self) -> str:
        return self.until(">>>")

    def rest(self) -> str:
        """Read until the server hangs up."""
        while self._more():
            pass
        plain, self._buffer = self._plain(), b""
        return plain

    def close(self) -> None:
        self.sock.close()

    def _plain(self) -> str:
        text = _ESCAPES.sub("", self._buffer.decode("utf-8", "replace"))
        return re.sub(r"\ufffd[\ufffd\x01\x03\x18\x1f]*", "", text)

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            raise AssertionError(f"nothing more came in {PATIENCE:g} s after {self._plain()[-2000:]!r}") from None
        except ConnectionResetError:
            return False
        if not data:
            return False
        self.raw += data
        if not self.framed:
            self._buffer += data
            return True
        for kind, payload in self._frames.receive(data):
            if kind == frames.EXIT:
                self.exit = json.loads(payload)
            else:
                self._buffer += payload
        return True


class Terminal:
    """A program in a pseudo-terminal, seen through a screen as a person sees it."""

    def __init__(self, argv: list[str], *, columns: int = 100, rows: int = 40, **environment: str) -> None:
        import pyte

        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, {**os.environ, "TERM": "xterm-256color", **environment})
        self.resize(columns, rows)
        self.status: int | None = None

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def line(self, text: str) -> None:
        self.type(text + "\r")

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def until(self, pattern: str) -> str:
        """Read until the screen shows it; the screen."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.text, re.MULTILINE):
            assert time.monotonic() < deadline, f"waited for {pattern!r}, the screen is:\n{self.text}"
            assert self._more(), f"waited for {pattern!r}, but it ended; the screen is:\n{self.text}"
        return self.text

    def ends(self) -> int:
        """Read until the program has ended; its exit status."""
        while self._more():
            pass
        deadline = time.monotonic() + PATIENCE
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            assert time.monotonic() < deadline, f"it did not end; the screen is:\n{self.text}"
            time.sleep(0.01)
        self.status = os.waitstatus_to_exitcode(ended[1])
        return self.status

    def settings(self) -> list[object]:
        """How the terminal is set: echo, raw or not, and so on."""
        return list(termios.tcgetattr(self.fd))

    def close(self) -> None:
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def _more(self) -> bool:
        readable, _, _ = select.select([self.fd], [], [], PATIENCE)
        if not readable:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        # A terminal ignores control-A; pyte would drop the text that follows it. netcat shows it as part of IAC WILL ECHO.
        # Nor does it know xterm's ways to ask for more keys and for colours, which vim tries.
        self.stream.feed(_ASKING.sub(b"", data.replace(b"\x01", b"")))
        return bool(data)


class JSONClient:
    """Requests and replies, a line each."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self._file = sock.makefile("rwb")

    def send(self, **request: Any) -> None:
        self._file.write(json.dumps(request).encode() + b"\n")
        self._file.flush()

    def next(self) -> dict[str, Any]:
        line = self._file.readline()
        assert line, "the server hung up"
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        self._file.close()
        self.sock.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        self.send(**request)
        return self.next()


_users_file = ""


def some_users(path: Path) -> Users:
    """anna (admin), otto (operator) and vera (viewer); hashed once, for hashing is slow on purpose."""
    global _users_file
    users = Users(path)
    if _users_file and not path.exists():
        write_private(path, _users_file)
    if not users.all():
        for name, role in (("anna", Role.ADMIN), ("otto", Role.OPERATOR), ("vera", Role.VIEWER)):
            users.add(name, PASSWORD, role)
        _users_file = path.read_text()
    return users


def converse(
    folder: Path,
    scenario: Callable[[At], None],
    *,
    prepare: Callable[[SmallServer, Console], None] = lambda _server, _console: None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **options: Any,
) -> None:
    """Run a scenario in a thread beside a server with a console; its users are anna (admin), otto (operator), vera (viewer)."""

    async def main() -> None:
        server = SmallServer(folder)
        users = some_users(folder / "demo.users")
        console = Console(folder / "demo.sock", telnet=("127.0.0.1", 0), users=users, **options)
        prepare(server, console)
        await console.start(server)
        at = At(console, server, folder)
        try:
            await asyncio.to_thread(scenario, at)
        finally:
            for one in at.clients:
                one.close()
            await console.stop(server)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())
