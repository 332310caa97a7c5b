"""What can go wrong with an edit. One class: the caller can only say so, and wait for the next save."""

from __future__ import annotations

import os
import traceback


class RebuildError(Exception):
    """An edit was refused; everything is as it was.

    Args:
        reason: what is wrong, as a clause.
        file, line: where, when known.
        stage: "read", "compile", "run", "commit", "upgrade", "hook", "check", "rehearsal" or "call".
        needs: "hand-over" when no rebuild can do it, else None.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        line: int | None = None,
        stage: str = "run",
        needs: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.file, self.line, self.stage, self.needs = reason, file, line, stage, needs

    def __str__(self) -> str:
        where = f"{near(self.file)}:{self.line or ''}".rstrip(":") + ": " if self.file else ""
        if self.stage == "call":
            return where + self.reason  # there was no edit, so nothing that it could have changed
        cure = "; only a hand-over to a new process can do this" if self.needs else ""
        return f"{where}{self.reason} ({self.stage}; nothing was changed{cure})"


def near(path: str) -> str:
    """A path as seen from here, when it lies below the current folder."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


class NotUpgraded(AttributeError):
    """An instance whose upgrade failed was used; it keeps its old state and is tried again by the next edit."""


def at(error: BaseException, files: set[str]) -> tuple[str | None, int | None]:
    """File and line of the innermost frame of an error that lies in one of the files."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    found: tuple[str | None, int | None] = (None, None)
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename in files:
            found = frame.f_code.co_filename, line
    return found


def wrap(error: BaseException, stage: str, files: set[str], *, file: str | None = None) -> RebuildError:
    """The RebuildError for whatever was raised while an edit was made."""
    if isinstance(error, RebuildError):
        return error
    where, line = at(error, files)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    made = RebuildError(reason, file=where or file, line=line, stage=stage)
    made.__cause__ = error
    return made
