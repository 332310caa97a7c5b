"""Jelly: Python values as nested lists of tags, numbers and bytes, and back. No I/O.

Plain values, what is shared between them and cycles included, need nothing else. The flavors (references, copies,
caches) ask the `Books` of the connection for their numbers. Only registered classes are ever made; everything else that
names a class, a module or a function is refused.

An expression that is a list starts with a tag. In the dialect of midair's peers text, truth values and None stand for
themselves (`rich`); the older dialects have a tag for each.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from .errors import BadMessage, NotAllowed, NotSendable

MAX_DEPTH = 64
"""Values within values that are sent; a deeper one is refused here rather than at the peer."""


class Books(Protocol):
    """What a connection knows about the objects that crossed it."""

    def send_flavor(self, value: Any, jellier: Jellier) -> list[Any] | None:
        """The expression for a reference, a copy or a cache; None when the value is none of them."""

    def receive_flavor(self, tag: str, expression: list[Any], unjellier: Unjellier, number: int | None) -> Any:
        """The object for an expression whose tag is none of the plain ones; `number` goes to `announce`.

        Raises:
            NotAllowed: the tag is not a registered class.
        """


class Jellier:
    """Makes the expression of one value. What is shared is shared within that value.

    Args:
        perspective: who will see it; asked by copies, caches and views for their state.
    """

    __slots__ = ("_books", "_depth", "_kept", "_next", "_rich", "_seen", "perspective")

    def __init__(self, books: Books | None = None, perspective: Any = None, *, rich: bool = False) -> None:
        self.perspective = perspective
        self._books = books
        self._rich = rich
        self._depth = 0
        self._next = 1
        # By identity: None while under construction, then the expression, then the number it is referred to by.
        self._seen: dict[int, list[Any] | int | None] = {}
        self._kept: list[Any] = []  # an identity is one only as long as its object lives

    def jelly(self, value: Any) -> Any:
        """The expression of a value.

        Raises:
            NotSendable: some part of it has none, or is too deep.
        """
        kind = type(value)
        if kind is bytes or kind is int or kind is float:
            return value
        if kind is str:
            return value if self._rich else [b"unicode", value.encode()]
        if value is None:
            return None if self._rich else [b"None"]
        if kind is bool:
            return value if self._rich else [b"boolean", b"true" if value else b"false"]
        known = self._seen.get(id(value), self)
        if known is not self:
            return self._again(value, known)
        tag = _CONTAINERS.get(kind)
        if tag is not None:
            return self.shared(value, lambda: [tag, *map(self.jelly, value)])
        if kind is dict:
            return self.shared(
                value, lambda: [b"dictionary", *([self.jelly(k), self.jelly(v)] for k, v in value.items())]
            )
        plain = _WRITERS.get(kind)
        if plain is not None:
            return plain(value)
        expression = self._books.send_flavor(value, self) if self._books else None
        if expression is None:
            raise NotSendable(f"{kind.__module__}.{kind.__qualname__} cannot be sent: {_advice(value)}")
        return expression

    def shared(self, value: Any, build: Callable[[], list[Any]]) -> list[Any]:
        """The expression that `build` makes for `value`, which may contain or be contained in itself."""
        if self._depth >= MAX_DEPTH:
            raise NotSendable(f"a value nested deeper than {MAX_DEPTH} levels cannot be sent")
        self._depth += 1
        self._seen[id(value)] = None
        self._kept.append(value)
        expression = build()
        self._depth -= 1
        number = self._seen[id(value)]
        if number is not None:  # it was met inside itself
            return [b"reference", number, expression]
        self._seen[id(value)] = expression
        return expression

    def _again(self, value: Any, known: Any) -> list[Any]:
        if type(known) is not int:
            number, self._next = self._next, self._next + 1
            if known is not None:  # already placed in its parent: it gets its number there
                known[:] = [b"reference", number, known[:]]
            self._seen[id(value)] = known = number
        return [b"dereference", known]


def _advice(value: Any) -> str:
    if callable(getattr(value, "__await__", None)):
        return "await it first"
    if isinstance(value, type) or callable(value):
        return "code does not travel; give the peer a Referenceable with a method"
    return "make its class a Referenceable (sent as a reference) or a registered Copyable (sent as a copy)"


class _Pending:
    """Stands for a value that contains itself and is not made yet, such as a tuple in a list in that tuple."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Callable[[Any], None]] = []

    def then(self, place: Callable[[Any], None]) -> None:
        self._waiting.append(place)

    def settle(self, value: Any) -> None:
        for place in self._waiting:
            place(value)


