"""Lexers of Pygments that are imported when the first of them is made.

ptpython's browser of the history names the lexer of its help text, and that one's module those of HTML, JavaScript, Lisp and LilyPond;
ptpython's line names the one of shell commands. Nobody sees them before F3 is pressed, and they are 8,000 objects and 3.5 MiB.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pygments.lexers  # type: ignore[import-untyped]  # it ships no types


class LaterLexer:
    """Stands for a lexer: made like one, and what is made is one."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, **options: Any) -> Any:
        return getattr(pygments.lexers, self.name)(**options)


@contextmanager
def postponed(*names: str) -> Generator[None]:
    """Have imports find stand-ins for these lexers; those that are imported already are left as they are."""
    module = pygments.lexers
    missing = [name for name in names if name not in vars(module)]
    for name in missing:
        setattr(module, name, LaterLexer(name))
    try:
        yield
    finally:
        for name in missing:
            delattr(module, name)
