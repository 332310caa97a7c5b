"""Decorated functions, descriptors and what the standard library's decorators keep."""

import asyncio
import inspect

import pytest

WRAPS = """
import functools
def tag(t):
    def deco(fn):
        @functools.wraps(fn)
        def wrapper(*a, **k):
            return t + fn(*a, **k)
        return wrapper
    return deco
"""


def test_the_body_under_a_decorator_with_wraps(live):
    live.start(WRAPS + "@tag('a')\ndef f():\n    return 'v1'\n")
    from m import f

    live.edit("v1", "v2")
    assert f() == "av2"
    assert f.__wrapped__() == "v2"


def test_the_body_under_a_decorator_without_wraps(live):
    live.start(
        """
        def deco(fn):
            def wrapper(*a):
                return "w" + fn(*a)
            return wrapper
        @deco
        def f():
            return "v1"
        """,
        user="from m import f\n",
    )
    import user

    live.edit("v1", "v2")
    assert user.f() == "wv2"


def test_the_wrapper_itself_changes_for_functions_decorated_before(live):
    live.start(WRAPS + "@tag('a')\ndef f():\n    return 'x'\n@tag('b')\ndef g():\n    return 'y'\n")
    from m import f, g

    live.edit("return t + fn(*a, **k)", "return t + '>' + fn(*a, **k)")
    assert (f(), g()) == ("a>x", "b>y")


def test_a_wrapper_in_another_module_changes(live):
    live.start("from deco import tag\n@tag('a')\ndef f():\n    return 'x'\n", {"deco.py": WRAPS})
    from m import f

    live.edit("return t + fn", "return t + '>' + fn", "deco.py")
    assert f() == "a>x"


def test_three_decorators_on_a_method_held_bound(live):
    live.start(
        """
        import functools
        def tag(t):
            def deco(fn):
                @functools.wraps(fn)
                def wrapper(self, *a):
                    return t + fn(self, *a)
                return wrapper
            return deco
        class C:
            @tag("a")
            @tag("b")
            @tag("c")
            def f(self):
                return "v1"
        """
    )
    from m import C

    held = C().f
    live.edit("v1", "v2")
    assert held() == "abcv2"
    live.edit('    @tag("b")\n', "")
    assert held() == "acv2"


def test_a_decorator_is_added_under_an_old_handle(live):
    live.start(WRAPS + "def f():\n    return 'x'\n", user="from m import f\nheld = [f]\n")
    import m
    import user

    f = m.f
    live.edit("def f():", "@tag('a')\ndef f():")
    assert f() == m.f() == user.f() == user.held[0]() == "ax"
    live.edit("return 'x'", "return 'y'")
    assert f() == m.f() == user.held[0]() == "ay"


def test_a_decorator_is_removed_under_an_old_handle(live):
    live.start(WRAPS + "@tag('a')\ndef f():\n    return 'x'\n", user="from m import f\nheld = [f]\n")
    import m
    import user

    f = m.f
    live.edit("@tag('a')\n", "")
    assert f() == m.f() == user.held[0]() == "x"
    live.edit("return 'x'", "return 'y'")
    assert f() == m.f() == user.held[0]() == "y"


def test_the_argument_of_a_decorator_changes(live):
    live.start(WRAPS + "@tag('a')\ndef f():\n    return 'x'\n")
    import m

    f = m.f
    live.edit("tag('a')", "tag('b')")
    assert f() == m.f() == "bx"
    live.edit("tag('b')", "tag('c')")
    assert f() == m.f() == "cx"


def test_a_decorator_is_replaced_by_another_and_the_order_of_two_changes(live):
    live.start(WRAPS + "@tag('a')\n@tag('b')\ndef f():\n    return 'x'\n")
    import m

    f = m.f
    live.edit("@tag('a')\n@tag('b')", "@tag('b')\n@tag('a')")
    assert f() == m.f() == "bax"


def test_decorator_added_removed_and_added_again_keeps_one_object(live):
    live.start(WRAPS + "def f():\n    return 'x'\n")
    import m

    f = m.f
    for expected, old, new in (
        ("ax", "def f():", "@tag('a')\ndef f():"),
        ("x", "@tag('a')\n", ""),
        ("bx", "def f():", "@tag('b')\ndef f():"),
    ):
        live.edit(old, new)
        assert f() == m.f() == expected


def test_a_decorator_added_to_a_method_reaches_bound_methods_held_before(live):
    live.start(WRAPS + "class C:\n    def f(self):\n        return 'x'\n")
    from m import C

    c = C()
    held = c.f
    live.edit("    def f(self)", "    @tag('a')\n    def f(self)")
    assert held() == c.f() == "ax"


