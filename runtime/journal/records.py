"""The bytes of a journal: pure, no I/O.

    file      8 magic, 89 'JRN' 0D 0A 1A 0A | u16 format | 16 uuid of the space | u64 number of its first record | u32 crc32
    record    u32 length | u32 crc32 of all after this | u64 number | u64 confirmed | payload (MessagePack)

Numbers go up by one from record to record, over all files of a space. `confirmed` is the number up to which records
were on disk when this one was written. So when a record is damaged and a later one confirms it, something was lost that
somebody had been promised; when none does, it is the end of a write that a crash cut off.

A payload is [CALL, service, method, arguments, named arguments, time, seed] or [EDIT, {module: source}].
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]  # it has no stubs

from ..errors import MidairError

FORMAT = 1
CALL, EDIT = range(2)
MAGIC = b"\x89JRN\r\n\x1a\n"

_FILE = struct.Struct("<8sH16sQI")
_RECORD = struct.Struct("<IIQQ")
HEADER = _FILE.size
# A call that is longer is refused before it takes effect; a length beyond it in a file is damage.
LONGEST = 16 << 20

_TUPLE, _SET, _FROZENSET, _BIG = range(1, 5)


class JournalError(MidairError):
    """A journaled call could not be confirmed, or a journal cannot be replayed."""


class JournalCorrupt(JournalError):
    """A journal is damaged where it had confirmed."""

    def __init__(self, file: str, offset: int, number: int, problem: str) -> None:
        super().__init__(file, offset, number, problem)
        self.file, self.offset, self.number, self.problem = file, offset, number, problem

    def __str__(self) -> str:
        return (
            f"{self.file} is damaged at byte {self.offset}, record {self.number}: {self.problem}; nothing was replayed"
        )


@dataclass(frozen=True)
class Record:
    """One record and where it is."""

    number: int
    confirmed: int
    payload: bytes
    offset: int
    end: int


def file_header(uuid: str, first: int) -> bytes:
    """What a new file begins with."""
    head = _FILE.pack(MAGIC, FORMAT, UUID(uuid).bytes, first, 0)[:-4]
    return head + struct.pack("<I", zlib.crc32(head))


def read_header(data: bytes) -> tuple[str, int] | None:
    """The space and the first record of a file; None when the header is not whole.

    Raises:
        JournalError: a newer midair wrote it.
    """
    if len(data) < HEADER:
        return None
    magic, number, uuid, first, crc = _FILE.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[: HEADER - 4]) != crc:
        return None
    if number > FORMAT:
        raise JournalError(
            f"a journal has format {number}; this midair reads up to format {FORMAT}: install the newer one"
        )
    return str(UUID(bytes=uuid)), first


def pack_record(number: int, confirmed: int, payload: bytes) -> bytes:
    rest = struct.pack("<QQ", number, confirmed) + payload
    return struct.pack("<II", len(payload), zlib.crc32(rest)) + rest


def records(data: bytes, at: int = HEADER) -> Iterator[Record]:
    """The records from an offset on, up to the first that is not whole."""
    while (record := record_at(data, at)) is not None:
        yield record
        at = record.end


def record_at(data: bytes, at: int) -> Record | None:
    """The record at this offset; None when there is none, or it is damaged."""
    if at + _RECORD.size > len(data):
        return None
    length, crc, number, confirmed = _RECORD.unpack_from(data, at)
    end = at + _RECORD.size + length
    if length > LONGEST or end > len(data) or zlib.crc32(data[at + 8 : end]) != crc:
        return None
    return Record(number, confirmed, data[at + _RECORD.size : end], at, end)


def confirmed_after(data: bytes, at: int) -> int:
    """The highest number that some whole record after this offset confirms; 0 when there is none."""
    highest = 0
    while at + _RECORD.size <= len(data):
        record = record_at(data, at)
        if record is None:
            at += 1
        else:
            highest, at = max(highest, record.confirmed), record.end
    return highest


# --- plain values


def pack(value: Any) -> bytes:
    """Plain values as bytes: None, numbers, text, bytes, and lists, tuples, dicts and sets of them.

    A bytearray comes back as bytes.

    Raises:
        TypeError: there is something else in it.
    """
    data: Any = msgpack.packb(value, default=_extend, strict_types=True, unicode_errors="surrogatepass")
    return bytes(data)


def unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, ext_hook=_unextend, strict_map_key=False, unicode_errors="surrogatepass")


def _extend(value: Any) -> Any:
    match value:
        case tuple() if type(value) is tuple:
            return msgpack.ExtType(_TUPLE, pack(list(value)))
        case set() | frozenset() if type(value) in (set, frozenset):
            return msgpack.ExtType(_SET if type(value) is set else _FROZENSET, pack(list(value)))
        case int() if type(value) is int:  # one beyond 64 bits
            return msgpack.ExtType(_BIG, str(value).encode())
        case _:
            raise TypeError(f"a {type(value).__qualname__} is no plain value")


def _unextend(code: int, data: bytes) -> Any:
    match code:
        case 1:
            return tuple(unpack(data))
        case 2:
            return set(unpack(data))
        case 3:
            return frozenset(unpack(data))
        case 4:
            return int(data)
        case _:
            raise JournalError(f"a journal holds a value of kind {code}, which this midair does not know")
