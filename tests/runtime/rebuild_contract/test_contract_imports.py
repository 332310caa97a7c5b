"""Imports, packages, star imports, circular imports; files that are added, moved and deleted."""

import sys

import pytest


def test_an_import_is_added_and_removed(live):
    live.start("import json\nfrom os import sep\ndef f():\n    return 1\n")
    import m

    f = m.f
    live.become("import math\nfrom os import path as p\ndef f():\n    return math.floor(2.5), p.join('a', 'b')\n")
    assert f() == (2, "a/b")
    assert not hasattr(m, "json")
    assert not hasattr(m, "sep")


def test_one_of_several_names_of_an_import_line(live):
    live.start("from a import x, y\nimport os, sys\n", a="x = 1\ny = 2\nz = 3\n")
    import m

    live.become("from a import y, z\nimport os\n")
    assert (m.y, m.z) == (2, 3)
    assert not hasattr(m, "x")
    assert not hasattr(m, "sys")
    assert m.os


def test_the_source_of_an_import_changes(live):
    live.start(
        "from a import f\ndef run():\n    return f()\n", a="def f():\n    return 'a'\n", b="def f():\n    return 'b'\n"
    )
    import a
    import b
    import m

    run, af = m.run, a.f
    live.edit("from a", "from b")
    assert run() == "b"
    assert a.f is af
    assert (af(), b.f()) == ("a", "b")


def test_an_import_becomes_a_definition_and_back(live):
    live.start("from a import f\ndef run():\n    return f()\n", a="def f():\n    return 'a'\n")
    import a
    import m

    live.become("def f():\n    return 'own'\ndef run():\n    return f()\n")
    assert m.run() == "own"
    assert a.f() == "a"
    live.become("from a import f\ndef run():\n    return f()\n")
    assert m.run() == "a"
    assert m.f is a.f


def test_a_star_import_sees_changed_new_and_removed_names(live):
    live.start(
        "from a import *\ndef run():\n    return f(), LIMIT\n",
        a="LIMIT = 1\ndef f():\n    return 'v1'\ndef old():\n    return 1\n",
    )
    import m

    live.become(a="LIMIT = 2\ndef f():\n    return 'v2'\ndef new():\n    return 'new'\n_private = 1\n")
    assert m.run() == ("v2", 2)
    assert m.new() == "new"
    assert not hasattr(m, "_private")


def test_a_star_import_obeys_dunder_all(live):
    live.start("from a import *\n", a="__all__ = ['x']\nx = 1\ny = 2\n")
    import m

    assert not hasattr(m, "y")
    live.become(a="__all__ = ['x', 'y', 'z']\nx = 1\ny = 2\nz = 3\n")
    assert (m.x, m.y, m.z) == (1, 2, 3)


def test_a_star_import_of_a_star_import(live):
    live.start("from a import *\n", a="from b import *\n", b="x = 1\n")
    import m

    live.become(b="x = 2\ny = 3\n")
    assert (m.x, m.y) == (2, 3)


def test_a_name_of_the_importer_wins_over_a_star_import(live):
    live.start("from a import *\nx = 'own'\n", a="x = 1\ny = 1\n")
    import m

    live.become(a="x = 2\ny = 2\n")
    assert (m.x, m.y) == ("own", 2)


def test_circular_imports_both_edited(live):
    live.start(
        {"a.py": "import b\ndef fa():\n    return 'a1' + b.tail()\ndef tail():\n    return 'ta1'\n"},
        b="import a\ndef fb():\n    return 'b1' + a.tail()\ndef tail():\n    return 'tb1'\n",
    )
    import a
    import b

    fa, fb = a.fa, b.fb
    live.become({name: text.replace("1'", "2'") for name, text in live.on_disk.items()})
    assert (fa(), fb()) == ("a2tb2", "b2ta2")


def test_circular_from_imports_at_the_end(live):
    live.start(
        a="def fa():\n    return 'a1'\nfrom b import fb\ndef both():\n    return fa() + fb()\n",
        b="def fb():\n    return 'b1'\nfrom a import fa\n",
    )
    import a
    import b

    both = a.both
    live.become(
        {
            name: text.replace("1'", "2'") + "def more():\n    return fb() + fa()\n"
            for name, text in live.on_disk.items()
        }
    )
    assert both() == "a2b2"
    assert b.more() == a.more() == "b2a2"


