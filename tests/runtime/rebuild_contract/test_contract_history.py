"""Undo, history, held text, sources from memory, reports, checks, and watching a folder."""

import asyncio
import datetime as dt
import json
import os
import sys
import threading

import pytest

from midair.runtime import rebuild

FIRST = "N = 1\ndef f():\n    return 'v1'\n"


def test_undo_goes_back_one_edit(live):
    live.start(FIRST)
    import m

    f = m.f
    live.edit("v1", "v2")
    live.edit("v2", "v3")
    rebuild.undo()
    assert f() == m.f() == "v2"
    assert m.f is f


def test_undo_twice_goes_back_two_edits(live):
    live.start(FIRST)
    from m import f

    live.edit("v1", "v2")
    live.edit("v2", "v3")
    rebuild.undo()
    rebuild.undo()
    assert f() == "v1"


def test_undo_to_before_a_number(live):
    live.start(FIRST, b="def g():\n    return 'v1'\n")
    import b
    import m

    live.edit("v1", "v2")
    live.edit("v1", "v2", "b.py")
    live.edit("v2", "v3")
    rebuild.undo(2)
    assert (m.f(), b.g()) == ("v2", "v1")


def test_undo_restores_code_not_run_time_values(live):
    live.start("count = 0\ndef hit():\n    global count\n    count += 1\n    return 'v1'\n")
    import m

    live.edit("v1", "v2")
    m.hit()
    m.hit()
    rebuild.undo()
    assert m.count == 2
    assert m.hit() == "v1"


def test_undo_brings_back_constants_classes_and_names(live):
    live.start("N = 1\nclass C:\n    def g(self):\n        return 'v1'\ndef gone():\n    return 'here'\n")
    import m

    c, gone, C = m.C(), m.gone, m.C
    live.become("N = 2\nclass C:\n    def g(self):\n        return 'v2'\n    def h(self):\n        return 1\nNEW = 5\n")
    rebuild.undo()
    assert (m.N, c.g(), m.gone()) == (1, "v1", "here")
    assert m.gone is gone
    assert m.C is C
    assert not hasattr(m, "NEW")
    assert not hasattr(c, "h")


