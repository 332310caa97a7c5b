"""The rules of HTTP that need no socket: paths, dates, validators, ranges, codings.

Everything here is a pure function of bytes and numbers, so each rule has its test without a server.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

MAX_RANGES = 16


class BadPath(ValueError):
    """A request path that no resource may see: dot segments, NUL, or bytes that are not UTF-8."""


def segments(raw_path: bytes) -> list[str]:
    """The decoded parts of a request path; `/a%20b/` gives `["a b", ""]`.

    Each part is decoded on its own, so an encoded slash stays inside its part and never makes a new one.

    Raises:
        BadPath: a part is `.` or `..`, has NUL in it, or is not UTF-8, however it was written.
    """
    if not raw_path.startswith(b"/"):
        raise BadPath(f"the path {raw_path[:80]!r} does not begin with a slash")
    if raw_path.isascii():
        text = raw_path.decode("ascii")  # in which is looked much faster
        if "%" not in text and "/." not in text and "\0" not in text:
            return text[1:].split("/")
    parts = []
    for part in raw_path[1:].split(b"/"):
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise BadPath(f"the path part {part[:80]!r} is not UTF-8") from None
        if text in {".", ".."} or "\0" in text:
            raise BadPath(f"the path part {part[:80]!r} is not allowed")
        # `a/../b` behind an encoded slash is a walk as well, whoever decodes it later.
        if "/" in text and not {".", ".."}.isdisjoint(text.split("/")):
            raise BadPath(f"the path part {part[:80]!r} is not allowed")
        parts.append(text)
    return parts


def path_of_target(target: bytes) -> bytes:
    """The path of a request target, which a proxy's client may have sent with scheme and host before it."""
    if target[:1] != b"/" and b"://" in target[:10]:
        path = target.split(b"://", 1)[1].partition(b"/")
        return b"/" + path[2]
    return target


def http_date(seconds: float) -> bytes:
    return formatdate(int(seconds), usegmt=True).encode()


def parse_date(value: bytes) -> float | None:
    """Seconds since the epoch, or None for what is no date."""
    try:
        return parsedate_to_datetime(value.decode("ascii")).timestamp()
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError):
        return None


_TAG = re.compile(rb'\s*(W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*(?:,|$)')


def etags(value: bytes) -> list[tuple[bool, bytes]]:
    """(weak, tag) of each entity tag in a list."""
    found = []
    at = 0
    while at < len(value) and (match := _TAG.match(value, at)):
        found.append((match[1] is not None, match[2]))
        at = match.end()
    return found


def tag_matches(value: bytes, etag: bytes, *, weakly: bool) -> bool:
    """Whether a list of entity tags (or `*`) names this one."""
    if value.strip() == b"*":
        return True
    is_weak = etag.startswith(b"W/")
    bare = etag[2:] if is_weak else etag
    return any(tag == bare and (weakly or not (weak or is_weak)) for weak, tag in etags(value))


def precondition(method: str, headers: dict[bytes, bytes], etag: bytes, modified: float) -> int:
    """What If-Match and its relatives make of a request: 200 (go on), 304 or 412, in the order that RFC 9110 gives."""
    reads = method in {"GET", "HEAD"}
    if_match = headers.get(b"if-match")
    if if_match is not None:
        if not tag_matches(if_match, etag, weakly=False):
            return 412
    else:
        since = parse_date(headers[b"if-unmodified-since"]) if b"if-unmodified-since" in headers else None
        if since is not None and int(modified) > since:
            return 412
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None:
        if tag_matches(if_none_match, etag, weakly=True):
            return 304 if reads else 412
    elif reads and b"if-modified-since" in headers:
        since = parse_date(headers[b"if-modified-since"])
        if since is not None and int(modified) <= since:
            return 304
    return 200


def range_applies(headers: dict[bytes, bytes], etag: bytes, modified: float, *, now: float | None = None) -> bool:
    """Whether If-Range lets the Range header count. A date does only when the file had a second to change after it."""
    value = headers.get(b"if-range")
    if value is None:
        return True
    value = value.strip()
    if value.startswith((b'"', b"W/")):
        return not value.startswith(b"W/") and not etag.startswith(b"W/") and value == etag
    date = parse_date(value)
    settled = (time.time() if now is None else now) - modified >= 1
    return date is not None and settled and int(date) == int(modified)


class Span(NamedTuple):
    """Bytes start..stop of a representation, stop not included."""

    start: int
    stop: int


_RANGE = re.compile(rb"\s*(\d{0,18})-(\d{0,18})\s*")


def parse_range(value: bytes, size: int) -> list[Span] | None:
    """The spans that a Range header asks for.

    None: the header does not count (not bytes, malformed, too many or overlapping parts), the whole is sent.
    An empty list: nothing of it lies inside the representation, 416 is sent.
    """
    unit, equals, rest = value.partition(b"=")
    if unit.strip().lower() != b"bytes" or not equals:
        return None
    wanted = rest.split(b",")
    if len(wanted) > MAX_RANGES:
        return None
    spans = []
    for one in wanted:
        match = _RANGE.fullmatch(one)
        if match is None or not (match[1] or match[2]):
            return None
        if not match[1]:
            start, stop = max(0, size - int(match[2])), size
        else:
            start = int(match[1])
            stop = min(size, int(match[2]) + 1) if match[2] else size
            if match[2] and int(match[2]) < start:
                return None
        if start < stop:
            spans.append(Span(start, stop))
    ordered = sorted(spans)
    if any(after.start < before.stop for before, after in pairwise(ordered)):
        return None
    return spans


def accepted(value: bytes) -> dict[bytes, float]:
    """Weight of each item of an Accept-Encoding or a like header."""
    weights: dict[bytes, float] = {}
    for item in value.lower().split(b","):
        name, *parameters = item.split(b";")
        weight = 1.0
        for parameter in parameters:
            key, _, number = parameter.strip().partition(b"=")
            if key.strip() == b"q":
                try:
                    weight = min(1.0, max(0.0, float(number)))
                except ValueError:
                    weight = 0.0
        if name.strip():
            weights[name.strip()] = weight
    return weights


def choose_coding(value: bytes | None, offered: Iterable[bytes]) -> bytes | None:
    """The best of the offered codings (in our order of liking) that the client takes, or None for identity."""
    if not value:
        return None
    weights = accepted(value)
    rest = weights.get(b"*", 0.0)
    best, best_weight = None, weights.get(b"identity", 0.0)
    for coding in offered:
        weight = weights.get(coding, rest)
        if weight > 0 and (weight > best_weight or (best is None and weight == best_weight)):
            best, best_weight = coding, weight
    return best


_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@lru_cache(1024)
def header(name: str, value: str | int) -> tuple[bytes, bytes]:
    """One header as bytes.

    Raises:
        ValueError: the name is no token, or the value has CR, LF, NUL or another control character in it.
    """
    text = str(value)
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a header; nothing was sent")
    if _UNSAFE.search(text):
        raise ValueError(
            f"the value {text[:80]!r} of the header {name} has a control character in it; nothing was sent"
        )
    try:
        return name.lower().encode("ascii"), text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value {text[:80]!r} of the header {name} is not Latin-1; nothing was sent") from None


def lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as they stand in an answer."""
    parts: list[bytes] = []
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    return b"".join(parts)


def phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"


def printable(text: str) -> str:
    """Text that came from outside, fit for a log: control characters and escapes cannot reach a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
