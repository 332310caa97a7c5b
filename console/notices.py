"""What a person must know who logs in: first what is wrong, with its cure, then how to get help."""

import asyncio
from typing import TYPE_CHECKING, Any

from ..runtime import rebuild
from . import joining
from .display import one_line
from .users import Role

if TYPE_CHECKING:
    from .console import Console
    from .session import Session

SLOW = 0.3
"""Seconds without an answer after which the server's loop is called stuck at login; also the lag worth mentioning."""

MOST = 5
"""Lines shown of each kind."""


async def notices(console: "Console", session: "Session") -> str:
    """The lines above the first prompt. The server's loop is asked for its state, and not waited for longer than `SLOW`."""
    server = console.server
    lines = [
        f"{server.name}, generation {getattr(server.space, 'generation', 0)}: you are {session.user} ({session.person.role})."
    ]
    lines += await _problems_of(console, session)
    for left in (other for other in console.sessions if other.detached and other.user == session.user):
        what = f"runs {joining.running(left)}" if left.statement else "is at its prompt"
        lines.append(f"You left session {left.number} behind, which {what}; join({left.number}) takes it back.")
    others = sorted({other.user for other in console.sessions if other.user != session.user})
    if others:
        lines.append(f"Also here: {', '.join(others)}.")
    lines.append("'help' lists the commands, Ctrl-D leaves.")
    return "\n".join(lines) + "\n"


async def _problems_of(console: "Console", session: "Session") -> list[str]:
    answered: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def answer() -> None:
        lines = _problems(console.server)

        def tell() -> None:
            if not answered.done():
                answered.set_result(lines)

        console.call(tell)

    console.runner.call_server(answer)
    try:
        return await asyncio.wait_for(answered, SLOW)
    except TimeoutError:
        cure = (
            "stacks() shows where, interrupt() frees it" if session.person.role >= Role.OPERATOR else "tell an operator"
        )
        return [f"! The server's loop has not answered for {SLOW:g} s: it is stuck or busy; {cure}."]


def _problems(server: Any) -> list[str]:
    status: dict[str, Any] = server.status()
    held = [one_line(f"{one.file}: {one.reason}; {one.cure}") for one in rebuild.held()]
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
