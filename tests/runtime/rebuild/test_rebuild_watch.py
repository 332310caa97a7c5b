"""Files that change become edits by themselves."""

import logging
import os
import subprocess
import threading

import pytest
from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter

from midair.runtime import rebuild
from midair.runtime.rebuild import watcher


class Edits:
    """Waits for edits as they are told."""

    def __init__(self):
        self.heard, self._new = [], threading.Condition()
        self.end = rebuild.subscribe(self._add)

    def _add(self, report):
        with self._new:
            self.heard.append(report)
            self._new.notify_all()

    def wait(self, count, timeout=20):
        with self._new:
            assert self._new.wait_for(lambda: len(self.heard) >= count, timeout), self.heard
        return self.heard[count - 1]


@pytest.fixture
def edits():
    made = Edits()
    yield made
    rebuild.unwatch()
    made.end()


def test_saves_in_place_and_by_rename_and_new_files_are_edits(project, edits):
    project.write(m="def f(): return 1\n")
    m = project.load()
    rebuild.watch(project.folder, settle=0.03)
    project.write(m="def f(): return 2\n")
    edits.wait(1)
    assert m.f() == 2
    scratch = project.folder / "m.py~tmp"
    scratch.write_text("def f(): return 3\n")
    os.replace(scratch, project.path("m"))
    edits.wait(2)
    assert m.f() == 3
    project.write(helper="def aid(): return 4\n", m="from helper import aid\ndef f(): return aid()\n")
    edits.wait(3)
    assert m.f() == 4
    assert len(edits.heard) == 3


def test_a_refused_save_is_told_and_the_next_one_tries_again(project, edits):
    project.write(m="def f(): return 1\n")
    m = project.load()
    rebuild.watch(project.folder, settle=0.03)
    project.write(m="def f(: return 2\n")
    assert edits.wait(1).refused
    assert m.f() == 1
    project.write(m="def f(): return 2\n")
    assert not edits.wait(2).refused
    assert m.f() == 2


def test_a_checkout_of_many_files_is_one_edit(project, edits):
    git = ["git", "-C", str(project.folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("git is not installed")
    names = [f"part{i}" for i in range(12)]
    project.write(**dict.fromkeys(names, "def f(): return 'old'\n"), m="".join(f"import {n}\n" for n in names))
    run = lambda *a: subprocess.run([*git, *a], check=True, capture_output=True)
    run("init", "-b", "one")
    run("add", ".")
    run("commit", "-m", "one")
    run("checkout", "-b", "two")
    project.write(**dict.fromkeys(names, "def f(): return 'new'\n"))
    run("commit", "-am", "two")
    run("checkout", "one")
    parts = [project.load(n) for n in names]
    rebuild.watch(project.folder, settle=0.1)
    run("checkout", "two")
    report = edits.wait(1)
    assert {p.f() for p in parts} == {"new"}
    assert len(report.files) == 12
    assert len(edits.heard) == 1


def test_a_lock_of_git_and_a_hold_extend_the_burst(project, edits):
    project.write(m="x = 1\n")
    m = project.load()
    (project.folder / ".git").mkdir()
    lock = project.folder / ".git/index.lock"
    lock.write_text("")
    rebuild.watch(project.folder, settle=0.01)
    project.write(m="x = 2\n")
    rebuild.hold()
    lock.unlink()
    project.write(m="x = 3\n")
    assert edits.heard == []
    assert m.x == 1
    rebuild.release()
    edits.wait(1)
    assert m.x == 3
    assert len(edits.heard) == 1


def test_an_edit_can_be_handed_to_somebody_else(project, edits):
    project.write(m="x = 1\n")
    m = project.load()
    asked = threading.Event()
    rebuild.watch(project.folder, settle=0.01, dispatch=asked.set)
    project.write(m="x = 2\n")
    assert asked.wait(20)
    assert m.x == 1
    assert rebuild.rebuild().number
    assert m.x == 2


def test_without_the_help_of_the_system_it_looks_by_itself_and_says_so(project, edits, monkeypatch, caplog):
    from midair.runtime.rebuild import watcher

    class Full(watcher.Observer):
        def start(self):
            raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watcher, "Observer", Full)
    project.write(m="x = 1\n")
    m = project.load()
    rebuild.watch(project.folder, settle=0.01)
    assert "looking every" in caplog.text
    project.write(m="x = 2  # longer\n")
    edits.wait(1)
    assert m.x == 2


def test_an_environment_in_the_project_is_passed_over_and_new_folders_are_not(project, edits):
    (project.folder / ".venv").mkdir()
    (project.folder / ".venv/pyvenv.cfg").write_text("")
    project.write(first__one="def f(): return 1\n")
    first = project.load("first.one")
    rebuild.watch(project.folder, settle=0.01)
    assert [watch.path for watch in watcher.watcher._folders[str(project.folder)]] == [
        str(project.folder),
        str(project.folder / "first"),
    ]
    project.write(second__one="def f(): return 1\n")
    second = project.load("second.one")
    project.write(first__one="def f(): return 2\n")
    assert edits.wait(1).number
    project.write(second__one="def f(): return 2\n")
    assert edits.wait(2).number
    assert (first.f(), second.f()) == (2, 2)


def test_a_thread_that_is_being_stopped_is_no_error_in_the_log(project, caplog):
    emitter = InotifyEmitter(EventQueue(), ObservedWatch(str(project), recursive=True))
    emitter.queue_events(0)  # as it does between the end of its watch and its own
    assert caplog.records == []
    logging.getLogger("watchdog.observers.inotify").error("another")
    assert [record.message for record in caplog.records] == ["another"]


def test_what_waits_for_release_is_told_and_what_settles_is_not(project, edits):
    project.write(m="x = 1\n")
    project.load()
    rebuild.watch(project.folder, settle=0.01)
    rebuild.hold()
    project.write(m="x = 2\n")
    assert [one.module for one in rebuild.held()] == ["m"]
    rebuild.release()
    assert rebuild.held() == []
    edits.wait(1)
    assert rebuild.held() == []
