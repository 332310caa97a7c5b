"""Which encoding two peers speak: the server offers dialects in banana, the client takes the first it knows. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from . import banana
from .errors import BadMessage
from .jellywire import JellyWire
from .limits import STRANGER
from .packed import PackedWire

DIALECTS: dict[str, Callable[[Any], Any]] = {
    PackedWire.name: PackedWire,
    "pb": partial(JellyWire, vocabulary=True),
    "none": partial(JellyWire, vocabulary=False),
}
"""Ours first; "pb" and "none" are what Twisted's peers know."""


class Negotiation:
    """One side's part. Send `greeting` when the connection stands, and each `reply`; `chosen` is set when it is over.

    Args:
        server: whether this side offers.
        dialects: the names to offer or to accept, best first.
    """

    def __init__(self, *, server: bool, dialects: tuple[str, ...] = tuple(DIALECTS)) -> None:
        self._server = server
        self._dialects = dialects
        self._decoder = banana.Decoder(STRANGER)
        self.chosen = ""

    @property
    def greeting(self) -> bytes:
        if not self._server:
            return b""
        return banana.encode([name.encode() for name in self._dialects], vocabulary=False)

    def received(self, inbox: bytearray) -> bytes:
        """Take the other side's part from the front of what arrived; the reply to it.

        Raises:
            ProtocolError: no dialect in common, or not the protocol at all.
        """
        if self._server:
            word = banana.take_string(inbox)
            if word is None:
                return b""
            name = word.decode("ascii", "replace")
            if name not in self._dialects:
                raise BadMessage(f"the peer wants the dialect {name!r}; known here: {', '.join(self._dialects)}")
            self.chosen = name
            return b""
        if len(inbox) >= 2 and inbox[1] != banana.LIST:
            raise BadMessage(f"what answers is no spread server: it says {bytes(inbox[:20])!r}")
        offered = self._decoder.next(inbox)
        if offered is None:
            return b""
        for name in offered:
            if type(name) is bytes and name.decode("ascii", "replace") in self._dialects:
                self.chosen = name.decode()
                return banana.encode(name, vocabulary=False)
        raise BadMessage(f"the server offers {offered!r}; known here: {', '.join(self._dialects)}")

    def wire(self) -> Callable[[Any], Any]:
        """Makes the encoding that was agreed on."""
        return DIALECTS[self.chosen]
