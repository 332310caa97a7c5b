"""Live instances: moved to another layout, upgraded once and whole, back again."""

import collections
import ctypes
import gc
import sys
import weakref

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import RebuildError, engine, native

SLOTS = "class P:\n    __slots__ = ({})\n    def f(self): return {}\n"


@pytest.mark.parametrize(
    ("old", "new", "body"),
    [
        ("'x',", "'x', 'y'", "self.x"),
        ("'x', 'y'", "'x',", "self.x"),
        ("'x', 'y'", "'y', 'x'", "self.x"),
        ("'x',", "'x', '__dict__'", "self.x"),
        ("'x', '__dict__'", "'x',", "self.x"),
        ("'x',", "'x', '__weakref__'", "self.x"),
        ("'__x', 'x'", "'x', '__x', 'z'", "self.x"),
    ],
)
def test_slots_change_with_live_instances_held_everywhere(project, old, new, body):
    project.write(
        m=SLOTS.format(old, "0") + "class Q(P):\n    __slots__ = ('q',)\n",
        user="from m import P, Q\nheld = P()\nclass R(P):\n    pass\n",
    )
    m, user = project.load(), project.load("user")
    user.held.x = "held"

    class Holder:
        __slots__ = ("s",)

    def closure(p):
        return lambda: p

    def make(n):
        p = m.P() if n != 5 else m.Q()
        p.x = n
        return p

    box = {
        "dict": make(1),
        "list": [make(2)],
        "tuple": (make(3), 0),
        "deque": collections.deque([make(4)]),
        "sub": make(5),
    }
    box["attr"], box["slot"] = type("A", (), {})(), Holder()
    box["attr"].p, box["slot"].s = make(6), make(7)
    box["set"], box["key"] = {make(8)}, {make(9): "v"}
    box["method"], box["cell"] = make(10).f, closure(make(11))
    box["gen"] = (p.x for p in [make(12)])
    other = user.R()
    other.x, other.free = 13, 1
    report = project.replace("m", (f"__slots__ = ({old})", f"__slots__ = ({new})"), ("return 0", f"return {body}"))
    assert report.moved >= (0 if old == "'x', 'y'" and new == "'y', 'x'" else 12)
    assert report.stragglers == []
    p = box["dict"]
    assert type(p) is m.P
    assert user.P is m.P
    assert type(box["sub"]) is m.Q
    assert issubclass(m.Q, m.P)
    assert [box["dict"].f(), box["list"][0].f(), box["tuple"][0].f(), box["deque"][0].f(), box["sub"].f()] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert box["attr"].p.f() == 6
    assert box["slot"].s.f() == 7
    assert [q.f() for q in box["set"]] == [8]
    assert [q.f() for q in box["key"]] == [9]
    assert box["key"][next(iter(box["key"]))] == "v"
    assert next(iter(box["set"])) in box["set"]
    assert box["method"]() == 10
    assert box["cell"]().f() == 11
    assert list(box["gen"]) == [12]
    assert user.held.f() == "held"
    assert isinstance(user.held, m.P)
    assert other.f() == 13
    assert other.free == 1
    assert isinstance(other, user.R)
    assert isinstance(other, m.P)
    if "y" in new and "y" not in old:
        p.y = 2
        assert p.y == 2
    if "y" in old and "y" not in new:
        assert not hasattr(p, "y")
    if "__dict__" in new:
        p.any = 1


def test_an_instance_that_cannot_be_reached_everywhere_stays_whole_and_is_reported(project):
    project.write(m=SLOTS.format("'x',", "0"))
    m = project.load()
    p = m.P()
    p.x = 5
    native.incref(p)  # what a structure in C does that nobody can look into
    address = id(p)
    del p
    report = project.edit(m=SLOTS.format("'x', 'y'", "self.x + 1") + "    def g(self): return 'g'\n")
    p = ctypes.cast(address, ctypes.py_object).value
    native.decref(p)
    assert p.f() == 6
    assert p.g() == "g"
    assert isinstance(p, m.P)
    assert [s.kind for s in report.stragglers] == ["instance"]


