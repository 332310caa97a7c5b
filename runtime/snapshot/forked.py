"""`take`: a snapshot in the background. The server stops for a fork; a child pickles what it was born with.

The child does nothing but pickle and write: it logs nothing, prints nothing, imports nothing, takes no lock and leaves
by `os._exit`; a lock that some thread of the parent held at the fork would never be free in it. It says how it went in
one JSON line on a pipe. The parent waits for the end of that pipe, checks the file, and only then renames it, so that
a child that dies half-way leaves nothing but a temporary file.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import json
import logging
import mmap
import os
import signal
import struct
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..disk import DISK, Disk
from ..errors import NotStorable, SnapshotError
from . import pages
from .files import about, adopt, save, write
from .store import Draft, Store
from .trust import signing_key

if TYPE_CHECKING:
    from ..space import Space

log = logging.getLogger("midair.snapshot")

#: Seconds a child may take at least; ten times what the last one took, if that is more.
LEAST_DEADLINE = 30.0
#: Children that are tried before the snapshot is made in this process.
ATTEMPTS = 2

_COUNTERS = struct.Struct("<QQ")
_PR_SET_PDEATHSIG = 1

if sys.version_info >= (3, 12):
    # It warns of just what this module is careful about. Python shows it once; a test suite makes it an error.
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)


class _ChildFailed(SnapshotError):
    """A child ended without a file; another may do better."""


@dataclass
class Progress:
    """How far the snapshot is that is being taken of a space."""

    generation: int
    started: float
    #: Instances written so far, and about how many there are: as many as last time.
    written: int = 0
    expected: int = 0


class _Taking:
    """What is known of the snapshots of one space in this process."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.progress: Callable[[], Progress] | None = None
        self.seconds = 0.0
        self.objects = 0
        #: The longest that the last snapshot kept this process from anything else, in seconds.
        self.pause = 0.0
        #: Why the last one was written in this process; empty where a child did it.
        self.why = ""


_spaces: weakref.WeakKeyDictionary[Space, _Taking] = weakref.WeakKeyDictionary()


def progress(space: Space) -> Progress | None:
    """How far the snapshot is that is being taken; None when there is none."""
    taking = _spaces.get(space)
    return taking.progress() if taking and taking.progress else None


def last_pause(space: Space) -> float:
    """How long the last snapshot kept this process from anything else, in seconds; 0 before there was one."""
    taking = _spaces.get(space)
    return taking.pause if taking else 0.0


def told(space: Space) -> str | None:
    """The snapshot that is being taken, or else the last one, in words; None before there was one."""
    taking = _spaces.get(space)
    if taking is None:
        return None
    if far := progress(space):
        about = f" of about {far.expected:,}" if far.expected else ""
        return (
            f"generation {far.generation}: {far.written:,}{about} objects written in {time.time() - far.started:.1f} s"
        )
    if not taking.pause:
        return None
    how = f"was written in this process ({taking.why}), which" if taking.why else "was written by a child; this process"
    return f"the last {how} stood for {taking.pause * 1000:.1f} ms"


async def take(
    space: Space,
    path: str | Path,
    *,
    application: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    deadline: float | None = None,
    disk: Disk = DISK,
) -> int:
    """Write the next generation in the background; its number, once it is on disk and was read back.

    Called while another one of the same space is written, it waits and then writes its own: what it promises to hold
    is the space as it is after the call.

    Args:
        deadline: seconds until a child is given up; 30, or ten times the last one's, unless given.

    Raises:
        NotStorable: something cannot be saved; named by its path. The file that was there stays.
        SnapshotError: the disk refused something. The file that was there stays.
    """
    taking = _spaces.setdefault(space, _Taking())
    store = Store(path, disk)
    async with taking.lock:
        try:
            if not hasattr(os, "fork"):
                return _in_process(space, store, taking, application, sources, "this platform has no fork")
            problem = ""
            for _ in range(ATTEMPTS):
                limit = deadline if deadline is not None else max(LEAST_DEADLINE, 10 * taking.seconds)
                try:
                    return await _in_child(space, store, taking, application, sources, limit)
                except _ChildFailed as error:
                    problem = str(error)
                    log.warning("%s; trying again", problem)
            return _in_process(space, store, taking, application, sources, problem)
        finally:
            taking.progress = None


def _in_process(
    space: Space,
    store: Store,
    taking: _Taking,
    application: Mapping[str, Any] | None,
    sources: Mapping[str, str] | None,
    why: str,
) -> int:
    taking.why, began = why, time.perf_counter()
    number = save(space, store.newest, application=application, sources=sources, disk=store.disk)
    taking.pause = time.perf_counter() - began
    log.warning("%s: generation %d was written in this process, which stood for %.1f s", why, number, taking.pause)
    return number


