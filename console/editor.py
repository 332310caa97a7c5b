"""The console on a terminal: ptpython's editing, colour, completion and history.

ptpython's own ways to run (`run_async`, `embed`) need a thread for each idle prompt and take over SIGINT; here only its input line is
used (`line.py`), as an application on the console's loop, and what was typed goes to the session's runner.
"""

import asyncio
import codecs
import logging
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.output import ColorDepth, DummyOutput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.validation import ValidationError, Validator

from .complete import StaticCompleter
from .display import safe
from .line import LineEditor
from .users import Role

if TYPE_CHECKING:
    from .session import Session

log = logging.getLogger("midair.console")

MAX_TYPED_AHEAD = 64 * 1024
"""Keys kept while a statement runs; more are dropped."""

MONOCHROME = frozenset({"vt100", "vt220", "ansi-mono"})
"""Terminals that are not sent colours."""


class Keys(Input):
    """The terminal's keys, parsed. No file descriptor: the transport hands over the bytes."""

    _count = 0

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._keys: list[KeyPress] = []
        self._parser = Vt100Parser(self._add)
        self._ready: Callable[[], None] | None = None
        self._closed = False
        Keys._count += 1
        self._number = Keys._count

    def _add(self, key: KeyPress) -> None:
        if len(self._keys) < MAX_TYPED_AHEAD:
            self._keys.append(key)

    def feed(self, data: bytes) -> None:
        self._parser.feed(self._decoder.decode(data))
        self.deliver()

    def deliver(self) -> None:
        """Let the prompt, if there is one, read what is waiting."""
        if self._ready is not None and (self._keys or self._closed):
            self._ready()

    def forget(self) -> None:
        """Throw away what was typed ahead."""
        self._keys.clear()

    def read_keys(self) -> list[KeyPress]:
        keys, self._keys = self._keys, []
        return keys

    def flush_keys(self) -> list[KeyPress]:
        self._parser.flush()
        return self.read_keys()

    @contextmanager
    def _with(self, ready: Callable[[], None] | None) -> Generator[None, None, None]:
        before, self._ready = self._ready, ready
        try:
            yield
        finally:
            self._ready = before

    def attach(self, input_ready_callback: Callable[[], None]) -> AbstractContextManager[None]:
        return self._with(input_ready_callback)

    def detach(self) -> AbstractContextManager[None]:
        return self._with(None)

    def raw_mode(self) -> AbstractContextManager[None]:
        return nullcontext()

    def cooked_mode(self) -> AbstractContextManager[None]:
        return nullcontext()

    def fileno(self) -> int:
        raise NotImplementedError("a session's keys come from its transport")

    def typeahead_hash(self) -> str:
        return f"midair-{self._number}"

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self.deliver()


class Screen:
    """What prompt_toolkit draws on: the session's wire. A client that does not read misses drawings, not memory."""

    encoding = "utf-8"

    def __init__(self, session: "Session") -> None:
        self.session = session

    def write(self, text: str) -> int:
        wire = self.session.wire
        if wire.unsent() < self.session.max_unsent:
            wire.send(text.encode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return True


class Anything(Validator):
    """For those who type words: any line is complete."""

    def validate(self, document: Document) -> None:
        if len(document.text) > MAX_TYPED_AHEAD:
            raise ValidationError(message=f"longer than {MAX_TYPED_AHEAD:,} characters")


class Editor:
    """A session's prompt on a terminal."""

    rich = True

    def __init__(self, session: "Session", history: Path | None = None) -> None:
        self.session = session
        self.keys = Keys()
        self._output = Vt100_Output(
            cast("TextIO", Screen(session)),  # it has the three members that are used
            lambda: Size(rows=session.rows, columns=session.columns),
            term=session.term,
            enable_bell=False,
            enable_cpr=False,
        )
        self._screen = self._output.stdout
        self._over = False
        with create_app_session(input=self.keys, output=self._output):
            self.line = open_line(session, self.keys, self._output, open_history(history))

    # -- the session's side

    def feed(self, data: bytes) -> None:
        if self._over:
            return
        if b"\x03" in data and self.line.accepted:
            # After Enter, before the statement began: it is meant for the statement.
            self.session.interrupt_next()
            self.keys.forget()
            data = data.rpartition(b"\x03")[2]
        self.keys.feed(data)

    def show(self, text: str, stream: str) -> None:  # noqa: ARG002 - a terminal has one stream
        text = safe(text)
        if self._over or not self.line.app.is_running:
            self._write(text)
            return
        app = self.line.app
        # Above the prompt: take it away, write, draw it again.
        app.renderer.erase()
        self._write(text if text.endswith("\n") else text + "\n")
        app.renderer.reset()
        app._redraw()

    def resized(self) -> None:
        if not self._over and self.line.app.is_running:
            self.line.app._on_resize()

    def cancel(self) -> None:
        if not self._over and self.line.accepted:
            self.session.interrupt_next()
        else:
            self.keys.feed(b"\x03")

    def end(self) -> None:
        if not self._over and self.line.app.is_running:
            self.line.app.renderer.erase()  # nobody is asked any more
        self.keys.close()

    # -- the prompt

    async def run(self) -> None:
        try:
            with create_app_session(input=self.keys, output=self._output):
                while self.session.alive:
                    source = await self._read()
                    if source is None or (source.strip() and await self._evaluate(source)):
                        return
        finally:
            self._over = True

    async def _read(self) -> str | None:
        """The next statement; None when the person leaves."""
        app = self.line.app
        self.line.accepted = self.line.indented = False
        try:
            text = await app.run_async(pre_run=self._deliver_soon, handle_sigint=False, set_exception_handler=False)
        except KeyboardInterrupt:
            self.line.default_buffer.reset()
            return ""
        except EOFError:
            return None
        return self.line.text(text)

    def _deliver_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.keys.deliver)

    async def _evaluate(self, source: str) -> bool:
        outcome = await self.session.evaluate(source)
        self.line.accepted = False
        if outcome.kind == "interrupted":
            self.keys.forget()
        # With nobody there it is kept, as output is; otherwise it stands above the prompt that comes next.
        tell = self.session.print if self.session.detached else self._write
        if outcome.text:
            tell(safe(outcome.text) + "\n")
        if outcome.error:
            tell(safe(outcome.error))
        return outcome.kind == "exit"

    def _write(self, text: str) -> None:
        self._screen.write(text.replace("\r\n", "\n").replace("\n", "\r\n"))


def open_line(session: "Session", keys: Keys, output: Vt100_Output, history: History) -> LineEditor:
    """The input line for what this person may type."""
    names, shared = session.namespace, session.namespace.shared
    return LineEditor(
        names,
        keys,
        output,
        number=lambda: names.statements + 1,
        history=history,
        completer=StaticCompleter(names, shared.visible, shared.builtins.__getitem__),
        validator=None if session.person.role >= Role.ADMIN else Anything(),
        color_depth=ColorDepth.DEPTH_1_BIT if session.term in MONOCHROME else ColorDepth.DEPTH_8_BIT,
    )


def open_history(path: Path | None) -> History:
    """The person's history, kept across logins in a file that only the server's user can read."""
    if path is None:
        return InMemoryHistory()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    return FileHistory(str(path))


def warm_up() -> None:
    """Import and build once what the first prompt needs, so that the first person does not wait for it."""
    keys, output = Keys(), DummyOutput()
    with create_app_session(input=keys, output=output):
        LineEditor({}, keys, output, number=lambda: 1)
