"""The web server as a service: its site, where it listens, and its life."""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import secrets
import socket
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ...runtime.book import Listener
from ...runtime.service import Service
from ...runtime.sockets import bind_unix
from ..spread.address import Address as Location
from ..spread.service import fingerprint
from . import options as _options
from .asgi import Receive, Scope, Send
from .engine import AccessLog, Engine, Limits
from .far import lanes_of
from .offered import Offer
from .ratelimit import RateLimit, network_of
from .resource import Resource
from .site import Site
from .sockets import make_room_for
from .tls import Certificate
from .users import admitted, meeting_place


@dataclass
class Address:
    """Where a web server listens: a TCP port of a host (loopback unless said), or a path."""

    port: int | str = 8080
    host: str = "127.0.0.1"
    certificate: Certificate | None = None

    def __str__(self) -> str:
        if isinstance(self.port, str):
            return self.port
        scheme = "https" if self.certificate else "http"
        if not (self.host and self.port):
            return f"{scheme}, {f'port {self.port}' if self.port else 'a free port'} of {self.host or 'every address'}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/"


@dataclass
class Personal:
    """A socket in the rendezvous folder, named after the user that this server runs as.

    Attributes:
        central: names of the users, beside this one and root, who may ask.
    """

    rendezvous: str
    central: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rendezvous}/{pwd.getpwuid(os.getuid()).pw_name}.sock"


@dataclass
class Offering:
    """A TCP port for other midair servers, who mount this site by its address.

    Attributes:
        name: the part of the address that nobody can guess: who knows it may ask.
    """

    port: int
    host: str = "127.0.0.1"
    certificate: Certificate | None = None
    name: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    #: The port it was bound to, when any free one was wanted.
    bound: int = 0

    def __str__(self) -> str:
        return f"port {self.port} of {self.host or 'every address'} for other midair servers"

    def address(self) -> str:
        """What the other server mounts. A certificate is named by its print, so that no authority is needed."""
        port = self.bound or self.port
        pin = fingerprint(self.certificate.cert) if self.certificate else ""
        host = self.host or socket.getfqdn()
        return str(Location(host=host, port=port, name=self.name, tls=bool(pin), print=pin))


@dataclass
class Settings:
    """What the operator of a web server chooses, beside the site itself."""

    access_log: str | None = None
    rate: RateLimit | None = None
    limits: Limits = field(default_factory=Limits)


