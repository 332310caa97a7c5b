"""Finding, holding, tracing, editing live objects from a session."""

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from consoles import At, converse

from midair.console.tracing import Trace, traces
from midair.runtime import rebuild

ROOM = """class Room:
    def __init__(self, name):
        self.name = name

    def greet(self, who, *, loud=False):
        return f"welcome to {self.name}, {who}"


def outside():
    return "rain"
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a project, imported as a server would."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "room_of_a_test.py").write_text(ROOM)
    monkeypatch.syspath_prepend(str(folder))
    rebuild.record(folder)
    __import__("room_of_a_test")
    module = sys.modules["room_of_a_test"]
    yield module
    del sys.modules["room_of_a_test"]


def test_find_tells_the_instances_and_their_place_and_refs_who_holds_them(tmp_path: Path, room: ModuleType) -> None:
    def scenario(at: At) -> None:
        at.server.space["rooms"] = {"hall": room.Room("hall")}
        at.server.space["room"] = room
        loose = room.Room("loose")
        json = at.json()
        found = json.ask(id=1, code="from room_of_a_test import Room; find(Room)")["data"]
        places = {row["where"] for row in found}
        assert places == {"space['rooms']['hall']", "not in the space"}
        assert json.ask(id=2, code="find('room_of_a_test.Room')[:1][0]['object'].name")["result"] in {
            "'hall'",
            "'loose'",
        }
        held = json.ask(id=3, code="refs(space['rooms']['hall'])")["data"]
        assert {"held by": "dict of 1", "as": "['hall']"} in held
        assert loose.name == "loose"

    converse(tmp_path, scenario)


def test_trace_shows_the_next_calls_whoever_makes_them(tmp_path: Path, room: ModuleType) -> None:
    def scenario(at: At) -> None:
        hall = room.Room("hall")
        held = hall.greet
        one = at.nc()
        one.prompt()
        one.line("from room_of_a_test import Room; trace(Room.greet, times=2)")
        one.until("the next 2 calls of Room.greet are shown here")
        assert held("anna") == "welcome to hall, anna"
        one.until("'anna')")
        one.until("Room.greet -> 'welcome to hall, anna'")
        assert held("bob", loud=True) == "welcome to hall, bob"
        one.until("'bob', loud=True)")
        one.until("bob'")
        assert traces == {}
        assert held("eve") == "welcome to hall, eve"
        one.line("trace(len)")
        one.until("only functions and methods written in Python can be traced")

    converse(tmp_path, scenario)


def test_a_traced_function_keeps_its_defaults_its_closure_and_its_errors() -> None:
    told: list[str] = []

    def make(step: int) -> Any:
        def count(n: int = 3, *, times: int = 2) -> int:
            if n < 0:
                raise ValueError("negative")
            return n * times + step

        return count

    one, other = make(1), make(10)
    trace = Trace(one, 5, told.append)
    assert (one(), one(4, times=1), other()) == (7, 5, 16)
    with pytest.raises(ValueError, match="negative"):
        one(-1)
    trace.end()
    assert one() == 7
    assert told[0].endswith("count()")
    assert told[1].endswith("count -> 7")
    assert told[-1].endswith("count raised ValueError")
    assert len(told) == 6


async def test_a_traced_coroutine_function_is_told_with_its_result() -> None:
    told: list[str] = []

    async def fetch(n: int) -> int:
        return n + 1

    Trace(fetch, 1, told.append)
    assert await fetch(1) == 2
    assert await fetch(2) == 3
    assert [line.rpartition(".")[2] for line in told] == ["fetch(1)", "fetch -> 2"]


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editor that asks what to replace, on its terminal, and shows what it was given."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import os, sys\n"
        "path = sys.argv[-1]\n"
        "text = open(path).read()\n"
        "print('SIZE', *os.get_terminal_size())\n"
        "print('GIVEN', text.splitlines()[0])\n"
        "old = input('replace: ')\n"
        "if old:\n"
        "    new = input('by: ')\n"
        "    open(path, 'w').write(text.replace(old, new))\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    return script


def test_edit_opens_the_source_in_an_editor_and_the_live_object_follows(
    tmp_path: Path, room: ModuleType, editor: Path
) -> None:
    hall = room.Room("hall")

    def scenario(at: At) -> None:
        one = at.attach(columns=91, rows=33)
        one.prompt()
        one.line("from room_of_a_test import Room; edit(Room.greet)")
        one.until("SIZE 91 33")
        one.until("GIVEN     def greet(self")
        one.until("replace: ")
        one.line("welcome to")
        one.until("by: ")
        one.line("good day at")
        one.until("edit ")
        one.prompt()
        assert hall.greet("anna") == "good day at hall, anna"
        assert "good day at" in Path(str(room.__file__)).read_text()
        assert "def outside" in Path(str(room.__file__)).read_text()
        # A refused edit comes back with its error, and changes nothing.
        one.line("edit(Room.greet)")
        one.until("replace: ")
        one.line("return f")
        one.until("by: ")
        one.line("return (f")
        one.until("GIVEN # midair: refused, nothing was changed")
        one.until("replace: ")
        one.line("")
        one.until("given up; nothing changed")
        assert hall.greet("anna") == "good day at hall, anna"
        assert "return (f" not in Path(str(room.__file__)).read_text()

    converse(tmp_path, scenario)


def test_an_editor_ends_with_its_person_and_needs_a_terminal(tmp_path: Path, room: ModuleType, editor: Path) -> None:
    def scenario(at: At) -> None:
        line = at.nc()
        line.prompt()
        line.line("import room_of_a_test as r; edit(r.outside)")
        line.until("this needs a terminal")
        one = at.attach()
        one.prompt()
        one.line("import room_of_a_test as r; edit(r.outside)")
        one.until("replace: ")
        one.close()
        while len(at.console.sessions) > 1:
            time.sleep(0.005)
        assert at.script("6 * 7").out == "42\n"

    converse(tmp_path, scenario)
    assert room.outside() == "rain"


def test_what_was_typed_at_a_prompt_can_be_saved_to_a_file(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        target = tmp_path / "fix.py"
        at.script("def repair(n):\n    return n + 1\n")
        at.script(f"class Tool:\n    def use(self):\n        return 'used'\n\nsave(repair, {str(target)!r})")
        assert "3 lines" in at.script(f"save(Tool, {str(target)!r})").out
        space: dict[str, Any] = {}
        exec(target.read_text(), space)
        assert (space["repair"](1), space["Tool"]().use()) == (2, "used")

    converse(tmp_path, scenario)


def test_top_shows_the_server_and_leaves_cleanly(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach(columns=60, rows=20)
        one.prompt()
        one.line("top")
        one.until("q leaves")
        one.until("sessions 1")
        one.send("q")
        one.prompt()
        assert b"\x1b[?1049l" in one.raw
        one.line("6 * 7")
        one.until("42")
        assert "this needs a terminal" in at.command("top").err

    converse(tmp_path, scenario)


def test_top_works_while_the_loop_is_stuck(tmp_path: Path) -> None:
    import threading

    entered, leave = threading.Event(), threading.Event()

    def stuck() -> None:
        entered.set()
        leave.wait()

    def scenario(at: At) -> None:
        one = at.attach()
        one.prompt()
        at.server.loop.call_soon_threadsafe(stuck)
        entered.wait()
        one.line("top()")
        one.until("STUCK")
        one.send("q")
        one.prompt()
        leave.set()

    converse(tmp_path, scenario)


def test_pm_looks_into_the_frames_of_the_last_error_while_the_server_goes_on(tmp_path: Path, room: ModuleType) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        assert "no error to look at" in json.ask(id=1, code="pm()")["error"]
        json.ask(id=2, code="import room_of_a_test as r\ndef shout(room):\n    volume = 11\n    return room.greet()\n")
        assert "TypeError" in json.ask(id=3, code="hall = r.Room('hall')\nshout(hall)")["error"]
        *frames, last = json.ask(id=4, code="pm")["data"]
        assert [(f["frame"], f["in"], f["line"]) for f in frames] == [
            (0, "<module>", "shout(hall)"),
            (1, "shout", "return room.greet()"),
        ]
        assert "missing 1 required positional argument" in last["line"]
        assert {"name": "volume", "is": "11"} in json.ask(id=5, code="pm(1)")["data"]
        assert json.ask(id=6, code="pm(1, 'room.name * 2, volume')")["result"] == "('hallhall', 11)"
        assert "there is no frame 2" in json.ask(id=7, code="pm(2)")["error"]
        # Somebody else has errors of their own.
        assert "no error to look at" in at.json().ask(id=1, code="pm()")["error"]

    converse(tmp_path, scenario)


def test_a_mistake_in_looking_at_an_error_does_not_take_its_place(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.until(">>> ")
        one.line("def half(n): return n / 0")
        one.line("")
        one.line("half(3)")
        one.until("ZeroDivisionError")
        for wrong, answer in (
            ("pm(7)", "there is no frame 7"),
            ("pm(1, 'm + 1')", "m + 1 in frame 1: NameError: name 'm'"),
        ):
            one.line(wrong)
            assert "commands/" not in one.until(answer)
        one.line("pm(1, 'n + 1')")
        one.until(">>> 4\n")

    converse(tmp_path, scenario)


def test_a_part_of_the_space_or_any_object_is_shown_as_a_tree(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.server.space["chat"] = {"rooms": {"hall": [1, 2]}}
        for asked in ("tree('chat[\\'rooms\\']')", "tree(chat['rooms'])"):
            shown = at.script(asked).out
            assert "['hall']  list of 2" in shown, shown
        assert at.script("tree").out == at.script("space").out

    converse(tmp_path, scenario)
