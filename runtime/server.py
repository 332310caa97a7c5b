"""One running space: it owns the loop, starts the services in order, saves, and stops them in reverse.

    take the space's lock -> companions (the console first, so that a person gets in even if a service hangs)
    -> services in order -> ready -> ... -> services in reverse -> last snapshot -> companions -> lock

Signals: SIGTERM and Ctrl-C stop in good order; a second one skips the drain; a third ends at once. SIGHUP brings the
code up to date, or on a terminal stops.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from midair.version import __version__

from . import journal, rebuild, snapshot
from .app import Application, place_of
from .book import Book
from .clock import Clock, LoopClock
from .errors import MidairError, NotStorable, ServerError, SnapshotError
from .files import Files, Hold
from .notify import notify
from .rebuild import Report
from .service import Service
from .space import Space
from .timers import Clockwork, Timer
from .words import near

log = logging.getLogger("midair.server")
_snapshot_log = logging.getLogger("midair.snapshot")

#: Exit statuses of a server process.
FINE, FAILED, UNSAVED = 0, 1, 4

_HEARTBEAT = 1.0
_SLICE = 0.005
_NOT_SAVED = "not saved: "


def to_stderr(message: str) -> None:
    """One line for the person who started the program."""
    sys.stderr.write(f"midair: {message}\n")
    sys.stderr.flush()


def _unless_gone(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tell a person who may have left: a terminal that hung up is no reason to fail; its signal decides what happens."""

    def carefully(line: str) -> None:
        try:
            tell(line)
        except OSError as error:
            log.warning("nobody was there to be told %r (%s)", line, error)

    return carefully


class Companion(Protocol):
    """What lives beside the services and knows the server, as the console does."""

    async def start(self, server: Server) -> None: ...
    async def stop(self, server: Server) -> None: ...


