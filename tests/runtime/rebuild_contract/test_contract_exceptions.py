"""Exceptions that are caught, raised and held across an edit."""

import pytest


def test_an_exception_gains_a_base(live):
    live.start("class Net(Exception): ...\nclass Timeout(Exception): ...\ndef act():\n    raise Timeout('t')\n")
    import m

    act, old = m.act, m.Timeout("earlier")
    live.edit("class Timeout(Exception)", "class Timeout(Net)")
    for thrower in (act, m.act):
        with pytest.raises(m.Net):
            thrower()
    with pytest.raises(m.Net):
        raise old


def test_an_except_clause_of_running_code_catches_what_new_code_raises(live):
    live.start(
        """
        class Stop(Exception):
            pass
        def work(n):
            if n > 2:
                raise Stop("v1")
        def serve():
            n = 0
            while True:
                try:
                    work(n)
                except Stop as stop:
                    yield stop
                else:
                    yield n
                n += 1
        """
    )
    from m import Stop, serve

    running = serve()
    assert next(running) == 0
    live.become(live.on_disk["m.py"].replace("n > 2", "n > 0").replace("v1", "v2").replace("pass", "code = 5"))
    caught = next(running)
    assert isinstance(caught, Stop)
    assert caught.args == ("v2",)
    assert caught.code == 5


def test_an_instance_raised_before_is_caught_by_the_new_name(live):
    live.start(
        "class E(Exception):\n    def why(self):\n        return 'v1'\n",
        user="import m\ndef guard(fn):\n    try:\n        fn()\n    except m.E as e:\n        return e.why()\n",
    )
    import m
    import user

    held = m.E("old")

    def thrower():
        raise held

    live.edit("v1", "v2")
    assert user.guard(thrower) == "v2"


def test_except_in_another_module_with_from_import(live):
    live.start(
        "class E(Exception):\n    code = 1\ndef act():\n    raise E\n",
        user="from m import E, act\ndef run():\n    try:\n        act()\n    except E as e:\n        return e.code\n",
    )
    from user import run

    live.edit("code = 1", "code = 2")
    assert run() == 2


def test_exception_init_str_and_a_tuple_of_exceptions(live):
    live.start(
        """
        class A(Exception):
            def __str__(self):
                return "v1"
        class B(A): ...
        CATCH = (A, KeyError)
        """
    )
    import m

    catch, b = m.CATCH, m.B()
    live.edit("v1", "v2")
    assert str(b) == "v2"
    with pytest.raises(catch):
        raise b


def test_the_hierarchy_is_turned_round(live):
    live.start("class A(Exception): ...\nclass B(A): ...\n")
    import m

    a = m.A()
    live.become("class B(Exception): ...\nclass A(B): ...\n")
    assert isinstance(a, m.B)
    assert issubclass(m.A, m.B)
    assert not issubclass(m.B, m.A)


def test_an_exception_changes_to_another_builtin_base(live):
    live.start("class E(Exception): ...\n")
    import m

    held = [m.E("x")]
    live.edit("E(Exception)", "E(ValueError)")
    with pytest.raises(ValueError):
        raise m.E
    assert isinstance(held[0], m.E)
    live.edit("E(ValueError)", "E(OSError)")
    with pytest.raises(OSError):
        raise m.E
    assert isinstance(held[0], m.E)
    assert held[0].args == ("x",)


def test_a_traceback_through_edited_code_names_the_new_lines(live):
    import traceback

    live.start("def f():\n    raise ValueError('v1')\n")
    from m import f

    live.become("# one\n# two\n\ndef f():\n    x = 1\n    raise ValueError('v2')\n")
    with pytest.raises(ValueError) as caught:
        f()
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.lineno, last.line) == (6, "raise ValueError('v2')")
