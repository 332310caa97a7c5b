"""Files and folders.

A small file is answered from memory after one `stat`; a large one goes from the disk to the socket by `sendfile` where the engine offers it, else
in pieces read by a thread. What is in memory is checked against the disk for each request, so an edit of a file is live at once.

A file is opened first and then proved to lie inside the folder, by its real path and its inode: a symlink that is changed in between is caught.
"""

# ruff: noqa: N815  (isLeaf is the name that resources have)

from __future__ import annotations

import asyncio
import fnmatch
import logging
import mimetypes
import os
import re
import stat
import zlib
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from . import rules
from .asgi import RawHeaders
from .errors import NotFound, WebError
from .listing import listing
from .request import Request
from .resource import Resource
from .trust import stranger_of

log = logging.getLogger("midair.web")

SMALL = 256 << 10  # bytes of a file that is kept in memory
MEMORY = 64 << 20  # bytes of all of them, per folder
PIECE = 512 << 10  # bytes read at a time of a large one
WORTH_PACKING = 512  # bytes from which on compressing is
CODINGS = {b"br": ".br", b"gzip": ".gz"}
BYTES = (b"accept-ranges", b"bytes")
VARY = (b"vary", b"accept-encoding")
#: A name with a digest in it, as bundlers make them, never changes its content.
DIGESTED = re.compile(r".*[.-][0-9a-f]{8,}\.[a-z0-9.]+")

#: Headers of a request that may change what is sent.
_DECIDING = frozenset(
    (
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    )
)

# A table of our own, so that the same file has the same type on each machine.
_TYPES = mimetypes.MimeTypes(filenames=())
for _type, _ending in (
    ("text/javascript", ".mjs"),
    ("text/javascript", ".js"),
    ("application/wasm", ".wasm"),
    ("application/manifest+json", ".webmanifest"),
    ("font/woff", ".woff"),
    ("font/woff2", ".woff2"),
    ("image/avif", ".avif"),
    ("image/webp", ".webp"),
    ("text/markdown", ".md"),
    ("application/x-ndjson", ".ndjson"),
    ("text/plain", ".log"),
    ("application/gzip", ".gz"),
    ("application/x-bzip2", ".bz2"),
    ("application/x-xz", ".xz"),
    ("application/zstd", ".zst"),
):
    _TYPES.add_type(_type, _ending)


def content_type(name: str) -> str:
    """The type of a file by its name; what is unknown is for download, never for a browser to guess."""
    kind, coding = _TYPES.guess_type(f"x{os.path.splitext(name)[1].lower()}")
    if kind is None or coding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def packs_well(kind: str) -> bool:
    word = kind.partition(";")[0]
    return word.startswith("text/") or word.endswith(("+xml", "+json", "/json", "/xml", "/wasm", "/x-ndjson"))


class Processor(Protocol):
    """What answers a file in place of its bytes, such as a script."""

    async def respond(self, path: str, request: Request) -> None: ...


@dataclass(slots=True)
class Variant:
    """One coding of a file: the file itself, a ready `.gz` or `.br` beside it, or what we packed."""

    path: str
    sign: tuple[int, ...]
    size: int
    etag: bytes
    modified: float
    headers: RawHeaders
    body: bytes | None
    lines: bytes = b""


@dataclass(slots=True)
class Entry:
    """What is known of a file; true as long as the signatures on disk are the same."""

    plain: Variant
    packed: dict[bytes, Variant] = field(default_factory=dict)
    may_pack: bool = False

    @property
    def varies(self) -> bool:
        """Whether what is sent depends on the codings that the client takes."""
        return self.may_pack or bool(self.packed)

    beside: tuple[tuple[bytes, tuple[int, ...] | None], ...] = ()


def sign_of(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)


