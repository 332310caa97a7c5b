"""Commands, their options, and the example that each help ends with."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, since a new option must not change what an old script means."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"midair: {message}; see '{self.prog} --help'\n")


class Commands:
    """The commands under one parser.

    Args:
        parser: the one they are put under.
        dest: the attribute that holds the name of the chosen one.
    """

    def __init__(self, parser: Parser, dest: str = "command") -> None:
        self._prog = parser.prog
        self._group = parser.add_subparsers(dest=dest, metavar="COMMAND", required=True, parser_class=Parser)
        #: The example of each command by its whole name, such as "midair user add".
        self.examples: dict[str, str] = {}

    def add(self, name: str, run: Run | None, summary: str, *, example: str, more: str = "") -> Parser:
        """A new command.

        Args:
            run: does it, and returns the exit status; None for one that only has commands of its own.
            summary: its line in the list of commands, in lower case.
            example: what one can type, and a test types.
            more: what its help says besides.
        """
        text = f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{more}" if more else "")
        parser: Parser = self._group.add_parser(
            name, help=summary, description=text, epilog="example:\n" + _indented(example)
        )
        if run:
            parser.set_defaults(run=run)
        self.examples[f"{self._prog} {name}"] = example
        return parser


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def server_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the optional argument that says which running server is meant."""
    parser.add_argument(
        "server",
        nargs="?",
        metavar="NAME|PID|SOCKET",
        help="which running server; not needed when only one runs ('midair ps' lists them)",
    )


def build() -> tuple[Parser, dict[str, str]]:
    """The parser of the whole command, and the example of each command by its name."""
    from midair.version import __version__

    from . import demo, make, new, people, program, remote, run, snapshots

    parser = Parser(
        prog="midair",
        description="Change a running Python server without landing it.",
        epilog="'midair COMMAND --help' tells more; 'midair demo' shows it.\n\nexample:\n    midair --version",
    )
    parser.add_argument("--version", action="version", version=f"midair {__version__}")
    commands = Commands(parser)
    for group in (demo, new, make, run, remote, people, snapshots, program):
        group.add(commands)
    return parser, {"midair": "midair --version", **commands.examples}
