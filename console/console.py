"""The console of one server: a thread with an event loop of its own, the ways in, and who is there.

It starts before the services and stops after them, so a person gets in even when a service hangs. Statements run on the server's loop;
everything else here (transports, login, editing, drawing) runs on the console's, which goes on while the server's is stuck.
"""

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..runtime import rebuild, sockets
from ..runtime.errors import ConsoleError
from . import router
from .audit import Audit
from .commands import Command, table
from .display import folded, one_line
from .interrupt import Interrupter
from .namespace import Namespace, Shared
from .notices import notices
from .runner import Runner
from .script import Script
from .session import Session
from .transports.telnet import TelnetConnection
from .transports.terminal import TerminalWire, keep_terminal
from .transports.unix import UnixConnection
from .transports.wire import Connection
from .users import Doorkeeper, Role, Users, new_password

if TYPE_CHECKING:
    from .changes import Block
    from .editor import Editor

log = logging.getLogger("midair.console")

LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
NETWORK = frozenset({"telnet", "ssh"})
OF_A_SPACE = frozenset({"handover", "services", "snapshot", "snapshots", "space", "timers"})
"""Commands that mean nothing beside a program that has no space."""
STOP_WAIT = 2.0
"""Seconds that sessions get to say goodbye when the server stops."""


class Closable(Protocol):
    """A listener."""

    def close(self) -> None: ...


class ServerLike(Protocol):
    """What a console asks of its server; `midair.runtime.server.Server` is one."""

    space: Any
    loop: asyncio.AbstractEventLoop

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> Path | None: ...

    def touch(self) -> None: ...
    def status(self) -> dict[str, Any]: ...
    def stop_soon(self, reason: str) -> None: ...
    async def snapshot(self) -> int: ...
    async def rebuild(self, *modules: str, who: str = "") -> Any: ...


