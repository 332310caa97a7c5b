"""`midair run`: opens a space and serves it until it is stopped."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.errors import ServerError
from ...runtime.sockets import port
from .faults import UsageError, complain
from .parser import Commands, Parser

if TYPE_CHECKING:
    from ...runtime.app import Application
    from ...runtime.boot import Target
    from ...runtime.files import Files
    from ..console import Console
    from .background import Parent

log = logging.getLogger("midair.server")

_MORE = """\
FILE.spl       a space that was saved: resumed
APP.py         a program with build(space): resumed from APP.spl in this folder, or built when there is none yet
package.module the same for a module that can be imported from here
KIND ...       a kind of service with its options ('midair make' lists the kinds): kept in KIND.spl

Its sources are watched: an edit that is saved reaches the running server. Ctrl-C or SIGTERM stops it in good order, and
its state is saved; SIGHUP brings the code up to date."""


def add(commands: Commands) -> None:
    parser = commands.add(
        "run", run, "start a server, or resume it", example="midair run chat.py --telnet 8023", more=_MORE
    )
    parser.add_argument("target", nargs="?", metavar="FILE.spl|APP.py|package.module|KIND", help="what to run")
    parser.add_argument("-f", "--file", metavar="FILE.spl", help="where the space is kept; alone: what to run")
    serving_arguments(parser)
    parser.set_defaults(takes_rest=True)


def serving_arguments(parser: Parser) -> None:
    """Adds the options of a server."""
    console = parser.add_argument_group("console")
    console.add_argument(
        "--telnet",
        type=address,
        metavar="[HOST:]PORT",
        help="a console over telnet, with login; on loopback unless HOST is given",
    )
    console.add_argument(
        "--ssh", type=address, metavar="[HOST:]PORT", help="the same over ssh, by the keys in NAME.keys"
    )
    console.add_argument("--insecure-network", action="store_true", help="yes, passwords in clear text on a network")
    console.add_argument("--pty", action="store_true", help="a terminal under the link NAME.tty, for screen")
    console.add_argument("-i", "--interactive", action="store_true", help="a console on this terminal too")
    console.add_argument("--no-console", action="store_true", help="no console at all, not on the Unix socket either")
    code = parser.add_argument_group("code")
    code.add_argument("--no-watch", action="store_true", help="edits arrive only by 'midair rebuild' or SIGHUP")
    code.add_argument("--watch", action="append", metavar="DIR", default=[], help="watch this folder too")
    code.add_argument(
        "--settle", type=seconds, metavar="S", help="silence that ends a burst of saves (0.05; 2 unattended)"
    )
    code.add_argument("--last-good", action="store_true", help="start on the sources kept in the snapshot")
    state = parser.add_argument_group("state")
    state.add_argument("--fresh", action="store_true", help="start anew; what is on disk is set aside")
    state.add_argument("--generation", type=positive, metavar="N", help="resume this one, not the newest")
    state.add_argument("--lenient", action="store_true", help="start even if some objects do not fit today's classes")
    state.add_argument(
        "--trust", action="store_true", help="load a file that is not yours or was imported; it can run any code"
    )
    state.add_argument("--snapshot-every", type=seconds, default=60.0, metavar="S", help="0: never (default: 60)")
    process = parser.add_argument_group("process")
    process.add_argument(
        "--daemon", action="store_true", help="into the background, once it is ready; logs to NAME.log"
    )
    process.add_argument("--log", metavar="FILE", help="log there rather than to standard error")
    process.add_argument("--log-json", action="store_true", help="one JSON object a line in the log")
    process.add_argument("--drain", type=seconds, default=5.0, metavar="S", help="grace at a stop (default: 5)")


def address(text: str) -> tuple[str, int]:
    """`[HOST:]PORT` as host and port: loopback unless said otherwise; port 0 is any that is free."""
    host, _, number = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", port(number)


def seconds(text: str) -> float:
    """A length of time in seconds."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds from 0 on, not {text!r}")
    return value


def positive(text: str) -> int:
    """A number from 1 on."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a number from 1 on, not {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Open what was asked for and serve it; the exit status."""
    return serve(options, lambda: find_target(options))


def find_target(options: argparse.Namespace) -> Target:
    """What `midair run` was asked to run.

    Raises:
        UsageError: nothing was named, or options are left over that nobody understands.
        ServerError: there is no such file.
    """
    from ...runtime import boot, kinds
    from ...runtime.files import Files

    what, rest = options.target, options.rest
    _insist_on_sense(options)
    if what is None and options.file is None:
        if options.rest:
            raise UsageError(f"not understood: {' '.join(options.rest)}; see 'midair run --help'")
        found = " or ".join(f"'midair run {name}'" for name in _here()[:3])
        asked = f"for example {found}" if found else "a FILE.spl, an APP.py, a package.module or a KIND"
        raise UsageError(f"run what? {asked[0].upper()}{asked[1:]}; see 'midair run --help'")
    if what and not what.endswith((".spl", ".py")) and what in kinds.names():
        from .make import kind_parser, made

        files = Files.of(options.file or f"{what}.spl")
        if files.spl.exists() and not rest and not options.fresh:
            return boot.Target(what, files)  # made before: its options are in the file
        kind = kinds.load(what)
        chosen = kind_parser(kind, f"midair run {what}").parse_args(rest)
        return boot.Target(what, files, make=lambda: made(kind, chosen))
    if rest:
        raise UsageError(f"not understood: {' '.join(rest)}; see 'midair run --help'")
    return boot.Target.of(what, file=options.file)