def test_a_base_and_its_subclass_in_two_files_change_together(live):
    live.start(
        {"base.py": "class Base:\n    kind = 'base1'\n    def go(self):\n        return self.kind\n"},
        child="from base import Base\nclass Child(Base):\n    def run(self):\n        return 'c1' + self.go()\n",
    )
    import base
    from child import Child

    child = Child()
    live.become({n: t.replace("c1", "c2").replace("base1", "base2") for n, t in live.on_disk.items()})
    assert child.run() == "c2base2"
    assert Child.__mro__[1] is base.Base


def test_a_new_helper_in_one_file_is_used_by_the_other_in_the_same_edit(live):
    live.start("import lib\ndef f():\n    return 'v1'\n", lib="def old():\n    return 1\n")
    import m

    f = m.f
    live.become(
        "from lib import fresh, TABLE\nX = fresh()\ndef f():\n    return fresh(), X, TABLE\n",
        lib="TABLE = {'a': 1}\ndef fresh():\n    return 'fresh'\n",
    )
    assert f() == ("fresh", "fresh", {"a": 1})


def test_a_new_file_is_added_and_imported(live):
    live.start("def f():\n    return 1\n")
    from m import f

    live.become("from helper import aid\ndef f():\n    return aid()\n", helper="def aid():\n    return 'aid1'\n")
    assert f() == "aid1"
    live.edit("aid1", "aid2", "helper.py")
    assert f() == "aid2"


def test_a_new_file_that_nobody_imports_is_not_run(live):
    live.start("def f():\n    return 1\n")
    import m

    live.become(lonely="raise RuntimeError('must not run')\n")
    assert "lonely" not in sys.modules
    assert m.f() == 1


def test_new_files_that_import_each_other(live):
    live.start("def f():\n    return 1\n")
    from m import f

    live.become(
        "import one\ndef f():\n    return one.go()\n",
        one="import two\ndef go():\n    return two.back()\ndef end():\n    return 'end'\n",
        two="import one\ndef back():\n    return one.end()\n",
    )
    assert f() == "end"


def test_a_module_is_renamed_and_its_importer_edited(live):
    live.start("import oldname\ndef run():\n    return oldname.f()\n", oldname="def f():\n    return 'v1'\n")
    import m

    run = m.run
    live.become(
        "import newname\ndef run():\n    return newname.f()\n", newname="def f():\n    return 'v2'\n", oldname=None
    )
    assert run() == "v2"
    assert not hasattr(m, "oldname")
    assert "oldname" not in sys.modules


def test_a_deleted_module_that_nobody_imports_leaves(live):
    live.start("def f():\n    return 1\n", other="X = 1\n")
    import m
    import other  # noqa: F401 - its file is deleted below

    live.become("def f():\n    return 2\n", other=None)
    assert "other" not in sys.modules
    assert m.f() == 2


def test_a_deleted_module_that_somebody_imports_stays_and_is_reported(live):
    live.start("def f():\n    return 1\n", user="from m import f\ndef run():\n    return f()\n")
    import user

    run = user.run
    report = live.become({"m.py": None, "user.py": "from m import f\ndef run():\n    return f() + 1\n"})
    assert run() == 2
    assert "m" in sys.modules
    assert "m.py" in str(report) or " m" in str(report)


def test_a_deleted_submodule_leaves_its_package(live):
    live.start({"pkg/__init__.py": "", "pkg/a.py": "X = 1\n", "pkg/b.py": "Y = 1\n"})
    import pkg
    import pkg.a
    import pkg.b

    live.become({"pkg/b.py": None})
    assert "pkg.b" not in sys.modules
    assert not hasattr(pkg, "b")
    assert pkg.a.X == 1


def test_a_deleted_file_comes_back(live):
    live.start("def f():\n    return 'v1'\n", user="import m\ndef run():\n    return m.f()\n")
    import user

    live.become({"m.py": None})
    assert user.run() == "v1"
    live.become("def f():\n    return 'v2'\n")
    assert user.run() == "v2"