class Console:
    """The ways in to one server. Give it to the server with `server.add(console)`.

    Args:
        socket_path: where the Unix socket goes; it is made with mode 0600.
        telnet: (host, port) to listen on as well; port 0 takes a free one, found in `telnet_address`.
        ssh: (host, port) to listen on for ssh; needs the extra `midair[ssh]`, and keys in `NAME.keys`.
        pty: keep a terminal under the link `NAME.tty`, for `screen`.
        stdin: also a session on the terminal that the server was started on.
        users: the file of users; `NAME.users` beside the space unless given.
        allow_cleartext: listen for telnet on an address other than this machine's own. Passwords then cross the network readable.
        idle: seconds after which a session over a network is ended when nothing was typed and nothing runs; 0 for never.
        limit: seconds that a statement may keep the server's loop without giving it back; 0 for no limit.
        say: where the line with a first user's password goes. It is never logged.

    *Across a rebuild:* stays. *In a snapshot:* not part of the space.
    """

    def __init__(
        self,
        socket_path: str | Path,
        *,
        telnet: tuple[str, int] | None = None,
        ssh: tuple[str, int] | None = None,
        pty: bool = False,
        stdin: bool = False,
        users: Users | str | Path | None = None,
        allow_cleartext: bool = False,
        limit: float = 5.0,
        idle: float = 1800.0,
        say: Callable[[str], None] = print,
    ) -> None:
        self.socket_path = Path(socket_path)
        self.telnet, self.allow_cleartext, self.limit, self.say = telnet, allow_cleartext, limit, say
        self.ssh, self.pty, self.stdin, self.idle = ssh, pty, stdin, idle
        self.ssh_address: tuple[str, int] | None = None
        self.users = users if isinstance(users, Users) else Users(Path(users)) if users else None
        self.telnet_address: tuple[str, int] | None = None
        self.commands: dict[str, Command] = {}
        self.sessions: list[Session] = []
        self.blocks: deque[Block] = deque(maxlen=20)
        """What was changed by `with undo:`, newest last."""
        self.connections: set[Connection] = set()
        self.strangers = 0
        """Telnet clients that have not logged in yet."""
        self.names: Callable[[], Mapping[str, Any]] | None = None
        """The names of a program that is not in a space, seen at each prompt; set before the start."""
        self.interrupter = Interrupter()
        self.runner = Runner(self, self.interrupter)
        self.server: ServerLike
        self.server_thread = 0
        self.loop: asyncio.AbstractEventLoop
        self.door: Doorkeeper
        self.audit = Audit(None)
        self.shared: Shared
        self._namespaces: dict[str, Namespace] = {}
        self._thread: threading.Thread | None = None
        self._servers: list[Closable] = []
        self._warm: asyncio.Future[None] | None = None
        self._base: Path | None = None
        self._done: asyncio.Event
        self._tasks: set[asyncio.Task[None]] = set()
        self._put_back = contextlib.ExitStack()

    @property
    def version(self) -> str:
        from ..version import __version__  # pyright: ignore[reportMissingImports]  # mapped in by the build

        return __version__

    @property
    def ways_in(self) -> tuple[str, ...]:
        """What to type to get in, for the server's first lines."""
        ways = [f"midair attach {self.server.name}"]
        if self.telnet_address:
            ways.append("telnet {} {}".format(*self.telnet_address))
        if self.ssh_address:
            ways.append("ssh -p {1} {0}".format(*self.ssh_address))
        return tuple(ways)

    # -- life; on the server's loop

    async def start(self, server: ServerLike) -> None:
        """Open the ways in.

        Raises:
            ConsoleError: telnet was asked for on an address that others reach, without `allow_cleartext`.
            AddressInUse: the socket or the port is taken.
        """
        self.server, self.server_thread = server, threading.get_ident()
        if self.telnet:
            self._refuse_cleartext(self.telnet[0])
        self._base = server.path.with_name(server.path.name.removesuffix(".spl")) if server.path else None
        self.audit = Audit(self.beside(".audit"))
        self.users = self.users or Users(self.beside(".users") or self.socket_path.with_suffix(".users"))
        self.door = Doorkeeper(self.users)
        self._put_back.callback(self.door.close)
        self.commands = table()
        usable = {name: one for name, one in self.commands.items() if self.names is None or name not in OF_A_SPACE}
        self.shared = Shared(usable, self._world)
        self.interrupter.install()
        self._put_back.callback(self.interrupter.uninstall)
        router.install()
        self._put_back.callback(router.uninstall)
        self._put_back.callback(rebuild.subscribe(self._edited))
        self._put_back.callback(setattr, sys, "breakpointhook", sys.breakpointhook)
        sys.breakpointhook = self._breakpoint
        server.loop.set_default_executor(router.ContextExecutor(thread_name_prefix="midair-worker"))
        ready: asyncio.Future[None] = server.loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(server.loop, ready), name="midair-console", daemon=True)
        self._thread.start()
        try:
            await ready
        except BaseException:
            await self.stop(server)
            raise
        # Not before: a password is made and said only if there is somewhere to use it.
        if self.telnet and not self.users.all():
            self._first_user(self.users)

    async def stop(self, server: ServerLike) -> None:  # noqa: ARG002 - the server's interface
        """Say goodbye, hang up, and put back what was replaced."""
        if self._thread is not None and self._thread.is_alive():
            self.call(lambda: asyncio.ensure_future(self._close()))
            # By the loop, not `join`: the sessions' last statements still end on it.
            while self._thread.is_alive():
                await asyncio.sleep(0.01)
            sockets.remove(self.socket_path)
        self.audit.close()
        self.runner.forget_sources()
        self._put_back.close()

    def _first_user(self, users: Users) -> None:
        password = new_password()
        users.add("admin", password)
        self.say(
            f"first user for telnet: admin, password {password} (shown once; 'midair user passwd admin' changes it)"
        )

    def beside(self, suffix: str) -> Path | None:
        """The file or folder `NAME<suffix>` beside the space; None where the server keeps no files."""
        return self._base.with_name(self._base.name + suffix) if self._base else None

    def _breakpoint(self, *args: Any, **kwargs: Any) -> Any:
        """A debugger on the server's loop would stop everybody; elsewhere it is Python's own affair."""
        if threading.get_ident() != self.server_thread:
            return sys.__breakpointhook__(*args, **kwargs)  # noqa: T100 - it was the user who called breakpoint()
        frame = sys._getframe(1)
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        log.warning(
            "breakpoint() at %s passed over: it would stop the server; trace(fn) shows calls, stacks() shows where",
            place,
        )
        return None

    # -- the console's thread

    def _run(self, server_loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[None]") -> None:
        def tell(error: BaseException | None) -> None:
            if not ready.done():
                ready.set_exception(error) if error else ready.set_result(None)

        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            done = self._done = asyncio.Event()
            try:
                await self._open()
            except BaseException as error:  # noqa: BLE001 - raised again in `start`, which waits for it
                for one in self._servers:
                    one.close()
                server_loop.call_soon_threadsafe(tell, error)
                return
            server_loop.call_soon_threadsafe(tell, None)
            self._warm = asyncio.ensure_future(asyncio.to_thread(_warm_up))
            await done.wait()

        asyncio.run(main())

    async def _open(self) -> None:
        sock = sockets.bind_unix(self.socket_path)
        self._servers.append(await self.loop.create_unix_server(lambda: UnixConnection(self), sock=sock))
        if self.telnet:
            self.telnet_address = (await self._open_telnet(*self.telnet))[1]
        if self.ssh:
            await self._open_ssh(*self.ssh)
        if self.pty and (link := self.beside(".tty")):
            self._keep(keep_terminal(self, link))
        if self.stdin:
            self._keep(TerminalWire(self, 0, 1, "where the server was started").serve())
        if self.idle:
            self._keep(self._end_idle())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something of the console's own until the end."""
        self.keep(self.loop.create_task(work))

    def keep(self, task: "asyncio.Task[None]") -> None:
        """Hold on to a task of the console's thread, and log how it failed."""
        self._tasks.add(task)
        task.add_done_callback(self._kept)

    def _kept(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of the console ended by an error of ours", exc_info=error)

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(self.idle / 30)
            for session in tuple(self.sessions):
                silent = time.monotonic() - session.active
                if (
                    silent > self.idle
                    and session.statement is None
                    and session.person.transport in NETWORK
                    and not session.detached
                ):
                    session.close(f"Nothing was typed for {silent / 60:.0f} min; goodbye.")

    async def _open_ssh(self, host: str, port: int) -> None:
        try:
            from .transports.ssh import listen
        except ImportError as error:
            raise ConsoleError("ssh needs asyncssh, which is not installed: pip install 'midair[ssh]'") from error
        base = self._base or self.socket_path.with_suffix("")
        keys, host_key = (base.with_name(base.name + suffix) for suffix in (".keys", ".ssh_key"))
        acceptor = await listen(self, host, port, keys, host_key)
        self._servers.append(acceptor)
        self.ssh_address = (host, acceptor.get_port())

    async def _open_telnet(self, host: str, port: int) -> tuple[list[asyncio.Server], tuple[str, int]]:
        bound = sockets.bind_tcp(host, port)
        address: tuple[str, int] = bound[0].getsockname()[:2]
        opened = [await self.loop.create_server(lambda: TelnetConnection(self), sock=sock) for sock in bound]
        self._servers += opened
        if host not in LOCAL:
            log.warning("telnet on %s:%d sends passwords readable over the network", *address)
        return opened, address

    async def listen_telnet(self, host: str, port: int) -> tuple[tuple[str, int], Callable[[], None]]:
        """Open one more way in, from the server's loop: its address, and what closes it again.

        Raises:
            ConsoleError: others reach that address, and this console was not made with `allow_cleartext`.
            AddressInUse: the port is taken.
        """
        self._refuse_cleartext(host)
        opening = asyncio.run_coroutine_threadsafe(self._open_telnet(host, port), self.loop)
        opened, address = await asyncio.wrap_future(opening)

        def close() -> None:
            for one in opened:
                one.close()

        return address, lambda: self.call(close)

    def _refuse_cleartext(self, host: str) -> None:
        if host not in LOCAL and not self.allow_cleartext:
            raise ConsoleError(
                f"telnet on {host} would send passwords readable over the network; "
                f"use 127.0.0.1, or ssh, or insist with --insecure-network"
            )

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for session in tuple(self.sessions):
            session._close("The server is stopping; goodbye.")
        deadline = time.monotonic() + STOP_WAIT
        while self.sessions and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.transport.close()
        if self._warm is not None:
            await asyncio.wait({self._warm})
        self._done.set()

    def call(self, callback: Callable[[], object]) -> None:
        """Have the console's loop call it, from any thread; nothing happens when that loop has ended."""
        with contextlib.suppress(RuntimeError):  # closed between two statements of ours: nobody is there to be told
            self.loop.call_soon_threadsafe(callback)

    # -- for sessions

    def namespace(self, user: str) -> Namespace:
        """The names of a person; the same in each of their sessions."""
        if user not in self._namespaces:
            self._namespaces[user] = Namespace(user, self.shared)
        return self._namespaces[user]

    async def editor(self, session: Session) -> "Editor":
        """A terminal's prompt for a session, when what it needs has been imported."""
        if self._warm is not None:
            await asyncio.wait({self._warm})
        from .editor import Editor

        folder = self.beside(".history")
        return Editor(session, folder / session.user if folder else None)

    async def start_up(self, session: Session) -> None:
        """Run `.midairrc.py` from beside the space in a person's names, once, before their first prompt. Waits half a second for it."""
        if session.namespace.started or self._base is None or session.person.role < Role.ADMIN:
            return
        session.namespace.started = True
        path = self._base.with_name(".midairrc.py")
        if (source := _own_file(path)) is None:
            return
        running = asyncio.ensure_future(session.evaluate(source))
        await asyncio.wait({running}, timeout=0.5)
        if not running.done():
            session.print(f"{path.name} waits for the server's loop\n", "err")
        elif error := running.result().error:
            session.print(f"{path.name}: {error}", "err")
            session._flush()

    async def greet(self, session: Session) -> None:
        """Say what somebody who logs in must know."""
        text = await notices(self, session)
        session.print(folded(text, session.columns) if session.rich else text)
        session._flush()  # before the prompt, not above it

    def entered(self, session: Session) -> None:
        self.sessions.append(session)
        self.note(event="login", session=session)

    def left(self, session: Session) -> None:
        if session in self.sessions:
            self.sessions.remove(session)
            self.note(event="logout", session=session)
            level = logging.DEBUG if isinstance(session.frontend, Script) else logging.INFO
            log.log(level, "logout: %s by %s", session.user, session.person.transport)

    def _edited(self, report: rebuild.Report) -> None:
        """Show an edit to everybody, except to the one who waits for it. Called in the thread that made it."""
        if not report.number and not report.refused:
            return
        for session in tuple(self.sessions):
            waits = session.statement is not None and session.user == report.who
            if not waits and not session.shows_log and not isinstance(session.frontend, Script):
                session.print(f"{one_line(report.line())}\n")

    def note(self, *, event: str, session: Session | None = None, **fields: Any) -> None:
        """Enter something other than a statement into the audit; where that fails, into the log."""
        if session is not None:
            person = session.person
            fields |= {"session": session.number, "user": person.user, "role": str(person.role)}
            fields |= {"transport": person.transport, "peer": person.peer}
        try:
            self.audit.write(event=event, **fields)
        except OSError as error:
            log.error("not in the audit: %s %s: %s", event, fields, error)  # noqa: TRY400 - the sentence says it all

    def _world(self) -> Mapping[str, Any]:
        if self.names is not None:
            return {"server": self.server, "console": self, **self.names()}
        space = self.server.space
        return {"server": self.server, "console": self, **{str(name): space[name] for name in space}, "space": space}


def _own_file(path: Path) -> str | None:
    """The text of a file, if it is there and nobody else can have written it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    if found.st_uid not in {os.geteuid(), 0} or found.st_mode & 0o022:
        log.warning("%s was not run: others can write to it", path)
        return None
    return path.read_text(encoding="utf-8")


def _warm_up() -> None:
    from .editor import warm_up

    warm_up()
