"""The compact encoding between midair peers: frames of msgpack. No I/O.

A frame is four bytes of length, big-endian, and that many bytes of msgpack: an array whose first element is the kind.
The highest bit of the length says what the arrays in this frame are: tuples when it is set, lists when not.

    0 CALL    id, target, method, args[, kw[, seconds]]     2 ERROR   id, type, text, parents, traceback
    1 ANSWER  id, value                                     3 RAISED  id, exception (a registered copy)
    4 OBSERVE id, cache, method, args, kw                   7 UNCACHE cache
    5 DECREF  object, count                                 8 CANCEL  id
    6 DECACHE cache, count                                  9 FORGET  id (the caller has the answer; no more calls on it)

`id` 0 asks for no answer. A target is a number (an object of the receiver's that the sender holds), a name, or a list of
one id: the object that call is going to answer with. Plain values are plain msgpack; references, and tuples in a frame of
lists, have extension types; everything else (copies, caches, shared and cyclic structures, sets, dates) travels as jelly, in
an extension.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from types import NoneType
from typing import TYPE_CHECKING, Any

from msgpack import ExtType, Packer, unpackb  # type: ignore[import-untyped] # it has no types

from ...runtime.errors import MidairError
from .banana import LISTS_PER_LEVEL
from .errors import BadMessage, NotSendable, SpreadError
from .flavors import Referenceable
from .jelly import MAX_DEPTH
from .limits import Limits, exceeded, message_too_long
from .references import RemoteReference

if TYPE_CHECKING:
    from .broker import Broker

CALL, ANSWER, ERROR, RAISED, OBSERVE, DECREF, DECACHE, UNCACHE, CANCEL, FORGET = range(10)

_TUPLE, _JELLY, _BIG, _REMOTE, _LOCAL = range(1, 6)

_SCALARS = frozenset({NoneType, bool, int, float, str, bytes})
_are_scalars = _SCALARS.issuperset
_ARRAYS = (list, tuple)
_NESTING = (*_ARRAYS, dict)
_length = struct.Struct("!I")
_OF_TUPLES = 1 << 31


class PackedWire:
    """Encodes what a broker says, and tells it what the peer said."""

    name = "midair-1"
    #: Calls can be made on results that are still to come, be cancelled there and carry a deadline.
    pipelines = True

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._packers: list[Packer] = []
        self._depth = 0
        self._jellied: list[Any] = []  # values of this message that were jelly: they may contain themselves
        self._packer = self._packer_at(0)
        self._packer_of_tuples = Packer(default=self._default, buf_size=4096)

    def hello(self) -> bytes:
        return b""

    # --- what we say

    def call(
        self, number: int, target: Any, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None
    ) -> bytes:
        kinds: set[type] = set()
        message = [CALL, number, target, name, self._args(args, kinds)]
        if kw or seconds is not None:
            message.append(self._value(kw, kinds))
        if seconds is not None:
            message.append(seconds)
        return self._frame(message, kinds)

    def observe(self, number: int, cache: int, name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> bytes:
        kinds: set[type] = set()
        return self._frame([OBSERVE, number, cache, name, self._args(args, kinds), self._value(kw, kinds)], kinds)

    def answer(self, number: int, value: Any, perspective: Any) -> bytes:
        kinds: set[type] = set()
        return self._frame([ANSWER, number, self._value(value, kinds, perspective)], kinds)

    def error(self, number: int, type: str, text: str, parents: tuple[str, ...], traceback: str) -> bytes:
        return self._frame([ERROR, number, type, text, list(parents), traceback])

    def raised(self, number: int, error: BaseException, perspective: Any) -> bytes:
        return self._frame([RAISED, number, self._value(error, set(), perspective)])

    def decref(self, luid: int, count: int) -> bytes:
        return self._frame([DECREF, luid, count])

    def decache(self, luid: int, count: int) -> bytes:
        return self._frame([DECACHE, luid, count])

    def uncache(self, luid: int) -> bytes:
        return self._frame([UNCACHE, luid])

    def cancel(self, number: int) -> bytes:
        return self._frame([CANCEL, number])

    def forget(self, number: int) -> bytes:
        return self._frame([FORGET, number])

    def promised(self, number: int) -> Any:
        """How a call names the object that an earlier one is going to answer with."""
        return [number]

    def _frame(self, message: list[Any], kinds: Collection[type] = ()) -> bytes:
        """The bytes of a message whose plain values have containers of these kinds."""
        if tuple in kinds and list not in kinds:
            # Said once for the whole frame: an extension for each tuple takes several times as long.
            packer, mark = self._packer_of_tuples, _OF_TUPLES
        else:
            packer, mark = self._packer, 0
        try:
            body = packer.pack(message)
        except Exception as error:
            packer.reset()
            if isinstance(error, MidairError):
                raise
            raise NotSendable(f"a value cannot be sent: {error}") from error
        if len(body) > self._broker.limits.message:
            raise message_too_long(len(body), self._broker.limits)
        return _length.pack(len(body) | mark) + body  # type: ignore[no-any-return] # bytes, from a library without types

    def _args(self, args: tuple[Any, ...], kinds: set[type]) -> Any:
        if len(args) == 1 and _is_flat(args[0]):
            kinds.add(type(args[0]))
        elif not _are_scalars(map(type, args)) and not self._is_plain(args, set(), 0, kinds):
            return self._jelly(list(args), self._broker.perspective)
        return list(args)

    def _value(self, value: Any, kinds: set[type], perspective: Any = None) -> Any:
        if _is_flat(value):
            kinds.add(type(value))
        elif type(value) not in _SCALARS and not self._is_plain((value,), set(), 0, kinds):
            return self._jelly(value, perspective)
        return value

    def _jelly(self, value: Any, perspective: Any) -> ExtType:
        expression = self._broker.jelly(value, perspective, rich=True)
        return ExtType(_JELLY, Packer(default=self._big, strict_types=True).pack(expression))

    def _is_plain(self, values: Iterable[Any], seen: set[int], depth: int, met: set[type]) -> bool:
        """Whether msgpack's own types can say it: no copies, nothing shared, nothing cyclic. Adds the types that it meets."""
        kinds = set(map(type, values)) - _SCALARS
        if not kinds:
            return True
        for kind in kinds:
            if kind not in (tuple, list, dict) and not issubclass(kind, Referenceable | RemoteReference):
                return False
        met |= kinds
        if depth >= MAX_DEPTH:
            raise NotSendable(f"a value nested deeper than {MAX_DEPTH} levels cannot be sent")
        for value in values:
            kind = type(value)
            if kind in _SCALARS:
                continue
            if kind is tuple or kind is list or kind is dict:
                if not value:
                    continue
                if id(value) in seen:
                    return False
                seen.add(id(value))
                if kind is dict and not (
                    self._is_plain(value, seen, depth + 1, met) and self._is_plain(value.values(), seen, depth + 1, met)
                ):
                    return False
                if kind is not dict and not self._is_plain(value, seen, depth + 1, met):
                    return False
        return True

    def _packer_at(self, depth: int) -> Packer:
        # A packer cannot be used again inside itself, so each depth of tuples has its own.
        while len(self._packers) <= depth:
            self._packers.append(Packer(default=self._default, strict_types=True, buf_size=4096))
        return self._packers[depth]

    def _default(self, value: Any) -> ExtType:
        if type(value) is tuple:
            self._depth += 1
            try:
                # ExtType's own constructor checks what is known here, and costs more than the packing.
                return tuple.__new__(ExtType, (_TUPLE, self._packer_at(self._depth).pack(list(value))))
            finally:
                self._depth -= 1
        if type(value) is int:
            return self._big(value)
        tag, luid = self._broker.reference(value)
        return ExtType(_LOCAL if tag == b"local" else _REMOTE, luid if type(luid) is bytes else b"%d" % luid)

    @staticmethod
    def _big(value: Any) -> ExtType:
        if type(value) is not int:
            raise NotSendable(f"{type(value).__name__} cannot be sent")
        return ExtType(_BIG, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))

    # --- what the peer says

    def received(self, inbox: bytearray, limits: Limits) -> None:
        """Take the whole frames from the front of what arrived.

        Raises:
            LimitExceeded: a frame announces more than is allowed.
            BadMessage: a frame that cannot be read.
        """
        position, end = 0, len(inbox)
        try:
            broker = self._broker
            while end - position >= 4 and broker.answering <= limits.unsent:
                (size,) = _length.unpack_from(inbox, position)
                lists = size < _OF_TUPLES
                size &= _OF_TUPLES - 1
                if size > limits.message:
                    raise exceeded("message", limits.message, "bytes")
                stop = position + 4 + size
                if stop > end:
                    return
                body = inbox[position + 4 : stop]
                position = stop
                self._message(body, lists)
                limits = broker.limits
        finally:
            del inbox[:position]

    def _message(self, body: bytearray, lists: bool) -> None:
        self._depth = 0
        try:
            message = unpackb(body, ext_hook=self._extension, strict_map_key=False, use_list=lists)
            # Fewer bytes than levels cannot nest too deep.
            nesting = self._broker.limits.nesting
            if len(body) > nesting and _too_deep(message, nesting + 4, self._jellied):
                raise exceeded("nesting", nesting, "levels")
        except (ValueError, TypeError, RecursionError, BadMessage, SpreadError) as error:
            self._unreadable(body, error)
            return
        finally:
            self._jellied.clear()
        kind = message[0]
        if kind == ANSWER:
            _, number, value = message
            self._broker.answered(number, value)
        elif kind == CALL:
            self._called(message)
        else:
            getattr(self._broker, _HANDLERS[kind])(*message[1:])

    def _called(self, message: list[Any]) -> None:
        count = len(message)
        _, number, target, name, args = message[:5]
        kw = message[5] if count > 5 else {}
        seconds = message[6] if count > 6 else None
        if type(number) is not int or type(name) is not str or type(args) not in _ARRAYS or type(kw) is not dict:
            raise BadMessage("a call with parts of the wrong type")
        if type(target) in _ARRAYS:
            self._broker.called_promise(number, target[0], name, args, kw, seconds)
        else:
            self._broker.called(number, target, name, args, kw, seconds)

    def _unreadable(self, body: bytearray, error: Exception) -> None:
        """A value in a well-formed message cannot be made: that call fails, and the connection goes on."""
        try:
            message = unpackb(body, ext_hook=_opaque, strict_map_key=False)
            kind, number = message[0], message[1]
        except (ValueError, TypeError, LookupError, RecursionError):
            raise BadMessage(f"a message that cannot be read: {error}") from error
        refusal = error if isinstance(error, BadMessage) else BadMessage(f"a value that cannot be read: {error}")
        if kind in (CALL, OBSERVE) and type(number) is int:
            self._broker.refuse(number, refusal)
        elif kind in (ANSWER, RAISED):
            self._broker.answer_unreadable(number, refusal)
        else:
            raise refusal from error

    def _extension(self, code: int, data: bytes) -> Any:
        if code == _TUPLE:
            self._depth += 1
            if self._depth > MAX_DEPTH:  # whatever the limits say: each level takes 40 kB of the C stack
                raise exceeded("nesting", MAX_DEPTH, "levels")
            items = unpackb(data, ext_hook=self._extension, strict_map_key=False)
            self._depth -= 1
            if type(items) is not list:
                raise BadMessage("a tuple is written as a list")
            return tuple(items)
        if code == _JELLY:
            expression = unpackb(data, ext_hook=_read_big, strict_map_key=False)
            nesting = self._broker.limits.nesting
            if len(data) > nesting and _too_deep(expression, LISTS_PER_LEVEL * nesting, []):
                raise exceeded("nesting", nesting, "levels")
            value = self._broker.unjelly(expression)
            self._jellied.append(value)
            return value
        if code == _REMOTE:
            return self._broker.proxy(int(data))
        if code == _LOCAL:
            return self._broker.own(int(data) if data.isdigit() else data.decode())
        return _read_big(code, data)


