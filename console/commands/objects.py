"""Commands about live objects: finding them, who holds them, watching a function, changing its source."""

import gc
import linecache
import os
import shlex
import shutil
import sys
import tempfile
import textwrap
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime import rebuild as rebuilding
from ...runtime.errors import ConsoleError
from ...runtime.files import write_private
from ..display import Table, Text, children, folded, one_line, summary
from ..session import Session, current
from ..takeover import Program, take_over
from ..tracing import Trace, traces
from ..users import Role
from .base import command
from .code import source_of

MAX_WALK = 1_000_000
"""Objects looked at when a path in the space is searched for."""


@command(looks=True, role=Role.ADMIN)
def find(cls: object, *, most: int = 20) -> Table:
    """The live instances of a class, with their place in the space where they have one. `find(Room)[0]["object"]` is the object."""
    kind = _class(cls)
    found = []
    for thing in gc.get_objects():
        # By the type itself: isinstance would ask the object for its __class__.
        if issubclass(type(thing), kind):
            found.append(thing)
            if len(found) > most:
                break
    paths = paths_of(found, current().console.server.space)
    rows = [(number, paths.get(id(thing), "not in the space"), thing) for number, thing in enumerate(found[:most])]
    return Table(("number", "where", "object"), rows, empty=f"no live instance of {kind.__qualname__}", show=summary)


def _class(what: Any) -> type:
    if isinstance(what, str):
        module, _, name = what.rpartition(".")
        found = getattr(sys.modules.get(module), name, None)
        if not isinstance(found, type):
            raise ConsoleError(f"there is no class {what!r}; write module.Class")
        return found
    return what if isinstance(what, type) else type(what)


def paths_of(things: list[Any], space: Any) -> dict[int, str]:
    """Where in the space each thing is, by its id; found without running any of their code."""
    wanted = {id(thing) for thing in things}
    paths: dict[int, str] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("space", space)]
    while waiting and wanted - paths.keys() and len(seen) < MAX_WALK:
        place, value = waiting.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) in wanted:
            paths[id(value)] = place
        waiting.extend((place + name, child) for name, child in children(value) if _may_hold(child))
    return paths


def _may_hold(value: object) -> bool:
    return type(value) not in {int, float, bool, str, bytes, type(None), types.FunctionType, types.ModuleType, type}


@command(looks=True, role=Role.ADMIN)
def refs(obj: object, *, most: int = 20) -> Table:
    """Who holds an object: containers, instances with the attribute, frames."""
    frame = sys._getframe()
    own = {id(frame), id(frame.f_locals)}
    rows = []
    for holder in gc.get_referrers(obj):
        if id(holder) in own or (isinstance(holder, types.FrameType) and "/console/" in holder.f_code.co_filename):
            continue
        rows.append((summary(holder), _as(holder, obj)))
    return Table(("held by", "as"), rows[:most], empty="nobody that the garbage collector knows")


def _as(holder: object, obj: object) -> str:
    """Under which name, key or index a holder holds it."""
    if isinstance(holder, types.FrameType):
        names = [name for name, value in holder.f_locals.items() if value is obj]
        return f"local {', '.join(names)} of {holder.f_code.co_qualname}"
    names = [name for name, value in children(holder) if value is obj]
    return ", ".join(names[:5])


@command(looks=True, role=Role.ADMIN)
def pm(frame: int | None = None, expression: str = "") -> Any:
    """Your last error, post mortem: pm() lists its frames, pm(2) the names in frame 2, pm(2, "len(rooms)") evaluates there.

    The server goes on meanwhile: the frames have ended, and are only looked at.
    """
    session = current()
    frames = session.last_frames
    if not frames:
        raise ConsoleError("no error to look at: none of your statements has failed in code of its own")
    if frame is None:
        rows = [
            (n, f"{_near(f)}:{line}", f.f_code.co_qualname, _line_of(f, line)) for n, (f, line) in enumerate(frames)
        ]
        return Table(("frame", "where", "in", "line"), [*rows, ("", "", "", error_line(session.last_error))])
    if not 0 <= frame < len(frames):
        raise ConsoleError(f"there is no frame {frame}; pm() lists them, 0 to {len(frames) - 1}")
    chosen, _ = frames[frame]
    if expression:
        try:
            return eval(expression, chosen.f_globals, chosen.f_locals)  # noqa: S307 - an admin's, as at the prompt
        except Exception as error:
            raise ConsoleError(f"{expression} in frame {frame}: {error_line(error)}") from error
    names = [(name, summary(value)) for name, value in sorted(chosen.f_locals.items()) if not name.startswith("__")]
    return Table(("name", "is"), names, empty="no names in this frame")


