"""Looking into `.spl` files. Nothing of a file runs, and a process of its own does it, within limits of memory and time.

    inspect    roots, classes, counts, sizes        verify   whether the file is whole, and whose it is
    diff       what differs between two, by path    cat      one object, by path
    export     all of it as lines of JSON           (text.py has the form, and the way back)

The process runs `main` of this module, which answers in JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from ..errors import SnapshotError
from .container import Container
from .inert import read_inert
from .lost import Lost, LostFunction, LostMethod, LostModule
from .store import Store
from .text import export_lines
from .trust import key_file, read_key
from .walk import ATOMS, Map, children, shown

#: Limits of the process that looks: bytes of memory, beyond so many times the size of the unpacked stream; seconds of CPU.
MEMORY = 512 << 20
MEMORY_PER_BYTE = 40
SECONDS = 120
# A value in `cat` is shown up to here.
_WIDE = 200
# Values whose text may be long; they are compared as they are.
_LONG = (str, bytes, bytearray)


@dataclass(frozen=True)
class Inspection:
    """What is in a file."""

    manifest: dict[str, Any]
    #: Bytes of the file, and of its stream before packing.
    size: int
    raw: int
    #: (name, class, objects below it); an object below two roots counts for the nearer one.
    roots: list[tuple[str, str, int]]
    #: (class, instances), most first.
    classes: list[tuple[str, int]]


@dataclass(frozen=True)
class Verified:
    """What checking a file gave."""

    whole: bool
    #: What is wrong, when it is not whole.
    problem: str
    #: Whether it is signed, and by this user's key.
    signed: bool
    signed_by_me: bool
    generation: int
    objects: int


@dataclass(frozen=True)
class Change:
    """One object that differs between two files."""

    kind: str  # "added", "removed" or "changed"
    path: str
    cls: str
    #: For a changed one: (part, before, after).
    parts: list[tuple[str, str, str]]


def inspect(path: str | Path) -> Inspection:
    """What is in a file: its manifest, its roots and classes with counts, its sizes.

    Raises:
        SnapshotError: it is damaged, or reading it went over the limits.
    """
    answer = _ask("inspect", path)
    roots = [(name, cls, count) for name, cls, count in answer["roots"]]
    classes = [(cls, count) for cls, count in answer["classes"]]
    return Inspection(answer["manifest"], answer["size"], answer["raw"], roots, classes)


def verify(path: str | Path) -> Verified:
    """Whether every byte fits its checksum and the stream can be read to its end.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    key = _my_key()
    with path.open("rb") as file:
        try:
            container = Container(file, path.name)
            container.verify()
            count = _ask("count", path)["objects"]
        except SnapshotError as error:
            return Verified(False, str(error), False, False, 0, 0)
        mine = key is not None and container.signed_by(key)
        return Verified(True, "", container.signed, mine, container.manifest.get("generation", 0), count)


def diff(before: str | Path, after: str | Path) -> list[Change]:
    """What was added, removed and changed between two files, by path.

    Raises:
        SnapshotError: one is damaged, or reading them went over the limits.
    """
    answer = _ask("diff", before, after)
    return [Change(**one | {"parts": [(name, old, new) for name, old, new in one["parts"]]}) for one in answer]


def cat(path: str | Path, where: str) -> str:
    """One object as text: its class, and each of its parts on a line.

    Args:
        where: its path, as in `space['web'].handlers[2]` or `web.handlers[2]`.

    Raises:
        SnapshotError: nothing is there; or the file is damaged, or reading it went over the limits.
    """
    text: str = _ask("cat", path, where)
    return text


def export(path: str | Path, to: str | Path) -> int:
    """Write everything as lines of JSON, readable without midair; how many lines.

    Raises:
        FileExistsError: there is a file under this name.
        SnapshotError: the file is damaged, or reading it went over the limits; or the text could not be written.
    """
    if os.path.lexists(to):
        raise FileExistsError(f"{to} is there already; nothing was written")
    count: int = _ask("export", path, str(to))
    return count


# --- the process that looks


