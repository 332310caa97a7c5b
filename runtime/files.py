"""Where a running space keeps what it needs beside its `.spl`, and how others find it.

    NAME.spl        always the newest snapshot; older generations are NAME.<n>.spl
    NAME.spl.lock   held by the process that runs the space; never renamed. It stays beside a NAME.spl, empty and
                    harmless: only its lock counts, and where it stays no two starts can meet two files of that name
    NAME.pid        its process number          NAME.sock   where its console answers
    NAME.log        its log, with --daemon      NAME.tty    a terminal link, with --pty

The lock decides who runs a space. The pid file and the socket only help people, so one that is left over from a
process that died is recognised (nobody holds the lock) and replaced.

Each running space also has an entry in its user's runtime folder, which is how `midair ps` finds it from anywhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from . import sockets
from .errors import AlreadyRunning, ServerError

_LONGEST_SOCKET_PATH = 107
# Seconds that the children of a server that died get to be gone.
_LAST_BREATH = 5.0


@dataclass(frozen=True)
class Files:
    """The files of one space."""

    folder: Path
    name: str

    @classmethod
    def of(cls, spl: str | Path) -> Files:
        """The files beside `some/folder/NAME.spl`."""
        path = Path(spl).absolute()
        return cls(path.parent, path.name.removesuffix(".spl"))

    @property
    def spl(self) -> Path:
        return self.folder / f"{self.name}.spl"

    @property
    def rescue(self) -> Path:
        return self.folder / f"{self.name}.rescue.spl"

    @property
    def lock(self) -> Path:
        return self.folder / f"{self.name}.spl.lock"

    @property
    def pid(self) -> Path:
        return self.folder / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def tty(self) -> Path:
        return self.folder / f"{self.name}.tty"

    @property
    def sock(self) -> Path:
        """Beside the others, or in the runtime folder where that path is too long for a socket."""
        path = self.folder / f"{self.name}.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        return runtime_folder() / (hashlib.sha256(os.fsencode(path)).hexdigest()[:16] + ".sock")


class Hold:
    """The right to run a space, and the traces that show it: lock, pid file, entry in the runtime folder."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._lock: int | None = None
        self._entry = runtime_folder() / f"{files.name}-{os.getpid()}.json"

    def take(self) -> None:
        """Take the lock and write the pid file; nothing, when this hold has it already.

        Raises:
            AlreadyRunning: another process holds this space.
            ServerError: the folder cannot be written to.
        """
        if self._lock is not None:
            return
        lock = self._locked()
        while not self._is_there(lock):  # who held it removed it between our opening and locking
            os.close(lock)
            lock = self._locked()
        self._lock = lock
        try:
            write_private(self.files.pid, f"{os.getpid()}\n")
        except OSError as error:
            self.release()
            raise ServerError(f"cannot write {self.files.pid}: {error.strerror}; nothing was done") from error

    def _locked(self) -> int:
        try:
            lock = os.open(self.files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(f"cannot write {self.files.lock}: {error.strerror}; nothing was done") from error
        try:
            self._wait_for(lock)
        except BlockingIOError:
            os.close(lock)
            raise AlreadyRunning(self.files.name, read_pid(self.files.pid)) from None
        return lock

    def _is_there(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), self.files.lock.stat())
        except FileNotFoundError:
            return False

    def _wait_for(self, lock: int) -> None:
        """Lock it. A server that was killed while a child of it was being forked holds the lock until that child is gone."""
        end = time.monotonic() + _LAST_BREATH
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = read_pid(self.files.pid)
                if holder is None or is_alive(holder) or time.monotonic() > end:
                    raise
                time.sleep(0.005)
            else:
                return

    def announce(self) -> None:
        """Let `midair ps` and the like find this process."""
        entry = Entry(self.files.name, os.getpid(), str(self.files.sock), str(self.files.spl), time.time())
        write_private(self._entry, json.dumps(asdict(entry)))

    def release(self) -> None:
        """Give up the space and remove what announced it."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        self._entry.unlink(missing_ok=True)
        self.files.pid.unlink(missing_ok=True)
        if not self.files.spl.exists():  # nothing was kept here, so nothing is left here
            self.files.lock.unlink(missing_ok=True)
        os.close(lock)


@dataclass(frozen=True)
class Entry:
    """One running space, as found in the runtime folder."""

    name: str
    pid: int
    socket: str
    spl: str
    started: float


def running() -> list[Entry]:
    """The spaces that this user runs now. Entries of processes that died are removed on the way."""
    return sorted(_entries(), key=lambda entry: entry.started)


def _entries() -> Iterator[Entry]:
    for path in runtime_folder().glob("*.json"):
        try:
            entry = Entry(**json.loads(path.read_text()))
        except FileNotFoundError:
            continue  # it stopped while we looked
        except (ValueError, TypeError):
            path.unlink(missing_ok=True)
            continue
        if read_pid(Files.of(entry.spl).pid) == entry.pid and is_alive(entry.pid):
            yield entry
        else:
            path.unlink(missing_ok=True)


def find(what: str | None) -> Entry:
    """The running space with this name, process number, socket or `.spl`; the only one there is when `what` is None.

    Raises:
        NoSuchServer: there is none, or none by that name.
        SeveralServers: none was named and there are several.
    """
    entries = running()
    if what is None:
        if len(entries) > 1:
            raise SeveralServers(entries)
        if not entries:
            raise NoSuchServer("no server of yours is running; 'midair run APP.py' starts one")
        return entries[0]
    path = os.path.abspath(what)
    for entry in entries:
        if what in (entry.name, str(entry.pid)) or path in (entry.socket, entry.spl):
            return entry
    if os.path.exists(what) and stat.S_ISSOCK(os.stat(what).st_mode) and sockets.answers(what):
        return Entry(Path(what).stem, 0, path, "", 0.0)
    names = ", ".join(entry.name for entry in entries) or "none"
    raise NoSuchServer(f"no running server is called {what!r}; running now: {names}")


class NoSuchServer(ServerError):
    """No running server fits."""


class SeveralServers(ServerError):
    """More than one server runs and none was named."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__(entries)
        self.entries = entries

    def __str__(self) -> str:
        listed = ", ".join(f"{entry.name} (process {entry.pid})" for entry in self.entries)
        return f"several servers are running, say which: {listed}"


def runtime_folder() -> Path:
    """The folder where this user's running spaces are listed; only the user can look into it.

    `$MIDAIR_RUNTIME_DIR`, or `$XDG_RUNTIME_DIR/midair`, or `midair-<uid>` among the temporary files.

    Raises:
        ServerError: it belongs to somebody else.
    """
    if chosen := os.environ.get("MIDAIR_RUNTIME_DIR"):
        folder = Path(chosen)
    elif session := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(session) / "midair"
    else:
        folder = Path(tempfile.gettempdir()) / f"midair-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ServerError(f"{folder} is not this user's own folder, or others can write to it; set MIDAIR_RUNTIME_DIR")
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}~")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def read_pid(path: Path) -> int | None:
    """The number in a pid file, if there is one."""
    try:
        return int(path.read_text().strip())
    except (FileNotFoundError, ValueError):
        return None


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True  # no /proc on this platform, or it ended just now: the next look tells
    return state not in "ZX"
