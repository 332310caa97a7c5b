"""Calls that are confirmed only when they are on disk, and are made again after a crash.

    from midair.runtime.journal import dice, journaled, now

    class Bank(Service):
        @journaled
        def transfer(self, source: str, target: str, amount: int) -> int: ...

    left = await bank.transfer("ann", "bob", 5)      # on disk when this line goes on

calls.py     the decorator, and the clock and dice that are the same in a replay
journal.py   one space's journal: open with replay, call, rotate at each snapshot
writing.py   the thread that writes: many calls, one sync
records.py   the bytes
"""

from __future__ import annotations

from .calls import dice, is_journaled, journaled, now
from .journal import (
    Replayed,
    Status,
    catch_up,
    close_journal,
    open_journal,
    pending,
    position,
    set_aside,
    snapshotted,
    status,
    wanted,
)
from .records import JournalCorrupt, JournalError

__all__ = [
    "JournalCorrupt",
    "JournalError",
    "Replayed",
    "Status",
    "catch_up",
    "close_journal",
    "dice",
    "is_journaled",
    "journaled",
    "now",
    "open_journal",
    "pending",
    "position",
    "set_aside",
    "snapshotted",
    "status",
    "wanted",
]