def test_a_module_becomes_a_package(live):
    live.start(
        "def f():\n    return 'v1'\nSTATE = []\n", user="import m\nfrom m import f\ndef run():\n    return f(), m.f()\n"
    )
    import m
    import user

    f = m.f
    m.STATE.append(1)
    live.become(
        {
            "m.py": None,
            "m/__init__.py": "from .deep import aid\ndef f():\n    return 'v2' + aid()\nSTATE = []\n",
            "m/deep.py": "def aid():\n    return '!'\n",
        }
    )
    assert user.run() == ("v2!", "v2!")
    assert sys.modules["m"] is m is user.m
    assert m.f is f
    assert m.STATE == [1]
    assert m.__file__.endswith("m/__init__.py")
    assert list(m.__path__) == [str(live.root / "m")]
    import m.deep

    assert m.deep.aid() == "!"
    live.edit("'!'", "'?'", "m/deep.py")
    assert user.run() == ("v2?", "v2?")


def test_a_package_becomes_a_module(live):
    live.start({"m/__init__.py": "def f():\n    return 'v1'\n"}, user="from m import f\n")
    import m
    import user

    f = m.f
    live.become({"m/__init__.py": None, "m.py": "def f():\n    return 'v2'\n"})
    assert user.f is f
    assert f() == "v2"
    assert sys.modules["m"] is m
    assert m.__file__.endswith("/m.py")


def test_relative_imports_in_a_package(live):
    live.start(
        {
            "pkg/__init__.py": "from .a import f\n",
            "pkg/a.py": "from . import b\nfrom .b import g\ndef f():\n    return 'a1' + g() + b.g()\n",
            "pkg/b.py": "def g():\n    return 'b1'\n",
        }
    )
    import pkg

    f = pkg.f
    live.become({n: t.replace("1'", "2'") for n, t in live.on_disk.items()})
    assert f() == pkg.f() == "a2b2b2"
    live.become(
        {
            "pkg/sub/__init__.py": "",
            "pkg/sub/c.py": "from ..b import g\ndef h():\n    return 'c' + g()\n",
            "pkg/a.py": "from .sub.c import h\ndef f():\n    return h()\n",
        }
    )
    assert f() == "cb2"


def test_package_init_gains_a_re_export(live):
    live.start(
        {"pkg/__init__.py": "VERSION = 1\n", "pkg/a.py": "def f():\n    return 'v1'\n"},
        user="import pkg\ndef run():\n    return pkg.VERSION, pkg.f()\n",
    )
    import user

    live.become({"pkg/__init__.py": "from pkg.a import f\nVERSION = 2\n"})
    assert user.run() == (2, "v1")


def test_a_module_level_getattr_and_dir_come_and_go(live):
    live.start("X = 1\n")
    import m

    live.become(
        "X = 1\ndef __getattr__(name):\n    if name.startswith('v_'):\n        return name\n    raise AttributeError(name)\ndef __dir__():\n    return ['X', 'v_a']\n"
    )
    assert m.v_a == "v_a"
    assert dir(m) == ["X", "v_a"]
    live.become("X = 1\n")
    with pytest.raises(AttributeError):
        m.v_a


def test_a_name_hidden_behind_a_new_module_getattr_is_gone(live):
    live.start("OLD = 1\n")
    import m

    live.become(
        "def __getattr__(name):\n    if name == 'OLD':\n        return 'deprecated'\n    raise AttributeError(name)\n"
    )
    assert m.OLD == "deprecated"


