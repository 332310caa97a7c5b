"""What a person reads: the report in 80 columns and 24 lines, the log line, the dict."""

import json
import re

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import edits
from midair.runtime.rebuild.errors import near
from midair.runtime.rebuild.report import Note, Report, Straggler

GOLDEN = """\
edit 12 at HH:MM:SS by anna: world.py, rooms.py, 1.2 ms
changed:
  changed game.world.Room.enter                          /srv/game/world.py:40
  added game.world.exits                                 /srv/game/world.py:61
  merged game.rooms.TABLE                                 /srv/game/rooms.py:3
kept:
  game.rooms.URL: PORT changed, but it was set at run time  /srv/game/rooms.py:9
still in old code:
  task chat: Room.serve                                  /srv/game/world.py:80
3 instances upgraded, 0 moved to a new layout
1,021,628 objects scanned in 72.0 ms: serve is also held elsewhere"""


def sample(**more):
    return Report(
        number=12,
        time=0.0,
        who="anna",
        files=["/srv/game/world.py", "/srv/game/rooms.py"],
        changes=[
            Note("changed", "game.world.Room.enter", "/srv/game/world.py", 40),
            Note("added", "game.world.exits", "/srv/game/world.py", 61),
            Note("merged", "game.rooms.TABLE", "/srv/game/rooms.py", 3),
        ],
        kept=[Note("kept", "game.rooms.URL", "/srv/game/rooms.py", 9, "PORT changed, but it was set at run time")],
        stragglers=[Straggler("task", "chat", "Room.serve", "/srv/game/world.py", 80)],
        upgraded=3,
        pause_ms=1.23,
        scanned=1_021_628,
        scan_ms=72.0,
        scan_reason="serve is also held elsewhere",
        **more,
    )