def _ask(question: str, path: str | Path, *more: str | Path) -> Any:
    """Let a process of its own answer.

    Raises:
        FileNotFoundError: there is no such file.
        SnapshotError: the file is damaged, or reading it went over the limits.
    """
    for file in (path, *(more if question == "diff" else ())):
        if not os.path.exists(file):
            raise FileNotFoundError(f"there is no {file}")
    program = f"import sys; from {__name__} import main; sys.exit(main(sys.argv[1:]))"
    where = [str(Path(path).absolute()), *map(_absolute(question), more)]
    done = subprocess.run(  # noqa: S603 - our own module, no shell
        [sys.executable, "-P", "-c", program, question, *where], capture_output=True, check=False
    )
    if done.returncode == _REFUSED:
        raise SnapshotError(done.stdout.decode())
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise SnapshotError(f"{Path(path).name} could not be read within {SECONDS} s of CPU; nothing was harmed")
    if done.returncode != 0:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"])[-1]
        how = "could not be read within its share of memory" if last.startswith("MemoryError") else "could not be read"
        raise SnapshotError(f"{Path(path).name} {how}: {last}")
    return json.loads(done.stdout)


def _absolute(question: str) -> Any:
    return str if question == "cat" else lambda path: str(Path(path).absolute())


_REFUSED = 3


def main(arguments: list[str]) -> int:
    """Answer one question on stdout."""
    question, path, *more = arguments
    try:
        answer = _QUESTIONS[question](Path(path), *more)
    except SnapshotError as error:
        sys.stdout.write(str(error))
        return _REFUSED
    except OSError as error:
        sys.stdout.write(f"{error.filename or path}: {error.strerror or error}; nothing was written")
        return _REFUSED
    json.dump(answer, sys.stdout)
    return 0


_unpacked = 0


def _limit(size: int) -> None:
    """Allow for one more stream of this size."""
    global _unpacked
    _unpacked += size
    memory = MEMORY + MEMORY_PER_BYTE * _unpacked
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _opened(path: Path) -> tuple[Container, Map]:
    """A file, verified and read, with everything in it on the map."""
    with path.open("rb") as file:
        container = Container(file, path.name)
        container.verify()
        _limit(container.manifest.get("raw", 64 * container.size))
        try:
            root = read_inert(container)
        except MemoryError:
            raise SnapshotError(f"{path.name} could not be read within its share of memory") from None
        except Exception as error:  # whatever a strange stream leads to
            raise SnapshotError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error
    chart = Map(root, "space" if container.manifest.get("uuid") else "obj")
    chart.walk()
    return container, chart


def _inspect(path: Path) -> dict[str, Any]:
    container, chart = _opened(path)
    weights = chart.weights()
    roots = []
    for suffix, value in children(chart.objects[0]):
        number = chart.number_of(value)
        roots.append(
            (
                suffix[1:-1].strip("'\"") if suffix[0] == "[" else suffix,
                _class_name(value),
                weights[number] if number else 1,
            )
        )
    classes = Counter(_class_name(obj) for obj in chart.objects)
    return {
        "manifest": container.manifest, "size": container.size, "raw": container.manifest.get("raw", 0), "roots": roots,
        "classes": classes.most_common(),
    }  # fmt: skip


def _count(path: Path) -> dict[str, int]:
    return {"objects": len(_opened(path)[1].objects)}


def _class_name(value: Any) -> str:
    cls = type(value)
    return getattr(cls, "__lost__", None) or (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}:{cls.__qualname__}"
    )


class _Side:
    """One of two files that are compared."""

    def __init__(self, path: Path, known: dict[tuple[int, str], int]) -> None:
        _, self.chart = _opened(path)
        self._keys = self.chart.keys(known)
        #: By the number of its path: the number of each object.
        self.numbers = {key: number for number, key in enumerate(self._keys)}

    def cls(self, key: int) -> str:
        return _class_name(self.chart.objects[self.numbers[key]])

    def path(self, key: int) -> str:
        return self.chart.path(self.numbers[key])

    def parts(self, key: int) -> dict[str, Any]:
        return dict(children(self.chart.objects[self.numbers[key]]))

    def token(self, value: Any) -> object:
        """Equal on both sides when nothing changed: an object's path, a value as it is or as text."""
        kind = type(value)
        if kind in ATOMS:
            return (kind, value) if kind in _LONG else repr(value)  # a NaN equals itself here, and 1 is not True
        number = self.chart.number_of(value)
        return shown(value) if number is None else self._keys[number]

    def text(self, parts: dict[str, Any], name: str) -> str:
        if name not in parts:
            return ""
        value = parts[name]
        return shown(value, _WIDE) if type(value) in ATOMS else _short(self.chart.path_of(value) or shown(value))


