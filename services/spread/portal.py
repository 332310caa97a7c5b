"""What a server offers to who connects: one object for everybody, or a login; and objects by unguessable names."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import Unauthorized
from .flavors import Avatar, Referenceable
from .limits import FRIEND, STRANGER, Limits
from .link import Credentials, Link
from .references import RemoteReference
from .users import Users, md5_response, proven, signature, transcript

LOGIN_TIME = 30.0
"""Seconds for a login, from the connection on."""

TRIES = 10
"""Failed logins from one address in a minute; further ones are refused unseen."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks a realm for an avatar.

    Args:
        user: the name that was proven; None for somebody anonymous.
        mind: the object the client gave us to call it by, if any.
        peer: its address, as people write it.
        credentials: of the process at the other end of a Unix socket.
    """

    user: str | None
    mind: RemoteReference | None
    peer: str
    credentials: Credentials | None


class Realm(Protocol):
    """Hands out what a user sees."""

    def avatar(self, visitor: Visitor) -> Any:
        """The avatar, or an awaitable of it. Its `logout` is called when the visitor is gone.

        Raises:
            Unauthorized: this user may not enter after all.
        """


class Published:
    """Objects by names that cannot be guessed: who knows the name may call the object.

    In a snapshot: as it is, so that a URL finds its object again after a restart.
    """

    def __init__(self) -> None:
        self._objects: dict[str, Referenceable] = {}

    def add(self, target: Referenceable, name: str | None = None) -> str:
        """The name of an object: the one it has, the one given, or a new one of 192 random bits."""
        if name is None:
            name = next((name for name, known in self._objects.items() if known is target), None)
        name = name or secrets.token_urlsafe(24)
        self._objects[name] = target
        return name

    def withdraw(self, target: Referenceable) -> None:
        """Let no name lead to an object any more; references that peers hold stay."""
        self._objects = {name: known for name, known in self._objects.items() if known is not target}

    def get(self, name: str) -> Referenceable | None:
        return self._objects.get(name)


class Portal:
    """What a server offers.

    Args:
        root: the object that everybody who connects may call.
        realm: or else: a login, which answers with what the realm hands out. Exactly one of the two.
        users: who may log in.
        anonymous: whether nobody may too.
        md5: whether the login of older peers is offered. It hides the password from a listener, and no more than that.
        published: objects by name, reachable without a login.
        limits: what a peer may cost, after the login if there is one.
        strangers: what it may cost before.
        tracebacks: whether peers are told where an error happened.
    """

    __transient__ = ("_failures",)

    def __init__(
        self,
        root: Referenceable | None = None,
        *,
        realm: Realm | None = None,
        users: Users | None = None,
        anonymous: bool = False,
        md5: bool = False,
        published: Published | None = None,
        limits: Limits = FRIEND,
        strangers: Limits = STRANGER,
        tracebacks: bool = False,
    ) -> None:
        if (root is None) == (realm is None):
            raise TypeError("a portal has a root that everybody may call, or a realm with a login: exactly one of them")
        if realm is not None and users is None and not anonymous:
            raise TypeError("nobody could log in: give the portal users, or anonymous=True")
        self.root, self.realm, self.users = root, realm, users or Users()
        self.anonymous, self.md5 = anonymous, md5
        self.published = published or Published()
        self.limits, self.strangers, self.tracebacks = limits, strangers, tracebacks

    def link(self) -> Link:
        """The protocol for one connection, to be used as a factory."""
        return Link(
            server=True,
            limits=self.strangers if self.realm is not None else self.limits,
            lookup=self._lookup,
            ready=self._greet,
            tracebacks=self.tracebacks,
        )

    def _greet(self, link: Link) -> None:
        if self.realm is not None:
            link.within(LOGIN_TIME, "no login")

    def _lookup(self, link: Link, name: str) -> Any:
        if name == "root":
            return self.root if self.realm is None else Desk(self, link)
        found = self.published.get(name)
        if found is not None:
            self.admit(link)
        return found

    def admit(self, link: Link) -> None:
        """The peer is no stranger any more."""
        link.at_ease()
        link.limits = self.limits

    @property
    def failures(self) -> Failures:
        return self.__dict__.setdefault("_failures", Failures())  # type: ignore[no-any-return] # made in this line


class Failures:
    """Failed logins of the last minute, by address."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def check(self, peer: str) -> None:
        """Pass, or say when the next try is possible.

        Raises:
            Unauthorized: too many from there lately.
        """
        times = self._recent(peer)
        if len(times) >= TRIES:
            wait = 60 - (time.monotonic() - times[0])
            raise Unauthorized(
                f"{len(times)} logins from {_host(peer)} failed within a minute; the next try is possible in {wait:.0f} s"
            )

    def add(self, peer: str) -> None:
        self._recent(peer).append(time.monotonic())

    def _recent(self, peer: str) -> deque[float]:
        host = _host(peer)
        if len(self._times) > 10_000:
            del self._times[next(iter(self._times))]
        times = self._times.setdefault(host, deque())
        while times and times[0] < time.monotonic() - 60:
            times.popleft()
        return times


