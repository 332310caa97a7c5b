"""What can go wrong between two peers.

SpreadError           (MidairError)
├ RemoteError         the peer's method raised; `type` says what
├ DeadReference       (ConnectionError) the connection is gone, or was never there
├ NotSendable         (TypeError) a value has no form on the wire; nothing was sent
├ NoSuchMethod        (AttributeError) the object does not offer that
├ Unauthorized        (PermissionError) no such user and password here, or too many tries
└ BadAddress          (ValueError) an address or URL that cannot be read
BadMessage            (ProtocolError) what came is not the protocol; the connection is closed
NotAllowed            (BadMessage) it names a class that was not registered; refused, and the call fails
"""

from __future__ import annotations

import builtins
import re
from functools import cache

from ...runtime.errors import LimitExceeded, MidairError, ProtocolError


class SpreadError(MidairError):
    """Something between two peers went wrong."""


class DeadReference(SpreadError, ConnectionError):
    """The connection that a reference belongs to is gone, or never was."""


class NotSendable(SpreadError, TypeError):
    """A value has no form on the wire. Nothing was sent."""


class NoSuchMethod(SpreadError, AttributeError):
    """The object offers no such method to its peers."""

    wire_parents = ("twisted.spread.flavors.NoSuchMethod",)


class Unauthorized(SpreadError, PermissionError):
    """The login was refused."""

    wire_parents = ("twisted.cred.error.UnauthorizedLogin", "twisted.cred.error.LoginFailed")


class BadAddress(SpreadError, ValueError):
    """An address or a URL that cannot be read."""


class BadMessage(ProtocolError):
    """What came is not the protocol."""


class NotAllowed(BadMessage):
    """A message asks for a class that was not registered, or for something that never crosses the wire."""


class RemoteError(SpreadError):
    """A method at the peer raised.

    When the peer's error is one of Python's own, or of this package, the error raised here is both: `except KeyError`
    catches a KeyError of the peer.

    Attributes:
        type: the dotted name of the error's class there: `builtins.KeyError`.
        parents: the dotted names of its class and bases, most derived first.
        text: what it said.
        traceback: where it happened there, as text; "" unless the peer gives tracebacks away.
    """

    def __init__(self, type: str, text: str, parents: tuple[str, ...] = (), traceback: str = "") -> None:
        Exception.__init__(self, type, text, parents, traceback)
        self.type, self.text, self.parents, self.traceback = type, text, parents or (type,), traceback
        if traceback:
            self.add_note(f"At the peer:\n{traceback.rstrip()}")

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type

    def __reduce__(self) -> tuple[object, ...]:
        return remake, (self.type, self.text, self.parents, self.traceback)

    def is_a(self, *kinds: type[BaseException] | str) -> bool:
        """Whether the peer's error is of one of these classes, given as classes or dotted names."""
        names = {kind if isinstance(kind, str) else dotted(kind) for kind in kinds}
        return not names.isdisjoint(self.parents)


def dotted(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def lineage(kind: type[BaseException]) -> tuple[str, ...]:
    """The names by which a peer may know an error: its bases', and what other implementations call it."""
    return (*map(dotted, kind.__mro__), *getattr(kind, "wire_parents", ()))


def remake(type: str, text: str, parents: tuple[str, ...] = (), traceback: str = "") -> RemoteError:
    """The error to raise here for one that happened there, in characters that do nothing to a terminal or a log."""
    type, text, traceback = (_CONTROL.sub("?", words) for words in (type, text, traceback))  # noqa: A001 - the parameter
    for name in (type, *parents):
        known = _known().get(name)
        if known is not None:
            return known(type, text, parents, traceback)
    return RemoteError(type, text, parents, traceback)


@cache
def _known() -> dict[str, type[RemoteError]]:
    """For the name of each error that may be raised again here, a class that is it and a RemoteError."""
    table: dict[str, type[RemoteError]] = {}
    ours = (NoSuchMethod, Unauthorized, NotSendable, DeadReference, LimitExceeded, NotAllowed)
    for kind in (*vars(builtins).values(), *ours):
        # A base with a C layout of its own that wants its arguments, such as UnicodeDecodeError, cannot be joined.
        if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, UnicodeError | Warning):
            continue
        if kind in (Exception, StopIteration, StopAsyncIteration) or issubclass(kind, BaseExceptionGroup):
            continue
        joined = type(f"Remote{kind.__name__}", (RemoteError, kind), {"__module__": __name__})
        for name in (dotted(kind), *getattr(kind, "wire_parents", ())):
            table[name] = joined
    return table
