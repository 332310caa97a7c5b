"""Commands that keep what a session showed, and show it again."""

import time
from pathlib import Path

from ...runtime.errors import ConsoleError
from ..display import Table, Text
from ..recording import Recorded, Replay, read
from ..session import Session, current
from ..takeover import take_over
from ..users import Role
from .base import command


@command(aside=True, role=Role.ADMIN)
def record(on: bool = True) -> Text:
    """Keep what this session shows from now on, or stop that; replay() lists what is kept. What is typed unseen is not in it."""
    session = current()
    if isinstance(session.wire, Recorded):
        path = session.wire.path
        if not on:
            session.wire.end()
        return Text(f"recording to {path.name}" if on else f"kept in {path.name}")
    if not on:
        return Text("this session is not recorded")
    folder = _folder(session)
    path = folder / f"{session.user}-{time.strftime('%Y%m%d-%H%M%S')}-{session.number}.cast"
    Recorded(session, path)
    session.console.note(event="record", session=session, file=path.name)
    return Text(f"recording to {path.name}; record(False) ends it")


@command(looks=True, aside=True, role=Role.ADMIN)
async def replay(name: str = "", *, speed: float = 1.0) -> Table | None:
    """The recordings; replay("name") shows one again, q leaves it."""
    session = current()
    folder = _folder(session)
    if not name:
        rows = [
            (f.name, time.strftime("%Y-%m-%d %H:%M", time.localtime(f.stat().st_mtime)), f.stat().st_size)
            for f in _files(folder)
        ]
        return Table(("name", "ended", "bytes"), rows, empty="nothing was recorded; record() begins")
    chosen = next((file for file in _files(folder) if file.name == name), None)
    if chosen is None:
        raise ConsoleError(f"there is no recording {name!r}; replay() lists them")
    if speed <= 0:
        raise ConsoleError(f"a speed of {speed:g} would never end; 2 is twice as fast")
    await take_over(session, Replay(session, list(read(chosen)), speed))
    return None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.cast"))


def _folder(session: Session) -> Path:
    folder = session.console.beside(".recordings")
    if folder is None:
        raise ConsoleError("this server keeps no files, so nothing can be recorded")
    return folder
