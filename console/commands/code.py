"""Commands about code: bringing it up to date, going back, looking at it."""

import inspect
import linecache
import types
from pathlib import Path
from typing import Any

from ...runtime import rebuild as rebuilding
from ...runtime.errors import ConsoleError
from ..display import Table, Text, one_line
from ..session import current
from .base import command


@command()
async def rebuild(*modules: str | types.ModuleType) -> Text:
    """Bring the running code to the state of its files: all that differs, or only the modules named.

    All or nothing: when anything fails, nothing changes and the error says why. undo() goes back.
    """
    session = current()
    names = [m.__name__ if isinstance(m, types.ModuleType) else m for m in modules]
    report = await session.console.server.rebuild(*names, who=session.user)
    return Text(str(report))


@command()
async def undo(number: int | None = None, *, write: bool = False) -> Text:
    """Go back one edit, or to before edit `number`; write=True puts the earlier text into the files too.

    Code goes back, values of the run stay. history() lists the edits.
    """
    before = () if number is None else (number,)
    return Text(str(rebuilding.undo(*before, write=write)))


@command(looks=True)
def history(number: int | None = None) -> Table | Text:
    """The edits so far, newest last; history(7) shows edit 7 with its differences."""
    if number is not None:
        for report in rebuilding.history:
            if report.number == number:
                return Text(f"{report}\n{getattr(report, 'diff', '')}".rstrip())
        raise ConsoleError(f"there is no edit {number} among the last {len(rebuilding.history)}")
    rows = [_history_row(report) for report in rebuilding.history]
    return Table(("edit", "when", "who", "files", "changes"), rows, empty="no edits yet")


def _history_row(report: Any) -> tuple[Any, ...]:
    files = ", ".join(Path(str(f)).name for f in report.files)
    changes = ", ".join(f"{change.kind} {change.name}" for change in report.changes)
    return report.number, _clock(report.time), getattr(report, "who", ""), files, changes


def _clock(when: Any) -> str:
    import time

    return time.strftime("%H:%M:%S", time.localtime(when)) if isinstance(when, int | float) else str(when)


@command(looks=True)
def watch(on: bool | None = None, folder: str = "") -> Text:
    """The folders that are watched; watch(False) stops rebuilding by itself, watch(True) goes on."""
    watched = [str(entry) for entry in rebuilding.watched()]
    if on is True:
        for entry in [folder] if folder else _stopped.pop("folders", []) or watched:
            rebuilding.watch(entry)
        watched = [str(entry) for entry in rebuilding.watched()]
    elif on is False:
        stopping = [folder] if folder else watched
        for entry in stopping:
            rebuilding.unwatch(entry)
        _stopped["folders"] = stopping
        return Text(f"no longer watching {', '.join(stopping) or 'anything'}; watch(True) goes on")
    return Text(
        f"watching {', '.join(watched)}" if watched else "nothing is watched; rebuild() brings the code up to date"
    )


_stopped: dict[str, list[str]] = {}


@command(looks=True)
def stragglers() -> Table:
    """Who still runs old code: frames, coroutines and objects, and where."""
    rows = [(one_line(str(entry)),) for entry in rebuilding.stragglers()]
    return Table(("still on old code",), rows, empty="nothing is on old code")


@command(looks=True)
def held() -> Table:
    """Edits on disk that do not run: undone, refused, or overridden, with the reason."""
    rows = [(one_line(str(entry)),) for entry in rebuilding.held()]
    return Table(("held",), rows, empty="what runs is what the files say")


@command(looks=True)
def source(what: object) -> Text:
    """The source of a function, class, method or module; things typed at a prompt too."""
    return Text(source_of(what)[0].rstrip("\n"))


def source_of(what: Any) -> tuple[str, str, int]:
    """The source of something, its file and its first line.

    Raises:
        ConsoleError: it has no source, as builtins and plain objects have none.
    """
    if isinstance(what, types.ModuleType) and getattr(what, "__file__", None):
        lines = linecache.getlines(str(what.__file__))
        return "".join(lines), str(what.__file__), 1
    target = inspect.unwrap(what) if isinstance(what, types.FunctionType) else what
    if not isinstance(target, type | types.FunctionType | types.MethodType | types.CodeType):
        target = getattr(target, "__wrapped__", type(target))
    try:
        if isinstance(target, type) and target.__module__ == "__console__":
            return _class_at_prompt(target)
        lines, first = inspect.getsourcelines(target)
        return "".join(lines), str(inspect.getsourcefile(target)), max(first, 1)
    except (OSError, TypeError) as error:
        raise ConsoleError(f"no source of {getattr(target, '__qualname__', target)!r}: {error}") from error


def _class_at_prompt(target: type) -> tuple[str, str, int]:
    """A class typed at a prompt belongs to no module file; its functions know which statement it was."""
    for value in vars(target).values():
        code = getattr(value, "__code__", None)
        if code is not None and (lines := linecache.getlines(code.co_filename)):
            return "".join(lines), code.co_filename, 1
    raise ConsoleError(
        f"no source of class {target.__qualname__}: it was typed at a prompt and has no function of its own"
    )
