"""A module that has one version after another, without files."""

import contextlib
import gc
import sys
import textwrap
import types
from collections.abc import Iterator


def game(source: str, name: str = "game") -> types.ModuleType:
    """Make `name` a module with this source; a later call puts another version in its place."""
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(textwrap.dedent(source), module.__dict__)
    return module


@contextlib.contextmanager
def no_game(*names: str) -> Iterator[None]:
    """Forget the modules at the end, and what other tests left behind before: a stand-in of theirs would become one of ours."""
    gc.collect()
    try:
        yield
    finally:
        for name in names or ("game",):
            sys.modules.pop(name, None)
