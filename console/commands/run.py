"""Commands about what is running: tasks, timers, stacks, limits, work in threads."""

import asyncio
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

from ...runtime.errors import ConsoleError
from ..display import Table, Text, one_line
from ..interrupt import describe_thread
from ..session import current
from ..takeover import take_over
from ..top import Top
from ..users import Role
from .base import Pending, command


@command(looks=True)
def tasks() -> Table:
    """The asyncio tasks of the server: what they run and where they wait. cancel("name") ends one."""
    rows = []
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
        rows.append((task.get_name(), name, _waits_at(task)))
    return Table(("task", "runs", "waits at"), sorted(rows), empty="no tasks")


def _waits_at(task: "asyncio.Task[Any]") -> str:
    stack = task.get_stack(limit=1)
    if not stack:
        return ""
    frame = stack[-1]
    return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}"


@command()
def cancel(task: str) -> Text:
    """Cancel a task by its name, as tasks() shows it, or the timers that call a method, as timers() does."""
    space = current().console.server.space
    chosen: list[Any] = [t for t in asyncio.all_tasks() if t.get_name() == task]
    due = [timer for timer in space.timers if timer.name == task]
    for timer in due:
        space.drop_timer(timer)
    if not chosen and not due:
        raise ConsoleError(f"there is no task {task!r}; tasks() and timers() list them")
    for one in chosen:
        one.cancel()
    return Text(f"cancelled {task}")


@command(looks=True)
def timers() -> Table:
    """The timers of the space, by when they are due."""
    now = time.time()
    rows = sorted(
        (timer.due - now, one_line(str(timer.name)), f"every {timer.period:g} s" if timer.period else "once")
        for timer in current().console.server.space.timers
    )
    return Table(("due in s", "calls", "how often"), rows, empty="no timers")


MAX_TASKS = 30
"""Tasks whose stacks are shown at once."""


def _waiting_at(task: "asyncio.Task[Any]") -> list[str]:
    """The coroutines of a task, from its own to the one that waits."""
    found: list[tuple[types.FrameType, int]] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(found) < 12:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            found.append((frame, frame.f_lineno))
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return traceback.StackSummary.extract(iter(found)).format()


@command(looks=True, aside=True)
def stacks(name: str = "") -> Text:
    """Where every thread is now, the server's loop first, and where its tasks wait; works while the loop is stuck."""
    console = current().console
    names = {t.ident: t.name for t in threading.enumerate()}
    frames = sys._current_frames()
    parts = []
    for ident in sorted(frames, key=lambda i: (i != console.server_thread, i)):
        thread = "server's loop" if ident == console.server_thread else names.get(ident, str(ident))
        if name not in thread:
            continue
        where = describe_thread(ident, frames)
        parts.append(f"-- {thread}: {where}\n" + "".join(traceback.format_stack(frames[ident], limit=12)))
    waiting = [task for task in asyncio.all_tasks(console.server.loop) if name in task.get_name()]
    parts += [
        f"-- task {one_line(task.get_name())} waits at\n" + "".join(_waiting_at(task))
        for task in sorted(waiting, key=lambda task: task.get_name())[:MAX_TASKS]
    ]
    if len(waiting) > MAX_TASKS:
        parts.append(f"-- and {len(waiting) - MAX_TASKS} more tasks; tasks() lists them, stacks('name') shows one")
    return Text("\n".join(parts).rstrip())


@command(looks=True, aside=True)
async def top() -> None:
    """A live view of the loop, its tasks by CPU, connections, edits and memory; q leaves."""
    session = current()
    await take_over(session, Top(session))


@command(aside=True)
async def interrupt() -> Text:
    """Free the server's loop from code that keeps it to itself: raises Interrupted there, and the loop goes on.

    A statement of a session is stopped by its own Ctrl-C; this is for everybody else's code. A loop that comes round within half a
    second is left alone.
    """
    session = current()
    console = session.console
    round_ = asyncio.Event()
    console.runner.call_server(lambda: console.call(round_.set))
    try:
        await asyncio.wait_for(round_.wait(), STUCK)
    except TimeoutError:
        where = describe_thread(console.server_thread, sys._current_frames())
        # Queued behind what is stuck: if that ends by itself first, nobody else is hit.
        console.runner.call_server(console.interrupter.forget)
        console.interrupter.free(session.user)
        return Text(f"interrupted {where}")
    return Text("the server's loop comes round; there is nothing to interrupt")


STUCK = 0.5
"""Seconds after which a loop that does not come round is stuck."""


@command(aside=True, role=Role.ADMIN)
def limit(seconds: float) -> Text:
    """How long a statement of this session may keep the loop without giving it back, in seconds; 0 for no limit. At first 5."""
    if seconds < 0:
        raise ConsoleError(f"{seconds:g} s is no limit; 0 means none")
    current().limit = float(seconds)
    return Text(f"statements of this session may run {seconds:g} s" if seconds else "no limit in this session")


@command(role=Role.ADMIN)
def bg(fn: Callable[..., Any], *args: Any) -> Pending:
    """Run fn(*args) in a thread, so that the server goes on meanwhile. `task = bg(fn)` and later `await task` for its result."""
    session = current()

    async def work() -> Any:
        return await asyncio.to_thread(fn, *args)

    pending = Pending(f"bg {getattr(fn, '__qualname__', fn)}", work(), waits=False)
    pending.task.set_name(f"{pending.name} of {session.user}")
    return pending


@command(role=Role.ADMIN)
async def sh(line: str) -> Text:
    """Run a shell command and show what it prints; the server goes on meanwhile."""
    process = await asyncio.create_subprocess_shell(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    text = output.decode("utf-8", "replace").rstrip("\n")
    return Text(text if not process.returncode else f"{text}\n[exit status {process.returncode}]".lstrip("\n"))


def _short(filename: str) -> str:
    return "/".join(filename.rsplit("/", 2)[-2:])
