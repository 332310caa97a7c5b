"""What an edit does to values: kept, changed, merged, computed again, removed, followed by importers."""

import pytest

from midair.runtime import rebuild


def test_a_global_whose_statement_did_not_change_keeps_its_value(project):
    project.write(m="count = 0\ndef f(): return 1\n")
    m = project.load()
    m.count = 7
    project.edit(m="count = 0\ndef f(): return 2\n")
    assert (m.count, m.f()) == (7, 2)


def test_a_changed_constant_reaches_modules_that_imported_it_by_name(project):
    project.write(m="PORT = 80\nHOST = 'a'\n", user="from m import PORT as port, HOST\nfrom m import *\n")
    m, user = project.load(), project.load("user")
    user.HOST = "mine"
    project.edit(m="PORT = 81\nHOST = 'b'\n")
    assert (m.PORT, user.port, user.PORT) == (81, 81, 81)
    assert user.HOST == "mine"


def test_a_name_added_to_a_module_reaches_those_who_import_its_star(project):
    project.write(a="x = 1\n_private = 1\n", b="from a import *\n", c="from b import *\n")
    project.load("a")
    b, c = project.load("b"), project.load("c")
    project.edit(a="x = 2\ny = 3\n_private = 1\n_more = 1\n")
    assert (b.x, b.y, c.x, c.y) == (2, 3, 2, 3)
    assert not hasattr(b, "_more")
    project.edit(a="x = 2\n_private = 1\n_more = 1\n")
    assert not hasattr(b, "y")
    assert not hasattr(c, "y")


def test_a_dict_display_merges_with_what_the_program_put_in(project):
    project.write(m="T = {'a': 1, 'b': 2, 'c': {'x': 1}}\n")
    m = project.load()
    t = m.T
    t["run"] = 9
    t["a"] = 100
    project.edit(m="T = {'a': 1, 'b': 3, 'd': 4, 'c': {'x': 1, 'y': 2}}\n")
    assert m.T is t
    assert t == {"a": 100, "b": 3, "run": 9, "d": 4, "c": {"x": 1, "y": 2}}
    project.edit(m="T = {'a': 1, 'd': 4}\n")
    assert t == {"a": 100, "run": 9, "d": 4}


def test_a_list_display_merges_with_what_the_program_put_in(project):
    project.write(m="L = [1, 2, 3]\nS = {1, 2}\n")
    m = project.load()
    kept, s = m.L, m.S
    kept.append("run")
    s.add("run")
    project.edit(m="L = [1, 4, 3]\nS = {2, 5}\n")
    assert m.L is kept
    assert kept == [1, 4, 3, "run"]
    assert m.S is s
    assert s == {2, 5, "run"}


def test_one_lambda_of_a_dispatch_table_changes_where_it_is_held(project):
    project.write(m="T = {'a': lambda: 1, 'b': lambda: 2}\n")
    m = project.load()
    held, t = m.T["b"], m.T
    project.edit(m="T = {'a': lambda: 1, 'b': lambda: 3}\n")
    assert m.T is t
    assert held() == 3
    assert m.T["b"] is held


def test_a_table_of_functions_gains_an_entry(project):
    project.write(m="def a(): return 1\nT = {'a': a}\n")
    m = project.load()
    a = m.a
    project.edit(m="def a(): return 2\ndef b(): return 3\nT = {'a': a, 'b': b}\n")
    assert m.T["a"] is a
    assert m.T["b"] is m.b
    assert a() == 2


def test_a_value_computed_from_a_changed_value_is_computed_again_across_modules(project):
    project.write(
        conf="PORT = 80\n",
        m="""
        import conf
        from conf import PORT
        URL = f"http://h:{PORT}/"
        ALSO = conf.PORT + 1
        class C:
            port = PORT
            both = (PORT, ALSO)
            def f(self, port=PORT): return port
        def g(port=PORT, *, other=conf.PORT): return port, other
        LENGTH = len(URL)
        """,
    )
    m = project.load()
    g, c = m.g, m.C()
    project.edit(conf="PORT = 8080\n")
    assert m.URL == "http://h:8080/"
    assert m.ALSO == 8081
    assert m.LENGTH == 14
    assert c.port == 8080
    assert c.both == (8080, 8081)
    assert c.f() == 8080
    assert g() == (8080, 8080)


def test_a_computed_value_that_may_have_effects_is_kept_and_reported(project):
    project.write(m="N = 1\ndef make(n): return [n]\nV = make(N)\nW = N + 1\n")
    m = project.load()
    v = m.V
    m.W = 50
    report = project.edit(m="N = 2\ndef make(n): return [n]\nV = make(N)\nW = N + 1\n")
    assert m.V is v
    assert m.W == 50
    assert {n.name for n in report.kept} == {"m.V", "m.W"}


