"""Classes and functions that are gone: their objects wait, are saved as they were, and heal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snapshot_versions import game, no_game

from midair.runtime import snapshot
from midair.runtime.snapshot import dumps, heal, loads
from midair.runtime.space import Space

SOURCE = """
import collections, enum
from dataclasses import dataclass

class Sword:
    __schema__ = 1
    def __init__(self): self.damage, self.owner, self.back = 5, "ann", None
    def hit(self): return self.damage
    class Gem:
        def __init__(self): self.carat = 2

class Slotted:
    __slots__ = ("x",)
    def __init__(self): self.x = 1

class Own:
    def __init__(self, x): self.x = x
    def __reduce__(self): return make, (self.x,), {"y": 2}

def make(x): return Own(x)

class Mode(enum.Enum):
    ON = 1

class Bag(dict): pass

@dataclass(frozen=True)
class Key:
    name: str

class State:
    def __getstate__(self): return ("mine", 7)
    def __setstate__(self, state): self.state = state

def everything():
    sword = Sword()
    sword.back = [sword]
    bag = Bag(a=sword)
    bag.label = "b"
    return {"sword": sword, "gem": Sword.Gem(), "slotted": Slotted(), "own": Own(4), "mode": Mode.ON, "bag": bag,
            "key": {Key("k"): sword}, "class": Sword, "function": make, "state": State(), "method": sword.hit}
"""


@pytest.fixture(autouse=True)
def _versions() -> Iterator[None]:
    with no_game():
        yield


def lost() -> Any:
    data = dumps(game(SOURCE).everything())
    game("")
    return loads(data)


def check_whole(back: Any) -> None:
    assert back["sword"].hit() == 5
    assert back["sword"].back[0] is back["sword"]
    assert back["gem"].carat == 2
    assert back["slotted"].x == 1
    assert (back["own"].x, back["own"].y) == (4, 2)
    assert back["mode"].name == "ON"
    assert (back["bag"]["a"], back["bag"].label) == (back["sword"], "b")
    assert [(key.name, value) for key, value in back["key"].items()] == [("k", back["sword"])]
    assert isinstance(back["sword"], back["class"])
    assert back["function"](3).x == 3
    assert back["state"].state == ("mine", 7)
    assert back["method"]() == 5


def test_a_stand_in_shows_its_state_and_says_what_is_missing() -> None:
    back = lost()
    assert (back["sword"].damage, back["sword"].owner) == (5, "ann")
    assert back["sword"].back[0] is back["sword"]
    assert repr(back["sword"]) == "<stand-in for game:Sword>"
    with pytest.raises(
        AttributeError,
        match="game:Sword is not in the code any more; this stand-in keeps only its state, which has no 'hit'",
    ):
        back["sword"].hit()
    with pytest.raises(LookupError, match="game:make is not in the code any more"):
        back["function"](1)


def test_stand_ins_are_saved_as_what_they_stand_for() -> None:
    """Twice, so that a stand-in of a stand-in is none either."""
    data = dumps(loads(dumps(lost())))
    game(SOURCE)
    check_whole(loads(data))


def test_a_stand_in_keeps_the_schema_of_its_state() -> None:
    data = dumps(lost())
    game(
        SOURCE.replace(
            "__schema__ = 1",
            "__schema__ = 3\n    def __upgrade__(self, schema, state): self.seen = schema, state['damage']",
        )
    )
    assert loads(data)["sword"].seen == (1, 5)


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    space = Space()
    make = game(SOURCE).Sword
    space["swords"] = [make() for _ in range(3)]
    space.save(tmp_path / "app.spl")
    game("")
    loaded = snapshot.resume(tmp_path / "app.spl")
    assert loaded.lost == {"game:Sword": 3}


def test_stand_ins_heal_when_their_class_is_there_again() -> None:
    back = lost()
    sword = back["sword"]
    game(SOURCE)
    report = heal()
    assert report.healed >= 4
    assert sword.hit() == 5
    assert sword.back[0] is sword
    assert back["gem"].carat == 2
    assert back["state"].state == ("mine", 7)


def test_healing_upgrades_and_resumes() -> None:
    back = lost()
    game(SOURCE.replace(
        "__schema__ = 1",
        "__schema__ = 2\n    def __upgrade__(self, schema, state): self.seen = schema\n    def __resume__(self, space): self.space = space",
    ))  # fmt: skip
    heal(space="the space")
    assert (back["sword"].seen, back["sword"].space) == (1, "the space")


def test_what_cannot_change_its_class_in_place_waits_for_the_next_load() -> None:
    back = lost()
    game(SOURCE)
    report = heal()
    assert "game:Slotted" in report.waiting
    check_whole(loads(dumps(back)))