def test_slots_come_and_go_altogether(project):
    project.write(m="class P:\n    def __init__(self): self.x = 1\n")
    m = project.load()
    box = [m.P()]
    project.edit(m="class P:\n    __slots__ = ('x',)\n    def __init__(self): self.x = 1\n")
    assert box[0].x == 1
    assert not hasattr(box[0], "__dict__")
    assert isinstance(box[0], m.P)
    project.edit(m="class P:\n    def __init__(self): self.x = 1\n")
    box[0].y = 2
    assert vars(box[0]) == {"x": 1, "y": 2}


def test_a_builtin_base_comes_and_goes(project):
    project.write(m="class P:\n    def __init__(self): self.x = 1\nclass L(list):\n    pass\n")
    m = project.load()
    box = [m.P(), m.L([1, 2])]
    project.edit(m="class P(dict):\n    def __init__(self): self.x = 1\nclass L(list):\n    __slots__ = ('n',)\n")
    box[0]["k"] = 1
    assert box[0].x == 1
    assert box[0] == {"k": 1}
    assert isinstance(box[1], m.L)
    assert box[1] == [1, 2]
    report = project.edit(m="class P:\n    def f(self): return self.x\nclass L(list):\n    __slots__ = ('n',)\n")
    assert box[0].f() == 1 and isinstance(box[0], m.P) and report.stragglers, "what the dict held would be lost"


def test_weak_references_follow_an_instance_that_moves(project):
    project.write(m=SLOTS.format("'x', '__weakref__'", "0"))
    m = project.load()
    box = [m.P()]
    ref, dead = weakref.ref(box[0]), []
    other = weakref.ref(box[0], dead.append)
    project.edit(m=SLOTS.format("'x', 'y', '__weakref__'", "0"))
    gc.collect()
    assert ref() is box[0] is other()
    assert dead == []
    box.clear()
    assert ref() is None
    assert dead == [other]


HOOK = """
class {name}{bases}:
    __schema__ = {schema}
    def __init__(self): self.a = 1
    def __upgrade__(self, schema, state):
        log.append(('{name}', schema, dict(state)))
        {body}
"""


def test_an_upgrade_hook_runs_once_an_instance_base_first_when_its_own_number_rises(project):
    head = "log = []\n"
    project.write(m=head + "class B:\n    def __init__(self): self.a = 1\nclass C(B):\n    pass\n")
    m = project.load()
    b, c = m.B(), m.C()
    text = head + HOOK.format(name="B", bases="", schema=2, body="self.b = state['a'] + schema")
    report = project.edit(m=text + HOOK.format(name="C", bases="(B)", schema=1, body="self.c = self.b"))
    assert sorted(m.log, key=str) == [("B", 0, {"a": 1}), ("B", 0, {"a": 1}), ("C", 0, {"a": 1})]
    assert (b.b, c.b, c.c, report.upgraded) == (1, 1, 1, 2)
    m.log.clear()
    project.edit(m=text + HOOK.format(name="C", bases="(B)", schema=1, body="self.c = 5"))
    assert m.log == []
    project.edit(m=text + HOOK.format(name="C", bases="(B)", schema=4, body="self.c = schema"))
    assert [entry[:2] for entry in m.log] == [("C", 1)]
    assert c.c == 1


def test_what_is_not_ours_is_ignored(project):
    project.write(m="class C:\n    pass\nclass D:\n    pass\n")
    m = project.load()
    held = m.C(), m.D()
    report = project.edit(
        m="class C:\n    __schema__ = 'three'\n    def __upgrade__(self, *a): 1 / 0\nclass D:\n    def __upgrade__(self): 1 / 0\n"
    )
    assert report.upgraded == 0
    assert held