class Web(Service):
    """A web server: files, live Python pages, applications, virtual hosts, people's own servers.

    Without options it serves a page that shows what it can do.

    Attributes:
        site: what it serves; `site.root` is the tree, and may be changed at any time.
        addresses_wanted: where it listens from the next start on.

    *Across a rebuild:* connections, requests in flight and websockets go on; the next request sees the new code.
    *In a snapshot:* the site with its sessions, and the settings.
    """

    __transient__ = ("engine", "_open")

    engine: Engine

    def __init__(
        self,
        root: Resource | None = None,
        *,
        port: int | str = 8080,
        host: str = "127.0.0.1",
        certificate: Certificate | None = None,
        settings: Settings | None = None,
    ) -> None:
        if root is None:
            from .demo import Demo

            root = Demo()
        self.site = Site(root)
        self.addresses_wanted: list[Address | Personal | Offering] = [Address(port, host, certificate)]
        self.settings = settings or Settings()
        #: Services that are put into the space beside this one at its first start, by name.
        self.beside: dict[str, Service] = {}

    # --- its life

    async def start(self) -> None:
        settings = self.settings
        room = make_room_for(self.max_connections + 1000)
        if room < self.max_connections:
            self.log.warning(
                "only %d files may be open here, and so fewer connections than %d", room, self.max_connections
            )
        log = AccessLog(settings.access_log) if settings.access_log else None
        self.engine = Engine(self.answer, limits=settings.limits, access_log=log)
        self.engine.start()
        while self.beside:
            name, service = self.beside.popitem()
            self.space[f"{self.name}-{name}"] = service
        self._open: list[Resource] = []
        self.site.service = self
        try:
            for resource in walk(self.site):
                self._open.append(resource)
                await resource.begin(self)
            self._follow_code()
            for at in self.addresses_wanted:
                if isinstance(at, Personal):
                    await self._listen_for_central(at)
                    continue
                context = at.certificate.open() if at.certificate else None
                if isinstance(at, Offering):
                    offer = Offer(self.engine, name=at.name)
                    listener = await self.listen(at.port, offer.link, host=at.host, ssl=context)
                    at.bound = listener.port
                    self.log.info("offered on port %d; %s.offered() tells the address", at.bound, self.name)
                    continue
                # uvicorn's protocol with our guard does what a Connection does for its service.
                factory = cast("Any", self.engine.factory)
                await self.listen(at.port, factory, host=at.host, ssl=context)
        except BaseException:
            await self._close()
            raise
        if self._certificates():
            self.spawn(self.watch_certificates)

    def _follow_code(self) -> None:
        """Have the folders watched that the site has its code from."""
        runner: Any = self.space.runner
        for resource in self._open:
            folder = getattr(resource, "code_folder", None)
            if folder and hasattr(runner, "follow"):
                runner.follow(Path(folder))

    async def stop(self) -> None:
        try:
            await self.engine.drain()
        finally:
            await self._close()

    async def _close(self) -> None:
        self.engine.stop()
        for resource in reversed(self._open):
            await resource.end()
        self._open = []

    async def watch_certificates(self) -> None:
        """Take up renewed certificates; a job of this service."""
        while True:
            await asyncio.sleep(1.0)
            for certificate in self._certificates():
                certificate.look()

    def _certificates(self) -> list[Certificate]:
        return [at.certificate for at in self.addresses_wanted if not isinstance(at, Personal) and at.certificate]

    async def _listen_for_central(self, at: Personal) -> None:
        offer = Offer(self.engine, users=admitted(at.central))
        path = meeting_place(at.rendezvous, make=True) / f"{pwd.getpwuid(os.getuid()).pw_name}.sock"
        for place, factory in ((path, offer.link), (lanes_of(path), offer.lane)):
            # Anybody may connect, and who may ask is decided by the peer's credentials.
            listener = Listener(self._running(), cast("Any", factory))
            await listener.open([bind_unix(place, mode=0o666)], None)
            self._running().listeners.append(listener)

    def places(self) -> str:
        """Where it listens from its next start on, for `midair make` to tell."""
        return ", ".join(map(str, self.addresses_wanted))

    def offered(self) -> list[str]:
        """What other midair servers mount this site by; who knows it may ask, so it is in no log."""
        return [at.address() for at in self.addresses_wanted if isinstance(at, Offering)]

    # --- requests

    def answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None] | None:
        """What the engine calls for each request; the site is looked up here, each time. None: it is answered."""
        if scope.get("client") is None:
            _believe(scope)
        rate = self.settings.rate
        if rate is not None and scope["type"] == "http":
            peer = scope.get("client")
            wait = rate.wait(network_of(peer[0])) if peer else 0.0
            if wait:
                return _too_many(send, wait)
        return self.site.begin(scope, receive, send)

    # --- a kind

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        _options.add_arguments(parser)

    @classmethod
    def make(cls, options: argparse.Namespace) -> Web:
        return _options.make(cls, options)


def walk(site: Site) -> Iterator[Resource]:
    """Every resource that can be reached without a request, each once."""
    seen: set[int] = set()
    waiting: list[Resource] = [site.root, *([site.operator] if site.operator else ())]
    while waiting:
        resource = waiting.pop()
        if id(resource) in seen:
            continue
        seen.add(id(resource))
        yield resource
        waiting.extend(resource.below())


def _believe(scope: Scope) -> None:
    """Take over what a relay says of its client. Only who may use our Unix socket gets here."""
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            scope["client"] = (value.rpartition(b",")[2].strip().decode("latin-1"), 0)
        elif name == b"x-forwarded-proto" and value in {b"http", b"https"}:
            scope["scheme"] = value.decode()


async def _too_many(send: Send, wait: float) -> None:
    text = b"Too many requests; try again later.\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"retry-after", b"%d" % max(1, round(wait + 0.5))),
    ]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": text})
