"""Banana: nested lists of integers, floats and byte strings, as bytes. No I/O.

An element is a prefix, a type byte and, for some types, a payload. The prefix is a number in base 128, least
significant digit first, each byte below 0x80; the type byte is 0x80 or more:

    80 LIST     N elements follow           84 FLOAT    no prefix, 8 bytes, IEEE double, big-endian
    81 INT      +N, N below 2**31           85 LONGINT  +N beyond that
    82 STRING   N bytes follow              86 LONGNEG  -N beyond that
    83 NEG      -N, N up to 2**31           87 VOCAB    string number N of a list both sides know

Only lists stand at the top. What a peer sends is bounded in length, depth and number of elements while it arrives, so a
bomb costs what was allowed and no more.
"""

from __future__ import annotations

import struct
from typing import Any

from .errors import BadMessage, NotSendable
from .limits import Limits, exceeded

LIST, INT, STRING, NEG, FLOAT, LONGINT, LONGNEG, VOCAB = range(0x80, 0x88)

MAX_LENGTH = 640 * 1024
"""Bytes in a string and elements in a list: what every peer of this wire accepts."""

MAX_PREFIX = 64
"""Digits in a prefix, hence integers below 2**448."""

LISTS_PER_LEVEL = 4
"""A value within a value takes up to three lists (a dictionary that is shared); the message around it, some more."""

WORDS = {
    word.encode(): number
    for number, word in enumerate(
        (
            *("None", "class", "dereference", "reference", "dictionary", "function", "instance", "list", "module"),
            *(
                "persistent",
                "tuple",
                "unpersistable",
                "copy",
                "cache",
                "cached",
                "remote",
                "local",
                "lcache",
                "version",
            ),
            *("login", "password", "challenge", "logged_in", "not_logged_in", "cachemessage", "message", "answer"),
            *("error", "decref", "decache", "uncache"),
        ),
        start=1,
    )
}
"""The vocabulary of the dialect "pb"."""

_double = struct.Struct("!d")
_BIGGEST = 1 << (7 * MAX_PREFIX)