def _near(frame: types.FrameType) -> str:
    return "/".join(frame.f_code.co_filename.rsplit("/", 2)[-2:])


def _line_of(frame: types.FrameType, line: int) -> str:
    return linecache.getline(frame.f_code.co_filename, line, frame.f_globals).strip()


def error_line(error: BaseException | None) -> str:
    """The last line of an error's traceback."""
    return "".join(traceback.format_exception_only(error)).strip().rpartition("\n")[2]


@command(role=Role.ADMIN)
def trace(fn: Callable[..., Any] | None = None, *, times: int = 20) -> Text | Table:
    """Show the next calls of a function or method, with arguments and results, whoever makes them.

    trace() lists what is traced, trace(fn, times=0) ends it. An edit of the function ends it too.
    """
    session = current()
    if fn is None:
        rows = [(one.name, one.left) for one in traces.values()]
        return Table(("function", "calls left"), rows, empty="nothing is traced")
    function = getattr(fn, "__func__", fn)
    if not isinstance(function, types.FunctionType):
        raise ConsoleError(f"only functions and methods written in Python can be traced, not {summary(fn)}")
    if old := traces.get(id(function)):
        old.end()
    if times <= 0:
        return Text(f"{function.__qualname__} is not traced")
    Trace(function, times, lambda line: session.print(one_line(line) + "\n"))
    return Text(f"the next {times} calls of {function.__qualname__} are shown here")


@command(role=Role.ADMIN)
def save(obj: object, file: str) -> Text:
    """Append a function or class typed at a prompt to a file, where the next rebuild finds it."""
    source = textwrap.dedent(source_of(obj)[0]).strip("\n")
    path = Path(file)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    gap = "\n\n" if before else ""
    _replace(path, before.rstrip("\n") + ("\n" if before else "") + gap + source + "\n")
    return Text(f"{len(source.splitlines())} lines written to {path}")


@command(role=Role.ADMIN)
async def edit(obj: object) -> Text:
    """Open the source of a function, class or module in $EDITOR, here; what is saved there goes into its file and is rebuilt.

    A refused edit comes back into the editor with the error; leaving it unchanged gives up.
    """
    session = current()
    place = _Place.of(obj)
    text, note = place.part, ""
    while True:
        edited = _without_note(await _in_editor(session, note + text))
        if edited == text:
            return Text("given up; nothing changed" if note else "nothing changed")
        new = place.with_part(edited)
        try:
            report = await rebuilding.apply(sources={place.module: new}, who=session.user)
        except rebuilding.RebuildError as error:
            text, note = edited, _note(str(error))
            continue
        _replace(place.file, new)
        return Text(str(report))


@dataclass(frozen=True)
class _Place:
    """A part of a module's file: the source of one function or class."""

    module: str
    file: Path
    first: int
    part: str

    @classmethod
    def of(cls, obj: object) -> "_Place":
        part, file, first = source_of(obj)
        if not os.path.isfile(file):
            raise ConsoleError("this was typed at a prompt and has no file; save(obj, 'file.py') gives it one")
        module = next((name for name, m in sys.modules.items() if getattr(m, "__file__", None) == file), "")
        if not module:
            raise ConsoleError(f"no loaded module was made from {file}")
        return cls(module, Path(file), first, part)

    def with_part(self, new: str) -> str:
        """The whole file with another text in place of the part.

        Raises:
            ConsoleError: the file is not as it was.
        """
        lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
        begin, end = self.first - 1, self.first - 1 + len(self.part.splitlines())
        if "".join(lines[begin:end]) != self.part:
            raise ConsoleError(f"{self.file} was changed by somebody else meanwhile; nothing was written")
        return "".join([*lines[:begin], new if new.endswith("\n") else new + "\n", *lines[end:]])


_MARK = "# midair: "


def _note(error: str) -> str:
    text = folded(f"refused, nothing was changed:\n{error}", 78 - len(_MARK))
    return "".join(f"{_MARK}{line}\n" for line in text.splitlines())


def _without_note(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_MARK))


async def _in_editor(session: Session, text: str) -> str:
    argv = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    if shutil.which(argv[0]) is None:
        raise ConsoleError(f"there is no {argv[0]!r} here; start the server with EDITOR set to an editor")
    with tempfile.TemporaryDirectory(prefix="midair-") as folder:
        path = Path(folder) / "edit.py"
        write_private(path, text)
        await take_over(session, Program(session, [*argv, str(path)]))
        return _read(path)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Put a text into a file in one step, keeping the file's mode."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    scratch = path.with_name(f".{path.name}.{os.getpid()}~")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(mode)
    scratch.replace(path)
