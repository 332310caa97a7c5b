"""An application's start and stop, as ASGI's lifespan protocol has them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..asgi import App, Message

log = logging.getLogger("midair.web")

TIMEOUT = 30.0  # seconds for an application to start, and to stop


class LifespanError(Exception):
    """The application said, or showed, that it cannot start."""


class Lifespan:
    """Starts one application object and stops it again. An application without a lifespan is simply there.

    Attributes:
        state: what the application keeps for its requests; each gets a copy.
    """

    def __init__(self, app: App, name: str) -> None:
        self.app, self.name = app, name
        self.state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises:
        LifespanError: it failed, with its own words; nothing of it runs any more.
        """
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lifespan {self.name}")
        self._inbox.put_nowait({"type": "lifespan.startup"})
        message = await self._next(f"{self.name} did not start within {TIMEOUT:g} seconds")
        if message is None:
            self._task = None  # it has no lifespan
        elif message["type"] == "lifespan.startup.failed":
            self._task.cancel()
            self._task = None
            raise LifespanError(f"{self.name} did not start: {message.get('message') or 'it gave no reason'}")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        try:
            message = await self._next(f"{self.name} did not stop within {TIMEOUT:g} seconds")
            if message is not None and message["type"] == "lifespan.shutdown.failed":
                log.error("%s failed at its end: %s", self.name, message.get("message") or "it gave no reason")
        except LifespanError as error:
            log.error("%s; it was cancelled", error)  # noqa: TRY400 - it says all there is
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None

    async def _next(self, late: str) -> Message | None:
        """The next message of the application, None when it ended instead.

        An error before the first message means, by the protocol, that it has no lifespan.
        """
        assert self._task is not None
        hearing = asyncio.ensure_future(self._heard.get())
        await asyncio.wait({hearing, self._task}, timeout=TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            return hearing.result()
        hearing.cancel()
        if not self._task.done():
            self._task.cancel()
            raise LifespanError(late)
        return None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, self._inbox.get, self._heard.put)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - an application may refuse a lifespan by any exception
            log.debug("%s has no lifespan: %r", self.name, error)
