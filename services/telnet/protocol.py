"""The telnet machine: bytes in, events out; no I/O.

    telnet = Telnet()
    telnet.do(NAWS)                      # ask for the window size
    for event in telnet.receive(data): ...
    transport.write(telnet.take_output())

RFC 854 commands, RFC 855 subnegotiation, RFC 1143 option states (so that no exchange can loop), RFC 1073 window size,
RFC 1091 terminal type. What the same bytes mean does not depend on how they were cut: a machine fed one byte at a time
gives the same data and the same events.

Bounds: a subnegotiation keeps at most `max_subnegotiation` bytes and ignores the rest of itself; a peer that sends more than
`max_negotiations` option requests is refused with `LimitExceeded`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ...runtime.errors import LimitExceeded

SE, NOP, BRK, IP, AO, AYT, EC, EL, GA, SB = 240, 241, 243, 244, 245, 246, 247, 248, 249, 250
WILL, WONT, DO, DONT, IAC = 251, 252, 253, 254, 255

BINARY, ECHO, SGA, TIMING_MARK, TTYPE, NAWS = 0, 1, 3, 6, 24, 31

CR, LF, NUL = 13, 10, 0
ERASE, KILL = b"\x7f", b"\x15"
"""What a keyboard sends for the telnet commands EC and EL."""

_ENTER = re.compile(rb"\r[\n\x00]")

MAX_COLUMNS, MAX_ROWS = 500, 500


@dataclass(frozen=True)
class Data:
    """Keys or text. CR NUL and CR LF have become one CR; a bare LF stays LF."""

    data: bytes


@dataclass(frozen=True)
class Interrupt:
    """IAC IP or IAC BRK: what a terminal means by Ctrl-C."""


@dataclass(frozen=True)
class AreYouThere:
    """IAC AYT. Answer with something visible."""


@dataclass(frozen=True)
class WindowSize:
    """The peer's window, in characters. 0x0 arrives as 80x24; each side is at most 500."""

    columns: int
    rows: int


@dataclass(frozen=True)
class TerminalType:
    """The peer's terminal, in lower case: clients differ in how they write the same name."""

    name: str


@dataclass(frozen=True)
class OptionChanged:
    """An option became active or inactive, on our side (`ours`) or on the peer's."""

    option: int
    ours: bool
    on: bool


@dataclass(frozen=True)
class Command:
    """Another command (NOP, AO, GA, ...), by its number."""

    number: int


Event = Data | Interrupt | AreYouThere | WindowSize | TerminalType | OptionChanged | Command


class _Want(Enum):
    """RFC 1143: what we hold an option to be, and what we have asked for meanwhile."""

    NO = "no"
    YES = "yes"
    WANT_NO = "want no"
    WANT_NO_OPPOSITE = "want no, then yes"
    WANT_YES = "want yes"
    WANT_YES_OPPOSITE = "want yes, then no"


class _Side:
    """The options of one side of the connection: ours (WILL/WONT, answered DO/DONT) or the peer's (the reverse)."""

    def __init__(self, on: int, off: int, allowed: frozenset[int], send: Callable[[int, int], None]) -> None:
        self.on, self.off, self.allowed, self.send = on, off, allowed, send
        self.states: dict[int, _Want] = {}

    def state(self, option: int) -> _Want:
        return self.states.get(option, _Want.NO)

    def ask(self, option: int, wanted: bool) -> None:
        """Ask the peer for a change; nothing is sent when it is so already or asked already."""
        state = self.state(option)
        if wanted:
            if state is _Want.NO:
                self.states[option] = _Want.WANT_YES
                self.send(self.on, option)
            elif state is _Want.WANT_NO:
                self.states[option] = _Want.WANT_NO_OPPOSITE
            elif state is _Want.WANT_YES_OPPOSITE:
                self.states[option] = _Want.WANT_YES
        elif state is _Want.YES:
            self.states[option] = _Want.WANT_NO
            self.send(self.off, option)
        elif state is _Want.WANT_YES:
            self.states[option] = _Want.WANT_YES_OPPOSITE
        elif state is _Want.WANT_NO_OPPOSITE:
            self.states[option] = _Want.WANT_NO

    def heard(self, option: int, agrees: bool) -> bool | None:
        """The peer asked for, or agreed to, a change. Returns the new setting, or None when nothing changed."""
        state = self.state(option)
        was_on = state in {_Want.YES, _Want.WANT_NO, _Want.WANT_NO_OPPOSITE}
        new = self._on(option, state) if agrees else self._off(option, state)
        if new is _Want.NO:
            # Absent means NO, so a storm of requests for all 256 options leaves nothing behind.
            self.states.pop(option, None)
        else:
            self.states[option] = new
        is_on = new in {_Want.YES, _Want.WANT_NO, _Want.WANT_NO_OPPOSITE}
        return None if is_on == was_on else is_on

    def _on(self, option: int, state: _Want) -> _Want:
        match state:
            case _Want.NO:
                if option in self.allowed:
                    self.send(self.on, option)
                    return _Want.YES
                self.send(self.off, option)
                return _Want.NO
            case _Want.WANT_NO:
                return _Want.NO  # answered a refusal with an agreement: RFC 1143 takes it as off
            case _Want.WANT_YES_OPPOSITE:
                self.send(self.off, option)
                return _Want.WANT_NO
            case _Want.YES | _Want.WANT_YES | _Want.WANT_NO_OPPOSITE:
                return _Want.YES

    def _off(self, option: int, state: _Want) -> _Want:
        match state:
            case _Want.YES:
                self.send(self.off, option)
                return _Want.NO
            case _Want.WANT_NO_OPPOSITE:
                self.send(self.on, option)
                return _Want.WANT_YES
            case _Want.NO | _Want.WANT_NO | _Want.WANT_YES | _Want.WANT_YES_OPPOSITE:
                return _Want.NO