def test_undo_is_an_edit_with_a_number(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is edited below

    live.edit("v1", "v2")
    report = rebuild.undo()
    assert report.number == 2
    assert [entry.number for entry in rebuild.history] == [1, 2]


def test_undo_writes_no_file_and_holds_the_text_on_disk(live):
    live.start(FIRST)
    from m import f

    live.edit("v1", "v2")
    rebuild.undo()
    assert "v2" in (live.root / "m.py").read_text()
    assert "m" in str(rebuild.held())
    rebuild.rebuild()
    assert f() == "v1"
    rebuild.rebuild("m")
    assert f() == "v2"
    assert not rebuild.held()


def test_held_text_goes_when_the_file_changes_again(live):
    live.start(FIRST)
    from m import f

    live.edit("v1", "v2")
    rebuild.undo()
    live.edit("v2", "v3")
    assert f() == "v3"
    assert not rebuild.held()


def test_undo_with_write_writes_the_files(live):
    live.start(FIRST)
    from m import f

    live.edit("v1", "v2")
    rebuild.undo(write=True)
    assert (live.root / "m.py").read_text() == FIRST
    assert not rebuild.held()
    rebuild.rebuild()
    assert f() == "v1"


def test_nothing_to_undo_is_an_error(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is recorded

    with pytest.raises(rebuild.RebuildError):
        rebuild.undo()
    with pytest.raises(rebuild.RebuildError):
        rebuild.undo(99)


def test_an_undo_that_fails_changes_nothing(live):
    live.start(FIRST)
    import m

    live.edit("v1", "v2")

    @rebuild.check
    def only_two():
        assert m.f() == "v2"

    with pytest.raises(rebuild.RebuildError):
        rebuild.undo()
    assert m.f() == "v2"


def test_undo_of_an_added_and_of_a_deleted_file(live):
    live.start("def f():\n    return 1\n", gone="X = 1\n")
    import gone  # noqa: F401 - its file is deleted below
    import m

    live.become("from helper import aid\ndef f():\n    return aid()\n", helper="def aid():\n    return 'aid'\n")
    live.become(gone=None)
    rebuild.undo()
    assert m.f() == "aid"
    rebuild.undo(1)
    assert m.f() == 1


def test_a_refused_text_is_held_until_it_changes(live):
    live.start(FIRST, b="def g():\n    return 'v1'\n")
    import b
    import m

    live.refused("def f(:\n")
    assert "m" in str(rebuild.held())
    live.become(b="def g():\n    return 'v2'\n")
    assert b.g() == "v2"
    assert m.f() == "v1"
    live.become(FIRST.replace("v1", "v3"))
    assert m.f() == "v3"
    assert not rebuild.held()


# -- sources from memory


def test_sources_from_memory(live):
    live.start(FIRST)
    from m import f

    rebuild.rebuild(sources={"m": FIRST.replace("v1", "memory")})
    assert f() == "memory"
    assert (live.root / "m.py").read_text() == FIRST
    assert "m" in str(rebuild.held())
    rebuild.rebuild()
    assert f() == "memory"
    rebuild.rebuild("m")
    assert f() == "v1"


def test_sources_of_two_modules_are_one_transaction(live):
    live.start(FIRST, b="def g():\n    return 'v1'\n")
    import b
    import m

    with pytest.raises(rebuild.RebuildError):
        rebuild.rebuild(sources={"m": FIRST.replace("v1", "v2"), "b": "def g(:\n"})
    assert (m.f(), b.g()) == ("v1", "v1")
    rebuild.rebuild(sources={"m": FIRST.replace("v1", "v2"), "b": "def g():\n    return 'v2'\n"})
    assert (m.f(), b.g()) == ("v2", "v2")


def test_sources_of_an_unknown_module_raise_with_the_name(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is recorded

    with pytest.raises(rebuild.RebuildError, match="nowhere_at_all"):
        rebuild.rebuild(sources={"nowhere_at_all": "X = 1\n"})


def test_only_the_named_modules_by_name_and_by_object(live):
    live.start(FIRST, b="def g():\n    return 'v1'\n", c="def h():\n    return 'v1'\n")
    import b
    import c
    import m

    live.write({name: text.replace("v1", "v2") for name, text in live.on_disk.items()})
    rebuild.rebuild("b", c)
    assert (m.f(), b.g(), c.h()) == ("v1", "v2", "v2")
    rebuild.rebuild()
    assert m.f() == "v2"


def test_a_module_imported_before_record_is_adopted_when_its_file_is_what_runs(live):
    sys.path.insert(0, str(live.root))
    live.write(FIRST)
    import m

    rebuild.record(live.root)
    live.edit("v1", "v2")
    assert m.f() == "v2"


def test_a_module_whose_file_changed_before_record_raises_with_the_cure(live):
    sys.path.insert(0, str(live.root))
    live.write(FIRST)
    import m

    live.write(FIRST.replace("v1", "v2"))
    rebuild.record(live.root)
    with pytest.raises(rebuild.RebuildError, match="m"):
        rebuild.rebuild("m")
    assert m.f() == "v1"


def test_a_module_that_was_never_recorded_raises(live):
    live.start(FIRST)
    import json as unrecorded

    with pytest.raises(rebuild.RebuildError, match="json"):
        rebuild.rebuild(unrecorded)


def test_recording_leaves_the_root_logger_and_the_path_alone(live):
    import logging

    before = (list(sys.path), list(logging.getLogger().handlers), logging.getLogger().level)
    rebuild.record(live.root)
    assert (list(sys.path), list(logging.getLogger().handlers), logging.getLogger().level) == before


# -- reports


def test_a_report_tells_number_time_files_and_changes(live):
    live.start(
        "N = 1\ndef f():\n    return 'v1'\nclass C:\n    def g(self):\n        return 'v1'\ndef gone():\n    pass\n"
    )
    import m  # noqa: F401 - it is edited below

    report = live.become(
        "N = 2\ndef f():\n    return 'v2'\nclass C:\n    def g(self):\n        return 'v2'\ndef new():\n    pass\n"
    )
    assert report.number == 1
    assert report.error is None
    assert report.pause_ms >= 0
    assert any("m.py" in str(file) for file in report.files)
    shown = str(report)
    for name in ("N", "f", "C.g", "gone", "new"):
        assert name in shown, name
    assert "m.py" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert len(shown.splitlines()) <= 24


def test_a_big_report_still_fits_the_screen(live):
    live.start("".join(f"def function_with_a_rather_long_name_{i}():\n    return 1\n" for i in range(300)))
    import m  # noqa: F401 - it is edited below

    report = live.edit("return 1", "return 2")
    shown = str(report)
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert len(shown.splitlines()) <= 24
    assert "300" in shown or "more" in shown


def test_a_report_as_a_dict_is_plain_data(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is edited below

    report = live.edit("v1", "v2")
    data = report.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["number"] == 1
    assert {"number", "time", "files", "changes", "pause_ms", "kept", "stragglers", "refused", "error"} <= set(data)


def test_the_history_holds_number_time_files_diff_and_changes(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is edited below

    live.edit("v1", "v2")
    (entry,) = list(rebuild.history)
    assert entry.number == 1
    assert "-    return 'v1'" in entry.diff
    assert "+    return 'v2'" in entry.diff
    assert isinstance(entry.time, (float, dt.datetime))


def test_the_history_keeps_the_last_hundred(live):
    live.start(FIRST)
    import m  # noqa: F401 - it is edited below

    for i in range(104):
        live.become(FIRST.replace("v1", f"n{i}"))
    assert [entry.number for entry in rebuild.history] == list(range(5, 105))


def test_kept_values_are_named(live):
    live.start("N = 1\nimport bus\nLINK = bus.connect(N)\n", bus="def connect(n):\n    return [n]\n")
    import m

    report = live.edit("N = 1", "N = 2")
    assert m.LINK == [1]
    assert any("LINK" in str(kept) for kept in report.kept)


def test_upgraded_instances_are_counted(live):
    live.start("class U:\n    pass\n")
    from m import U

    users = [U() for _ in range(7)]
    report = live.become(
        "class U:\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.n = 1\n"
    )
    assert users[0].n == 1
    assert "7" in str(report)


# -- the module whose body is running


def test_a_module_whose_import_is_in_progress_is_edited(live):
    live.start(
        """
        import hook
        A = 1
        def f():
            return "v1"
        hook.call()
        B = 1
        """,
        hook="todo = []\ndef call():\n    for act in todo:\n        act()\n",
    )
    import hook

    hook.todo.append(lambda: live.edit("v1", "v2"))
    import m

    assert m.f() == "v2"
    assert (m.A, m.B) == (1, 1)


# -- watching


async def _until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing happened in ten seconds")


async def test_watch_applies_a_save_by_rename_and_in_place(live):
    live.start(FIRST)
    rebuild.watch(live.root, settle=0.05)
    from m import f

    live.replace("v1", "v2")
    await _until(lambda: f() == "v2")
    (live.root / "m.py").write_text(FIRST.replace("v1", "v3"))
    await _until(lambda: f() == "v3")
    rebuild.unwatch(live.root)


async def test_watch_takes_a_burst_of_saves_as_one_edit(live):
    live.start({f"m{i}.py": FIRST for i in range(20)})
    modules = [__import__(f"m{i}") for i in range(20)]
    rebuild.watch(live.root, settle=0.2)
    for i in range(20):
        (live.root / f"m{i}.py").write_text(FIRST.replace("v1", "v2"))
        await asyncio.sleep(0.002)
    await _until(lambda: all(m.f() == "v2" for m in modules))
    assert len(rebuild.history) == 1
    rebuild.unwatch(live.root)


async def test_watch_passes_over_a_broken_save_and_takes_the_next(live):
    live.start(FIRST)
    from m import f

    rebuild.watch(live.root, settle=0.05)
    live.write("def f(:\n")
    await _until(rebuild.held)
    assert f() == "v1"
    live.write(FIRST.replace("v1", "v2"))
    await _until(lambda: f() == "v2")
    await _until(lambda: not rebuild.held())  # its books are closed after the code is live
    rebuild.unwatch(live.root)


async def test_watch_sees_new_files_new_folders_and_deleted_files(live):
    live.start(FIRST, gone="X = 1\n")
    import gone  # noqa: F401 - its file is deleted below
    from m import f

    rebuild.watch(live.root, settle=0.1)
    live.write({"pkg/__init__.py": "", "pkg/deep.py": "def g():\n    return 'deep1'\n"})
    live.write("from pkg.deep import g\ndef f():\n    return g()\n")
    await _until(lambda: f() == "deep1")
    live.replace("deep1", "deep2", "pkg/deep.py")
    await _until(lambda: f() == "deep2")
    live.write(gone=None)
    await _until(lambda: "gone" not in sys.modules)
    rebuild.unwatch(live.root)


async def test_watch_waits_while_git_holds_its_lock(live):
    live.start(FIRST)
    from m import f

    (live.root / ".git").mkdir()
    rebuild.watch(live.root, settle=0.05)
    lock = live.root / ".git" / "index.lock"
    lock.touch()
    live.replace("v1", "v2")
    await asyncio.sleep(0.3)
    assert f() == "v1"
    lock.unlink()
    live.write(b="X = 1\n")
    await _until(lambda: f() == "v2")
    rebuild.unwatch(live.root)


async def test_watch_does_not_apply_what_was_undone(live):
    live.start(FIRST, b="X = 1\n")
    import b
    from m import f

    rebuild.watch(live.root, settle=0.05)
    live.replace("v1", "v2")
    await _until(lambda: f() == "v2")
    rebuild.undo()
    os.utime(live.root / "m.py")
    live.write(b="X = 2\n")
    await _until(lambda: b.X == 2)
    assert f() == "v1"
    rebuild.unwatch(live.root)


async def test_unwatch_ends_it(live):
    live.start(FIRST)
    from m import f

    rebuild.watch(live.root, settle=0.05)
    live.replace("v1", "v2")
    await _until(lambda: f() == "v2")
    rebuild.unwatch(live.root)
    live.replace("v2", "v3")
    await asyncio.sleep(0.3)
    assert f() == "v2"
    rebuild.rebuild()
    assert f() == "v3"


def test_watch_without_a_loop(live):
    live.start(FIRST)
    from m import f

    rebuild.watch(live.root, settle=0.05)
    live.replace("v1", "v2")
    pause = threading.Event()
    for _ in range(1000):
        if f() == "v2":
            break
        pause.wait(0.01)
    rebuild.unwatch(live.root)
    assert f() == "v2"