def test_inspect_signature_of_a_decorated_function_is_the_new_one(live):
    live.start(WRAPS + "@tag('a')\ndef f(x: int):\n    return 'x'\n")
    from m import f

    live.edit("x: int", "x: str, y=2")
    assert str(inspect.signature(f)) == "(x: str, y=2)"
    assert f("1", y=3) == "ax"


def test_a_registering_decorator_keeps_one_entry(live):
    live.start(
        """
        import bus
        @bus.on("join")
        def joined(who):
            return "v1 " + who
        """,
        bus="""
        handlers = {}
        order = []
        def on(name):
            def deco(fn):
                handlers[name] = fn
                order.append(fn)
                return fn
            return deco
        """,
    )
    import bus
    import m

    live.edit("v1", "v2")
    assert bus.handlers["join"]("ann") == "v2 ann"
    assert bus.order == [m.joined]


def test_a_registering_decorators_argument_changes(live):
    live.start(
        "import bus\n@bus.on('/old')\ndef page():\n    return 'v1'\n",
        bus="routes = {}\ndef on(path):\n    def deco(fn):\n        routes[path] = fn\n        return fn\n    return deco\n",
    )
    import bus
    import m

    page = m.page
    live.edit("/old", "/new")
    assert bus.routes["/new"] is m.page
    assert bus.routes["/new"]() == page() == "v1"
    live.edit("v1", "v2")
    assert bus.routes["/new"]() == page() == "v2"


def test_a_decorated_function_is_added_and_registers_once(live):
    live.start(
        "import bus\n@bus.on\ndef a():\n    return 'a'\n",
        bus="handlers = []\ndef on(fn):\n    handlers.append(fn)\n    return fn\n",
    )
    import bus
    import m  # noqa: F401 - its import registers

    live.become("import bus\n@bus.on\ndef a():\n    return 'a'\n@bus.on\ndef b():\n    return 'b'\n")
    assert [h() for h in bus.handlers] == ["a", "b"]


def test_a_decorator_that_is_a_class_holding_the_function(live):
    live.start(
        """
        class Command:
            def __init__(self, fn):
                self.fn, self.calls = fn, 0
            def __call__(self, *a):
                self.calls += 1
                return self.fn(*a)
        @Command
        def look(where):
            return "v1 " + where
        """
    )
    import m

    look = m.look
    look("x")
    live.edit("v1", "v2")
    assert look("here") == "v2 here"
    assert m.look is look
    assert look.calls == 2
    live.edit("self.fn(*a)", "'!' + self.fn(*a)")
    assert look("here") == "!v2 here"


def test_a_descriptor_written_by_the_user_as_decorator(live):
    live.start(
        """
        class lazy:
            def __init__(self, fn):
                self.fn = fn
            def __set_name__(self, owner, name):
                self.name = name
            def __get__(self, obj, owner=None):
                return (self.name, self.fn(obj))
        class C:
            @lazy
            def v(self):
                return "v1"
        """
    )
    from m import C

    c = C()
    live.edit("v1", "v2")
    assert c.v == ("v", "v2")
    live.edit("(self.name, self.fn(obj))", "(self.name + '!', self.fn(obj))")
    assert c.v == ("v!", "v2")


def test_lru_cache_is_emptied_when_its_function_changes_and_only_then(live):
    live.start(
        """
        import functools
        @functools.lru_cache(maxsize=None)
        def f(x):
            return ("v1", x)
        @functools.cache
        def other(x):
            return object()
        """
    )
    import m

    f, thing = m.f, m.other(1)
    f(1)
    live.edit("v1", "v2")
    assert f(1) == m.f(1) == ("v2", 1)
    assert m.other(1) is thing
    assert m.f is f


def test_lru_cache_on_a_method_and_its_size_changed(live):
    live.start(
        """
        import functools
        class C:
            @functools.lru_cache(maxsize=4)
            def f(self, x):
                return ("v1", x)
        """
    )
    from m import C

    c = C()
    held = c.f
    c.f(1)
    live.edit("v1", "v2")
    assert c.f(1) == held(1) == ("v2", 1)
    live.edit("maxsize=4", "maxsize=8")
    assert c.f(1) == ("v2", 1)
    assert C.f.cache_info().maxsize == 8


