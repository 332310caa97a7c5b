"""Imports, packages, files that come, move and go."""

import sys

import pytest

from midair.runtime import rebuild


def test_new_files_are_imported_and_removed_imports_go(project):
    project.write(m="import json\nfrom os import sep\ndef f(): return 1\n")
    m = project.load()
    project.edit(
        helper="def aid(): return 'aid'\n",
        m="from helper import aid\nimport os.path as p\ndef f(): return aid(), p.join('a')\n",
    )
    assert m.f() == ("aid", "a")
    assert not hasattr(m, "json")
    assert not hasattr(m, "sep")
    project.edit(helper="def aid(): return 'aid2'\n")
    assert m.f() == ("aid2", "a")


def test_circular_imports_follow(project):
    project.write(a="import b\ndef fa(): return b.fb()\n", b="import a\ndef fb(): return 'b1'\n")
    a = project.load("a")
    project.edit(
        a="import b\nfrom b import extra\ndef fa(): return b.fb() + extra\n",
        b="extra = 'x'\nimport a\ndef fb(): return 'b2'\n",
    )
    assert a.fa() == "b2x"


def test_a_package_with_relative_imports_and_a_new_submodule(project):
    project.write(pkg____init__=None) if False else None
    (project.folder / "pkg").mkdir()
    (project.folder / "pkg/__init__.py").write_text("from .a import f\nfrom . import a\n")
    (project.folder / "pkg/a.py").write_text("def f(): return 1\n")
    pkg = project.load("pkg")
    f = pkg.f
    (project.folder / "pkg/b.py").write_text("def g(): return 'g'\n")
    (project.folder / "pkg/a.py").write_text("from .b import g\ndef f(): return g()\nX = 3\n")
    (project.folder / "pkg/__init__.py").write_text("from .a import f, X\nfrom . import a\n")
    rebuild.rebuild()
    assert f() == "g"
    assert pkg.X == 3
    assert pkg.f is f
    assert sys.modules["pkg.b"].g() == "g"
    assert pkg.b is sys.modules["pkg.b"]


def test_a_module_becomes_a_package_and_back(project):
    project.write(m="x = 1\ndef f(): return x\n", user="import m\nfrom m import f\n")
    m, user = project.load(), project.load("user")
    f, m.extra = m.f, 5
    project.path("m").unlink()
    (project.folder / "m").mkdir()
    (project.folder / "m/__init__.py").write_text("from .sub import y\nx = 1\ndef f(): return x, y\n")
    (project.folder / "m/sub.py").write_text("y = 2\n")
    rebuild.rebuild()
    assert sys.modules["m"] is m is user.m
    assert f() == (1, 2)
    assert m.f is f
    assert m.extra == 5
    assert m.__file__.endswith("m/__init__.py")
    assert m.__path__ == [str(project.folder / "m")]
    assert m.__package__ == "m"
    (project.folder / "m/__init__.py").write_text("from .sub import y\nx = 3\ndef f(): return x, y, 1\n")
    rebuild.rebuild()
    assert f() == (3, 2, 1)
    (project.folder / "m/__init__.py").unlink()
    (project.folder / "m/sub.py").unlink()
    (project.folder / "m").rmdir()
    project.write(m="x = 3\ndef f(): return x\n")
    rebuild.rebuild()
    assert f() == 3
    assert not hasattr(m, "__path__")
    assert "m.sub" not in sys.modules


def test_a_deleted_file_goes_unless_somebody_imports_it(project):
    project.write(m="x = 1\n", user="import m\n", alone="x = 1\n")
    for name in ("user", "alone"):
        project.load(name)
    report = project.edit(m=None, alone=None)
    assert "alone" not in sys.modules
    assert "m" in sys.modules
    assert [n.name for n in report.kept] == ["m"]
    assert rebuild.rebuild().number == 0
    project.edit(user="x = 1\n")
    project.edit(m="x = 2\n")
    assert sys.modules["m"].x == 2


def test_a_renamed_module_leaves_and_the_importer_runs_the_new_one(project):
    project.write(old="def f(): return 1\n", app="import old\ndef run(): return old.f()\n")
    app = project.load("app")
    run = app.run
    project.edit(old=None, new="def f(): return 2\n", app="import new\ndef run(): return new.f()\n")
    assert run() == 2
    assert "old" not in sys.modules
    assert not hasattr(app, "old")


