"""The older encoding, for Twisted's perspective broker, version 6: jelly in banana. No I/O.

Messages are lists: `message`, `cachemessage`, `answer`, `error`, `decref`, `decache`, `uncache`, `version`. It has no
words for cancelling, deadlines and calls on promises; the caller's side does without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import banana
from .errors import BadMessage, lineage
from .flavors import wire_name
from .jelly import Jellier
from .limits import Limits, message_too_long

if TYPE_CHECKING:
    from .broker import Broker

VERSION = 6

_FAILURE = b"twisted.spread.pb.CopyableFailure"


class JellyWire:
    """Encodes what a broker says, and tells it what the peer said.

    Args:
        vocabulary: whether frequent words are sent as numbers: the dialect "pb"; without, it is "none".
    """

    pipelines = False

    def __init__(self, broker: Broker, *, vocabulary: bool) -> None:
        self._broker = broker
        self._vocabulary = vocabulary
        self._decoder = banana.Decoder(broker.limits, vocabulary=vocabulary)
        self.name = "pb" if vocabulary else "none"

    def hello(self) -> bytes:
        return self._encode([b"version", VERSION])

    # --- what we say

    def call(
        self, number: int, target: Any, name: str, args: tuple[Any, ...], kw: dict[str, Any], _seconds: float | None
    ) -> bytes:
        where = target.encode() if type(target) is str else target
        return self._message(b"message", number, where, name, args, kw)

    def observe(self, number: int, cache: int, name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> bytes:
        return self._message(b"cachemessage", number, cache, name, args, kw)

    def _message(
        self, tag: bytes, number: int, where: Any, name: str, args: tuple[Any, ...], kw: dict[str, Any]
    ) -> bytes:
        broker = self._broker
        values = broker.jelly(args, broker.perspective, rich=False)
        names = broker.jelly(kw, broker.perspective, rich=False) if kw else [b"dictionary"]
        return self._encode([tag, number, where, name.encode(), int(number > 0), values, names])

    def answer(self, number: int, value: Any, perspective: Any) -> bytes:
        return self._encode([b"answer", number, self._broker.jelly(value, perspective, rich=False)])

    def error(self, number: int, type: str, text: str, parents: tuple[str, ...], traceback: str) -> bytes:
        state: dict[str, Any] = {
            "type": type.encode(),
            "value": text,
            "parents": list(parents),
            "traceback": traceback or "Traceback unavailable\n",
            "tb": None,
            "frames": [],
            "stack": [],
            "count": 0,
            "captureVars": False,
            "unsafeTracebacks": bool(traceback),
        }
        return self._encode([b"error", number, [_FAILURE, Jellier().jelly(state)]])

    def raised(self, number: int, error: BaseException, perspective: Any) -> bytes:  # noqa: ARG002 - nobody is asked
        # Not as a copy: a Twisted peer that did not register the class would drop the connection over it.
        name = wire_name(type(error))
        return self.error(number, name, str(error), (name, *lineage(type(error))), "")

    def decref(self, luid: int, count: int) -> bytes:
        return self._encode([b"decref", luid]) * count

    def decache(self, luid: int, count: int) -> bytes:
        return self._encode([b"decache", luid]) * count

    def uncache(self, luid: int) -> bytes:
        return self._encode([b"uncache", luid])

    def cancel(self, number: int) -> bytes:  # noqa: ARG002 - no word for it: the late answer is dropped
        return b""

    def forget(self, number: int) -> bytes:  # noqa: ARG002 - nothing is kept for promises
        return b""

    def promised(self, number: int) -> Any:
        raise NotImplementedError(f"call {number}: this encoding has no calls on promises")

    def _encode(self, expression: list[Any]) -> bytes:
        data = banana.encode(expression, vocabulary=self._vocabulary)
        if len(data) > self._broker.limits.message:
            raise message_too_long(len(data), self._broker.limits)
        return data

    # --- what the peer says

    def received(self, inbox: bytearray, limits: Limits) -> None:
        """Take the whole expressions from the front of what arrived.

        Raises:
            LimitExceeded: more than is allowed.
            BadMessage: something that cannot be read.
        """
        decoder = self._decoder
        decoder.limits = limits
        while not self._broker.full and (expression := decoder.next(inbox)) is not None:
            self._understood(expression)
            decoder.limits = self._broker.limits

    def _understood(self, expression: list[Any]) -> None:
        handler = _HANDLERS.get(expression[0]) if expression and type(expression[0]) is bytes else None
        if handler is None:
            raise BadMessage(f"a message begins with a word that is known, not {expression[:1]!r}")
        count, handle = handler
        if len(expression) != count:
            raise BadMessage(f"{expression[0]!r} with {len(expression) - 1} parts, not {count - 1}")
        handle(self, *expression[1:])

    def _called(self, number: Any, target: Any, name: Any, answer: Any, args: Any, kw: Any) -> None:
        where = target.decode(errors="replace") if type(target) is bytes else target
        self._call(self._broker_called, number, where, name, answer, args, kw)

    def _broker_called(self, number: int, target: Any, name: str, args: Any, kw: dict[str, Any]) -> None:
        self._broker.called(number, target, name, args, kw, None)

    def _observed(self, number: Any, cache: Any, name: Any, answer: Any, args: Any, kw: Any) -> None:
        self._call(self._broker.observed, number, cache, name, answer, args, kw)

    def _call(
        self, pass_on: Callable[..., None], number: Any, target: Any, name: Any, answer: Any, args: Any, kw: Any
    ) -> None:
        if type(number) is not int or type(name) is not bytes:
            raise BadMessage("a call with parts of the wrong type")
        if not answer:
            number = 0
        broker = self._broker
        try:
            values, keywords = broker.unjelly(args), broker.unjelly(kw)
            if type(values) not in (tuple, list) or type(keywords) is not dict:
                raise BadMessage("the arguments of a call are a tuple and a dictionary")
            # A peer on Python 2 sends the names as bytes.
            keywords = {key.decode() if type(key) is bytes else key: value for key, value in keywords.items()}
            pass_on(number, target, name.decode(), values, keywords)
        except (BadMessage, UnicodeDecodeError) as error:
            broker.refuse(number, error)

    def _answered(self, number: Any, value: Any) -> None:
        try:
            value = self._broker.unjelly(value)
        except BadMessage as error:
            self._broker.answer_unreadable(number, error)
        else:
            self._broker.answered(number, value)

    def _failed(self, number: Any, failure: Any) -> None:
        broker = self._broker
        try:
            if type(failure) is list and len(failure) == 2 and failure[0] == _FAILURE:
                broker.failed(number, *_read_failure(broker.unjelly(failure[1])))
            else:
                broker.raised(number, broker.unjelly(failure))
        except BadMessage as error:
            broker.answer_unreadable(number, error)

    def _version(self, version: Any) -> None:
        if version != VERSION:
            raise BadMessage(f"the peer speaks version {version!r}, we speak {VERSION}")

    def _decref(self, luid: Any) -> None:
        self._broker.decref(luid)

    def _decache(self, luid: Any) -> None:
        self._broker.decache(luid)

    def _uncache(self, luid: Any) -> None:
        self._broker.uncache(luid)

    def _puzzled(self, word: Any) -> None:
        raise BadMessage(f"the peer does not understand {word!r}")


_HANDLERS: dict[bytes, tuple[int, Callable[..., None]]] = {
    b"message": (7, JellyWire._called),
    b"cachemessage": (7, JellyWire._observed),
    b"answer": (3, JellyWire._answered),
    b"error": (3, JellyWire._failed),
    b"decref": (2, JellyWire._decref),
    b"decache": (2, JellyWire._decache),
    b"uncache": (2, JellyWire._uncache),
    b"version": (2, JellyWire._version),
    b"didNotUnderstand": (2, JellyWire._puzzled),
}


def _read_failure(state: Any) -> tuple[str, str, tuple[str, ...], str]:
    """Type, text, parents and traceback. Peers of other releases leave out and add keys, and send text as bytes."""
    if type(state) is not dict:
        raise BadMessage("a failure is a dictionary")
    plain = {_text(key): value for key, value in state.items()}
    parents: Any = plain.get("parents")
    traceback = _text(plain.get("traceback", ""))
    return (
        _text(plain.get("type", "unknown")),
        _text(plain.get("value", "")),
        tuple(map(_text, parents)) if type(parents) in (list, tuple) else (),
        "" if traceback.startswith("Traceback unavailable") else traceback,
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if type(value) is bytes else str(value)
