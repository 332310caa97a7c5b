"""Whose output is this? `print` in a session's statement, and in the timers, tasks and threads that it started, goes to that session.

The session's sink travels in a context variable, which asyncio copies into tasks, timers and `to_thread`. Executors and plain threads do
not copy it by themselves, so while a console is open `Thread.start` and the loop's default executor hand it on. Everything else goes
where it always went: to the server's own stdout or stderr.
"""

import contextvars
import io
import logging
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.thread import _worker as _executor_worker
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

MAX_LINE = 64 * 1024
"""A line longer than this is passed on in pieces, in characters."""


class Sink(Protocol):
    """Where a session's text ends up. Any thread may call it."""

    @property
    def alive(self) -> bool: ...

    def print(self, text: str, stream: str) -> None: ...


class Lines:
    """Collects text and passes it on in whole lines, so that a prompt is never drawn into the middle of one."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._lock = threading.Lock()
        self._partial = {"out": "", "err": ""}

    @property
    def alive(self) -> bool:
        return self.sink.alive

    def write(self, text: str, stream: str) -> None:
        with self._lock:
            held = self._partial[stream] + text if self._partial[stream] else text
            end = held.rfind("\n") + 1
            if len(held) - end > MAX_LINE:
                end = len(held)
            self._partial[stream] = held[end:]
        if end:
            self.sink.print(held[:end], stream)

    def flush(self) -> None:
        """Pass on unfinished lines too: at the end of a statement, before the prompt."""
        with self._lock:
            rest, self._partial = self._partial, {"out": "", "err": ""}
        for stream, text in rest.items():
            if text:
                self.sink.print(text, stream)


owner: contextvars.ContextVar[Lines | None] = contextvars.ContextVar("midair-console-output", default=None)
"""The output of the session that the running code belongs to."""


terminal: Lines | None = None
"""The session on the terminal that the server was started on: it shows what would otherwise be written across its prompt."""


def _called_by_logging() -> bool:
    # A handler made while we stand in for stderr holds us; a record belongs in the log whoever caused it.
    return sys._getframe(2).f_globals is logging.__dict__


class Routed(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr` while a console is open."""

    def __init__(self, original: TextIO, stream: str) -> None:
        self.original, self.stream = original, stream

    def _lines(self) -> Lines | None:
        lines = owner.get()
        return lines if lines is not None and lines.alive else None

    def write(self, text: str, /) -> int:
        lines = self._lines()
        if lines is None or _called_by_logging():
            lines = terminal if terminal is not None and terminal.alive and self.original.isatty() else None
        if lines is None:
            return self.original.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        lines.write(text, self.stream)
        return len(text)

    def flush(self) -> None:
        if self._lines() is None:
            self.original.flush()

    def isatty(self) -> bool:
        # False in a session: pydoc and others would otherwise start a pager on the server's terminal, and wait there.
        return self._lines() is None and self.original.isatty()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase has it as a writable attribute
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]  # likewise
        return self.original.errors

    @property
    def buffer(self) -> Any:
        return self.original.buffer


class ContextExecutor(ThreadPoolExecutor):
    """A thread pool whose work prints where its submitter prints."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if owner.get() is None:
            return super().submit(fn, *args, **kwargs)
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)


_installed = 0
_lock = threading.Lock()
_thread_start = threading.Thread.start


def _start_with_context(self: threading.Thread) -> None:
    # A pool's worker outlives the statement that happened to need it first, so it starts without an owner.
    if owner.get() is not None and getattr(self, "_target", None) is not _executor_worker:
        run, context = self.run, contextvars.copy_context()
        self.run = lambda: context.run(run)  # type: ignore[method-assign]  # this one thread only
    _thread_start(self)


@contextmanager
def shown_by(lines: Lines) -> Generator[bool, None, None]:
    """Have a session show what goes to this process's terminal meanwhile; whether the log is among it."""
    global terminal
    log_to_terminal = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and getattr(sys.stderr, "original", None) is handler.stream
    ]
    log_to_terminal = [handler for handler in log_to_terminal if handler.stream.isatty()]
    terminal = lines
    for handler in log_to_terminal:
        handler.setStream(sys.stderr)
    try:
        yield bool(log_to_terminal)
    finally:
        terminal = None
        for handler in log_to_terminal:
            if isinstance(handler.stream, Routed):
                handler.setStream(handler.stream.original)
        lines.flush()


def install() -> None:
    """Stand in for stdout, stderr and `Thread.start`. Each call is undone by one `uninstall()`."""
    global _installed
    with _lock:
        _installed += 1
        if _installed == 1:
            sys.stdout = Routed(sys.stdout, "out")
            sys.stderr = Routed(sys.stderr, "err")
            threading.Thread.start = _start_with_context  # type: ignore[method-assign]  # undone below


def uninstall() -> None:
    """Put back what `install()` replaced; what somebody else replaced since stays theirs."""
    global _installed
    with _lock:
        _installed -= 1
        if _installed:
            return
        if isinstance(sys.stdout, Routed):
            sys.stdout = sys.stdout.original
        if isinstance(sys.stderr, Routed):
            sys.stderr = sys.stderr.original
        if threading.Thread.start is _start_with_context:
            threading.Thread.start = _thread_start  # type: ignore[method-assign]  # as it was
