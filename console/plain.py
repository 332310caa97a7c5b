"""The console for where there is no terminal: netcat, pipes, dumb terminals. Lines in, lines out, no escape sequences."""

import ast
import asyncio
import codecs
import codeop
from collections import deque
from typing import TYPE_CHECKING

from .display import safe
from .users import Role

if TYPE_CHECKING:
    from .session import Session

MAX_LINE = 64 * 1024
"""Longest line taken, in characters; the rest of a longer one is ignored, and said so."""

MAX_WAITING = 10_000
"""Lines that may wait for the running statement."""


class LineReader:
    """Bytes to lines, for any of LF, CR, CR LF, CR NUL. Bounded: a line that grows too long is cut."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._after_cr = False
        self._max_line = max_line
        self.cut = False
        """A line was too long and has been cut since this was last set to False."""

    def feed(self, data: bytes) -> list[str]:
        """Take what arrived; return the lines it completed."""
        text = self._decoder.decode(data)
        if self._after_cr and text[:1] in {"\n", "\0"}:
            text = text[1:]
        self._after_cr = text.endswith("\r")
        text = text.replace("\r\n", "\n").replace("\r\0", "\n").replace("\r", "\n")
        *complete, rest = (self._partial + text).split("\n")
        self._partial = self._bounded(rest)
        return [self._bounded(line) for line in complete]

    def take_rest(self) -> str:
        """What is there of an unfinished line."""
        rest, self._partial = self._partial, ""
        return rest

    def _bounded(self, line: str) -> str:
        if len(line) > self._max_line:
            self.cut = True
            return line[: self._max_line]
        return line


class Plain:
    """A line-by-line prompt: `>>> `, and `... ` until a block is complete."""

    rich = False

    def __init__(self, session: "Session") -> None:
        self.session = session
        self._reader = LineReader()
        self._lines: deque[str | None] = deque()
        self._arrived = asyncio.Event()
        self._compile = codeop.CommandCompiler()
        self._compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._block: list[str] = []

    def feed(self, data: bytes) -> None:
        # Ctrl-D on a line of its own leaves, as on a terminal; telnet clients in line mode send it as a byte.
        for line in self._reader.feed(data.replace(b"\x04", b"")):
            if len(self._lines) < MAX_WAITING:
                self._lines.append(line)
            else:
                self._say(f"[a line dropped: {MAX_WAITING:,} are waiting]\n")
                break
        if self._reader.cut:
            self._reader.cut = False
            self._say(f"[a line was cut after {MAX_LINE:,} characters]\n")
        if b"\x04" in data:
            self._lines.append(None)
        if b"\x03" in data:
            self.cancel()
        self._arrived.set()

    def end_of_input(self) -> None:
        """The client sends nothing more: leave when all that is waiting is done."""
        if rest := self._reader.take_rest():
            self._lines.append(rest)
        self._lines.append("" if self._block else None)
        self._lines.append(None)
        self._arrived.set()

    def show(self, text: str, stream: str) -> None:  # noqa: ARG002 - a line client has one stream
        self._say(safe(text))

    def resized(self) -> None:
        return

    def cancel(self) -> None:
        self._block.clear()
        self._lines.clear()
        self._say("\nKeyboardInterrupt\n>>> ")

    def end(self) -> None:
        self._lines.clear()
        self._lines.append(None)
        self._arrived.set()

    async def run(self) -> None:
        while self.session.alive:
            self._say("... " if self._block else ">>> ")
            line = await self._next()
            if line is None:
                self._say("\n")
                return
            source = self._complete(line)
            if source is not None and source.strip() and await self._evaluate(source):
                return

    async def _next(self) -> str | None:
        while not self._lines:
            self._arrived.clear()
            await self._arrived.wait()
        return self._lines.popleft()

    def _complete(self, line: str) -> str | None:
        """What to run now, or None while a block goes on."""
        self._block.append(line)
        source = "\n".join(self._block)
        if self.session.person.role >= Role.ADMIN:
            try:
                if self._compile(source, "<console>", "single") is None:
                    return None
            except (SyntaxError, ValueError, OverflowError):
                pass  # running it shows the error
        self._block.clear()
        return source

    async def _evaluate(self, source: str) -> bool:
        outcome = await self.session.evaluate(source)
        if outcome.text:
            self._say(safe(outcome.text) + "\n")
        if outcome.error:
            self._say(safe(outcome.error))
        return outcome.kind == "exit"

    def _say(self, text: str) -> None:
        if self.session.wire.unsent() < self.session.max_unsent:
            self.session.wire.send(text.encode("utf-8", "replace"))
