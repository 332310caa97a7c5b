"""What an edit does to classes and to those who hold them or their instances."""

import abc
import dataclasses
import pickle
import weakref

import pytest

from midair.runtime.rebuild import RebuildError


def test_methods_added_removed_and_changed_reach_instances(project):
    project.write(m="class C:\n    def a(self): return 1\n    def b(self): return 1\n")
    m = project.load()
    c, a, cls = m.C(), m.C().a, m.C
    project.edit(m="class C:\n    def a(self, x=5): return x\n    def c(self): return 3\n")
    assert m.C is cls
    assert c.a() == 5
    assert a() == 5
    assert c.c() == 3
    assert not hasattr(c, "b")


def test_a_subclass_elsewhere_and_super_follow(project):
    project.write(
        base="class B:\n    def f(self): return 'b1'\n",
        m="import base\nclass C(base.B):\n    def f(self): return 'c' + super().f()\n",
    )
    c = project.load().C()
    project.edit(base="class B:\n    def f(self): return 'b2'\n")
    assert c.f() == "cb2"


def test_super_newly_used_by_a_method_that_somebody_holds(project):
    project.write(m="class B:\n    def f(self): return 'b'\nclass C(B):\n    def f(self): return 'c'\n")
    m = project.load()
    held, obj = m.C().f, m.C()
    project.edit(m="class B:\n    def f(self): return 'b'\nclass C(B):\n    def f(self): return 'c' + super().f()\n")
    assert held() == "cb" == obj.f()
    project.edit(m="class B:\n    def f(self): return 'b'\nclass C(B):\n    def f(self): return __class__.__name__\n")
    assert held() == "C"
    project.edit(m="class B:\n    def f(self): return 'b'\nclass C(B):\n    def f(self): return 'd'\n")
    assert held() == "d"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", "(A)"),
        ("(A)", ""),
        ("(A)", "(B)"),
        ("(A)", "(A, B)"),
        ("(A, B)", "(B, A)"),
        ("(A)", "(L, A)"),
        ("(A)", "(Deep)"),
        ("", "(abc.ABC)"),
    ],
)
def test_bases_change_in_place(project, old, new):
    text = """
import abc
class A:
    def who(self): return "A"
class B:
    def who(self): return "B"
class L:
    def loud(self): return "L"
class Deep(B):
    pass
class C{}:
    def f(self): return 1
class D(C):
    pass
"""
    project.write(m=text.format(old))
    m = project.load()
    c, d, cls = m.C(), m.D(), m.C
    c.x, d.x = 1, 2
    project.edit(m=text.format(new))
    fresh = {}
    exec(text.format(new), fresh)
    assert m.C is cls
    assert type(c) is cls
    assert type(d) is m.D
    assert [k.__name__ for k in m.C.__mro__] == [k.__name__ for k in fresh["C"].__mro__]
    assert [k.__name__ for k in m.D.__mro__] == [k.__name__ for k in fresh["D"].__mro__]
    assert type(m.C) is type(fresh["C"])
    assert getattr(c, "who", lambda: None)() == getattr(fresh["C"](), "who", lambda: None)()
    assert (c.x, d.x, vars(c), c.__weakref__) == (1, 2, {"x": 1}, None)
    assert sorted(k for k in vars(m.C)) == sorted(k for k in vars(fresh["C"]))
    for base in (m.A, m.B, m.L):
        assert [k.__name__ for k in base.__subclasses__()] == [
            k.__name__ for k in fresh[base.__name__].__subclasses__()
        ]
    gone = weakref.ref(c)
    del c
    assert gone() is None


def test_a_metaclass_is_added_changed_and_removed(project):
    text = "class M1(type):\n    def hey(cls): return 1\nclass M2(type):\n    def hey(cls): return 2\nclass C{}:\n    pass\n"
    project.write(m=text.format(""))
    m = project.load()
    cls, obj = m.C, m.C()
    for header, meta in [("(metaclass=M1)", "M1"), ("(metaclass=M2)", "M2"), ("", "type"), ("(metaclass=M2)", "M2")]:
        project.edit(m=text.format(header))
        assert m.C is cls
        assert type(cls).__name__ == meta
        assert isinstance(obj, m.C)
        if meta != "type":
            assert m.C.hey() == int(meta[1])
        else:
            assert not hasattr(m.C, "hey")