#: Of these pairs of options one would silently do nothing.
_EXCLUSIVE = (
    ("no_console", "telnet"),
    ("no_console", "ssh"),
    ("no_console", "pty"),
    ("no_console", "interactive"),
    ("daemon", "interactive"),
    ("fresh", "generation"),
    ("fresh", "last_good"),
)


def _insist_on_sense(options: argparse.Namespace) -> None:
    for one, other in _EXCLUSIVE:
        if getattr(options, one) and getattr(options, other):
            names = f"--{one} and --{other}".replace("_", "-")
            raise UsageError(f"{names} exclude each other; see 'midair run --help'")
    if options.file and (options.file.endswith(".py") or Path(options.file).is_dir()):
        raise UsageError(f"-f {options.file}: that is no FILE.spl; see 'midair run --help'")


def _here() -> list[str]:
    """What could be run in this folder: its spaces, and its programs that have none yet."""
    spaces = [path.stem for path in Path().glob("*.spl") if not re.fullmatch(r".*\.(\d+|rescue)", path.stem)]
    programs = [path for path in Path().glob("*.py") if path.stem not in spaces and os.access(path, os.R_OK)]
    return sorted([f"{name}.spl" for name in spaces] + [path.name for path in programs if _builds(path)])


def _builds(path: Path) -> bool:
    return path.is_file() and re.search(rb"^def build\(", path.read_bytes(), re.MULTILINE) is not None


def serve(options: argparse.Namespace, find: Callable[[], Target]) -> int:
    """Serve what `find` finds, in the background when asked to."""
    if options.daemon:
        from .background import in_background

        return in_background(lambda parent: _serve(options, find(), parent))
    return _serve(options, find(), None)


def _say(line: str) -> None:
    print(line, flush=True)


def _serve(options: argparse.Namespace, target: Target, parent: Parent | None) -> int:
    from ...runtime.boot import ApplicationFailed, How, open_space
    from ...runtime.server import Server

    _log(options, target.files, in_background=parent is not None)
    folders = _folders(options)
    how = How(
        fresh=options.fresh,
        generation=options.generation,
        last_good=options.last_good,
        lenient=options.lenient,
        trust=options.trust,
    )
    say = parent.say if parent else _say
    console = None if options.no_console else _console(options, target.files, say)
    try:
        opened = open_space(target, how)
    except ApplicationFailed as error:
        if options.log or parent:
            # The whole of it; the person is shown their own part.
            log.exception("nothing was started", exc_info=error.__cause__)
        raise
    say(opened.line)
    for warning in opened.warnings:
        say(f"  {warning}")
    server = Server(
        opened.space,
        files=target.files,
        hold=opened.hold,
        application=opened.application,
        drain=options.drain,
        snapshot_every=options.snapshot_every,
        watch=_watched(options, opened.application, folders),
        settle=options.settle,
        say=say,
        complain=parent.complain if parent else complain,
    )
    server.follows = not options.no_watch
    if console:
        server.add(console)
    if parent:
        server.add(parent)
    return server.run()


def _log(options: argparse.Namespace, files: Files, *, in_background: bool) -> None:
    from ...runtime import logs

    file = Path(options.log).absolute() if options.log else files.log if in_background else None
    try:
        if file and in_background:
            from .background import divert

            divert(file)
        logs.set_up(file=file, as_json=options.log_json)
    except OSError as error:
        raise ServerError(f"cannot write the log {file}: {error.strerror}; nothing was started") from error


def _folders(options: argparse.Namespace) -> list[Path]:
    """The folders of --watch. Their modules are editable from their first import on, so this comes before any."""
    from ...runtime import rebuild

    folders = [Path(folder).absolute() for folder in options.watch]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder} to watch")
        rebuild.record(folder)
    return folders


def _watched(options: argparse.Namespace, application: Application | None, more: list[Path]) -> list[Path]:
    if options.no_watch:
        return []
    return [application.project, *more] if application else more


def _console(options: argparse.Namespace, files: Files, say: Callable[[str], None]) -> Console:
    from ..console import Console

    if options.ssh and not find_spec("asyncssh"):
        raise UsageError("--ssh needs asyncssh: pip install 'midair[ssh]'")
    return Console(
        files.sock,
        telnet=options.telnet,
        ssh=options.ssh,
        pty=options.pty,
        stdin=options.interactive,
        allow_cleartext=options.insecure_network,
        say=say,
    )
