"""The `midair` command."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    from .cli.faults import guarded
    from .cli.parser import build

    parser, _ = build()
    options, rest = parser.parse_known_args(argv)
    if rest and not getattr(options, "takes_rest", False):
        words = (getattr(options, word, "") for word in ("command", "user_command"))
        parser.prog = " ".join(filter(None, [parser.prog, *words]))  # the help that it points to
        parser.error(f"not understood: {' '.join(rest)}")
    options.rest = [*getattr(options, "rest", []), *rest]
    return guarded(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