def shown(report):
    return [re.sub(r" {2,}", "  ", re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", line)) for line in str(report).splitlines()]


def test_the_report_reads_as_it_should():
    assert shown(sample()) == [re.sub(r"(?<=\S) {2,}", "  ", line) for line in GOLDEN.splitlines()]
    assert all(len(line) <= 80 for line in str(sample()).splitlines())


def test_a_large_report_fits_a_terminal_and_says_what_it_leaves_out():
    many = [
        Note("changed", f"package.module.Class{i}.method", f"/a/very/long/path/to/a/project/package/module{i}.py", i)
        for i in range(90)
    ]
    report = sample()
    report.changes, report.kept = many, many[:40]
    lines = str(report).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert any("and 8" in line and "more" in line for line in lines)


@pytest.mark.parametrize("refused", [False, True])
def test_whatever_a_report_holds_it_fits_a_terminal(refused):
    report = sample(notes=["a sentence that goes on and on " * 5] * 10, refused=refused, error="word " * 600)
    report.who, report.scan_reason = "anna" * 40, "reason" * 30
    report.stragglers *= 30
    lines = str(report).splitlines()
    assert len(lines) == 24
    assert max(map(len, lines)) <= 80


def test_the_reason_of_a_refusal_is_not_cut_off():
    error = "game/world.py:40: " + " ".join(f"word{i}" for i in range(50)) + " (run; nothing was changed)"
    head, *lines = str(Report(refused=True, error=error)).splitlines()
    assert head == "refused, nothing was changed"
    assert " ".join(lines) == error
    assert max(map(len, lines)) <= 80


def test_a_report_is_plain_data_and_one_line_of_a_log():
    data = json.loads(json.dumps(sample().to_dict()))
    assert data["number"] == 12
    assert data["kept"][0]["why"].startswith("PORT changed")
    assert sample().line() == (
        "edit 12: game.world.Room.enter, added game.world.exits, game.rooms.TABLE in world.py, rooms.py (1.2 ms, 3 upgraded, 1 kept)"
    )
    assert str(Report(refused=True, error="m.py:1: no (compile)")).splitlines()[0] == "refused, nothing was changed"


def test_a_body_edit_scans_nothing(project):
    project.write(
        m="import functools\ndef f(): return 1\nclass C:\n    def g(self): return 1\n    @functools.cached_property\n    def p(self): return 1\n"
    )
    m = project.load()
    held = [m.C() for _ in range(100)]
    for n in range(2, 5):
        report = project.edit(
            m=f"import functools\ndef f(): return {n}\n# a line more\nclass C:\n    def g(self): return {n}\n    @functools.cached_property\n    def p(self): return {n}\n"
        )
        assert (report.scanned, report.scan_reason) == (0, "")
        assert held[0].g() == m.f() == n
    assert rebuild.history[-1].number == report.number


def test_an_undo_names_the_files_that_still_have_the_edit_and_how_they_get_rid_of_it(project):
    project.write(m="def f(): return 1\n")
    m = project.load()
    edit = project.edit(m="def f(): return 2\n").number
    lines = str(rebuild.undo()).splitlines()
    assert lines[-2:] == [
        f"still on disk in m.py, so a restart brings it back; undo({edit}, write=True) or",
        f"`midair undo --edit {edit} --write` puts the file back",
    ]
    assert max(map(len, lines)) <= 80
    assert rebuild.undo(edit, write=True).notes == []
    assert project.path("m").read_text() == "def f(): return 1\n"
    assert m.f() == 1
    project.edit(m="def f(): return 3\n")
    assert rebuild.undo(write=True).notes == []


def test_a_line_of_the_log_tells_what_came_and_went_from_what_changed(project):
    project.write(m="def f(): return 1\ndef g(): return 1\nclass C:\n    def h(self): return 1\n")
    project.load()
    report = project.edit(m="def f(): return 2\nclass C:\n    def h(self): return 1\n    def k(self): return 2\n")
    said = report.line().partition(": ")[2].partition(" in m.py")[0]
    assert sorted(said.split(", ")) == ["added m.C.k", "m.f", "removed m.g"]


NOTE = "import dataclasses\n@dataclasses.dataclass{}\nclass Note:\n    text: str\n"
HOOK = "    __schema__ = 1\n    def __upgrade__(self, schema, state): self.size = len(self.text)\n"


@pytest.mark.parametrize("how", ["", "(slots=True)"])
def test_live_instances_that_lack_a_new_field_are_counted_in_report_and_log(project, caplog, how):
    project.write(m=NOTE.format(how))
    m = project.load()
    held = [m.Note(str(n)) for n in range(5)]
    with caplog.at_level("INFO", "midair.rebuild"):
        report = project.edit(m=NOTE.format(how) + "    size: int\n")
    said = "5 live m.Note have no `size`; give it a default or an __upgrade__"
    assert report.notes == [said]
    assert said in " ".join(str(report).split())
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [f"edit {report.number}: {said}"]
    assert len(held) == 5
    assert rebuild.undo(write=True).notes == []


@pytest.mark.parametrize("more", ["    size: int = 0\n", "    size: int\n" + HOOK])
def test_a_new_field_that_live_instances_get_needs_no_warning(project, more):
    project.write(m=NOTE.format(""))
    m = project.load()
    held = m.Note("ab")
    assert project.edit(m=NOTE.format("") + more).notes == []
    assert held.size in {0, 2}


def test_a_new_field_of_a_class_without_instances_needs_no_warning(project):
    project.write(m=NOTE.format(""))
    project.load()
    assert project.edit(m=NOTE.format("") + "    size: int\n").notes == []


def test_instances_of_derived_dataclasses_are_counted_once(project):
    below = "@dataclasses.dataclass\nclass Below(Note):\n    more: int = 0\n"
    project.write(m=NOTE.format("") + below)
    m = project.load()
    held = [m.Note("a"), m.Below("b"), m.Below("c")]
    report = project.edit(m=NOTE.format("") + "    size: int\n" + below.replace("more: int = 0", "more: int"))
    assert [note.partition(";")[0] for note in report.notes] == [
        "1 live m.Note has no `size`",
        "2 live m.Below have no `size`",
    ]
    assert len(held) == 3


def test_nothing_to_undo_is_one_plain_sentence(project, monkeypatch):
    monkeypatch.setattr(edits, "history", edits.History())
    with pytest.raises(rebuild.RebuildError) as refused:
        rebuild.undo()
    assert str(refused.value) == "there is no edit to undo since this start"


def test_a_refused_file_that_is_put_back_is_said_to_be_as_it_runs(project, caplog):
    good, bad = "def f(): return 1\n", "def f(: return 1\n"
    project.write(m=good)
    project.load()
    with pytest.raises(rebuild.RebuildError):
        project.edit(m=bad)
    assert [held.module for held in rebuild.held()] == ["m"]
    caplog.clear()
    with caplog.at_level("INFO", "midair.rebuild"):
        project.edit(m=good)
        project.edit(m=good)
    assert [r.getMessage() for r in caplog.records] == [f"{near(str(project.path('m')))} is as it runs again"]
    assert rebuild.held() == []
    with pytest.raises(rebuild.RebuildError):
        project.edit(m=bad)


def test_what_is_refused_from_memory_leaves_the_file_as_it_was(project, caplog):
    project.write(m="def f(): return 1\n")
    project.load()
    with pytest.raises(rebuild.RebuildError):
        rebuild.rebuild(sources={"m": "def f(:"})
    assert rebuild.held() == []
    caplog.clear()
    with caplog.at_level("INFO", "midair.rebuild"):
        rebuild.rebuild()
    assert not caplog.records
