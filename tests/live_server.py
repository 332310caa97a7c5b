"""A real server in a process of its own, as a person starts it, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENCE = 60.0  # seconds until a wait for an event is given up; only a broken server uses them up


class LiveServer:
    """`midair run ...` in `folder`; use as a context manager. What it prints is kept in `out` and `err`."""

    command, is_ready = "run", r"^ready in "

    def __init__(self, folder: Path, *args: str | Path, **environment: str) -> None:
        self.folder, self.args = folder, [str(arg) for arg in args]
        self.environment = {
            **os.environ,
            "MIDAIR_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }
        self.out: list[str] = []
        self.err: list[str] = []
        self._news: queue.Queue[tuple[str, str | None]] = queue.Queue()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *args: str | Path) -> Self:
        """Start it, again if it ended; wait until it is ready."""
        self.out, self.err = [], []
        self._news = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "midair", self.command, *(str(a) for a in args or self.args)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            threading.Thread(target=self._read, args=(name, pipe, self._news), daemon=True).start()
        try:
            self.wait_for(self.is_ready, among="out")
        except BaseException:
            self.kill()
            raise
        return self

    def _read(self, name, pipe, news) -> None:
        with pipe:
            for line in pipe:
                news.put((name, line.rstrip("\n")))
        news.put((name, None))

    def wait_for(self, pattern: str, *, among: str = "err", after: int = 0) -> str:
        """The first line that matches, of those printed or of those to come."""
        ended = 0
        while True:
            lines = self.out if among == "out" else self.err
            for line in lines[after:]:
                if re.search(pattern, line):
                    return line
            if ended == 2:
                raise AssertionError(f"it ended without {pattern!r}: {self.out + self.err}")
            try:
                name, line = self._news.get(timeout=PATIENCE)
            except queue.Empty:
                raise AssertionError(f"{PATIENCE} s without {pattern!r}: {self.out + self.err}") from None
            if line is None:
                ended += 1
            else:
                (self.out if name == "out" else self.err).append(line)

    def port(self, service: str) -> int:
        """The port that the ready line names for a service."""
        found = re.search(rf"\b{service} \S+:(\d+)", self.wait_for(r"^ready in ", among="out"))
        assert found, self.out
        return int(found[1])

    def midair(self, *args: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Another `midair` command, next to it."""
        return subprocess.run(
            [sys.executable, "-m", "midair", *(str(a) for a in args)],
            cwd=self.folder,
            env=self.environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait for its exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Make sure that it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(PATIENCE)


def copy_example(name: str, folder: Path) -> Path:
    """A copy of an example's program to run and edit."""
    source = EXAMPLES / name
    target = folder / source.name
    shutil.copy(source, target)
    return target
