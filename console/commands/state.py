"""Commands about what is kept: snapshots, stopping."""

import time
from pathlib import Path

from ...runtime.errors import ConsoleError
from ..display import Table, Text
from ..session import current
from .base import command


@command(whole=True)
async def snapshot() -> Text:
    """Save the space now; the server goes on meanwhile. Its file is the newest generation afterwards."""
    server = current().console.server
    began = time.monotonic()
    generation = await server.snapshot()
    name = server.path.name if server.path else "the space"
    return Text(f"saved {name} generation {generation} in {time.monotonic() - began:.2f} s")


@command(looks=True)
def snapshots() -> Table:
    """The generations on disk, newest last."""
    path = current().console.server.path
    if path is None:
        raise ConsoleError("this server keeps no files; it was started without one")
    rows = sorted(
        _generation(file, path) for file in path.parent.glob(f"{path.stem}.*.spl") if _number(file, path) is not None
    )
    return Table(("generation", "saved", "bytes", "file"), rows, empty="no snapshot yet")


@command(whole=True)
async def handover() -> Text:
    """Replace the server's process by a new one of today's code and Python, while its connections stay."""
    session = current()
    replace = getattr(session.console.server, "handover", None)
    if replace is None:
        raise ConsoleError("this server cannot be handed over; snapshot(), stop() and start it again instead")
    return Text(str(await replace(who=session.user)))


def _number(file: Path, path: Path) -> int | None:
    middle = file.name.removeprefix(path.stem + ".").removesuffix(".spl")
    return int(middle) if middle.isdigit() else None


def _generation(file: Path, path: Path) -> tuple[int, str, int, str]:
    found = file.stat()
    saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.st_mtime))
    return _number(file, path) or 0, saved, found.st_size, file.name


@command(whole=True)
async def stop(*, discard: bool = False) -> Text:
    """Stop the server in good order: services in reverse, last snapshot, exit.

    Refused while something cannot be saved, with its path; stop(discard=True) stops all the same.
    """
    session = current()
    stopping = getattr(session.console.server, "stop", None)
    if stopping is None:
        session.console.server.stop_soon(f"asked by {session.user}")
    else:
        await stopping(discard=discard, who=session.user)
    return Text("stopping")
