"""Commands about people: help, who is here, leaving."""

import asyncio
import pydoc
import textwrap
import time
from typing import Any

from ...runtime.errors import ConsoleError, NotAuthorised
from .. import joining, questions
from ..display import Prose, Table, Text
from ..session import Session, current
from ..takeover import take_over
from ..users import Role, check_password
from .base import Command, command


@command(looks=True, aside=True)
def help(what: object = None) -> Text | None:  # noqa: A001 - it extends Python's own
    """The commands; help(obj) is Python's own help.

    help("name") explains a command.
    """
    session = current()
    commands = session.console.commands
    if isinstance(what, str) and what in commands:
        return commands[what].usage()
    if isinstance(what, Command):
        return what.usage()
    if what is not None:
        return Text(pydoc.plain(pydoc.render_doc(what)))
    allowed = [c for c in session.console.shared.commands.values() if session.person.role >= c.role]
    wide = max(len(c.name) for c in allowed)
    lines = [f"{c.name:<{wide}}  {c.summary}" for c in allowed]
    if session.rich:  # on a terminal words stay whole; elsewhere a command is a line
        indent = " " * (wide + 2)
        lines = [textwrap.fill(line, max(session.columns, 2 * wide), subsequent_indent=indent) for line in lines]
    if session.person.role >= Role.ADMIN:
        if session.console.names is None:
            there = "space and the services are there by name"
        else:
            there = "the program's names are there; where a command has the same one: __main__.NAME"
        lines += [
            "",
            f"Anything else is Python, with await; {there}. help(undo) explains undo, help(obj) is Python's help.",
        ]
    return Prose("\n".join(lines))


@command(looks=True, aside=True)
def who() -> Table:
    """Who is logged in, from where, and what they run."""
    now = time.monotonic()
    rows = [
        (s.number, s.user, str(s.person.role), s.person.transport, _from(s), _idle(now - s.active), joining.running(s))
        for s in current().console.sessions
    ]
    return Table(("session", "user", "role", "by", "from", "idle", "running"), rows)


@command(looks=True, aside=True)
def exit(status: object = None) -> None:  # noqa: A001, ARG001 - Python's name and signature; a status has no meaning here
    """Leave this session; the server goes on. Ctrl-D does the same."""
    raise SystemExit


@command(looks=True, aside=True)
def quit() -> None:  # noqa: A001 - Python's name
    """Leave this session; the server goes on."""
    raise SystemExit


@command(aside=True, role=Role.VIEWER)
def detach() -> None:
    """Leave this session behind, as Ctrl-\\ does at any moment: what it runs goes on, its output is kept, join() takes it back."""
    session = current()
    if not session.rich:
        raise ConsoleError("this needs a terminal; this session is on a plain line or a pipe")
    session.detach()


@command(aside=True, role=Role.VIEWER)
async def join(session: int | None = None) -> None:
    """Take back your detached session; join(3) shows another of yours, or one that you were invited to. Ctrl-\\ leaves it again."""
    me = current()
    host = joining.find(me, session)
    me.console.note(event="join", session=me, joined=host.number)
    if host.user != me.user:
        host.print(f"[{me.user} has joined this session]\n")
    await take_over(me, joining.Joined(me, host))


@command(aside=True, role=Role.VIEWER)
def invite(who: str) -> Text:
    """Let somebody join this session: you both see it, and both type. They need your role at least."""
    me = current()
    me.invited.add(who)
    told = [session for session in me.console.sessions if session.user == who]
    for session in told:
        session.print(f"[{me.user}] invites you: join({me.number})\n")
    return Text(f"{who} may join({me.number})" + ("" if told else ", and is not here now"))


@command(aside=True)
def wall(text: str) -> Text:
    """Say something to everybody who is logged in."""
    me = current()
    others = [session for session in me.console.sessions if session is not me]
    for session in others:
        session.print(f"[{me.user}] {text}\n")
    return Text(f"said to {len(others)} other session{'s' * (len(others) != 1)}")


@command(aside=True)
def kick(who: str) -> Text:
    """End the sessions of a user, or the session with this number."""
    me = current()
    chosen = [s for s in me.console.sessions if s is not me and who in (s.user, str(s.number))]
    if not chosen:
        raise ConsoleError(f"nobody else here is {who!r}; who() lists the sessions")
    for session in chosen:
        session.close(f"{me.user} ended this session.")
        me.console.note(event="kick", session=me, kicked=session.number)
    return Text(f"ended {len(chosen)} session{'s' * (len(chosen) != 1)}")


@command(looks=True, aside=True, role=Role.OPERATOR)
def users() -> Table:
    """Who may log in, and with which role. 'midair user' in a shell adds, removes and changes them."""
    known = current().console.users
    rows = [(user.name, str(user.role)) for user in known.all()] if known else []
    return Table(("user", "role"), rows, empty="nobody; the Unix socket is always open to its own user")


@command(role=Role.VIEWER)
async def passwd() -> Text:
    """Change your own password; it is asked for, twice, and shown nowhere. At least 8 characters."""
    session = current()
    known = session.console.users
    if known is None or known.get(session.user) is None:
        raise ConsoleError(f"{session.user} logs in without a password; 'midair user' in a shell changes the others'")
    password = await ask.function("New password: ", hidden=True)
    check_password(password)
    if await ask.function("Again: ", hidden=True) != password:
        raise ConsoleError("the two differ; nothing was changed")
    await asyncio.to_thread(known.set_password, session.user, password)
    return Text("changed")


@command(role=Role.ADMIN)
async def ask(question: str, *, hidden: bool = False) -> str:
    """What you answer: `name = await ask("Name: ")`. Python's input() would stop the server while you think."""
    return await questions.ask(current(), question, hidden=hidden)


@command(aside=True)
def unlock() -> Text:
    """Forget all failed logins, so that nobody has to wait who mistyped a password. Over the Unix socket only."""
    session = current()
    if session.person.transport != "unix":
        raise NotAuthorised(
            "unlock works over the Unix socket only: who holds the network must not be able to lift its limits"
        )
    session.console.door.forgive()
    return Text("all failed logins are forgotten")


@command(role=Role.ADMIN)
def share(name: str, value: Any = None) -> Text:
    """Let everybody see a name of yours: share("fix") shares your `fix`, share("fix", obj) shares obj under that name."""
    session = current()
    if value is None:
        if name not in session.namespace:
            raise ConsoleError(f"you have no name {name!r} to share")
        value = session.namespace[name]
    session.console.shared.share(name, value)
    return Text(f"{name} is seen by everybody")


def _idle(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _from(session: Session) -> str:
    return "(detached)" if session.detached else session.person.peer