def test_a_removed_name_is_removed_unless_it_was_set_from_outside(project):
    project.write(m="A = 1\nB = 2\ndef f(): return 1\ndef g(): return 1\n")
    m = project.load()
    m.B = mine = object()
    m.g = other = lambda: 5
    report = project.edit(m="def h(): return 1\n")
    assert not hasattr(m, "A")
    assert not hasattr(m, "f")
    assert m.B is mine
    assert m.g is other
    assert {n.name for n in report.kept} == {"m.B", "m.g"}


def test_a_removed_definition_that_comes_back_is_the_same_object(project):
    project.write(m="def f(): return 1\nclass C:\n    def g(self): return 1\n")
    m = project.load()
    f, c, obj = m.f, m.C, m.C()
    project.edit(m="x = 1\n")
    assert f() == 1
    assert obj.g() == 1
    project.edit(m="x = 1\ndef f(): return 2\nclass C:\n    def g(self): return 2\n")
    assert m.f is f
    assert f() == 2
    assert m.C is c
    assert obj.g() == 2


def test_calls_at_the_top_level_run_when_new_or_changed_and_only_then(project):
    project.write(bus="seen = []\n", m="import bus\nbus.seen.append(1)\ndef f(): return 1\n")
    m, bus = project.load(), project.load("bus")
    project.edit(m="import bus\nbus.seen.append(1)\ndef f(): return 2\n")
    assert bus.seen == [1]
    report = project.edit(m="import bus\nbus.seen.append(1)\nbus.seen.append(2)\ndef f(): return 2\n")
    assert bus.seen == [1, 2]
    report = project.edit(m="import bus\nbus.seen.append(3)\ndef f(): return 2\n")
    assert bus.seen == [1, 2, 3]
    assert any("append(2)" in n.name for n in report.kept)
    assert m.f() == 2


def test_an_augmented_assignment_starts_from_its_own_beginning(project):
    project.write(m="__all__ = ['a']\n__all__ += ['b']\na = b = c = 1\n")
    m = project.load()
    project.edit(m="__all__ = ['a']\n__all__ += ['b', 'c']\na = b = c = 1\n")
    assert m.__all__ == ["a", "b", "c"]


def test_only_the_edited_part_of_an_assignment_of_several_names_changes(project):
    project.write(m="a, b = 1, 2\n(c, d) = e = 5, 6\n")
    m = project.load()
    m.a, m.c = 100, 50
    project.edit(m="a, b = 1, 3\n(c, d) = e = 5, 7\n")
    assert (m.a, m.b, m.c, m.d) == (100, 3, 50, 7)
    assert m.e == (5, 7)


def test_comments_and_blank_lines_change_no_behaviour_but_the_lines(project):
    import inspect
    import traceback

    project.write(m="X = []\ndef f():\n    return 1 / 0\nclass C:\n    def g(self):\n        return [lambda: 1 / 0]\n")
    m = project.load()
    x, inner = m.X, m.C().g()[0]
    report = project.edit(
        m="# a\n\n# b\nX = []\n# c\ndef f():\n    # d\n    return 1 / 0\n\n\nclass C:\n    def g(self):\n\n        return [lambda: 1 / 0]\n"
    )
    assert m.X is x
    assert report.number
    with pytest.raises(ZeroDivisionError) as caught:
        m.f()
    assert traceback.extract_tb(caught.tb)[-1].lineno == 8
    assert traceback.extract_tb(caught.tb)[-1].line == "return 1 / 0"
    with pytest.raises(ZeroDivisionError) as caught:
        inner()
    assert traceback.extract_tb(caught.tb)[-1].lineno == 14
    assert inspect.getsource(m.C).startswith("class C")
    assert inspect.getsource(m.f).startswith("def f")


def test_nothing_to_do_is_no_edit(project):
    project.write(m="x = 1\n")
    project.load()
    assert rebuild.rebuild().number == 0


def test_a_module_docstring_follows(project):
    project.write(m='"""old"""\nx = 1\n')
    m = project.load()
    project.edit(m='"""new"""\nx = 1\n')
    assert m.__doc__ == "new"
    project.edit(m="x = 1\n")
    assert m.__doc__ is None


def test_a_class_attribute_display_merges_too(project):
    project.write(m="class C:\n    table = {'a': 1}\n    n = 0\n    def f(self): return 1\n")
    m = project.load()
    m.C.table["run"] = 1
    m.C.n = 5
    table = m.C.table
    project.edit(m="class C:\n    table = {'a': 1, 'b': 2}\n    n = 0\n    def f(self): return 2\n")
    assert m.C.table is table
    assert table == {"a": 1, "run": 1, "b": 2}
    assert m.C.n == 5


def test_global_counters_of_the_module_itself_go_with_their_statement(project):
    project.write(m="n = 0\ndef hit():\n    global n\n    n += 1\n    return n\n")
    m = project.load()
    m.hit()
    project.edit(m="def hit():\n    return 5\n")
    assert not hasattr(m, "n")
    assert m.hit() == 5
