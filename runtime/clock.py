"""Time as the timers see it: what the wall clock says, and a call when it says something later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Handle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What timers need of time. `midair.runtime.testing.FakeClock` is another one."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> Handle:
        """Call on the loop, once, `delay` seconds from now."""
        ...


class LoopClock:
    """The wall clock, and the event loop's own timers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return time.time()

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> Handle:
        return self._loop.call_later(delay, call, *args)
