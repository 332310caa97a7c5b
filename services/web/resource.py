"""The tree that a site is made of.

A request walks from the root along the parts of its path: `children` first, then `getChild`. The resource where it ends renders it.
The tree is looked up for each request, so whatever an edit or a person at the console changes is there for the next one.
"""

# ruff: noqa: N802, N815, ARG002  (the camelCase names are the API that resources were written against)

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .errors import WebError
from .request import Request

if TYPE_CHECKING:
    from ...runtime.service import Service


class Resource:
    """A page, and the pages below it.

    Override `render`, or `render_GET`, `render_POST` and so on (plain or async); return text, bytes, a dict or list for JSON,
    an async iterable to stream, or None after `request.write`. `getChild` finds children that nobody has put.

    *In a snapshot:* whole, children included.
    """

    isLeaf = False
    children: dict[str, Resource] | None = None

    def putChild(self, name: str, child: Resource) -> None:
        if self.children is None:
            self.children = {}
        self.children[name] = child

    def removeChild(self, name: str) -> None:
        """Take a child away; requests that are being answered by it end undisturbed."""
        if self.children is None or name not in self.children:
            raise KeyError(name)
        del self.children[name]

    def getChildWithDefault(self, name: str, request: Request) -> Any:
        if self.children is not None:
            child = self.children.get(name)
            if child is not None:
                return child
        return self.getChild(name, request)

    def getChild(self, name: str, request: Request) -> Any:
        """A child that was not put: a Resource, an awaitable of one, or None for 404.

        The address with a slash at its end is this resource itself.
        """
        return self if not name and not request.postpath else None

    def render(self, request: Request) -> Any:
        method = "GET" if request.method == "HEAD" else request.method
        found = getattr(self, f"render_{method}", None)
        if found is not None:
            return found(request)
        allowed = sorted(name[7:] for name in dir(self) if name.startswith("render_"))
        if not allowed:
            raise WebError(404, "nothing is shown at this address")
        if "GET" in allowed:
            allowed.append("HEAD")
        if request.method == "OPTIONS":
            request.setResponseCode(204)
            request.setHeader("Allow", ", ".join([*allowed, "OPTIONS"]))
            return None
        raise WebError(405, f"{request.method} is not done here", {"Allow": ", ".join(allowed)})

    def below(self) -> list[Resource]:
        """The resources that can be reached from this one without a request."""
        return list(self.children.values()) if self.children else []

    async def begin(self, service: Service) -> None:
        """The server starts; called once for each resource in the tree."""

    async def end(self) -> None:
        """The server has answered its last request."""

    async def respond(self, request: Request) -> None:
        """Answer the whole request. What `render` gives is enough for most; files and applications override this."""
        rest = self.respond_now(request)
        if rest is not None:
            await rest

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        """Begin to answer: what has still to be awaited, or None when the answer is out. Not asked for where `respond` is overridden.

        A plain `render` that returns bytes or text needs no task of its own, and so gets none.
        """
        result = self.render(request)
        if hasattr(result, "__await__"):
            return _later(result, request)
        body = result.encode() if isinstance(result, str) else result
        if isinstance(body, bytes) and request.finish_now(body):
            return None
        return request.finish(result)

    async def respond_websocket(self, request: Request) -> None:
        """Take a websocket; only mounted applications do."""
        raise WebError(403, "no websocket is taken here")


async def _later(result: Awaitable[Any], request: Request) -> None:
    await request.finish(await result)


class Text(Resource):
    """A fixed page."""

    def __init__(self, text: str | bytes, type: str = "text/html; charset=utf-8") -> None:
        self.text, self.type = text, type

    def render(self, request: Request) -> str | bytes:
        request.setHeader("Content-Type", self.type)
        return self.text


class NameVirtualHost(Resource):
    """Several sites under one address, by the name that the client asks for.

    Names are compared in lower case and without the port: exact ones first, then `*.example.org` (any depth, longest first), then
    `default`. Without a default an unknown name gets 404.
    """

    isLeaf = True

    def __init__(self, default: Resource | None = None) -> None:
        self.default = default
        self.hosts: dict[str, Resource] = {}

    def addHost(self, name: str, resource: Resource) -> None:
        self.hosts[name.lower().rstrip(".")] = resource

    def removeHost(self, name: str) -> None:
        del self.hosts[name.lower().rstrip(".")]

    def find(self, host: str) -> Resource | None:
        host = host.rstrip(".")
        found = self.hosts.get(host)
        while found is None and "." in host:
            host = host.partition(".")[2]
            found = self.hosts.get(f"*.{host}")
        return found or self.default

    def below(self) -> list[Resource]:
        return [*self.hosts.values(), *([self.default] if self.default else ())]

    def _of(self, request: Request) -> Resource:
        resource = self.find(request.host)
        if resource is None:
            raise WebError(404, "no site has this name")
        return resource

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        return request.site.serve_now(self._of(request), request)

    async def respond_websocket(self, request: Request) -> None:
        node = await request.site.find(self._of(request), request)
        await node.respond_websocket(request)


class Over(Resource):
    """Children over a leaf: a path that is none of theirs is the leaf's."""

    __was__ = ("midair.services.web.options:Over",)

    def __init__(self, leaf: Resource) -> None:
        self.leaf = leaf

    def getChild(self, name: str, request: Request) -> Resource:
        return _Back(self.leaf, name)

    def below(self) -> list[Resource]:
        return [*super().below(), self.leaf]

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        return request.site.serve_now(self.leaf, request)


class _Back(Resource):
    """Gives the part of the path that was taken to look for a mount back to the leaf."""

    isLeaf = True

    def __init__(self, leaf: Resource, name: str) -> None:
        self.leaf, self.name = leaf, name

    def _give_back(self, request: Request) -> None:
        request.postpath.insert(0, request.prepath.pop())

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        self._give_back(request)
        return request.site.serve_now(self.leaf, request)

    async def respond_websocket(self, request: Request) -> None:
        self._give_back(request)
        node = await request.site.find(self.leaf, request)
        await node.respond_websocket(request)
