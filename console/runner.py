"""Running what was typed, on the server's loop, one numbered and audited statement at a time.

A statement is compiled in the console's thread, entered into the audit, and handed to the server's loop, where it runs between other
callbacks. Its coroutine is driven by hand, slice by slice, so that each stretch of uninterrupted Python can be stopped and timed. The
result is shown (its `repr` runs) inside the same slices, and comes back to the console's thread as an `Outcome`.

When the loop does not begin the statement within a second, the person is told what the loop is doing; Ctrl-C then gives up waiting.
"""

import ast
import asyncio
import contextvars
import inspect
import linecache
import sys
import threading
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..runtime import logs
from ..runtime.errors import ConsoleError, MidairError, NotAuthorised
from ..runtime.rebuild import RebuildError
from ..runtime.space import Space
from . import interrupt, router
from .commands.base import Command, Pending, split
from .display import MAX_TEXT, Tree, View, shown
from .interrupt import Interrupter, LimitReached, describe_thread

if TYPE_CHECKING:
    from .console import Console
    from .session import Session

Kind = Literal["ok", "error", "interrupted", "exit"]

PATIENCE = 1.0
"""Seconds after which a person is told that the loop has not begun their statement."""

MAX_SOURCES = 2000
"""Statements whose source is kept for tracebacks and `inspect.getsource`."""

MAX_TRACEBACK = 50
"""Frames shown of a traceback, the last ones."""


@dataclass
class Outcome:
    """What became of a statement."""

    number: int
    kind: Kind = "ok"
    value: Any = None
    text: str = ""
    """The value as shown; empty for None."""
    error: str = ""
    """The traceback, or one sentence."""
    ms: float = 0.0
    data: Any = None
    """The value as plain data, where a command gave it such a form."""


@dataclass(eq=False)
class Statement:
    """One thing that was typed, from Enter to its outcome."""

    runner: "Runner"
    session: "Session"
    source: str
    words: bool
    number: int
    wanted: bool = False
    begun: bool = False
    ended: bool = False
    aside: bool = False
    task: asyncio.Task[None] | None = None
    claim: threading.Lock = field(default_factory=threading.Lock)
    """Taken once: by the server, which begins it, or by the person, who gives it up before."""
    started: float = field(default_factory=time.perf_counter)
    done: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def limit(self) -> float:
        """Seconds that one slice may take, 0 for no limit. Asked for at each slice."""
        return self.session.limit

    @property
    def filename(self) -> str:
        return f"<console {self.session.user}:{self.number}>"

    def interrupt(self) -> None:
        """Stop it: at once when it is on the CPU, at its await otherwise; before it began, give it up. Console's thread."""
        if self.ended:
            return
        if self.aside:
            if self.task is not None:
                self.task.cancel()
            return
        if self.claim.acquire(blocking=False):
            self.ended = True
            self.finish(Outcome(self.number, "interrupted", error="KeyboardInterrupt: given up before it began\n"))
            return
        self.runner.interrupter.press(self)
        self.runner.call_server(self._cancel)

    def _cancel(self) -> None:
        # Server's thread, between callbacks: if the press is still undelivered, the statement is waiting in an await.
        if self.wanted and self.task is not None and not self.task.done():
            self.wanted = False
            self.task.cancel()

    def finish(self, outcome: Outcome) -> None:
        """Console's thread."""
        if not self.done.done():
            outcome.ms = (time.perf_counter() - self.started) * 1000
            self.done.set_result(outcome)


