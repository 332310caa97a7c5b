"""All of an edit or nothing: whatever fails, everything is as it was, and the error says where."""

import gc
import sys

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import RebuildError
from midair.runtime.rebuild.transaction import Transaction

START = {
    "a": "import b\nN = 1\ntable = {'x': 1}\ndef f(): return 'a1'\nclass C:\n    n = 1\n    def g(self): return 'a1'\n",
    "b": "log = []\nM = 1\ndef h(): return 'b1'\n",
}


@pytest.fixture
def pair(project):
    project.write(**START)
    a, b = project.load("a"), project.load("b")
    return project, a, b, a.C()


def unchanged(a, b, c):
    assert (a.N, a.f(), c.n, c.g(), a.table, b.M, b.h(), b.log) == (1, "a1", 1, "a1", {"x": 1}, 1, "b1", [])
    assert set(vars(a)) >= {"N", "f", "C", "table", "b"}
    assert not hasattr(a, "Z")


@pytest.mark.parametrize(
    ("name", "tail", "stage", "line"),
    [
        ("syntax", "def x(:\n", "compile", 4),
        ("return outside", "return 1\n", "compile", 4),
        ("exception", "1 / 0\n", "run", 4),
        ("exit", "raise SystemExit(3)\n", "run", 4),
        ("interrupt", "raise KeyboardInterrupt\n", "run", 4),
        ("import", "import no_such_module\n", "run", 4),
        ("from", "from a import no_such_name\n", "run", 4),
        ("decorator", "def deco(fn): raise ValueError('no')\n@deco\ndef k(): pass\n", "run", 4),
        ("class body", "class K:\n    x = undefined\n", "run", 5),
        ("default", "def k(x=undefined): pass\n", "run", 4),
        ("hook", "def __rebuilt__(old):\n    raise ValueError('no')\n", "hook", 5),
    ],
)
def test_a_failure_in_the_second_file_changes_nothing_anywhere(pair, name, tail, stage, line):
    project, a, b, c = pair
    broken = {
        "a": "import b\nN = 2\nZ = 5\ntable = {'x': 1, 'y': 2}\ndef f(): return 'a2'\nb.log.append('side effect')\nclass C:\n    n = 2\n    def g(self): return 'a2'\n",
        "b": "log = []\nM = 2\ndef h(): return 'b2'\n" + tail,
    }
    modules = set(sys.modules)
    with pytest.raises(RebuildError) as caught:
        project.edit(**broken)
    error = caught.value
    assert error.stage == stage
    assert error.file == str(project.path("b"))
    assert error.line == line
    assert error.__cause__ is not None
    unchanged(a, b, c)
    assert set(sys.modules) == modules
    assert rebuild.rebuild().number == 0  # the refused text waits
    assert {h.file for h in rebuild.held()} == {str(project.path("a")), str(project.path("b"))}
    project.edit(b=broken["b"].removesuffix(tail))
    assert (a.N, a.Z, a.f(), c.g(), c.n, b.M, b.h()) == (2, 5, "a2", "a2", 2, 2, "b2")
    assert a.table == {"x": 1, "y": 2}
    assert b.log == ["side effect"]
    assert rebuild.held() == []


def test_a_check_that_fails_refuses_the_edit(pair):
    project, a, b, c = pair

    @rebuild.check
    def n_is_small():
        assert a.N < 3, "N grew"

    project.replace("a", ("N = 1", "N = 2"))
    with pytest.raises(RebuildError, match="N grew") as caught:
        project.replace("a", ("N = 2", "N = 3"), ("a1'\nclass", "a3'\nclass"))
    assert caught.value.stage == "check"
    assert a.N == 2
    assert a.f() == "a1"


def test_a_check_that_says_false_refuses_the_edit_and_is_named(pair):
    project, a, b, c = pair

    @rebuild.check
    def n_is_small():
        return a.N < 3

    line = n_is_small.__code__.co_firstlineno
    with pytest.raises(RebuildError, match="n_is_small does not hold") as caught:
        project.replace("a", ("N = 1", "N = 3"))
    assert (caught.value.stage, caught.value.file, caught.value.line) == ("check", __file__, line)
    unchanged(a, b, c)


