"""Remote objects in a space: `serve` for a service of your own, `Spread` as a service that does nothing else."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import os
import ssl as _ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime.errors import ServiceError
from ...runtime.service import Service
from ...runtime.sockets import port as port_number
from .address import Address
from .flavors import Referenceable, remote
from .limits import FRIEND, Limits
from .link import Link
from .portal import Portal, Realm
from .users import Users

if TYPE_CHECKING:
    from ...runtime.book import Listener

PORT = 8787
"""The port of a server that was not told another: the one that perspective brokers have always used."""


async def serve(
    service: Service,
    portal: Portal | Referenceable,
    port_or_path: int | str = PORT,
    *,
    host: str = "127.0.0.1",
    ssl: _ssl.SSLContext | None = None,
) -> Listener:
    """Offer an object, or a portal with a login, for as long as the service runs. Call it in `start`.

    Peers of this package and Twisted's are served alike. A Unix socket is for the server's own user.

    Args:
        portal: a `Portal`, or just the root object, which everybody who can connect may call.
        port_or_path: a TCP port, or the path of a Unix socket.
        host: loopback unless said otherwise.

    Raises:
        AddressInUse: somebody listens there already.
    """
    gate = portal if isinstance(portal, Portal) else Portal(portal)
    return await service.listen(port_or_path, gate.link, host=host, ssl=ssl)


class Spread(Service):
    """Remote objects: offers an object of the space to midair and Twisted programs, with or without a login.

    Args:
        root: the object that everybody who can connect may call; or, with a login, `realm` and `users`.
        port: 0 for any that is free.
        path: a Unix socket instead of, or beside, the port (with `port=None`).
        certificate: PEM file with certificate and key: then TLS is spoken.

    Across a rebuild: peers keep their references, and their next calls run the new code.
    In a snapshot: the objects it offers and the names they were published under; peers connect again.
    """

    def __init__(
        self,
        root: Referenceable | None = None,
        *,
        port: int | None = PORT,
        host: str = "127.0.0.1",
        path: str | None = None,
        certificate: str | None = None,
        realm: Realm | None = None,
        users: Users | None = None,
        anonymous: bool = False,
        md5: bool = False,
        limits: Limits = FRIEND,
        tracebacks: bool = False,
    ) -> None:
        if port is None and path is None:
            raise TypeError("a spread service listens on a port, on a path, or on both; it was given neither")
        self.portal = Portal(
            root, realm=realm, users=users, anonymous=anonymous, md5=md5, limits=limits, tracebacks=tracebacks
        )
        self.port, self.host, self.path, self.certificate = port, host, path, certificate

    async def start(self) -> None:
        if self.path is not None:
            await serve(self, self.portal, self.path)
        if self.port is not None:
            context = server_context(self.certificate) if self.certificate else None
            await serve(self, self.portal, self.port, host=self.host, ssl=context)

    async def stop(self) -> None:
        links = [link for link in self.connections if isinstance(link, Link) and link.broker is not None]
        ending = [task for link in links if link.broker for task in link.broker.cancel_running()]
        if ending:
            await asyncio.wait(ending)
            await asyncio.sleep(0)  # for the answers that say so
        for link in links:
            link.flush()

    def publish(self, target: Referenceable, name: str | None = None) -> str:
        """The URL of an object, for whoever is to call it: `midair://…/NAME`. The same object has the same name.

        It holds over restarts, and needs no login: knowing the name is the right to call.

        Raises:
            ServiceError: the service is not running, or listens only where the name could be overheard.
        """
        return str(self.address().named(self.portal.published.add(target, name)))

    def withdraw(self, target: Referenceable) -> None:
        """Let no URL lead to the object any more; references that peers hold stay."""
        self.portal.published.withdraw(target)

    def address(self) -> Address:
        """Where peers reach this service without being overheard: TLS, the Unix socket, or loopback.

        Raises:
            ServiceError: see `publish`.
        """
        places = self.addresses
        if not places:
            raise ServiceError(f"{self!r} is not running, so it has no address yet")
        host, _, port = places[-1].rpartition(":")
        if self.port is not None and (self.certificate or _is_loopback(host)):
            pin = fingerprint(self.certificate) if self.certificate else ""
            return Address(host=host.strip("[]"), port=int(port), tls=bool(self.certificate), print=pin)
        if self.path is not None:
            return Address(path=str(Path(self.path).absolute()))
        raise ServiceError(
            f"{places[-1]} is in the clear, where a URL could be overheard; give the service a certificate"
        )

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=port_number, default=PORT, help=f"TCP port, on loopback (default: {PORT})")
        parser.add_argument("--host", default="127.0.0.1", help="listen on this address of the machine instead")
        parser.add_argument("--path", help="listen on this Unix socket instead of a port")
        parser.add_argument("--certificate", help="PEM file with certificate and key: speak TLS")
        parser.add_argument(
            "--root", metavar="MODULE:CLASS", help="the class of the object to offer (default: a guest book)"
        )

    @classmethod
    def make(cls, options: argparse.Namespace) -> Spread:
        root = _named_class(options.root)() if options.root else GuestBook()
        port = None if options.path else options.port
        certificate = os.path.abspath(options.certificate) if options.certificate else None
        if certificate:
            try:
                server_context(certificate)  # now, when somebody is there to read what is wrong with it
            except OSError as error:
                raise ServiceError(
                    f"--certificate {options.certificate} cannot be used: {error.strerror or error}; nothing was made"
                ) from error
        return cls(root, port=port, host=options.host, path=options.path, certificate=certificate)


class GuestBook(Referenceable):
    """What `midair make spread` offers until you give it something of your own: a list that callers add to."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, str]] = []

    @remote
    def sign(self, text: str) -> int:
        """Add a line of at most 200 characters; how many there are now, the oldest beyond 1000 dropped."""
        self.entries = [*self.entries[-999:], (time.time(), str(text)[:200])]
        return len(self.entries)

    @remote
    def read(self, most: int = 20) -> list[tuple[float, str]]:
        """The latest lines, with the time of each in seconds since 1970."""
        return self.entries[-most:]


def server_context(certificate: str) -> _ssl.SSLContext:
    """TLS for a server, from a PEM file with its certificate and key."""
    context = _ssl.SSLContext(_ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def fingerprint(certificate: str) -> str:
    """The SHA-256 of the first certificate in a PEM file, in hex."""
    text = Path(certificate).read_text()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    pem = text[text.index(begin) : text.index(end) + len(end)]
    return hashlib.sha256(_ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or host.startswith("127.")


def _named_class(name: str) -> Any:
    module, _, path = name.partition(":")
    if not path:
        raise ServiceError(f"{name!r} names no class; write --root MODULE:CLASS")
    try:
        found = getattr(importlib.import_module(module), path)
    except (ImportError, AttributeError) as error:
        raise ServiceError(f"--root {name}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, Referenceable):
        raise ServiceError(f"--root {name} is not a Referenceable, so peers could not call it")
    return found
