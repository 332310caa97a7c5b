"""Commands about the space and what runs in it."""

from typing import Any

from ...runtime import logs
from ..display import Facts, Table, Text, Tree
from ..session import current
from .base import command


@command(looks=True)
def space(path: str = "", *, depth: int = 2) -> Tree:
    """The tree of persistent objects; tree("chat.rooms") shows a part of it."""
    root = current().console.server.space
    return Tree(root.resolve(path) if path else root, path or "space", depth=depth)


@command(looks=True)
def tree(what: object = None, *, depth: int = 2) -> Tree:
    """An object and what is in it, or what is at a path of the space: tree(obj), tree("chat.rooms", depth=4)."""
    root = current().console.server.space
    if isinstance(what, str):
        return Tree(root.resolve(what), what, depth=depth)
    return Tree(root, "space", depth=depth) if what is None else Tree(what, type(what).__name__, depth=depth)


@command(looks=True)
def services() -> Table:
    """The services of the space: what they are and where they listen."""
    found = current().console.server.space.services()
    rows = [
        (name, type(service).__qualname__, ", ".join(service.addresses), len(service.connections), len(service.jobs))
        for name, service in found.items()
    ]
    return Table(("name", "kind", "addresses", "connections", "jobs"), rows, empty="no services")


@command(looks=True)
def status() -> Facts:
    """The server at a glance: files, services, edits, and what differs from the files."""
    return Facts(current().console.server.status(), times=("started", "saved"))


@command(looks=True, aside=True)
def log(lines: int = 20, *, level: str = "debug", grep: str = "", follow: bool = False) -> Text:
    """The last lines of the log; follow=True shows new ones as they come, until log(follow=False)."""
    session = current()
    least = {"debug": 10, "info": 20, "warning": 30, "error": 40}.get(level.lower(), 10)

    def wanted(number: int, line: str) -> bool:
        return number >= least and grep in line

    if stop := _followers.pop(session.number, None):
        stop()
    if follow:

        def show(number: int, line: str) -> None:
            if not session.alive:
                _followers.pop(session.number, lambda: None)()
            elif wanted(number, line):
                session.print(line + "\n")

        _followers[session.number] = logs.tail.follow(show)
    chosen = [line for number, line in tuple(logs.tail.lines) if wanted(number, line)]
    return Text("\n".join(chosen[-lines:]) if lines > 0 else "")


_followers: dict[int, Any] = {}
