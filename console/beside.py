"""A console beside a program that is not a midair server: `midair exec`.

The program keeps the main thread and knows nothing of this. The console and what is typed there run in a thread of their own, with
an event loop of its own, so statements touch the program's objects as one more thread of it would.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from midair.version import __version__

from ..runtime import rebuild, sockets
from ..runtime.errors import SnapshotError
from ..runtime.files import Files, Hold
from ..runtime.space import Space
from ..runtime.words import near

if TYPE_CHECKING:
    from pathlib import Path

    from .console import Console

ANSWER_WAIT = 2.0
"""Seconds that statements get to end when the program is stopped from its console."""


def _program_names() -> dict[str, Any]:
    main = sys.modules["__main__"]
    return {"__main__": main, **{name: value for name, value in vars(main).copy().items() if not name.startswith("__")}}


class Beside:
    """What a console takes for its server.

    Args:
        files: where the socket, the pid file and the users are.
        hold: the right to these names, taken already.
        console: the ways in.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(self, files: Files, hold: Hold, console: Console) -> None:
        self.files, self.hold, self.console = files, hold, console
        self.space = Space()
        console.names = _program_names
        self.started = time.time()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._ended: asyncio.Event
        self._ends_program = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="midair-exec", daemon=True)

    def start(self) -> None:
        """Open the ways in; what keeps one from opening is raised here."""
        self._thread.start()
        self._ready.wait()
        if self._error:
            raise self._error
        self.hold.announce()
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminated)

    def _terminated(self, *_: object) -> None:
        """End by the signal after all, without leaving a socket behind that nobody answers. The program's own handler, if it has one, replaces this."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() == self._pid:  # not in what the program forked
            sockets.remove(self.files.sock)
            self.hold.release()
        os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        """Close them. Not `stop`: what a console calls by that name ends the program in good order, and there is no such order here."""
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self.hold.release()

    async def _main(self) -> None:
        self.loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self.console.start(self)
        except BaseException as error:  # noqa: BLE001 - raised again in `start`, which waits for it
            self._error = error
            return
        finally:
            self._ready.set()
        await self._ended.wait()
        if self._ends_program:
            # Who asked is still to be answered; closing the console would interrupt that.
            patience = time.monotonic() + ANSWER_WAIT
            while any(session.statement for session in self.console.sessions) and time.monotonic() < patience:
                await asyncio.sleep(0.01)
        await self.console.stop(self)
        if self._ends_program:
            self.hold.release()
            os.kill(os.getpid(), signal.SIGTERM)

    # --- what a console asks of its server

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def path(self) -> Path:
        return self.files.spl

    def touch(self) -> None:
        """Nothing is saved, so nothing is counted."""

    def status(self) -> dict[str, Any]:
        """What there is to know at a glance; plain data."""
        return {
            "name": self.name,
            "midair": __version__,
            "pid": os.getpid(),
            "program": " ".join(sys.argv),
            "started": self.started,
            "threads": threading.active_count(),
            "modules": len(rebuild.recorded()),
            "edits": len(rebuild.history),
            "held": [f"{near(one.file)}: {one.reason}; {one.cure}" for one in rebuild.held()],
            "stragglers": len(rebuild.stragglers()),
        }

    def stop_soon(self, reason: str) -> None:  # noqa: ARG002 - the program is told by a signal, which carries none
        """End the program as a supervisor would, by SIGTERM, when the console has said goodbye."""
        self._ends_program = True
        self.loop.call_soon_threadsafe(self._ended.set)

    async def snapshot(self) -> int:
        """There is nothing to save.

        Raises:
            SnapshotError: always.
        """
        raise SnapshotError("this program has no space to save; it runs by 'midair exec'")

    async def rebuild(self, *modules: str, who: str = "") -> rebuild.Report:
        """Bring the running code to the state of its files.

        Raises:
            RebuildError: refused, and why; nothing changed.
        """
        return rebuild.rebuild(*modules, who=who)
