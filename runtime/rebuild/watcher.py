"""Seeing sources change: a burst of saves settles, and is one edit.

The operating system says that *something* happened below a folder; what changed is decided by content when the burst
is over. A burst lasts while `.git/index.lock` exists (a checkout is under way) and while the watch is held.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from . import engine, sources
from .errors import RebuildError

log = logging.getLogger("midair.rebuild")

_POLL = 0.2  # seconds between two looks, where the system does not tell
_LONGEST_LOCK = 120.0  # seconds after which a lock file is taken for one left behind

Dispatch = Callable[[], Any]


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of watchdog's is worth reading: its thread that looks once more while it is being stopped is no error."""
    return not record.msg.endswith("queue_events() called when the thread is inactive")


logging.getLogger("watchdog.observers.inotify").addFilter(_is_news)


def _rebuild() -> None:
    engine.rebuild(who="watch")


class _Handler(FileSystemEventHandler):
    def __init__(self, changed: Callable[[], None], grown: Callable[[str], None] | None = None) -> None:
        self._changed, self._grown = changed, grown

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in {"opened", "closed_no_write"}:
            return
        paths = [os.fsdecode(p) for p in (event.src_path, event.dest_path) if p]
        if self._grown and event.is_directory and event.event_type in {"created", "moved"}:
            self._grown(paths[-1])
        if any(p.endswith((".py", "index.lock")) for p in paths) or (
            event.is_directory and event.event_type in {"moved", "deleted", "created"}
        ):
            self._changed()


class Watcher:
    """One thread that waits for silence, for all watched folders."""

    def __init__(self) -> None:
        self._folders: dict[str, list[Any]] = {}
        self._observer: Any = None
        self._thread: threading.Thread | None = None
        self._wake = threading.Condition()
        self._changed_at: float | None = None
        self._held = 0
        self._stop = False
        self.settle = 0.05
        self.dispatch: Dispatch | None = None
        self.polling = False

    @property
    def folders(self) -> list[str]:
        return list(self._folders)

    @property
    def is_held(self) -> bool:
        return self._held > 0

    def watch(self, folder: str, settle: float, dispatch: Dispatch | None) -> None:
        self.settle, self.dispatch = settle, dispatch
        if folder in self._folders:
            return
        if self._observer is None:
            self._observer = self._start_observer(folder)
        else:
            self._cover(self._observer, folder)
        if self._thread is None:
            self._stop = False
            self._thread = threading.Thread(target=self._run, name="midair watch", daemon=True)
            self._thread.start()

    def _start_observer(self, folder: str) -> Any:
        observer: Any = Observer()
        try:
            self._cover(observer, folder)
            observer.start()
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "")
            log.warning("the system cannot watch %s (%s); looking every %.1f s instead", folder, name or error, _POLL)
            observer = PollingObserver(timeout=_POLL)
            self._cover(observer, folder)
            observer.start()
            self.polling = True
        return observer

    def _cover(self, observer: Any, folder: str) -> None:
        """Watch a folder and all below it, environments and other people's packages at its top excepted.

        They hold thousands of folders in which no module of ours lies, and each would cost a watch of the system's.
        """
        with os.scandir(folder) as found:
            inner = [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        ours = [path for path in inner if not _is_crowded(path)]
        handler = _Handler(self.touch)
        if len(ours) == len(inner):
            self._folders[folder] = [observer.schedule(handler, folder, recursive=True)]
            return

        def grown(path: str) -> None:
            if os.path.dirname(path) == folder and not _is_crowded(path):
                watches.append(observer.schedule(handler, path, recursive=True))

        watches = [observer.schedule(_Handler(self.touch, grown), folder, recursive=False)]
        watches += [observer.schedule(handler, path, recursive=True) for path in ours]
        self._folders[folder] = watches

    def unwatch(self, folder: str | None) -> None:
        for name in [folder] if folder is not None else self.folders:
            for watch in self._folders.pop(name, ()):
                with contextlib.suppress(KeyError):
                    self._observer.unschedule(watch)
        if not self._folders and self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
            with self._wake:
                self._stop = True
                self._wake.notify_all()
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join()
            self._thread = None

    def touch(self) -> None:
        """Something changed: the burst goes on."""
        with self._wake:
            self._changed_at = time.monotonic()
            self._wake.notify_all()

    def hold(self) -> None:
        with self._wake:
            self._held += 1

    def release(self) -> None:
        with self._wake:
            self._held = max(0, self._held - 1)
            self._wake.notify_all()

    def _run(self) -> None:
        while self._wait_for_silence():
            try:
                (self.dispatch or _rebuild)()
            except RebuildError:
                continue  # reported when it was refused; the next save tries again
            except Exception:
                log.exception("a watched edit could not be handed on")

    def _wait_for_silence(self) -> bool:
        """Wait for a burst and for its end; False when watching ends."""
        with self._wake:
            while not self._stop:
                if self._changed_at is None or self._held:
                    self._wake.wait()
                    continue
                rest = self._changed_at + self.settle - time.monotonic()
                if rest > 0:
                    self._wake.wait(rest)
                elif self._locked():
                    self._wake.wait(0.02)
                else:
                    self._changed_at = None
                    return True
            return False

    def _locked(self) -> bool:
        """Is git in the middle of changing a watched tree?"""
        for folder in self._folders:
            place = folder
            while True:
                lock = os.path.join(place, ".git", "index.lock")
                with contextlib.suppress(OSError):
                    if time.time() - os.stat(lock).st_mtime < _LONGEST_LOCK:
                        return True
                above = os.path.dirname(place)
                if above == place or os.path.isdir(os.path.join(place, ".git")):
                    break
                place = above
        return False


def _is_crowded(folder: str) -> bool:
    """Is this an environment, or a folder of packages that are not ours?"""
    light = {"__pycache__", ".git"}
    name = os.path.basename(folder)
    return (name in sources.SKIPPED and name not in light) or os.path.exists(os.path.join(folder, "pyvenv.cfg"))


watcher = Watcher()


def watch(folder: str | os.PathLike[str] = ".", *, settle: float = 0.05, dispatch: Dispatch | None = None) -> list[str]:
    """Record a folder, and rebuild by itself when files below it change.

    Args:
        settle: seconds of silence that end a burst of saves.
        dispatch: called (in the watching thread) for each burst instead of `rebuild()`, for instance to have the edit
            applied on a server's loop.

    Returns:
        As `record`.
    """
    refused = sources.record(folder)
    place = sources.real(folder)
    watcher.watch(place if os.path.isdir(place) else os.path.dirname(place), settle, dispatch)
    return refused


def unwatch(folder: str | os.PathLike[str] | None = None) -> None:
    """Stop rebuilding by itself, for one folder or for all; modules stay recorded."""
    watcher.unwatch(sources.real(folder) if folder is not None else None)


def hold() -> None:
    """Let changes wait until `release`, however many."""
    watcher.hold()


def release() -> None:
    """Take up what changed since `hold`."""
    watcher.release()


def takes_up(path: str) -> bool:
    """Whether a change of this file becomes live by itself, as soon as it settles."""
    return not watcher.is_held and any(path.startswith(folder + os.sep) for folder in watcher.folders)


def watched() -> list[str]:
    """The folders that are watched."""
    return watcher.folders
