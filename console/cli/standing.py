"""How a running server is, in words for the person who asks. `midair status --json` has the facts themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...runtime.words import ago

_WIDTH = 16


def standing(facts: Mapping[str, Any]) -> Iterator[str]:
    """The lines about a server. What there is none of, and nothing to do about, takes no line."""
    left = dict(facts)
    for label, (first, *more) in _rows(left):
        yield f"{label:{_WIDTH}} {first}"
        yield from (f"{'':{_WIDTH}} {text}" for text in more)
    for key, value in left.items():  # what a server of another version tells besides
        if value:
            yield f"{key.replace('_', ' '):{_WIDTH}} {value}"


def _rows(left: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Label and lines of what there is to say; what was said is taken from `left`."""
    yield "name", [left.pop("name")]
    yield "process", [f"{left.pop('pid')}, started {ago(left.pop('started'))}"]
    yield "midair", [left.pop("midair")]
    if program := left.pop("program", None):
        yield "program", [program]
    if (services := left.pop("services", None)) is not None:
        yield "services", [" ".join([name, *where]) for name, where in services.items()] or ["none"]
        yield "connections", [str(left.pop("connections"))]
        yield "timers", [str(left.pop("timers"))]
        yield "jobs", [str(left.pop("jobs"))]
    if "file" in left:
        yield "saved", [_saved(left)]
    for key, label in (("snapshot", "snapshots"), ("snapshot_failed", "NOT SAVED"), ("journal", "journal")):
        if text := left.pop(key, None):
            yield label, [text]
    yield from _code(left)
    if (lag := left.pop("lag_ms", None)) is not None:
        yield "longest wait", [f"{lag:g} ms in the last minute, for the server's loop"]


def _saved(left: dict[str, Any]) -> str:
    file, generation, saved = left.pop("file"), left.pop("generation"), left.pop("saved")
    if file is None:
        return "nothing, for it was started without a file"
    if not generation:
        return f"nothing yet; it will be in {file}"
    return f"generation {generation}, {ago(saved) if saved else 'not saved since the start'}, in {file}"


def _code(left: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    if modules := left.pop("modules", None):
        yield "modules", [f"{modules} that can be edited"]
    if threads := left.pop("threads", None):
        yield "threads", [str(threads)]
    yield "edits", [f"{left.pop('edits')} since the start"]
    held = left.pop("held")
    yield "code", ["NOT what the files say:", *held] if held else ["as the files say"]
    if old := left.pop("stragglers"):
        yield "old code", [f"{old} still on it; stragglers() in the console lists them"]
    if waiting := left.pop("not_upgraded", 0):
        yield (
            "not upgraded",
            [f"{waiting} objects, which cannot be used; the log says why, and the next edit tries again"],
        )
