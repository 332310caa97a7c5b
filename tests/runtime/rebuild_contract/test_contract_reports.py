"""What a person hears of an edit, in report, log and history: each thing with its file and its line."""

import logging

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import errors

BEFORE = """
import bus
N = 1
TABLE = {'a': 1}
LINK = bus.connect(N)

def f():
    return 'v1'

class C:
    def g(self):
        return 'v1'

def gone():
    pass
"""

AFTER = """
# two lines
# more
import bus
N = 2
TABLE = {'a': 1, 'b': 2}
LINK = bus.connect(N)

def f():
    return 'v2'

class C:
    def g(self):
        return 'v2'

def new():
    pass
"""


def lines_of(report):
    """The lines of the text, in columns."""
    return [line.split("  ") for line in str(report).splitlines()]


@pytest.fixture
def edited(live):
    def edit():
        live.start(BEFORE, bus="def connect(n):\n    return [n]\n")
        import m  # noqa: F401 - it is edited

        live.write(AFTER)
        return rebuild.rebuild(who="anna")

    return edit


def test_each_change_has_kind_name_file_and_line(live, edited):
    report = edited()
    assert {note.file for note in report.changes} == {str(live.root / "m.py")}
    assert {(note.kind, note.name, note.line) for note in report.changes} == {
        ("changed", "m.N", 4),
        ("merged", "m.TABLE", 5),
        ("changed", "m.f", 8),
        ("changed", "m.C.g", 12),
        ("added", "m.new", 15),
        ("removed", "m.gone", 13),  # where it was
    }
    (kept,) = report.kept
    assert (kept.name, kept.file, kept.line) == ("m.LINK", str(live.root / "m.py"), 6)
    assert "N changed" in kept.why


def test_functions_beside_an_edited_one_are_not_said_to_be_changed(live):
    """CPython compiles a call of what the module imports otherwise; so it must be known when a part is compiled."""
    text = """
    import os
    try:
        import json as j
    except ImportError:
        j = None
    class C:
        def f(self):
            return 'v1', os.getpid(), j.dumps(1)
        def g(self):
            return os.getpid(), j.dumps(1)
        h = lambda self, encode=lambda x: j.dumps(x): encode(1)
    """
    live.start(text)
    from m import C

    g, h = C.g.__code__, C.h.__code__
    for old, new in (("v1", "v2"), ("v2", "v3")):
        assert [note.name for note in live.edit(old, new).changes] == ["m.C.f"]
    assert (C.g.__code__.co_code, C.h.__code__.co_code) == (g.co_code, h.co_code)
    assert C().h() == "1"


def test_the_text_names_file_and_line_of_each(live, edited):
    report = edited()
    head, *rest = str(report).splitlines()
    assert head.startswith("edit 1 at ")
    assert f" by anna: m.py, {report.pause_ms:.1f} ms" in head
    assert report.pause_ms > 0
    shown = {(line.split("  ")[1], line.rpartition("/")[2]) for line in rest if line.startswith("  ")}
    assert shown == {
        ("changed m.N", "m.py:4"),
        ("merged m.TABLE", "m.py:5"),
        ("changed m.f", "m.py:8"),
        ("changed m.C.g", "m.py:12"),
        ("added m.new", "m.py:15"),
        ("removed m.gone", "m.py:13"),
        (f"m.LINK: {report.kept[0].why}", "m.py:6"),
    }
    assert [line for line in rest if not line.startswith("  ")] == ["changed:", "kept:"]


def test_the_log_and_the_history_say_it_too(live, edited, caplog):
    caplog.set_level("INFO", "midair.rebuild")
    report = edited()
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.INFO, report.line())]
    assert report.line().endswith(f" and 2 more in m.py ({report.pause_ms:.1f} ms, 1 kept)")
    (entry,) = rebuild.history
    assert (entry.number, entry.who, entry.time, entry.files) == (1, "anna", report.time, [str(live.root / "m.py")])
    assert entry.changes == report.changes
    assert str(entry) == report.line()
    assert repr(rebuild.history) == report.line()
    undone = rebuild.undo(who="ben")
    assert (undone.number, undone.who, undone.undo_of) == (2, "ben", 1)
    assert " by ben, undoes edit 1: m.py" in str(undone).splitlines()[0]
    assert undone.line().startswith("edit 2, undoing edit 1: ")


def test_a_scan_is_told_with_its_reason(live):
    live.start("def f():\n    return 'v1'\n")
    import m

    held = [m.f]
    del m.f
    report = live.edit("v1", "v2")
    assert held[0]() == "v2"
    assert report.scanned > 1000
    assert report.scan_ms > 0
    assert str(report).splitlines()[-1] == (
        f"{report.scanned:,} objects scanned in {report.scan_ms:.1f} ms: {report.scan_reason}"
    )


