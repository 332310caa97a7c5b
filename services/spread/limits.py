"""How much one peer may make us hold."""

from __future__ import annotations

from dataclasses import dataclass

from ...runtime.errors import LimitExceeded
from .errors import NotSendable


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Two sets apply: `STRANGER` until a login, `FRIEND` after it.

    Args:
        message: bytes in one message.
        elements: values in one message (banana; the compact dialect is bounded by its bytes).
        nesting: values within values.
        references: objects of ours that the peer may hold, and as many caches.
        calls: calls of the peer that may be running here; reading pauses at that number.
        unsent: bytes waiting for the peer to read; its calls are not read beyond that.
    """

    message: int = 8 << 20
    elements: int = 1_000_000
    nesting: int = 64
    references: int = 10_000
    calls: int = 1_000
    unsent: int = 4 << 20


FRIEND = Limits()
STRANGER = Limits(message=64 << 10, elements=4_000, references=16, calls=8)


def message_too_long(size: int, limits: Limits) -> NotSendable:
    return NotSendable(f"a message of {size} bytes is over the limit of {limits.message}; stream it instead")


def exceeded(what: str, limit: int, unit: str) -> LimitExceeded:
    return LimitExceeded(what, limit, unit=unit)
