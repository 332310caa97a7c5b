"""Readable lines: aligned and coloured on a terminal, ISO time with milliseconds in a file, JSON when asked for.

Every line says whose it is: `chat`, `conn 12`, `console:anna`. The owner is what a `LoggerAdapter` put in, or else the
context in which the line was written, or else the last part of the logger's name.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import logging.handlers
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

#: On whose behalf the code at hand runs; set by connections, jobs, timers and console sessions.
owner: contextvars.ContextVar[str] = contextvars.ContextVar("midair.owner", default="")

#: One log file is turned over at this size, and this many old ones are kept.
MAX_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5
_TELL_AGAIN = 60.0  # seconds until it is said again that lines are lost

_COLOURS = {"DEBUG": "\x1b[2m", "INFO": "", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[1;31m"}


def clean(text: str) -> str:
    """The text without control characters, so that nothing a stranger sent is acted on by an operator's terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def owner_of(record: logging.LogRecord) -> str:
    """Whose line this is."""
    named = getattr(record, "owner", "") or owner.get()
    return str(named) or record.name.rpartition(".")[2]


class _Formatter(logging.Formatter):
    def text(self, record: logging.LogRecord) -> str:
        """The message, and the traceback when there is one."""
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return clean(text)


class TerminalFormatter(_Formatter):
    """`10:02:31 chat         3 rooms` with colour for what wants attention."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        colour = _COLOURS.get(record.levelname, "")
        return (
            f"\x1b[2m{clock}\x1b[0m {owner_of(record):<14.14} {colour}{self.text(record)}{colour and chr(27) + '[0m'}"
        )


class FileFormatter(_Formatter):
    """`2026-03-01T10:02:31.204+01:00 INFO    chat           3 rooms`"""

    def format(self, record: logging.LogRecord) -> str:
        return f"{_iso(record)} {record.levelname:<7} {owner_of(record):<14} {self.text(record)}"


class JSONFormatter(_Formatter):
    """One object a line: time, level, owner, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": _iso(record),
                "level": record.levelname,
                "owner": owner_of(record),
                "logger": record.name,
                "message": self.text(record),
            },
            ensure_ascii=False,
        )


def _iso(record: logging.LogRecord) -> str:
    local = time.localtime(record.created)
    zone = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{int(record.msecs):03d}{zone[:3]}:{zone[3:]}"


class Tail(logging.Handler):
    """The last lines, for the console's `log()`, and whoever follows them."""

    def __init__(self, size: int = 1000) -> None:
        super().__init__()
        self.lines: deque[tuple[int, str]] = deque(maxlen=size)
        self._followers: list[Callable[[int, str], None]] = []
        self.setFormatter(FileFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = (record.levelno, self.format(record))
            self.lines.append(line)
            for follower in tuple(self._followers):
                follower(*line)
        except Exception:  # noqa: BLE001 - logging's own rule: a broken line is reported by handleError, never raised
            self.handleError(record)

    def follow(self, follower: Callable[[int, str], None]) -> Callable[[], None]:
        """Call it with (level, line) for each line from now on; returns what ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)


#: What the console tails. It holds the last 1,000 lines.
tail = Tail()


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A log that only its owner can read: it names who logged in from where."""

    _told = -math.inf

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return open(descriptor, "a", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name for it
        """A full disk is one line a minute on standard error; `logging` would show a traceback for each line lost."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif time.monotonic() - self._told >= _TELL_AGAIN:
            self._told = time.monotonic()
            with contextlib.suppress(OSError):  # standard error may be a file on the same disk
                sys.stderr.write(f"midair: the log {self.baseFilename} cannot be written: {error.strerror}\n")


def set_up(
    *,
    file: Path | None = None,
    as_json: bool = False,
    level: int = logging.INFO,
    stream: TextIO | None = None,
    only: str = "",
) -> None:
    """Send the log of this process to a file, or to `stream` (standard error unless given).

    Args:
        only: the logger whose lines these are; every logger's unless given. The others stay as they are then.

    A file is turned over at 10 MB and five old ones are kept. Called again, it replaces what the last call set up.

    Raises:
        OSError: the file cannot be written.
    """
    handler: logging.Handler
    if file is not None:
        handler = _PrivateFile(file, maxBytes=MAX_BYTES, backupCount=KEPT_FILES)
    else:
        handler = logging.StreamHandler(stream or sys.stderr)
    on_terminal = file is None and (stream or sys.stderr).isatty()
    handler.setFormatter(JSONFormatter() if as_json else TerminalFormatter() if on_terminal else FileFormatter())
    root = logging.getLogger(only)
    root.propagate = not only
    for old in [h for h in root.handlers if getattr(h, "of_midair", False)]:
        root.removeHandler(old)
        if old is not tail:
            old.close()
    for new in (handler, tail):
        new.of_midair = True  # type: ignore[union-attr] # a mark of ours, so that a second call finds it
        root.addHandler(new)
    root.setLevel(level)