def _is_flat(value: Any) -> bool:
    """Whether it is a list or tuple of scalars: most values are, and it takes no walk to see."""
    return type(value) in _ARRAYS and _are_scalars(map(type, value))


def _opaque(code: int, data: bytes) -> None:  # noqa: ARG001 - the message is read for its head alone
    return None


def _read_big(code: int, data: bytes) -> int:
    if code != _BIG or len(data) > 64:
        raise BadMessage(f"extension {code} of {len(data)} bytes is not known")
    return int.from_bytes(data, "big", signed=True)


def _too_deep(value: Any, most: int, apart: list[Any]) -> bool:
    """Whether lists, tuples and dictionaries nest deeper than `most`. What is in `apart` was measured by itself."""
    skipped = set(map(id, apart))
    level = [value]
    for _ in range(most):
        below: list[Any] = []
        for item in level:
            for part in (item, item.values()) if type(item) is dict else (item,):
                if not _SCALARS.issuperset(map(type, part)):
                    below += [inner for inner in part if type(inner) in _NESTING and id(inner) not in skipped]
        if not below:
            return False
        level = below
    return True


_HANDLERS = {
    ERROR: "failed",
    RAISED: "raised",
    OBSERVE: "observed",
    DECREF: "decref",
    DECACHE: "decache",
    UNCACHE: "uncache",
    CANCEL: "cancelled",
    FORGET: "forget",
}
"""The broker's method for each kind."""