def test_a_registry_of_a_metaclass_or_init_subclass_or_decorator_holds_the_live_class_once(project):
    project.write(
        reg="""
        seen, names = [], {}
        class Base:
            def __init_subclass__(cls, **kw):
                super().__init_subclass__(**kw)
                seen.append(cls)
        class Meta(type):
            def __init__(cls, *a):
                super().__init__(*a)
                names[cls.__name__] = cls
        def register(cls):
            seen.append(cls)
            return cls
        """,
        m="from reg import *\nclass A(Base):\n    x = 1\nclass B(metaclass=Meta):\n    x = 1\n@register\nclass C:\n    x = 1\n",
    )
    m, reg = project.load(), project.load("reg")
    a, b, c = m.A, m.B, m.C
    project.edit(
        m="from reg import *\nclass A(Base):\n    x = 2\n    y = 1\nclass B(metaclass=Meta):\n    x = 2\n@register\nclass C:\n    x = 2\n    def f(self): return __class__\n"
    )
    assert (a, b, c) == (m.A, m.B, m.C)
    assert (a.x, b.x, c.x) == (2, 2, 2)
    assert reg.seen == [a, c]
    assert reg.names == {"B": b}
    assert c().f() is c
    assert reg.Base.__subclasses__() == [a]


def test_abstract_methods_follow_in_subclasses_elsewhere(project):
    project.write(
        base="import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\n",
        m="import base\nclass C(base.B):\n    def f(self): return 1\n",
    )
    m, base = project.load(), project.load("base")
    c = m.C()
    project.edit(
        base="import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def f(self): ...\n    @abc.abstractmethod\n    def g(self): ...\n"
    )
    with pytest.raises(TypeError):
        m.C()
    assert c.f() == 1
    assert m.C.__abstractmethods__ == {"g"}
    project.edit(base="import abc\nclass B(abc.ABC):\n    def f(self): ...\n")
    assert m.C().f() == 1
    assert isinstance(base.B(), base.B)
    assert isinstance(m.C, abc.ABCMeta)


def test_nested_classes_keep_identity_and_gain_members(project):
    project.write(m="class A:\n    class B:\n        x = 1\n        class C:\n            def f(self): return 1\n")
    m = project.load()
    b, c, obj = m.A.B, m.A.B.C, m.A.B.C()
    project.edit(
        m="class A:\n    y = 1\n    class B:\n        x = 2\n        class C:\n            def f(self): return 2\n            def g(self): return super().__repr__()\n"
    )
    assert m.A.B is b
    assert b.C is c
    assert obj.f() == 2
    assert b.x == 2
    assert m.A.y == 1
    assert obj.g.__qualname__ == "A.B.C.g"
    assert "C object" in obj.g()


def test_private_names_are_mangled(project):
    project.write(m="class C:\n    __x = 1\n    def __f(self): return 1\n    def g(self): return self.__f()\n")
    m = project.load()
    c = m.C()
    project.edit(
        m="class C:\n    __x = 2\n    __y = 3\n    def __f(self): return self.__x\n    def __h(self): return self.__y\n    def g(self): return self.__f(), self.__h()\n"
    )
    assert c.g() == (2, 3)


def test_properties_descriptors_and_set_name(project):
    project.write(
        m="""
        class D:
            def __set_name__(self, owner, name): self.name = (owner.__name__, name)
            def __get__(self, obj, owner): return self.name
        class C:
            a = D()
            @property
            def p(self): return 1
            @p.setter
            def p(self, v): self.v = v
        """
    )
    m = project.load()
    c = m.C()
    project.replace("m", ("a = D()", "a = D()\n    b = D()"), ("return 1", "return 2"), ("self.v = v", "self.v = -v"))
    c.p = 3
    assert c.b == ("C", "b")
    assert c.a == ("C", "a")
    assert (c.p, c.v) == (2, -3)


@pytest.mark.parametrize("kind", ["staticmethod", "classmethod", "property"])
def test_a_method_becomes_another_kind_and_back(project, kind):
    project.write(m="class C:\n    def f(self): return 1\n")
    m = project.load()
    c, f = m.C(), m.C.f
    first = "cls" if kind == "classmethod" else "self" if kind == "property" else ""
    project.edit(m=f"class C:\n    @{kind}\n    def f({first}): return 2\n")
    assert (c.f if kind == "property" else c.f()) == 2
    project.edit(m="class C:\n    def f(self): return 3\n")
    assert c.f() == 3
    assert m.C.f is f


def test_dataclass_fields_come_and_go(project):
    head = "from dataclasses import dataclass, field\n@dataclass{}\nclass U:\n    name: str\n{}"
    project.write(m=head.format("", ""))
    m = project.load()
    a, b, cls = m.U("a"), m.U("b"), m.U
    project.edit(m=head.format("", "    age: int = 3\n    tags: list = field(default_factory=list)\n"))
    assert m.U is cls
    assert (a.age, a.tags, repr(b)) == (3, [], "U(name='b', age=3, tags=[])")
    assert a.tags is not b.tags
    assert vars(a)["age"] == 3
    project.edit(m=head.format("(order=True)", "    tags: list = field(default_factory=list)\n"))
    assert a < b
    assert repr(m.U("x")) == "U(name='x', tags=[])"
    assert [f.name for f in dataclasses.fields(a)] == ["name", "tags"]
    project.edit(m=head.format("", ""))
    with pytest.raises(TypeError):
        assert a < b


