"""The resource that hands requests and websockets to an application.

The application object is looked up for each request. When an edit made a new one, requests that come later go to it; those in flight, and
open websockets, end on the one they began with, which is stopped after the last of them.
"""

# ruff: noqa: N815  (isLeaf is the name that resources have)

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any

from a2wsgi import WSGIMiddleware

from ....runtime.errors import ServiceError
from ..asgi import App, Message
from ..errors import WebError
from ..request import Request
from ..resource import Resource
from .frameworks import open_for_edits
from .lifespan import Lifespan, LifespanError
from .loading import attribute_of, module_of, split
from .renewal import Renewal

if TYPE_CHECKING:
    from ....runtime.service import Service

log = logging.getLogger("midair.web")

THREADS = 10  # for the requests of one WSGI application


class Serving:
    """One application object, while it answers."""

    def __init__(self, app: App, source: Any, name: str) -> None:
        self.app, self.source = app, source
        self.lifespan = Lifespan(app, name)
        self.active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        self.active += 1
        self._idle.clear()

    def leave(self) -> None:
        self.active -= 1
        if not self.active:
            self._idle.set()

    async def retire(self) -> None:
        """Stop it after its last request."""
        await self._idle.wait()
        await self.stop()

    async def stop(self) -> None:
        await self.lifespan.stop()
        if isinstance(self.app, WSGIMiddleware):
            self.app.executor.shutdown(wait=False, cancel_futures=True)


class AppMount(Resource):
    """An ASGI or WSGI application, mounted where it is put.

    Args:
        target: `package.module:attribute`, or the application itself (which must then be able to go into a snapshot).
        kind: "asgi" or "wsgi".
        folder: where the package is imported from; the current one unless said.

    *Across a rebuild:* see the module. *In a snapshot:* the name of the application, not the object.
    """

    __transient__ = ("_serving", "_opening", "_retiring", "_renewal")
    isLeaf = True

    def __init__(self, target: Any, *, kind: str = "asgi", folder: str | None = None) -> None:
        if kind not in {"asgi", "wsgi"}:
            raise ServiceError(f"an application is asgi or wsgi, not {kind!r}")
        self.target, self.kind = target, kind
        self.folder = os.path.abspath(folder or os.getcwd())
        self._begin()

    def _begin(self) -> None:
        self._serving: Serving | None = None
        self._opening: asyncio.Lock = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._renewal: Renewal | None = None

    def __resume__(self, space: Any) -> None:
        self._begin()

    @property
    def name(self) -> str:
        return self.target if isinstance(self.target, str) else type(self.target).__name__

    @property
    def code_folder(self) -> str | None:
        """Where its modules are, for who watches them."""
        return self.folder if isinstance(self.target, str) else None

    @property
    def app(self) -> Any:
        """The application object that answers now; None before the first request."""
        return self._serving.source if self._serving else None

    # --- its life

    async def begin(self, service: Service) -> None:  # noqa: ARG002 - a resource may want it
        await self._current()

    async def end(self) -> None:
        if self._renewal is not None:
            self._renewal.stop()
            self._renewal = None
        serving, self._serving = self._serving, None
        for task in tuple(self._retiring):
            task.cancel()
        if serving is not None:
            await serving.stop()

    async def _current(self) -> Serving:
        if self._serving is None:
            async with self._opening:
                if self._serving is None:
                    source = self._load()
                    open_for_edits(source)
                    self._serving = await self._start(source)
                    if isinstance(self.target, str):
                        self._renewal = Renewal(*split(self.target), self.swap)
        return self._serving

    def _load(self) -> Any:
        if not isinstance(self.target, str):
            return self.target
        module, attribute = split(self.target)
        return attribute_of(module_of(module, self.folder), attribute)

    async def _start(self, source: Any) -> Serving:
        app: Any = WSGIMiddleware(source, workers=THREADS) if self.kind == "wsgi" else source
        serving = Serving(app, source, self.name)
        if self.kind == "asgi":
            try:
                await serving.lifespan.start()
            except LifespanError as error:
                raise ServiceError(str(error)) from None
        return serving

    async def swap(self, source: Any) -> None:
        """Answer by another application object from the next request on. The old one is stopped after its last.

        Raises:
            ServiceError: the new one did not start; the old one goes on.
        """
        new = await self._start(source)
        old, self._serving = self._serving, new
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    # --- answering

    async def respond(self, request: Request) -> None:
        try:
            serving = await self._current()
        except ServiceError as error:
            log.error("%s cannot answer: %s", self.name, error)  # noqa: TRY400 - the sentence says it all
            raise WebError(503, "the application is not there at the moment") from None
        fixed = request.site.headers_of(request)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.started = True
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message = {**message, "headers": given + [item for item in fixed if item[0] not in names]}
            await request.send(message)

        serving.enter()
        try:
            await serving.app(self._scope(request, serving), self._limited(request), send)
        finally:
            serving.leave()

    async def respond_websocket(self, request: Request) -> None:
        try:
            serving = await self._current()
        except ServiceError as error:
            log.error("%s cannot answer: %s", self.name, error)  # noqa: TRY400 - the sentence says it all
            raise WebError(503) from None
        serving.enter()
        try:
            await serving.app(self._scope(request, serving), request.receive, request.send)
        finally:
            serving.leave()

    def _scope(self, request: Request, serving: Serving) -> dict[str, Any]:
        scope = dict(request.scope)
        scope["root_path"] = "".join(f"/{part}" for part in request.prepath)
        scope["state"] = serving.lifespan.state.copy()
        if self.kind == "wsgi":
            # In a WSGI environment `X_User` and `X-User` are one name, so a client could forge what a proxy sets.
            scope["headers"] = [item for item in scope["headers"] if b"_" not in item[0]]
        return scope

    def _limited(self, request: Request) -> Any:
        """The body as the application reads it, up to the site's limit."""
        left = request.site.max_body

        async def receive() -> Message:
            nonlocal left
            message = await request.receive()
            left -= len(message.get("body", b""))
            if left < 0:
                # To the application the client went away; to the client the connection is closed.
                return {"type": "http.disconnect"}
            return message

        return receive
