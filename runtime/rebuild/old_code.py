"""What still runs old code: frames on the stacks of threads, tasks, generators."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from . import frames
from .functions import suspended_code
from .kinds import exactly, isa
from .report import Straggler

_superseded: dict[int, weakref.ref[types.CodeType]] = {}


def supersede(codes: Iterable[types.CodeType]) -> None:
    """Note code objects that an edit replaces; forgotten as soon as nobody runs them."""
    for code in codes:
        key = id(code)
        _superseded[key] = weakref.ref(code, functools.partial(_forget, key))


def _forget(key: int, _: object) -> None:
    _superseded.pop(key, None)


def keep(codes: Iterable[types.CodeType]) -> None:
    """The edit that was to replace them did not happen."""
    for code in codes:
        _superseded.pop(id(code), None)


def is_stale(code: types.CodeType | None) -> bool:
    """Has an edit replaced this code object?"""
    return code is not None and id(code) in _superseded


def is_stale_task(task: asyncio.Task[Any]) -> bool:
    """Is a task, or something it awaits, inside code that an edit replaced?"""
    return any(is_stale(suspended_code(c)) for c in _chain(task.get_coro()))


def _chain(awaitable: Any) -> Iterator[Any]:
    seen = 0
    while awaitable is not None and seen < 1000:
        seen += 1
        yield awaitable
        awaitable = (
            getattr(awaitable, "cr_await", None)
            or getattr(awaitable, "gi_yieldfrom", None)
            or getattr(awaitable, "ag_await", None)
        )


@dataclass(frozen=True)
class Running:
    """A module whose body is still running: in which thread, at which line."""

    thread: int
    line: int
    code: types.CodeType


def running_body(module: types.ModuleType) -> Running | None:
    """Where the body of a module is, while it runs."""
    space = vars(module)
    found: list[Running] = []

    def see(ident: int, frame: types.FrameType) -> None:
        if frame.f_globals is space and frame.f_code.co_name == "<module>" and frame.f_locals is space:
            found.append(Running(ident, frame.f_lineno, frame.f_code))

    frames.visit(see)
    return found[0] if found else None


def bodies(modules: Iterable[types.ModuleType | None]) -> Iterator[Straggler]:
    """Modules whose bodies still run: their top level goes on in old code."""
    for module in modules:
        if module is not None and (found := running_body(module)) is not None:
            names = {t.ident: t.name for t in threading.enumerate()}
            yield Straggler(
                "thread", names.get(found.thread, str(found.thread)), "<module>", found.code.co_filename, found.line
            )


def threads() -> list[Straggler]:
    """Frames on the stacks of all threads that run old code."""
    names = {t.ident: t.name for t in threading.enumerate()}
    found: list[Straggler] = []

    def see(ident: int, frame: types.FrameType) -> None:
        if is_stale(frame.f_code):
            found.append(Straggler("thread", names.get(ident, str(ident)), *_where(frame.f_code, frame)))

    frames.visit(see)
    return found


def tasks() -> Iterator[Straggler]:
    """Tasks of the running loop that are inside old code."""
    try:
        everyone = asyncio.all_tasks()
    except RuntimeError:  # no loop runs in this thread
        return
    for task in everyone:
        for each in _chain(task.get_coro()):
            code = suspended_code(each)
            if code is not None and is_stale(code):
                frame = getattr(each, "cr_frame", None) or getattr(each, "gi_frame", None)
                yield Straggler("task", task.get_name(), *_where(code, frame))
                break


def _where(code: types.CodeType, frame: types.FrameType | None) -> tuple[str, str, int]:
    return code.co_qualname, code.co_filename, frame.f_lineno if frame is not None else code.co_firstlineno


def after_edit(modules: Iterable[types.ModuleType | None], suspended: Iterable[object]) -> list[Straggler]:
    """Those that can be named without looking at the heap; nothing is looked at when no old code is left."""
    if not _superseded:
        return list(bodies(modules))
    found = [*threads(), *tasks(), *bodies(modules)]
    for each in suspended:
        code = suspended_code(each)
        if code is not None and is_stale(code) and not isa(each, types.CoroutineType):
            frame = getattr(each, "gi_frame", None) or getattr(each, "ag_frame", None)
            if frame is not None:
                found.append(Straggler("generator", f"at {id(each):#x}", *_where(code, frame)))
    return list(dict.fromkeys(found))


def stragglers() -> list[Straggler]:
    """All that is still inside old code: threads, tasks, suspended generators.

    Looks at the whole heap while any old code is left at all.
    """
    if not _superseded:
        return []
    found = [*threads(), *tasks()]
    kinds = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
    for each in gc.get_objects():
        if exactly(each, *kinds) and is_stale(suspended_code(each)):
            frame = (
                getattr(each, "gi_frame", None) or getattr(each, "cr_frame", None) or getattr(each, "ag_frame", None)
            )
            code = suspended_code(each)
            if frame is not None and code is not None:
                found.append(Straggler("generator", f"at {id(each):#x}", *_where(code, frame)))
    return list(dict.fromkeys(found))
