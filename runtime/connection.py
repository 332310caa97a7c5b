"""One peer: what it has sent and we have not understood, what we have written and it has not taken.

Every connection, accepted or made, is a `Connection`. It owns three things, so that a snapshot of the moment can be
taken between two events and the socket be handed to another process with nothing lost:

    inbox     bytes received and not yet parsed; `received()` takes whole messages from its front
    unsent    bytes written and still in this process, kept in a journal beside the transport, because no
              event loop shows its own buffer
    state     whatever the subclass keeps in plain attributes

Asyncio's transports show how many bytes they still hold, not which; the last that many bytes of the journal are those.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol, SupportsIndex, cast

from .errors import LimitExceeded, ProtocolError
from .logs import owner

_numbers = itertools.count(1)

# Bytes that the journal may hold beyond what the transport does; more is cut off.
_SURPLUS = 4096


@dataclass(frozen=True)
class Frozen:
    """A connection between two events: all that another process needs to go on with its socket."""

    inbox: bytes
    unsent: bytes
    state: dict[str, Any] = field(default_factory=dict)


class Keeper(Protocol):
    """Who counts and closes connections: the service that listens or connects."""

    def opened(self, connection: Connection) -> None: ...
    def closed(self, connection: Connection) -> None: ...
    def touch(self) -> None: ...


class Connection(asyncio.Protocol):
    """The base class of every protocol: override `opened`, `received` and `closed`; call `write`, `drain`, `close`.

    A subclass needs no `__init__`, and one that has its own need not call this one.

    Across a rebuild: the same object goes on, with the new methods, in the middle of a message if need be.
    In a snapshot: never. Name the attribute that holds one in `__transient__`.
    """

    #: Bytes received and not yet parsed; a peer that sends a longer message is dropped.
    max_inbox: int = 64 * 1024
    #: Bytes written and not yet taken by the peer; one that reads more slowly than that is dropped.
    max_unsent: int = 1024 * 1024

    transport: asyncio.Transport
    inbox: bytearray
    number: int = 0
    peer: str = "not connected"
    service: Any = None
    _keeper: Keeper | None = None
    _held: bool = False
    _gone: bool = False
    _journal: deque[bytes]
    _journaled: int
    _room: asyncio.Event
    _end: asyncio.Event

    # --- for subclasses to override

    def opened(self) -> None:
        """The peer is there; greet it."""

    def received(self) -> None:
        """Something came: take a message from the front of `self.inbox`, or leave it while it is incomplete.

        Called again for as long as it takes something away.
        """
        self.inbox.clear()

    def closed(self, reason: BaseException | None) -> None:
        """The peer is gone. `reason` is None when either side closed in good order."""

    def failed(self, error: ProtocolError) -> None:
        """The peer broke the rules: it is sent the error's `reply` and dropped."""
        self.log.info("dropped: %s", error)
        if error.reply:
            self.write(error.reply)
        self.close()

    # --- for subclasses to use

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines name this connection."""
        return logging.LoggerAdapter(logging.getLogger("midair.connection"), {"owner": f"conn {self.number}"})

    @property
    def unsent(self) -> bytes:
        """The bytes written that the peer's side of the kernel has not taken yet."""
        held = self.transport.get_write_buffer_size()
        return b"".join(self._journal)[-held:] if held else b""

    @property
    def is_closing(self) -> bool:
        return self._gone or self.transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, now or as soon as the peer takes them. On a closing connection they are dropped.

        A peer that leaves more than `max_unsent` bytes unread is dropped.
        """
        if self.is_closing or not data:
            return
        self.transport.write(data)
        held = self.transport.get_write_buffer_size()
        if not held:  # all of it went out at once, as it mostly does
            if self._journaled:
                self._journal.clear()
                self._journaled = 0
            return
        self._journal.append(bytes(data))
        self._journaled += len(data)
        if self._journaled - held > _SURPLUS:  # uvloop holds everything until the end of its turn
            self._trim()
        if held > self.max_unsent:
            self.log.warning("dropped: %s", LimitExceeded("unread output", self.max_unsent, unit="bytes"))
            self.abort()

    async def drain(self) -> None:
        """Wait until the peer has taken enough for more to be worth writing.

        Raises:
            ConnectionResetError: it is gone.
        """
        if self._gone:
            raise ConnectionResetError(f"{self.peer} is gone")
        await self._room.wait()

    async def lost(self) -> None:
        """Wait until the connection is gone."""
        await self._end.wait()

    def close(self) -> None:
        """Close once everything written has been sent."""
        if not self._gone:
            self.transport.close()

    def abort(self) -> None:
        """Close now; what is unsent is lost."""
        if not self._gone:
            self.transport.abort()

    def pause(self) -> None:
        """Take nothing more from the peer until `resume`; what is in the inbox stays there."""
        if not self._held and not self.is_closing:
            self._held = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Take up again where `pause` left, with the inbox first."""
        if self._held:
            self._held = False
            if not self.is_closing:
                self.transport.resume_reading()
                self._parse()

    # --- the hand-over

    def freeze(self) -> Frozen:
        """This connection between two events. Nothing is changed; call it from the loop, never across an await."""
        ours = set(Connection.__annotations__)
        state = {name: value for name, value in vars(self).items() if name not in ours}
        return Frozen(bytes(self.inbox), self.unsent, state)

    def thaw(self, frozen: Frozen) -> None:
        """Become the connection that was frozen: call it before the transport is connected.

        What was unsent is written before anything new, and the inbox is parsed after that.
        """
        self._thawed = frozen

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.inbox = bytearray()
        self._journal = deque()
        self._journaled = 0
        self._room = asyncio.Event()
        self._room.set()
        self._end = asyncio.Event()
        self.number = next(_numbers)
        self.peer = _peer_name(transport)
        owner.set(f"conn {self.number}")
        if self._keeper:
            self._keeper.opened(self)
        frozen: Frozen | None = self.__dict__.pop("_thawed", None)
        if frozen is None:
            self._guarded(self.opened)
            return
        vars(self).update(frozen.state)
        self.write(frozen.unsent)
        self.data_received(frozen.inbox)

    def data_received(self, data: bytes) -> None:
        if self._keeper:
            self._keeper.touch()
        self.inbox += data
        if not self._held:
            self._parse()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._trim()
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._room.set()
        self._end.set()
        if self._keeper:
            self._keeper.closed(self)
        self._guarded(self.closed, exc)

    # --- inside

    def _parse(self) -> None:
        # A bug in one message must not cost the peer its connection, nor the messages behind it in the inbox.
        before = len(self.inbox)
        while before:
            self._guarded(self.received)
            left = len(self.inbox)
            if not left:
                return
            if left >= before or self.is_closing or self._held:
                break
            before = left
        if len(self.inbox) > self.max_inbox and not self.is_closing and not self._held:
            self.failed(LimitExceeded("a message", self.max_inbox, unit="bytes"))

    def _guarded(self, call: Any, *args: Any) -> None:
        """Run the subclass's code; the event loop must not see its errors."""
        try:
            call(*args)
        except ProtocolError as error:
            self.inbox.clear()
            self.failed(error)
        except Exception:
            self.log.exception("error in %s.%s", type(self).__name__, call.__name__)

    def _trim(self) -> None:
        surplus = self._journaled - self.transport.get_write_buffer_size()
        while self._journal and len(self._journal[0]) <= surplus:
            gone = len(self._journal.popleft())
            surplus -= gone
            self._journaled -= gone

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise TypeError("a connection is not saved; name the attribute that holds it in __transient__")


def _peer_name(transport: asyncio.BaseTransport) -> str:
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return str(address) if address else "unix"
