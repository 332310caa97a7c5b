"""Edits made, and texts that wait: undone, refused, or overridden from memory."""

from __future__ import annotations

import collections
import difflib
import linecache
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from . import sources
from .errors import RebuildError, near
from .report import Note, Report

log = logging.getLogger("midair.rebuild")

KEPT = 100  # edits


@dataclass(eq=False)
class Entry:
    """One successful edit: its report, its diff, and the texts before and after by module."""

    report: Report
    texts: dict[str, tuple[str, bytes, bytes | None]]

    @property
    def number(self) -> int:
        return self.report.number

    @property
    def time(self) -> float:
        return self.report.time

    @property
    def who(self) -> str:
        return self.report.who

    @property
    def files(self) -> list[str]:
        return self.report.files

    @property
    def changes(self) -> list[Note]:
        return self.report.changes

    @property
    def diff(self) -> str:
        """A unified diff of all files."""
        return "".join(_diff(path, old, new or b"") for path, old, new in self.texts.values())

    def __str__(self) -> str:
        return self.report.line()


def _diff(path: str, old: bytes, new: bytes) -> str:
    before, after = (t.decode("utf-8", "replace").splitlines(keepends=True) for t in (old, new))
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, after, path, path)
    )


@dataclass(eq=False)
class Held:
    """A text on disk that is not what runs: file, why, and what makes it live."""

    file: str
    module: str
    reason: str
    cure: str
    data: bytes | None = field(repr=False, default=None)


class History:
    """The last edits, newest last; a sequence of `Entry`."""

    def __init__(self) -> None:
        self._entries: collections.deque[Entry] = collections.deque(maxlen=KEPT)
        self.last = 0  # number of the last edit

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    def __getitem__(self, index: int) -> Entry:
        return list(self._entries)[index]

    def find(self, number: int) -> Entry:
        for entry in self._entries:
            if entry.number == number:
                return entry
        raise RebuildError(f"edit {number} is not in the history, which holds the last {KEPT}", stage="call")

    def add(self, entry: Entry) -> None:
        self.last += 1
        entry.report.number = self.last
        self._entries.append(entry)

    def __repr__(self) -> str:
        return "\n".join(str(entry) for entry in self._entries) or "no edits yet"


history = History()
_held: dict[str, Held] = {}
_refused: dict[str, bytes | None] = {}
_surroundings: dict[str, tuple[int, int]] = {}
_refusal: str = ""
_subscribers: list[Callable[[Report], None]] = []


def subscribe(callback: Callable[[Report], None]) -> Callable[[], None]:
    """Have `callback(report)` called after each edit, refused ones too, in the thread that made it.

    Returns:
        A function that ends the subscription.
    """
    _subscribers.append(callback)
    return lambda: _subscribers.remove(callback) if callback in _subscribers else None


def _tell(report: Report) -> None:
    for callback in _subscribers:
        try:
            callback(report)
        except Exception:
            log.exception("a subscriber to edits failed")


# -- held texts -------------------------------------------------------------------------------------------------------


def held_texts(*, refused: bool = True) -> dict[str, bytes | None]:
    """Texts that a rebuild of everything passes over, by path; those refused last too, as long as nothing new came."""
    texts = {path: held.data for path, held in _held.items()}
    return {**_refused, **texts} if refused and _refused and _others() == _surroundings else texts


def held() -> list[Held]:
    """What on disk is not what runs, and why: undone, overridden from memory, or refused."""
    found = list(_held.values())
    for path, data in _refused.items():
        if path not in _held:
            name = next((r.name for r in sources.records.values() if r.path == path), "")
            found.append(Held(path, name, f"refused: {_refusal}", "correct it and save", data))
    return found


def untaken() -> Iterator[Held]:
    """What on disk is not what runs, and nobody has tried to take up."""
    for record in list(sources.records.values()):
        if record.path not in _held and record.path not in _refused and (reason := _differs(record)):
            yield Held(record.path, record.name, reason, f"rebuild({record.name!r}) or `midair rebuild` makes it live")


_alike: dict[str, tuple[int, sources.Text]] = {}  # by path: when a file was last changed that said what runs


def _differs(record: sources.Record) -> str:
    """How a file differs from what runs. It is read only where it was touched since it was found to be alike."""
    try:
        status = os.stat(record.path)
        if status.st_size == len(record.text.data):
            known = status.st_mtime_ns, record.text
            if _alike.get(record.path) == known:
                return ""
            with open(record.path, "rb") as file:
                if file.read() == record.text.data:
                    _alike[record.path] = known
                    return ""
    except FileNotFoundError:
        return "" if record.absent else "removed, and not rebuilt since"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "changed, and not rebuilt since"


def hold_text(path: str, name: str, reason: str) -> None:
    try:
        with open(path, "rb") as file:
            data: bytes | None = file.read()
    except OSError:
        data = None
    _held[path] = Held(path, name, reason, f"rebuild({name!r}) makes it live; saving another text does too", data)