def test_a_base_that_joins_is_called_with_zero_and_one_that_leaves_is_not(project):
    head = "log = []\n" + HOOK.format(name="B", bases="", schema=3, body="self.b = 2")
    project.write(m=head + "class C:\n    def __init__(self): self.a = 1\n")
    m = project.load()
    c = m.C()
    project.edit(m=head + "class C(B):\n    def __init__(self): self.a = 1\n")
    assert m.log == [("B", 3 - 3, {"a": 1})]
    assert c.b == 2
    project.edit(m=head + "class C:\n    def __init__(self): self.a = 1\n")
    assert len(m.log) == 1


def test_a_lowered_schema_goes_back_by_the_hook_of_the_class_being_left_or_is_refused(project):
    down = "    def __downgrade__(self, schema, state):\n        self.n = state['n'] // 10\n        self.to = schema\n"
    one = "class C:\n    __schema__ = 1\n    def __init__(self): self.n = 1\n"
    two = "class C:\n    __schema__ = 2\n    def __init__(self): self.n = 10\n    def __upgrade__(self, schema, state): self.n = state['n'] * 10\n"
    project.write(m=one)
    m = project.load()
    c = m.C()
    project.edit(m=two)
    with pytest.raises(RebuildError, match=r"m\.C goes from schema 2 to 1"):
        project.edit(m=one)
    assert c.n == 10
    project.edit(m=two + down)
    rebuild.undo()
    with pytest.raises(RebuildError):
        rebuild.undo()
    rebuild.rebuild("m")
    project.edit(m=one)
    assert (c.n, c.to) == (1, 1)
    project.edit(m="class C:\n    def f(self): return self.n\n") if False else None


def test_a_hook_sees_the_slots_that_went_and_the_state_is_a_copy(project):
    project.write(m="class P:\n    __slots__ = ('celsius', 'log')\n")
    m = project.load()
    box = [m.P()]
    box[0].celsius, box[0].log = 10, [1]
    project.edit(
        m="class P:\n    __slots__ = ('kelvin', 'log')\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.kelvin = state.pop('celsius') + 273\n        assert self.log is state['log']\n"
    )
    assert box[0].kelvin == 283
    assert box[0].log == [1]


def test_an_upgrade_that_changes_a_hash_fills_dicts_again(project):
    head = "class K:\n    def __init__(self, k): self.k = k\n    def __eq__(self, o): return self.k == o.k\n    def __hash__(self): return hash(self.k)\n"
    project.write(m=head)
    m = project.load()
    table = {m.K(1): "a", m.K(2): "b"}
    project.edit(m=head + "    __schema__ = 1\n    def __upgrade__(self, schema, state): self.k = str(self.k)\n")
    assert table[m.K("1")] == "a"
    assert table[m.K("2")] == "b"


def test_the_module_hook_runs_last_and_gets_the_globals_of_before(project):
    project.write(m="users = ['ann']\n")
    m = project.load()
    m.users.append("bob")
    text = "by_name = {}\ndef __rebuilt__(old):\n    global by_name\n    by_name = {n: i for i, n in enumerate(old['users'])}\n"
    project.edit(m=text)
    assert m.by_name == {"ann": 0, "bob": 1}
    assert not hasattr(m, "users")
    m.by_name = "kept"
    project.edit(m="# a comment\n" + text)
    assert m.by_name == "kept"


