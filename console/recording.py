"""What a session's screen showed, kept in a file and shown again.

The file is an asciicast (version 2): a line of JSON with the size, then one line for each piece of output with its time. Only output is kept: what
is typed where nothing is shown, a password, is not in it. Files are `NAME.recordings/USER-<when>.cast`, mode 0600.
"""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.errors import ConsoleError

if TYPE_CHECKING:
    from .session import Session, Wire

MAX_BYTES = 16 * 1024 * 1024
"""Largest recording; it ends there, and says so."""

MAX_GAP = 2.0
"""Longest silence in a replay, in seconds."""


class Recorded:
    """A session's wire that also writes down what goes over it."""

    def __init__(self, session: "Session", path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self.session, self.path = session, path
        self.wire: Wire = session.wire
        self._began = time.monotonic()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115 - open until `end`
        self._put({"version": 2, "width": session.columns, "height": session.rows, "timestamp": int(time.time())})
        session.wire = self

    def send(self, data: bytes) -> None:
        self.wire.send(data)
        if self._file.closed:
            return
        self._put([round(time.monotonic() - self._began, 6), "o", data.decode("utf-8", "replace")])
        if self._file.tell() > MAX_BYTES:
            self.end()
            self.session.print(f"the recording ended at {MAX_BYTES // 2**20} MiB\n", "err")

    def unsent(self) -> int:
        return self.wire.unsent()

    def hide(self, hidden: bool) -> None:
        self.wire.hide(hidden)

    def close(self) -> None:
        self.end()
        self.wire.close()

    def end(self) -> None:
        """Keep what there is, and go on without."""
        if self.session.wire is self:
            self.session.wire = self.wire
        self._file.close()

    def _put(self, entry: Any) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def read(path: Path) -> Iterator[tuple[float, str]]:
    """(seconds, output) of a recording.

    Raises:
        ConsoleError: it is not one.
    """
    with path.open(encoding="utf-8") as file:
        try:
            if json.loads(file.readline()).get("version") != 2:
                raise ConsoleError(f"{path.name} is not a recording")
            for line in file:
                seconds, kind, text = json.loads(line)
                if kind == "o":
                    yield float(seconds), str(text)
        except (ValueError, TypeError, AttributeError) as error:
            raise ConsoleError(f"{path.name} is damaged: {error}") from error


class Replay:
    """Shows a recording again, at its own speed; `q` leaves."""

    def __init__(self, session: "Session", entries: list[tuple[float, str]], speed: float) -> None:
        self.session, self.entries, self.speed = session, entries, speed
        self._left = asyncio.Event()

    def feed(self, data: bytes) -> None:
        if {*data} & {*b"qQ\x03\x04"}:
            self._left.set()

    def resized(self) -> None:
        return

    def end(self) -> None:
        self._left.set()

    async def run(self) -> int:
        before = 0.0
        wire = self.session.wire
        for seconds, text in self.entries:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), min(seconds - before, MAX_GAP) / self.speed)
            if self._left.is_set():
                break
            before = seconds
            if wire.unsent() < self.session.max_unsent:
                wire.send(text.encode())
        wire.send(b"\x1b[0m\x1b[?25h\r\n[the recording ends]\r\n")
        return 0