def test_what_a_module_hook_does_in_passing_is_taken_back(pair):
    project, a, b, c = pair
    hook = "def __rebuilt__(old):\n    global N\n    N = 7\n    table['y'] = 2\n    {}\n"
    project.edit(a=START["a"] + hook.format("table.clear(); table['x'] = N = 1"))
    unchanged(a, b, c)
    project.path("a").write_text(START["a"] + hook.format("raise ValueError('no')"))
    with pytest.raises(RebuildError) as caught:
        rebuild.rebuild()
    assert caught.value.stage == "hook"
    unchanged(a, b, c)


def test_modules_that_a_failed_edit_imported_or_removed(pair):
    project, a, b, c = pair
    import wsgiref

    assert "wsgiref.types" not in sys.modules
    project.write(helper="x = 1\n")
    with pytest.raises(RebuildError):
        project.edit(b=START["b"] + "import sys, helper, wsgiref.types\ndel sys.modules['a']\n1 / 0\n")
    assert sys.modules["a"] is a
    assert "helper" not in sys.modules
    assert "helper" not in rebuild.recorded()
    assert "wsgiref.types" not in sys.modules
    assert not hasattr(wsgiref, "types")
    unchanged(a, b, c)


def test_an_upgrade_that_raises_names_stage_file_and_line(pair):
    project, a, b, c = pair
    with pytest.raises(RebuildError) as caught:
        project.edit(
            a=START["a"]
            + "    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        raise ValueError('no')\n"
        )
    error = caught.value
    assert (error.stage, error.file, error.line) == ("upgrade", str(project.path("a")), 10)
    unchanged(a, b, c)


def test_what_cannot_be_undone_keeps_nothing_else_from_being_undone(caplog):
    tx, done = Transaction(), []
    tx.did(done.append, "first")
    tx.did(int, "no number")
    tx.did(done.append, "second")
    tx.roll_back()
    assert done == ["second", "first"]
    assert [r.getMessage() for r in caplog.records] == ["part of a refused edit could not be undone"]


def test_a_rebuild_inside_a_rebuild_is_refused(pair):
    project, a, b, c = pair
    with pytest.raises(RebuildError, match="inside another"):
        project.edit(b="from midair.runtime import rebuild\nrebuild.rebuild()\nlog = []\nM = 1\ndef h(): return 'b1'\n")
    unchanged(a, b, c)


def test_layout_and_upgrades_are_taken_back(project):
    project.write(
        m="class P:\n    __slots__ = ('x',)\n    def __init__(self, x): self.x = x\nclass K:\n    def __init__(self, k): self.k = k\n"
    )
    m = project.load()
    p, box, cls, k = m.P(1), {"p": None}, m.P, m.K(1)
    box["p"] = p
    keys = {k: 1}
    with pytest.raises(RebuildError):
        project.edit(
            m="class P:\n    __slots__ = ('x', 'y')\n    __schema__ = 1\n    def __init__(self, x): self.x = x\n    def __upgrade__(self, schema, state):\n        self.y = 1\n        raise ValueError('late')\nclass K:\n    def __init__(self, k): self.k = k\n    def __eq__(self, o): return True\n    def __hash__(self): return 5\n"
        )
    assert m.P is cls
    assert box["p"] is p
    assert type(p) is cls
    assert p.x == 1
    assert not hasattr(p, "y")
    assert keys[k] == 1
    assert k != m.K(1)


def test_bases_enums_and_metaclasses_are_taken_back(project):
    text = "import enum\nclass M(type): pass\nclass A: pass\nclass C{}:\n    pass\nclass E(enum.Enum):\n    X = 1\n{}"
    project.write(m=text.format("", ""))
    m = project.load()
    c, x = m.C(), m.E.X
    with pytest.raises(RebuildError):
        project.edit(m=text.format("(A, metaclass=M)", "    Y = 2\nraise ValueError\n"))
    assert m.C.__mro__ == (m.C, object)
    assert type(m.C) is type
    assert list(m.E) == [x]
    assert not hasattr(m.E, "Y")
    assert m.E(1) is x
    assert isinstance(c, m.C)
    with pytest.raises(ValueError):
        m.E(2)
    project.edit(m=text.format("(A, metaclass=M)", "    Y = 2\n"))
    assert type(m.C) is m.M
    assert isinstance(c, m.A)
    assert list(m.E) == [x, m.E.Y]


