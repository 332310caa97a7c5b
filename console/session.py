"""One person at a console, whatever way they came in.

    wire (telnet, unix, ssh)  bytes ->  Session.feed      -> frontend (editor, plain, JSON lines) -> Session.evaluate
    the statement's output    text  ->  Session.print     -> frontend.show                        -> wire.send

A session belongs to the console's thread. `print`, `interrupt` and `close` may be called from any thread.
"""

import asyncio
import itertools
import logging
import threading
import time
import types
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..runtime.errors import ConsoleError
from .joining import LEAVE, MAX_DETACHED, Joined, Screens
from .plain import Plain
from .router import Lines, owner
from .users import Role

if TYPE_CHECKING:
    from .changes import Watched
    from .console import Console
    from .runner import Outcome, Statement
    from .takeover import TakeOver

log = logging.getLogger("midair.console")

MAX_UNSENT = 1024 * 1024
"""Output a session keeps for a client that does not read, in characters and bytes; what is over is dropped and counted."""

INTERRUPT = b"\x03"


class Wire(Protocol):
    """What a session asks of the way it came in. Console's thread only.

    One that has a `session` hands it what arrives, until the session is detached and sets that to None.
    """

    def send(self, data: bytes) -> None: ...

    def unsent(self) -> int:
        """Bytes handed over that the client has not taken yet. Any thread may ask."""
        ...

    def close(self) -> None:
        """Send what is there, then hang up."""
        ...

    def hide(self, hidden: bool) -> None:
        """Have the client stop showing what is typed, where it is the client that does."""
        ...


class Frontend(Protocol):
    """How a session looks to its person. Console's thread only."""

    rich: bool
    """Whether colour and cursor movement are understood."""

    async def run(self) -> None:
        """Talk until the person leaves."""
        ...

    def feed(self, data: bytes) -> None: ...
    def show(self, text: str, stream: str) -> None: ...
    def resized(self) -> None: ...

    def cancel(self) -> None:
        """Ctrl-C while nothing runs."""
        ...

    def end(self) -> None:
        """The client is gone, or is to go: `run` returns soon."""
        ...


@dataclass(frozen=True)
class Person:
    """Who it is, and how they came in."""

    user: str
    role: Role
    transport: str
    peer: str


_numbers = itertools.count(1)


