"""Who waited for an answer goes on in the turn of the loop that read it, and not in one more turn after it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Turn:
    """The loop, as the promises of one connection see it: what is to be called soon is, at the end of a turn that reads.

    A turn of the loop costs a system call and more of Python than a short message does. What waits goes on with no
    task under way, as always; all that it has to say is still one write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reading = False
        self._due: deque[tuple[Callable[..., Any], tuple[Any, ...], Context]] = deque()
        # What a future asks of its loop besides.
        self.get_debug = loop.get_debug
        self.call_exception_handler = loop.call_exception_handler

    def begin(self) -> None:
        """From here on keep what is to be called."""
        self._reading = True

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context) -> None:
        if self._reading:
            self._due.append((callback, args, context))
        else:
            self._loop.call_soon(callback, *args, context=context)

    def end(self) -> None:
        """Call it now."""
        self._reading = False
        due = self._due
        if not due:
            return
        try:
            # Tasks cannot be entered from within one, as in a test that hands us bytes; then it waits for the loop.
            while due and asyncio.current_task(self._loop) is None:
                callback, args, context = due.popleft()
                try:
                    context.run(callback, *args)
                except Exception as error:  # noqa: BLE001 - as the loop itself treats what it calls
                    self.call_exception_handler({"message": f"Exception in callback {callback!r}", "exception": error})
        finally:
            for callback, args, context in due:
                self._loop.call_soon(callback, *args, context=context)
            due.clear()
