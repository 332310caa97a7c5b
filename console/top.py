"""`top()`: what the server does now, live. `q` leaves.

Who uses the CPU is found by looking at the server's thread fifty times a second: which task it is in, or that it waits. That costs the
server nothing but the moment of a look.
"""

import asyncio
import contextlib
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .display import BOLD, DIM, PLAIN, Table, _fit, one_line
from .interrupt import describe_thread

if TYPE_CHECKING:
    from .session import Session

LOOK = 0.02
"""Seconds between two looks at the server's thread."""

DRAW = 1.0
"""Seconds between two drawings."""

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?1049l\x1b[?25h"


class Top:
    """The live view. Works while the server's loop is stuck, and says so."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self._left = asyncio.Event()
        self._looks: Counter[str] = Counter()
        self._answered = time.monotonic()
        self._asked = False
        self._lag = 0.0

    def feed(self, data: bytes) -> None:
        if {*data} & {*b"qQ\x03\x04\x1b"}:
            self._left.set()

    def resized(self) -> None:
        self._draw()

    def end(self) -> None:
        self._left.set()

    async def run(self) -> int:
        self._write(_ENTER)
        try:
            due = 0.0
            while self.session.alive and not self._left.is_set():
                self._look()
                if time.monotonic() >= due:
                    self._draw()
                    self._looks.clear()
                    due = time.monotonic() + DRAW
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._left.wait(), LOOK)
        finally:
            self._write(_LEAVE)
        return 0

    def _look(self) -> None:
        console = self.session.console
        where = describe_thread(console.server_thread, sys._current_frames())
        task = asyncio.tasks._current_tasks.get(console.server.loop)  # type: ignore[attr-defined]  # a plain dict of asyncio's
        self._looks["" if where == "idle" else _task_name(task)] += 1
        if not self._asked:
            self._asked, self._answered = True, time.monotonic()
            console.runner.call_server(self._heard)
        self._lag = max(self._lag * 0.98, time.monotonic() - self._answered) if self._asked else self._lag

    def _heard(self) -> None:
        self._asked = False

    def lines(self, width: int, height: int) -> list[str]:
        """What is on the screen now, at most `height` lines of `width`."""
        console = self.session.console
        status: dict[str, Any] = console.server.status()
        stuck = self._asked and time.monotonic() - self._answered > DRAW
        where = one_line(describe_thread(console.server_thread, sys._current_frames()))
        looks = max(sum(self._looks.values()), 1)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        busy = f"loop {'STUCK' if stuck else 'busy'} {100 * (1 - self._looks[''] / looks):.0f} %"
        counts = " ".join(
            f"{name} {status.get(name, '-')}  " for name in ("connections", "timers", "jobs", "edits", "stragglers")
        )
        head = [
            f"{console.server.name}  {time.strftime('%H:%M:%S')}   q leaves",
            busy if where == "idle" else f"{busy}, at {where}",
            f"lag {self._lag * 1000:.0f} ms   cpu {usage.ru_utime + usage.ru_stime:.1f} s   memory {_memory():.0f} MiB",
            f"sessions {len(console.sessions)}   {counts}",
            "",
        ]
        rows = [(f"{100 * n / looks:.0f}", name) for name, n in self._looks.most_common() if name]
        table = Table(("% cpu", "task"), rows, empty="no task was seen on the CPU").text(width)
        return [_fit(line, width, right=False).rstrip() for line in [*head, *table.splitlines()]][:height]

    def _draw(self) -> None:
        lines = self.lines(self.session.columns, self.session.rows)
        lines[0] = f"{BOLD}{lines[0]}{PLAIN}"
        lines[1:4] = [f"{DIM}{line}{PLAIN}" for line in lines[1:4]]
        self._write("\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")

    def _write(self, text: str) -> None:
        wire = self.session.wire
        if wire.unsent() < self.session.max_unsent:
            wire.send(text.encode("utf-8", "replace"))


def _task_name(task: Any) -> str:
    if task is None:
        return "callbacks"
    coroutine = task.get_coro()
    return one_line(f"{getattr(coroutine, '__qualname__', '?')} ({task.get_name()})")


def _memory() -> float:
    """Resident memory of the process, in MiB."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # no /proc on this platform: the peak is what there is
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
