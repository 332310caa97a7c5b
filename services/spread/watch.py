"""Staying awake for an answer that is about to come.

A process that sleeps until its peer has answered is woken by the peer's core, which costs both of them more than a short
call does, and then runs slowly for a while. Where two programs call each other as fast as they can, a loop that goes on
looking for the few microseconds between saves most of that. Where the answer takes longer, or the peer needs this very
core, looking is a waste, and where it is there at the first look, nothing is saved; so it is tried after some turns, kept
up while it helps, and tried the less often the more often it did not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LOOKING = 100e-6
"""Seconds to look for an answer before going to sleep after all."""

FIRST, MOST = 15, 1023
"""Turns that are slept through before the first try, and between tries when none helps."""


class Watch:
    """One connection's. Looking is a turn of the loop after the other: what else happens is not held up.

    Args:
        soon: the loop's `call_soon`.
        clock: seconds, in the resolution of a microsecond or better.
    """

    __slots__ = ("_clock", "_looking", "_looks", "_pause", "_slept", "_soon", "_until")

    def __init__(self, soon: Callable[..., Any], clock: Callable[[], float] = time.perf_counter) -> None:
        self._soon, self._clock = soon, clock
        self._pause = FIRST  # turns to sleep through between two tries
        self._slept = 0
        self._until = 0.0  # when to give up; 0 while nothing is awaited
        self._looks = 0
        self._looking = False

    def sent(self) -> None:
        """A message went out, to which the peer may have something to say."""
        if self._slept < self._pause:
            self._slept += 1
            return
        self._slept = self._looks = 0
        self._until = self._clock() + LOOKING
        if not self._looking:
            self._looking = True
            self._soon(self._look)

    def heard(self) -> None:
        """Something came."""
        if self._until:
            self._ended(helped=self._looks > 1)

    def _look(self) -> None:
        if self._until and self._clock() < self._until:
            self._looks += 1
            self._soon(self._look)
            return
        self._looking = False
        if self._until:
            self._ended(helped=False)

    def _ended(self, *, helped: bool) -> None:
        self._until = 0.0
        self._pause = self._pause >> 1 if helped else min(2 * self._pause + 1, MOST)
