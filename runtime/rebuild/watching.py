"""Files that change, and the edit that follows once they are quiet.

One save is reported several times (truncated, written, renamed), a checkout touches many files, and an editor may save
twice in a moment. So a burst is over when nothing has happened for the settle time, no git command is under way
(`.git/index.lock`) and nobody holds. Then the contents decide: `rebuild` takes what differs, as one edit.

Changes are reported by the system where it can (inotify and the like, through watchdog), else found by looking every
second, which is said once.

*In a snapshot:* never; watching belongs to the process.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from . import engine, sources
from .errors import RebuildError

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

log = logging.getLogger("midair.rebuild")

#: Seconds of silence that end a burst, unless said otherwise.
SETTLE = 0.05
#: Seconds between two looks where the system reports nothing.
POLL = 1.0
# While a burst is held open from outside, it is looked at this often, in seconds.
_LOOK = 0.05

_TELLING = {"created", "modified", "moved", "deleted", "closed"}


def _apply() -> None:
    """What a burst does outside of a server: an edit, in the watching thread."""
    try:
        engine.rebuild(who="watch")
    except RebuildError:
        return  # it was logged as refused, and is held until the file changes


class Watch:
    """One watched folder, or file."""

    def __init__(self, place: Path, settle: float, act: Callable[[], None]) -> None:
        self.place, self.settle, self.act = place, settle, act
        self._dirty, self._ended = threading.Event(), threading.Event()
        self._last = 0.0
        self._observer: BaseObserver | None = None
        name = f"midair-watch {place.name}"
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
        self._poller = threading.Thread(target=self._poll, name=f"{name} (polling)", daemon=True)

    def start(self) -> None:
        from watchdog.observers import Observer  # only who watches pays for its import

        folder = self.place if self.place.is_dir() else self.place.parent
        observer = Observer()
        try:
            observer.schedule(cast("FileSystemEventHandler", self), str(folder), recursive=self.place.is_dir())
            observer.start()
            self._observer = observer
        except OSError as error:
            log.warning("no change reports for %s (%s); looking every %g s instead", self.place, error.strerror, POLL)
            self._poller.start()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._dirty.set()
        if self._observer:
            self._observer.stop()
            self._observer.join()
        for thread in (self._thread, self._poller):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take a report of the observer, in its thread."""
        if event.event_type in _TELLING:
            for path in (event.src_path, event.dest_path):
                if path and self._concerns(os.fsdecode(path), is_directory=event.is_directory):
                    self.touch()
                    return

    def touch(self) -> None:
        """Something changed."""
        self._last = time.monotonic()
        self._dirty.set()

    def _concerns(self, path: str, *, is_directory: bool) -> bool:
        if self.place.is_dir():
            # A folder that is moved in or away brings its modules along without a report for each of them.
            return is_directory or sources.is_ours(path)
        return os.path.realpath(path) == str(self.place)

    def _follow(self) -> None:
        while True:
            self._dirty.wait()
            while not self._ended.is_set() and (wait := self._unsettled()) > 0:
                self._ended.wait(wait)
            if self._ended.is_set():
                return
            self._dirty.clear()
            try:
                self.act()
            except Exception:
                log.exception("error while making the changes in %s live", self.place)

    def _unsettled(self) -> float:
        """Seconds to wait before looking again; 0 when the burst is over."""
        if _holds or self._git_is_busy():
            self._last = time.monotonic()
            return _LOOK
        return self._last + self.settle - time.monotonic()

    def _git_is_busy(self) -> bool:
        return any((folder / ".git" / "index.lock").exists() for folder in (self.place, *self.place.parents))

    def _poll(self) -> None:
        before = dict(self._stats())
        while not self._ended.wait(POLL):
            now = dict(self._stats())
            if now != before:
                before = now
                self.touch()

    def _stats(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for folder, inner, names in os.walk(self.place):
            inner[:] = [name for name in inner if name not in sources.SKIPPED]
            for name in names:
                path = os.path.join(folder, name)
                if name.endswith(".py"):
                    try:
                        found = os.stat(path)
                    except FileNotFoundError:
                        continue  # it went away between the two calls
                    yield path, (found.st_mtime_ns, found.st_size)


_watches: dict[Path, Watch] = {}
_lock = threading.Lock()
_holds = 0


def watch(
    folder: str | os.PathLike[str], *, settle: float = SETTLE, dispatch: Callable[[], None] | None = None
) -> None:
    """Record a folder (or one file), and have what is saved in it become live by itself.

    Args:
        settle: seconds of silence that end a burst of saves.
        dispatch: called, in a thread of the watch, when a burst has ended; a rebuild of all that differs unless given.

    Raises:
        RebuildError: there is no such folder.
    """
    sources.record(folder)
    place = Path(sources.real(folder))
    unwatch(folder)
    new = Watch(place, settle, dispatch or _apply)
    with _lock:
        _watches[place] = new
    new.start()


def unwatch(folder: str | os.PathLike[str]) -> bool:
    """Watch a folder no longer; whether it was watched. Its modules stay editable by `rebuild`."""
    with _lock:
        old = _watches.pop(Path(sources.real(folder)), None)
    if old:
        old.stop()
    return old is not None


def watched() -> list[Path]:
    """The folders that are watched now."""
    return list(_watches)


def hold() -> None:
    """Let changes gather until `release` is called as often: for somebody who is about to change many files."""
    global _holds
    with _lock:
        _holds += 1


def release() -> None:
    """End a `hold`. What gathered becomes live as one edit, after the settle time."""
    global _holds
    with _lock:
        _holds = max(0, _holds - 1)
