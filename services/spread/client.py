"""The calling side: connect to a peer, log in, and hold references that find their object again after a lost link.

It needs no space, only a running event loop. With `service=` the connection belongs to that service and ends with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import random
import secrets
import ssl as _ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ...runtime.errors import ProtocolError, ServiceError
from ...runtime.service import Service
from .address import Address, parse
from .broker import Broker
from .errors import BadMessage, DeadReference, NotSendable, SpreadError, Unauthorized
from .flavors import Referenceable
from .limits import FRIEND, Limits
from .link import Credentials, Link
from .negotiation import DIALECTS
from .references import Caller, Promise, RemoteReference, chained, failed
from .users import keys, md5_response, prove, signature, transcript

log = logging.getLogger("midair.spread")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 15.0
"""Seconds between attempts to connect again; each pause doubles the one before."""


async def connect(
    address: str,
    *,
    ssl: _ssl.SSLContext | bool | None = None,
    reconnect: bool = False,
    timeout: float = 10.0,
    root: Referenceable | None = None,
    limits: Limits = FRIEND,
    dialects: tuple[str, ...] = tuple(DIALECTS),
    service: Service | None = None,
) -> Peer:
    """Connect to `host:port`, to the path of a Unix socket, or to what a `midair://` URL says.

    Args:
        ssl: TLS for an address that is no URL; True checks the certificate against the machine's authorities.
        reconnect: connect again whenever the link is lost, until `close`; references by name go on then.
        timeout: seconds for the connection and the agreement on an encoding.
        root: an object of ours that the peer may call by the name "root".
        limits: what the peer may cost us.
        dialects: encodings to accept, best first.
        service: who the connection belongs to.

    Raises:
        BadAddress: the address cannot be read.
        OSError: nobody answers there. TimeoutError is one.
        BadMessage: what answers does not speak the protocol.
    """
    peer = Peer(parse(address), How(ssl, reconnect, timeout, root, limits, dialects, service))
    await peer.open()
    return peer


def reference(url: str, *, timeout: float = 10.0, service: Service | None = None) -> NamedReference:
    """A reference to the object at a URL, which connects at the first call and again whenever it has to.

    In a snapshot: as the URL.

    Args:
        timeout: seconds for each attempt to connect. Calls wait for one that works; `within` bounds that.
        service: who the connection belongs to.

    Raises:
        BadAddress: the URL cannot be read.
    """
    address = parse(url)
    return Peer(address, How(reconnect=True, timeout=timeout, service=service)).named(address.name)


@dataclass(frozen=True, slots=True)
class How:
    """The arguments of `connect`, and `owner`: on a Unix socket, the id of the user whose process must be the one that answers."""

    ssl: _ssl.SSLContext | bool | None = None
    reconnect: bool = False
    timeout: float = 10.0
    root: Referenceable | None = None
    limits: Limits = FRIEND
    dialects: tuple[str, ...] = tuple(DIALECTS)
    service: Service | None = None
    owner: int | None = None


class Peer:
    """A program we are connected to, or will be again. `async with` closes it at the end.

    Attributes:
        root: the object it offers; with a URL, the one the URL names.
    """

    def __init__(self, address: Address, how: How) -> None:
        self.address = address
        self.root = NamedReference(self, address.name)
        self._how = how
        self._reconnect = how.reconnect
        self._link: Link | None = None
        self._ready: asyncio.Future[Broker] | None = None
        self._closed = False
        self._why: Exception | None = None  # we do not try to connect any more
        self._keeping: asyncio.Task[None] | None = None
        self._welcome: list[Callable[[Peer], Awaitable[None]]] = []
        self._logins: list[Callable[[], Awaitable[None]]] = []

    # --- for users

    @property
    def connected(self) -> bool:
        """Whether calls can be made right now."""
        return self.broker is not None

    @property
    def dialect(self) -> str:
        """The encoding that was agreed on; "" while not connected."""
        broker = self.broker
        return broker.wire.name if broker is not None else ""

    @property
    def credentials(self) -> Credentials | None:
        """Which process serves the Unix socket we are connected to; None on others, and while not connected."""
        return self._link.credentials if self._link is not None and self.connected else None

    def named(self, name: str) -> NamedReference:
        """A reference to the object that the peer offers under a name, valid on each connection to it."""
        return NamedReference(self, name)

    async def login(
        self, user: str, password: str, mind: Referenceable | None = None, *, md5: bool = False
    ) -> NamedReference:
        """Log in, and again after each reconnection; a reference to the avatar.

        The password does not cross the wire, and the server has to prove that it knows it.

        Args:
            mind: an object of ours that the avatar may call.
            md5: use the login of older peers, Twisted's among them, which is weak: over TLS or a Unix socket only.

        Raises:
            Unauthorized: refused; or the server could not prove itself.
            NoSuchMethod: the peer has no such login.
        """
        enter = _login_md5 if md5 else _login
        return await self._enter(lambda root: enter(root, user, password, mind))

    async def login_anonymous(self, mind: Referenceable | None = None) -> NamedReference:
        """Enter without a name; otherwise as `login`."""
        return await self._enter(lambda root: root.call("loginAnonymous", mind))

    def on_connect(self, welcome: Callable[[Peer], Awaitable[None]]) -> None:
        """Await `welcome(peer)` after each reconnection, to subscribe again; logins come first, in their order."""
        self._welcome.append(welcome)

    async def wait_connected(self, seconds: float) -> None:
        """Wait until calls can be made: not at all, or for the reconnection that is under way.

        Raises:
            TimeoutError: it took longer.
            DeadReference: not connected, and no reconnection will come.
        """
        if not self.connected:
            try:
                await asyncio.wait_for(asyncio.shield(self.ready()), seconds)
            except TimeoutError:
                raise TimeoutError(f"{self.address.place} could not be reached within {seconds:g} s") from None

    async def lost(self) -> None:
        """Wait until the connection that stands now is gone."""
        if self._link is not None:
            await self._link.lost()

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent: between many large calls."""
        if self._link is not None:
            await self._link.drain()

    async def close(self) -> None:
        """End the connection, once what was called has been sent, and do not connect again."""
        self._closed = True
        if self._keeping is not None:
            self._keeping.cancel()
        if self._link is not None:
            self._link.flush()
            self._link.close()
            await self._link.lost()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(DeadReference(f"{self} was closed"))
            self._ready.exception()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<peer at {self.address.place}{'' if self.connected else ', not connected'}>"

    # --- inside

    @property
    def broker(self) -> Broker | None:
        """The connection's broker while the connection stands."""
        link = self._link
        return link.broker if link is not None and link.broker is not None and link.broker.gone is None else None

    def ready(self) -> asyncio.Future[Broker]:
        """The broker, now or after the reconnection that is under way.

        Raises:
            DeadReference: not connected, and no reconnection will come.
        """
        if self._closed or not (self._reconnect or self.connected):
            why = f"was given up: {self._why}" if self._why else "is gone; connect again, or with reconnect=True"
            raise DeadReference(f"the connection to {self.address.place} {why}")
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._keep()
        return self._ready

    async def open(self) -> None:
        """Make the connection."""
        loop = asyncio.get_running_loop()
        agreed: asyncio.Future[None] = loop.create_future()
        agreed.add_done_callback(lambda agreed: agreed.cancelled() or agreed.exception())  # seen, even if we left early
        link = Link(
            server=False,
            limits=self._how.limits,
            lookup=lambda link, name: self._how.root if name == "root" else None,  # noqa: ARG005 - one link
            ready=lambda link: _settle(agreed, None),  # noqa: ARG005 - likewise
            gone=lambda link, reason: self._lost(link, agreed, reason),
            dialects=self._how.dialects,
            patience=self._how.timeout,
        )
        try:
            async with asyncio.timeout(self._how.timeout):
                await self._dial(link)
                self._check_owner(link)
                await agreed
            self._check_print(link)
        except BaseException:
            if hasattr(link, "transport"):
                link.abort()
            raise
        self._link = link

    async def _dial(self, link: Link) -> None:
        address, context = self.address, self._context()
        if self._how.service is not None:
            where, port = (address.path, None) if address.path else (address.host, address.port)
            await self._how.service.connect(where, port, lambda: link, ssl=context, retry=False)
            return
        loop = asyncio.get_running_loop()
        if address.path:
            await loop.create_unix_connection(lambda: link, address.path)
        else:
            await loop.create_connection(lambda: link, address.host, address.port, ssl=context)

    def _context(self) -> _ssl.SSLContext | None:
        wanted = self._how.ssl if self._how.ssl is not None else self.address.tls
        if isinstance(wanted, _ssl.SSLContext) or not wanted:
            return wanted or None
        context = _ssl.create_default_context()
        if self.address.print:
            # The URL says which certificate it is to be; `_check_print` compares, before anything is said.
            context.check_hostname = False
            context.verify_mode = _ssl.CERT_NONE
        return context

    def _check_owner(self, link: Link) -> None:
        who = link.credentials
        if self._how.owner is not None and (who is None or who.uid != self._how.owner):
            said = f"user {who.uid}" if who else "nobody known"
            raise Unauthorized(f"{self.address.place} is answered by {said} and not by user {self._how.owner}")

    def _check_print(self, link: Link) -> None:
        wanted = self.address.print
        if not wanted:
            return
        socket = link.transport.get_extra_info("ssl_object")
        shown = hashlib.sha256(socket.getpeercert(binary_form=True) or b"").hexdigest() if socket is not None else ""
        if not hmac.compare_digest(shown, wanted):
            raise Unauthorized(f"{self.address.place} shows another certificate ({shown or 'none'}) than the URL names")

    def _lost(self, link: Link, agreed: asyncio.Future[None], reason: BaseException | None) -> None:
        _settle(
            agreed, reason or BadMessage(f"{self.address.place} closed the connection before an encoding was agreed on")
        )
        if self._link is link:
            if self._ready is not None and self._ready.done():
                self._ready = None  # else somebody is waiting for it, and goes on waiting
            if self._reconnect and not self._closed:
                self.ready()

    def _keep(self) -> None:
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.get_running_loop().create_task(self._connect_again())

    async def _connect_again(self) -> None:
        pause = FIRST_PAUSE
        while not self.connected:
            try:
                await self.open()
                for enter in self._logins:
                    await enter()
            except (Unauthorized, ServiceError) as error:
                self._give_up(error)
                return
            except (OSError, SpreadError, ProtocolError) as error:
                log.debug("%r: %s", self, error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE)
        if self._ready is not None:
            _settle(self._ready, None, self.broker)
        for welcome in self._welcome:
            try:
                await welcome(self)
            except Exception:
                log.exception("%r: error in on_connect", self)

    def _give_up(self, error: Exception) -> None:
        self._why = error
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()
        self._reconnect = False
        self._closed = True

    async def _enter(self, enter: Callable[[Caller], Awaitable[Any]]) -> NamedReference:
        broker = self.broker
        if broker is None:
            raise DeadReference(f"{self!r}: log in when it is connected")
        avatar = NamedReference(self, "avatar")
        avatar._found = _avatar(await enter(broker.proxy(self.address.name)))
        if self._reconnect:

            async def again() -> None:
                broker = self.broker
                if broker is not None:
                    avatar._found = _avatar(await enter(broker.proxy(self.address.name)))

            self._logins.append(again)
        return avatar


