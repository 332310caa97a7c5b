"""The bytes of a `.spl`: whole or noticed."""

import io
import random
import struct
import zlib
from typing import Any

import pytest

from midair.runtime.errors import SnapshotCorrupt, SnapshotTooNew
from midair.runtime.snapshot.container import CHUNK, FORMAT, MAGIC, Container, Writer

STREAM = random.Random(5).randbytes(2 * CHUNK + 12345)


def file_of(stream: bytes, key: bytes | None = None, **manifest: Any) -> bytes:
    written: list[bytes] = []
    writer = Writer(written.append)
    for at in range(0, len(stream), 300_000):
        writer.write(stream[at : at + 300_000])
    writer.finish(manifest, key)
    assert writer.size == sum(map(len, written))
    assert writer.raw == len(stream)
    return b"".join(written)


def opened(data: bytes) -> Container:
    return Container(io.BytesIO(data), "a.spl")


def chunk_borders(data: bytes) -> list[int]:
    borders, at = [16], 16
    while length := struct.unpack_from("<I", data, at)[0]:
        at += 8 + length
        borders.append(at)
    return [*borders, at + 8]


def test_what_goes_in_comes_out() -> None:
    container = opened(file_of(STREAM, generation=7, text="ü"))
    container.verify()
    assert container.manifest == {"generation": 7, "text": "ü"}
    assert container.stream().read() == STREAM


def test_an_empty_stream_is_a_whole_file() -> None:
    container = opened(file_of(b""))
    container.verify()
    assert container.stream().read() == b""


def test_the_first_bytes_are_those_that_the_format_names() -> None:
    data = file_of(b"x")
    assert data[:12] == b"\x89SPL\r\n\x1a\n" + struct.pack("<H", FORMAT) + data[10:12]
    assert struct.unpack_from("<I", data, 12)[0] == zlib.crc32(data[:12])
    assert data.endswith(b"\nSPLend\n")


def test_a_file_cut_at_every_chunk_border_and_500_other_lengths_is_refused() -> None:
    data, dice = file_of(STREAM, generation=1), random.Random(3)
    cuts = {border + by for border in chunk_borders(data) for by in (-1, 0, 1)}
    cuts |= {dice.randrange(len(data)) for _ in range(500)} | set(range(40)) | {len(data) - by for by in range(1, 120)}
    for length in cuts:
        with pytest.raises(SnapshotCorrupt):
            opened(data[:length]).verify()


def test_every_flipped_bit_of_header_and_footer_and_500_others_are_noticed() -> None:
    data, dice = file_of(STREAM[:200_000], key=b"k" * 32, generation=1), random.Random(4)
    places = [*range(16 * 8), *range((len(data) - 96) * 8, len(data) * 8)]
    places += [dice.randrange(len(data) * 8) for _ in range(500)]
    unnoticed = []
    for place in places:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        try:
            container = opened(bytes(damaged))
            container.verify()
        except (SnapshotCorrupt, SnapshotTooNew):
            continue
        if container.signed_by(b"k" * 32):
            unnoticed.append(place)
    assert unnoticed == []


def test_a_zeroed_page_is_noticed_and_its_place_named() -> None:
    data = bytearray(file_of(STREAM))
    data[CHUNK + 4096 : CHUNK + 8192] = bytes(4096)
    with pytest.raises(SnapshotCorrupt, match="checksum of a chunk") as caught:
        opened(bytes(data)).verify()
    assert (
        caught.value.offset
        == chunk_borders(file_of(STREAM))[1 if chunk_borders(file_of(STREAM))[1] < CHUNK + 4096 else 0]
    )


def test_a_newer_format_is_refused_with_both_numbers() -> None:
    data = bytearray(file_of(b"x"))
    data[8:10] = struct.pack("<H", FORMAT + 1)
    data[12:16] = struct.pack("<I", zlib.crc32(data[:12]))
    with pytest.raises(SnapshotTooNew, match=f"format {FORMAT + 1}.*up to format {FORMAT}"):
        opened(bytes(data))


@pytest.mark.parametrize("data", [b"", b"x", MAGIC, MAGIC + b"\x01\x00", b"\x80\x05K\x01.", bytes(4096)])
def test_what_is_no_snapshot_is_refused_calmly(data: bytes) -> None:
    with pytest.raises(SnapshotCorrupt):
        opened(data)


def test_a_chunk_that_would_unpack_to_more_than_a_chunk_is_refused() -> None:
    import zstandard

    payload = zstandard.ZstdCompressor().compress(bytes(50 * CHUNK))
    data = file_of(b"")
    bomb = data[:16] + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload + data[16:]
    moved = struct.unpack_from("<Q", bomb, len(bomb) - 88)[0] + 8 + len(payload)
    bomb = bomb[:-88] + struct.pack("<Q", moved) + bomb[-80:]
    with pytest.raises(SnapshotCorrupt, match="longer than"):
        opened(bomb).stream().read()


def test_the_signature_is_of_this_key_and_no_other() -> None:
    container = opened(file_of(b"x", key=b"k" * 32))
    assert container.signed
    assert container.signed_by(b"k" * 32)
    assert not container.signed_by(b"j" * 32)
    assert not opened(file_of(b"x")).signed
    assert not opened(file_of(b"x")).signed_by(b"k" * 32)
