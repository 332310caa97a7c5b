"""What can go wrong, as a tree; each branch is a different thing the caller can do about it.

    MidairError
    ├ SpaceError          a name, a path or a place in the space is wrong
    │ └ NoSuchObject      (KeyError) nothing there; says how far the path exists
    ├ SnapshotError       a `.spl` file could not be written or read; the older file is untouched
    │ ├ NotStorable       (TypeError) an object that cannot be saved, by its path
    │ ├ SnapshotCorrupt   the bytes are damaged, and where
    │ ├ SnapshotTooNew    written by a newer midair
    │ ├ NotTrusted        the file is somebody else's and carries no good signature
    │ └ UpgradeRefused    the classes of today do not take the state of then
    ├ ServiceError        a service cannot do that now
    │ ├ NotAPort          (ArgumentTypeError) not the number of a port
    │ └ AddressInUse      (OSError) somebody listens there already
    ├ ServerError         the server cannot start or stop as asked
    │ └ AlreadyRunning    another process holds this space
    ├ ProtocolError       the peer broke the rules; it is told, if it can be, and dropped
    │ └ LimitExceeded     (ValueError) it sent or left unread more than is allowed
    └ ConsoleError        a person at a console asked for something that cannot be
      └ NotAuthorised     (PermissionError) their role does not allow it

`RebuildError` lives in `midair.runtime.rebuild`, which stands alone and imports nothing from here.
"""

from __future__ import annotations

import argparse
import errno


class MidairError(Exception):
    """Every error that midair raises on purpose, `RebuildError` excepted."""


class SpaceError(MidairError):
    """A name, a path or a place in the space is wrong."""


class NoSuchObject(SpaceError, KeyError):
    """Nothing is at this path in the space."""

    def __init__(self, path: str, *, nearest: str) -> None:
        super().__init__(path, nearest)
        self.path, self.nearest = path, nearest

    def __str__(self) -> str:
        return f"nothing at {self.path}; the path exists up to {self.nearest}"


class SnapshotError(MidairError):
    """A snapshot could not be written or read. What was on disk before is untouched."""


class NotStorable(SnapshotError, TypeError):
    """An object in the space cannot be saved."""

    def __init__(self, path: str, kind: str, reason: str) -> None:
        super().__init__(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason

    def __str__(self) -> str:
        return f"{self.path} cannot be saved: {self.kind}: {self.reason}"


class SnapshotCorrupt(SnapshotError):
    """The bytes of a snapshot are damaged."""

    def __init__(self, file: str, offset: int, problem: str) -> None:
        super().__init__(file, offset, problem)
        self.file, self.offset, self.problem = file, offset, problem

    def __str__(self) -> str:
        return f"{self.file} is damaged at byte {self.offset}: {self.problem}"


class SnapshotTooNew(SnapshotError):
    """A snapshot was written by a newer midair than this one."""

    def __init__(self, file: str, found: int, known: int) -> None:
        super().__init__(file, found, known)
        self.file, self.found, self.known = file, found, known

    def __str__(self) -> str:
        return (
            f"{self.file} has format {self.found}; this midair reads up to format {self.known}: install the newer one"
        )


class NotTrusted(SnapshotError):
    """A snapshot is not this user's own and has no signature that this user's key confirms."""


class UpgradeRefused(SnapshotError):
    """Some saved objects do not fit the classes of today, and the policy is strict."""


class ServiceError(MidairError):
    """A service cannot do that now."""


class NotAPort(ServiceError, argparse.ArgumentTypeError):
    """It is not the number of a port. Where an option says it, its parser tells the same sentence."""

    def __init__(self, value: object) -> None:
        super().__init__(value)
        self.value = value

    def __str__(self) -> str:
        return f"{self.value} is not a port; ports go from 0 to 65535"


class AddressInUse(ServiceError, OSError):
    """Somebody else listens there already."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EADDRINUSE, address)
        self.address = address

    def __str__(self) -> str:
        return f"{self.address} is in use by another program; nothing was started there"


class ServerError(MidairError):
    """The server cannot start or stop as asked."""


class AlreadyRunning(ServerError):
    """Another process runs this space."""

    def __init__(self, name: str, pid: int | None) -> None:
        super().__init__(name, pid)
        self.name, self.pid = name, pid

    def __str__(self) -> str:
        who = f"process {self.pid}" if self.pid else "another process"
        return f"{self.name} is already running in {who}; try 'midair attach {self.name}'"


class ProtocolError(MidairError):
    """The peer broke the rules of the protocol.

    Args:
        message: what it did.
        reply: bytes that tell it so, written before the connection closes.
    """

    def __init__(self, message: str, *, reply: bytes = b"") -> None:
        super().__init__(message)
        self.reply = reply


class LimitExceeded(ProtocolError, ValueError):
    """The peer sent, or left unread, more than is allowed."""

    def __init__(self, what: str, limit: float, *, unit: str, reply: bytes = b"") -> None:
        super().__init__(f"{what} is over the limit of {limit:g} {unit}", reply=reply)
        self.what, self.limit, self.unit = what, limit, unit


class ConsoleError(MidairError):
    """A person at a console asked for something that cannot be."""


class NotAuthorised(ConsoleError, PermissionError):
    """The person's role does not allow this."""