def _digits(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    digits = bytearray()
    while number:
        digits.append(number & 0x7F)
        number >>= 7
    return bytes(digits)


def _number(digits: bytes | bytearray) -> int:
    number = 0
    for digit in reversed(digits):
        number = number << 7 | digit
    return number


_SMALL = [_digits(number) + b"\x81" for number in range(1024)]
_SPOKEN = {word: _digits(number) + b"\x87" for word, number in WORDS.items()}
_HEARD = {number: word for word, number in WORDS.items()}


def take_string(buffer: bytearray, *, most: int = 64) -> bytes | None:
    """The short string at the front of a buffer, taken from it; None until it is there.

    Raises:
        BadMessage: something else is there.
    """
    if len(buffer) >= 2 and (buffer[0] > most or buffer[1] != STRING):
        raise BadMessage(f"expected a string of at most {most} bytes, got {bytes(buffer[:8]).hex(' ')}")
    if len(buffer) < 2 or len(buffer) < 2 + buffer[0]:
        return None
    word = bytes(buffer[2 : 2 + buffer[0]])
    del buffer[: 2 + len(word)]
    return word


def encode(expression: list[Any] | bytes, *, vocabulary: bool) -> bytes:
    """The bytes of an expression of lists, tuples, integers, floats and bytes.

    Raises:
        NotSendable: another type, an integer of 448 bits or more, or a string or list longer than 655360.
    """
    parts: list[bytes] = []
    _encode(expression, parts, _SPOKEN if vocabulary else {})
    return b"".join(parts)


def _encode(expression: Any, parts: list[bytes], spoken: dict[bytes, bytes]) -> None:
    kind = type(expression)
    if kind is bytes:
        word = spoken.get(expression)
        if word is not None:
            parts.append(word)
            return
        _check_length(expression, "string", "bytes")
        parts.append(_digits(len(expression)) + b"\x82" + expression)
    elif kind is int:
        parts.append(_encode_integer(expression))
    elif kind is list or kind is tuple:
        _check_length(expression, "list", "elements")
        parts.append(_digits(len(expression)) + b"\x80")
        for element in expression:
            _encode(element, parts, spoken)
    elif kind is float:
        parts.append(b"\x84" + _double.pack(expression))
    else:
        raise NotSendable(f"banana has no form for {kind.__name__}")


def _check_length(expression: bytes | list[Any] | tuple[Any, ...], what: str, unit: str) -> None:
    if len(expression) > MAX_LENGTH:
        raise NotSendable(
            f"a {what} of {len(expression)} {unit} does not fit a banana message (at most {MAX_LENGTH}); stream it instead"
        )


def _encode_integer(number: int) -> bytes:
    if 0 <= number < 1024:
        return _SMALL[number]
    if not -_BIGGEST < number < _BIGGEST:
        raise NotSendable(f"an integer of {number.bit_length()} bits does not fit a banana message (at most 448)")
    if number >= 0:
        return _digits(number) + (b"\x81" if number < 1 << 31 else b"\x85")
    return _digits(-number) + (b"\x83" if number >= -(1 << 31) else b"\x86")


class Decoder:
    """Bytes in, whole expressions out. It keeps the open lists, the caller keeps the bytes.

    Args:
        limits: may be replaced between two calls, as after a login; read when data arrives.
        vocabulary: whether VOCAB elements are legal; they are in the dialect "pb" alone.
    """

    __slots__ = ("_elements", "_size", "_stack", "limits", "vocabulary")

    def __init__(self, limits: Limits, *, vocabulary: bool = False) -> None:
        self.limits = limits
        self.vocabulary = vocabulary
        self._stack: list[tuple[list[Any], int]] = []  # open lists, each with the length it will have
        self._size = 0  # bytes and elements of the expression under construction, so far
        self._elements = 0

    def next(self, buffer: bytearray) -> list[Any] | None:
        """The next whole expression, or None until more arrives; what was understood is gone from the buffer's front.

        Raises:
            BadMessage: not banana; nothing after it can be understood.
            LimitExceeded: more than the limits allow.
        """
        stack = self._stack
        position, end = 0, len(buffer)
        try:
            while position < end:
                start = position
                while position < end and buffer[position] < 0x80:
                    position += 1
                digits = position - start
                if digits > MAX_PREFIX:
                    raise exceeded("prefix", MAX_PREFIX, "digits")
                if position == end:
                    position = start
                    return None
                kind = buffer[position]
                number = buffer[start] if digits == 1 else _number(buffer[start:position])
                position += 1
                if kind == LIST:
                    self._open(number)
                    element: Any = []
                    if number:
                        stack.append((element, number))
                        continue
                elif kind in (STRING, FLOAT):
                    size = 8 if kind == FLOAT else number
                    if size > MAX_LENGTH:
                        raise exceeded("string", MAX_LENGTH, "bytes")
                    if self._size + size > self.limits.message:
                        raise exceeded("message", self.limits.message, "bytes")
                    if end - position < size:
                        position = start
                        return None
                    payload = bytes(buffer[position : position + size])
                    position += size
                    element = _double.unpack(payload)[0] if kind == FLOAT else payload
                else:
                    element = self._scalar(kind, number)
                self._count(position - start)
                element = self._place(element)
                if element is not None:
                    return element  # type: ignore[no-any-return] # `_place` lets only lists out
            return None
        finally:
            del buffer[:position]

    def _open(self, length: int) -> None:
        if length > MAX_LENGTH:
            raise exceeded("list", MAX_LENGTH, "elements")
        if len(self._stack) >= LISTS_PER_LEVEL * self.limits.nesting:
            raise exceeded("nesting", self.limits.nesting, "levels")
        if length:
            self._count(2)

    def _scalar(self, kind: int, number: int) -> int | bytes:
        if kind in (INT, LONGINT):
            return number
        if kind in (NEG, LONGNEG):
            return -number
        if kind == VOCAB and self.vocabulary:
            word = _HEARD.get(number)
            if word is not None:
                return word
            raise BadMessage(f"word {number} is not in the vocabulary")
        raise BadMessage(f"0x{kind:02x} is not a type of this dialect")

    def _count(self, size: int) -> None:
        self._size += size
        self._elements += 1
        if self._size > self.limits.message:
            raise exceeded("message", self.limits.message, "bytes")
        if self._elements > self.limits.elements:
            raise exceeded("message", self.limits.elements, "elements")

    def _place(self, element: Any) -> list[Any] | None:
        """Put a finished element into the innermost open list; close the lists it completes."""
        stack = self._stack
        while stack:
            parent, length = stack[-1]
            parent.append(element)
            if len(parent) < length:
                return None
            stack.pop()
            element = parent
        self._size = self._elements = 0
        if type(element) is not list:
            raise BadMessage(f"an expression is a list, not {type(element).__name__}")
        return element
