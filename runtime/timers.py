"""Calls at a later time that are saved with the space.

A `Timer` is plain data: whose method, which name, when by the wall clock, how often. The method is looked up by name
when the time comes, so an edit of it needs nothing. `Clockwork` is the running side: it arms the timers of one space
on a clock and is made anew at each start.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .clock import Clock, Handle
from .logs import owner

if TYPE_CHECKING:
    from .space import Space

log = logging.getLogger("midair.timers")

# The loop's timers follow a clock that stands still while the machine sleeps and does not move when the wall clock
# is set. Looking again at least this often, in seconds, keeps a due time honest to the wall clock.
_LONGEST_SLEEP = 60.0


class Timer:
    """One call to come: see `Service.call_later` and `Service.every`.

    In a snapshot: saved with its due time by the wall clock. One that fell due while the server was away runs once,
    right after the start.
    """

    __transient__ = ("_handle",)
    _handle: Handle | None = None

    def __init__(
        self, target: object, method: str, args: tuple[Any, ...], *, due: float, period: float | None = None
    ) -> None:
        self.target, self.method, self.args = target, method, args
        self.due, self.period = due, period
        self.cancelled = False

    def __repr__(self) -> str:
        every = f" every {self.period:g} s" if self.period else ""
        return f"<Timer {self.name} due {self.due:.3f}{every}>"

    @property
    def name(self) -> str:
        """The method, such as `Counter.report`."""
        return f"{type(self.target).__name__}.{self.method}"

    def cancel(self) -> None:
        """Never call. A timer that is cancelled in its own call does not come again."""
        self.cancelled = True
        if self._handle:
            self._handle.cancel()

    def due_again(self, now: float) -> None:
        """Set the next due time after `now`, on the beat of the earlier ones; ticks missed meanwhile coalesce."""
        assert self.period
        self.due += self.period * max(1, math.floor((now - self.due) / self.period) + 1)


def target_of(method: Callable[..., Any]) -> tuple[object, str]:
    """Split a bound method into what a timer saves: the object and the method's name.

    Raises:
        TypeError: it is something that could not be found again after a restart, such as a lambda.
    """
    target, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if target is None or inspect.ismodule(target) or getattr(target, name, None) != method:
        raise TypeError(
            f"a timer calls a method of an object in the space, so that it can be saved; got {method!r}: "
            "make it a method"
        )
    return target, name


class Clockwork:
    """Runs the timers of one space. One clockwork runs a space at a time."""

    def __init__(self, space: Space, clock: Clock, *, touch: Callable[[], None] = lambda: None) -> None:
        self._space, self._clock, self._touch = space, clock, touch
        self._running = False
        self._calls: set[asyncio.Future[Any]] = set()

    @property
    def clock(self) -> Clock:
        return self._clock

    def start(self) -> None:
        self._running = True
        for timer in list(self._space.timers):
            self.arm(timer)

    def stop(self) -> None:
        """Arm nothing more; calls under way are cancelled at their next await."""
        self._running = False
        for timer in self._space.timers:
            if timer._handle:
                timer._handle.cancel()
                timer._handle = None
        for call in self._calls:
            call.cancel()

    def arm(self, timer: Timer) -> None:
        """Have the timer called when it is due, if the space runs; else `start` will."""
        if timer._handle:
            timer._handle.cancel()
            timer._handle = None
        if self._running and not timer.cancelled:
            delay = min(max(0.0, timer.due - self._clock.now()), _LONGEST_SLEEP)
            timer._handle = self._clock.call_later(delay, self._look, timer)

    def _look(self, timer: Timer) -> None:
        now = self._clock.now()
        if timer.due > now:
            self.arm(timer)
            return
        # The next due time stands before the call, so that a snapshot from inside it, or a crash, repeats nothing.
        if timer.period:
            timer.due_again(now)
        else:
            self._space.timers.remove(timer)
        self._call(timer)
        if timer.period:
            if timer.cancelled:
                self._space.drop_timer(timer)
            else:
                self.arm(timer)

    def _call(self, timer: Timer) -> None:
        self._touch()
        token = owner.set(timer.name)
        try:
            result = getattr(timer.target, timer.method)(*timer.args)
            if inspect.isawaitable(result):
                task = asyncio.ensure_future(result)
                self._calls.add(task)
                task.add_done_callback(lambda done: self._ended(timer, done))
        except Exception:
            log.exception("error in %s; %s", timer.name, "it will be called again" if timer.period else "it is done")
        finally:
            owner.reset(token)

    def _ended(self, timer: Timer, task: asyncio.Future[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("error in %s", timer.name, exc_info=error)
