"""What an edit does to functions, whoever holds them."""

import asyncio
import functools
import inspect
import sys
import types

from midair.runtime import rebuild


def test_signature_defaults_annotations_and_kind_change_where_the_function_is_held(project):
    project.write(m="def f(a, b=1, *, c=2) -> int:\n    'old'\n    return a, b, c\n")
    m = project.load()
    f, part = m.f, functools.partial(m.f, 1)
    project.edit(m="def f(a, b=5, d=7, *, c=2, e=3) -> str:\n    'new'\n    return a, b, d, c, e\n")
    assert m.f is f
    assert part() == (1, 5, 7, 2, 3)
    assert str(inspect.signature(f)) == "(a, b=5, d=7, *, c=2, e=3) -> str"
    assert f.__doc__ == "new"
    project.edit(m="async def f(a): return a\n")
    assert inspect.iscoroutinefunction(f)
    assert asyncio.run(f(3)) == 3
    project.edit(m="def f(a):\n    yield a\n")
    assert inspect.isgeneratorfunction(f)
    assert list(f(1)) == [1]


def test_a_default_whose_text_did_not_change_keeps_its_object(project):
    project.write(m="def f(a, seen=[]):\n    seen.append(a)\n    return seen\n")
    m = project.load()
    m.f(1)
    project.edit(m="def f(a, seen=[], more=2):\n    seen.append(a)\n    return seen, more\n")
    assert m.f(2) == ([1, 2], 2)


def test_closures_made_earlier_run_the_new_body_with_their_own_cells(project):
    project.write(m="def make(n, k=1):\n    def add(x): return x + n\n    return add\n")
    m = project.load()
    two, three = m.make(2), m.make(3)
    project.edit(m="def make(n, k=1):\n    def add(x, y=100): return x + n + y\n    return add\n")
    assert (two(1), three(1)) == (103, 104)
    project.edit(m="def make(n, k=1):\n    def add(x, y=100): return x\n    return add\n")
    assert (two(1), three(1)) == (1, 1)


def test_a_closure_that_never_captured_a_variable_stays_whole_and_is_reported(project):
    project.write(m="def make(n, k=1):\n    def add(x): return x + n\n    return add\n")
    m = project.load()
    two = m.make(2)
    report = project.edit(m="def make(n, k=1):\n    def add(x): return x + n + k\n    return add\n")
    assert two(1) == 3
    assert m.make(2)(1) == 4
    assert "k" in report.kept[0].why
    project.edit(m="def make(n, k=1):\n    def add(x): return x * n\n    return add\n")
    assert two(5) == 10 or two(5) == 7  # whole either way


def test_a_closure_gains_and_loses_variables_that_it_has(project):
    project.write(
        m="def make(a, b):\n    def show(): return a, b\n    def add(x): return show()[0]\n    return show, add\n"
    )
    m = project.load()
    show, _ = m.make(1, 2)
    project.edit(
        m="def make(a, b):\n    def show(): return b\n    def add(x): return show()[0]\n    return show, add\n"
    )
    assert show() == 2


def test_a_counter_in_a_closure_goes_on(project):
    project.write(
        m="def make():\n    n = 0\n    def hit():\n        nonlocal n\n        n += 1\n        return n\n    return hit\nhit = make()\n"
    )
    m = project.load()
    m.hit()
    hit = m.hit
    project.replace("m", ("n += 1", "n += 10"))
    assert hit() == 11
    assert m.hit is hit


def test_lambdas_in_functions_defaults_and_comprehensions(project):
    project.write(m="def f(key=lambda x: x): return [key(i) for i in range(3)], [lambda: i for i in (1,)]\n")
    m = project.load()
    held = m.f()[1][0]
    project.edit(m="def f(key=lambda x: -x): return [key(i) * 2 for i in range(3)], [lambda: i + 1 for i in (1,)]\n")
    assert m.f()[0] == [0, -2, -4]
    assert held() == 2


def test_a_lambda_inserted_before_another_does_not_take_its_place(project):
    project.write(m="def f():\n    return [lambda: 'a', lambda: 'b']\n")
    m = project.load()
    a, b = m.f()
    project.edit(m="def f():\n    return [lambda: 'new', lambda: 'a', lambda: 'b']\n")
    assert (a(), b()) == ("a", "b")


