"""The same rebuild for a running server: planned in a thread, rehearsed in a fork where upgrades are many, in slices.

The commit is one step of the loop. Upgrades that do not fit into it are left to guards: an instance is upgraded at its
first access, or by a slice between two events, whichever comes first. A guard is an ordinary `__getattribute__` on the
classes concerned, for as long as there are instances to upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
import signal
import sys
import time
import types
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import edits, engine, guards, instances, sources
from .errors import RebuildError
from .plan import ModulePlan
from .report import Report

log = logging.getLogger("midair.rebuild")

FEW = 100  # instances that are upgraded in the commit itself, without a rehearsal, when a slice suffices for them
SLICE = 0.004  # seconds of upgrades between two events
REST = 0.0001  # seconds between two pieces of planning
REHEARSAL = 60.0  # seconds after which a rehearsal is given up

_locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()


@dataclass(eq=False)
class _Request:
    modules: tuple[str | types.ModuleType, ...]
    texts: Mapping[str, str | bytes] | None
    who: str
    undo_of: int | None = None


async def apply(
    *modules: str | types.ModuleType,
    sources: Mapping[str, str | bytes] | None = None,
    who: str = "",
    undo: int | bool = False,
    write: bool = False,
) -> Report:
    """Rebuild inside a running loop; arguments and report are those of `rebuild()`.

    Args:
        undo: go back one edit (True) or to before that edit (its number), as `undo()` does; write: as there.

    Raises:
        RebuildError: refused; nothing was changed. A rehearsal that failed says stage "rehearsal".
    """
    loop = asyncio.get_running_loop()
    async with _locks.setdefault(loop, asyncio.Lock()):
        request = _Request(modules, sources, who)
        if undo is not False:
            request.texts, request.undo_of = edits.undo_texts(None if undo is True else undo)
        report = await _apply(request)
        if undo is not False and write:
            await asyncio.to_thread(edits.write_back, dict(request.texts or {}))
        elif undo is not False:
            edits.note_on_disk(report)
        return report


async def _apply(request: _Request, *, at_once: bool = True) -> Report:
    wanted = await asyncio.to_thread(engine.read, request.modules, request.texts)
    if not wanted.texts:
        return Report(time=time.time())
    files = {wanted.paths.get(n) or sources.records[n].path for n in wanted.texts}
    try:
        rest = functools.partial(_rest, asyncio.get_running_loop())
        plans = await asyncio.to_thread(engine.make_plans, wanted, rest)
        await _after_next_timer(asyncio.get_running_loop())
        if any(each.record.text is not each.base for each in plans):
            return await _apply(request)  # another edit came in between
        waiting = guards.Waiting()
        count = instances.expected(plans)
        at_once = at_once and count <= FEW
        if not at_once:
            await _rehearse(wanted, plans, files, count)
        given = (None, SLICE) if at_once else (waiting, None)
        with engine.exclusively():
            report = engine.commit(wanted, plans, files, request.who, request.undo_of, *given)
        _keep_time(asyncio.get_running_loop())
    except instances.TooSlow:
        return await _apply(request, at_once=False)
    except RebuildError as error:
        edits.refuse(error, files, engine.current(wanted), request.who)
        raise
    await _finish(waiting, report)
    return report


def _rest(loop: asyncio.AbstractEventLoop) -> None:
    """In the thread that plans: let the loop take its turn."""
    _wake(loop)
    time.sleep(REST)


def _keep_time(loop: asyncio.AbstractEventLoop) -> None:
    """See that the next timer is not late for us.

    A loop sleeps in whole milliseconds: one that we woke, or kept busy, may miss the next timer by almost that.
    """
    if wait := _soon(loop):
        loop.run_in_executor(None, _wake, loop, wait)


async def _after_next_timer(loop: asyncio.AbstractEventLoop) -> None:
    """Let a timer that is due within a millisecond go before the commit, so that it does not wait for that."""
    if wait := _soon(loop):
        await loop.run_in_executor(None, time.sleep, wait)
        await asyncio.sleep(0)


def _soon(loop: asyncio.AbstractEventLoop) -> float:
    """Seconds to the next timer, when that is less than a millisecond."""
    timers = getattr(loop, "_scheduled", None)  # asyncio's own loops have it; where it is not, a timer may be late
    wait = float(timers[0].when() - loop.time()) if timers else 0.0
    return wait if 0 < wait < 0.001 else 0.0


def _wake(loop: asyncio.AbstractEventLoop, wait: float = 0.0) -> None:
    if wait:
        time.sleep(wait)
    with contextlib.suppress(RuntimeError):  # it was closed meanwhile
        loop.call_soon_threadsafe(int)


async def _finish(waiting: guards.Waiting, report: Report) -> None:
    """Upgrade what waits, a slice at a time, while everything else goes on."""
    if not waiting:
        return
    while waiting:
        waiting.some(SLICE)
        await asyncio.sleep(0)
    report.upgraded += waiting.done
    report.not_upgraded = waiting.quarantined
    log.info("edit %d: %d instances upgraded%s", report.number, waiting.done, waiting.failures())


async def _rehearse(wanted: engine.Wanted, plans: list[ModulePlan], files: set[str], count: int) -> None:
    """Try the whole edit, hooks included, in a copy of the process.

    Raises:
        RebuildError: what it raised there.
    """
    if not hasattr(os, "fork"):
        log.warning("this system cannot fork: %d instances are upgraded without a rehearsal", count)
        return
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os.close(reading)
        _be_the_copy(writing, wanted, plans, files)
    os.close(writing)
    try:
        answer = await asyncio.wait_for(_read(reading), REHEARSAL)
    except TimeoutError:
        answer = {"reason": f"the rehearsal did not end within {REHEARSAL:.0f} s", "file": None, "line": None}
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        await asyncio.to_thread(_reap, child)
    if answer:
        raise RebuildError(answer["reason"], file=answer["file"], line=answer["line"], stage="rehearsal")


def _reap(child: int) -> None:
    with contextlib.suppress(ChildProcessError):  # a server that reaps all children was quicker
        os.waitpid(child, 0)


def _be_the_copy(writing: int, wanted: engine.Wanted, plans: list[ModulePlan], files: set[str]) -> None:
    """In the copy: make the edit, say how it went, and end without a trace."""
    answer: dict[str, Any] = {"reason": "the rehearsal ended early", "file": None, "line": None}
    try:
        sys.settrace(None)  # a debugger that is at work in this process is not to meet its breakpoints in another
        sys.setprofile(None)
        edits.be_silent()
        with engine.exclusively(fresh=True):
            engine.commit(wanted, plans, files, "", None, None)
        answer = {}
    except RebuildError as error:
        answer = {"reason": error.reason, "file": error.file, "line": error.line}
    except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent must hear of it
        answer["reason"] = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, json.dumps(answer).encode() + b"\n")
        os._exit(0)


async def _read(reading: int) -> dict[str, Any]:
    """What the copy says; read on the loop, so that nothing is left running when it is given up."""
    loop = asyncio.get_running_loop()
    os.set_blocking(reading, False)
    data = b""
    while True:
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(reading, lambda ready=ready: ready.done() or ready.set_result(None))  # type: ignore[misc]  # bound now
        try:
            await ready
        finally:
            loop.remove_reader(reading)
        part = os.read(reading, 65536)
        data += part
        if not part or data.endswith(b"\n"):
            break
    if not data:
        return {"reason": "the rehearsal died", "file": None, "line": None}
    answer: dict[str, Any] = json.loads(data)
    return answer
