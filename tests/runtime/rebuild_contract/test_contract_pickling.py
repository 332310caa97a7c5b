"""Pickles made before and after an edit, of instances, functions, classes and members."""

import copy
import pickle

import pytest


def test_an_instance_made_before_pickles_and_loads_as_the_live_class(live):
    live.start("class C:\n    def __init__(self):\n        self.n = 1\n    def f(self):\n        return 'v1'\n")
    import m

    c = m.C()
    live.edit("v1", "v2")
    again = pickle.loads(pickle.dumps(c))
    assert type(again) is m.C
    assert (again.n, again.f()) == (1, "v2")


def test_a_pickle_made_before_loads_after(live):
    live.start("class C:\n    def __init__(self):\n        self.n = 1\n    def f(self):\n        return 'v1'\n")
    import m

    data = pickle.dumps(m.C())
    live.edit("v1", "v2")
    assert pickle.loads(data).f() == "v2"


@pytest.mark.parametrize(
    "edit", ["class C(Base):", "class C(metaclass=Meta):", "class C:\n    __slots__ = ('n', 'z', '__dict__')"]
)
def test_old_instances_pickle_after_a_header_change(live, edit):
    live.start(
        "class Base:\n    pass\nclass Meta(type):\n    pass\nclass C:\n    def __init__(self):\n        self.n = 1\n"
    )
    import m

    held = [m.C()]
    data = pickle.dumps(held[0])
    live.edit("class C:", edit)
    assert pickle.loads(pickle.dumps(held[0])).n == 1
    assert type(pickle.loads(data)) is m.C
    assert copy.deepcopy(held)[0].n == 1


def test_functions_methods_and_classes_pickle_by_reference(live):
    live.start(
        "def f():\n    return 'v1'\nclass C:\n    def g(self):\n        return 'v1'\n    class In:\n        pass\n    @staticmethod\n    def s():\n        return 'v1'\n"
    )
    import m

    things = [m.f, m.C, m.C.In, m.C.s]
    bound = m.C().g
    live.edit("v1", "v2")
    for thing in things:
        assert pickle.loads(pickle.dumps(thing)) is thing
    assert pickle.loads(pickle.dumps(bound))() == "v2"


def test_a_decorated_function_pickles_after_its_decorator_changed(live):
    live.start(
        "import functools\ndef deco(fn):\n    @functools.wraps(fn)\n    def w():\n        return 'd' + fn()\n    return w\ndef f():\n    return 'x'\n"
    )
    import m

    live.edit("def f():", "@deco\ndef f():")
    assert pickle.loads(pickle.dumps(m.f)) is m.f
    assert m.f() == "dx"


def test_reduce_getstate_and_setstate_change(live):
    live.start("class C:\n    def __init__(self):\n        self.n = 1\n")
    from m import C

    c = C()
    live.become(
        "class C:\n    def __init__(self):\n        self.n = 1\n    def __getstate__(self):\n        return {'n': 5}\n"
    )
    assert pickle.loads(pickle.dumps(c)).n == 5
    live.become(
        "class C:\n    def __init__(self, n=0):\n        self.n = n\n    def __reduce__(self):\n        return C, (9,)\n"
    )
    assert pickle.loads(pickle.dumps(c)).n == 9


def test_an_exception_and_a_partial_pickle(live):
    import functools

    live.start("class E(Exception):\n    pass\ndef f(x):\n    return 'v1', x\n")
    import m

    error, partial = m.E("x"), functools.partial(m.f, 1)
    live.become("class E(Exception):\n    code = 1\ndef f(x):\n    return 'v2', x\n")
    assert pickle.loads(pickle.dumps(error)).code == 1
    assert pickle.loads(pickle.dumps(partial))() == ("v2", 1)


def test_named_tuples_pickle(live):
    live.start("import collections\nP = collections.namedtuple('P', 'x y')\ndef f():\n    return 'v1'\n")
    import m

    p = m.P(1, 2)
    live.edit("v1", "v2")
    assert pickle.loads(pickle.dumps(p)) == p
    assert type(pickle.loads(pickle.dumps(p))) is m.P