def _host(peer: str) -> str:
    return peer.rpartition(":")[0] or peer


class Desk(Referenceable):
    """The root of a server with a login: proves who the visitor is and asks the realm for their avatar."""

    def __init__(self, portal: Portal, link: Link) -> None:
        self.portal, self._link = portal, link

    def remote_authenticate(self, user: str, nonce: bytes) -> tuple[bytes, tuple[bytes, int, int, int], Prover]:
        """Begin: our number, the salt and cost for this user, and whom to give the proof to."""
        self.portal.failures.check(self._link.peer)
        if type(user) is not str or type(nonce) is not bytes or not 16 <= len(nonce) <= 64:
            raise Unauthorized("a login is a name and a number of 16 to 64 bytes")
        verifier = self.portal.users.verifier(user)
        prover = Prover(self, user, nonce)
        return prover.nonce, (verifier.salt, verifier.n, verifier.r, verifier.p), prover

    def remote_login(self, user: str | bytes) -> tuple[bytes, Challenger]:
        """Begin the login of older peers: a challenge, and whom to answer."""
        if not self.portal.md5:
            raise Unauthorized("this server does not offer the MD5 login")
        self.portal.failures.check(self._link.peer)
        challenger = Challenger(self, user.decode() if isinstance(user, bytes) else user)
        return challenger.challenge, challenger

    async def remote_loginAnonymous(self, mind: Any = None) -> Any:  # noqa: N802 - the name on the wire
        """Enter without a name."""
        if not self.portal.anonymous:
            raise Unauthorized("this server lets nobody in without a login")
        return await self.enter(None, mind)

    def deny(self) -> Unauthorized:
        self.portal.failures.add(self._link.peer)
        self._link.log.info("login refused")
        return Unauthorized("no such user with this password")

    async def enter(self, user: str | None, mind: Any) -> Any:
        """The avatar of somebody who may come in."""
        link, realm = self._link, self.portal.realm
        assert realm is not None
        visitor = Visitor(user, mind if isinstance(mind, RemoteReference) else None, link.peer, link.credentials)
        avatar = realm.avatar(visitor)
        if asyncio.iscoroutine(avatar) or asyncio.isfuture(avatar):
            avatar = await avatar
        if link.broker is None or link.broker.gone is not None:
            if isinstance(avatar, Avatar):
                avatar.logout()
            raise Unauthorized(f"{link.peer} left before it was let in")
        self.portal.admit(link)
        link.broker.perspective = avatar
        link.log.info("logged in as %s", user or "nobody")
        return avatar


class Prover(Referenceable):
    """Takes the proof of one login, once."""

    def __init__(self, desk: Desk, user: str, nonce: bytes) -> None:
        self._desk, self._user, self._theirs = desk, user, nonce
        self.nonce = secrets.token_bytes(24)
        self._used = False

    async def remote_prove(self, proof: bytes, mind: Any = None) -> tuple[bytes, Any]:
        """Our proof in return, and the avatar."""
        verifier = self._desk.portal.users.verifier(self._user)
        said = transcript(self._user.encode(), self._theirs, self.nonce, verifier.salt)
        if self._used or type(proof) is not bytes or not proven(verifier, said, proof):
            raise self._desk.deny()
        self._used = True
        avatar = await self._desk.enter(self._user, mind)
        return signature(verifier.server, said), avatar


class Challenger(Referenceable):
    """Takes the answer to one challenge of the older login, once."""

    def __init__(self, desk: Desk, user: str) -> None:
        self._desk, self._user = desk, user
        self.challenge = secrets.token_bytes(16)
        self._used = False

    async def remote_respond(self, response: bytes, mind: Any = None) -> Any:
        """The avatar."""
        verifier = self._desk.portal.users.verifier(self._user)
        expected = md5_response(verifier.md5, self.challenge)
        good = type(response) is bytes and hmac.compare_digest(expected, response)
        if self._used or not verifier.md5 or not good:
            raise self._desk.deny()
        self._used = True
        return await self._desk.enter(self._user, mind)
