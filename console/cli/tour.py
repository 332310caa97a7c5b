"""The tour of `midair demo`. A real server, real connections, real edits; each step is printed as it happens."""

from __future__ import annotations

import itertools
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import IO, Self

from .faults import FAILED, INTERRUPTED, complain

PATIENCE = 60.0
"""Seconds that the tour waits for one thing to happen before it says that it did not."""

_MIDAIR = (sys.executable, "-m", "midair")
# How a line of a log begins that does not go to a terminal; the tour's own clock runs fast enough.
_TIME = re.compile(r"^[\d-]+T\S+ [A-Z]+ +")
_EDIT = ('self.tell(f"{who}: {text}")', 'self.tell(f"<{who}> {text}")')
_TYPO = ('self.tell(f"<{who}> {text}")', 'self.tell(f"<{who}> {text}"')


def give(*, end: bool) -> int:
    """Give the tour; 0 when everything happened as told.

    Args:
        end: end after it on a terminal too.
    """
    folder = Path(tempfile.mkdtemp(prefix="midair-demo-"))
    try:
        program = folder / "chat.py"
        program.write_text(_example("chat/chat.py"), encoding="utf-8")
        with _Server(folder) as server:
            _tour(server, program)
            if sys.stdin.isatty() and sys.stdout.isatty() and not end:
                _leave_to_play(server, program)
            else:
                server.stop()
                _tell("\nThat was all. 'midair run APP.py' runs a program of yours; 'midair new NAME' makes one.")
    except _NotSeen as error:
        complain(f"the tour did not go as it should: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _example(path: str) -> str:
    return (resources.files("midair.examples") / path).read_text(encoding="utf-8")


def _tour(server: _Server, program: Path) -> None:
    _step("A chat server starts")
    server.start()
    with _people(server, "anna", "bob") as (anna, bob):
        _step("anna and bob connect and talk")
        anna.says("hello")
        bob.sees("anna: hello")

        _step("A line of its program is edited on disk, and saved")
        _save(program, *_EDIT)
        server.logs(r"edit 1\b")
        _tell("    Nobody was disconnected. The same connections, the new code:")
        anna.says("does this look different?")
        bob.sees("<anna> does this look different?")

        _step("An edit with a typo is saved")
        _save(program, *_TYPO)
        server.logs(r"refused")
        anna.says("and now?")
        bob.sees("<anna> and now?")
        _tell("    Nothing has changed: an edit is all or nothing. The typo is mended.")
        _save(program, *reversed(_TYPO), quiet=True)

        _step("A look inside, from a console")
        server.command("attach", text="len(chat.connections), chat.rooms['lobby'].history[-1]\n")

        _step("The edit is taken back, in memory and on disk")
        server.command("undo", "--write")
        bob.says("as it was?")
        anna.sees("bob: as it was?")

    _step("The server stops, and its state is saved")
    server.stop()
    _step("It starts again, and resumes")
    server.start()
    with _people(server, "carl") as (carl,):
        _tell("    carl connects; what was said before the stop is there:")
        for line in ("anna: hello", "bob: as it was?"):
            carl.sees(line, earlier=True)


def _leave_to_play(server: _Server, program: Path) -> None:
    # Ctrl-C reaches the server as well, which then stops in good order; its last lines are still to be shown. From
    # before the line that tells of it, or a quick hand ends the tour first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _step("It is yours now")
    _tell(
        f"    talk:     telnet 127.0.0.1 {server.port}\n"
        f"    edit:     {program}\n"
        f"    look in:  midair attach {server.socket}\n"
        "    end:      Ctrl-C here; the folder is removed then\n"
    )
    server.show_log()


# --- telling


def _tell(text: str) -> None:
    print(text, flush=True)


_numbers = itertools.count(1)


def _step(title: str) -> None:
    _tell(f"\n{next(_numbers)}. {title}")


def _save(program: Path, old: str, new: str, *, quiet: bool = False) -> None:
    """Save the program with one piece replaced, by rename, as editors do."""
    text = program.read_text(encoding="utf-8")
    if old not in text:
        raise _NotSeen(f"{program.name} has no {old!r} to edit")
    if not quiet:
        _tell(f"    - {old}\n    + {new}")
    scratch = program.with_suffix(".py~")
    scratch.write_text(text.replace(old, new), encoding="utf-8")
    scratch.replace(program)


class _NotSeen(Exception):
    """Something that the tour tells of did not happen."""


class _Person:
    """Somebody connected to the chat, whose part the tour plays."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\n")
        self._heard: list[str] = []

    def signs_in(self) -> None:
        self._send(self.name)
        self._wait_for(f"* {self.name} is in lobby")

    def says(self, text: str) -> None:
        _tell(f"    {self.name} types:  {text}")
        self._send(text)

    def sees(self, text: str, *, earlier: bool = False) -> None:
        """Wait until this very line comes, or, with `earlier`, check that it came."""
        if not earlier:
            self._wait_for(text)
        elif text not in self._heard:
            raise _NotSeen(f"{self.name} was not shown {text!r}")
        _tell(f"    {self.name} sees:   {text}")

    def _send(self, text: str) -> None:
        self._socket.sendall(f"{text}\n".encode())

    def _wait_for(self, text: str) -> None:
        try:
            for line in self._lines:
                self._heard.append(line.rstrip("\r\n"))
                if self._heard[-1] == text:
                    return
        except OSError as error:
            raise _NotSeen(f"{self.name} did not see {text!r}: {error}") from error
        raise _NotSeen(f"{self.name} was disconnected before seeing {text!r}")

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def _people(server: _Server, *names: str) -> Iterator[list[_Person]]:
    with ExitStack() as open_ones:
        people = [open_ones.enter_context(closing(_Person(name, server.port))) for name in names]
        for person in people:
            person.signs_in()
        yield people


class _Server:
    """`midair run chat.py` in a process of its own; what it prints is passed on, indented."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.socket = folder / "chat.sock"
        self._process: subprocess.Popen[str] | None = None
        self._printed: queue.Queue[str | None] = queue.Queue()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._show_command("run", "chat.py", "--telnet", "0")
        environment = {**os.environ, "PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*_MIDAIR, "run", "chat.py", "--telnet", "0", "--settle", "0.05", "--drain", "1"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._printed = queue.Queue()
        threading.Thread(target=self._read, args=(self._process.stdout, self._printed), daemon=True).start()
        self._wait_for(r"^ready in ", shown=r"^(new|resumed|ready)")

    @staticmethod
    def _read(pipe: IO[str], printed: queue.Queue[str | None]) -> None:
        with pipe:
            for line in pipe:
                printed.put(line.rstrip("\n"))
        printed.put(None)

    def logs(self, pattern: str) -> None:
        """Wait for a line of its log, and show it."""
        self._wait_for(pattern, shown=pattern)

    def _wait_for(self, pattern: str, *, shown: str) -> None:
        before: list[str] = []
        while True:
            try:
                line = self._printed.get(timeout=PATIENCE)
            except queue.Empty:
                line = None
            if line is None:
                raise _NotSeen(f"the server did not print {pattern!r}; it printed: {' | '.join(before) or 'nothing'}")
            before.append(line)
            if re.search(shown, line):
                _tell(f"    server: {_TIME.sub('', line)}")
            if re.search(pattern, line):
                return

    def command(self, name: str, *options: str, text: str | None = None) -> None:
        """Another `midair` command, beside it; what it prints is shown."""
        self._show_command(name, "chat", *options, text=text)
        done = subprocess.run(  # noqa: S603 - our own command
            [*_MIDAIR, name, str(self.socket), *options],
            cwd=self.folder,
            input=text,
            stdin=None if text else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        for line in (done.stdout + done.stderr).splitlines():
            _tell(f"    {line}")
        if done.returncode:
            raise _NotSeen(f"'midair {name}' ended with exit status {done.returncode}")

    @staticmethod
    def _show_command(*words: str, text: str | None = None) -> None:
        _tell("    $ " + (f'echo "{text.strip()}" | ' if text else "") + " ".join(["midair", *words]))

    def stop(self) -> None:
        """Stop it as a person would, and see that it ended well."""
        assert self._process
        self.command("stop")
        if status := self._process.wait(PATIENCE):
            raise _NotSeen(f"the server ended with exit status {status}")

    def show_log(self) -> None:
        """Pass on what it prints until it ends, by Ctrl-C or by 'midair stop'."""
        while (line := self._printed.get()) is not None:
            _tell(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