def test_a_subclass_that_was_made_again_for_its_base_goes_with_its_statement(project):
    project.write(m=SLOTS.format("'x',", "0"), user="from m import P\nclass R(P):\n    pass\n")
    user = project.load("user")
    project.edit(m=SLOTS.format("'x', 'y'", "0"))
    project.edit(user="from m import P\n")
    assert not hasattr(user, "R")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("__slots__ = ('a', 'b')", "__slots__ = ('a', 'b', 'c')"),
        ("__slots__ = ('a', 'b')", "__slots__ = ('b',)"),
        ("__slots__ = ('a', 'b')", "pass"),
        ("pass", "__slots__ = ('a', 'b')"),
        ("__slots__ = ('a', '__dict__')", "__slots__ = ('b', '__dict__')"),
        ("__slots__ = ('a', 'b', '__weakref__')", "__slots__ = ('a', 'b', 'c', '__weakref__')"),
    ],
)
def test_many_instances_some_with_empty_slots_move_with_what_they_refer_to(project, old, new):
    project.write(m=f"class P:\n    {old}\n")
    m = project.load()
    everyone = [m.P() for _ in range(2000)]
    for n, p in enumerate(everyone):
        if n % 3:
            p.a = n
        p.b = everyone[n - 1]
    report = project.replace("m", (old, new))
    assert report.moved == len(everyone)
    assert report.stragglers == []
    keeps_a = "'a'" in new or "'a'" not in old or "__dict__" in new or new == "pass"
    for n, p in enumerate(everyone):
        assert type(p) is m.P
        assert getattr(p, "a", None) == (n if n % 3 and keeps_a else None)
        assert p.b is everyone[n - 1]


@pytest.mark.parametrize(
    ("old", "new"), [("__slots__ = ('a',)", "__slots__ = ('a', 'c')"), ("pass", "__slots__ = ('a',)")]
)
def test_of_a_ring_one_that_stays_is_what_the_others_refer_to(project, old, new):
    project.write(m=f"class P:\n    {old}\n")
    m = project.load()
    everyone = [m.P() for _ in range(500)]
    for n, p in enumerate(everyone):
        p.a = everyone[n - 1]
    before = [sys.getrefcount(p) for p in everyone]
    address = id(everyone[100])
    native.incref(everyone[100])  # what a structure in C does that nobody can look into
    report = project.replace("m", (old, new))
    assert (report.moved, len(report.stragglers)) == (499, 1)
    assert id(everyone[100]) == address
    assert [n for n, p in enumerate(everyone) if type(p) is not m.P] == [100]
    assert all(p.a is everyone[n - 1] for n, p in enumerate(everyone))
    native.decref(everyone[100])
    gc.collect()
    # The last is `p` as well, which Python's own list of this function's variables holds by now.
    assert [sys.getrefcount(p) for p in everyone][:-1] == before[:-1]


def test_a_swap_that_a_check_refuses_leaves_every_reference_as_it_was(project):
    project.write(m="class P:\n    __slots__ = ('a', 'b')\n", user="good = True\n")
    m, user = project.load(), project.load("user")
    everyone = [m.P() for _ in range(500)]
    for n, p in enumerate(everyone):
        p.a, p.b = n, everyone[n - 1]
    before, ids = [sys.getrefcount(p) for p in everyone], [id(p) for p in everyone]
    rebuild.check(holds := lambda: user.good)
    try:
        project.write(m="class P:\n    __slots__ = ('a', 'b', 'c')\n", user="good = False\n")
        for _ in range(2):
            with pytest.raises(RebuildError, match="does not hold"):
                rebuild.rebuild("m", "user")
    finally:
        del engine.checks[holds.__module__, holds.__qualname__]
    gc.collect()
    assert [id(p) for p in everyone] == ids
    assert [sys.getrefcount(p) for p in everyone] == before
    assert [p.a for p in everyone] == list(range(500))
    assert all(type(p) is m.P and p.b is everyone[n - 1] for n, p in enumerate(everyone))


def test_changing_the_class_of_many_keeps_reference_counts():
    class One:
        __slots__ = ("a",)

    class Other:
        __slots__ = ("a",)

    things = [One() for _ in range(100)]
    before = sys.getrefcount(One), sys.getrefcount(Other)
    native.set_types(things, One, Other)
    assert {type(thing) for thing in things} == {Other}
    assert (sys.getrefcount(One), sys.getrefcount(Other)) == (before[0] - 100, before[1] + 100)
    native.set_types(things, Other, One)
    assert (sys.getrefcount(One), sys.getrefcount(Other)) == before