class Unjellier:
    """Makes the value of one expression."""

    __slots__ = ("_at_end", "_books", "_references", "_unsettled")

    def __init__(self, books: Books | None = None) -> None:
        self._books = books
        self._references: dict[int, Any] = {}
        self._unsettled = 0
        self._at_end: list[Callable[[], None]] = []

    def value(self, expression: Any) -> Any:
        """The value of a whole expression.

        Raises:
            BadMessage: it is malformed.
            NotAllowed: it names what may not be made.
        """
        try:
            value = self.unjelly(expression)
            if self._unsettled or type(value) is _Pending:
                raise BadMessage("a value refers to a part that is not there")
            for finish in self._at_end:
                finish()
        except BadMessage:
            raise
        except Exception as error:  # a wrong shape shows in many ways, and `set_copy_state` is users' code
            raise BadMessage(f"a value that cannot be read: {error}") from error
        return value

    def unjelly(self, expression: Any, number: int | None = None) -> Any:
        """The value of a part. `number` is what the rest of the message calls it by."""
        if type(expression) is not list:
            return self._known(number, expression)
        tag = expression[0]
        if type(tag) is not bytes:
            raise BadMessage(f"a tag is a string, not {type(tag).__name__}")
        if tag == b"unicode":
            return self._known(number, str(expression[1], "utf-8"))
        if tag == b"list":
            return self._list(expression, number)
        if tag in (b"tuple", b"frozenset"):
            return self._frozen(tuple if tag == b"tuple" else frozenset, expression, number)
        if tag == b"dictionary":
            return self._dictionary(expression, number)
        if tag == b"set":
            return self._set(expression, number)
        if tag == b"reference":
            return self._reference(expression)
        if tag == b"dereference":
            return self._dereference(expression)
        reader = _READERS.get(tag)
        if reader is not None:
            return self._known(number, reader(expression))
        return self._flavor(tag, expression, number)

    def announce(self, number: int | None, value: Any) -> None:
        """Say early what the object under construction is, so that its own state can refer to it."""
        self._known(number, value)

    def whole(self, part: Any, use: Callable[[Any], None]) -> None:
        """Call `use` with the value of a part when nothing in it is missing any more: now, or at the end."""
        if not self._unsettled:
            use(part)
            return
        box = [part]
        if type(part) is _Pending:
            part.then(lambda value: box.__setitem__(0, value))
        self._at_end.append(lambda: use(box[0]))

    def _known(self, number: int | None, value: Any) -> Any:
        if number is not None:
            earlier = self._references.get(number)
            self._references[number] = value
            if type(earlier) is _Pending and type(value) is not _Pending:
                self._unsettled -= 1
                earlier.settle(value)
        return value

    def _reference(self, expression: list[Any]) -> Any:
        _, number, inner = expression
        if type(number) is not int or (number in self._references and type(self._references[number]) is not _Pending):
            raise BadMessage(f"two parts of a value have the number {number!r}")
        return self.unjelly(inner, number)

    def _dereference(self, expression: list[Any]) -> Any:
        _, number = expression
        if type(number) is not int:
            raise BadMessage(f"{number!r} is not the number of a part")
        if number not in self._references:
            self._references[number] = _Pending()
            self._unsettled += 1
        return self._references[number]

    def _list(self, expression: list[Any], number: int | None) -> list[Any]:
        made: list[Any] = self._known(number, [])
        for index, part in enumerate(expression[1:]):
            value = self.unjelly(part)
            made.append(value)
            if type(value) is _Pending:
                value.then(lambda value, index=index: made.__setitem__(index, value))  # type: ignore[misc] # a default binds
        return made

    def _set(self, expression: list[Any], number: int | None) -> set[Any]:
        made: set[Any] = self._known(number, set())
        for part in expression[1:]:
            value = self.unjelly(part)
            if type(value) is _Pending:
                value.then(made.add)
            else:
                made.add(value)
        return made

    def _dictionary(self, expression: list[Any], number: int | None) -> dict[Any, Any]:
        made: dict[Any, Any] = self._known(number, {})
        for pair in expression[1:]:
            key, value = map(self.unjelly, pair)
            if type(key) is not _Pending and type(value) is not _Pending:
                made[key] = value
                continue
            self._gather([key, value], lambda pair: made.__setitem__(*pair))
        return made

    def _frozen(self, kind: type[tuple[Any, ...] | frozenset[Any]], expression: list[Any], number: int | None) -> Any:
        parts = [self.unjelly(part) for part in expression[1:]]
        if not any(type(part) is _Pending for part in parts):
            return self._known(number, kind(parts))
        made = _Pending()  # it waits for its parts, and whoever contains it for it
        self._unsettled += 1
        if number is not None:
            self._references.setdefault(number, made)

        def finish(parts: list[Any]) -> None:
            value = kind(parts)
            if number is not None and self._references[number] is not made:
                self._known(number, value)
            elif number is not None:
                self._references[number] = value
            self._unsettled -= 1
            made.settle(value)

        self._gather(parts, finish)
        return made

    def _gather(self, parts: list[Any], finish: Callable[[list[Any]], None]) -> None:
        missing = sum(type(part) is _Pending for part in parts)

        def place(index: int, value: Any) -> None:
            nonlocal missing
            parts[index] = value
            missing -= 1
            if not missing:
                finish(parts)

        for index, part in enumerate(parts):
            if type(part) is _Pending:
                part.then(lambda value, index=index: place(index, value))  # type: ignore[misc] # a default binds

    def _flavor(self, tag: bytes, expression: list[Any], number: int | None) -> Any:
        name = tag.decode()
        if self._books is None:
            raise NotAllowed(f"{name} may not be made from a message")
        value = self._books.receive_flavor(name, expression, self, number)
        if number is not None and self._references.get(number) is not value:
            self._known(number, value)
        return value


