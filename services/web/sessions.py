"""Sessions: what a site remembers about a client between two requests, and across a restart."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .request import Request

COOKIE = "midair_session"


class Session(dict[str, Any]):
    """A client's own dict. Whatever is put in it is saved with the space.

    Attributes:
        touched: wall-clock time of the last request, in seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.touched = 0.0
        self.expired = False

    def expire(self) -> None:
        """Forget it: the next request of this client begins a new one."""
        self.clear()
        self.expired = True


class Sessions:
    """The sessions of a site, by the hash of what is in the cookie: who reads a snapshot cannot take one over.

    Args:
        lifetime: seconds without a request until a session is forgotten.
        limit: most sessions kept; beyond it the one untouched for longest goes.

    *In a snapshot:* whole.
    """

    clock: Callable[[], float] = staticmethod(time.time)

    def __init__(self, *, lifetime: float = 14 * 86400, limit: int = 100_000) -> None:
        self.lifetime, self.limit = lifetime, limit
        self._kept: dict[bytes, Session] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, request: Request) -> Session:
        """The session of a request; a new one, and the cookie for it, when there is none that is still good."""
        now = self.clock()
        key = _key(request.cookies.get(COOKIE, ""))
        session = self._kept.pop(key, None)
        if session is None or session.expired or now - session.touched > self.lifetime:
            token = secrets.token_urlsafe(32)
            key, session = _key(token), Session()
            request.addCookie(COOKIE, token, max_age=int(self.lifetime))
            request.setHeader("Cache-Control", "no-store")
        session.touched = now
        self._kept[key] = session  # at the end: the dict is in order of last use
        self._sweep(now)
        return session

    def _sweep(self, now: float) -> None:
        # In order of last use, so the first one that stays ends the sweep.
        for key, session in list(islice(self._kept.items(), 2)):
            if len(self._kept) > self.limit or session.expired or now - session.touched > self.lifetime:
                del self._kept[key]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