class NamedReference(Caller):
    """An object of a peer by its name, or the avatar of a login: valid on each connection to that peer.

    While a reconnection is under way calls wait for it; use `within` to bound that. A call that was under way when the
    link was lost fails with DeadReference: whether it was carried out is not known.

    In a snapshot: as the URL of the object; it connects again at the first call.
    """

    __slots__ = ("__weakref__", "_found", "_name", "_peer")

    def __init__(self, peer: Peer, name: str) -> None:
        self._peer, self._name = peer, name
        self._found: RemoteReference | None = None

    @property
    def peer(self) -> Peer:
        """The program it belongs to; `await ref.peer.close()` ends the connection that `reference` made."""
        return self._peer

    def send(self, name: str, /, *args: Any, **kw: Any) -> None:
        """Call without an answer.

        Raises:
            DeadReference: not connected right now.
        """
        broker = self._peer.broker
        if broker is None:
            raise DeadReference(f"{self!r} is not connected")
        self.now(broker).send(name, *args, **kw)

    def now(self, broker: Broker) -> RemoteReference:
        if self._peer.broker is not broker:
            raise NotSendable(f"{self!r} belongs to another connection; it cannot be handed on")
        return self._found if self._found is not None else broker.proxy(self._name)

    def _call(self, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None) -> Promise:
        broker = self._peer.broker
        if broker is not None and self._found is None:
            return broker.call(self._name, name, args, kw, seconds)
        if self._found is not None and self._found.alive:
            return self._found._call(name, args, kw, seconds)
        try:
            ready = self._peer.ready()
        except DeadReference as error:
            return failed(error)
        return chained(ready, lambda broker: self.now(broker)._call(name, args, kw, seconds), seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        return reference, (str(self._peer.address.named(self._name)),)

    def __repr__(self) -> str:
        return f"<reference {self._name} at {self._peer.address.place}>"


def _settle(future: asyncio.Future[Any], error: BaseException | None, value: Any = None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _avatar(value: Any) -> RemoteReference:
    if not isinstance(value, RemoteReference):
        raise BadMessage(f"the login answered with {type(value).__name__}, which is no reference")
    return value


async def _login(root: Caller, user: str, password: str, mind: Referenceable | None) -> Any:
    ours = secrets.token_bytes(24)
    theirs, (salt, n, r, p), prover = await root.call("authenticate", user, ours)
    client, server = await asyncio.to_thread(keys, password, salt, n, r, p)
    said = transcript(user.encode(), ours, theirs, salt)
    shown, avatar = await prover.call("prove", prove(client, said), mind)
    if type(shown) is not bytes or not hmac.compare_digest(shown, signature(server, said)):
        raise Unauthorized(
            "the server let us in without knowing the password itself; it is not the one it claims to be"
        )
    return avatar


async def _login_md5(root: Caller, user: str, password: str, mind: Referenceable | None) -> Any:
    challenge, challenger = await root.call("login", user.encode())
    password_md5 = hashlib.md5(password.encode(), usedforsecurity=False).digest()
    return await challenger.call("respond", md5_response(password_md5, challenge), mind)
