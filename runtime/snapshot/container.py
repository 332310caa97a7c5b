"""The bytes of a `.spl` file.

    header     8 magic, 89 'SPL' 0D 0A 1A 0A | u16 format | u16 codec | u32 crc32 of the 12 bytes before
    chunk      u32 length | u32 crc32 of the payload | payload: at most 1 MiB of the stream, packed by the codec
               (repeated; a chunk of length 0 and crc 0 ends the stream)
    manifest   JSON, UTF-8
    footer     u64 offset of the manifest | u32 its length | u32 its crc32 | 32 sha256 of all before the footer
               | 32 hmac-sha256 of that sha256 under the writer's key, zeros without a key | 8 end mark

All numbers are little-endian. The manifest comes last, because the counts in it are known last and the stream is
written while it is made; a reader finds it from the end, without reading the stream. A file that lacks its last byte
has no end mark, so a file that is still being written is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from ..errors import SnapshotCorrupt, SnapshotTooNew
from .codecs import CODECS, best

MAGIC = b"\x89SPL\r\n\x1a\n"
END = b"\nSPLend\n"
#: The format this midair writes, and the newest that it reads.
FORMAT = 1
#: Most bytes of the stream in one chunk, before packing.
CHUNK = 1 << 20

_HEADER = struct.Struct("<8sHHI")
_CHUNK = struct.Struct("<II")
_FOOTER = struct.Struct("<QII32s32s8s")
# Packing may grow what cannot be packed; anything longer than this is no chunk of ours.
_LONGEST_PAYLOAD = CHUNK + (CHUNK >> 4)
_UNSIGNED = bytes(32)

Manifest = dict[str, Any]


class Writer:
    """Packs a stream into a `.spl`, chunk by chunk, as it is made.

    Args:
        sink: takes the bytes of the file, in order.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._codec, (self._pack, _) = best()
        self.begin()

    def begin(self) -> None:
        """Start a file; what was given before does not count."""
        self._hash = hashlib.sha256()
        self._waiting = bytearray()
        #: Bytes written to the file so far, and bytes of the stream before packing.
        self.size = self.raw = 0
        head = _HEADER.pack(MAGIC, FORMAT, self._codec, 0)[:-4]
        self._put(head + struct.pack("<I", zlib.crc32(head)))

    def write(self, data: bytes) -> int:
        """Take more of the stream."""
        self.raw += len(data)
        view = memoryview(data)
        if self._waiting:
            taken = CHUNK - len(self._waiting)
            self._waiting += view[:taken]
            view = view[taken:]
            if len(self._waiting) < CHUNK:
                return len(data)
            self._chunk(bytes(self._waiting))
            self._waiting.clear()
        while len(view) >= CHUNK:
            self._chunk(bytes(view[:CHUNK]))
            view = view[CHUNK:]
        self._waiting += view
        return len(data)

    def finish(self, manifest: Manifest, key: bytes | None) -> None:
        """Write what is left, the manifest and the footer, signed when there is a key."""
        if self._waiting:
            self._chunk(bytes(self._waiting))
        self._put(_CHUNK.pack(0, 0))
        # A folder's name may be no UTF-8; json.loads takes such bytes back as they are.
        at, text = self.size, json.dumps(manifest, ensure_ascii=False).encode(errors="surrogatepass")
        self._put(text)
        digest = self._hash.digest()
        self._sink(_FOOTER.pack(at, len(text), zlib.crc32(text), digest, _signature(digest, key), END))
        self.size += _FOOTER.size

    def _chunk(self, raw: bytes) -> None:
        payload = self._pack(raw)
        self._put(_CHUNK.pack(len(payload), zlib.crc32(payload)) + payload)

    def _put(self, data: bytes) -> None:
        self._hash.update(data)
        self._sink(data)
        self.size += len(data)