class _Reading(Enum):
    DATA = 0
    AFTER_IAC = 1
    OPTION = 2
    SUBNEGOTIATION = 3
    SUBNEGOTIATION_IAC = 4


class Telnet:
    """One end of a telnet connection.

    Args:
        ours: options that we agree to when the peer asks us (DO). `will()` may offer others.
        theirs: options that we let the peer switch on when it offers (WILL). `do()` may ask for others.
        max_subnegotiation: bytes of one subnegotiation that are kept; the rest of it is ignored.
        max_negotiations: option requests accepted in the life of a connection.
    """

    def __init__(
        self,
        *,
        ours: frozenset[int] = frozenset(),
        theirs: frozenset[int] = frozenset({TTYPE, NAWS}),
        max_subnegotiation: int = 512,
        max_negotiations: int = 2000,
    ) -> None:
        self._output = bytearray()
        self._ours = _Side(WILL, WONT, ours, self._request)
        self._theirs = _Side(DO, DONT, theirs, self._request)
        self._max_subnegotiation, self._max_negotiations = max_subnegotiation, max_negotiations
        self._reading = _Reading.DATA
        self._verb = 0
        self._sub = bytearray()
        self._after_cr = False
        self._data = bytearray()
        self.negotiations = 0
        """Option requests received so far."""

    # -- what we say

    def take_output(self) -> bytes:
        """What is to be sent to the peer now; empty when nothing is."""
        output, self._output = bytes(self._output), bytearray()
        return output

    def send(self, data: bytes) -> None:
        """Queue text for the peer: IAC doubled, and a bare LF sent as CR LF (a CR LF stays as it is)."""
        text = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self._output += text.replace(b"\xff", b"\xff\xff")

    def will(self, option: int) -> None:
        """Offer an option of ours."""
        self._ours.ask(option, wanted=True)

    def wont(self, option: int) -> None:
        """End an option of ours."""
        self._ours.ask(option, wanted=False)

    def withdraw(self, option: int) -> None:
        """End an option of ours that the peer may not have answered, because it does not negotiate: said in any case.

        RFC 1143 would wait for the answer to our offer. Call it only after something that the peer sent later than that answer.
        """
        if self._ours.state(option) is _Want.WANT_YES:
            del self._ours.states[option]
            self._request(WONT, option)
        else:
            self.wont(option)

    def do(self, option: int) -> None:
        """Ask the peer for an option."""
        self._theirs.ask(option, wanted=True)

    def dont(self, option: int) -> None:
        """Ask the peer to end an option."""
        self._theirs.ask(option, wanted=False)

    def active(self, option: int, *, ours: bool) -> bool:
        """Whether both sides hold the option to be on."""
        return (self._ours if ours else self._theirs).state(option) is _Want.YES

    def _request(self, verb: int, option: int) -> None:
        self._output += bytes((IAC, verb, option))

    # -- what we hear

    def receive(self, data: bytes) -> list[Event]:
        """Take what arrived; return the events it completed, neighbouring data joined.

        Raises:
            LimitExceeded: more than `max_negotiations` option requests.
        """
        events: list[Event] = []
        position, end = 0, len(data)
        while position < end:
            if self._reading is _Reading.DATA:
                stop = data.find(IAC, position)
                stop = end if stop < 0 else stop
                self._text(data[position:stop])
                position = stop
                if position < end:
                    self._reading = _Reading.AFTER_IAC
                    position += 1
                continue
            self._step(data[position], events)
            position += 1
        self._flush(events)
        return events

    def _text(self, chunk: bytes) -> None:
        if not chunk:
            return
        if self._after_cr and chunk[0] in (LF, NUL):
            chunk = chunk[1:]
        self._after_cr = chunk[-1:] == b"\r" if chunk else False
        self._data += _ENTER.sub(b"\r", chunk)

    def _flush(self, events: list[Event]) -> None:
        if self._data:
            events.append(Data(bytes(self._data)))
            self._data.clear()

    def _step(self, byte: int, events: list[Event]) -> None:
        match self._reading:
            case _Reading.AFTER_IAC:
                self._command(byte, events)
            case _Reading.OPTION:
                self._reading = _Reading.DATA
                self._option(byte, events)
            case _Reading.SUBNEGOTIATION:
                if byte == IAC:
                    self._reading = _Reading.SUBNEGOTIATION_IAC
                else:
                    self._keep(byte)
            case _Reading.SUBNEGOTIATION_IAC:
                self._subnegotiation_iac(byte, events)
            case _Reading.DATA:
                raise AssertionError("data is taken in runs, not by the byte")

    def _command(self, byte: int, events: list[Event]) -> None:
        self._reading = _Reading.DATA
        if byte == IAC:
            self._after_cr = False
            self._data.append(IAC)
        elif byte in (WILL, WONT, DO, DONT):
            self._verb, self._reading = byte, _Reading.OPTION
        elif byte == SB:
            self._sub.clear()
            self._reading = _Reading.SUBNEGOTIATION
        elif byte in (EC, EL):
            self._after_cr = False
            self._data += ERASE if byte == EC else KILL
        else:
            self._flush(events)
            if byte in (IP, BRK):
                events.append(Interrupt())
            elif byte == AYT:
                events.append(AreYouThere())
            else:
                events.append(Command(byte))

    def _option(self, option: int, events: list[Event]) -> None:
        self.negotiations += 1
        if self.negotiations > self._max_negotiations:
            raise LimitExceeded("telnet option negotiation", self._max_negotiations, unit="requests")
        ours = self._verb in (DO, DONT)
        if ours and option == TIMING_MARK:
            # RFC 860: a mark is answered each time and never becomes a state.
            self._request(WILL if self._verb == DO else WONT, option)
            return
        side = self._ours if ours else self._theirs
        changed = side.heard(option, agrees=self._verb in (DO, WILL))
        if changed is None:
            return
        if changed and not ours and option == TTYPE:
            self._output += bytes((IAC, SB, TTYPE, 1, IAC, SE))
        self._flush(events)
        events.append(OptionChanged(option, ours, changed))

    def _subnegotiation_iac(self, byte: int, events: list[Event]) -> None:
        if byte == IAC:
            self._keep(IAC)
            self._reading = _Reading.SUBNEGOTIATION
            return
        self._reading = _Reading.DATA
        if byte == SE:
            self._flush(events)
            event = _subnegotiated(bytes(self._sub))
            if event is not None:
                events.append(event)
        else:
            # A client that forgot SE: what follows is an ordinary command, and the unfinished part is dropped.
            self._sub.clear()
            self._command(byte, events)

    def _keep(self, byte: int) -> None:
        if len(self._sub) < self._max_subnegotiation:
            self._sub.append(byte)


def _subnegotiated(sub: bytes) -> Event | None:
    if len(sub) == 5 and sub[0] == NAWS:
        columns, rows = int.from_bytes(sub[1:3], "big"), int.from_bytes(sub[3:5], "big")
        return WindowSize(min(columns or 80, MAX_COLUMNS), min(rows or 24, MAX_ROWS))
    if len(sub) > 2 and sub[0] == TTYPE and sub[1] == 0:
        name = "".join(c for c in sub[2:66].decode("ascii", "ignore").lower() if c.isalnum() or c in "-_.+")
        return TerminalType(name or "unknown")
    return None
