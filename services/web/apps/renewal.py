"""When an application is made anew: tried in each edit that concerns it, taken up after it."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

from ....runtime import rebuild
from ....runtime.errors import ServiceError
from . import frameworks
from .renew import Made, Recipe

log = logging.getLogger("midair.web")

Swap = Callable[[Any], Awaitable[None]]

_all: weakref.WeakSet[Renewal] = weakref.WeakSet()


class Renewal:
    """Keeps one mounted application in step with its modules.

    Args:
        swap: takes up another application object; may raise ServiceError when that does not start.
    """

    def __init__(self, module: str, attribute: str, swap: Swap) -> None:
        self.recipe, self._swap = Recipe(module, attribute), swap
        self.name = f"{module}:{attribute}"
        self._digest = self.recipe.digest(rebuild.texts())
        self._tried: tuple[bytes, Made] | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsubscribe = rebuild.subscribe(self._edited)
        _all.add(self)

    def stop(self) -> None:
        _all.discard(self)
        self._unsubscribe()

    def try_out(self) -> None:
        """Make the application, inside of an edit, if the edit concerns it. Nothing that is live changes.

        Raises:
            Exception: it cannot be made; the edit is to be refused.
        """
        self._tried = None
        texts = rebuild.texts()
        digest = self.recipe.digest(texts)
        if digest != self._digest:
            self._tried = digest, self.recipe.make(texts)

    def _edited(self, report: rebuild.Report) -> None:
        frameworks.after_edit()
        tried, self._tried = self._tried, None
        if tried is None:
            return
        self._digest, made = tried
        made.bind()
        self._loop.call_soon_threadsafe(self._take_up, made.app, report.number)

    def _take_up(self, app: Any, number: int) -> None:
        task = self._loop.create_task(self._swap_to(app, number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _swap_to(self, app: Any, number: int) -> None:
        try:
            await self._swap(app)
        except ServiceError as error:
            log.error("edit %d: %s; %s as it was before goes on answering", number, error, self.name)  # noqa: TRY400 - says it all
        else:
            log.info("edit %d: %s was made anew, since its routes changed", number, self.name)


@rebuild.check
def applications_can_be_made_anew() -> None:
    """Every mounted application that an edit concerns can be made from the new code."""
    for renewal in tuple(_all):
        renewal.try_out()