class Container:
    """A `.spl` to read: its header, manifest and footer are checked when it is opened, the rest by `verify`.

    Args:
        file: seekable.
        name: what errors call it.

    Raises:
        SnapshotCorrupt: not a whole `.spl`; says at which byte.
        SnapshotTooNew: a newer midair wrote it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.size = file.seek(0, io.SEEK_END)
        self.format, self._codec = self._header()
        end = self.size - _FOOTER.size
        if end < _HEADER.size + _CHUNK.size:
            raise self._damaged(self.size, "it ends before its footer")
        self._digest: bytes
        self._hmac: bytes
        self._at, length, crc, self._digest, self._hmac, mark = _FOOTER.unpack(self._read(end, _FOOTER.size))
        if mark != END:
            raise self._damaged(self.size - len(END), "no end mark: it was cut off, or is still being written")
        if self._at + length != end or self._at < _HEADER.size + _CHUNK.size:
            raise self._damaged(end, "the footer does not fit the file")
        text = self._read(self._at, length)
        if zlib.crc32(text) != crc:
            raise self._damaged(self._at, "the checksum of the manifest is wrong")
        try:
            self.manifest: Manifest = json.loads(text)
        except ValueError as error:
            raise self._damaged(self._at, f"the manifest is not JSON: {error}") from error

    def verify(self) -> None:
        """Check every byte against the checksums.

        Raises:
            SnapshotCorrupt: at the first byte that is known to be wrong.
        """
        end = self.size - _FOOTER.size
        seen, at = hashlib.sha256(), 0
        self._file.seek(0)
        while at < end and (data := self._file.read(min(CHUNK, end - at))):
            seen.update(data)
            at += len(data)
        if at == end and seen.digest() == self._digest:
            return
        with self.stream() as stream:
            while stream.read(CHUNK):
                continue
        raise self._damaged(0, "the checksum of the whole is wrong")

    def signed_by(self, key: bytes) -> bool:
        """Whether the signature is there and made with this key. Trust it after `verify` only."""
        return self.signed and hmac.compare_digest(self._hmac, _signature(self._digest, key))

    @property
    def signed(self) -> bool:
        return self._hmac != _UNSIGNED

    def stream(self) -> io.BufferedReader:
        """The unpacked stream, chunk by chunk, each checked before its first byte comes out."""
        return io.BufferedReader(_Stream(self), CHUNK)

    def chunk(self, at: int) -> tuple[bytes, int]:
        """The unpacked chunk at this offset and the offset of the next; b"" at the end of the stream."""
        length, crc = _CHUNK.unpack(self._read(at, _CHUNK.size))
        if length == 0:
            if crc or at + _CHUNK.size != self._at:
                raise self._damaged(at, "the stream ends early")
            return b"", at
        if length > _LONGEST_PAYLOAD or at + _CHUNK.size + length > self._at:
            raise self._damaged(at, f"a chunk of {length} bytes does not fit here")
        payload = self._read(at + _CHUNK.size, length)
        if zlib.crc32(payload) != crc:
            raise self._damaged(at, "the checksum of a chunk is wrong")
        try:
            return CODECS[self._codec][1](payload, CHUNK), at + _CHUNK.size + length
        except ValueError as error:
            raise self._damaged(at, str(error)) from error

    def _header(self) -> tuple[int, int]:
        data = self._read(0, min(_HEADER.size, self.size))
        if data[:8] != MAGIC[: len(data)] or not data:
            raise self._damaged(0, "it does not begin like a .spl")
        if len(data) < _HEADER.size:
            raise self._damaged(len(data), "it ends in its header")
        _, number, codec, crc = _HEADER.unpack(data)
        if zlib.crc32(data[:-4]) != crc:
            raise self._damaged(8, "the checksum of the header is wrong")
        if number > FORMAT:
            raise SnapshotTooNew(self.name, number, FORMAT)
        if codec not in CODECS:
            raise self._damaged(10, f"there is no codec {codec} here; install the package zstandard")
        return number, codec

    def _read(self, at: int, count: int) -> bytes:
        self._file.seek(at)
        data = self._file.read(count)
        if len(data) != count:
            raise self._damaged(at + len(data), "it ends too early")
        return data

    def _damaged(self, offset: int, problem: str) -> SnapshotCorrupt:
        return SnapshotCorrupt(self.name, offset, problem)


class _Stream(io.RawIOBase):
    def __init__(self, container: Container) -> None:
        self._container, self._next, self._rest = container, _HEADER.size, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            data, self._next = self._container.chunk(self._next)
            self._rest = memoryview(data)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _signature(digest: bytes, key: bytes | None) -> bytes:
    return hmac.digest(key, b"spl" + digest, "sha256") if key else _UNSIGNED
