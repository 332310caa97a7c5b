"""Live code follows its sources, in any Python process: all of an edit, or nothing of it.

outline.py      reading source: statements, names, shapes (pure)
plan.py         old text, new text -> steps (pure)
sources.py      what each module was made from
engine.py       one rebuild from beginning to end
transaction.py  staged writes, their inverses, one commit
scopes.py       where statements take effect: a module, a class body;  branches.py  those under `if`;  shared.py  what they share
functions.py    finding and changing functions;  unify.py  a new definition meets the old object
classes.py      classes in place;  bases.py;  enums.py;  layout.py  another memory layout;  heap.py  one pass over all references
tuples.py, derived.py      named tuples and dataclasses whose fields, or those of a base, changed
values.py, dependents.py   merging displays, computing again
instances.py, rehash.py    live instances, and the dicts they are keys of
closed.py        instances that nobody may use before their upgrade
edits.py, old_code.py, report.py   what was done, what waits, what still runs old code
watcher.py      files that change;  native.py  what CPython allows in memory

from midair.runtime import rebuild
rebuild.watch("src")
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from . import edits as _edits
from . import engine as _engine
from . import sources as _sources
from .closed import close, look_through, open_again
from .edits import Entry, Held, history, subscribe
from .edits import held as held
from .engine import rebuild
from .errors import NotUpgraded, RebuildError
from .guards import busy, not_upgraded
from .guards import finish_all as finish
from .live import apply
from .old_code import is_stale, is_stale_task, stragglers
from .report import Note, Report, Straggler
from .watcher import hold, release, unwatch, watch, watched

__all__ = [
    "Entry",
    "Held",
    "NotUpgraded",
    "Note",
    "RebuildError",
    "Report",
    "Straggler",
    "apply",
    "busy",
    "check",
    "close",
    "finish",
    "held",
    "history",
    "hold",
    "is_stale",
    "is_stale_task",
    "look_through",
    "not_upgraded",
    "open_again",
    "rebuild",
    "record",
    "recorded",
    "release",
    "stragglers",
    "subscribe",
    "texts",
    "undo",
    "unwatch",
    "watch",
    "watched",
]

_Check = TypeVar("_Check", bound=Callable[[], Any])


def record(folder: str | os.PathLike[str]) -> list[str]:
    """Make the modules below a folder editable: those imported from here on, and those whose files are what runs.

    Returns:
        Names of modules imported earlier whose files are not what runs; they need a restart, or to be imported again.
    """
    return _sources.record(folder)


def recorded() -> list[str]:
    """Names of the modules that are editable, in the order of their import."""
    return list(_sources.records)


def texts() -> dict[str, str]:
    """The source of each editable module as it runs, by name; inside an edit (a check) as it will."""
    found = {
        name: (_engine.in_hand.get(name, record.text.data), record.path) for name, record in _sources.records.items()
    }
    return {name: _sources.decode(data, path) for name, (data, path) in found.items()}


def undo(number: int | None = None, *, write: bool = False, who: str = "") -> Report:
    """Go back one edit, or to before edit `number`. Code is restored, not run-time values.

    Args:
        write: also put the earlier texts into the files; else the files are held until they change, and the report
            names them: a restart runs what they say.
    """
    texts, first = _edits.undo_texts(number)
    report = rebuild(sources=texts, who=who, undo_of=first)
    if write:
        _edits.write_back(texts)
    else:
        _edits.note_on_disk(report)
    return report


def check(function: _Check) -> _Check:
    """Have `function()` called after each edit: where it raises or returns False, the edit is refused."""
    _engine.checks[function.__module__, function.__qualname__] = function
    return function
