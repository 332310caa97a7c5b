"""`with undo:`: what a statement changed in the space can be put back."""

import sys
from collections import OrderedDict, deque
from pathlib import Path
from types import ModuleType

import pytest
from consoles import At, converse

from midair.console.changes import Block, Watched
from midair.runtime.rebuild import edits
from midair.runtime.space import Space

THINGS = """
class Hall:
    __transient__ = ("cache",)

    def __init__(self):
        self.name, self.cache = "hall", 0

    @property
    def loud(self):
        raise AssertionError("looked at")


class Door:
    __slots__ = ("open", "wall")

    def __init__(self):
        self.open = False
"""


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("things_of_undo")
    exec(THINGS, module.__dict__)
    monkeypatch.setitem(sys.modules, "things_of_undo", module)
    return module


def test_what_a_block_changed_is_put_back_by_undo(tmp_path: Path, things: ModuleType) -> None:
    def scenario(at: At) -> None:
        at.server.space["hall"], at.server.space["items"] = things.Hall(), [1, 2]
        one = at.nc()
        one.prompt()
        one.send("with undo:\n    hall.name = 'barn'; items[:] = []; space['new'] = 1\n\n")
        one.until("undo() puts back space['new'], Hall.name, list")
        one.prompt()
        one.line("hall.name, items, len(space)")
        one.until("('barn', [], 3)")
        touched = at.server.touched
        one.line("undo()")
        one.until("put back what ")
        one.prompt()
        one.line("hall.name, items, len(space)")
        one.until("('hall', [1, 2], 2)")
        assert at.server.touched > touched, "so that the next snapshot has it"

    converse(tmp_path, scenario)


def test_a_block_that_fails_or_is_interrupted_changes_nothing(tmp_path: Path, things: ModuleType) -> None:
    def scenario(at: At) -> None:
        hall = at.server.space["hall"] = things.Hall()
        failed = at.script("with undo:\n    hall.name = 'barn'\n    1 / 0\n")
        assert "put back, because it failed: Hall.name" in failed.err
        assert "ZeroDivisionError" in failed.err
        assert hall.name == "hall"
        assert "LimitReached" in at.script("with undo:\n    hall.name = 'barn'\n    while True: pass\n").err
        assert hall.name == "hall"
        waited = at.script("import asyncio\nwith undo:\n    hall.name = 'barn'\n    await asyncio.sleep(0)\n")
        assert "no await in 'with undo:'" in waited.err
        assert hall.name == "hall"
        assert "RebuildError" in at.script("undo()").err, "nothing is kept of what was put back"
        assert "'with undo:' is the one command" in at.script("with who: pass").err

    converse(tmp_path, scenario, limit=0.2)


def test_nothing_to_undo_is_one_sentence_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "history", edits.History())

    def scenario(at: At) -> None:
        said = at.command("undo")
        assert (said.status, said.err) == (1, "midair: there is no edit to undo since this start\n")
        assert at.script("undo()").err == "RebuildError: there is no edit to undo since this start\n"

    converse(tmp_path, scenario)


def test_every_kind_of_thing_is_watched_and_none_of_its_code_runs(things: ModuleType) -> None:
    space = Space()
    hall, door = things.Hall(), things.Door()
    door.wall = space["mixed"] = OrderedDict(a=1, hall=(hall, door))
    space["others"] = [{1, 2}, deque([1]), bytearray(b"ab"), space]
    watched = Watched(space)
    hall.cache = 7
    assert watched.changes() == [], "what a snapshot leaves out is not watched"
    hall.name, hall.age = "barn", 3
    door.open = True
    del door.wall
    space["mixed"]["a"] = 2
    others = space["others"]
    others[0].add(3)
    others[1].append(2)
    others[2] += b"c"
    del space["others"]
    block = Block("anna", changes=watched.changes())
    assert block.put_back() == []
    assert (hall.name, hasattr(hall, "age"), hall.cache) == ("hall", False, 7)
    assert (door.open, door.wall is space["mixed"]) == (False, True)
    assert (space["mixed"]["a"], space["others"]) == (1, others)
    assert others[:3] == [{1, 2}, deque([1]), bytearray(b"ab")]


def test_what_was_changed_again_since_stays_and_is_named(things: ModuleType) -> None:
    space = Space()
    hall = space["hall"] = things.Hall()
    space["count"] = 1
    watched = Watched(space)
    hall.name, space["count"] = "barn", 2
    block = Block("anna", changes=watched.changes())
    hall.name = "shed"
    assert block.put_back() == ["Hall.name"]
    assert (hall.name, space["count"]) == ("shed", 1)


def test_a_space_too_large_to_watch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from midair.console import changes
    from midair.runtime.errors import ConsoleError

    monkeypatch.setattr(changes, "MAX_PARTS", 10)
    space = Space()
    space["many"] = [[] for _ in range(20)]
    with pytest.raises(ConsoleError, match="more than 10 objects, too many to watch"):
        Watched(space)
