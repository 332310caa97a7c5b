"""What is asked of a running server. Found by name, process number or socket; asked over its Unix socket."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from midair.version import __version__

from ...runtime import files
from ...runtime.errors import ServerError
from ...runtime.sockets import port
from .faults import UNSAVED, complain
from .parser import Commands, server_argument
from .standing import standing

_POLL = 0.05


def add(commands: Commands) -> None:
    _add_looking(commands)
    _add_code(commands)
    _add_life(commands)


def _add_looking(commands: Commands) -> None:
    parser = commands.add(
        "attach",
        attach,
        "a Python console in a running server",
        example="echo 'len(space)' | midair attach chat",
        more="On a terminal: a prompt with completion; Ctrl-D leaves. Otherwise it runs what it reads: output on standard output, a\ntraceback on standard error, exit status 1 when a statement failed.",
    )
    server_argument(parser)
    parser.add_argument("--json", action="store_true", help="lines of JSON both ways, for programs")

    parser = commands.add("status", status, "how a running server is", example="midair status chat")
    server_argument(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")

    parser = commands.add("ps", ps, "the servers that run now", example="midair ps")
    parser.add_argument("--json", action="store_true", help="as JSON")

    parser = commands.add("telnet", telnet, "a telnet client", example="midair telnet localhost 8023")
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", metavar="PORT", type=port)


def _add_code(commands: Commands) -> None:
    parser = commands.add(
        "rebuild",
        rebuild,
        "bring the running code to the state of its files",
        example="midair rebuild chat",
        more="A file that is broken changes nothing; the reason is told, and the exit status is 1.",
    )
    server_argument(parser)
    parser.add_argument("-m", "--module", action="append", default=[], metavar="MODULE", help="only this one")

    parser = commands.add(
        "undo",
        undo,
        "take back the last edit of the running code",
        example="midair undo chat",
        more="The files on disk keep what was undone: it is not picked up again before they change, but a restart runs it.",
    )
    server_argument(parser)
    parser.add_argument("--edit", type=int, metavar="N", help="back to before edit N")
    parser.add_argument("--write", action="store_true", help="write the earlier sources to the files too")

    for name, summary, example in (
        ("hold", "let edits wait until 'midair release', so that many files arrive as one", "midair hold chat"),
        ("release", "let what was held back arrive, as one edit", "midair release chat"),
    ):
        server_argument(commands.add(name, asker(name), summary, example=example))


def _add_life(commands: Commands) -> None:
    parser = commands.add("snapshot", asker("snapshot"), "save a running server now", example="midair snapshot chat")
    server_argument(parser)

    parser = commands.add(
        "stop",
        stop,
        "stop a running server in good order",
        example="midair stop chat",
        more="It drains its connections, saves and ends; this waits for it. When something cannot be saved, it is named and the\nserver goes on.",
    )
    server_argument(parser)
    parser.add_argument("--discard", action="store_true", help="stop without a last snapshot; what is unsaved is lost")


def _print(data: bytes, is_error: bool) -> None:
    stream = sys.stderr if is_error else sys.stdout
    stream.write(data.decode(errors="replace"))
    stream.flush()


def ask(server: str | None, command: str, *words: str, output: Callable[[bytes, bool], None] = _print) -> int:
    """Have a running server carry out one of its console's commands; the exit status.

    What it answers is printed as it comes, unless `output` takes it, as (bytes, is it standard error).

    Raises:
        NoSuchServer, SeveralServers: which server?
        ServerError: it has no console.
    """
    from .. import client

    entry = files.find(server)
    result = client.call(entry.socket, command, words, output=output)
    if result.status == client.NO_SUCH_SERVER:
        raise _NoConsole(entry)
    return result.status


class _NoConsole(ServerError):
    """A server runs, and nobody answers at its socket."""

    def __init__(self, entry: files.Entry) -> None:
        super().__init__(entry)
        self.entry = entry

    def __str__(self) -> str:
        return f"{self.entry.name} (process {self.entry.pid}) runs without a console; signals reach it: TERM, HUP"


def asker(command: str) -> Callable[[argparse.Namespace], int]:
    """What runs a command of the command line that is one of the console's too."""
    return lambda options: ask(options.server, command)


def status(options: argparse.Namespace) -> int:
    """Show how a server is, for people or for programs."""
    facts = _facts(files.find(options.server))
    if options.json:
        print(json.dumps(facts))
        return 0
    for line in standing(facts):
        print(line)
    if facts.get("midair") != __version__:
        print(
            f"midair {__version__} is installed; the server goes on with {facts.get('midair')} until it is started again"
        )
    return 0


def _facts(entry: files.Entry) -> dict[str, Any]:
    """What a server says of itself, as plain data."""
    from .. import client, frames

    try:
        sock = client.connect(entry.socket)
    except client.Unanswered:
        raise _NoConsole(entry) from None
    with sock, sock.makefile("rwb") as lines:
        lines.write(frames.hello("json") + b'{"id": 1, "command": "status"}\n')
        lines.flush()
        for line in lines:
            reply = json.loads(line)
            if reply.get("id") == 1 and "data" in reply:
                facts: dict[str, Any] = reply["data"]
                return facts
    raise ServerError(f"{entry.name} went away before it had answered")


def rebuild(options: argparse.Namespace) -> int:
    return ask(options.server, "rebuild", *options.module)


def undo(options: argparse.Namespace) -> int:
    words = [str(options.edit)] if options.edit is not None else []
    return ask(options.server, "undo", *words, *(["--write"] if options.write else []))


def attach(options: argparse.Namespace) -> int:
    """A session in a running server, on this terminal or pipe; its exit status."""
    from ..attach import main

    return main(files.find(options.server).socket, as_json=options.json)


def ps(options: argparse.Namespace) -> int:
    """List the running servers."""
    from ...runtime.words import ago

    entries = files.running()
    if options.json:
        print(json.dumps([asdict(entry) for entry in entries]))
        return 0
    if not entries:
        print("no server of yours is running")
        return 0
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        print(f"{entry.name:{width}}  process {entry.pid}, started {ago(entry.started)}, {entry.spl}")
    return 0


def telnet(options: argparse.Namespace) -> int:
    from .telnet import talk

    return talk(options.host, options.port)


def stop(options: argparse.Namespace) -> int:
    """Stop a server, wait until it has ended, and say how it did."""
    entry = files.find(options.server)
    before, said = _kept(entry), list[tuple[bytes, bool]]()
    try:
        words = ["--discard"] if options.discard else []
        status = ask(options.server, "stop", *words, output=lambda *piece: said.append(piece))
    except _NoConsole:
        # As a supervisor does it. There is no refusing then: what cannot be saved is named in the log, the rest rescued.
        os.kill(entry.pid, signal.SIGTERM)
        status = 0
    if status or not entry.pid:  # refused; or known by its socket only, so its end cannot be seen
        for piece in said:
            _print(*piece)
        return status
    while files.is_alive(entry.pid):
        time.sleep(_POLL)
    after, file = _kept(entry), os.path.basename(entry.spl)
    if after is not None and after == before and not options.discard:
        complain(f"{entry.name} has stopped, and not all of it was saved; {file} stays as it was, and the log says why")
        return UNSAVED
    how = "" if after is None else f"; {file} stays as it was" if after == before else f"; saved in {file}"
    print(f"{entry.name} has stopped{how}")
    return 0


def _kept(entry: files.Entry) -> tuple[int, int] | None:
    """What changes when a server's space is saved; None where nothing is kept."""
    try:
        found = os.stat(entry.spl)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
