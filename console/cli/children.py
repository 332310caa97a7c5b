"""Other processes that a program under `midair exec` starts: an edit and the console do not reach them, so they are named.

Reloaders of their own and worker processes come in three ways: by a fork, by running Python again, and by replacing the
program. Whoever does it is found on the stack.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

from .faults import complain

_CURES = {
    "werkzeug._reloader": ("the reloader of werkzeug", "run it with --no-reload or use_reloader=False"),
    "uvicorn.supervisors.multiprocess": ("the workers of uvicorn", "run it without --workers"),
    "uvicorn.supervisors": ("the reloader of uvicorn", "run it without --reload"),
    "django.utils.autoreload": ("the reloader of django", "run it with --noreload"),
    "watchfiles": ("the reloader of watchfiles", "run the program without it"),
    "hupper": ("the reloader of hupper", "run it without --reload"),
    "tornado.autoreload": ("the reloader of tornado", "run it without autoreload"),
    "gunicorn": ("the workers of gunicorn", "run it with one worker, by a server such as uvicorn"),
}


def watch() -> None:
    """Say on stderr, from here on, when this program forks, runs Python again, or replaces itself."""
    import multiprocessing.util

    os.register_at_fork(after_in_child=_forked)
    sys.addaudithook(_audit)
    start = multiprocessing.util.spawnv_passfds  # by which all its start methods run Python

    def noted(path: Any, args: Any, passfds: Any) -> int:
        process: int = start(path, args, passfds)
        if not any(b"resource_tracker" in os.fsencode(word) for word in args):
            _tell(f"process {process} was started by the program")
        return process

    multiprocessing.util.spawnv_passfds = noted


def _forked() -> None:
    _tell(f"process {os.getpid()} was forked from the program")


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        path, words = args[:2]
        first = words if isinstance(words, (str, bytes)) else next(iter(words), "")
        if os.path.basename(os.fsencode(path or first)).startswith(b"python"):
            _tell("the program starts Python again")
    elif event == "os.exec":
        _tell("the program replaces itself")


def _tell(what: str) -> None:
    who, cure = _blame()
    by = f", by {who}" if who else ""
    complain(f"{what}{by}: edits and the console do not reach it; {cure}, for midair does that part")


def _blame() -> tuple[str, str]:
    """Who does it, when that is somebody known, and how to run the program without that."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        name = f"{frame.f_globals.get('__name__', '')}."
        for module, found in _CURES.items():
            if name.startswith(f"{module}."):
                return found
        frame = frame.f_back
    return "", "run the program without workers or a reloader of its own"
