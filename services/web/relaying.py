"""What a relay passes on: the target, and the header lines in both directions."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from .asgi import RawHeaders
from .request import Request

# What concerns one connection only, and what the engine says itself.
HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_OURS = frozenset((b"server", b"date"))
_LEFT_OUT = frozenset((b"host", b"expect", b"forwarded", b"x-real-ip"))


def has_body(request: Request) -> bool:
    return not {b"content-length", b"transfer-encoding"}.isdisjoint(request.headers)


def target(request: Request, base: str = "") -> bytes:
    """Where the other server is asked, below its own path `base`."""
    path = base + "/" + "/".join(quote(part, safe="") for part in request.postpath)
    query: bytes = request.scope["query_string"]
    return path.encode() + (b"?" + query if query else b"")


def told(request: Request, host: bytes) -> RawHeaders:
    """What the other server is told: the client's headers, and where it came from. A client's own word for that is not passed on."""
    named = {token.strip().lower() for token in request.headers.get(b"connection", b"").split(b",") if token.strip()}
    kept = [
        (name, value)
        for name, value in request.scope["headers"]
        if name not in HOP and name not in named and name not in _LEFT_OUT and not name.startswith(b"x-forwarded-")
    ]
    kept.insert(0, (b"host", host))
    if b"content-length" not in request.headers and b"transfer-encoding" in request.headers:
        kept.append((b"transfer-encoding", b"chunked"))
    kept += [
        (b"x-forwarded-for", request.client.encode()),
        (b"x-forwarded-proto", b"https" if request.secure else b"http"),
        (b"x-forwarded-host", request.headers.get(b"host", b"")),
        (b"x-forwarded-prefix", "".join(f"/{quote(part)}" for part in request.prepath).encode()),
    ]
    return kept


def passed_back(lines: Iterable[tuple[bytes, bytes]], request: Request) -> RawHeaders:
    """The header lines of an answer for the client; the site's own are added where the other server has not set them."""
    headers = [(name, value) for name, value in lines if name.lower() not in HOP | _OURS]
    names = {name.lower() for name, _ in headers}
    return headers + [item for item in request.site.headers_of(request) if item[0] not in names]
