"""Files of every released format load today. `python tests/golden/make.py` writes those of a new one."""

import sys
from pathlib import Path
from typing import Any

import pytest
import snapshot_things as things
from snapshot_things import Key

from midair.runtime.snapshot import loads
from midair.runtime.snapshot.container import FORMAT

GOLDEN = Path(__file__).parents[2] / "golden"
FORMATS = sorted(path.name for path in GOLDEN.glob("format-*"))


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest) -> Any:
    return lambda name: loads((GOLDEN / request.param / f"{name}.spl").read_bytes())


def test_this_format_has_its_files() -> None:
    assert f"format-{FORMAT}" in FORMATS


def test_values(golden: Any) -> None:
    assert golden("values") == [
        None, True, 2**70, 1.5, "ünï", b"b", bytearray(b"x"), 1j, range(3), ..., (1, [2, {"a": {3}}]), frozenset({4}),
    ]  # fmt: skip


def test_values_of_the_library(golden: Any) -> None:
    when, number, _, line, ordered, counter, table = golden("library")
    assert when.isoformat() == "2026-01-02T03:04:05+00:00"
    assert (str(number), list(line), line.maxlen, dict(ordered), counter["a"]) == ("1.5", [1], 3, {"b": 1}, 2)
    assert table[7] == []


def test_instances(golden: Any) -> None:
    back = golden("instances")
    assert back["cycle"].friend.friend is back["cycle"]
    assert back["slots"].hidden() == 7
    assert (back["dataclass"].y, back["attrs"].y) == ([2], [4])


def test_names(golden: Any) -> None:
    thing, inner, instance, function, greet, kind, builtin, slot, mode, module = golden("names")
    assert (thing, inner, function, builtin, slot, mode, module) == (
        things.Thing, things.Thing.Inner, things.a_function, len, str.upper, things.Mode.READ, sys,
    )  # fmt: skip
    assert (type(instance), greet(), kind()) == (things.Thing.Inner, "hello from ann", "Thing")


def test_keys(golden: Any) -> None:
    back = golden("keys")
    assert (back.table[Key("a")], back.table[Key("b"), 1]) == (1, 2)
    assert Key("c") in back.frozen


def test_own_reductions(golden: Any) -> None:
    caching, eager, error, bag, part = golden("own")
    assert (caching.value, eager.seen, error.limit, bag.limit, part()) == (5, "ann", 3, 10, 2)


def test_fresh_things(golden: Any) -> None:
    lock, loop_lock, event, line, loop_line = golden("fresh")
    assert (lock.locked(), loop_lock.locked(), event.is_set(), line.maxsize, loop_line.maxsize) == (
        False,
        False,
        False,
        5,
        2,
    )


def test_weak_references(golden: Any) -> None:
    ann, ref, values, members = golden("weak")
    assert ref() is ann
    assert values["a"] is ann
    assert list(members) == [ann.friend]


def test_deep_lists(golden: Any) -> None:
    assert things.depth_of(golden("deep")) == 2000


def test_a_whole_space(golden: Any) -> None:
    back = golden("space")
    assert back["keys"].table[Key("a")] == 1
    assert back["weak"][0].greet() == "hello from ann"
