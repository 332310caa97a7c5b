"""Showing things without touching them more than asked, and never more than fits.

A `View` has three forms: `text` for a plain line, `rich` with colour for a terminal, `json` for a program. `shown` is a bounded repr.
"""

import itertools
import re
import textwrap
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from ..runtime.logs import clean
from ..runtime.space import Space

MAX_TEXT = 64 * 1024
"""Characters of one shown value."""

MAX_ITEMS = 1000
"""Entries of one shown container."""

MAX_DEPTH = 20
MAX_STRING = 10_000

BOLD, DIM, RED, GREEN, YELLOW, CYAN, PLAIN = (f"\x1b[{n}m" for n in ("1", "2", "31", "32", "33", "36", "0"))


@runtime_checkable
class View(Protocol):
    """What a command returns for people and programs to look at."""

    def text(self, width: int) -> str:
        """Plain lines, at most `width` characters each."""
        ...

    def rich(self, width: int) -> str:
        """The same for a terminal with colour."""
        ...

    def json(self) -> Any:
        """Plain data."""
        ...


class Table(Sequence[dict[str, Any]]):
    """Rows with named columns; iterating gives a dict a row.

    Args:
        empty: what is shown where there are no rows.
        show: how a value becomes text.
        wrap: a text that does not fit its column goes on below, instead of being cut.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        empty: str = "nothing",
        show: Callable[[Any], str] = str,
        wrap: bool = False,
    ) -> None:
        self.columns = tuple(columns)
        self.rows = [tuple(row) for row in itertools.islice(rows, MAX_ITEMS)]
        self.empty, self.show, self.wrap = empty, show, wrap

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Table(self.columns, self.rows[index], empty=self.empty, show=self.show, wrap=self.wrap)
        return dict(zip(self.columns, self.rows[index], strict=True))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __repr__(self) -> str:
        return self.text(120)

    def json(self) -> Any:
        plain = (int, float, bool, str, type(None))
        return [{k: v if isinstance(v, plain) else self.show(v) for k, v in row.items()} for row in self]

    def text(self, width: int) -> str:
        return "\n".join(self._lines(width, lambda head: head))

    def rich(self, width: int) -> str:
        return "\n".join(self._lines(width, lambda head: f"{BOLD}{head}{PLAIN}"))

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, float):
            return f"{value:.1f}"
        return one_line(value if isinstance(value, str) else self.show(value))

    def _lines(self, width: int, mark: Callable[[str], str]) -> Iterator[str]:
        if not self.rows:
            yield self.empty
            return
        cells = [[self._cell(value) for value in row] for row in self.rows]
        wide = [max(len(c) for c in column) for column in zip(self.columns, *cells, strict=True)]
        # The widest column gives way, until what is left fits: numbers and names stay readable.
        while sum(wide) + 2 * len(wide) > width and max(wide) > 8:
            wide[wide.index(max(wide))] -= 1
        numeric = [all(isinstance(row[i], int | float) for row in self.rows) for i in range(len(wide))]

        def line(texts: Sequence[str]) -> str:
            parts = [_fit(t, w, right=n) for t, w, n in zip(texts, wide, numeric, strict=True)]
            return _fit("  ".join(parts), width, right=False).rstrip()

        yield mark(line(self.columns))
        for row in cells:
            parts = [textwrap.wrap(t, w) if self.wrap else [t] for t, w in zip(row, wide, strict=True)]
            yield from (line(texts) for texts in itertools.zip_longest(*parts, fillvalue=""))


class Facts(dict[str, Any]):
    """Named facts, one a line.

    Args:
        times: which of them are moments, in seconds since the epoch, and are shown as such.
    """

    def __init__(self, facts: Mapping[str, Any], *, times: Iterable[str] = ()) -> None:
        super().__init__(facts)
        self.times = frozenset(times)

    def __repr__(self) -> str:
        return self.text(120)

    def text(self, width: int) -> str:
        return self._lines(width, "", "")

    def rich(self, width: int) -> str:
        return self._lines(width, BOLD, PLAIN)

    def json(self) -> Any:
        return dict(self)

    def _lines(self, width: int, before: str, after: str) -> str:
        wide = max((len(name) for name in self), default=0)
        room = max(width - wide - 2, 20)
        texts = {name: _moment(value) if name in self.times else _fact(value) for name, value in self.items()}
        return "\n".join(
            f"{before}{name:<{wide}}{after}  {_fit(text, room, right=False).rstrip()}" for name, text in texts.items()
        )


def _moment(value: Any) -> str:
    if not value:
        return "-"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(value))}, {_span(time.time() - value)} ago"


def _span(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def _fact(value: Any) -> str:
    if value is None or (isinstance(value, list | dict) and not value):
        return "-"
    if isinstance(value, list):
        return one_line("; ".join(str(item) for item in value))
    if isinstance(value, dict):
        return one_line("; ".join(f"{key} {_fact(item)}" for key, item in value.items()))
    return one_line(value if isinstance(value, str) else shown(value))


def _fit(text: str, width: int, *, right: bool) -> str:
    if len(text) > width:
        text = text[: max(width - 1, 1)] + "…"
    return text.rjust(width) if right else text.ljust(width)


class Text(str):
    """Lines that are shown as they are, not quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def text(self, width: int) -> str:  # noqa: ARG002 - the lines are as wide as they are
        return str(self)

    def rich(self, width: int) -> str:  # noqa: ARG002 - likewise
        return str(self)

    def json(self) -> Any:
        return str(self)