async def _in_child(
    space: Space,
    store: Store,
    taking: _Taking,
    application: Mapping[str, Any] | None,
    sources: Mapping[str, str] | None,
    limit: float,
) -> int:
    if pages.resident() > pages.WORTH_IT:
        await asyncio.to_thread(pages.collapse)
    parent = space.generation if space.path is not None and space.path.absolute() == store.newest else 0
    with store.draft(above=parent) as draft, mmap.mmap(-1, _COUNTERS.size) as counters:
        known, key = about(space, draft, application, sources), signing_key()
        started = time.time()
        taking.progress = lambda: Progress(draft.number, started, _COUNTERS.unpack_from(counters)[0], taking.objects)
        began = time.perf_counter()
        with space.lock:
            child = _Child(space, draft, known, key, counters)
        taking.pause, taking.why = time.perf_counter() - began, ""
        try:
            report = await child.result(limit)
        finally:
            taking.progress = None
        if "path" in report:
            raise NotStorable(report["path"], report["kind"], report["reason"])
        if "refused" in report:
            raise SnapshotError(report["refused"])
        await asyncio.to_thread(_confirm, store, draft)
        taking.seconds, taking.objects = time.perf_counter() - began, _COUNTERS.unpack_from(counters)[0]
    adopt(space, store, known)
    await asyncio.to_thread(store.tidy)
    return draft.number


def _confirm(store: Store, draft: Draft) -> None:
    """Make what a child wrote last, read it back, and give it its name."""
    store.finish(draft)
    if not store.is_whole(draft.path):
        raise _ChildFailed(f"{draft.path.name} does not read back as it was written; it was discarded")
    store.publish(draft)


class _Child:
    """A forked process that writes one draft."""

    def __init__(
        self, space: Space, draft: Draft, known: Mapping[str, Any], key: bytes | None, counters: mmap.mmap
    ) -> None:
        self._pipe, theirs = os.pipe()
        parent = os.getpid()
        try:
            self._pid = os.fork()
        except OSError as error:
            os.close(self._pipe)
            os.close(theirs)
            raise _ChildFailed(f"no child could be made ({error.strerror})") from error
        if self._pid == 0:
            _be_child(space, draft, known, key, counters, theirs, parent)
        os.close(theirs)

    async def result(self, limit: float) -> dict[str, Any]:
        """What the child reported.

        Raises:
            _ChildFailed: it died, or took longer than `limit` seconds and was killed.
        """
        loop, said, ended = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def more() -> None:
            data = os.read(self._pipe, 1 << 16)
            said.extend(data)
            if not data:
                loop.remove_reader(self._pipe)
                ended.set()

        loop.add_reader(self._pipe, more)
        try:
            async with asyncio.timeout(limit):
                await ended.wait()
        except TimeoutError:
            raise _ChildFailed(f"the child {self._pid} was not done after {limit:g} s and was killed") from None
        finally:
            loop.remove_reader(self._pipe)
            os.close(self._pipe)
            status = self._end(kill=not ended.is_set())
        if status != 0 or not said:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            raise _ChildFailed(f"the child {self._pid} ended {how}")
        report: dict[str, Any] = json.loads(said)
        return report

    def _end(self, *, kill: bool) -> int:
        """Its exit status. It has closed its pipe, which is the last thing it does, or is killed."""
        if kill:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            return 0  # somebody else waited for it; the pipe tells whether it was done
        return os.waitstatus_to_exitcode(status)


def _be_child(
    space: Space,
    draft: Draft,
    known: Mapping[str, Any],
    key: bytes | None,
    counters: mmap.mmap,
    pipe: int,
    parent: int,
) -> NoReturn:
    """Write the draft and go. Nothing of the parent's may run on the way: no handler, no finalizer, no lock."""
    status = 1
    try:
        sys.settrace(None)  # a debugger of the server would wait at its breakpoints
        sys.setprofile(None)
        gc.disable()
        _let_go({draft.descriptor, pipe}, parent)
        try:
            write(space, draft, known, key, progress=lambda count: _COUNTERS.pack_into(counters, 0, count, 0))
            report: dict[str, Any] = {}
        except NotStorable as error:
            report = {"path": error.path, "kind": error.kind, "reason": error.reason}
        except SnapshotError as error:
            report = {"refused": str(error)}
        os.write(pipe, json.dumps(report or {"written": True}).encode())
        status = 0
    except BaseException as error:  # noqa: BLE001 - whatever it is, this process must end here and say so
        os.write(pipe, json.dumps({"refused": f"not saved: {type(error).__name__}: {error}"}).encode())
        status = 0
    finally:
        os._exit(status)


def _let_go(keep: set[int], parent: int) -> None:
    """Take this process out of everything that it shares with its parent, and let it end with it."""
    # Ports, connections and the lock on the space: who closes them in the parent closes them. The loop's epoll object is
    # shared with the parent, so nothing is unregistered here; descriptors are only dropped.
    low = 0
    for descriptor in [*sorted(keep), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(low, descriptor)
        low = descriptor + 1
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    if sys.platform.startswith("linux"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the signal was asked for
        os._exit(1)
    with contextlib.suppress(OSError):
        os.nice(10)


_LIBC = ctypes.CDLL(None)