def release_text(path: str) -> None:
    _held.pop(path, None)


def runs(path: str) -> None:
    """A file says what runs: nothing of it waits any more."""
    release_text(path)
    if path in _refused:
        del _refused[path]
        log.info("%s is as it runs again", near(path))


def forgive(texts: Mapping[str, bytes | None]) -> bool:
    """Texts that differ now: where one of those refused last is among them, all of those are worth another try."""
    return any(path in _refused and _refused[path] != data for path, data in texts.items())


def _others() -> dict[str, tuple[int, int]]:
    """Files below the recorded folders that no module runs: one that is added or edited may be what was missing."""
    known = {record.path for record in sources.records.values()}
    found = {}
    for folder in sources.folders:
        for place, inner, files in os.walk(folder):
            inner[:] = [name for name in inner if name not in sources.SKIPPED]
            for name in files:
                path = os.path.join(place, name)
                if name.endswith(".py") and path not in known:
                    status = os.stat(path)
                    found[path] = status.st_mtime_ns, status.st_size
    return found


def refuse(error: RebuildError, files: set[str], texts: dict[str, bytes | None], who: str) -> None:
    """Note a refused edit: say it, keep its texts so that they are not tried again as they are."""
    global _refusal
    _refused.clear()
    _refused.update(texts)
    _surroundings.clear()
    _surroundings.update(_others())
    _refusal = f"{error.reason} ({error.stage})"
    report = Report(time=_now(), files=sorted(files), refused=True, error=str(error), needs=error.needs, who=who)
    log.error("%s", report.line())
    _tell(report)


def _now() -> float:
    import time

    return time.time()


# -- successful edits -------------------------------------------------------------------------------------------------


def publish(report: Report, texts: dict[str, tuple[str, bytes, bytes | None]], memory: set[str]) -> None:
    _refused.clear()
    history.add(Entry(report, texts))
    for name, (path, _, new) in texts.items():
        if path in memory:
            reason = (
                f"undone by edit {report.number}"
                if report.undo_of
                else f"overridden from memory by edit {report.number}"
            )
            hold_text(path, name, reason)
            if _held[path].data == new:
                release_text(path)
        else:
            release_text(path)
        _show_lines(path, new)
    log.info("%s", report.line())
    for note in report.notes:
        log.warning("edit %d: %s", report.number, note)
    _tell(report)


def _show_lines(path: str, data: bytes | None) -> None:
    """Tracebacks and inspect.getsource show what runs, also where the file says something else."""
    names = {path} | {f for f in linecache.cache if sources.real(f) == path} if linecache.cache else {path}
    for name in names:
        linecache.cache.pop(name, None)
    if path in _held and data is not None:
        text = sources.decode(data, path)
        linecache.cache[path] = (len(text), None, [line + "\n" for line in text.split("\n")], path)


def be_silent() -> None:
    """In a rehearsal nobody is told anything."""
    logging.disable(logging.CRITICAL)
    _subscribers.clear()


def write_back(texts: Mapping[str, str | bytes]) -> None:
    """Put texts that run into their files."""
    for name, data in texts.items():
        path = sources.records[name].path
        with open(path, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
        release_text(path)


def note_on_disk(report: Report) -> None:
    """Have the report of an undoing say which files still have what was undone."""
    names = [os.path.basename(path) for path in report.files if path in _held]
    if names:
        more = f" and {len(names) - 3} more files" if len(names) > 3 else ""
        report.notes.append(
            f"still on disk in {', '.join(names[:3])}{more}, so a restart brings it back; undo({report.undo_of}, write=True) or"
            f" `midair undo --edit {report.undo_of} --write` puts the {'files' if len(names) > 1 else 'file'} back"
        )


def undo_texts(number: int | None) -> tuple[dict[str, bytes], int]:
    """The texts that were live before an edit (the last one without a number), and its number.

    Raises:
        RebuildError: no such edit, or a module of it is gone.
    """
    if not len(history):
        raise RebuildError("there is no edit to undo since this start", stage="call")
    first = history.find(number) if number is not None else _last_undoable()
    wanted: dict[str, bytes] = {}
    for entry in history:
        if entry.number >= first.number:
            for name, (_, old, _) in entry.texts.items():
                wanted.setdefault(name, old)
    for name in wanted:
        if name not in sys.modules:
            raise RebuildError(f"module {name!r} of edit {first.number} is gone", stage="call")
    return wanted, first.number


def _last_undoable() -> Entry:
    """Each `undo()` goes one further back: past the edits that are undone, and past the undoing."""
    undone: set[int] = set()
    for entry in reversed(list(history)):
        if entry.report.undo_of is not None:
            undone |= set(range(entry.report.undo_of, entry.number + 1))
        elif entry.number not in undone:
            return entry
    raise RebuildError("there is no edit to undo since this start", stage="call")