class Static(Resource):
    """A folder of files, or one file.

    Args:
        path: the folder or file.
        index: names that stand for a folder, first found wins.
        listing: whether a folder without one is listed.
        hidden: whether names that begin with a dot are served (`.well-known` always is).
        cache: (pattern, Cache-Control value) pairs for file names; the first that fits wins. Default: names with a digest in
            them are kept for a year, all others are asked for again each time, which costs a 304.
        outside: whether symlinks may lead out of the folder.

    *Across a rebuild:* what is in memory stays. *In a snapshot:* all but what is in memory.
    """

    __transient__ = ("_known", "_held")
    isLeaf = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        index: Iterable[str] = ("index.html", "index.htm"),
        listing: bool = True,
        hidden: bool = False,
        cache: Iterable[tuple[str, str]] = (),
        outside: bool = False,
    ) -> None:
        self.path = os.path.abspath(path)
        self.index = tuple(index)
        self.listing, self.hidden, self.outside = listing, hidden, outside
        self.cache = list(cache)
        #: By ending, such as ".epy": what answers such a file. None: it is never shown.
        self.processors: dict[str, Processor | None] = {".epy": None, ".cgi": None}
        self._forget()

    def _forget(self) -> None:
        self._known: dict[str, Entry] = {}
        self._held = 0

    def __resume__(self, space: Any) -> None:
        self._forget()

    # --- answering

    def respond_now(self, request: Request) -> Awaitable[None] | None:
        entry = self._still_true(request)
        if entry is None:
            return self._look(request, "/".join(request.postpath))
        return self._answer(request, entry)

    def _still_true(self, request: Request) -> Entry | None:
        """What is known of the file, if the disk still says the same."""
        name = "/".join(request.postpath)
        entry = self._known.get(name)
        if entry is None or request.method not in {"GET", "HEAD"}:
            return None
        try:
            if sign_of(os.stat(entry.plain.path)) == entry.plain.sign:
                return entry
        except OSError:
            pass  # it is gone: the long way says so
        self._drop(name)
        return None

    async def _look(self, request: Request, name: str) -> None:
        """The long way: find the file, the folder's index, its listing, or the processor."""
        path = self._place(request.postpath)
        fd = self._open(path)
        try:
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode):
                os.close(fd)
                fd = -1
                await self._folder(request, path)
                return
            if not stat.S_ISREG(found.st_mode) or (request.postpath[-1:] == [""] and path != self.path):
                raise NotFound
            ending = os.path.splitext(path)[1].lower()
            if ending in self.processors:
                await self._process(request, path, ending)
                return
            self._reads_only(request)
            entry = self._learn(path, fd, found)
        finally:
            if fd >= 0:
                os.close(fd)
        self._keep(name, entry)
        rest = self._answer(request, entry)
        if rest is not None:
            await rest

    def _place(self, parts: list[str]) -> str:
        """The path on disk. The parts have no dot segments; here the slash inside of one is refused, and hidden names."""
        for part in parts:
            if "/" in part or (not self.hidden and part.startswith(".") and part != ".well-known"):
                raise NotFound
        wanted = [part for part in parts if part]
        if len(wanted) < len(parts) - 1 or (len(wanted) < len(parts) and parts[-1]):
            raise NotFound  # an empty part before the last one: the same file would have many addresses
        return os.path.join(self.path, *wanted) if wanted else self.path

    def _open(self, path: str) -> int:
        try:
            # O_NONBLOCK: to open a pipe without it waits for its writer.
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            raise WebError(403, "this may not be read by the server") from None
        except OSError:
            raise NotFound from None
        if not self.outside and not self._inside(path, fd):
            os.close(fd)
            raise NotFound
        return fd

    def _inside(self, path: str, fd: int) -> bool:
        root, real = os.path.realpath(self.path), os.path.realpath(path)
        if real != root and not real.startswith(root.rstrip("/") + "/"):
            return False
        try:
            return os.path.samestat(os.fstat(fd), os.stat(real))
        except OSError:
            return False

    @staticmethod
    def _reads_only(request: Request) -> None:
        if request.method not in {"GET", "HEAD"}:
            allow = {"Allow": "GET, HEAD"}
            raise WebError(405, "a file is only read", allow)

    async def _process(self, request: Request, path: str, ending: str) -> None:
        processor = self.processors[ending]
        if processor is None:
            raise WebError(403, f"{ending} files are not run here, and never shown")
        reason = await asyncio.to_thread(stranger_of, path, self.path)
        if reason is not None:
            log.warning("%s was not run: %s; a script is run when only the server's user can change it", path, reason)
            raise WebError(403, "this file is not run: others than the server's user could have changed it")
        await processor.respond(path, request)

    async def _folder(self, request: Request, path: str) -> None:
        last = request.postpath[-1] if request.postpath else (request.prepath or [""])[-1]
        if last:
            self._reads_only(request)
            # Relative, so that `//host/x` cannot send anybody to another host.
            query = request.scope["query_string"].decode("latin-1")
            there = f"./{quote(last)}/" + (f"?{query}" if query else "")
            request.redirect(there, 301)
            request.setHeader("Cache-Control", "max-age=300")
            await request.finish()
            return
        parts = request.postpath[:-1] if request.postpath else []
        for index in self.index:
            if _exists(os.path.join(path, index)):
                request.postpath = [*parts, index]
                await self.respond(request)
                return
        self._reads_only(request)
        if not self.listing:
            raise NotFound
        shown = "/".join([*request.prepath, *parts])
        page = await asyncio.to_thread(listing, path, f"/{shown}", hidden=self.hidden, top=not request.path.strip("/"))
        request.setHeader("Cache-Control", "no-store")
        await request.finish(page)

    # --- what is known of a file

    def _learn(self, path: str, fd: int, found: os.stat_result) -> Entry:
        kind = content_type(path)
        plain = self._variant(path, fd, found, kind, None)
        entry = Entry(plain, may_pack=packs_well(kind) and found.st_size >= WORTH_PACKING)
        for coding, ending in CODINGS.items() if entry.may_pack else ():
            variant = self._beside(path + ending, found, kind, coding)
            if variant is not None:
                entry.packed[coding] = variant
        if entry.may_pack:
            for variant in (plain, *entry.packed.values()):
                variant.headers.append(VARY)
                variant.lines = rules.lines(variant.headers)
        return entry

    def _variant(self, path: str, fd: int, found: os.stat_result, kind: str, coding: bytes | None) -> Variant:
        body = os.pread(fd, found.st_size, 0) if found.st_size <= SMALL else None
        if body is not None and len(body) != found.st_size:
            body = None  # it is being written; what its length is shows when it is sent
        tag = b'"%x-%x%s"' % (found.st_mtime_ns, found.st_size, b"-" + coding if coding else b"")
        headers = [
            (b"content-type", kind.encode()),
            (b"last-modified", rules.http_date(found.st_mtime)),
            (b"etag", tag),
            (b"cache-control", self._cache_control(path).encode()),
            BYTES,
        ]
        if coding:
            headers.append((b"content-encoding", coding))
        return Variant(path, sign_of(found), found.st_size, tag, found.st_mtime, headers, body, rules.lines(headers))

    def _beside(self, path: str, plain: os.stat_result, kind: str, coding: bytes) -> Variant | None:
        """The ready packed file beside another, if it is no older."""
        try:
            fd = self._open(path)
        except WebError:
            return None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_mtime_ns < plain.st_mtime_ns:
                return None
            variant = self._variant(path, fd, found, kind, coding)
        finally:
            os.close(fd)
        return variant

    def _cache_control(self, path: str) -> str:
        name = os.path.basename(path)
        for pattern, value in self.cache:
            if fnmatch.fnmatchcase(name, pattern):
                return value
        return "public, max-age=31536000, immutable" if DIGESTED.fullmatch(name) else "no-cache"

    def _keep(self, name: str, entry: Entry) -> None:
        size = _weight(entry)
        if name in self._known:
            self._drop(name)
        self._held += size
        self._known[name] = entry
        while self._held > MEMORY or len(self._known) > 10_000:
            self._drop(next(iter(self._known)))

    def _drop(self, name: str) -> None:
        entry = self._known.pop(name, None)
        if entry is not None:
            self._held -= _weight(entry)

    async def _pack(self, entry: Entry) -> None:
        """Pack a small file once, in a thread, so that nobody waits for it."""
        plain = entry.plain
        body = plain.body
        assert body is not None
        entry.may_pack = False
        packed = await asyncio.to_thread(_gzip, body)
        if len(packed) >= len(body):
            return
        tag = plain.etag[:-1] + b'-gzip"'
        headers = [(name, tag if name == b"etag" else value) for name, value in plain.headers]
        headers.append((b"content-encoding", b"gzip"))
        entry.packed[b"gzip"] = Variant(
            plain.path, plain.sign, len(packed), tag, plain.modified, headers, packed, rules.lines(headers)
        )
        self._held += len(packed)

    # --- sending

    def _answer(self, request: Request, entry: Entry) -> Awaitable[None] | None:
        """Answer from an entry; what is in memory needs nothing to be awaited."""
        variant = entry.plain
        for name, _ in request.scope["headers"]:
            if name in _DECIDING:
                break
        else:
            return self._deliver(request, 200, variant)
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        accept = headers.get(b"accept-encoding")
        if accept is not None and entry.varies:
            if entry.may_pack and variant.body is not None and b"gzip" not in entry.packed and b"gzip" in accept:
                return self._pack_first(request, entry)
            variant = self._choose(entry, accept)
        return self._decide(request, variant, headers)

    async def _pack_first(self, request: Request, entry: Entry) -> None:
        await self._pack(entry)
        rest = self._answer(request, entry)
        if rest is not None:
            await rest

    @staticmethod
    def _choose(entry: Entry, accept: bytes) -> Variant:
        plain = entry.plain
        for coding in [coding for coding in CODINGS if coding in entry.packed]:
            variant = entry.packed[coding]
            if variant.path != plain.path and not _same(variant):
                del entry.packed[coding]
        chosen = rules.choose_coding(accept, [coding for coding in CODINGS if coding in entry.packed])
        return entry.packed[chosen] if chosen else plain

    def _decide(self, request: Request, variant: Variant, headers: dict[bytes, bytes]) -> Awaitable[None] | None:
        """Answer as the conditions and the range of a request have it."""
        code = rules.precondition(request.method, headers, variant.etag, variant.modified)
        if code == 304:
            return self._deliver(request, 304, variant, rules.Span(0, 0))
        if code == 412:
            raise WebError(412, "the file is not the one that the request was made for")
        spans = None
        wanted = headers.get(b"range") if request.method == "GET" else None
        if wanted is not None and rules.range_applies(headers, variant.etag, variant.modified):
            spans = rules.parse_range(wanted, variant.size)
        if spans == []:
            raise WebError(416, "the range lies outside of the file", {"Content-Range": f"bytes */{variant.size}"})
        if spans is None or len(spans) > 1:
            # Several ranges in one answer help nobody in practice; the whole file is as right an answer.
            return self._deliver(request, 200, variant)
        return self._deliver(request, 206, variant, spans[0])

    def _deliver(
        self, request: Request, code: int, variant: Variant, span: rules.Span | None = None
    ) -> Awaitable[None] | None:
        """Send a file or a part of it: at once from memory, else what has still to be awaited."""
        body = b"" if code == 304 else variant.body
        if body is None:
            return self._send_large(request, code, variant, span or rules.Span(0, variant.size))
        if span is None:
            headers, lines = variant.headers, variant.lines
        else:
            headers = _headers_of(code, variant, span)
            body, lines = body[slice(*span)], rules.lines(headers)
        if request.send_now(code, lines, body):
            return None
        return _send_small(request, code, headers, body)

    async def _send_large(self, request: Request, code: int, variant: Variant, span: rules.Span) -> None:
        fd, length = self._open(variant.path), span.stop - span.start
        try:
            if sign_of(os.fstat(fd)) != variant.sign:
                self._drop("/".join(request.postpath))
                raise WebError(503, "the file is being written", {"Retry-After": "1"})
            await _send_head(request, code, _headers_of(code, variant, span), length)
            if request.method == "HEAD":
                await request.send({"type": "http.response.body"})
            elif "http.response.zerocopysend" in request.scope.get("extensions", ()):
                await request.send(
                    {"type": "http.response.zerocopysend", "file": fd, "offset": span.start, "count": length}
                )
            else:
                await _send_pieces(request, fd, span)
        finally:
            os.close(fd)


