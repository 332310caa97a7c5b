"""`midair demo`: a tour (tour.py)."""

from __future__ import annotations

import argparse

from .parser import Commands


def add(commands: Commands) -> None:
    parser = commands.add(
        "demo",
        demo,
        "a tour: a chat server is edited live, stopped and resumed",
        example="midair demo",
        more="It takes a few seconds. On a terminal the server is then left to play with; otherwise it ends.",
    )
    parser.add_argument("--end", action="store_true", help="end after the tour on a terminal too")


def demo(options: argparse.Namespace) -> int:
    """Give the tour; 0 when everything happened as told."""
    from .tour import give

    return give(end=options.end)