def test_lru_cache_added_and_removed(live):
    live.start("import functools\ncalls = []\ndef f(x):\n    calls.append(x)\n    return x\n", user="from m import f\n")
    import m
    import user

    live.edit("def f(x)", "@functools.lru_cache\ndef f(x)")
    assert [user.f(1), user.f(1), m.f(1)] == [1, 1, 1]
    assert m.calls == [1]
    live.edit("@functools.lru_cache\n", "")
    assert [user.f(1), user.f(1)] == [1, 1]
    assert m.calls == [1, 1, 1]


def test_cached_property_keeps_what_is_cached_and_computes_the_rest_anew(live):
    live.start("import functools\nclass T:\n    @functools.cached_property\n    def v(self):\n        return 'v1'\n")
    from m import T

    hot, cold = T(), T()
    assert hot.v == "v1"
    live.edit("v1", "v2")
    assert (hot.v, cold.v, T().v) == ("v1", "v2", "v2")


def test_a_property_becomes_cached_property_and_back(live):
    live.start("import functools\nclass T:\n    @property\n    def v(self):\n        return object()\n")
    from m import T

    t = T()
    assert t.v is not t.v
    live.edit("@property", "@functools.cached_property")
    assert t.v is t.v
    live.edit("@functools.cached_property", "@property")
    assert t.v is not t.v


@pytest.mark.parametrize("kind", ["property", "functools.cached_property", "staticmethod", "classmethod"])
@pytest.mark.parametrize("was", ["made", "same"])
def test_a_kind_of_descriptor_with_a_constructor_of_its_own_goes_round_the_live_function(live, kind, was):
    live.start(f"""
        import functools
        class made({kind}):
            def __init__(self, function, label="x", *more):
                super().__init__(function)
                self.label, self.more = label, more
        def same(function):
            return function
        def other(function):
            return made(function, "y", 2, 3)
        class T:
            @{was}
            def v(*args):
                return 1
    """)
    from m import T

    held = T.__dict__["v"]
    held = getattr(held, "fget", None) or getattr(held, "func", None) or getattr(held, "__func__", held)
    live.replace("return 1", "return 2")
    live.edit(f"@{was}\n", "@other\n")
    now = vars(T)["v"]
    assert (now.label, now.more, type(now).__name__) == ("y", (2, 3), "made")
    assert (T().v if "property" in kind else T().v()) == held() == 2
    assert (getattr(now, "fget", None) or getattr(now, "func", None) or getattr(now, "__func__", None)) is held


def test_singledispatch_bodies_new_types_and_removed_types(live):
    live.start(
        """
        import functools
        @functools.singledispatch
        def show(x):
            return "any1"
        @show.register
        def _(x: int):
            return "int1"
        @show.register(str)
        def show_str(x):
            return "str1"
        """,
        user="from m import show\n",
    )
    import user

    live.edit("1", "2")
    assert [user.show(x) for x in (None, 1, "s")] == ["any2", "int2", "str2"]
    live.become(
        live.on_disk["m.py"] + '@show.register\ndef _(x: list):\n    return "list3"\n',
    )
    assert [user.show(x) for x in (None, 1, "s", [])] == ["any2", "int2", "str2", "list3"]


def test_singledispatch_on_a_class_of_the_edited_module(live):
    live.start(
        """
        import functools
        class Node:
            pass
        @functools.singledispatch
        def visit(x):
            return "any"
        @visit.register
        def _(x: Node):
            return "node1"
        """
    )
    from m import Node, visit

    node = Node()
    assert visit(node) == "node1"
    live.become(live.on_disk["m.py"].replace("pass", "def f(self): return 1").replace("node1", "node2"))
    assert visit(node) == visit(Node()) == "node2"
    assert node.f() == 1


def test_singledispatchmethod(live):
    live.start(
        """
        import functools
        class V:
            @functools.singledispatchmethod
            def go(self, x):
                return "any1"
            @go.register
            def _(self, x: int):
                return "int1"
        """
    )
    from m import V

    v = V()
    v.go(1)
    live.edit("1", "2")
    assert (v.go(1), v.go("")) == ("int2", "any2")


def test_contextmanager_open_ones_finish_old_new_ones_are_new(live):
    live.start(
        """
        import contextlib
        @contextlib.contextmanager
        def link(log):
            log.append("open1")
            yield "v1"
            log.append("close1")
        """
    )
    from m import link

    log = []
    with link(log) as value:
        assert value == "v1"
        live.edit("1", "2")
    with link(log) as value:
        assert value == "v2"
    assert log == ["open1", "close1", "open2", "close2"]


