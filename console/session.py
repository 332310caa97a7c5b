"""One person at a console, whatever way they came in.

    wire (telnet, unix, ssh)  bytes ->  Session.feed      -> frontend (editor, plain, JSON lines) -> Session.evaluate
    the statement's output    text  ->  Session.print     -> frontend.show                        -> wire.send

A session belongs to the console's thread. `print`, `interrupt` and `close` may be called from any thread.
"""

import itertools
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..runtime.errors import ConsoleError
from .plain import Plain
from .router import Lines, owner
from .users import Role

if TYPE_CHECKING:
    from .console import Console
    from .runner import Outcome, Statement
    from .takeover import TakeOver

log = logging.getLogger("midair.console")

MAX_UNSENT = 1024 * 1024
"""Output a session keeps for a client that does not read, in characters and bytes; what is over is dropped and counted."""

INTERRUPT = b"\x03"


class Wire(Protocol):
    """What a session asks of the way it came in. Console's thread only."""

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
        self.console, self.wire, self.person = console, wire, person
        self.term, self.columns, self.rows = term, columns, rows
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
        self.shows_log = False
        """The log's lines come to this session by themselves."""
        self.alive = True
        self.dropped = 0
        """Characters of output thrown away because the client did not read."""
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

    async def run(self, frontend: Frontend) -> None:
        """Serve the person until they leave or are sent away."""
        self.frontend = frontend
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
        if INTERRUPT in data and self.statement is not None:
            self.interrupt()
            data = data.rpartition(INTERRUPT)[2]
        if data:
            self.frontend.feed(data)

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = max(columns, 1), max(rows, 1)
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
            if self.frontend is None or self.view is not None:
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
