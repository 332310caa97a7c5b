"""The operator's own pages below `/-/`: a live status page behind a login, and numbers for Prometheus."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...runtime import rebuild
from .errors import NotFound, WebError
from .operator_page import LOGIN, STATUS
from .ratelimit import RateLimit, network_of
from .request import Request
from .resource import Resource

if TYPE_CHECKING:
    from ...runtime.service import Service
    from .service import Web

COOKIE = "midair_operator"
LIFETIME = 12 * 3600  # seconds that a login holds
USER = "operator"


class Operator(Resource):
    """What `/-/` shows. From this machine only unless `anywhere`; without a password there is no status page.

    Args:
        metrics: whether `/-/metrics` is there.

    *In a snapshot:* the hash of the password; logins are not kept.
    """

    __transient__ = ("_logins", "_service", "_happened", "_stops", "_saved")

    def __init__(self, *, metrics: bool = False) -> None:
        self.metrics = metrics
        self.anywhere = False
        self.guesses = RateLimit(0.2, 5)
        self._salt = self._hash = b""
        self._start()

    def _start(self) -> None:
        self._logins: dict[str, float] = {}
        self._service: Web | None = None
        self._happened: list[tuple[float, str]] = []
        self._stops: list[Any] = []
        self._saved: float | None = None

    def __resume__(self, space: Any) -> None:
        self._start()

    def set_password(self, password: str | None = None) -> str:
        """Set the password, or a new random one; returns it. Only its scrypt hash is kept."""
        password = password or secrets.token_urlsafe(12)
        self._salt = os.urandom(16)
        self._hash = _scrypt(password, self._salt)
        return password

    # --- its life

    async def begin(self, service: Service) -> None:
        self._service = service  # type: ignore[assignment]  # only a Web has an operator
        self._stops = [rebuild.subscribe(self._edited)]

    async def end(self) -> None:
        for stop in self._stops:
            stop()
        self._service = None

    def _edited(self, report: rebuild.Report) -> None:
        names = list(dict.fromkeys(change.told() for change in report.changes))
        told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        self._note(f"edit {report.number}: {told}" if not report.refused else str(report))

    def _note(self, text: str) -> None:
        self._happened = [*self._happened[-99:], (time.time(), text)]

    # --- pages

    def getChild(self, name: str, request: Request) -> Resource | None:  # noqa: N802 - the name that resources have
        if not self.anywhere and not request.site.is_local(request):
            raise NotFound
        if name == "metrics" and self.metrics:
            return _Page(self._metrics)
        if not self._hash:
            raise NotFound
        return {"status": _Page(self._status), "login": _Page(self._login), "events": _Page(self._events)}.get(name)

    def _metrics(self, request: Request) -> str:
        request.setHeader("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        request.setHeader("Cache-Control", "no-store")
        engine = self._web().engine
        return engine.metrics.text(
            http_connections=engine.connections,
            http_requests_active=engine.active,
            process_resident_bytes=_memory(),
        )

    def _status(self, request: Request) -> str:
        self._private(request)
        return STATUS if self._known(request) else LOGIN.replace("{said}", "")

    async def _login(self, request: Request) -> str | None:
        self._private(request)
        if request.method != "POST":
            request.redirect("./status", 303)
            return None
        wait = self.guesses.wait(network_of(request.client))
        if wait:
            raise WebError(429, f"too many tries; wait {wait:.0f} seconds", {"Retry-After": str(int(wait) + 1)})
        form = await request.form()
        given = await asyncio.to_thread(_scrypt, form.get("password"), self._salt)
        if not hmac.compare_digest(given, self._hash):
            request.setResponseCode(403)
            return LOGIN.replace("{said}", "<p role=alert>That is not the password.</p>")
        token = secrets.token_urlsafe(32)
        now = time.time()
        self._logins = {key: until for key, until in self._logins.items() if until > now}
        self._logins[token] = now + LIFETIME
        request.addHeader(
            "Set-Cookie",
            f"{COOKIE}={token}; Path=/-/; HttpOnly; SameSite=Strict" + ("; Secure" if request.secure else ""),
        )
        request.redirect("./status", 303)
        return None

    async def _events(self, request: Request) -> None:
        """What happens now, once a second, as server-sent events."""
        if not self._known(request):
            raise WebError(403, "log in first")
        request.setHeader("Content-Type", "text/event-stream")
        request.setHeader("Cache-Control", "no-store")
        while True:
            request.write(f"data: {json.dumps(self.now())}\n\n")
            await request.flush()
            await asyncio.sleep(1.0)

    def _known(self, request: Request) -> bool:
        return self._logins.get(request.cookies.get(COOKIE, ""), 0.0) > time.time()

    @staticmethod
    def _private(request: Request) -> None:
        request.setHeader("Cache-Control", "no-store")
        request.setHeader(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'self'",
        )

    def _web(self) -> Web:
        if self._service is None:
            raise WebError(503, "the server is not running")
        return self._service

    def now(self) -> dict[str, Any]:
        """Everything that the status page shows, as plain data."""
        web = self._web()
        metrics = web.engine.metrics
        runner: Any = web.space.runner
        status = runner.status() if hasattr(runner, "status") else {}
        if status.get("saved") != self._saved:
            self._saved = status.get("saved")
            self._note(f"snapshot, generation {web.space.generation}")
        edits = [{"at": at, "what": what} for at, what in self._happened]
        return {
            "time": time.time(),
            "name": web.name,
            "services": status.get("services") or {web.name: list(web.addresses)},
            "generation": web.space.generation,
            "saved": status.get("saved"),
            "edits": status.get("edits", 0),
            "happened": edits[-20:],
            "connections": web.engine.connections,
            "websockets": web.engine.websockets,
            "active": web.engine.active,
            "requests": metrics.requests,
            "statuses": dict(sorted(metrics.statuses.items())),
            "latency": metrics.latency,
            "bytes": metrics.bytes,
            "dropped": metrics.dropped,
            "lag_ms": status.get("lag_ms", 0.0),
            "memory": _memory(),
        }


class _Page(Resource):
    isLeaf = True  # noqa: N815 - the name that resources have

    def __init__(self, shown: Callable[[Request], Any]) -> None:
        self._shown = shown

    def render(self, request: Request) -> Any:
        return self._shown(request)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, maxmem=64 << 20)


def _memory() -> int:
    """Bytes of memory that the process holds."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