class Runner:
    """Runs the statements of all sessions of one console."""

    def __init__(self, console: "Console", interrupter: Interrupter) -> None:
        self.console, self.interrupter = console, interrupter
        self._sources: deque[str] = deque()

    def prepare(self, session: "Session", source: str, *, words: bool) -> Statement:
        """Number a statement."""
        return Statement(self, session, source, words, session.namespace.next_number())

    async def run(self, statement: Statement) -> Outcome:
        """Audit a statement, run it, wait for its outcome. Console's thread."""
        refusal = self._audit(statement)
        if refusal is None and not statement.ended:
            self._dispatch(statement)
            await asyncio.wait({statement.done}, timeout=PATIENCE)
            if not statement.done.done() and not statement.begun:
                self._tell_stuck(statement)
        elif refusal is not None:
            statement.finish(Outcome(statement.number, "error", error=refusal))
        outcome = await statement.done
        statement.ended = True
        self._audit_end(statement, outcome)
        return outcome

    def call_server(self, callback: Callable[[], object]) -> None:
        """Have the server's loop call it; nothing happens when that loop has ended."""
        try:
            self.console.server.loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not self.console.server.loop.is_closed():
                raise

    # -- audit

    def _audit(self, statement: Statement) -> str | None:
        """Write down what is about to run. Returns why it may not, when it cannot be written down."""
        session = statement.session
        person = session.person
        try:
            self.console.audit.write(
                event="statement",
                number=statement.number,
                session=session.number,
                user=person.user,
                role=str(person.role),
                transport=person.transport,
                peer=person.peer,
                statement=statement.source,
            )
        except OSError as error:
            if person.transport != "unix":
                return f"AuditError: not run, because it could not be written to the audit: {error}\n"
            # The local socket is the last way in: on a full disk somebody must be able to make room.
            session.print(f"not in the audit: {error}\n", "err")
        return None

    def _audit_end(self, statement: Statement, outcome: Outcome) -> None:
        try:
            self.console.audit.write(
                event="outcome",
                number=statement.number,
                session=statement.session.number,
                user=statement.session.user,
                outcome=outcome.kind,
                ms=round(outcome.ms, 1),
                error=outcome.error.strip().rpartition("\n")[2],
            )
        except OSError as error:
            statement.session.print(f"the outcome is not in the audit: {error}\n", "err")

    # -- beginning

    def _dispatch(self, statement: Statement) -> None:
        session = statement.session
        context = contextvars.Context()
        context.run(router.owner.set, session.lines)
        context.run(logs.owner.set, f"console:{session.user}")
        try:
            work, aside = self._plan(statement)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError, MidairError) as error:
            statement.finish(Outcome(statement.number, "error", error=_describe(error, statement)))
            return
        if aside:
            statement.aside = statement.begun = True
            statement.claim.acquire()
            statement.task = asyncio.get_running_loop().create_task(self._run_aside(statement, work), context=context)
            return

        def begin() -> None:
            if statement.claim.acquire(blocking=False):
                statement.begun = True
                self.console.server.touch()
                loop = self.console.server.loop
                statement.task = loop.create_task(self._run_on_server(statement, work), context=context)

        self.call_server(begin)

    def _plan(self, statement: Statement) -> tuple[Callable[[Outcome], Coroutine[Any, Any, None]], bool]:
        """What to run for a statement, and whether it may run in the console's thread."""
        commands = self.console.commands
        if statement.words:
            name, arguments = split(statement.source)
            command = commands.get(name)
            if command is None:
                raise ConsoleError(f"there is no command {name!r}; 'help' lists them")
            person = statement.session.person
            if person.role < command.role:
                raise NotAuthorised(f"{name} needs the role {command.role}; you are {person.role}")
            args, kwargs = command.parse(arguments, self.console.server.space)
            return (lambda outcome: self._call(statement, outcome, command, args, kwargs)), command.aside
        tree = ast.parse(statement.source, statement.filename)
        defines = _name_module(tree, statement.filename)
        if found := _single_command(tree, commands, statement.session.namespace):
            command, args, kwargs = found
            if command.aside:
                return (lambda outcome: self._call(statement, outcome, command, args, kwargs)), True
        body, last = _compile(tree, statement.filename)
        self._remember(statement, defines=defines)
        return (lambda outcome: self._evaluate(statement, outcome, body, last)), False

    def _remember(self, statement: Statement, *, defines: bool) -> None:
        """Keep the source for tracebacks and `inspect`, which looks for a class by the file of its module."""
        text = statement.source if statement.source.endswith("\n") else statement.source + "\n"
        linecache.cache[statement.filename] = (len(text), None, text.splitlines(keepends=True), statement.filename)
        if defines:
            module = types.ModuleType(statement.filename, "Holds nothing: says where the source of a class is.")
            module.__file__ = statement.filename
            sys.modules[statement.filename] = module
        self._sources.append(statement.filename)
        self.forget_sources(keep=MAX_SOURCES)

    def forget_sources(self, *, keep: int = 0) -> None:
        """Forget the sources of all but the last statements."""
        while len(self._sources) > keep:
            filename = self._sources.popleft()
            linecache.cache.pop(filename, None)
            sys.modules.pop(filename, None)

    def _tell_stuck(self, statement: Statement) -> None:
        where = describe_thread(self.console.server_thread, sys._current_frames())
        statement.session.print(
            f"The server's loop has not come round for {PATIENCE:g} s; it is at {where}.\n"
            f"This statement waits for it: Ctrl-C gives up waiting. stacks() shows more, interrupt() frees the loop.\n",
            "err",
        )

    # -- running

    async def _run_on_server(self, statement: Statement, work: Callable[[Outcome], Coroutine[Any, Any, None]]) -> None:
        outcome = Outcome(statement.number)
        try:
            await _driven(self.interrupter, statement, work(outcome))
        except BaseException as error:  # noqa: BLE001 - whatever it was, it is the statement's and belongs to its person
            self._failed(statement, outcome, error)
        self.console.call(lambda: statement.finish(outcome))

    async def _run_aside(self, statement: Statement, work: Callable[[Outcome], Coroutine[Any, Any, None]]) -> None:
        """A command that touches nothing of the server runs here, so it answers while the server's loop is stuck."""
        outcome = Outcome(statement.number)
        try:
            await work(outcome)
        except BaseException as error:  # noqa: BLE001 - as above; `exit` is one of them
            self._failed(statement, outcome, error)
        statement.finish(outcome)

    def _failed(self, statement: Statement, outcome: Outcome, error: BaseException) -> None:
        outcome.value, outcome.text = None, ""
        if isinstance(error, SystemExit):
            outcome.kind = "exit"
        elif isinstance(error, LimitReached):
            outcome.kind, outcome.error = "interrupted", f"{_where(error, statement)}LimitReached: {error}\n"
        elif isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
            outcome.kind, outcome.error = "interrupted", f"{_where(error, statement)}KeyboardInterrupt\n"
        else:
            outcome.kind, outcome.error = "error", _describe(error, statement)
            if isinstance(error, ConsoleError):
                return  # a command that was misused; `pm()` goes on showing what it was asked about
            session, trace = statement.session, _own_part(error, statement)
            session.last_error = error
            session.last_frames = [
                (frame, line) for frame, line in traceback.walk_tb(trace) if frame.f_code.co_filename not in _MACHINERY
            ]

    async def _evaluate(
        self, statement: Statement, outcome: Outcome, body: types.CodeType | None, last: types.CodeType | None
    ) -> None:
        namespace = statement.session.namespace
        value = None
        for code in (body, last):
            if code is not None:
                value = eval(code, namespace)  # noqa: S307 - this is what a console is
                if code.co_flags & inspect.CO_COROUTINE:
                    value = await value
        if last is not None:
            await self._show(statement, outcome, value)
            if outcome.value is not None:
                namespace.remember(statement.number, outcome.value)

    async def _call(
        self, statement: Statement, outcome: Outcome, command: Command, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        await self._show(statement, outcome, command(*args, **kwargs))

    async def _show(self, statement: Statement, outcome: Outcome, value: Any) -> None:
        if isinstance(value, Command):
            # A bare name: looking is done at once, acting needs the parentheses.
            value = value() if value.runs_bare else value.usage()
        if isinstance(value, Pending) and value.waits:
            value = await value
        if isinstance(value, Space):
            value = Tree(value, "space")
        if value is None:
            return
        session = statement.session
        outcome.value = value
        if isinstance(value, View):
            outcome.text = value.rich(session.columns) if session.rich else value.text(session.columns)
            outcome.data = value.json()
        else:
            outcome.text = shown(value)
        if len(outcome.text) > 4 * MAX_TEXT:
            outcome.text = outcome.text[: 4 * MAX_TEXT] + "…"


@types.coroutine
def _driven(
    interrupter: Interrupter, statement: Statement, coroutine: Coroutine[Any, Any, None]
) -> Generator[Any, Any, None]:
    """Drive a coroutine by hand, so that each slice of it is known to be this statement's."""
    error: BaseException | None = None
    try:
        while True:
            try:
                awaited = interrupter.step(statement, coroutine, error)
            except StopIteration:
                return
            if statement.session.watched is not None:
                error = ConsoleError("no await in 'with undo:': what others change meanwhile would be put back too")
                continue
            try:
                yield awaited
            except BaseException as thrown:  # noqa: BLE001 - a cancellation; it is the statement's to handle
                error = thrown
            else:
                error = None
    finally:
        coroutine.close()


def _name_module(tree: ast.Module, filename: str) -> bool:
    """Have each class that is defined say that it is of this statement; whether there is one."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in classes:
        own = ast.parse(f"__module__ = {filename!r}").body
        for part in ast.walk(own[0]):
            if isinstance(part, ast.stmt | ast.expr):
                ast.copy_location(part, node)
        has_docstring = ast.get_docstring(node, clean=False) is not None
        node.body[has_docstring:has_docstring] = own
    return bool(classes)


def _compile(tree: ast.Module, filename: str) -> tuple[types.CodeType | None, types.CodeType | None]:
    """The statements, and apart from them the last one when it is an expression, whose value is shown."""
    last: types.CodeType | None = None
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        expression = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]  # an Expr has a value
        last = compile(expression, filename, "eval", flags=flags, dont_inherit=True)
    body = compile(tree, filename, "exec", flags=flags, dont_inherit=True) if tree.body else None
    return body, last


def _single_command(
    tree: ast.Module, commands: dict[str, Command], private: dict[str, Any]
) -> tuple[Command, list[Any], dict[str, Any]] | None:
    """The command and its arguments, when all that was typed is one command with literal arguments."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return None
    node = tree.body[0].value
    called = isinstance(node, ast.Call)
    name = node.func if isinstance(node, ast.Call) else node
    if not isinstance(name, ast.Name) or name.id in private or name.id not in commands:
        return None
    command = commands[name.id]
    if not isinstance(node, ast.Call):
        return (command, [], {}) if command.runs_bare and not called else None
    try:
        args = [ast.literal_eval(argument) for argument in node.args]
        kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg}
    except ValueError:
        return None
    return (command, args, kwargs) if len(kwargs) == len(node.keywords) else None


