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

from ...runtime.errors import LimitExceeded
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

_WITH_PAYLOAD = (STRING, FLOAT)
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


_ONE = [bytes((number,)) for number in range(0x80)]
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
    spoken = _SPOKEN if vocabulary else {}
    if type(expression) is bytes:
        return spoken.get(expression) or _encode_string(expression)
    _encode_list(expression, parts, spoken)
    return b"".join(parts)


def _encode_list(expression: Any, parts: list[bytes], spoken: dict[bytes, bytes]) -> None:
    length = len(expression)
    if length > MAX_LENGTH:
        raise _too_long("list", length, "elements")
    parts.append((_ONE[length] if length < 0x80 else _digits(length)) + b"\x80")
    for element in expression:
        kind = type(element)
        if kind is bytes:
            parts.append(spoken.get(element) or _encode_string(element))
        elif kind is int:
            parts.append(_SMALL[element] if 0 <= element < 1024 else _encode_integer(element))
        elif kind is list or kind is tuple:
            _encode_list(element, parts, spoken)
        elif kind is float:
            parts.append(b"\x84" + _double.pack(element))
        else:
            raise NotSendable(f"banana has no form for {kind.__name__}")


def _encode_string(string: bytes) -> bytes:
    length = len(string)
    if length > MAX_LENGTH:
        raise _too_long("string", length, "bytes")
    return (_ONE[length] if length < 0x80 else _digits(length)) + b"\x82" + string


def _too_long(what: str, length: int, unit: str) -> NotSendable:
    return NotSendable(
        f"a {what} of {length} {unit} does not fit a banana message (at most {MAX_LENGTH}); stream it instead"
    )


def _encode_integer(number: int) -> bytes:
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
        self._size = 0  # bytes and elements of the expression under construction, taken in earlier calls
        self._elements = 0

    def next(self, buffer: bytearray) -> list[Any] | None:
        """The next whole expression, or None until more arrives; what was understood is gone from the buffer's front.

        Raises:
            BadMessage: not banana; nothing after it can be understood.
            LimitExceeded: more than the limits allow.
        """
        # The hot loop of the older encoding, hence in one piece: an element, then the lists that it completes.
        stack, limits = self._stack, self.limits
        room, most, elements = limits.message - self._size, limits.elements, self._elements
        words = _HEARD if self.vocabulary else {}
        position, end = 0, len(buffer)
        done = 0  # up to here everything was understood
        try:
            while position < end:
                kind, number = buffer[position], 0
                if kind < 0x80:
                    number = kind
                    position += 1
                    if position == end:
                        return None
                    kind = buffer[position]
                    if kind < 0x80:
                        kind, number, position = _long_prefix(buffer, position, end)
                        if position == end:
                            return None
                position += 1
                if kind == INT:
                    element: Any = number
                elif kind == VOCAB and number in words:
                    element = words[number]
                elif kind in _WITH_PAYLOAD:
                    size = 8 if kind == FLOAT else number
                    if size > MAX_LENGTH or position + size > room:
                        raise self._too_much(size)
                    if end - position < size:
                        return None
                    element = bytes(buffer[position : position + size])
                    position += size
                    if kind == FLOAT:
                        (element,) = _double.unpack(element)
                elif kind == LIST:
                    self._check_list(number)
                    element = []
                else:
                    element = self._scalar(kind, number)
                done = position
                elements += 1
                if elements > most or done > room:
                    raise self._too_much(elements=elements)
                if kind == LIST and number:
                    stack.append((element, number))
                    continue
                while stack:
                    parent, length = stack[-1]
                    parent.append(element)
                    if len(parent) < length:
                        break
                    stack.pop()
                    element = parent
                if not stack:
                    elements, self._size = 0, -done
                    if type(element) is not list:
                        raise BadMessage(f"an expression is a list, not {type(element).__name__}")
                    return element
            return None
        finally:
            self._elements = elements
            self._size += done
            del buffer[:done]

    def _check_list(self, length: int) -> None:
        if length > MAX_LENGTH:
            raise exceeded("list", MAX_LENGTH, "elements")
        if len(self._stack) >= LISTS_PER_LEVEL * self.limits.nesting:
            raise exceeded("nesting", self.limits.nesting, "levels")

    def _too_much(self, string: int = 0, elements: int = 0) -> LimitExceeded:
        if string > MAX_LENGTH:
            return exceeded("string", MAX_LENGTH, "bytes")
        if elements > self.limits.elements:
            return exceeded("message", self.limits.elements, "elements")
        return exceeded("message", self.limits.message, "bytes")

    def _scalar(self, kind: int, number: int) -> int:
        if kind == LONGINT:
            return number
        if kind in (NEG, LONGNEG):
            return -number
        if kind == VOCAB and self.vocabulary:
            raise BadMessage(f"word {number} is not in the vocabulary")
        raise BadMessage(f"0x{kind:02x} is not a type of this dialect")


def _long_prefix(buffer: bytearray, position: int, end: int) -> tuple[int, int, int]:
    """Type, number and the type's place, for a prefix whose second digit is at `position`; the place is `end` if not there."""
    start = position - 1
    while position < end and buffer[position] < 0x80:
        position += 1
        if position - start > MAX_PREFIX:
            raise exceeded("prefix", MAX_PREFIX, "digits")
    if position == end:
        return 0, 0, end
    return buffer[position], _number(buffer[start:position]), position