def test_decorators_come_and_go_with_and_without_wraps(project):
    head = """
import functools
def plain(fn):
    def inner(*a): return ('plain', fn(*a))
    return inner
def wrapped(tag):
    def deco(fn):
        @functools.wraps(fn)
        def inner(*a): return (tag, fn(*a))
        return inner
    return deco
{}
def f(x): return {}
"""
    project.write(m=head.format("", "x"))
    m = project.load()
    f, held = m.f, {"f": m.f}
    for deco, body, want in [
        ("@plain", "x", ("plain", 1)),
        ("@plain", "x + 1", ("plain", 2)),
        ("@wrapped('a')", "x + 1", ("a", 2)),
        ("@wrapped('b')", "x + 1", ("b", 2)),
        ("@wrapped('b')\n@plain", "x + 1", ("b", ("plain", 2))),
        ("@plain\n@wrapped('b')", "x + 2", ("plain", ("b", 3))),
        ("@functools.lru_cache", "x + 2", 3),
        ("@functools.lru_cache(maxsize=5)", "x + 3", 4),
        ("@functools.cache", "x + 4", 5),
        ("", "x + 5", 6),
        ("@wrapped('z')", "x", ("z", 1)),
        ("", "x", 1),
    ]:
        project.edit(m=head.format(deco, body))
        assert m.f(1) == want and held["f"](1) == want and f(1) == want, deco


def test_a_decorated_signature_is_what_inspect_says(project):
    head = "import functools\ndef deco(fn):\n    @functools.wraps(fn)\n    def inner(*a, **k): return fn(*a, **k)\n    return inner\n@deco\ndef f({}):\n    '{}'\n    return locals()\n"
    project.write(m=head.format("a: int", "old"))
    m = project.load()
    f = m.f
    project.edit(m=head.format("a: str, b=2", "new"))
    assert f(1) == {"a": 1, "b": 2}
    assert str(inspect.signature(f)) == "(a: str, b=2)"
    assert f.__doc__ == "new"
    assert f.__annotations__ == {"a": str}
    assert m.f is f


def test_caches_are_emptied_with_their_function(project):
    project.write(
        m="import functools\n@functools.lru_cache\ndef f(x): return x\nclass C:\n    @functools.lru_cache\n    def g(self): return 1\n    @functools.cached_property\n    def p(self): return 1\n    @staticmethod\n    @functools.cache\n    def s(): return 1\n"
    )
    m = project.load()
    c, f = m.C(), m.f
    assert (f(1), c.g(), c.s()) == (1, 1, 1)
    project.replace(
        "m",
        ("f(x): return x", "f(x): return -x"),
        ("g(self): return 1", "g(self): return 2"),
        ("s(): return 1", "s(): return 2"),
        ("p(self): return 1", "p(self): return 2"),
    )
    assert (f(1), c.g(), c.p, c.s()) == (-1, 2, 2, 2)
    assert m.f is f


def test_singledispatch_follows(project):
    project.write(
        m="import functools\n@functools.singledispatch\ndef f(x): return 'any'\n@f.register\ndef _(x: int): return 'int'\n@f.register(str)\ndef _(x): return 'str'\n"
    )
    m = project.load()
    f = m.f
    project.replace("m", ("'any'", "'any2'"), ("'int'", "'int2'"), ("'str'", "'str2'"))
    assert (f(1.0), f(1), f("")) == ("any2", "int2", "str2")
    project.replace("m", ("@f.register(str)", "@f.register(float)\ndef _(x): return 'float'\n@f.register(str)"))
    assert (f(1.0), f(1), f("")) == ("float", "int2", "str2")


def test_a_registering_decorator_registers_once(project):
    project.write(
        reg="seen = []\ntable = {}\ndef on(name):\n    def deco(fn):\n        seen.append(fn)\n        table[name] = fn\n        return fn\n    return deco\n",
        m="from reg import on\n@on('a')\ndef f(): return 1\n",
    )
    m, reg = project.load(), project.load("reg")
    f = m.f
    project.edit(m="from reg import on\n@on('a')\ndef f(x=1): return 2\n@on('b')\ndef g(): return 3\n")
    assert [h() for h in reg.seen] == [2, 3]
    assert reg.seen[0] is f
    assert reg.table == {"a": f, "b": m.g}
    project.edit(m="from reg import on\n@on('c')\ndef f(x=1): return 4\n@on('b')\ndef g(): return 3\n")
    assert reg.seen.count(f) == 1
    assert reg.table["c"] is f is m.f
    assert f() == 4


def test_a_decorator_object_keeps_its_state(project):
    project.write(
        m="class Cmd:\n    def __init__(self, fn): self.fn, self.calls = fn, 0\n    def __call__(self, *a):\n        self.calls += 1\n        return self.fn(*a)\n@Cmd\ndef f(x): return x\n"
    )
    m = project.load()
    f = m.f
    f(1)
    project.replace("m", ("def f(x): return x", "def f(x, y=2): return x + y"))
    assert f(1) == 3
    assert m.f is f
    assert f.calls == 2


def test_a_function_becomes_a_class_or_another_callable(project):
    project.write(m="def f(x): return ('f', x)\n", user="from m import f\nT = {'f': f}\n")
    m, user = project.load(), project.load("user")
    f = m.f
    project.edit(m="class f:\n    def __init__(self, x): self.x = x\n")
    assert isinstance(m.f(1), m.f)
    assert user.f is m.f
    assert user.T["f"] is m.f
    assert f(2).x == 2


