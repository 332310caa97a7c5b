"""How chunks are packed: zstd where there is one, else zlib. A file says which by number; numbers are for ever."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

try:  # Python 3.14 has it built in
    from compression import zstd as _zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    _zstd = None
try:
    import zstandard as _zstandard
except ImportError:
    _zstandard = None  # type: ignore[assignment, unused-ignore]

#: Packs one chunk.
Pack = Callable[[bytes], bytes]
#: Unpacks one; never returns more than so many bytes: ValueError instead.
Unpack = Callable[[bytes, int], bytes]

_ZLIB, _ZSTD = 1, 2
_damaged_chunk = "a chunk cannot be unpacked"


def _unpack_zlib(payload: bytes, most: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        data = engine.decompress(payload, most)
    except zlib.error as error:
        raise ValueError(f"{_damaged_chunk}: {error}") from error
    if not engine.eof:
        raise ValueError(f"{_damaged_chunk}: it is longer than {most} bytes, or cut")
    return data


def _with_zstandard(engine: Any) -> tuple[Pack, Unpack]:
    packer, unpacker = engine.ZstdCompressor(level=1), engine.ZstdDecompressor()

    def unpack(payload: bytes, most: int) -> bytes:
        try:
            # The size is named in each frame; max_output_size counts only where it is not.
            if engine.get_frame_parameters(payload).content_size > most:
                raise ValueError(f"{_damaged_chunk}: it is longer than {most} bytes")
            data: bytes = unpacker.decompress(payload, max_output_size=most)
        except engine.ZstdError as error:
            raise ValueError(f"{_damaged_chunk}: {error}") from error
        return data

    return packer.compress, unpack


def _with_builtin(engine: Any) -> tuple[Pack, Unpack]:
    def unpack(payload: bytes, most: int) -> bytes:
        unpacker = engine.ZstdDecompressor()
        try:
            data: bytes = unpacker.decompress(payload, most)
        except engine.ZstdError as error:
            raise ValueError(f"{_damaged_chunk}: {error}") from error
        if not unpacker.eof:
            raise ValueError(f"{_damaged_chunk}: it is longer than {most} bytes, or cut")
        return data

    return lambda raw: engine.compress(raw, level=1), unpack


#: By number: (pack, unpack). Level 1 packs faster than objects can be pickled; higher levels would hold that up.
CODECS: dict[int, tuple[Pack, Unpack]] = {_ZLIB: (lambda raw: zlib.compress(raw, 1), _unpack_zlib)}
if _zstd is not None:
    CODECS[_ZSTD] = _with_builtin(_zstd)
elif _zstandard is not None:
    CODECS[_ZSTD] = _with_zstandard(_zstandard)


def best() -> tuple[int, tuple[Pack, Unpack]]:
    """The codec to write with."""
    number = max(CODECS)
    return number, CODECS[number]
