"""What an edit did, for people: printable in 80x24, kept in the history, sent as a dict."""

from __future__ import annotations

import textwrap
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that changed or was kept: kind, qualified name, file, line, and why where that is not plain."""

    kind: str
    name: str
    file: str
    line: int
    why: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.file}:{self.line})" + (f": {self.why}" if self.why else "")

    def told(self) -> str:
        """The name, for a line with others: with the kind where it came or went, as plain where it changed."""
        name = short(self.name)
        return f"{self.kind} {name}" if self.kind in {"added", "removed"} else name


@dataclass(frozen=True, slots=True)
class Straggler:
    """Something still inside old code: kind (thread, task, generator, instance), owner, where."""

    kind: str
    owner: str
    name: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.kind} {self.owner}: {self.name} ({self.file}:{self.line})"


@dataclass(eq=False)
class Report:
    """The outcome of one rebuild.

    `number` counts successful edits; it is 0 where nothing differed. `pause_ms` is how long the calling thread was held.
    `notes` are sentences about what the edit leaves to do.
    """

    number: int = 0
    time: float = 0.0
    who: str = ""
    files: list[str] = field(default_factory=list)
    changes: list[Note] = field(default_factory=list)
    kept: list[Note] = field(default_factory=list)
    stragglers: list[Straggler] = field(default_factory=list)
    upgraded: int = 0
    moved: int = 0
    not_upgraded: list[str] = field(default_factory=list)
    pause_ms: float = 0.0
    scanned: int = 0
    scan_ms: float = 0.0
    scan_reason: str = ""
    refused: bool = False
    error: str | None = None
    needs: str | None = None
    undo_of: int | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, for JSON."""
        made = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("changes", "kept", "stragglers"):
            made[name] = [{f: getattr(each, f) for f in each.__slots__} for each in made[name]]
        return made

    def __str__(self) -> str:
        return render(self)

    def line(self) -> str:
        """The edit as one line of a log."""
        if self.refused:
            return f"edit refused: {self.error}"
        if not self.number:
            return "nothing differs from its file"
        names = ", ".join(note.told() for note in self.changes[:4]) or "comments and blank lines"
        more = f" and {len(self.changes) - 4} more" if len(self.changes) > 4 else ""
        upgraded = f", {self.upgraded} upgraded" if self.upgraded else ""
        kept = f", {len(self.kept)} kept" if self.kept else ""
        undoing = f", undoing edit {self.undo_of}" if self.undo_of else ""
        head = f"edit {self.number}{undoing}"
        return f"{head}: {names}{more} in {_files(self.files)} ({self.pause_ms:.1f} ms{upgraded}{kept})"


def short(name: str, width: int = 60) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]


def _files(files: list[str]) -> str:
    from os.path import basename

    names = [basename(f) for f in files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more files" if len(names) > 3 else "")


def render(report: Report, width: int = 80, height: int = 24) -> str:
    """The report as at most `height` lines of at most `width` columns."""
    if report.refused:
        head = ["refused, nothing was changed"]
        body = textwrap.wrap(report.error or "", width, break_on_hyphens=False)
    elif not report.number:
        return "nothing differs from its file"
    else:
        when = clock.strftime("%H:%M:%S", clock.localtime(report.time))
        who = f" by {report.who}" if report.who else ""
        undo = f", undoes edit {report.undo_of}" if report.undo_of else ""
        head = [f"edit {report.number} at {when}{who}{undo}: {_files(report.files)}, {report.pause_ms:.1f} ms"]
        body = []
    sections: list[tuple[str, Sequence[Note | Straggler]]] = [
        ("changed", report.changes),
        ("kept", report.kept),
        ("still in old code", report.stragglers),
    ]
    tail = []
    if report.upgraded or report.moved:
        tail.append(f"{report.upgraded} instances upgraded, {report.moved} moved to a new layout")
    if report.scan_reason:
        tail.append(f"{report.scanned:,} objects scanned in {report.scan_ms:.1f} ms: {report.scan_reason}")
    for note in report.notes:
        tail += textwrap.wrap(note, width, break_on_hyphens=False)
    room = height - len(head) - len(tail)
    shown = [(title, items) for title, items in sections if items]
    share = max(1, (room - len(shown)) // max(1, len(shown)))
    for title, items in shown:
        body.append(f"{title}:")
        limit = len(items) if len(items) <= share else share - 1
        body += [f"  {_entry(item, width - 2)}" for item in items[:limit]]
        if len(items) > limit:
            body.append(f"  … and {len(items) - limit} more")
    lines = [line if len(line) <= width else line[: width - 1] + "…" for line in [*head, *body, *tail]]
    return "\n".join(lines[:height])


def _entry(item: Note | Straggler, width: int) -> str:
    """Name, then file and line at the right edge, shortened from the left."""
    where = f"{item.file}:{item.line}"
    if isinstance(item, Note):
        kind = "" if item.kind == "kept" else f"{item.kind} "
        what = f"{kind}{item.name}" + (f": {item.why}" if item.why else "")
    else:
        what = f"{item.kind} {item.owner}: {item.name}"
    room = width - len(what) - 2
    if room < 12:
        where = short(where.rpartition("/")[2], 24)
        what = what if len(what) + len(where) + 2 <= width else what[: width - len(where) - 3] + "…"
        return f"{what}  {where}"
    return f"{what}  {short(where, room)}"
