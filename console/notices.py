"""What a person must know who logs in: first what is wrong, with its cure, then how to get help."""

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from ..runtime import rebuild
from .display import one_line
from .users import Role

if TYPE_CHECKING:
    from .console import Console
    from .session import Session

SLOW = 0.3
"""Seconds without an answer after which the server's loop is called stuck at login; also the lag worth mentioning."""

MOST = 5
"""Lines shown of each kind."""


def notices(console: "Console", session: "Session") -> str:
    """The lines above the first prompt. Reads plain facts only, so it works while the server's loop is stuck."""
    server = console.server
    lines = [
        f"{server.name}, generation {getattr(server.space, 'generation', 0)}: you are {session.user} ({session.person.role})."
    ]
    lines += _problems(server)
    others = sorted({other.user for other in console.sessions if other.user != session.user})
    if others:
        lines.append(f"Also here: {', '.join(others)}.")
    lines.append("'help' lists the commands, Ctrl-D leaves.")
    _watch_loop(console, session)
    return "\n".join(lines) + "\n"


def _problems(server: Any) -> list[str]:
    try:
        status: dict[str, Any] = server.status()
        held = [one_line(f"{one.file}: {one.reason}; {one.cure}") for one in rebuild.held()]
    except RuntimeError as error:
        # Read from this thread while the server's changes them: rare, and no reason to keep somebody out.
        return [f"! The server's state could not be read just now ({error}); status() and held() tell it"]
    lines = []
    if held:
        lines += ["! What runs is not what the files say:", *[f"!   {entry}" for entry in held[:MOST]]]
        if len(held) > MOST:
            lines.append(f"!   and {len(held) - MOST} more; held() lists them")
    if failed := status.get("snapshot_failed"):
        lines.append(f"! The last snapshot failed: {one_line(str(failed))}")
    if stragglers := status.get("stragglers"):
        lines.append(f"! {stragglers} still on old code; stragglers() lists them")
    if (lag := status.get("lag_ms", 0)) >= SLOW * 1000:
        lines.append(f"! The server's loop was up to {lag / 1000:.1f} s late in the last minute")
    return lines


def _watch_loop(console: "Console", session: "Session") -> None:
    """Ask the server's loop for a sign of life; when none comes, say so above the prompt."""
    answered = threading.Event()
    began = time.monotonic()

    def check() -> None:
        if answered.is_set() or not session.alive:
            return
        waited = time.monotonic() - began
        cure = (
            "stacks() shows where, interrupt() frees it" if session.person.role >= Role.OPERATOR else "tell an operator"
        )
        session.print(f"! The server's loop has not answered for {waited:.1f} s: it is stuck or busy; {cure}.\n", "err")

    console.runner.call_server(answered.set)
    asyncio.get_running_loop().call_later(SLOW, check)