def test_a_dataclass_with_slots_gains_a_field(project):
    head = "from dataclasses import dataclass, field\n@dataclass(slots=True)\nclass U:\n    name: str\n{}"
    project.write(m=head.format(""))
    m = project.load()
    box = {"u": m.U("a")}
    project.edit(m=head.format("    tags: list = field(default_factory=list)\n    def f(self): return self.tags\n"))
    u = box["u"]
    assert isinstance(u, m.U)
    assert u.name == "a"
    assert u.f() == []
    assert not hasattr(u, "__dict__")
    assert pickle.loads(pickle.dumps(u)) == u


def test_a_frozen_dataclass_stays_frozen(project):
    project.write(m="from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int\n")
    m = project.load()
    p = m.P(1)
    project.edit(
        m="from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int\n    y: int = 2\n    def f(self): return self.x + self.y\n"
    )
    assert p.f() == 3
    assert p == m.P(1)
    assert hash(p) == hash(m.P(1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.x = 3


def test_a_named_tuple_changes_its_fields_and_methods(project):
    project.write(
        m="from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\n    def f(self): return self.x\n"
    )
    m = project.load()
    p, cls = m.P(1, 2), m.P
    project.edit(
        m="from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\n    def f(self): return self.y\n"
    )
    assert p.f() == 2
    assert m.P is cls
    assert type(p) is m.P
    project.edit(
        m="from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\n    z: int = 5\n    def f(self): return self.y\n"
    )
    assert m.P(1, 2) == (1, 2, 5)
    assert m.P._fields == ("x", "y", "z")
    assert p.f() == 2
    assert isinstance(p, m.P)


def test_a_namedtuple_made_by_a_call_changes(project):
    project.write(m="from collections import namedtuple\nP = namedtuple('P', 'x y')\n")
    m = project.load()
    p = m.P(1, 2)
    project.edit(m="from collections import namedtuple\nP = namedtuple('P', 'x y z', defaults=[3])\n")
    assert m.P(1, 2) == (1, 2, 3)
    assert isinstance(p, m.P)
    assert p.x == 1


def test_attrs_classes_change_in_place(project):
    pytest.importorskip("attrs")
    project.write(m="import attrs\n@attrs.define(slots=False)\nclass A:\n    x: int\n")
    m = project.load()
    a = m.A(1)
    project.edit(
        m="import attrs\n@attrs.define(slots=False)\nclass A:\n    x: int\n    y: int = 2\n    z: list = attrs.Factory(list)\n    def f(self): return self.x + self.y\n"
    )
    assert isinstance(a, m.A)
    assert a.f() == 3
    assert a.z == []
    assert repr(a) == "A(x=1, y=2, z=[])"


def test_attrs_classes_with_slots_change(project):
    pytest.importorskip("attrs")
    project.write(m="import attrs\n@attrs.define\nclass A:\n    x: int\n")
    m = project.load()
    box = [m.A(1)]
    project.edit(
        m="import attrs\n@attrs.define\nclass A:\n    x: int\n    y: int = 2\n    def f(self): return self.x + self.y\n"
    )
    assert isinstance(box[0], m.A)
    assert box[0].f() == 3
    assert m.A(1) == box[0]


def test_generic_and_protocol_classes_follow(project):
    project.write(
        m="from typing import Generic, TypeVar, Protocol, runtime_checkable\nT = TypeVar('T')\nclass B(Generic[T]):\n    def f(self): return 1\nIntB = B[int]\nclass S(B[int]):\n    pass\n@runtime_checkable\nclass P(Protocol):\n    def f(self): ...\n"
    )
    m = project.load()
    s, b, t = m.S(), m.B, m.T
    project.replace(
        "m", ("return 1", "return 2\n    x = 1"), ("def f(self): ...", "def f(self): ...\n    def g(self): ...")
    )
    assert s.f() == 2
    assert m.B is b
    assert m.T is t
    assert m.IntB.__origin__ is b
    assert s.x == 1
    assert not isinstance(s, m.P)


def test_a_class_becomes_a_function_and_back(project):
    project.write(m="class P:\n    def __init__(self): self.x = 1\ndef make(): return P()\n", user="from m import P\n")
    m, user = project.load(), project.load("user")
    make = m.make
    project.edit(m="def P(): return 5\ndef make(): return P()\n")
    assert make() == 5
    assert m.P() == 5
    assert user.P() == 5
    project.edit(m="class P:\n    x = 2\ndef make(): return P()\n")
    assert make().x == 2
    assert user.P is m.P


def test_eq_and_hash_changes_rehash_dicts_and_sets(project):
    project.write(m="class K:\n    def __init__(self, k): self.k = k\n")
    m = project.load()
    a, b = m.K(1), m.K(2)
    table, group, deep = {a: "a", b: "b"}, {a, b}, {(a, 1): "t"}
    project.edit(
        m="class K:\n    def __init__(self, k): self.k = k\n    def __eq__(self, o): return self.k == o.k\n    def __hash__(self): return hash(self.k)\n"
    )
    assert table[m.K(1)] == "a"
    assert m.K(2) in group
    assert deep[m.K(1), 1] == "t"


def test_two_keys_that_become_equal_refuse_the_edit(project):
    from midair.runtime import rebuild

    project.write(m="class K:\n    def __init__(self, k): self.k = k\n")
    m = project.load()
    table = {m.K(1): "a", m.K(1): "b"}
    with pytest.raises(rebuild.RebuildError, match="become equal"):
        project.edit(
            m="class K:\n    def __init__(self, k): self.k = k\n    def __eq__(self, o): return self.k == o.k\n    def __hash__(self): return hash(self.k)\n"
        )
    assert len(table) == 2
    assert m.K(1) != m.K(1)
    assert sorted(table.values()) == ["a", "b"]
    assert [table[k] for k in table] == list(table.values())


def test_a_local_class_takes_new_method_bodies(project):
    project.write(m="def make():\n    class C:\n        def f(self): return 1\n    return C\n")
    m = project.load()
    cls = m.make()
    project.edit(m="def make():\n    class C:\n        def f(self): return 2\n    return C\n")
    assert cls().f() == 2
    assert m.make()().f() == 2


def test_builtin_bases_go_on(project):
    project.write(
        m="class D(dict):\n    def f(self): return 1\nclass I(int):\n    def f(self): return 1\nclass E(Exception):\n    def f(self): return 1\n"
    )
    m = project.load()
    d, i, e = m.D(a=1), m.I(5), m.E("x")
    project.edit(
        m="class Mix:\n    def g(self): return 'g'\nclass D(Mix, dict):\n    def f(self): return 2\nclass I(Mix, int):\n    def f(self): return 2\nclass E(Mix, ValueError):\n    def f(self): return 2\n"
    )
    assert (d.f(), i.f(), e.f(), d.g(), i.g(), e.g()) == (2, 2, 2, "g", "g", "g")
    assert d == {"a": 1}
    assert i == 5
    assert isinstance(e, ValueError)
    assert e.args == ("x",)


BASES = "class A:\n    def f(self): return 'a'\nclass B{}:\n    def f(self): return 'b'\nclass D({}):\n    pass\n"


def test_two_bases_change_their_order_while_one_becomes_the_base_of_the_other(project):
    project.write(m=BASES.format("", "A, B"))
    m = project.load()
    d, cls = m.D(), m.D
    project.edit(m=BASES.format("(A)", "B, A"))
    assert d.f() == "b"
    assert type(d) is m.D is cls
    assert m.D.__mro__ == (m.D, m.B, m.A, object)
    project.edit(m=BASES.format("", "A, B"))
    assert d.f() == "a"
    assert m.D.__mro__ == (m.D, m.A, m.B, object)


def test_bases_in_an_order_that_cannot_be_are_refused_and_nothing_changes(project):
    project.write(m=BASES.format("", "A, B"), user="from m import A, B\nclass E(A, B):\n    pass\n")
    m, user = project.load(), project.load("user")
    with pytest.raises(RebuildError, match="consistent"):
        project.edit(m=BASES.format("(A)", "B, A"))
    assert m.D.__mro__ == (m.D, m.A, m.B, object)
    assert user.E.__mro__ == (user.E, m.A, m.B, object)
    assert m.B.__bases__ == (object,)
    project.edit(m=BASES.format("(A)", "B, A"), user="from m import A, B\nclass E(B, A):\n    pass\n")
    assert user.E().f() == "b"


def test_a_class_that_was_removed_stands_in_nobodys_way(project):
    project.write(m=BASES.format("", "A, B"))
    m = project.load()
    d = m.D()
    project.edit(m=BASES.format("", "A, B").partition("class D")[0])
    project.edit(m=BASES.format("(A)", "B, A").partition("class D")[0])
    assert m.B.__mro__ == (m.B, m.A, object)
    assert d.f() == "b"