class Prose(Text):
    """Sentences: on a terminal they are broken between words."""

    __slots__ = ()

    def rich(self, width: int) -> str:
        return folded(self, width)


def folded(text: str, width: int) -> str:
    """The lines, broken between words where they are longer than the screen; what is indented, as code is, stays as it is."""
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width or line[0].isspace():
            lines.append(line)
        else:
            indent = "!   " if line.startswith("!") else ""
            lines += textwrap.wrap(
                line, max(width, 20), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
    return "\n".join(lines)


class Tree:
    """A value and what is in it, some levels deep, found without running any of its code."""

    def __init__(self, root: object, name: str, *, depth: int = 2, entries: int = 200) -> None:
        self.root, self.name, self.depth, self.entries = root, name, depth, entries

    def __repr__(self) -> str:
        return self.text(120)

    def _rows(self) -> Iterator[tuple[int, str, str]]:
        """(level, name, what it is), at most `entries` of them."""
        shown_already: set[int] = set()
        count = 0
        stack: list[tuple[int, str, object]] = [(0, self.name, self.root)]
        while stack:
            level, name, value = stack.pop()
            count += 1
            if count > self.entries:
                yield level, "…", f"more than {self.entries} entries; look at a part of it"
                return
            yield level, name, summary(value)
            if level >= self.depth or id(value) in shown_already:
                continue
            shown_already.add(id(value))
            inside = list(itertools.islice(children(value), self.entries))
            stack.extend((level + 1, key, child) for key, child in reversed(inside))

    def text(self, width: int) -> str:
        return "\n".join(
            _fit(f"{'  ' * level}{name}  {what}", width, right=False).rstrip() for level, name, what in self._rows()
        )

    def rich(self, width: int) -> str:
        lines = []
        for level, name, what in self._rows():
            room = max(width - 2 * level - len(name) - 2, 1)
            lines.append(f"{'  ' * level}{BOLD}{name}{PLAIN}  {DIM}{_fit(what, room, right=False).rstrip()}{PLAIN}")
        return "\n".join(lines)

    def json(self) -> Any:
        return [{"level": level, "name": name, "is": what} for level, name, what in self._rows()]


def children(value: object) -> Iterator[tuple[str, object]]:
    """What is directly in a value: entries of builtin containers and of a space, attributes of an instance. Runs none of its code."""
    if isinstance(value, Space):
        value = value._objects
    if type(value) is dict:
        yield from ((f"[{summary(key)}]", item) for key, item in list(value.items()))
    elif type(value) in _PAIRS:
        yield from ((f"[{number}]", item) for number, item in enumerate(list(value)))  # type: ignore[call-overload]  # containers
    elif not isinstance(value, type | types.ModuleType | types.FunctionType):
        own = _own_attributes(value)
        yield from ((f".{key}", item) for key, item in list(own.items()) if type(key) is str and key[:1] != "_")


def _own_attributes(value: object) -> dict[str, Any]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return own if type(own) is dict else {}


def one_line(text: str) -> str:
    """The text on one line, without control characters: a name on a screen cannot act on the terminal."""
    return clean(text).replace("\n", "\\n").replace("\t", " ")


def shown(value: object) -> str:
    """A repr with bounds: the first 1,000 entries of a container, 10,000 characters of a string, 64 Ki in all.

    Exact builtin containers are walked here; any other object's own `__repr__` is called.
    """
    text = _Bounded().repr(value, 0)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… [{len(text) - MAX_TEXT} more characters; print(…) shows all]"
    return text


class _Bounded:
    """One walk over a value, with one budget for all of it."""

    def __init__(self) -> None:
        self.left = MAX_ITEMS
        self.inside: set[int] = set()

    def repr(self, value: object, depth: int) -> str:
        kind = type(value)
        if kind in _PAIRS or kind is dict:
            if id(value) in self.inside:
                return "{...}" if kind is dict else "[...]"
            if depth >= MAX_DEPTH:
                return f"<{kind.__name__} of {len(value)}>"  # type: ignore[arg-type]  # containers have a length
            self.inside.add(id(value))
            try:
                return self._dict(value, depth) if isinstance(value, dict) else self._items(value, depth)
            finally:
                self.inside.discard(id(value))
        if kind in {str, bytes} and len(value) > MAX_STRING:  # type: ignore[arg-type]  # both have a length
            rest = len(value) - MAX_STRING  # type: ignore[arg-type]  # likewise
            return f"{value[:MAX_STRING]!r}… [{rest} more]"  # type: ignore[index]  # likewise
        if kind is int and value.bit_length() > 10_000:  # type: ignore[attr-defined]  # an int has it
            return f"<int of {value.bit_length()} bits>"  # type: ignore[attr-defined]  # an int has it
        return repr(value)

    def _items(self, value: Any, depth: int) -> str:
        before, after, empty = _PAIRS[type(value)]
        if not value:
            return empty
        parts = list(self._bounded(value, lambda item: self.repr(item, depth + 1)))
        if type(value) is tuple and len(parts) == 1 and len(value) == 1:
            parts[0] += ","
        return before + ", ".join(parts) + after

    def _dict(self, value: dict[Any, Any], depth: int) -> str:
        def pair(item: tuple[Any, Any]) -> str:
            return f"{self.repr(item[0], depth + 1)}: {self.repr(item[1], depth + 1)}"

        return "{" + ", ".join(self._bounded(value.items(), pair)) + "}"

    def _bounded(self, items: Any, form: Callable[[Any], str]) -> Iterator[str]:
        for number, item in enumerate(items):
            if self.left <= 0:
                yield f"… {len(items) - number} more"
                return
            self.left -= 1
            yield form(item)


_PAIRS: dict[type, tuple[str, str, str]] = {
    list: ("[", "]", "[]"),
    tuple: ("(", ")", "()"),
    set: ("{", "}", "set()"),
    frozenset: ("frozenset({", "})", "frozenset()"),
    deque: ("deque([", "])", "deque([])"),
}


def summary(value: object) -> str:
    """What a value is, in one short line, without running any of its code: the repr of builtin scalars, else the type."""
    kind = type(value)
    if kind in {int, float, bool, type(None), complex}:
        return repr(value)
    if kind in {str, bytes}:
        short = value[:60]  # type: ignore[index]  # both can be cut
        return repr(short) + ("…" if len(value) > 60 else "")  # type: ignore[arg-type]  # both have a length
    if kind in _PAIRS or kind is dict:
        return f"{kind.__name__} of {len(value)}"  # type: ignore[arg-type]  # containers have a length
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__}"
    return f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__


_HARMLESS = bytes([9, 10, 13, *range(32, 127)])
_CONTROL = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")


def safe(text: str) -> str:
    """The text with colours kept and every other control sequence made visible, so that printing what a stranger sent cannot act
    on the terminal it is printed to."""
    # Most text is plain, and a megabyte of it should not keep Python's lock for the time of a search.
    if text.isascii() and not text.encode("ascii").translate(None, _HARMLESS):
        return text
    return _CONTROL.sub(lambda found: found[0] if len(found[0]) > 1 else f"\\x{ord(found[0]):02x}", text)