def _diff(path: Path, other: str) -> list[dict[str, Any]]:
    known: dict[tuple[int, str], int] = {}
    old, new = _Side(path, known), _Side(Path(other), known)
    changes = [_change("removed", old.path(key), old.cls(key)) for key in old.numbers if key not in new.numbers]
    changes += [_change("added", new.path(key), new.cls(key)) for key in new.numbers if key not in old.numbers]
    for key in old.numbers:
        if key in new.numbers and (parts := _changed(old, new, key)):
            changes.append(_change("changed", new.path(key), new.cls(key), parts))
    return sorted(changes, key=lambda change: change["path"])


def _changed(old: _Side, new: _Side, key: int) -> list[tuple[str, str, str]]:
    """The parts of one object that differ; one that is an object has an entry of its own where it was added or removed."""
    before, after = old.parts(key), new.parts(key)
    changed = [
        (name, old.text(before, name), new.text(after, name))
        for name in [*before, *(name for name in after if name not in before)]
        if name not in before or name not in after or old.token(before[name]) != new.token(after[name])
    ]
    if old.cls(key) != new.cls(key):
        changed.insert(0, ("class", old.cls(key), new.cls(key)))
    return changed


def _change(kind: str, path: str, cls: str, parts: list[tuple[str, str, str]] | None = None) -> dict[str, Any]:
    return {"kind": kind, "path": path, "cls": cls, "parts": parts or []}


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else text[: _WIDE - 3] + "..."


def _cat(path: Path, where: str) -> str:
    _, chart = _opened(path)
    obj = _find(chart.objects[0], where)
    if type(obj) in ATOMS:
        return repr(obj)
    lines = [f"{where}: {_class_name(obj)}"]
    lines += [f"  {suffix} = {_one_line(value)}" for suffix, value in children(obj)]
    return "\n".join(lines)


def _one_line(value: Any) -> str:
    if type(value) in ATOMS:
        return shown(value, _WIDE)
    if isinstance(value, LostFunction | LostModule):
        return f"<{'function' if isinstance(value, LostFunction) else 'module'} {value.name}>"
    if isinstance(value, LostMethod):
        return f"<method {value.name} of {_one_line(value.owner)}>"
    if isinstance(value, type):
        return f"<class {getattr(value, '__lost__', value.__qualname__)}>"
    if isinstance(value, Lost):
        return f"<{value.__lost__}{_moment(value)}>"
    return f"<{_class_name(value)}, {len(value)} items>" if isinstance(value, Sized) else f"<{_class_name(value)}>"


def _moment(value: Lost) -> str:
    """A date or time as people write it: the one built-in value whose stored form says nothing to them."""
    made = {"datetime:datetime": datetime, "datetime:date": date, "datetime:time": time}.get(value.__lost__)
    first = value._lost_call[1][:1]
    return f" {made(*first).isoformat()}" if made and first and isinstance(first[0], bytes) else ""


def _find(root: Any, where: str) -> Any:
    """Follow a path, step by step, taking the longest name that fits."""
    rest = where.removeprefix("space")
    if rest == where and not where.startswith("obj"):
        name = where.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0]
        rest = f"[{name!r}]{where[len(name) :]}"
    nearest = "obj" if where.startswith("obj") else "space"
    rest, here = rest.removeprefix("obj"), root
    while rest:
        fitting = [(suffix, value) for suffix, value in children(here) if rest.startswith(suffix)]
        if not fitting:
            raise SnapshotError(f"nothing at {where}; the path exists up to {nearest}")
        suffix, here = max(fitting, key=lambda one: len(one[0]))
        rest, nearest = rest[len(suffix) :], nearest + suffix
    return here


def _export(path: Path, to: str) -> int:
    container, chart = _opened(path)
    with open(to, "x", encoding="utf-8") as file:
        try:
            count = 0
            for line in export_lines(container.manifest, chart.objects[0]):
                file.write(line + "\n")
                count += 1
        except BaseException:
            os.unlink(to)
            raise
    return count


_QUESTIONS: dict[str, Any] = {
    "inspect": _inspect, "count": _count, "diff": _diff, "cat": _cat, "export": _export,
}  # fmt: skip


def _my_key() -> bytes | None:
    try:
        return read_key(key_file())
    except OSError:
        return None


def generations(path: str | Path) -> list[Any]:
    """The generations of a space on disk, oldest first, without those that are damaged; see `Generation`."""
    return Store(path).generations()