def test_the_undo_and_the_history(project):
    project.write(m="N = 1\ndef f(): return 1\n")
    m = project.load()
    first = project.edit(m="N = 2\ndef f(): return 2\n").number
    project.edit(m="N = 3\ndef f(): return 3\ndef g(): return 3\n")
    entry = rebuild.history[-1]
    assert "+def g(): return 3" in entry.diff
    assert entry.number == first + 1
    report = rebuild.undo()
    assert report.undo_of == first + 1
    assert report.number == first + 2
    assert m.f() == 2
    assert not hasattr(m, "g")
    assert m.N == 2
    assert rebuild.rebuild().number == 0
    assert m.f() == 2
    held = rebuild.held()[0]
    assert held.file == str(project.path("m"))
    assert "undone" in held.reason
    rebuild.undo()
    assert m.f() == 1
    with pytest.raises(RebuildError):
        rebuild.undo(10**6)
    rebuild.rebuild("m")
    assert m.f() == 3
    assert rebuild.held() == []
    rebuild.undo(first)
    assert m.f() == 1
    assert m.N == 1
    project.edit(m="N = 9\ndef f(): return 9\n")
    assert m.f() == 9
    assert rebuild.held() == []
    rebuild.undo(write=True)
    assert project.path("m").read_text() == "N = 1\ndef f(): return 1\n"
    assert rebuild.held() == []


def test_sources_from_memory_override_the_file_until_it_changes(project):
    import inspect

    project.write(m="def f(): return 1\n")
    m = project.load()
    report = rebuild.rebuild(sources={"m": "# from memory\ndef f(): return 'memory'\n"})
    assert m.f() == "memory"
    assert report.number
    assert "memory" in inspect.getsource(m.f)
    assert rebuild.rebuild().number == 0
    assert "memory" in rebuild.held()[0].reason
    project.edit(m="def f(): return 2\n")
    assert m.f() == 2
    assert rebuild.held() == []
    assert inspect.getsource(m.f) == "def f(): return 2\n"


def test_one_module_by_name_leaves_the_others(project):
    project.write(m="x = 1\n", n="x = 1\n")
    m, n = project.load(), project.load("n")
    project.write(m="x = 2\n", n="x = \n")
    rebuild.rebuild(m)
    assert m.x == 2
    assert n.x == 1
    with pytest.raises(RebuildError):
        rebuild.rebuild()


def test_subscribers_hear_of_edits_and_refusals(project):
    heard = []
    end = rebuild.subscribe(heard.append)
    project.write(m="x = 1\n")
    project.load()
    project.edit(m="x = 2\n")
    with pytest.raises(RebuildError):
        project.edit(m="x = \n")
    end()
    project.edit(m="x = 3\n")
    assert [r.refused for r in heard] == [False, True]
    assert "SyntaxError" in heard[1].error


def test_a_refused_edit_reaches_stderr_without_any_handler(tmp_path):
    import subprocess

    (tmp_path / "m.py").write_text("x = 1\n")
    code = "import sys; sys.path.insert(0, '.')\nfrom midair.runtime import rebuild\nrebuild.record('.')\nimport m\nopen('m.py','w').write('x = (\\n')\ntry: rebuild.rebuild()\nexcept rebuild.RebuildError: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "edit refused" in done.stderr
    assert "m.py:1" in done.stderr
    assert done.returncode == 0


def test_many_edits_leave_nothing_behind(project):
    project.write(m="class C:\n    def f(self): return 0\n")
    m = project.load()
    c = m.C()
    for n in range(150):
        project.edit(m=f"class C:\n    x = {n}\n    def f(self): return {n}\n")
    gc.collect()
    before = len(gc.get_objects())
    for n in range(150):
        project.edit(m=f"class C:\n    x = {-n}\n    def f(self): return {-n}\n")
    gc.collect()
    assert c.f() == -149
    assert len(gc.get_objects()) - before < 200
    assert len(rebuild.history) == 100