def _numbers(count: int, make: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def read(expression: list[Any]) -> Any:
        numbers = [int(word) for word in expression[1].split()]
        if len(numbers) != count:
            raise BadMessage(f"{expression[0].decode()} has {count} numbers, not {len(numbers)}")
        return make(*numbers)

    return read


def _words(tag: bytes, *numbers: int) -> list[Any]:
    return [tag, " ".join(map(str, numbers)).encode()]


def _write_datetime(value: dt.datetime) -> list[Any]:
    _no_zone(value)
    return _words(b"datetime", *value.timetuple()[:6], value.microsecond)


def _write_time(value: dt.time) -> list[Any]:
    _no_zone(value)
    return _words(b"time", value.hour, value.minute, value.second, value.microsecond)


def _no_zone(value: dt.datetime | dt.time) -> None:
    if value.tzinfo is not None:
        raise NotSendable(f"{value!r} has a time zone, and the wire has no place for one; send it as UTC without")


def _write_decimal(value: Decimal) -> list[Any]:
    sign, digits, exponent = value.as_tuple()
    if type(exponent) is not int:
        raise NotSendable(f"Decimal {value} is not a finite number and cannot be sent")
    whole = int("".join(map(str, digits)))
    return [b"decimal", -whole if sign else whole, exponent]


def _read_decimal(expression: list[Any]) -> Decimal:
    _, whole, exponent = expression
    if type(whole) is not int or type(exponent) is not int:
        raise BadMessage("a decimal is two integers")
    return Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), exponent))


def _read_boolean(expression: list[Any]) -> bool:
    if expression[1] not in (b"true", b"false"):
        raise BadMessage(f"{expression[1]!r} is not a truth value")
    return bool(expression[1] == b"true")


_CONTAINERS: dict[type, bytes] = {list: b"list", tuple: b"tuple", set: b"set", frozenset: b"frozenset"}

_WRITERS: dict[type, Callable[[Any], list[Any]]] = {
    dt.datetime: _write_datetime,
    dt.date: lambda value: _words(b"date", value.year, value.month, value.day),
    dt.time: _write_time,
    dt.timedelta: lambda value: _words(b"timedelta", value.days, value.seconds, value.microseconds),
    Decimal: _write_decimal,
}

_READERS: dict[bytes, Callable[[list[Any]], Any]] = {
    b"None": lambda _: None,
    b"boolean": _read_boolean,
    b"datetime": _numbers(7, dt.datetime),
    b"date": _numbers(3, dt.date),
    b"time": _numbers(4, dt.time),
    b"timedelta": _numbers(3, dt.timedelta),
    b"decimal": _read_decimal,
}
