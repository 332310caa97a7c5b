"""Stopping code that does not stop by itself.

Python runs signal handlers in the main thread, between two bytecodes, and a signal also wakes a blocking system call. So the console's
thread sends SIGURG to the main thread, and the handler raises *only if the frame of the statement concerned is on the stack*: it can hit
neither the event loop nor somebody else's callback. SIGURG, because nobody uses it and its default is to be ignored.

A statement's time limit is a kernel timer (SIGALRM): unlike a watchdog thread it works while a C call holds the GIL, as soon as that call
looks for signals (`re`, `int`, `sorted` do; `sum(range(...))` does so at its end).

Where the server's loop is not in the main thread, an exception is sent into that thread instead; it does not wake system calls.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Protocol

LOOP_MODULES = frozenset(
    {"asyncio.base_events", "asyncio.events", "asyncio.runners", "selectors", "asyncio.selector_events"}
)

IDLE_MODULES = frozenset({"selectors", "asyncio.runners"})
"""Where the innermost Python frame of a waiting loop is; uvloop waits in C, right below the runner."""

_REPEAT = 1.0078125
"""Seconds until a statement that swallowed the end of its limit meets the next one. Odd, so that a timer can be told to be ours."""


class Interrupted(BaseException):
    """Raised into code that kept the server's loop to itself, by `interrupt()`. The loop reports it and goes on."""


class LimitReached(KeyboardInterrupt):
    """A statement kept the loop to itself for longer than its limit."""


class _TakenBack(BaseException):
    """Takes the place of an exception that was sent and has not arrived."""


class Stoppable(Protocol):
    """What may be stopped: a statement."""

    wanted: bool
    """Somebody pressed Ctrl-C and it has not been delivered yet."""

    @property
    def limit(self) -> float:
        """Seconds that one slice may take; 0 for no limit."""
        ...


class Interrupter:
    """Runs slices of statements so that they can be stopped, from any thread.

    `install()` in the thread of the server's loop, before anything else; `uninstall()` puts the signal handlers back.
    """

    def __init__(self) -> None:
        self.current: Stoppable | None = None
        self._thread = 0
        self._main = False
        self._free: str | None = None
        self._slices = frozenset({self.slice.__func__.__code__})  # type: ignore[attr-defined]  # a bound method has one
        self._previous: dict[signal.Signals, Any] = {}
        self._knocks = 0
        self._pressing = threading.Lock()  # between seeing whose slice runs and stopping it, the slice does not end
        self._sent = False  # an exception, into a thread where signals do not arrive

    def install(self) -> None:
        self._thread = threading.get_ident()
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            for number, handler in ((signal.SIGURG, self._on_press), (signal.SIGALRM, self._on_timer)):
                self._previous[number] = signal.signal(number, handler)

    def uninstall(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    # -- running

    def slice(self, statement: Stoppable, coroutine: Coroutine[Any, Any, Any], error: BaseException | None) -> Any:
        """Run a coroutine to its next await. This frame on the stack is what makes the code below it stoppable."""
        if statement.wanted:
            statement.wanted = False
            error = KeyboardInterrupt()
        return coroutine.send(None) if error is None else coroutine.throw(error)

    def step(self, statement: Stoppable, coroutine: Coroutine[Any, Any, Any], error: BaseException | None) -> Any:
        """One slice with its time limit. Server's thread only."""
        self.current = statement
        try:
            with self._timer(statement.limit):
                return self.slice(statement, coroutine, error)
        finally:
            try:
                self._let_go()
            except (KeyboardInterrupt, Interrupted):
                self._let_go()  # it came when the slice was over: the statement hears of it in its next

    def _let_go(self) -> None:
        """From here on no press reaches the thread of the server."""
        with self._pressing:
            self.current = None
        if self._sent:
            self._take_back()

    def _take_back(self) -> None:
        """What was sent and has not arrived is not to hit whatever runs next.

        It is replaced and caught, as clearing it would leave CPython believing that it waits: every call would look for it, and
        a function under `sys.settrace` would look for ever (3.11), so that a debugger would stop the whole process.
        """
        self._sent = False
        try:
            _send(self._thread, _TakenBack)
            while True:
                pass
        except (_TakenBack, KeyboardInterrupt, Interrupted):
            pass

    @contextmanager
    def _timer(self, limit: float) -> Generator[None, None, None]:
        if not limit or not self._main:
            yield
            return
        before, began = signal.setitimer(signal.ITIMER_REAL, limit, _REPEAT), time.monotonic()
        try:
            yield
        finally:
            found = signal.setitimer(signal.ITIMER_REAL, 0)
            if found[0] and abs(found[1] - _REPEAT) > 1e-4:
                signal.setitimer(signal.ITIMER_REAL, *found)  # the statement has set the timer for itself
            elif before[0]:
                rest = max(before[0] - (time.monotonic() - began), 0.001)
                signal.setitimer(signal.ITIMER_REAL, rest, before[1])

    # -- stopping

    def press(self, statement: Stoppable) -> None:
        """Stop a statement if it is on the CPU now; otherwise it stops as soon as it would be. Any thread."""
        statement.wanted = True
        with self._pressing:
            if self.current is statement:
                self._knock(KeyboardInterrupt)

    def free(self, who: str) -> None:
        """Raise `Interrupted` into whatever the server's loop is running: a callback that never returns. Any thread."""
        self._free = who
        self._knock(Interrupted)

    def forget(self) -> None:
        """The loop has come round by itself: nothing is to be freed any more."""
        self._free = None

    def _knock(self, kind: type[BaseException]) -> None:
        if self._main:
            self._knocks += 1
            signal.pthread_kill(self._thread, signal.SIGURG)
        else:
            self._sent = True
            _send(self._thread, kind)

    def _on_press(self, number: int, frame: FrameType | None) -> None:
        statement = self.current
        ours, self._knocks = bool(self._knocks), 0
        # A signal that is not ours comes from `midair attach` of the same user, outside, because a C call held the GIL for so
        # long that the press could not even be noted: it is meant for the statement that is on the CPU.
        if statement is not None and (statement.wanted or not ours) and _below(frame, self._slices):
            statement.wanted = False
            raise KeyboardInterrupt
        if self._free is not None:
            who, self._free = self._free, None
            if frame is not None and frame.f_globals.get("__name__") not in LOOP_MODULES:
                raise Interrupted(f"interrupted by {who}")
            return
        self._pass_on(number, frame)

    def _on_timer(self, number: int, frame: FrameType | None) -> None:
        statement = self.current
        if statement is not None and statement.limit and _below(frame, self._slices):
            raise LimitReached(
                f"stopped after {statement.limit:g} s without giving the server's loop back; "
                f"limit(60) allows more, bg(fn) runs fn in a thread"
            )
        self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(signal.Signals(number))
        if callable(previous):
            previous(number, frame)


def _send(thread: int, kind: type[BaseException]) -> None:
    """Raise an exception in a thread, between two of its bytecodes."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def _below(frame: FrameType | None, codes: frozenset[CodeType]) -> bool:
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False


def describe_thread(thread: int, frames: dict[int, FrameType]) -> str:
    """Where a thread is now: `game/world.py:120 in tick`, or `idle` for a loop that waits for events."""
    frame = frames.get(thread)
    if frame is None:
        return "not running"
    if frame.f_globals.get("__name__") in IDLE_MODULES:
        return "idle"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