def test_overloads_and_conditional_definitions_let_the_last_one_win(project):
    project.write(
        m="import sys\nfrom typing import overload\n@overload\ndef f(x: int) -> int: ...\n@overload\ndef f(x: str) -> str: ...\ndef f(x): return x\nif sys.version_info > (3,):\n    def g(): return 1\nelse:\n    def g(): return 2\n"
    )
    m = project.load()
    f, g = m.f, m.g
    project.replace(
        "m",
        ("x: str) -> str", "x: bytes) -> str"),
        ("def f(x): return x", "def f(x): return -x"),
        ("return 1", "return 11"),
    )
    assert m.f is f
    assert f(1) == -1
    assert m.g is g
    assert g() == 11
    project.edit(m="def f(x): return 5\ndef g(): return 6\n")
    assert f(1) == 5
    assert g() == 6
    assert m.f is f


def test_a_try_around_definitions_and_imports(project):
    project.write(
        m="try:\n    import no_such_module\nexcept ImportError:\n    no_such_module = None\n    def f(): return 1\nelse:\n    def f(): return 2\n"
    )
    m = project.load()
    f = m.f
    project.replace("m", ("return 1", "return 3"), ("no_such_module = None", "no_such_module = None\n    x = 4"))
    assert m.f is f
    assert f() == 3
    assert m.x == 4
    assert m.no_such_module is None


def test_frames_under_way_finish_in_old_code(project):
    project.write(
        m="def steps():\n    yield 'a1'\n    yield 'b1'\nasync def tick(gate):\n    await gate.wait()\n    return 'old'\n"
    )
    m = project.load()
    gen = m.steps()
    next(gen)

    async def main():
        gate = asyncio.Event()
        task = asyncio.create_task(m.tick(gate))
        await asyncio.sleep(0)
        report = project.edit(
            m="def steps():\n    yield 'a2'\n    yield 'b2'\nasync def tick(gate):\n    await gate.wait()\n    return 'new'\n"
        )
        assert {s.kind for s in report.stragglers} == {"task", "generator"}
        assert rebuild.is_stale_task(task)
        assert any(s.name == "tick" and s.line == 5 for s in rebuild.stragglers())
        gate.set()
        return await task, await m.tick(gate)

    assert asyncio.run(main()) == ("old", "new")
    assert list(gen) == ["b1"]
    assert list(m.steps()) == ["a2", "b2"]
    assert rebuild.stragglers() == []


def test_a_moved_function_keeps_its_holders_current(project):
    project.write(a="def f(): return 1\n", b="x = 1\n")
    a, b = project.load("a"), project.load("b")
    f = a.f
    project.edit(a="from b import f\n", b="x = 1\ny = 5\ndef f(): return y\n")
    assert a.f() == 5
    assert b.f() == 5
    assert f() == 5


def test_lines_are_counted_as_python_counts_them(project):
    shape = "import os\n\x0c\ndef f():\n    return 1\n\x0c\ndef g():\n    return {}\n\x0c\ndef h():\n    return 3\n"
    project.path("m").write_text(shape.format(1))
    m = project.load()
    project.path("m").write_text(shape.format("(\n        2)"))
    (changed,) = rebuild.rebuild().changes
    assert (changed.name, changed.line) == ("m.g", 6)
    assert (m.f(), m.g(), m.h()) == (1, 2, 3)
    assert m.h.__code__.co_firstlineno == 10
    assert inspect.getsource(m.h) == "def h():\n    return 3\n"


def test_a_function_of_a_recorded_module_is_a_plain_function_before_and_after_an_edit(project):
    """Nothing of ours is on the way of a call: the same type, the same bytecode, no wrapper, no tracing."""
    body = "def f(a, b=1, *c, d=2):\n    return [x for x in (a, b, c, d{})]\n\n\nclass C:\n    def g(self):\n        return self{}\n"
    tracing = sys.gettrace(), sys.getprofile()
    project.write(m=body.format("", ""))
    m = project.load()

    def plain(text):
        space = {"__name__": "m"}
        exec(compile(text, str(project.path("m")), "exec"), space)  # the same, without midair
        return space

    for text in (body.format("", ""), body.format(", 1", ".__class__")):
        project.path("m").write_text(text)
        rebuild.rebuild()
        fresh = plain(text)
        for live, other in ((m.f, fresh["f"]), (m.C.g, fresh["C"].g)):
            assert type(live) is type(other)
            assert live.__code__ == other.__code__
            assert live.__code__.co_code == other.__code__.co_code
            assert live.__dict__ == {}
            assert live.__closure__ is None
            assert live.__globals__ is vars(m)
        assert type(m.C) is type
        assert m.C.__mro__ == (m.C, object)
        assert vars(m.C).keys() == vars(fresh["C"]).keys()
    assert (sys.gettrace(), sys.getprofile()) == tracing
    assert type(m) is types.ModuleType
    assert type(vars(m)) is dict
