"""The thread that writes: it takes all that waits, writes it at once, syncs once, and confirms it all."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..disk import Disk, write_all
from .records import JournalError, file_header, pack_record


class _Waiting(NamedTuple):
    number: int
    payload: bytes
    done: Callable[[JournalError | None], None]


class Writer:
    """Appends records to the journal of one space.

    Args:
        first: the number of the next record.
        folder, name: files are `NAME.<first record>.journal`.
    """

    def __init__(
        self, folder: Path, name: str, uuid: str, first: int, loop: asyncio.AbstractEventLoop, disk: Disk
    ) -> None:
        self._folder, self._name, self._uuid, self._loop, self._disk = folder, name, uuid, loop, disk
        #: The number of the last record that was given out, and of the last that is on disk.
        self.last = self.confirmed = first - 1
        #: Why nothing is taken any more; empty while all is well.
        self.failed = ""
        # Filled by the loop and emptied by the thread, each from its end: no lock is needed for that.
        self._waiting: deque[_Waiting] = deque()
        self._called = False
        self._descriptor = -1
        self._new_file = True
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"journal {name}", daemon=True)
        self._thread.start()

    def append(self, payload: bytes, done: Callable[[JournalError | None], None]) -> int:
        """Write a record soon; its number. `done` is called on the loop once it is on disk, or with what went wrong."""
        self.last += 1
        self._waiting.append(_Waiting(self.last, payload, done))
        if not self._called:
            # After this turn of the loop, so that all who call in it share one sync.
            self._called = True
            self._loop.call_soon(self._call)
        return self.last

    def _call(self) -> None:
        self._called = False
        with self._wake:
            self._wake.notify()

    def rotate(self, held: int) -> None:
        """Go on in a new file: a snapshot holds everything up to this number.

        When the disk had refused, it is tried again only if that snapshot holds all that took effect: a number that is
        neither in a snapshot nor in a file would be missed by the next start.
        """
        with self._wake:
            self._new_file = True
            if held >= self.last:
                self.failed = ""

    def close(self) -> None:
        """Write what waits, then end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        if self._descriptor >= 0:
            self._disk.close(self._descriptor)
            self._descriptor = -1

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._stopping:
                    self._wake.wait()
                batch = self._taken()
                fresh, self._new_file = self._new_file and bool(batch), self._new_file and not batch
            if not batch:
                return
            error = self._write(batch, fresh=fresh)
            if error is None:
                self.confirmed = batch[-1].number
            else:
                self.failed = str(error)
                # Those that came meanwhile took effect under the belief that all was well; they are not on disk.
                batch += self._taken()
            self._loop.call_soon_threadsafe(_confirm, batch, error)

    def _taken(self) -> list[_Waiting]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def _write(self, batch: list[_Waiting], *, fresh: bool) -> JournalError | None:
        if self.failed:
            return JournalError(self.failed)
        try:
            if fresh:
                self._open(batch[0].number)
            data = b"".join(pack_record(one.number, self.confirmed, one.payload) for one in batch)
            write_all(self._disk, self._descriptor, data)
            self._disk.sync_data(self._descriptor)
        except OSError as error:
            return JournalError(
                f"the journal of {self._name} cannot be written ({error.strerror or error}); "
                "calls are refused until a snapshot succeeds"
            )
        return None

    def _open(self, first: int) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._disk.close(descriptor)
        path = self._folder / f"{self._name}.{first}.journal"
        if self._disk.status(path) is not None:
            # A write that was refused left it, or a restore; nothing in it was confirmed under these numbers.
            self._disk.rename(path, path.with_name(path.name + ".unconfirmed"))
        self._descriptor = self._disk.create(path)
        write_all(self._disk, self._descriptor, file_header(self._uuid, first))
        self._disk.sync_data(self._descriptor)
        self._disk.sync_folder(self._folder)


def _confirm(batch: list[_Waiting], error: JournalError | None) -> None:
    for one in batch:
        one.done(error)
