"""`midair exec`: any Python program, unchanged, with live rebuild and a console."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
import types
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.errors import ServerError
from . import children
from .faults import FAILED, FINE, UsageError, complain
from .parser import Commands

if TYPE_CHECKING:
    from ..beside import Beside

_AGAIN = "MIDAIR_EXEC"  # what the programs started by this one are told: which program that is
_MORE = """\
SCRIPT.py ...    as python SCRIPT.py ... does
-m MODULE ...    as python -m MODULE ... does
COMMAND ...      a command that is a Python script of this environment, such as flask or celery

The program runs as it would without midair. Its own modules, below the nearest pyproject.toml or the folder it is started in,
are watched: an edit that is saved reaches the running program. 'midair attach NAME' is a console in it."""


def add(commands: Commands) -> None:
    from .run import address, seconds

    parser = commands.add(
        "exec",
        execute,
        "run any Python program with live rebuild and a console",
        example="midair exec script.py --its-own-option",
        more=_MORE,
    )
    parser.add_argument("--name", metavar="NAME", help="what 'midair attach' calls it (default: the program's name)")
    parser.add_argument("--telnet", type=address, metavar="[HOST:]PORT", help="a console over telnet, with login")
    parser.add_argument("--no-watch", action="store_true", help="edits arrive only by 'midair rebuild'")
    parser.add_argument("--watch", action="append", metavar="DIR", default=[], help="watch this folder too")
    parser.add_argument("--settle", type=seconds, default=0.05, metavar="S", help="silence that ends a burst of saves")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE ...", help="run a module")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="SCRIPT.py|COMMAND ...", help="run a program")


def execute(options: argparse.Namespace) -> int:
    """Run the program; its exit status."""
    words = options.module or options.program
    if not words:
        raise UsageError("exec what? A SCRIPT.py, -m MODULE or a COMMAND; see 'midair exec --help'")
    program = Program(words, is_module=bool(options.module))
    mine = os.path.abspath(options.name or program.name)
    if os.environ.get(_AGAIN) == mine:  # a reloader of the program's own runs the same command again
        complain(f"process {os.getpid()} is {program.name} once more, as its reloader wants it: it runs without midair")
        program.run()
        return FINE
    os.environ[_AGAIN] = mine
    beside = _console(options, program.name)
    _record(options, program.folder)
    beside.start()
    complain(f"a console is open: {', '.join(beside.console.ways_in)}")
    children.watch()
    try:
        program.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told as Python tells it
        # The program's, so with its traceback, whatever kind it is; without the frames that called it.
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename != program.path and frames.tb_next:
            frames = frames.tb_next
        traceback.print_exception(type(error), error, frames)
        return FAILED
    finally:
        beside.close()
    return FINE


class Program:
    """A Python program as it was named on the command line.

    Raises:
        ServerError: there is no such program, or it is none of this Python.
    """

    def __init__(self, words: list[str], *, is_module: bool) -> None:
        from ...runtime.app import Application

        self.words, self.is_module = words, is_module
        named = words[0]
        if is_module:
            if not Application(named, os.getcwd()).exists():
                raise ServerError(f"there is no module {named}; nothing was started")
            self.name = named.rpartition(".")[2] if not named.endswith("__main__") else named.split(".")[-2]
            self.path, self.folder = "", os.getcwd()
        elif named.endswith(".py") and os.path.isfile(named):
            self.path = os.path.abspath(named)
            self.name, self.folder = Path(named).stem, os.path.dirname(self.path)
        else:
            self.path = _command(named)
            self.name, self.folder = Path(named).name, os.getcwd()

    def run(self) -> None:
        """Run it as `__main__`, in this thread, until it ends."""
        import runpy

        from ...runtime.rebuild import sources

        sys.argv = list(self.words)
        if self.path and not self.words[0].endswith(".py"):
            sys.argv[0] = self.path  # as the kernel gives it; a reloader runs it again by that
        # What `python` puts first: the script's folder, or this one.
        sys.path[0:0] = [self.folder if self.path else ""]
        if self.is_module:
            runpy.run_module(self.words[0], run_name="__main__", alter_sys=True)
        elif sources.is_ours(self.path):
            _run_recorded(self.path)
        else:
            runpy.run_path(self.path, run_name="__main__")


def _run_recorded(path: str) -> None:
    """Run a script of the project as `__main__`, so that an edit of the script itself reaches it."""
    from ...runtime.rebuild import sources

    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__dict__["__builtins__"] = __builtins__
    loader = main.__loader__ = sources.Loader("__main__", path)
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        loader.exec_module(main)
    finally:
        sys.modules["__main__"] = before


def _command(name: str) -> str:
    """The file of a command, when that is a Python script for this environment.

    Raises:
        ServerError: there is none, or it is none of ours.
    """
    found = shutil.which(name)
    if found is None:
        raise ServerError(f"there is no file {name}, and no command of that name; nothing was started")
    with open(found, "rb") as file:
        first = file.readline(512)
    interpreter = first[2:].strip().decode(errors="replace") if first.startswith(b"#!") else ""
    if "python" not in interpreter:
        raise ServerError(f"{found} is not a Python script; nothing was started")
    if os.path.dirname(interpreter) != os.path.dirname(sys.executable) and not interpreter.startswith("/usr/bin/env "):
        raise ServerError(f"{found} is run by {interpreter}, and this is {sys.executable}; install midair there")
    return found


def _record(options: argparse.Namespace, folder: str) -> None:
    from ...runtime import rebuild
    from ...runtime.app import Application

    project = Application("__main__", folder).project
    for place in [project, *(Path(more).absolute() for more in options.watch)]:
        if options.no_watch:
            rebuild.record(place)
        else:
            rebuild.watch(place, settle=options.settle)


def _console(options: argparse.Namespace, name: str) -> Beside:
    from ...runtime import logs
    from ...runtime.files import Files, Hold
    from ..beside import Beside
    from ..console import Console

    files = Files.of(f"{options.name or name}.spl")
    hold = Hold(files)
    hold.take()
    logs.set_up(only="midair")  # the program's own logging is its own business
    return Beside(files, hold, Console(files.sock, telnet=options.telnet, say=complain))