def test_type_checking_and_try_imports(live):
    live.start(
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from nowhere import Thing
        try:
            import no_such_accelerator as fast
        except ImportError:
            fast = None
        def f(x: Thing) -> int:
            return "v1", fast
        """
    )
    from m import f

    live.edit("v1", "v2")
    live.edit("from nowhere import Thing", "from nowhere import Thing, Other")
    live.edit("import no_such_accelerator as fast", "import math as fast")
    import math

    assert f(1) == ("v2", math)
    assert f.__annotations__ == {"x": "Thing", "return": "int"}


def test_future_annotations_are_added_and_removed(live):
    live.start("def f(x: int) -> int:\n    return x\nclass C:\n    a: int\n")
    from m import C, f

    live.become(
        "from __future__ import annotations\ndef f(x: int) -> Later:\n    return x + 1\nclass C:\n    a: Later\n"
    )
    assert f(1) == 2
    assert f.__annotations__ == {"x": "int", "return": "Later"}
    assert C.__annotations__ == {"a": "Later"}
    live.become("def f(x: int) -> str:\n    return x + 2\nclass C:\n    a: int\n")
    assert f.__annotations__ == {"x": int, "return": str}
    assert C.__annotations__ == {"a": int}


def test_a_lazy_import_in_a_function_finds_new_modules_and_names(live):
    live.start("def f():\n    return 1\n")
    from m import f

    live.become("def f():\n    from helper import aid\n    return aid()\n", helper="def aid():\n    return 'v1'\n")
    assert f() == "v1"
    live.become(helper="def aid():\n    return 'v2'\n")
    assert f() == "v2"


def test_importlib_reload_and_del_from_sys_modules_do_not_break_later_edits(live):
    import importlib

    live.start("def f():\n    return 'v1'\n")
    import m

    live.edit("v1", "v2")
    importlib.reload(m)
    assert m.f() == "v2"
    live.edit("v2", "v3")
    assert m.f() == "v3"
    del sys.modules["m"]
    import m as again

    assert again.f() == "v3"
    live.edit("v3", "v4")
    assert again.f() == "v4"


def test_a_module_imported_only_after_edits_is_current(live):
    live.start("X = 1\n", later="def f():\n    return 'v1'\n")
    import m  # noqa: F401 - something is imported before the edit

    live.edit("v1", "v2", "later.py")
    import later

    assert later.f() == "v2"
    live.edit("v2", "v3", "later.py")
    assert later.f() == "v3"


def test_a_namespace_package(live):
    live.start({"space/a.py": "def f():\n    return 'v1'\n"})
    from space.a import f

    live.edit("v1", "v2", "space/a.py")
    assert f() == "v2"
    live.become(
        {"space/b.py": "def g():\n    return 'g'\n", "space/a.py": "from .b import g\ndef f():\n    return g()\n"}
    )
    assert f() == "g"


def test_a_function_moves_to_another_module_and_is_imported_back(live):
    live.start("def f():\n    return 'v1'\n", lib="X = 1\n", user="from m import f\n")
    import m
    import user

    live.become("from lib import f\n", lib="X = 1\ndef f():\n    return 'v2'\n")
    import lib

    assert m.f is lib.f
    assert user.f() == m.f() == "v2"


def test_the_module_dunders_are_right(live):
    live.start({"pkg/__init__.py": "", "pkg/a.py": "X = 1\n"})
    import pkg.a

    live.become({"pkg/a.py": "X = (__name__, __package__, __spec__.name, __file__, __doc__)\n"})
    assert ("pkg.a", "pkg", "pkg.a", str(live.root / "pkg/a.py"), None) == pkg.a.X


def test_modules_outside_the_recorded_folder_are_left_alone(live):
    live.start("import json\ndef f():\n    return json.dumps({})\n")
    import json

    import m

    dumps = json.dumps
    live.edit("json.dumps({})", "json.dumps([])")
    assert m.f() == "[]"
    assert json.dumps is dumps


def test_import_of_a_sibling_that_changes_in_the_same_edit_in_either_order(live):
    for first, second in (("a", "z"), ("z", "a")):
        live.start(
            {
                f"{first}_lib.py": "LIMIT = 1\n",
                f"{second}_use.py": f"from {first}_lib import LIMIT\nTOP = LIMIT * 10\n",
            },
        )
        use = __import__(f"{second}_use")
        live.become(
            {
                f"{first}_lib.py": "BASE = 5\nLIMIT = BASE + 1\n",
                f"{second}_use.py": f"from {first}_lib import LIMIT, BASE\nTOP = LIMIT * 100 + BASE\n",
            }
        )
        assert (use.LIMIT, use.BASE, use.TOP) == (6, 5, 605)


def test_dotted_imports_and_aliases_of_submodules(live):
    live.start(
        {"pkg/__init__.py": "", "pkg/sub/__init__.py": "", "pkg/sub/deep.py": "def f():\n    return 'v1'\nLIMIT = 1\n"},
        "import pkg.sub.deep\nimport pkg.sub.deep as d\nfrom pkg.sub import deep\nfrom pkg.sub.deep import f as g, LIMIT\n"
        "def run():\n    return pkg.sub.deep.f(), d.f(), deep.f(), g(), LIMIT, d.LIMIT\n",
    )
    import m

    live.write({"pkg/sub/deep.py": "def f():\n    return 'v2'\nLIMIT = 2\n"})
    live.become()
    assert m.run() == ("v2",) * 4 + (2, 2)


def test_import_module_by_name(live):
    live.start(
        "import importlib\ndef run(name):\n    return importlib.import_module(name).f()\n",
        plug="def f():\n    return 'v1'\n",
    )
    from m import run

    assert run("plug") == "v1"
    live.edit("v1", "v2", "plug.py")
    assert run("plug") == "v2"


def test_plugins_found_in_a_folder_are_updated_and_new_ones_found(live):
    live.start(
        "import importlib, pathlib\ndef load():\n    folder = pathlib.Path(__file__).parent / 'plugins'\n"
        "    return {p.stem: importlib.import_module('plugins.' + p.stem).name() for p in sorted(folder.glob('[a-z]*.py'))}\n",
        {"plugins/__init__.py": "", "plugins/one.py": "def name():\n    return 'one1'\n"},
    )
    from m import load

    assert load() == {"one": "one1"}
    live.become(
        {"plugins/one.py": "def name():\n    return 'one2'\n", "plugins/two.py": "def name():\n    return 'two'\n"}
    )
    assert load() == {"one": "one2", "two": "two"}


def test_three_modules_in_a_chain_all_edited_at_once(live):
    live.start(
        "import b\ndef f():\n    return 'a1' + b.f()\n",
        b="import c\ndef f():\n    return 'b1' + c.f()\n",
        c="def f():\n    return 'c1'\n",
    )
    from m import f

    live.become({name: text.replace("1'", "2'") for name, text in live.on_disk.items()})
    assert f() == "a2b2c2"


def test_a_constant_that_moves_to_another_module(live):
    live.start("LIMIT = 5\ndef f():\n    return LIMIT\n", user="from m import LIMIT\n")
    import m
    import user

    live.become("from conf import LIMIT\ndef f():\n    return LIMIT\n", conf="LIMIT = 6\n")
    assert m.f() == m.LIMIT == user.LIMIT == 6


def test_a_class_that_moves_keeps_its_instances_working(live):
    live.start("class C:\n    def __init__(self):\n        self.n = 1\n    def f(self):\n        return 'v1'\n")
    import m

    held = [m.C()]
    live.become(
        "from lib import C\n",
        lib="class C:\n    def __init__(self):\n        self.n = 1\n    def f(self):\n        return 'v2'\n",
    )
    assert m.C().f() == "v2"
    assert held[0].n == 1
    assert held[0].f() in ("v1", "v2")


def test_a_star_import_in_a_package_init_and_a_private_name(live):
    live.start({"pkg/__init__.py": "from .a import *\n", "pkg/a.py": "x = 1\n_y = 2\n"})
    import pkg

    live.become({"pkg/a.py": "x = 10\n_y = 20\nz = 30\n"})
    assert (pkg.x, pkg.z) == (10, 30)
    assert not hasattr(pkg, "_y")


def test_a_star_import_loses_a_name_that_its_source_removed(live):
    live.start("from a import *\ndef f():\n    return x\n", a="x = 1\ny = 2\n")
    import m

    live.become(a="x = 5\n")
    assert m.f() == 5


def test_an_import_inside_try_falls_over_to_the_other_branch(live):
    live.start(
        "try:\n    from lib import fast as work\nexcept ImportError:\n    from lib import slow as work\n",
        lib="def slow():\n    return 'slow'\n",
    )
    import m

    assert m.work() == "slow"
    live.become(
        "try:\n    from lib import quick as work\nexcept ImportError:\n    from lib import slow as work\n",
        lib="def slow():\n    return 'slow'\ndef quick():\n    return 'quick'\n",
    )
    assert m.work() == "quick"


def test_a_package_whose_init_is_edited_keeps_its_submodules(live):
    live.start({"pkg/__init__.py": "STATE = []\ndef f():\n    return 'v1'\n", "pkg/a.py": "X = []\n"})
    import pkg
    import pkg.a

    pkg.a.X.append(1)
    pkg.STATE.append(1)
    live.edit("v1", "v2", "pkg/__init__.py")
    assert sys.modules["pkg.a"] is pkg.a
    assert (pkg.a.X, pkg.STATE, pkg.f()) == ([1], [1], "v2")


def test_a_package_is_renamed_with_its_importer(live):
    live.start(
        "from old.a import f\ndef run():\n    return f()\n",
        {"old/__init__.py": "", "old/a.py": "def f():\n    return 'v1'\n"},
    )
    from m import run

    live.become(
        "from new.a import f\ndef run():\n    return f()\n",
        {"old/__init__.py": None, "old/a.py": None, "new/__init__.py": "", "new/a.py": "def f():\n    return 'v2'\n"},
    )
    assert run() == "v2"
    assert "old" not in sys.modules
    assert "old.a" not in sys.modules


def test_a_main_guard_and_a_dunder_main_module_are_left_alone(live):
    live.start({"pkg/__init__.py": "", "pkg/__main__.py": "raise SystemExit('must not run')\n", "pkg/a.py": "X = 1\n"})
    import pkg.a

    live.write({"pkg/__main__.py": "raise SystemExit('still must not run')\n", "pkg/a.py": "X = 2\n"})
    live.become()
    assert pkg.a.X == 2


def test_a_module_that_put_another_one_in_its_place_lives_on_in_both(live):
    live.start(
        m="import sys, types\ndef f(): return h()\ndef h(): return 1\nclass Lazy(types.ModuleType):\n"
        "    def __getattr__(self, name): return 'lazy 1'\nold = sys.modules[__name__]\nnew = Lazy(__name__)\n"
        "new.__dict__.update(old.__dict__)\nsys.modules[__name__] = new\ndel new.new, new.old\n",
        u="from m import f\n",
    )
    import m
    import u

    held = m.f
    live.replace("return h()", "return h(), k()")
    live.edit("'lazy 1'", "'lazy 2'\ndef k(): return 'k'\nX = 5")
    assert held() == u.f() == m.f() == (1, "k")
    assert (m.k(), m.X, m.other) == ("k", 5, "lazy 2")


def test_a_module_that_put_an_object_in_its_place_keeps_that_free_of_its_names(live):
    live.start(
        "import sys\nclass Settings:\n    def get(self): return helper()\ndef helper(): return 1\n"
        "sys.modules[__name__] = Settings()\n"
    )
    import m

    live.edit("return helper()\n", "return helper(), more()\ndef more(): return 2\n")
    assert m.get() == (1, 2)
    assert vars(m) == {}


DEFINED = "class A:\n    def f(self): return {0}\ndef g(): return {0}\n"


@pytest.mark.parametrize(
    "after",
    [
        {"m": "from n import A, g\n", "n": DEFINED.format(2)},
        {"m": None, "n": DEFINED.format(2), "u": "from n import A, g\n"},
        {"m": None, "u": DEFINED.format(2)},
    ],
    ids=["into a new file", "with its file, which got another name", "from a file that goes into its importer"],
)
def test_definitions_that_move_in_one_edit_are_the_same_objects(live, after):
    live.start(m=DEFINED.format(1), u="from m import A, g\n")
    import u

    A, g, held = u.A, u.g, u.A()
    live.become(**after)
    assert u.A is A
    assert u.g is g
    assert (held.f(), g()) == (2, 2)
    assert isinstance(held, u.A)
    assert A.__module__ == ("n" if "n" in after else "u")


def test_definitions_that_moved_are_where_they_were_after_a_refused_edit(live):
    live.start(m=DEFINED.format(1), u="from m import A, g\n")
    import u

    A, g, held = u.A, u.g, u.A()
    live.refused(m=None, n=DEFINED.format(2), u="from n import A, g\n1 / 0\n")
    assert u.A is A
    assert u.g is g
    assert (held.f(), g(), A.__module__) == (1, 1, "m")
    assert "n" not in sys.modules


def test_what_is_defined_where_no_types_are_checked_is_defined(live):
    live.start("from typing import TYPE_CHECKING\nclass A:\n    def send(self, x): return x\n")
    import m

    held, bound = m.A.send, m.A().send
    live.become(
        "from typing import TYPE_CHECKING\nclass A:\n    def _send(self, x): return x, 2\n    if not TYPE_CHECKING:\n"
        "        def send(self, x): return self._send(x)\n"
    )
    assert m.A.send is held
    assert bound(1) == (1, 2)