def test_overloads_leave_the_implementation(live):
    live.start(
        """
        from typing import overload
        @overload
        def f(x: int) -> int: ...
        @overload
        def f(x: str) -> str: ...
        def f(x):
            return ("v1", x)
        class C:
            @overload
            def g(self, x: int) -> int: ...
            @overload
            def g(self, x: str) -> str: ...
            def g(self, x):
                return ("v1", x)
        """
    )
    import m

    f, c = m.f, m.C()
    live.write(live.on_disk["m.py"].replace("v1", "v2").replace("x: str) -> str", "x: bytes) -> bytes"))
    live.become()
    assert f(1) == m.f(1) == c.g(1) == m.C().g(1) == ("v2", 1)


def test_property_getter_setter_and_deleter_change_on_a_live_instance(live):
    live.start(
        """
        class T:
            def __init__(self):
                self.log = []
            @property
            def v(self):
                return "get1"
            @v.setter
            def v(self, x):
                self.log.append(("set1", x))
            @v.deleter
            def v(self):
                self.log.append("del1")
        """
    )
    from m import T

    t = T()
    live.edit("1", "2")
    t.v = 5
    del t.v
    assert t.v == "get2"
    assert t.log == [("set2", 5), "del2"]


def test_a_setter_is_added_and_removed(live):
    live.start("class T:\n    _v = 1\n    @property\n    def v(self):\n        return self._v\n")
    from m import T

    t = T()
    live.become(live.on_disk["m.py"] + "    @v.setter\n    def v(self, x):\n        self._v = x\n")
    t.v = 7
    assert t.v == 7
    live.become("class T:\n    _v = 1\n    @property\n    def v(self):\n        return self._v\n")
    with pytest.raises(AttributeError):
        t.v = 8
    assert t.v == 7


def test_a_property_made_by_a_call_of_property(live):
    live.start(
        "class T:\n    def get(self):\n        return 'v1'\n    v = property(get)\n    w = property(lambda s: 'v1')\n"
    )
    from m import T

    t = T()
    live.edit("v1", "v2")
    assert (t.v, t.w, t.get()) == ("v2", "v2", "v2")


def test_partialmethod_and_a_method_alias_in_the_class_body(live):
    live.start(
        """
        import functools
        class C:
            def go(self, way):
                return ("v1", way)
            north = functools.partialmethod(go, "n")
            walk = go
        """
    )
    from m import C

    c = C()
    walk = c.walk
    live.edit("v1", "v2")
    assert (c.north(), c.walk("w"), walk("w")) == (("v2", "n"), ("v2", "w"), ("v2", "w"))


def test_total_ordering(live):
    live.start(
        """
        import functools
        @functools.total_ordering
        class V:
            def __init__(self, n):
                self.n = n
            def __eq__(self, o):
                return self.n == o.n
            def __lt__(self, o):
                return self.n < o.n
        """
    )
    from m import V

    a, b = V(1), V(2)
    live.edit("self.n < o.n", "self.n > o.n")
    assert a > b
    assert a >= b
    assert b < a


def test_a_decorator_that_makes_a_coroutine_function_of_a_plain_one(live):
    live.start(
        """
        import functools
        def task(fn):
            @functools.wraps(fn)
            async def wrapper(*a):
                return fn(*a)
            return wrapper
        @task
        def f(x):
            return ("v1", x)
        def g(x):
            return ("g", x)
        """
    )
    import m

    f, g = m.f, m.g
    live.edit("v1", "v2")
    assert asyncio.run(f(1)) == ("v2", 1)
    live.edit("def g(x)", "@task\ndef g(x)")
    assert asyncio.run(g(1)) == asyncio.run(m.g(1)) == ("g", 1)
    assert inspect.iscoroutinefunction(g)


def test_a_class_decorator_changes_is_added_and_is_removed(live):
    live.start(
        """
        def mark(value):
            def deco(cls):
                cls.mark = value
                return cls
            return deco
        @mark("one")
        class A:
            def f(self):
                return "v1"
        class B:
            pass
        """
    )
    import m

    A, B, a = m.A, m.B, m.A()
    live.edit("v1", "v2")
    assert (a.f(), a.mark, m.A) == ("v2", "one", A)
    live.edit('@mark("one")', '@mark("two")')
    assert (a.mark, m.A) == ("two", A)
    live.edit("class B", '@mark("b")\nclass B')
    assert (B.mark, m.B) == ("b", B)
    live.edit('@mark("two")\n', "")
    assert not hasattr(a, "mark")
    assert m.A is A


