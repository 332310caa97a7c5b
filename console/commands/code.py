"""Commands about code: bringing it up to date, going back, looking at it."""

import inspect
import linecache
import os
import threading
import time
import types
from pathlib import Path
from typing import Any

from ...runtime import rebuild as rebuilding
from ...runtime.errors import ConsoleError
from ..changes import Block, Watched
from ..display import Table, Text
from ..session import current
from ..users import Role
from .base import command


@command(whole=True)
async def rebuild(*modules: str | types.ModuleType) -> Text:
    """Bring the running code to the state of its files: all that differs, or only the modules named.

    All or nothing: when anything fails, nothing changes and the error says why. undo() goes back.
    """
    session = current()
    names = [m.__name__ if isinstance(m, types.ModuleType) else m for m in modules]
    report = await session.console.server.rebuild(*names, who=session.user)
    return Text(str(report))


@command(whole=True)
async def undo(number: int | None = None, *, write: bool = False) -> Text:
    """Go back one edit, or to before edit `number`; write=True puts the earlier text into the files too.

    Code goes back, values of the run stay. history() lists the edits. `with undo:` before a block of statements keeps the values
    of the space that the block changes: when it fails they are put back at once, and undo() puts them back when no edit came since.
    """
    session = current()
    blocks = session.console.blocks
    if number is None and not write and blocks and blocks[-1].time > _last_edit():
        block = blocks.pop()
        changed_since = block.put_back()
        session.console.server.touch()
        text = f"put back what {block.who} changed at {time.strftime('%H:%M:%S', time.localtime(block.time))}: {block.names()}"
        if changed_since:
            text += f"\nleft as they are, for they were changed again since: {', '.join(changed_since)}"
        return Text(text)
    return Text(str(rebuilding.undo(number, write=write, who=session.user)))


def _last_edit() -> float:
    return rebuilding.history[-1].time if len(rebuilding.history) else 0.0


class _Undoable:
    """`with undo:`."""

    def __enter__(self) -> None:
        session = current()
        if threading.get_ident() != session.console.server_thread or session.watched is not None:
            raise ConsoleError("'with undo:' stands in a statement of yours, and not in another one")
        session.watched = Watched(session.console.server.space)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        session = current()
        watched, session.watched = session.watched, None
        if watched is None:
            return
        block = Block(session.user, changes=watched.changes())
        if not block.changes:
            return
        if error is not None:
            block.put_back()
            session.print(f"put back, because it failed: {block.names()}\n", "err")
            return
        session.console.blocks.append(block)
        session.print(f"undo() puts back {block.names()}\n")


undo.context = _Undoable


@command(looks=True)
def history(number: int | None = None) -> Table | Text:
    """The edits so far, newest last; history(7) shows edit 7 with its differences."""
    if number is not None:
        entry = rebuilding.history.find(number)
        return Text(f"{entry.report}\n\n{entry.diff}".rstrip())
    rows = [_history_row(entry.report) for entry in rebuilding.history]
    return Table(("edit", "when", "who", "changes", "files", "ms"), rows, empty="no edits since this start")


def _history_row(report: rebuilding.Report) -> tuple[Any, ...]:
    files = ", ".join(Path(name).name for name in report.files)
    changes = f"undoes {report.undo_of}" if report.undo_of else ", ".join(change.told() for change in report.changes)
    return (
        report.number,
        time.strftime("%H:%M:%S", time.localtime(report.time)),
        report.who,
        changes,
        files,
        report.pause_ms,
    )


_holds = 0
"""How often edits were held back from consoles."""


@command(looks=True, role=Role.OPERATOR)
def watch(on: bool | None = None) -> Text:
    """The folders whose files are watched; watch(False) stops rebuilding by itself, watch(True) goes on."""
    global _holds
    if on is False:
        _hold_back()
    while on is True and _holds:
        rebuilding.release()
        _holds -= 1
    watched = ", ".join(str(folder) for folder in rebuilding.watched())
    if not watched:
        return Text("nothing is watched; rebuild() brings the code up to date")
    return Text(f"edits in {watched} wait for release() or watch(True)" if _holds else f"watching {watched}")


def _hold_back() -> None:
    global _holds
    rebuilding.hold()
    _holds += 1


@command()
def hold() -> Text:
    """Let edits wait until release() is called as often, so that many files arrive as one edit."""
    _hold_back()
    return Text("edits wait for release()")


@command(whole=True)
async def release() -> Text:
    """Let the edits that hold() made wait arrive, as one edit; the answer comes when they are live, or refused."""
    global _holds
    try:
        if _holds > 1:
            return Text("edits still wait for another release()")
        # While they are still held: so all of them are this one edit, and the watch finds nothing left to do.
        session = current()
        return Text(str(await session.console.server.rebuild(who=session.user)))
    finally:
        rebuilding.release()
        _holds = max(0, _holds - 1)


@command(looks=True)
def stragglers() -> Table:
    """Who still runs old code: frames, coroutines and objects, and where."""
    rows = [(one.kind, one.owner, one.name, f"{one.file}:{one.line}") for one in rebuilding.stragglers()]
    return Table(("kind", "owner", "runs", "where"), rows, empty="nothing is on old code")


@command(looks=True)
def held() -> Table:
    """Edits on disk that do not run: undone, refused, or overridden, with the reason and the cure."""
    rows = [(_near(one.file), one.reason, one.cure) for one in rebuilding.held()]
    return Table(("file", "why it does not run", "cure"), rows, empty="what runs is what the files say", wrap=True)


def _near(file: str) -> str:
    """A file as seen from where the server runs."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


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
        lines, first = inspect.getsourcelines(target)
        return "".join(lines), str(inspect.getsourcefile(target)), max(first, 1)
    except (OSError, TypeError) as error:
        raise ConsoleError(f"no source of {getattr(target, '__qualname__', target)!r}: {error}") from error