class Server:
    """Runs one space.

    Args:
        space: what to run.
        files: where its files are; None keeps nothing on disk, and nothing is saved.
        hold: the right to run it, when that was taken before the space was opened.
        application: what the space was built from, kept in its snapshots.
        drain: seconds that connections get at a stop to take what was written to them.
        snapshot_every: seconds between snapshots when anything ran; 0 for none.
        watch: folders whose saved modules become live by themselves.
        settle: seconds of silence that end a burst of saves; 0.05 on a terminal and 2 otherwise unless given.
        say: where the lines for the person who started it go.
        complain: where the one line goes that says why it did not work.
    """

    def __init__(
        self,
        space: Space,
        *,
        files: Files | None = None,
        hold: Hold | None = None,
        application: Application | None = None,
        drain: float = 5.0,
        snapshot_every: float = 60.0,
        watch: Sequence[Path] = (),
        settle: float | None = None,
        clock: Clock | None = None,
        say: Callable[[str], None] = print,
        complain: Callable[[str], None] = to_stderr,
    ) -> None:
        self.space, self.files, self.application = space, files, application
        self.drain, self.snapshot_every = drain, snapshot_every
        self.watch = tuple(watch)
        #: Whether folders that services find code in are watched too.
        self.follows = True
        self.settle = settle if settle is not None else 0.05 if sys.stdout.isatty() else 2.0
        self.say, self.complain = _unless_gone(say), _unless_gone(complain)
        #: Counts what was done on somebody's behalf: data, timers, statements. Equal counts mean that nothing ran.
        self.activity = 0
        self.started = 0.0
        #: The largest delay of the loop in the last minute, in seconds.
        self.lag = 0.0
        #: The error of the last snapshot, None when it succeeded.
        self.snapshot_failed: str | None = None
        self.snapshot_at: float | None = None
        self.ready = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop
        self._clock = clock
        self._hold = hold or (Hold(files) if files else None)
        self._companions: list[Companion] = []
        self._accompanying: list[Companion] = []
        self._running: list[Service] = []
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stop_signals = 0
        self._signals_before: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._saved_activity = -1
        self._status = FINE
        self._discard = False
        self._saving = asyncio.Lock()
        # Asked now: a terminal that hung up is no longer one.
        self._on_terminal = bool(sys.stdin and sys.stdin.isatty())

    @property
    def name(self) -> str:
        return self.files.name if self.files else "space"

    @property
    def path(self) -> Path | None:
        return self.files.spl if self.files else None

    @property
    def companions(self) -> tuple[Companion, ...]:
        """What lives beside the services."""
        return tuple(self._companions)

    def add(self, companion: Companion) -> None:
        """Have it started before the services and stopped after them."""
        self._companions.append(companion)

    # --- life

    def run(self) -> int:
        """Run until stopped, on uvloop when it is installed; the exit status."""
        factory = None
        if find_spec("uvloop"):
            import uvloop  # pyright: ignore[reportMissingImports]

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(self.main())

    async def main(self) -> int:
        """Run until stopped, on the loop that is running; the exit status."""
        self.loop = asyncio.get_running_loop()
        clockwork = Clockwork(self.space, self._clock or LoopClock(self.loop), touch=self.touch)
        self._clockwork = clockwork
        try:
            await self._start()
        except (MidairError, OSError) as error:
            self.complain(str(error))
            await self._end(save=False)
            return FAILED
        except BaseException:
            await self._end(save=False)
            raise
        try:
            await self._stopping.wait()
        finally:
            await self._end(save=not self._discard)
        return self._status

    def stop_soon(self, reason: str) -> None:
        """Stop in good order, from any thread. The reason is logged."""

        def stop() -> None:
            if not self._stopping.is_set():
                log.info("stopping: %s", reason)
                self._stopping.set()

        self.loop.call_soon_threadsafe(stop)

    async def stop(self, *, discard: bool = False, who: str = "") -> None:
        """Stop, unless the state could not be saved.

        Raises:
            ServerError: something cannot be saved, by path; the server goes on. `discard` stops all the same and
                keeps the last snapshot.
        """
        self._discard = discard
        if self.files and not discard:
            try:
                problems = snapshot.rehearse(self.space, self.files.spl, **self._provenance())
            except Exception as error:
                why = str(_as_failure(error)).removeprefix(_NOT_SAVED)
                raise ServerError(
                    f"not stopped, for nothing could be saved: {why} (--discard stops all the same)"
                ) from error
            if problems:
                listed = "; ".join(str(problem) for problem in problems[:5])
                raise ServerError(f"not stopped, for this would be lost: {listed} (--discard stops all the same)")
        self.stop_soon(f"asked by {who}" if who else "asked to")

    async def _start(self) -> None:
        if self._hold:
            self._hold.take()
        self.started = time.time()
        self.space.runner = self
        self._handle_signals()
        self._unsubscribe = rebuild.subscribe(self._edited)
        for folder in self.watch:
            rebuild.watch(folder, settle=self.settle, dispatch=self._dispatch)
        for companion in self._companions:
            await companion.start(self)
            self._accompanying.append(companion)
        for service in self.space.services().values():
            await self._start_service(service)
        self._clockwork.start()
        if self._hold:
            self._hold.announce()
        self._task(self._heartbeat())
        if self.files and self.snapshot_every:
            self._task(self._save_periodically())
        self.say(self._ready_line())
        notify("READY=1", f"MAINPID={os.getpid()}")
        self.ready.set()

    async def _end(self, *, save: bool) -> None:
        notify("STOPPING=1")
        for task in self._tasks:
            task.cancel()
        self._clockwork.stop()
        for service in reversed(tuple(self._running)):
            await self._stop_service(service)
        if save and self.files:
            self._last_snapshot()
        journal.close_journal(self.space)
        for companion in reversed(self._accompanying):
            await companion.stop(self)
        if self.space.runner is self:
            self.space.runner = None
            self._unsubscribe()
            for folder in self.watch:
                rebuild.unwatch(folder)
        self._ignore_signals()
        if self._hold:
            self._hold.release()

    # --- services

    def _open_journal(self) -> None:
        """Replay what was confirmed since the snapshot, once, and before any service that journals its calls starts."""
        if self.files and journal.status(self.space) is None and journal.wanted(self.space):
            done = snapshot.open_journal(self.space, self.files.spl, **self._provenance())
            if done.calls:
                self.touch()
                log.info("replayed %d calls that were confirmed after generation %d", done.calls, self.space.generation)

    async def _start_service(self, service: Service) -> None:
        self._open_journal()
        service._book = Book(service, touch=self.touch)
        self._running.append(service)
        try:
            await service.start()
        except Exception as error:
            await self._stop_service(service)
            if isinstance(error, MidairError | OSError):
                raise ServerError(f"{service.name} did not start: {error}") from error
            own = error.__traceback__ and error.__traceback__.tb_next  # without the frame that called it
            log.exception("error in %s.start", type(service).__name__, exc_info=(type(error), error, own))
            where = f" ({place})" if (place := place_of(error)) else ""
            raise ServerError(f"{service.name} did not start: {type(error).__name__}: {error}{where}") from error
        for address in service.addresses:
            service.log.info("listening on %s", address)

    async def _stop_service(self, service: Service) -> None:
        book = service._book
        if book is None or service not in self._running:
            return
        self._running.remove(service)
        book.close_listeners()
        try:
            await self._unless_hurried(service.stop())
        except Exception:
            service.log.exception("error in %s.stop; it is closed all the same", type(service).__name__)
        closing = asyncio.ensure_future(book.close(drain=self.drain))
        await self._unless_hurried(asyncio.shield(closing))
        for connection in tuple(book.connections):
            connection.abort()
        await closing
        service._book = None

    async def _unless_hurried(self, work: Any) -> None:
        """Wait for the work, for `drain` seconds at most, or until somebody is in a hurry."""
        task, hurry = asyncio.ensure_future(work), asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({task, hurry}, timeout=self.drain, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if task.done():
            task.result()
        else:
            task.cancel()

    # --- the space's runner

    def touch(self) -> None:
        """Count that something ran, so that there is something to save."""
        self.activity += 1

    def now(self) -> float:
        return self._clockwork.clock.now()

    def arm(self, timer: Timer) -> None:
        self._clockwork.arm(timer)

    def placed(self, service: Service) -> None:
        self.touch()
        self.loop.call_soon_threadsafe(lambda: self._task(self._start_placed(service)))

    def removed(self, service: Service) -> None:
        self.touch()
        self.loop.call_soon_threadsafe(lambda: self._task(self._stop_service(service)))

    async def _start_placed(self, service: Service) -> None:
        try:
            await self._start_service(service)
        except ServerError as error:
            log.error("%s", error)  # noqa: TRY400 - its traceback was logged where it arose

    async def snapshot(self) -> int:
        """Write a snapshot in the background; its generation.

        Raises:
            SnapshotError: it could not be written, and why; the server goes on, the older file stays.
        """
        if not self.files:
            raise SnapshotError("this server keeps no file; it was started without one")
        async with self._saving:
            while rebuild.busy():  # instances still wait for the upgrade of the last edit, a slice at a time
                await asyncio.sleep(_SLICE)
            seen = self.activity
            try:
                generation = await snapshot.take(self.space, self.files.spl, **self._provenance())
            except Exception as error:
                failure = _as_failure(error)
                self.snapshot_failed = str(failure).removeprefix(_NOT_SAVED)
                _snapshot_log.error(self._unsaved(failure))
                if failure is error:
                    raise
                raise failure from error
            self._saved(generation, seen)
            return generation

    def _saved(self, generation: int, activity: int) -> None:
        assert self.files
        self.snapshot_failed, self.snapshot_at, self._saved_activity = None, time.time(), activity
        size = self.files.spl.stat().st_size
        _snapshot_log.info("saved %s generation %d, %s bytes", self.files.spl.name, generation, f"{size:,}")

    def _unsaved(self, failure: Exception) -> str:
        """What became of the file. An error of the disk says it already."""
        assert self.files
        text = str(failure)
        return text if text.startswith(_NOT_SAVED) else f"{_NOT_SAVED}{text}; {self.files.spl.name} stays as it was"

    def _provenance(self) -> dict[str, Any]:
        """What a snapshot tells of the program it belongs to."""
        return {"application": self.application.to_dict() if self.application else None, "sources": rebuild.texts()}

    def _last_snapshot(self) -> None:
        """Save in this process: nothing else runs any more. What cannot be saved is named, and the rest is rescued."""
        assert self.files
        rebuild.finish()
        try:
            self._save_all_or_the_rest()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the stop goes on
            self._status = UNSAVED
            message = self._unsaved(_as_failure(error))
            self.complain(message)
            _snapshot_log.error(message)

    def _save_all_or_the_rest(self) -> None:
        assert self.files
        try:
            self._saved(snapshot.save(self.space, self.files.spl, **self._provenance()), self.activity)
        except NotStorable as error:
            self._status = UNSAVED
            lost = snapshot.save_rest(self.space, self.files.rescue, **self._provenance())
            listed = "; ".join(str(problem) for problem in lost) or str(error)
            message = f"not all was saved: {listed}; the rest is in {self.files.rescue.name}"
            self.complain(message)
            _snapshot_log.error(message)

    async def _save_periodically(self) -> None:
        while True:
            await asyncio.sleep(self.snapshot_every)
            # A job may have worked without anybody being counted, so while there are jobs, something ran.
            if self.activity != self._saved_activity or any(service.jobs for service in self._running):
                try:
                    await self.snapshot()
                except (SnapshotError, OSError):
                    continue  # said and kept in snapshot_failed; the next round tries again

    # --- code

    async def rebuild(self, *modules: str, who: str = "") -> Report:
        """Bring the running code to the state of its files: all that differs, or only these modules.

        Raises:
            RebuildError: refused, and why; nothing changed.
        """
        return await rebuild.apply(*modules, who=who)

    def follow(self, folder: Path) -> None:
        """Watch the folder that a service has its code from, unless nothing is to be watched."""
        folder = folder.absolute()
        if self.follows and not any(folder.is_relative_to(known) for known in self.watch):
            self.watch = (*self.watch, folder)
            rebuild.watch(folder, settle=self.settle, dispatch=self._dispatch)

    def _dispatch(self) -> None:
        """Have saved files made live on the loop; called in the thread that watches."""
        self.loop.call_soon_threadsafe(lambda: self._task(self._rebuild_unless_refused("watch")))

    def _edited(self, report: Report) -> None:
        """After each edit, whoever made it: jobs that are inside of replaced code start again."""
        if report.refused:
            return
        self.touch()
        healed = snapshot.heal(self.space).healed
        if healed:
            _snapshot_log.info("edit %d: %d objects that waited for this code have it", report.number, healed)
        for service in self._running:
            for job in service.jobs:
                if job.task and rebuild.is_stale_task(job.task):
                    service.log.info("edit %d: %s starts again with the new code", report.number, job.name)
                    job.restart()

    # --- signals

    def _handle_signals(self) -> None:
        # Python's own handlers rather than the loop's: a third signal must end a server whose loop is stuck.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                self._signals_before[number] = signal.signal(number, self._signalled)

    def _ignore_signals(self) -> None:
        while self._signals_before:
            signal.signal(*self._signals_before.popitem())

    def _signalled(self, number: int, _: FrameType | None) -> None:
        """Between two bytecodes of whatever runs: nothing is done here that could meet itself half-way."""
        if number == signal.SIGHUP and not self._on_terminal:
            self.loop.call_soon_threadsafe(lambda: self._task(self._rebuild_unless_refused("SIGHUP")))
            return
        self._stop_signals += 1
        name = signal.Signals(number).name
        if self._stop_signals == 1:
            self.stop_soon(name)
        elif self._stop_signals == 2:
            self.loop.call_soon_threadsafe(self._hurry_up, name)
        else:
            age = f"{time.time() - self.snapshot_at:.0f} s ago" if self.snapshot_at else "none in this run"
            lost = f"midair: {name} a third time: ended at once; lost: all since the last snapshot ({age})\n"
            os.write(2, lost.encode())
            os._exit(UNSAVED)

    def _hurry_up(self, name: str) -> None:
        self.say(f"{name} again: not waiting for connections; still saving")
        self._hurry.set()

    async def _rebuild_unless_refused(self, who: str) -> None:
        try:
            await self.rebuild(who=who)
        except rebuild.RebuildError:
            return  # the refused edit was logged by rebuild, and is named by `status`

    # --- being looked at

    def status(self) -> dict[str, Any]:
        """What there is to know at a glance; plain data."""
        held = [f"{near(one.file)}: {one.reason}; {one.cure}" for one in rebuild.held()]
        return {
            "name": self.name,
            "midair": __version__,
            "pid": os.getpid(),
            "file": str(self.path) if self.path else None,
            "generation": self.space.generation,
            "saved": self.snapshot_at,
            "snapshot": snapshot.told(self.space),
            "snapshot_failed": self.snapshot_failed,
            "journal": str(standing) if (standing := journal.status(self.space)) else None,
            "started": self.started,
            "services": {name: list(service.addresses) for name, service in self.space.services().items()},
            "connections": sum(len(service.connections) for service in self._running),
            "timers": len(self.space.timers),
            "jobs": sum(len(service.jobs) for service in self._running),
            "edits": len(rebuild.history),
            "held": held,
            "stragglers": len(rebuild.stragglers()),
            "not_upgraded": len(snapshot.not_upgraded()),
            "lag_ms": round(self.lag * 1000, 1),
        }

    def _ready_line(self) -> str:
        seconds = time.time() - self.started
        parts = [" ".join([name, *service.addresses]) for name, service in self.space.services().items()]
        line = f"ready in {seconds:.1f} s: {', '.join(parts) or 'no services'}"
        ways = [way for c in self._companions for way in getattr(c, "ways_in", ())]
        if ways:
            line += f"; console: {', '.join(ways)}"
        watched = rebuild.watched()
        if watched:
            folders = ", ".join(_near(Path(folder)) for folder in watched)
            count = len(rebuild.recorded())
            line += f"; watching {count} module{'s' * (count != 1)} in {folders}"
        return line

    # --- inside

    def _task(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _heartbeat(self) -> None:
        recent: list[float] = []
        while True:
            due = self.loop.time() + _HEARTBEAT
            await asyncio.sleep(_HEARTBEAT)
            recent = [*recent[-59:], self.loop.time() - due]
            self.lag = max(recent)


def _as_failure(error: Exception) -> SnapshotError | OSError:
    """Why there is no snapshot. Also what nobody foresaw must neither end the server's saving nor its stopping in good order."""
    if isinstance(error, SnapshotError | OSError):
        return error
    _snapshot_log.error("an unforeseen error in a snapshot", exc_info=error)
    return SnapshotError(f"{type(error).__name__}: {error}")


def _near(folder: Path) -> str:
    """A folder as seen from here: `./game` rather than its whole path."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else "." if relative == "." else f"./{relative}"
