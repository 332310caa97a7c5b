"""A broker on a `Connection`: the socket's bytes in, one write for everything that a turn of the loop has to say out."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ...runtime.connection import Connection, Frozen
from ...runtime.errors import LimitExceeded, ProtocolError
from .broker import Broker
from .errors import DeadReference
from .limits import Limits
from .negotiation import DIALECTS, Negotiation
from .watch import Watch

STALLED = 30.0
"""Seconds for which a peer may leave what we answered unread, with more waiting than it is allowed."""

LANDING = 256 * 1024
"""Bytes taken from a socket at a time."""

_landings: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


def _landing(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Where bytes arrive before they are in an inbox: one place for all links of a loop, which takes one socket at a time.

    Without it asyncio makes a new object of this size for every read, and the kernel a new mapping: half of what a
    short message costs.
    """
    found = _landings.get(loop)
    if found is None:
        found = _landings[loop] = memoryview(bytearray(LANDING))
    return found


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who is at the other end of a Unix socket, as the kernel says."""

    pid: int
    uid: int
    gid: int


class Link(Connection, asyncio.BufferedProtocol):
    """One connection between two peers.

    Args:
        server: whether this side offers the dialects.
        limits: what the peer may cost, at first.
        lookup: finds our object for a name.
        ready: called with this link when the encoding is agreed on.
        dialects: the names to offer or accept, best first.
        patience: seconds for the peer to agree on an encoding.
    """

    #: Bytes of ours that may wait for the peer altogether, unanswered calls included; then it is dropped.
    max_unsent = 64 * 1024 * 1024

    def __init__(
        self,
        *,
        server: bool,
        limits: Limits,
        lookup: Callable[[Link, str], Any] = lambda link, name: None,  # noqa: ARG005 - offers nothing
        ready: Callable[[Link], None] = lambda link: None,  # noqa: ARG005 - nothing to do
        gone: Callable[[Link, BaseException | None], None] = lambda link, reason: None,  # noqa: ARG005 - likewise
        dialects: tuple[str, ...] = tuple(DIALECTS),
        tracebacks: bool = False,
        patience: float = 10.0,
    ) -> None:
        self.broker: Broker | None = None
        self.why: BaseException | None = None
        self._negotiation = Negotiation(server=server, dialects=dialects)
        self._limits = limits
        self._lookup, self._ready, self._went = lookup, ready, gone
        self._tracebacks = tracebacks
        self._patience = patience
        self._parsing = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def credentials(self) -> Credentials | None:
        """Who the peer is, on a Unix socket; None on others."""
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
            return None
        return Credentials(*struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self.max_inbox = limits.message + 1024
        if self.broker is not None:
            self.broker.limits = limits

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is large enough
        return self._landing

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(self._landing[:nbytes])  # type: ignore[arg-type] # appended to the inbox, which takes any

    def opened(self) -> None:
        # Kept, because a loop that ends cancels who waits for us while it does not run.
        self._loop = asyncio.get_running_loop()
        self._landing = _landing(self._loop)
        self._watch = Watch(self._loop.call_soon)
        self.limits = self._limits
        self.write(self._negotiation.greeting)
        self.within(self._patience, "no encoding was agreed on")

    def received(self) -> None:
        self._watch.heard()
        broker = self.broker or self._negotiate()
        if broker is None:
            return
        while True:
            self._parsing = True
            broker.turn.begin()
            try:
                broker.received(self.inbox)
            except ProtocolError as error:
                self.why = error
                raise
            finally:
                self._parsing = False
                full = broker.answering and broker.full
                self.flush()  # answers do not wait for what our own callers do with theirs
                broker.turn.end()
            if not full:
                return
            if broker.full and not self.is_closing:
                # The peer does not read what it asked for: what it asks next waits until it has.
                self.pause()
                self.within(STALLED, "it leaves its answers unread")
                return

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held:
            self.at_ease()
            self.resume()

    def closed(self, reason: BaseException | None) -> None:
        self.at_ease()
        if self.broker is not None:
            self.broker.lost(self.why or reason)
        self._went(self, self.why or reason)

    def failed(self, error: ProtocolError) -> None:
        self.why = error
        super().failed(error)

    def freeze(self) -> Frozen:
        """Not possible: what two peers hold of each other is by number, and would not be the same in another process.

        Raises:
            DeadReference: always. Peers connect again after a hand-over; references by name find their object.
        """
        raise DeadReference(f"the references that {self.peer} holds end with this process; it is to connect again")

    def _negotiate(self) -> Broker | None:
        self.write(self._negotiation.received(self.inbox))
        if not self._negotiation.chosen:
            return None
        self.at_ease()
        self.broker = broker = Broker(
            self._negotiation.wire(),
            lookup=partial(self._lookup, self),
            limits=self._limits,
            tracebacks=self._tracebacks,
            peer=self.peer,
        )
        broker.on_output = self._say
        self.flush()
        self._ready(self)
        return broker

    def _say(self, alone: bool) -> None:
        if self._parsing:
            return  # `received` sends it at its end
        if alone:
            self.flush()
        else:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what there is to say now."""
        broker, transport = self.broker, self.transport
        if broker is None or not (broker.outbox or broker.answering) or transport.is_closing():
            return
        if broker.outbox:
            # Past `Connection.write` and its journal of what is unsent: that is for a hand-over, which a link has not.
            alone = len(broker.outbox) == 1
            transport.write(broker.take())
            if alone:
                self._watch.sent()
        held = transport.get_write_buffer_size()
        broker.answering = min(broker.answering, held)
        if held > self.max_unsent:
            self.log.warning("dropped: %s", LimitExceeded("unread output", self.max_unsent, unit="bytes"))
            self.abort()

    def within(self, seconds: float, problem: str) -> None:
        """Drop the peer after this time, unless `at_ease` is called first."""
        self.at_ease()
        self._timer = self._loop.call_later(seconds, self._expired, seconds, problem)

    def at_ease(self) -> None:
        """The peer did what it was to do within a time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self, seconds: float, problem: str) -> None:
        self.why = LimitExceeded(f"the wait for {self.peer} ({problem})", seconds, unit="seconds")
        self.log.info("dropped: %s", self.why)
        self.abort()
