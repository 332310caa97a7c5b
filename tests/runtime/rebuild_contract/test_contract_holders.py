"""Functions held by the standard library and by name; modern syntax; what a body edit costs."""


def test_handlers_given_to_the_standard_library_follow(live):
    import atexit
    import logging
    import operator
    import signal
    import types

    live.start("def f(*a):\n    return 'v1'\nclass C:\n    def g(self, *a):\n        return 'v1'\n")
    from m import C, f

    c = C()
    signal.signal(signal.SIGUSR1, f)
    atexit.register(f)
    method = types.MethodType(f, c)
    caller = operator.methodcaller("g")
    log_filter = logging.Filter()
    log_filter.filter = f
    live.edit("v1", "v2")
    assert signal.getsignal(signal.SIGUSR1)() == "v2"
    assert method() == caller(c) == log_filter.filter(None) == "v2"


def test_a_function_found_by_a_name_made_at_run_time(live):
    live.start(
        "class Shell:\n    def run(self, name, *a):\n        return getattr(self, 'do_' + name)(*a)\n    def do_look(self):\n        return 'v1'\n"
    )
    from m import Shell

    run = Shell().run
    live.become(live.on_disk["m.py"].replace("v1", "v2") + "    def do_say(self, text):\n        return text\n")
    assert (run("look"), run("say", "hi")) == ("v2", "hi")


def test_a_copy_of_a_function_made_with_its_code_follows(live):
    import types

    live.start("def f():\n    return 'v1'\n")
    from m import f

    copy = types.FunctionType(f.__code__, f.__globals__, "copy")
    live.edit("v1", "v2")
    assert f() == "v2"
    assert copy() == "v2"


def test_a_function_put_into_builtins_and_into_main_follows(live):
    import builtins

    import __main__

    live.start("def f():\n    return 'v1'\n")
    import m

    builtins.midair_probe = m.f
    __main__.midair_probe = m.f
    live.edit("v1", "v2")
    assert builtins.midair_probe() == __main__.midair_probe() == "v2"
    live.edit("def f():", "def f(x='d'):")
    assert builtins.midair_probe("x") == "v2"


def test_a_body_edit_of_a_function_that_is_reachable_by_name_scans_nothing(live):
    live.start("def f(x=0):\n    return 0\nclass C:\n    def g(self):\n        return 0\n")
    import m

    held = [m.f, m.C().g]
    for i in range(1, 6):
        report = live.become(f"def f(x=0):\n    return {i}\nclass C:\n    def g(self):\n        return {i}\n")
        assert [f() for f in held] == [i, i]
        assert not report.scanned, str(report)


def test_modern_signatures_and_decorator_expressions(live):
    live.start("TABLE = {'a': lambda fn: fn}\n@TABLE['a']\ndef f(a, /, b, *, c=1, **k):\n    return 'v1', a, b, c, k\n")
    from m import f

    live.edit("v1", "v2")
    assert f(1, 2, d=4) == ("v2", 1, 2, 1, {"d": 4})


def test_two_statements_on_one_line(live):
    live.start("a = 1; b = []; f = lambda: 'v1'\n")
    import m

    m.b.append(1)
    f, b = m.f, m.b
    live.become("a = 2; b = []; f = lambda: 'v2'\n")
    assert m.a == 2
    assert m.b is b
    assert b == [1]
    assert f() == m.f() == "v2"


def test_identifiers_and_texts_beyond_ascii(live):
    live.start("def größe(naïve=1):\n    return 'schön', naïve\n")
    import m

    f = m.größe
    live.edit("schön", "schöner — ✓")
    assert f() == ("schöner — ✓", 1)


def test_a_multi_line_string_changes_inside(live):
    live.start('TEXT = """one\ntwo\n"""\ndef f():\n    return f"""\n    {TEXT!r:>10} v1\n    """\n')
    import m

    f = m.f
    live.edit("two", "three")
    live.edit("v1", "v2")
    assert m.TEXT == "one\nthree\n"
    assert "v2" in f()
    assert "three" in f()


def test_async_comprehensions_and_awaits_in_a_changed_body(live):
    import asyncio

    live.start("async def f():\n    return 1\n")
    from m import f

    live.become(
        "async def feed():\n    for i in range(3):\n        yield i\nasync def f():\n    return [x async for x in feed() if x], await g()\nasync def g():\n    return 'g'\n"
    )
    assert asyncio.run(f()) == ([1, 2], "g")


def test_a_nested_function_becomes_async_and_a_generator(live):
    import asyncio

    live.start("def make(n):\n    def inner():\n        return n\n    return inner\n")
    from m import make

    old = make(1)
    live.become("def make(n):\n    async def inner():\n        return ('async', n)\n    return inner\n")
    assert asyncio.run(make(2)()) == ("async", 2)
    assert asyncio.run(old()) == ("async", 1)
    live.become("def make(n):\n    def inner():\n        yield n\n    return inner\n")
    assert list(old()) == [1]


def test_the_qualified_name_of_an_old_handle_follows_a_move_into_a_class_only_by_name(live):
    live.start("def f(self=None):\n    return 'v1'\nclass C:\n    pass\n")
    import m

    held = m.f
    live.become("class C:\n    def f(self=None):\n        return 'v2'\n")
    assert m.C().f() == "v2"
    assert not hasattr(m, "f")
    assert held() in ("v1", "v2")


def test_a_default_that_is_a_lambda_or_a_function_of_the_module(live):
    live.start(
        "def fmt(x):\n    return 'v1', x\ndef show(x, how=fmt, key=lambda q: ('l1', q)):\n    return how(x), key(x)\n"
    )
    from m import show

    live.edit("v1", "v2")
    live.edit("l1", "l2")
    assert show(1) == (("v2", 1), ("l2", 1))


def test_a_mutable_default_survives_an_added_parameter(live):
    live.start("def f(x, seen=[]):\n    seen.append(x)\n    return list(seen)\n")
    from m import f

    f(1)
    live.edit("seen=[]", "seen=[], loud=False")
    assert f(2) in ([1, 2], [2])


def test_an_edit_of_one_function_leaves_the_code_of_the_others_alone(live):
    live.start("def f():\n    return 'v1'\n\n\ndef g():\n    return 'g'\n")
    import m

    code = m.g.__code__
    live.edit("v1", "v2")
    assert m.g.__code__ is code


def test_a_default_follows_its_constant_when_the_signature_changes_too(live):
    live.start("LIMIT = 1\ndef f(x=LIMIT) -> int:\n    return x\n")
    from m import f

    live.become("LIMIT = 2\ndef f(x=LIMIT, *, k=LIMIT):\n    return x, k\n")
    assert f() == (2, 2)
    live.become("LIMIT = 3\ndef f(x: str = LIMIT, *, k=LIMIT):\n    return x, k\n")
    assert f() == (3, 3)