def test_instances_are_counted_those_that_move_too(live):
    live.start("class P:\n    __slots__ = ('a',)\nclass U:\n    pass\n")
    import m

    held = [m.P() for _ in range(3)], [m.U() for _ in range(2)]
    report = live.become(
        "class P:\n    __slots__ = ('a', 'b')\nclass U:\n    __schema__ = 1\n    def __upgrade__(self, schema, state): self.n = 1\n"
    )
    assert (report.moved, report.upgraded) == tuple(map(len, held))
    assert "2 instances upgraded, 3 moved to a new layout" in str(report).splitlines()
    assert "2 upgraded" in report.line()


def test_a_refusal_is_told_in_full_and_changes_no_history(live, caplog):
    live.start("def f():\n    return 'v1'\n")
    import m

    heard = []
    rebuild.subscribe(heard.append)
    live.write("def f():\n    return 'v2'\n1 / 0\n")
    with pytest.raises(rebuild.RebuildError) as caught:
        rebuild.rebuild(who="anna")
    said = f"{errors.near(str(live.root / 'm.py'))}:3: ZeroDivisionError: division by zero (run; nothing was changed)"
    assert str(caught.value) == said
    (report,) = heard
    assert (report.refused, report.error, report.who, report.number) == (True, said, "anna", 0)
    assert report.files == [str(live.root / "m.py")]
    assert report.to_dict()["error"] == said
    assert " ".join(str(report).splitlines()) == f"refused, nothing was changed {said}"
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(logging.ERROR, f"edit refused: {said}")]
    assert (len(rebuild.history), m.f()) == (0, "v1")
    (held,) = rebuild.held()
    assert (held.file, held.module) == (str(live.root / "m.py"), "m")
    assert held.reason == "refused: ZeroDivisionError: division by zero (run)"
    assert held.cure == "correct it and save"


def test_what_only_a_hand_over_can_do_says_so(live):
    live.start("class Meta(type): pass\nclass P(metaclass=Meta): pass\n")
    import m  # noqa: F401 - it is edited

    heard = []
    rebuild.subscribe(heard.append)
    error = rebuild.RebuildError("no", needs="hand-over")
    assert str(error) == "no (run; nothing was changed; only a hand-over to a new process can do this)"

    @rebuild.check
    def refuse():
        raise error

    live.refused("class Meta(type): pass\nclass P(metaclass=Meta): x = 1\n")
    assert [(report.needs, report.error) for report in heard] == [("hand-over", str(error))]


def test_a_subscriber_that_fails_harms_neither_the_edit_nor_the_others(live, caplog):
    live.start("def f():\n    return 'v1'\n")
    import m

    def fail(_report):
        raise ValueError("not today")

    heard = []
    rebuild.subscribe(fail)
    end = rebuild.subscribe(heard.append)
    report = live.edit("v1", "v2")
    assert m.f() == "v2"
    assert heard == [report]
    assert [r.getMessage() for r in caplog.records if r.exc_info] == ["a subscriber to edits failed"]
    end()
    live.edit("v2", "v3")
    assert heard == [report]


async def test_held_texts_say_why_and_what_makes_them_live(live):
    live.start("def f():\n    return 'v1'\n", b="X = 1\n")
    import b  # noqa: F401 - it is edited
    import m

    live.edit("v1", "v2")
    rebuild.rebuild(sources={"b": "X = 2\n"})
    undone = await rebuild.apply(undo=1)
    assert m.f() == "v1"
    assert {(held.module, held.reason, held.cure) for held in rebuild.held()} == {
        ("m", f"undone by edit {undone.number}", "rebuild('m') makes it live; saving another text does too"),
    }
    assert undone.notes[0].startswith("still on disk in m.py, so a restart brings it back; undo(1, write=True)")
    rebuild.rebuild(sources={"b": "X = 3\n"})
    assert ("b", f"overridden from memory by edit {undone.number + 1}") in {
        (held.module, held.reason) for held in rebuild.held()
    }


def test_an_edit_whose_module_is_gone_is_not_undone_by_half(live):
    live.start("def f():\n    return 'v1'\n", other="X = 1\n")
    import m
    import other  # noqa: F401 - its file is deleted

    live.become("def f():\n    return 'v2'\n", other="X = 2\n")
    live.become(other=None)
    with pytest.raises(rebuild.RebuildError, match="module 'other' of edit 1 is gone"):
        rebuild.undo(1)
    assert m.f() == "v2"