def _headers_of(code: int, variant: Variant, span: rules.Span) -> RawHeaders:
    if code == 304:
        return [item for item in variant.headers if item[0] not in {b"content-type", b"content-encoding"}]
    if code == 206:
        place = (b"content-range", b"bytes %d-%d/%d" % (span.start, span.stop - 1, variant.size))
        return [*variant.headers, place]
    return variant.headers


async def _send_head(request: Request, code: int, headers: RawHeaders, length: int) -> None:
    request.started = True
    ends = [] if code == 304 else [(b"content-length", b"%d" % length)]
    await request.send(
        {
            "type": "http.response.start",
            "status": code,
            "headers": [*headers, *ends, *request._out, *request.site.headers_of(request)],
        }
    )


async def _send_small(request: Request, code: int, headers: RawHeaders, body: bytes) -> None:
    await _send_head(request, code, headers, len(body))
    await request.send({"type": "http.response.body", "body": body})


async def _send_pieces(request: Request, fd: int, span: rules.Span) -> None:
    at = span.start
    while at < span.stop:
        piece = await asyncio.to_thread(os.pread, fd, min(PIECE, span.stop - at), at)
        if not piece:
            raise OSError("the file became shorter while it was sent; the connection was closed")
        at += len(piece)
        await request.send({"type": "http.response.body", "body": piece, "more_body": at < span.stop})


def _same(variant: Variant) -> bool:
    try:
        return sign_of(os.stat(variant.path)) == variant.sign
    except OSError:
        return False


def _exists(path: str) -> bool:
    # Not in a thread, like each look at the disk here: the answer comes from the kernel's memory, a hop costs more.
    return os.path.exists(path)


def _weight(entry: Entry) -> int:
    return 1000 + sum(len(variant.body or b"") for variant in (entry.plain, *entry.packed.values()))


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
