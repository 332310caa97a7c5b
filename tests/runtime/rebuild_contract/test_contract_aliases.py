"""Names that other modules, packages and consoles hold."""

V1 = """
def f():
    return "v1"
class C:
    def g(self):
        return "v1"
LIMIT = 1
"""


def test_from_import_in_a_module_that_is_not_edited(live):
    live.start(V1, user="from m import f, C, LIMIT\ndef run():\n    return f(), C().g(), LIMIT\n")
    from user import run

    live.become(V1.replace("v1", "v2").replace("LIMIT = 1", "LIMIT = 2"))
    assert run() == ("v2", "v2", 2)


def test_from_import_as(live):
    live.start(V1, user="from m import f as shout, LIMIT as top\ndef run():\n    return shout(), top\n")
    from user import run

    live.become(V1.replace("v1", "v2").replace("LIMIT = 1", "LIMIT = 2"))
    assert run() == ("v2", 2)


def test_import_module_as(live):
    live.start(V1, user="import m as mod\ndef run():\n    return mod.f(), mod.LIMIT\n")
    from user import run

    live.become(V1.replace("v1", "v2").replace("LIMIT = 1", "LIMIT = 2"))
    assert run() == ("v2", 2)


def test_a_chain_of_re_exports(live):
    live.start(
        {"pkg/__init__.py": "from .api import f, LIMIT\n", "pkg/api.py": "from ._impl import f, LIMIT\n"},
        {"pkg/_impl.py": V1},
        user="from pkg import f, LIMIT\n",
    )
    import pkg.api
    import user

    live.write({"pkg/_impl.py": V1.replace("v1", "v2").replace("LIMIT = 1", "LIMIT = 2")})
    live.become()
    assert user.f() == pkg.f() == pkg.api.f() == "v2"
    assert user.LIMIT == pkg.LIMIT == pkg.api.LIMIT == 2


def test_names_in_a_console_namespace_follow(live):
    live.start(V1)
    console = {}
    exec("from m import f, C\nc = C()\ng = c.g", console)
    live.edit("v1", "v2")
    import m

    assert eval("f(), c.g(), g(), C().g(), isinstance(c, C)", console) == ("v2",) * 4 + (True,)
    assert console["C"] is m.C


def test_a_name_the_importer_bound_anew_is_left_alone(live):
    live.start(V1, user="from m import LIMIT\n")
    import user

    user.LIMIT = 99
    live.edit("LIMIT = 1", "LIMIT = 2")
    assert user.LIMIT == 99


def test_a_name_imported_inside_a_function_is_looked_up_each_time(live):
    live.start(V1, user="def run():\n    from m import f, LIMIT\n    return f(), LIMIT\n")
    from user import run

    assert run() == ("v1", 1)
    live.become(V1.replace("v1", "v2").replace("LIMIT = 1", "LIMIT = 2"))
    assert run() == ("v2", 2)


def test_a_function_imported_inside_a_class_body(live):
    live.start(V1, user="class Holder:\n    from m import f\n    f = staticmethod(f)\n")
    from user import Holder

    live.become(V1.replace("v1", "v2"))
    assert Holder.f() == "v2"


def test_a_local_variable_of_a_running_generator_follows(live):
    live.start(V1)

    def runner():
        from m import f

        while True:
            yield f()

    gen = runner()
    assert next(gen) == "v1"
    live.edit("v1", "v2")
    assert next(gen) == "v2"


def test_the_module_object_itself_stays(live):
    live.start(V1)
    import sys

    import m

    namespace = m.__dict__
    live.edit("v1", "v2")
    assert sys.modules["m"] is m
    assert m.__dict__ is namespace


def test_a_name_whose_value_was_equal_but_not_the_modules_own_is_left_alone(live):
    live.start("ITEMS = [1]\n", user="import m\nITEMS = list(m.ITEMS)\n")
    import user

    mine = user.ITEMS
    live.edit("[1]", "[1, 2]")
    assert user.ITEMS is mine