class Session:
    """A person's connection to the server: their output, their running statement, their limits.

    *Across a rebuild:* goes on. *In a snapshot:* never saved.
    """

    def __init__(
        self, console: "Console", wire: Wire, person: Person, *, term: str = "", columns: int = 80, rows: int = 24
    ) -> None:
        self.console, self.person = console, person
        self.screens = Screens(wire)
        self.wire: Wire = self.screens
        self.term, self.columns, self.rows = term, columns, rows
        self._own_size = columns, rows
        self.number = next(_numbers)
        self.began = time.time()
        self.active = time.monotonic()
        self.namespace = console.namespace(person.user)
        self.lines = Lines(self)
        self.limit = console.limit
        self.max_unsent = MAX_UNSENT
        self.statement: Statement | None = None
        self.frontend: Frontend | None = None
        self.view: TakeOver | None = None
        """What has the whole screen, and the keys, for now."""
        self.last_error: BaseException | None = None
        self.last_frames: list[tuple[types.FrameType, int]] = []
        """Where it happened, as (frame, line), the innermost last; for `pm()`."""
        self.watched: Watched | None = None
        """The space as it was before the `with undo:` that runs."""
        self.shows_log = False
        """The log's lines come to this session by themselves."""
        self.alive = True
        self.dropped = 0
        """Characters of output thrown away because the client did not read."""
        self.invited: set[str] = set()
        """Other people who may join this session."""
        self._away = asyncio.Event()
        self._interrupt_next = False
        self._output: deque[tuple[str, str]] = deque()
        self._size = 0
        self._scheduled = False
        self._lock = threading.Lock()

    @property
    def user(self) -> str:
        return self.person.user

    @property
    def rich(self) -> bool:
        return self.frontend is not None and self.frontend.rich

    @property
    def detached(self) -> bool:
        """Nobody is there to see it, and it goes on all the same."""
        return self.alive and not self.screens.wires

    async def run(self, frontend: Frontend) -> None:
        """Serve the person until they leave, are sent away, or leave the session behind, which then goes on by itself."""
        self.frontend = frontend
        if not frontend.rich:
            await self._serve(frontend)
            return
        serving = asyncio.create_task(self._serve(frontend))
        away = asyncio.create_task(self._away.wait())
        try:
            await asyncio.wait({serving, away}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            serving.cancel()
            await asyncio.wait({serving})
            raise
        finally:
            away.cancel()
        if serving.done():
            serving.result()
        else:
            self.console.keep(serving)

    async def _serve(self, frontend: Frontend) -> None:
        self.console.entered(self)
        try:
            if frontend.rich or isinstance(frontend, Plain):
                await self.console.start_up(self)
            if self.alive:
                await frontend.run()
        finally:
            self.console.left(self)
            self._flush()
            self.close()

    # -- from the client

    def feed(self, data: bytes) -> None:
        """Keys or lines that arrived. A Ctrl-C among them stops the running statement, and what was typed ahead is forgotten."""
        self.active = time.monotonic()
        if self.frontend is None:
            return
        if self.view is not None:
            self.view.feed(data)
            return
        if LEAVE in data and self.rich:
            data, _, _ = data.partition(LEAVE)
            self.detach()
        if INTERRUPT in data and self.statement is not None:
            self.interrupt()
            data = data.rpartition(INTERRUPT)[2]
        if data:
            self.frontend.feed(data)

    def resize(self, columns: int, rows: int) -> None:
        """The client's window has another size."""
        self._own_size = max(columns, 1), max(rows, 1)
        self.fit()

    def fit(self) -> None:
        """Draw for the smallest of the windows that show this session."""
        sizes = [
            (wire.guest.columns, wire.guest.rows) if isinstance(wire, Joined) else self._own_size
            for wire in self.screens.wires
        ]
        if sizes:
            self.columns, self.rows = min(size[0] for size in sizes), min(size[1] for size in sizes)
        if self.view is not None:
            self.view.resized()
        elif self.frontend is not None:
            self.frontend.resized()

    def interrupt(self) -> None:
        """Stop the running statement; at the prompt, give up the line. Any thread."""
        self.console.call(self._interrupt)

    def _interrupt(self) -> None:
        if self.statement is not None:
            self.statement.interrupt()
        elif self.frontend is not None:
            self.frontend.cancel()

    def detach(self) -> None:
        """Leave the session behind: whoever looks at it is sent away, and it goes on. Any thread."""
        self.console.call(self._detach)

    def _detach(self) -> None:
        if self.detached or not self.alive or not self.rich:
            return
        if sum(session.detached for session in self.console.sessions) >= MAX_DETACHED:
            self.print(
                f"{MAX_DETACHED} sessions are detached already; who() lists them, kick(number) ends one\n", "err"
            )
            return
        self.console.note(event="detach", session=self)
        wires, self.screens.wires = self.screens.wires, []
        for wire in wires:
            if isinstance(wire, Joined):
                self.screens.wires.append(wire)  # it takes itself away
                wire.close()
                continue
            wire.send(f"\r\n[session {self.number} goes on; join() takes it back]\r\n".encode())
            wire.session = None  # type: ignore[attr-defined]  # each of our wires has it
        self._away.set()

    def interrupt_next(self) -> None:
        """Ctrl-C came after Enter and before the statement began: it starts interrupted."""
        self._interrupt_next = True

    # -- statements

    async def evaluate(self, source: str, *, words: bool = False) -> "Outcome":
        """Run what was typed: Python for an admin unless it is `words`, a named command for anybody else."""
        runner = self.console.runner
        words = words or self.person.role < Role.ADMIN
        self.statement = statement = runner.prepare(self, source, words=words)
        if self._interrupt_next:
            self._interrupt_next = False
            statement.interrupt()
        try:
            return await runner.run(statement)
        finally:
            self.statement = None
            self.active = time.monotonic()
            self.lines.flush()
            self._flush()

    # -- to the client

    def print(self, text: str, stream: str = "out") -> None:
        """Show text: above the prompt, or as output of the running statement. Never waits. Any thread."""
        with self._lock:
            room = self.max_unsent - self._size - self.wire.unsent()
            if len(text) > room:
                self.dropped += len(text) - max(room, 0)
                text = text[: max(room, 0)]
            if text:
                self._output.append((text, stream))
                self._size += len(text)
            if self._scheduled:
                return
            self._scheduled = True
        self.console.call(self._flush)

    def _flush(self) -> None:
        with self._lock:
            self._scheduled = False
            if self.frontend is None or self.view is not None or self.detached:
                return  # kept until there is somewhere to show it
            waiting, self._output = self._output, deque()
            self._size = 0
            dropped, self.dropped = self.dropped, 0
        for stream, texts in itertools.groupby(waiting, key=lambda item: item[1]):
            self.frontend.show("".join(text for text, _ in texts), stream)
        if dropped:
            self.frontend.show(
                f"[{dropped:,} characters dropped: more than the {self.max_unsent:,} kept for a slow client]\n", "err"
            )

    def close(self, reason: str = "") -> None:
        """End this session: its statement is stopped, the client is hung up on. Any thread; twice is fine."""
        self.console.call(lambda: self._close(reason))

    def _close(self, reason: str) -> None:
        if not self.alive:
            return
        if reason:
            self._flush()
            if self.frontend is not None:
                self.frontend.show(f"{reason}\n", "err")
        self.alive = False
        if self.statement is not None:
            self.statement.interrupt()
        if self.view is not None:
            self.view.end()
        if self.frontend is not None:
            self.frontend.end()
        self.wire.close()


def current() -> Session:
    """The session that the running code belongs to.

    Raises:
        ConsoleError: it belongs to none.
    """
    lines = owner.get()
    if lines is None or not isinstance(lines.sink, Session):
        raise ConsoleError("this works at a console: it needs to know whose session it is in")
    return lines.sink
