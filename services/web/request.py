"""One request and its answer, as a resource sees them.

Names in camelCase are those that web resources have had since 2001; `write` gathers, and what was gathered is sent when
`render` returns, or earlier with `await flush()`.
"""

# ruff: noqa: N802  (the camelCase names are the API that resources were written against)

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterable, AsyncIterator
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from . import rules
from .asgi import RawHeaders, Receive, Scope, Send
from .errors import Disconnected, TooLarge, WebError
from .forms import Form, read_form

if TYPE_CHECKING:
    from .sessions import Session
    from .site import Site

MAX_FIELDS = 1000
_LENGTHS = frozenset((b"content-length", b"transfer-encoding"))
#: Headers that say where an answer ends, or a connection: the engine has to look at an answer with one of these.
_FRAMING = _LENGTHS | {b"connection"}
HTML = (b"content-type", b"text/html; charset=utf-8")
_HTML_LINE = rules.lines([HTML])


class Request:
    """What came in, and what goes out.

    Attributes:
        method, path: as sent; path is decoded. `uri` is the raw target.
        prepath, postpath: the parts of the path walked so far, and those still to walk.
        client: address of the peer, or the name of its Unix socket.
        code: status of the answer, 200 until changed.
    """

    code = 200
    started = False
    finished = False
    _type_given = False
    _framed = False
    _incoming: dict[bytes, bytes] | None = None
    _args: dict[str, list[str]] | None = None
    _cookies: dict[str, str] | None = None
    _form: Form | None = None
    _session: Session | None = None

    def __init__(self, scope: Scope, receive: Receive, send: Send, site: Site, parts: list[str]) -> None:
        self.scope, self.receive, self.send, self.site = scope, receive, send, site
        self.method: str = scope["method"]
        self.prepath: list[str] = []
        self.postpath = parts
        self._out: RawHeaders = []
        self._written: list[bytes] = []

    # --- what came in

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Headers by lower-case name; lines of one name are joined by commas (cookies by semicolons)."""
        if self._incoming is None:
            merged: dict[bytes, bytes] = {}
            for name, value in self.scope["headers"]:
                if name in merged:
                    merged[name] += (b"; " if name == b"cookie" else b", ") + value
                else:
                    merged[name] = value
            self._incoming = merged
        return self._incoming

    def getHeader(self, name: str, default: str | None = None) -> str | None:
        value = self.headers.get(name.lower().encode("latin-1", "replace"))
        return default if value is None else value.decode("latin-1")

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def uri(self) -> str:
        query = self.scope["query_string"]
        target: bytes = self.scope["raw_path"] + (b"?" + query if query else b"")
        return target.decode("latin-1")

    @property
    def client(self) -> str:
        peer = self.scope.get("client")
        return str(peer[0]) if peer else "unix"

    def getClient(self) -> str:
        return self.client

    @property
    def host(self) -> str:
        """The name that the client asked for, in lower case and without the port; empty when it gave none."""
        value = self.headers.get(b"host", b"").decode("latin-1").strip().lower()
        name, colon, port = value.rpartition(":")
        return name if colon and port.isdigit() else value.removesuffix(":")

    @property
    def secure(self) -> bool:
        return self.scope.get("scheme") in {"https", "wss"}

    @property
    def args(self) -> dict[str, list[str]]:
        """Arguments of the query, and those of the form once `await form()` has read it: a list for each name."""
        if self._args is None:
            self._args = {}
            query = self.scope["query_string"].decode("latin-1")
            try:
                pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
            except ValueError:
                raise WebError(400, f"a query has at most {MAX_FIELDS} arguments") from None
            for name, value in pairs:
                self._args.setdefault(name, []).append(value)
        return self._args

    def arg(self, name: str, default: str = "") -> str:
        """The first value of an argument."""
        values = self.args.get(name)
        return values[0] if values else default

    @property
    def cookies(self) -> dict[str, str]:
        if self._cookies is None:
            jar: SimpleCookie = SimpleCookie()
            for pair in self.headers.get(b"cookie", b"").decode("latin-1").split(";"):
                try:
                    jar.load(pair.strip())
                except CookieError:
                    continue  # one cookie that another site of this host set badly must not hide ours
            self._cookies = {name: morsel.value for name, morsel in jar.items()}
        return self._cookies

    def _basic(self) -> tuple[str, str]:
        scheme, _, value = self.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"basic":
            return "", ""
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password

    def getUser(self) -> str:
        """The name given by Basic authentication; empty when there is none."""
        return self._basic()[0]

    def getPassword(self) -> str:
        return self._basic()[1]

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces of at most about 64 KiB; the client is held back while a piece is in work.

        Raises:
            TooLarge: the site's `max_body` was passed.
            Disconnected: the client went away.
        """
        total, limit = 0, self.site.max_body
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected("the client went away before its request was complete")
            body: bytes = message.get("body", b"")
            total += len(body)
            if total > limit:
                raise TooLarge("a request body", limit)
            if body:
                yield body
            if not message.get("more_body", False):
                return

    async def body(self, limit: int = 1 << 20) -> bytes:
        """The whole body, at most `limit` bytes (default 1 MiB)."""
        parts, total = [], 0
        async for piece in self.stream():
            total += len(piece)
            if total > limit:
                raise TooLarge("this request body", limit)
            parts.append(piece)
        return b"".join(parts)

    async def form(self) -> Form:
        """The fields and files of a posted form. Files go to disk as they arrive, and are gone after the answer."""
        if self._form is None:
            self._form = await read_form(self.headers.get(b"content-type", b""), self.stream())
            for name, values in self._form.fields.items():
                self.args.setdefault(name, []).extend(values)
        return self._form

    def getSession(self) -> Session:
        """The session of this client; made, with a cookie, when it has none. Call it before the first flush."""
        if self._session is None:
            self._session = self.site.sessions.of(self)
        return self._session

    # --- addresses

    def childLink(self, name: str) -> str:
        """Where the child `name` of this resource is, relative to this page."""
        parts = [*self.prepath, *self.postpath]
        if parts and parts[-1]:
            return quote(f"./{parts[-1]}/{name}")
        return quote(f"./{name}")

    def sibLink(self, name: str) -> str:
        """Where the sibling `name` of this resource is, relative to this page."""
        parts = [*self.prepath, *self.postpath]
        return quote(f"./{name}" if not parts or parts[-1] else f"../{name}")

    # --- the answer

    def setResponseCode(self, code: int) -> None:
        if not 200 <= code <= 599:
            raise ValueError(f"{code} is not the status of an answer (200 to 599); the answer keeps {self.code}")
        self.code = code

    def setHeader(self, name: str, value: str | int) -> None:
        """Set a header of the answer, in place of an earlier one of that name."""
        item = rules.header(name, value)
        if self._out:
            self._out = [kept for kept in self._out if kept[0] != item[0]]
        self._add(item)

    def addHeader(self, name: str, value: str | int) -> None:
        self._add(rules.header(name, value))

    def _add(self, item: tuple[bytes, bytes]) -> None:
        if self.started:
            raise RuntimeError(f"the header {item[0].decode()} came after the answer had begun; it was not sent")
        name = item[0]
        if name == b"content-type":
            self._type_given = True
        elif name in _FRAMING:
            self._framed = True
        self._out.append(item)

    def addCookie(self, name: str, value: str, *, max_age: int | None = None, path: str = "/") -> None:
        """Set a cookie: HttpOnly, SameSite=Lax, and Secure where the request came over TLS."""
        text = f"{name}={quote(value, safe='')}; Path={path}; HttpOnly; SameSite=Lax"
        if max_age is not None:
            text += f"; Max-Age={max_age}"
        self.addHeader("Set-Cookie", text + ("; Secure" if self.secure else ""))

    def redirect(self, url: str, code: int = 302) -> None:
        self.setResponseCode(code)
        self.setHeader("Location", url)

    def write(self, data: str | bytes) -> None:
        """Add to the answer. It is kept in memory until `flush` or the end of `render`."""
        self._written.append(data.encode() if isinstance(data, str) else data)

    async def flush(self) -> None:
        """Send what was written so far; from here on the answer streams. Returns when the client keeps up.

        Raises:
            Disconnected: the client went away; there is nobody left to write for.
        """
        if not self.started:
            await self._start(None)
        data, self._written = b"".join(self._written), []
        if data:
            await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _start(self, length: int | None) -> None:
        self.started = True
        headers = self._out
        if not self._type_given and length != 0:
            headers.append(HTML)
        framed = self._framed and not _LENGTHS.isdisjoint(name for name, _ in headers)
        if length is not None and self.code not in {204, 304} and not framed:
            headers.append((b"content-length", b"%d" % length))
        await self.send(
            {"type": "http.response.start", "status": self.code, "headers": headers + self.site.headers_of(self)}
        )

    async def finish(self, result: Any = None) -> None:
        """End the answer with what `render` returned: text, bytes, something for JSON, an async iterable, or None."""
        if isinstance(result, bytes):
            pass
        elif isinstance(result, str):
            result = result.encode()
        elif result is None:
            result = b""
        elif isinstance(result, (dict, list)):
            if not self._type_given:
                self.setHeader("Content-Type", "application/json")
            result = json.dumps(result).encode()
        elif isinstance(result, AsyncIterable):
            async for piece in result:
                self.write(piece)
                await self.flush()
            result = b""
        else:
            raise TypeError(f"render returned a {type(result).__name__}; an answer is str, bytes, dict, list or None")
        if self._written:
            self._written.append(result)
            result, self._written = b"".join(self._written), []
        if not self.finish_now(result):
            if not self.started:
                await self._start(len(result))
            self.finished = True
            await self.send({"type": "http.response.body", "body": result})

    def finish_now(self, body: bytes) -> bool:
        """Send a whole answer without waiting for anything; False when that cannot be done, and nothing was."""
        if self._written:
            return False
        return self.send_now(self.code, b"" if self._type_given or not body else _HTML_LINE, body)

    def send_now(self, code: int, lines: bytes, body: bytes) -> bool:
        """The same with header lines that were made before, to which those that were set here are added."""
        whole = getattr(self.send, "whole", None)
        if whole is None or self.started or self._framed:
            return False
        if self._out:
            lines += rules.lines(self._out)
        if not whole(code, lines + self.site.lines_of(self), body):
            return False
        self.started = self.finished = True
        return True

    def start_over(self) -> None:
        """Forget what was set and written: another answer is given than the one that was begun."""
        self._out, self._written, self._type_given, self._framed = [], [], False, False

    def release(self) -> None:
        """Give back what the request holds on disk. The site calls it when the answer is out."""
        if self._form is not None:
            self._form.close()
