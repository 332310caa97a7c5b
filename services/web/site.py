"""A site: the tree of resources as an ASGI application, and what holds for each of its answers.

The engine calls the site for each request and the site looks its tree up for each request, so nothing has to be
swapped after an edit: the next request is the first one that sees it.
"""

from __future__ import annotations

import html
import ipaddress
import logging
import secrets
import traceback
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from . import rules
from .asgi import RawHeaders, Receive, Scope, Send
from .errors import Disconnected, NotFound, TooLarge, WebError
from .request import Request
from .resource import Resource
from .sessions import Sessions

if TYPE_CHECKING:
    from .operator import Operator
    from .service import Web

log = logging.getLogger("midair.web")

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
_PROXIED = frozenset((b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"))
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding"))

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:3em auto;max-width:60em;padding:0 1em;color:#222}}
pre{{background:#f4f4f4;padding:1em;overflow:auto}}@media(prefers-color-scheme:dark){{body{{background:#1b1b1b;color:#ddd}}
pre{{background:#111}}}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


async def _raising(error: Exception) -> None:
    raise error


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


class Site:
    """What answers the requests of a web server.

    Attributes:
        root: the resource at `/`. Put another in its place at any time.
        sessions: what is remembered of clients.
        max_body: bytes of a request body that any resource may read (default 64 MiB).
        headers: added to each answer of our own resources, and to those of applications where they have not set them.
        operator: what answers below `/-/`, if anything.
        show_errors: who sees tracebacks: "local" (a browser on this machine, not through a proxy), "never", "always".

    *In a snapshot:* whole.
    """

    __transient__ = ("_fixed", "service")

    #: What was made of `headers`.
    _fixed: tuple[dict[str, str], RawHeaders, bytes] = {}, [], b""
    #: The web server that runs it, while one does.
    service: Web | None = None

    def __init__(self, root: Resource) -> None:
        self.root = root
        self.sessions = Sessions()
        self.max_body = 64 << 20
        self.headers: dict[str, str] = dict(SAFE_HEADERS)
        self.show_errors = "local"
        self.operator: Operator | None = None

    def headers_of(self, request: Request) -> RawHeaders:  # noqa: ARG002 - a site of yours may look at it
        """The headers that each answer gets, as bytes."""
        return (self._fixed if self._fixed[0] == self.headers else self._fix())[1]

    def lines_of(self, request: Request) -> bytes:  # noqa: ARG002 - likewise
        """The same as header lines."""
        return (self._fixed if self._fixed[0] == self.headers else self._fix())[2]

    def _fix(self) -> tuple[dict[str, str], RawHeaders, bytes]:
        raw = [rules.header(*item) for item in self.headers.items()]
        self._fixed = dict(self.headers), raw, rules.lines(raw)
        return self._fixed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rest = self.begin(scope, receive, send)
        if rest is not None:
            await rest

    def begin(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None] | None:
        """Begin to answer: what has still to be awaited, or None when the answer is out."""
        kind = scope["type"]
        if kind == "websocket":
            return self._websocket(scope, receive, send)
        if kind != "http":
            raise ValueError(f"a site answers http and websocket, not {kind}")
        request = Request(scope, receive, send, self, [])
        try:
            self._admit(scope)
            target: bytes = scope["raw_path"]
            request.postpath = rules.segments(target if target.startswith(b"/") else rules.path_of_target(target))
            root: Resource = self.root
            if self.operator is not None and request.postpath[0] == "-":
                request.prepath.append(request.postpath.pop(0))
                root = self.operator
            rest = self.serve_now(root, request)
        except Exception as error:  # noqa: BLE001 - answered as any other, when it can be awaited
            return self._complete(request, _raising(error))
        return None if rest is None else self._complete(request, rest)

    async def _complete(self, request: Request, rest: Awaitable[None]) -> None:
        """Await the rest of an answer; whatever it raises becomes one."""
        try:
            await rest
        except Disconnected:
            if request.started:
                raise  # the answer cannot be completed: the engine closes the connection, so that it is seen to be cut
        except WebError as error:
            await self._refuse(request, error)
        except rules.BadPath as error:
            await self._refuse(request, WebError(400, str(error), {"connection": "close"}))
        except Exception as error:  # noqa: BLE001 - logged with its id, and the client gets a 500
            await self._failed(request, error)
        finally:
            request.release()

    def _walk(self, node: Any, request: Request) -> Any:
        """Walk along `postpath`, part by part, moving each to `prepath`: the resource where it ends, or an awaitable of one on the way.

        Raises:
            NotFound: a part has no child of its name.
        """
        while request.postpath and not node.isLeaf:
            name = request.postpath.pop(0)
            node = node.getChildWithDefault(name, request)
            request.prepath.append(name)
            if node is None:
                raise NotFound
            if hasattr(node, "__await__"):
                break
        return node

    def serve_now(self, node: Resource, request: Request) -> Awaitable[None] | None:
        """Walk from this resource along what is left of the path, and begin to answer: what has still to be awaited, if anything."""
        found = self._walk(node, request)
        if hasattr(found, "__await__"):
            return self._walk_on(found, request)
        if type(found).respond is not Resource.respond:
            answering: Awaitable[None] = found.respond(request)
            return answering
        rest: Awaitable[None] | None = found.respond_now(request)
        return rest

    async def _walk_on(self, child: Awaitable[Resource | None], request: Request) -> None:
        node = await child
        if node is None:
            raise NotFound
        await self.serve(node, request)

    async def serve(self, node: Resource, request: Request) -> None:
        """Walk from this resource along what is left of the path, and answer by the one where it ends."""
        rest = self.serve_now(node, request)
        if rest is not None:
            await rest

    async def find(self, node: Resource, request: Request) -> Resource:
        """The resource where the rest of the path ends.

        Raises:
            NotFound: a part has no child of its name.
        """
        found = self._walk(node, request)
        while hasattr(found, "__await__"):
            found = await found
            if found is None:
                raise NotFound
            found = self._walk(found, request)
        return cast("Resource", found)

    def _admit(self, scope: Scope) -> None:
        """Refuse what no resource may have to think about."""
        hosts = length = coded = 0
        for name, value in scope["headers"]:
            if name not in _FRAMING:
                continue
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                length += 1
                if not value.isdigit() or int(value) > self.max_body:
                    raise TooLarge("a request body", self.max_body)
            else:
                coded += 1
        if hosts != 1 and not (hosts == 0 and scope["http_version"] == "1.0"):
            raise WebError(400, "a request names its host once", {"connection": "close"})
        # Two ways to say where a body ends: whoever stands before us may have believed the other one.
        if length + coded > 1:
            raise WebError(400, "a request gives the length of its body once", {"connection": "close"})

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a websocket to the application mounted at its path; without one it is refused with 403."""
        scope["method"] = "GET"
        request = Request(scope, receive, send, self, [])
        try:
            raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
            request.postpath = rules.segments(rules.path_of_target(raw_path))
            self._same_machine(request)
            node = await self.find(self.root, request)
            await node.respond_websocket(request)
        except (WebError, rules.BadPath):
            await send({"type": "websocket.close", "code": 1000})

    @staticmethod
    def _same_machine(request: Request) -> None:
        """Refuse a page of the network that opens a websocket to a server of this machine: browsers would let it."""
        origin = urlsplit(request.headers.get(b"origin", b"").decode("latin-1")).hostname
        near = request.host == "localhost" or _loopback(request.host)
        # A proxy may ask under our own name for whoever asks it; no browser can be made to say that it is one.
        if (
            near
            and _PROXIED.isdisjoint(request.headers)
            and origin is not None
            and origin != "localhost"
            and not _loopback(origin)
        ):
            raise WebError(403, "a page of another machine may not open a websocket here")

    def is_local(self, request: Request) -> bool:
        """Whether the client is a browser on this machine: not behind a proxy, not lured here by a foreign name."""
        headers = request.headers
        return (
            _PROXIED.isdisjoint(headers)
            and _loopback(request.client)
            and (request.host == "localhost" or _loopback(request.host))
        )

    async def _refuse(self, request: Request, error: WebError) -> None:
        if request.started:
            log.info("%s %s: %s after the answer had begun", request.method, rules.printable(request.path), error)
            raise Disconnected(str(error)) from error
        title = f"{error.code} {rules.phrase(error.code)}"
        reason = error.reason[:1].upper() + error.reason[1:]
        body = "" if error.reason == rules.phrase(error.code) else f"<p>{html.escape(reason)}.</p>"
        await self._page(request, error.code, title, body, error.headers)

    async def _failed(self, request: Request, error: Exception) -> None:
        """A 500 that tells the public an id only; the log has it with the traceback."""
        number = secrets.token_hex(4)
        where = f"{request.method} {rules.printable(request.path)}"
        log.error("error %s: %s", number, where, exc_info=error)
        if request.started:
            raise Disconnected(str(error)) from error
        told = f"<p>Something went wrong here. It was logged as <code>{number}</code>.</p>"
        shown = self.show_errors == "always" or (self.show_errors == "local" and self.is_local(request))
        if shown:
            text = "".join(traceback.format_exception(error))
            told += f"<pre>{html.escape(text)}</pre>"
        await self._page(request, 500, "500 Internal Server Error", told, {"Cache-Control": "no-store"})

    async def _page(self, request: Request, code: int, title: str, body: str, headers: dict[str, str]) -> None:
        request.start_over()
        request.code = code
        for name, value in headers.items():
            request.setHeader(name, value)
        await request.finish(PAGE.format(title=html.escape(title), body=body))
