"""Posted forms: fields in memory, files on disk, as they arrive.

The multipart parser is a state machine of bytes to events and knows neither sockets nor disks.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from typing import IO
from urllib.parse import parse_qsl

from .errors import TooLarge, WebError

MAX_FIELDS = 1000
MAX_FIELD = 1 << 20  # bytes of one field that is not a file
MAX_FIELDS_TOTAL = 8 << 20  # bytes of all of them, since they stay in memory
MAX_PART_HEAD = 8192  # bytes of the header lines of a part
IN_MEMORY = 64 << 10  # bytes of a file before it goes to disk


@dataclass
class Upload:
    """A file of a form. `file` is open at its start, and closed and gone when the request has been answered."""

    name: str
    filename: str
    type: str
    file: IO[bytes]
    size: int = 0


@dataclass
class Form:
    """What a form brought: `fields` has a list of texts for each name, `files` the uploads in order."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[Upload] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        values = self.fields.get(name)
        return values[0] if values else default

    def close(self) -> None:
        for upload in self.files:
            upload.file.close()


@dataclass(frozen=True)
class PartBegins:
    name: str
    filename: str | None
    type: str


@dataclass(frozen=True)
class PartData:
    data: bytes


@dataclass(frozen=True)
class PartEnds:
    pass


Event = PartBegins | PartData | PartEnds


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """A header like `form-data; name="a"` as its word and its parameters."""
    message = Message()
    message["content-type"] = value
    pairs = message.get_params(failobj=[], unquote=True)
    word = pairs[0][0].lower() if pairs else ""
    return word, {name.lower(): text for name, text in pairs[1:] if isinstance(text, str)}


class Multipart:
    """Bytes of a multipart/form-data body in, events out.

    Args:
        boundary: from the Content-Type header, 1 to 70 bytes.
    """

    def __init__(self, boundary: bytes) -> None:
        if not 1 <= len(boundary) <= 70:
            raise WebError(400, "the boundary of a form is 1 to 70 bytes long")
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")  # so that the first delimiter looks like the others
        self._state = "preamble"
        self.parts = 0

    @property
    def complete(self) -> bool:
        return self._state == "end"

    def receive(self, data: bytes) -> list[Event]:
        """Take what arrived; return what it completed.

        Raises:
            WebError: the body is not what multipart/form-data allows, or a part's header lines are too long.
        """
        self._buffer += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def _step(self, events: list[Event]) -> bool:
        if self._state == "end":
            self._buffer.clear()
            return False
        if self._state == "head":
            return self._head(events)
        if self._state == "delimiter":
            return self._after_delimiter()
        at = self._buffer.find(self._delimiter)
        if at < 0:
            # The tail may be the beginning of a delimiter, so it waits for more.
            self._take(events, max(0, len(self._buffer) - len(self._delimiter) + 1))
            return False
        self._take(events, at)
        if self._state == "data":
            events.append(PartEnds())
        del self._buffer[: len(self._delimiter)]
        self._state = "delimiter"
        return True

    def _take(self, events: list[Event], count: int) -> None:
        if count and self._state == "data":
            events.append(PartData(bytes(self._buffer[:count])))
        del self._buffer[:count]

    def _after_delimiter(self) -> bool:
        stripped = self._buffer.lstrip(b" \t")
        if len(stripped) < 2:
            if len(self._buffer) > MAX_PART_HEAD:
                raise WebError(400, "the form has no line end after a boundary")
            return False
        if stripped.startswith(b"--"):
            self._state = "end"
        elif stripped.startswith(b"\r\n"):
            self._state = "head"
            self._buffer = stripped[2:]
        else:
            raise WebError(400, "the form has no line end after a boundary")
        return True

    def _head(self, events: list[Event]) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0 or at > MAX_PART_HEAD:
            if len(self._buffer) > MAX_PART_HEAD:
                raise WebError(400, f"the header of a form's part is limited to {MAX_PART_HEAD:,} bytes")
            return False
        lines = bytes(self._buffer[:at]).decode("utf-8", "replace").split("\r\n")
        del self._buffer[: at + 4]
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        word, given = parameters(headers.get("content-disposition", ""))
        if word != "form-data" or "name" not in given:
            raise WebError(400, "a part of the form has no name")
        self.parts += 1
        if self.parts > MAX_FIELDS:
            raise TooLarge("a form", MAX_FIELDS, "parts")
        events.append(PartBegins(given["name"], given.get("filename"), headers.get("content-type", "text/plain")))
        self._state = "data"
        return True


class _Gatherer:
    """Events of a form to fields and files."""

    def __init__(self) -> None:
        self.form = Form()
        self._upload: Upload | None = None
        self._name = ""
        self._value = bytearray()
        self._total = 0

    def take(self, event: Event) -> None:
        match event:
            case PartBegins(name, None, _):
                self._upload, self._name, self._value = None, name, bytearray()
            case PartBegins(name, filename, type_):
                # Only the last part of the name counts: a client's folders are not ours.
                safe = (filename or "").replace("\\", "/").rpartition("/")[2].replace("\0", "")
                file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (closed with the form)
                self._upload = Upload(name, safe, type_, file)
                self.form.files.append(self._upload)
            case PartData(data) if self._upload is not None:
                self._upload.file.write(data)
                self._upload.size += len(data)
            case PartData(data):
                self._value += data
                self._total += len(data)
                if len(self._value) > MAX_FIELD:
                    raise TooLarge(f"the field {self._name[:40]!r}", MAX_FIELD)
                if self._total > MAX_FIELDS_TOTAL:
                    raise TooLarge("what a form holds beside its files", MAX_FIELDS_TOTAL)
            case PartEnds():
                if self._upload is not None:
                    self._upload.file.seek(0)
                else:
                    text = self._value.decode("utf-8", "replace")
                    self.form.fields.setdefault(self._name, []).append(text)


async def read_form(content_type: bytes, body: AsyncIterator[bytes]) -> Form:
    """Read a form as it arrives.

    Raises:
        WebError: 400 for a broken form, 413 for one over a limit, 415 for a body that is no form.
    """
    word, given = parameters(content_type.decode("latin-1"))
    if word == "application/x-www-form-urlencoded":
        return await _read_urlencoded(body)
    if word != "multipart/form-data" or "boundary" not in given:
        raise WebError(415, "a form is sent as application/x-www-form-urlencoded or multipart/form-data")
    parser, gatherer = Multipart(given["boundary"].encode("latin-1", "replace")), _Gatherer()
    with contextlib.ExitStack() as undo:
        undo.callback(gatherer.form.close)
        async for piece in body:
            for event in parser.receive(piece):
                gatherer.take(event)
        if not parser.complete:
            raise WebError(400, "the form ended before its last boundary")
        undo.pop_all()
    return gatherer.form


async def _read_urlencoded(body: AsyncIterator[bytes]) -> Form:
    data = bytearray()
    async for piece in body:
        data += piece
        if len(data) > MAX_FIELDS_TOTAL:
            raise TooLarge("a form without files", MAX_FIELDS_TOTAL)
    form = Form()
    try:
        pairs = parse_qsl(data.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise TooLarge("a form", MAX_FIELDS, "fields") from None
    for name, value in pairs:
        form.fields.setdefault(name, []).append(value)
    return form
