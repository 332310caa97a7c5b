"""`midair make KIND`: writes a space with one service in it; and the `mk...` names of 2001, which do the same."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .faults import UsageError, guarded
from .parser import Commands, Parser

if TYPE_CHECKING:
    from ...runtime.kinds import Kind
    from ...runtime.service import Service


def add(commands: Commands) -> None:
    parser = commands.add(
        "make",
        make,
        "write a .spl file with one service of a kind",
        example="midair make telnet 8023 anna -o console.spl",
        more="Without a KIND: lists the kinds, also those that other packages brought. 'midair make KIND --help' tells its options.",
    )
    parser.add_argument("kind", nargs="?", metavar="KIND", help="which kind")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="its options")


def make(options: argparse.Namespace) -> int:
    """Write the file, or list the kinds."""
    if options.kind is None:
        return _list_kinds()
    return write(options.kind, options.words, prog=f"midair make {options.kind}")


def write(name: str, words: list[str], *, prog: str) -> int:
    """Make a service from the words and write it, alone in a space, as a new `.spl` file.

    Raises:
        ServerError: there is no such kind, or a file of that name is there already, or runs.
        UsageError: the options do not fit together.
    """
    from ...runtime import kinds
    from ...runtime.boot import make_file
    from ...runtime.files import Files
    from ...runtime.words import near

    kind = kinds.load(name)
    parser = kind_parser(kind, prog)
    parser.add_argument("-o", "--output", metavar="FILE.spl", default=f"{name}.spl", help=f"default: {name}.spl")
    options = parser.parse_args(words)
    if Path(options.output).is_dir():
        raise UsageError(f"-o {options.output}: that is a folder; name a FILE.spl in it")
    files = Files.of(options.output)
    service = make_file(files, lambda: made(kind, options))
    places = getattr(service, "places", None)  # a kind may say where it will be reached
    where = f" on {places()}" if places else ""
    print(f"wrote {files.spl.name}: {kinds.summary(kind)}\n'midair run {near(files.spl)}' starts it{where}")
    return 0


def kind_parser(kind: Kind, prog: str) -> Parser:
    """A parser for the options of a kind."""
    # The first paragraph: the rest is for who writes Python.
    first, _, _ = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
    parser = Parser(prog=prog, description=first)
    kind.add_arguments(parser)
    return parser


def made(kind: Kind, options: argparse.Namespace) -> Service:
    """The service of a kind.

    Raises:
        UsageError: the options do not fit together.
    """
    try:
        return kind.make(options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _list_kinds() -> int:
    from ...runtime import kinds

    for name in kinds.names():
        try:
            summary = kinds.summary(kinds.load(name))
        except kinds.KindFailed as error:
            summary = str(error)
        print(f"{name:12} {summary}")
    return 0


def _under_old_name(name: str) -> int:
    return guarded(lambda: write(name, sys.argv[1:], prog=f"mk{name}server"))


def mkwebserver() -> int:
    """The command `mkwebserver`: writes web.spl."""
    return _under_old_name("web")


def mktelnetserver() -> int:
    """The command `mktelnetserver PORT USER [PASSWORD]`: writes telnet.spl."""
    return _under_old_name("telnet")


def mkircserver() -> int:
    """The command `mkircserver`: writes irc.spl."""
    return _under_old_name("irc")


def mkrealityserver() -> int:
    """The command `mkrealityserver`: writes reality.spl."""
    return _under_old_name("reality")
