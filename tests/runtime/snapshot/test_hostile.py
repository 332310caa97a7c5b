"""Files that somebody made to do harm: nothing of them runs."""

import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest

from midair.runtime import snapshot
from midair.runtime.errors import MidairError, SnapshotError
from midair.runtime.snapshot import loads
from midair.runtime.snapshot.container import Writer

ran: list[str] = []


def touch() -> None:
    ran.append("touch")


class Gadget:
    """A class that the manifest names."""


def spl(stream: bytes, **named: Any) -> bytes:
    """A whole file, its checksums right, around any stream."""
    written: list[bytes] = []
    writer = Writer(written.append)
    writer.write(stream)
    writer.finish(
        {
            "objects": 0,
            "classes": {},
            "functions": [],
            "modules": [],
            "time": 0.0,
            "generation": 1,
            "uuid": "",
            **named,
        },
        None,
    )
    return b"".join(written)


PRE = pickle.dumps([], 2)


@pytest.mark.parametrize("stream", [
    b"cos\nsystem\n(S'echo'\ntR.",
    b"cposix\nsystem\n(S'echo'\ntR.",
    b"cbuiltins\neval\n(S'1'\ntR.",
    b"cbuiltins\ngetattr\n(cos\n__dict__\nS'x'\ntR.",
    b"ctest_hostile\ntouch\n)R.",
    b"(S'echo'\nios\nsystem\n.",
    b"\x80\x04\x8c\x04game\x8c\x09os.system\x93.",
    b"cmidair.runtime.snapshot.parts\nthreading.os.system\n(S'echo'\ntR.",
    b"cmidair.runtime.snapshot.parts\nimportlib\n.",
    b"cmidair.runtime.snapshot.parts\nfind\n(S'os'\nS'system'\ntR.",
    b"cmidair.runtime.snapshot.parts\nmodule\n(S'os'\ntR.",
    b"\x80\x02(U\x04nameU\x02osU\x06systemtQ.",
    b"cos\nsystem\n" + PRE,
    b"]" * 1_000_000 + b"a" * 999_999 + b".",
    b"(lp0\n(g0\ntp1\nag1\n.",
    b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\x00\x00.",
], ids=lambda stream: repr(stream[:40]))  # fmt: skip
def test_a_stream_gets_at_nothing_that_its_manifest_does_not_name(stream: bytes) -> None:
    with pytest.raises(SnapshotError):
        loads(spl(PRE + stream))
    assert ran == []


def test_a_dotted_name_does_not_walk_through_attributes() -> None:
    named = {"functions": ["logging:os.system"]}
    with pytest.raises(MidairError):
        loads(spl(PRE + b"\x80\x04\x8c\x07logging\x8c\x09os.system\x93\x8c\x04echo\x85R.", **named))


def test_a_function_that_is_listed_as_a_class_is_none() -> None:
    named = {"functions": ["os:system.nothing"], "classes": {"os:system": {"count": 1, "mro": []}}}
    gone = loads(spl(PRE + b"(cos\nsystem\n(S'echo'\ntRt." + b").", **named))
    assert repr(gone) == "<stand-in for os:system>"


def test_random_bytes_with_right_checksums_end_in_an_error_of_ours() -> None:
    dice = random.Random(6)
    good = snapshot.dumps([{"a": [1, (2, 3)]}, Gadget()])
    stream = snapshot.container.Container(io.BytesIO(good), "x").stream().read()
    manifest = snapshot.container.Container(io.BytesIO(good), "x").manifest
    for _ in range(300):
        damaged = bytearray(stream)
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            loads(spl(bytes(damaged), **manifest))
        except MidairError:
            continue
    assert ran == []


def test_a_manifest_that_lacks_what_it_must_say_is_refused() -> None:
    written: list[bytes] = []
    writer = Writer(written.append)
    writer.write(PRE)
    writer.finish({"generation": 1}, None)
    with pytest.raises(SnapshotError):
        loads(b"".join(written))


def test_the_damaged_and_the_strange_are_told_apart(tmp_path: Path) -> None:
    """A file whose checksums are right but whose stream no midair wrote is not renamed: it is not damaged."""
    path = tmp_path / "app.spl"
    path.write_bytes(spl(PRE + b"cos\nsystem\n(S'echo'\ntR."))
    path.chmod(0o600)
    with pytest.raises(SnapshotError, match="os:system, which its manifest does not list"):
        snapshot.load(path)
    assert os.listdir(tmp_path) == ["app.spl"]
