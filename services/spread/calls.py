"""The peer's calls that take time here: a task each, which may be cancelled, hurried, and waited for by other calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Running:
    """One call under way."""

    __slots__ = ("_expired", "_seconds", "_timer", "perspective", "task", "unwanted")

    def __init__(self, task: asyncio.Future[Any], perspective: Any) -> None:
        self.task, self.perspective = task, perspective
        self._timer: asyncio.TimerHandle | None = None
        self._seconds = 0.0
        self._expired = False
        self.unwanted = False  # the caller cancelled it: no answer

    def limit(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._seconds = seconds
        self._timer = loop.call_later(seconds, self._expire)

    def cancel(self) -> None:
        self.task.cancel()

    def ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def failed(self) -> bool:
        return not self.task.cancelled() and self.task.exception() is not None

    def result(self) -> Any:
        if self._expired and self.task.cancelled():
            raise TimeoutError(f"the method did not end within {self._seconds:g} s and was cancelled")
        return self.task.result()

    @property
    def object(self) -> Any:
        """What the call returned; None when it failed or is not done."""
        done = self.task.done() and not self.task.cancelled() and self.task.exception() is None
        return self.task.result() if done else None

    def _expire(self) -> None:
        self._expired = True
        self.cancel()


def run(
    loop: asyncio.AbstractEventLoop, work: Any, perspective: Any, seconds: Any, ended: Callable[[Running], None]
) -> Running:
    """Run a coroutine, or wait for a future; `ended` is called with the result at hand."""
    task = asyncio.ensure_future(work, loop=loop)
    running = Running(task, perspective)
    if isinstance(seconds, int | float) and seconds > 0:
        running.limit(loop, seconds)

    def done(_: asyncio.Future[Any]) -> None:
        running.ended()
        ended(running)

    task.add_done_callback(done)
    return running