def test_the_source_of_an_import_changes(project):
    project.write(
        a="def f(): return 'a'\nclass C: pass\n",
        b="def f(): return 'b'\nclass C: pass\n",
        m="from a import f, C\nclass D(C): pass\ndef run(): return f()\n",
    )
    m = project.load()
    d, run, a_f = m.D(), m.run, m.f
    project.replace("m", ("from a", "from b"))
    assert run() == "b"
    assert a_f() == "a"
    assert isinstance(d, sys.modules["b"].C)
    assert not isinstance(d, sys.modules["a"].C)


def test_a_class_that_moves_to_another_module_is_the_one_that_instances_have(project):
    project.write(a="class C:\n    def f(self): return 1\n", b="x = 1\n")
    a, b = project.load("a"), project.load("b")
    c = a.C()
    project.edit(a="from b import C\n", b="x = 1\nclass C:\n    def f(self): return x\n    def g(self): return 3\n")
    assert a.C is b.C
    assert isinstance(c, b.C)
    assert c.g() == 3
    assert c.f() == 1


def test_future_annotations_are_added_and_removed(project):
    project.write(m="def f(x: int) -> int: return x\n")
    m = project.load()
    f = m.f
    project.edit(m="from __future__ import annotations\ndef f(x: int) -> Later: return x\n")
    assert f.__annotations__ == {"x": "int", "return": "Later"}
    project.edit(m="def f(x: int) -> str: return x\n")
    assert f.__annotations__ == {"x": int, "return": str}


def test_type_checking_and_main_blocks_do_not_run(project):
    project.write(
        m="from typing import TYPE_CHECKING\nran = []\nif TYPE_CHECKING:\n    from nowhere import Never\nif __name__ == '__main__':\n    ran.append(1)\n"
    )
    m = project.load()
    project.replace(
        "m",
        ("from nowhere import Never", "from nowhere import Never, More"),
        ("ran.append(1)", "ran.append(2)\n    raise SystemExit"),
    )
    assert m.ran == []


def test_a_module_whose_body_is_running_takes_what_it_has_passed(project):
    project.write(
        m="""
        x = 1
        def f(): return 1
        seen = []
        def again(edit):
            edit()
            seen.append((x, f()))
        import hook
        again(hook.edit)
        y = 1
        """,
        hook="edit = None\n",
    )
    hook = project.load("hook")
    text = project.path("m").read_text()
    reports = []

    def edit():
        new = (
            text.replace("x = 1", "x = 2")
            .replace("return 1", "return 2")
            .replace("y = 1", "y = 5\nz = 1\nseen.append('never')")
        )
        project.path("m").write_text(new)
        reports.append(rebuild.rebuild())

    hook.edit = edit
    m = project.load()
    assert m.seen == [(2, 2)]
    assert m.y == 1
    assert not hasattr(m, "z")
    assert any(s.name == "<module>" for s in reports[0].stragglers)


def test_a_module_imported_before_it_was_recorded_is_adopted_when_its_file_is_what_runs(tmp_path, monkeypatch):
    from midair.runtime.rebuild import sources

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "early.py").write_text("def f(): return 1\nclass C:\n    def g(self): return 1\n")
    (tmp_path / "other.py").write_text("def f(): return 1\n")
    import early
    import other

    (tmp_path / "other.py").write_text("def f(): return 2\n")
    try:
        assert rebuild.record(tmp_path) == ["other"]
        f = early.f
        (tmp_path / "early.py").write_text("def f(): return 5\nclass C:\n    def g(self): return 1\n")
        rebuild.rebuild()
        assert f() == 5
        assert other.f() == 1
        with pytest.raises(rebuild.RebuildError, match=r"import 'other' after"):
            rebuild.rebuild("other")
    finally:
        for name in ("early", "other"):
            sources.forget(name)
            del sys.modules[name]
        sources.folders.remove(str(tmp_path.resolve()))


def test_a_module_without_a_source_or_that_is_not_imported_is_refused_by_name():
    for name in ("sys", "no_such_module_at_all"):
        with pytest.raises(rebuild.RebuildError, match=name):
            rebuild.rebuild(name)


def test_rebuild_leaves_the_path_and_the_root_logger_alone(project):
    import logging

    before = list(sys.path), list(logging.getLogger().handlers), logging.getLogger().level
    project.write(m="x = 1\n")
    project.load()
    project.edit(m="x = 2\n")
    assert (list(sys.path), list(logging.getLogger().handlers), logging.getLogger().level) == before


def test_the_text_that_ran_is_the_baseline_however_quick_the_saves(project):
    import os

    project.write(m="def f(): return 1\n")
    os.utime(project.path("m"), (10**9, 10**9))
    m = project.load()
    for n in (2, 3, 4):
        project.write(m=f"def f(): return {n}\n")
        os.utime(project.path("m"), (10**9, 10**9))
        rebuild.rebuild()
        assert m.f() == n