def _own_part(error: BaseException, statement: Statement) -> types.TracebackType | None:
    """The traceback from the statement's own frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != statement.filename:
        trace = trace.tb_next
    return trace


def _explained(error: BaseException, statement: Statement, most: int) -> traceback.TracebackException:
    """The error without the frames of ours that ran the statement, or that interrupted it."""
    shown_error = traceback.TracebackException(
        type(error), error, _own_part(error, statement), limit=-most, compact=True
    )
    kept = [frame for frame in shown_error.stack if frame.filename not in _MACHINERY]
    shown_error.stack = traceback.StackSummary.from_list(kept)
    return shown_error


def _describe(error: BaseException, statement: Statement) -> str:
    try:
        if isinstance(error, MidairError | RebuildError):
            return f"{type(error).__name__}: {error}\n"
        return "".join(_explained(error, statement, MAX_TRACEBACK).format())[:MAX_TEXT]
    except Exception as second:  # noqa: BLE001 - the exception's own __str__ failed: say so, with its type
        return f"{type(error).__name__}: (it cannot be shown: {type(second).__name__})\n"


def _where(error: BaseException, statement: Statement) -> str:
    """Where an interrupted statement was: the last frames of its own part."""
    stack = _explained(error, statement, 5).stack
    return "Traceback (most recent call last):\n" + "".join(stack.format()) if stack else ""


_MACHINERY = frozenset({__file__, interrupt.__file__})