def test_a_class_decorator_that_registers_holds_the_live_class_once(live):
    live.start(
        """
        import bus
        @bus.register
        class Irc:
            def f(self):
                return "v1"
        """,
        bus="kinds = {}\norder = []\ndef register(cls):\n    kinds[cls.__name__] = cls\n    order.append(cls)\n    return cls\n",
    )
    import bus
    import m

    irc = m.Irc()
    live.edit("v1", "v2")
    assert bus.order == [m.Irc]
    assert bus.kinds == {"Irc": m.Irc}
    live.edit("class Irc:", "class Irc(dict.fromkeys('a').__class__ and object):")
    assert bus.order == [m.Irc]
    assert bus.kinds["Irc"] is m.Irc
    assert irc.f() == "v2"


def test_an_async_context_manager_and_an_async_decorated_method(live):
    live.start(
        """
        import contextlib
        class Pool:
            @contextlib.asynccontextmanager
            async def lease(self):
                yield "v1"
        """
    )
    from m import Pool

    pool = Pool()
    lease = pool.lease
    live.edit("v1", "v2")

    async def use():
        async with lease() as one, pool.lease() as two:
            return one, two

    assert asyncio.run(use()) == ("v2", "v2")


def test_a_decorator_keyword_that_reads_a_changed_constant(live):
    live.start(WRAPS + "PREFIX = 'a'\n@tag(PREFIX)\ndef f():\n    return 'x'\n")
    import m

    f = m.f
    report = live.edit("PREFIX = 'a'", "PREFIX = 'b'")
    # A decorator is a call of the user's code: it is run again, or kept and reported, never in between.
    assert f() == m.f()
    assert f() == "bx" or "m.f" in str(report)


def test_functools_wraps_chain_across_modules_with_an_edited_middle(live):
    live.start(
        "from mid import loud\n@loud\ndef f():\n    return 'x'\n",
        mid="from low import tag\ndef loud(fn):\n    inner = tag(fn)\n    def wrapper():\n        return inner() + '!'\n    return wrapper\n",
        low="def tag(fn):\n    def tagged():\n        return '<' + fn() + '>'\n    return tagged\n",
    )
    from m import f

    live.edit("'!'", "'?'", "mid.py")
    live.edit("'<'", "'['", "low.py")
    live.edit("'x'", "'y'")
    assert f() == "[y>?"


def test_staticmethod_and_classmethod_wrapped_in_another_decorator(live):
    live.start(
        WRAPS
        + """
class C:
    kind = "k"
    @staticmethod
    @tag("s")
    def s():
        return "v1"
    @classmethod
    @tag("c")
    def c(cls):
        return "v1" + cls.kind
"""
    )
    from m import C

    s, c = C.s, C.c
    live.edit("v1", "v2")
    assert (s(), C().s(), c(), C().c()) == ("sv2", "sv2", "cv2k", "cv2k")


@pytest.mark.parametrize("wrapped", ["functools.partial({})", "staticmethod({})", "functools.lru_cache({})"])
def test_a_wrapper_that_is_put_around_another_definition_leaves_the_first_as_it_is(live, wrapped):
    text = "import functools\ndef f(): return 'f'\ndef g(): return 'g'\np = " + wrapped + "\n"
    live.start(text.format("f"))
    import m

    first = m.f
    live.become(text.format("g"))
    assert (first(), m.f(), m.g(), m.p()) == ("f", "f", "g", "g")
    assert m.f is first


def test_a_method_that_was_a_function_of_another_module_leaves_that_as_it_is(live):
    live.start(u="def a(): return 'a'\ndef b(): return 'b'\n", m="import u\nclass C:\n    run = staticmethod(u.a)\n")
    import m
    import u

    live.edit("u.a", "u.b")
    assert (u.a(), u.b(), m.C.run()) == ("a", "b", "b")


def test_a_property_made_of_another_method_leaves_the_first_as_it_is(live):
    live.start("class A:\n    def f(self): return 'f'\n    def g(self): return 'g'\n    p = property(f)\n")
    import m

    held = m.A()
    live.edit("property(f)", "property(g)")
    assert (held.f(), held.g(), held.p) == ("f", "g", "g")


def test_what_a_decorator_registered_of_a_method_is_the_live_one_when_its_class_is_made_again(live):
    live.start(
        "found = {}\ndef switch(f):\n    found[f.__name__] = f\n    return f\nclass A(object):\n    @switch\n    def f(self): return 1\n"
    )
    import m

    held, f = m.A(), m.A.f
    live.replace("(object)", "")
    live.edit("return 1", "return 2")
    assert m.found["f"] is m.A.f is f
    assert held.f() == 2
