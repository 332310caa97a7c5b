"""Abstract, generic and hostile classes; classes that go, come back, move, or hold state."""

import abc
import gc

import pytest


def test_an_abstract_method_is_added(live):
    live.start(
        """
        import abc
        class Base(abc.ABC):
            @abc.abstractmethod
            def a(self): ...
        class Impl(Base):
            def a(self):
                return 1
        """,
        other="from m import Base\nclass Other(Base):\n    def a(self):\n        return 2\n",
    )
    import m
    import other

    impl, elsewhere = m.Impl(), other.Other()
    live.edit("    def a(self): ...\n", "    def a(self): ...\n    @abc.abstractmethod\n    def b(self): ...\n")
    assert (impl.a(), elsewhere.a()) == (1, 2)
    assert isinstance(impl, m.Base)
    for cls in (m.Impl, other.Other):
        with pytest.raises(TypeError):
            cls()
    live.edit("    @abc.abstractmethod\n    def b(self): ...\n", "")
    assert m.Impl().a() == 1
    assert other.Other().a() == 2


def test_the_last_abstract_method_becomes_concrete(live):
    live.start("import abc\nclass Base(abc.ABC):\n    @abc.abstractmethod\n    def a(self): ...\n")
    from m import Base

    with pytest.raises(TypeError):
        Base()
    live.edit("    @abc.abstractmethod\n    def a(self): ...", "    def a(self):\n        return 1")
    assert Base().a() == 1


def test_a_class_becomes_abstract_and_virtual_subclasses_stay_registered(live):
    live.start(
        "import abc\nclass Base(metaclass=abc.ABCMeta):\n    def a(self):\n        return 1\nBase.register(int)\n"
    )
    from m import Base

    live.edit("    def a(self)", "    def b(self):\n        return 2\n    def a(self)")
    assert isinstance(1, Base)
    assert isinstance(Base, abc.ABCMeta)
    live.edit("    def a(self)", "    @abc.abstractmethod\n    def a(self)")
    assert isinstance(1, Base)
    with pytest.raises(TypeError):
        Base()


def test_generic_and_protocol_classes_and_aliases_held_before(live):
    live.start(
        """
        from typing import Generic, Protocol, TypeVar, runtime_checkable
        T = TypeVar("T")
        class Box(Generic[T]):
            def __init__(self, v):
                self.v = v
            def get(self):
                return ("v1", self.v)
        IntBox = Box[int]
        @runtime_checkable
        class HasGet(Protocol):
            def get(self): ...
        """
    )
    import m

    box, IntBox, HasGet, T = m.Box(3), m.IntBox, m.HasGet, m.T
    live.edit('"v1"', '"v2"')
    assert box.get() == ("v2", 3)
    assert IntBox(4).get() == ("v2", 4)
    assert IntBox.__origin__ is m.Box
    assert isinstance(box, HasGet)
    assert isinstance(box, m.HasGet)
    assert m.T is T
    assert m.Box[int] == IntBox


def test_a_class_becomes_generic(live):
    live.start(
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box:\n    def f(self):\n        return 'v1'\n"
    )
    import m

    held = [m.Box()]
    live.edit("class Box:", "class Box(Generic[T]):")
    assert m.Box[int]().f() == "v1"
    assert held[0].f() == "v1"
    assert isinstance(held[0], m.Box)


def test_a_protocol_gains_a_member(live):
    live.start(
        "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n    def a(self): ...\n"
    )
    from m import P

    class One:
        def a(self):
            return 1

    class Two(One):
        def b(self):
            return 1

    assert isinstance(One(), P)
    live.edit("    def a(self): ...\n", "    def a(self): ...\n    def b(self): ...\n")
    assert isinstance(Two(), P)
    assert not isinstance(One(), P)


def test_a_class_is_deleted_its_instances_go_on_and_it_comes_back(live):
    live.start("class C:\n    def f(self):\n        return 'v1'\nX = 1\n")
    import m

    C, c = m.C, m.C()
    live.become("X = 1\n")
    assert not hasattr(m, "C")
    assert c.f() == "v1"
    live.become("class C:\n    def f(self):\n        return 'v3'\nX = 1\n")
    assert m.C is C
    assert c.f() == "v3"


def test_a_class_renamed_with_an_alias_left_behind(live):
    live.start("class Old:\n    def f(self):\n        return 'v1'\n", user="from m import Old\n")
    import m
    import user

    held = [m.Old()]
    live.become("class New:\n    def f(self):\n        return 'v2'\nOld = New\n")
    assert m.Old is m.New
    assert m.New().f() == "v2"
    assert user.Old is m.New
    assert held[0].f() in ("v1", "v2")


def test_a_class_moves_to_another_module(live):
    live.start("class C:\n    def f(self):\n        return 'v1'\n", other="X = 1\n", user="from m import C\n")
    import m
    import other
    import user

    live.become("from other import C\n", other="X = 1\nclass C:\n    def f(self):\n        return 'v2'\n")
    assert m.C is other.C
    assert m.C().f() == "v2"
    assert user.C is m.C


def test_hostile_instances_do_not_break_an_edit(live):
    live.start(
        "def f():\n    return 1\nclass C:\n    def g(self):\n        return 1\n",
        weird="""
        class NoEq:
            __hash__ = None
            def __eq__(self, other):
                raise RuntimeError("eq")
        class NoGet:
            def __getattribute__(self, name):
                raise RuntimeError("getattribute")
        class NoHash:
            def __hash__(self):
                raise RuntimeError("hash")
        class NoBool:
            def __bool__(self):
                raise RuntimeError("bool")
            def __len__(self):
                raise RuntimeError("len")
            def __repr__(self):
                raise RuntimeError("repr")
        class Liar:
            @property
            def __class__(self):
                raise RuntimeError("class")
        class Any:
            def __getattr__(self, name):
                return self
            def __call__(self, *a, **k):
                return self
        class AnyMeta(type):
            def __getattr__(cls, name):
                return 1
            def __instancecheck__(cls, obj):
                raise RuntimeError("instancecheck")
            def __eq__(cls, other):
                raise RuntimeError("meta eq")
            def __hash__(cls):
                raise RuntimeError("meta hash")
        class Odd(metaclass=AnyMeta):
            pass
        things = [NoEq(), NoGet(), NoHash(), NoBool(), Liar(), Any(), Odd(), Odd]
        """,
    )
    import m
    import weird

    f, c = m.f, m.C()
    m.C.odd = weird.things[1]
    m.oddities = weird.things
    c.odd = weird.things[0]
    for index, thing in enumerate(weird.things):
        setattr(m, f"odd{index}", thing)
    live.edit("return 1", "return 2")
    assert f() == c.g() == 2
    live.become("class New:\n    pass\n" + live.on_disk["m.py"].replace("class C:", "class C(New):"))
    assert m.C().g() == 2


def test_a_weird_class_that_is_edited_itself(live):
    live.start(
        """
        class W:
            def __init__(self):
                object.__setattr__(self, "n", 1)
            def __getattr__(self, name):
                return ("attr1", name)
            def __setattr__(self, name, value):
                raise TypeError("frozen")
            def __eq__(self, other):
                raise RuntimeError("eq")
            def __hash__(self):
                return 7
            def __len__(self):
                return 0
        """
    )
    from m import W

    w = W()
    live.edit("attr1", "attr2")
    assert w.x == ("attr2", "x")
    assert w.n == 1


def test_instances_in_a_frozen_heap_follow_a_layout_change(live):
    live.start("class Base:\n    def hello(self):\n        return 'hello'\nclass Thing:\n    pass\n")
    import m

    held = {"t": m.Thing()}
    gc.freeze()
    live.edit("class Thing:", "class Thing(Base):")
    assert held["t"].hello() == "hello"


def test_a_singleton_made_in_new_stays_the_one(live):
    live.start(
        """
        class Single:
            _it = None
            def __new__(cls):
                if cls._it is None:
                    cls._it = super().__new__(cls)
                return cls._it
            def f(self):
                return "v1"
        one = Single()
        """
    )
    import m

    one = m.one
    live.edit("v1", "v2")
    assert m.Single() is one is m.one
    assert one.f() == "v2"


def test_a_class_used_as_dict_key_and_in_type_checks(live):
    live.start("class A:\n    x = 1\nclass B(A):\n    y = 1\n")
    from m import A, B

    table = {A: "a", B: "b"}
    b = B()
    live.edit("x = 1", "x = 2")
    live.edit("y = 1", "y = 2")
    import m

    assert table[m.A] == "a"
    assert table[type(b)] == "b"
    assert type(b) is m.B
    assert m.A.__subclasses__() == [m.B]


def test_class_keyword_only_and_bodies_with_comprehensions(live):
    live.start(
        "class C:\n    names = ['a', 'b']\n    upper = [n.upper() for n in names]\n    def f(self):\n        return self.upper\n"
    )
    from m import C

    c = C()
    live.edit("['a', 'b']", "['a', 'b', 'c']")
    assert C.names == ["a", "b", "c"]
    assert c.f() in (["A", "B", "C"], ["A", "B"])
    live.edit("n.upper()", "n.upper() + '!'")
    assert c.f() == ["A!", "B!", "C!"]


def test_a_diamond_keeps_its_order(live):
    live.start(
        """
        class A:
            def f(self):
                return "A"
        class B(A):
            def f(self):
                return "B" + super().f()
        class C(A):
            def f(self):
                return "C" + super().f()
        class D(B, C):
            def f(self):
                return "D" + super().f()
        """
    )
    from m import D

    d = D()
    live.edit("class D(B, C)", "class D(C, B)")
    assert d.f() == "DCBA"


def test_bases_that_cannot_be_ordered_refuse_the_edit(live):
    source = "class A:\n    pass\nclass B(A):\n    pass\nclass C(B):\n    def f(self):\n        return 'v1'\n"
    live.start(source)
    from m import A, B, C

    c = C()
    live.refused(source.replace("class C(B)", "class C(A, B)").replace("v1", "v2"))
    assert c.f() == "v1"
    assert C.__mro__ == (C, B, A, object)


def test_many_live_instances_all_follow_a_new_base(live):
    live.start(
        "class Mix:\n    def extra(self):\n        return self.n\nclass A:\n    pass\nclass C(A):\n    def __init__(self, n):\n        self.n = n\n"
    )
    from m import C

    objects = [C(i) for i in range(2000)]
    live.edit("class C(A)", "class C(Mix, A)")
    assert [o.extra() for o in objects] == list(range(2000))


def test_type_annotations_in_a_class_body_only(live):
    live.start("class C:\n    x: int\n")
    from m import C

    live.edit("x: int", "x: str\n    y: int = 3")
    assert C.__annotations__ == {"x": str, "y": int}
    assert C.y == 3


def test_a_class_statement_under_if_and_try(live):
    live.start(
        "import sys\nif sys:\n    class C:\n        def f(self):\n            return 'v1'\ntry:\n    class E(Exception):\n        code = 1\nfinally:\n    pass\n"
    )
    import m

    C, E, c, e = m.C, m.E, m.C(), m.E()
    live.edit("v1", "v2")
    live.edit("code = 1", "code = 2")
    assert (m.C, m.E) == (C, E)
    assert (c.f(), e.code) == ("v2", 2)


def test_class_level_state_of_a_registry_pattern_survives_method_edits(live):
    live.start(
        """
        class Room:
            all = {}
            def __init__(self, name):
                self.name = name
                Room.all[name] = self
            def describe(self):
                return "v1 " + self.name
        """
    )
    from m import Room

    hall = Room("hall")
    live.edit("v1", "v2")
    assert Room.all == {"hall": hall}
    assert Room.all["hall"].describe() == "v2 hall"
    Room("cave")
    assert list(Room.all) == ["hall", "cave"]


def test_an_init_subclass_is_added_to_a_base_with_subclasses(live):
    live.start("class P:\n    x = 1\nclass A(P):\n    y = 1\n", other="from m import P\nclass B(P):\n    pass\n")
    import m
    import other

    b = other.B()
    live.edit(
        "    x = 1\n",
        "    x = 2\n    def __init_subclass__(cls, **kw):\n        super().__init_subclass__(**kw)\n        cls.tag = 'made'\n",
    )

    class Later(m.P):
        pass

    assert Later.tag == "made"
    assert b.x == 2


def test_a_class_attribute_that_is_a_function_of_the_module(live):
    live.start(
        "def helper(self=None):\n    return 'v1'\nclass C:\n    act = helper\n    plain = staticmethod(helper)\n    table = {'h': helper}\n"
    )
    from m import C

    c = C()
    live.edit("v1", "v2")
    assert (c.act(), c.plain(), C.table["h"]()) == ("v2", "v2", "v2")


def test_a_class_with_getattr_on_its_metaclass_and_a_dynamic_namespace(live):
    live.start(
        """
        class Meta(type):
            @classmethod
            def __prepare__(mcls, name, bases, **kw):
                return {"given": "by prepare"}
            def __getattr__(cls, name):
                if name.startswith("dyn_"):
                    return name
                raise AttributeError(name)
        class C(metaclass=Meta):
            def f(self):
                return "v1"
        """
    )
    from m import C

    c = C()
    live.edit("v1", "v2")
    assert (c.f(), C.dyn_a, C.given) == ("v2", "dyn_a", "by prepare")


def test_multiple_inheritance_with_slots_and_dicts(live):
    live.start(
        "class A:\n    __slots__ = ()\n    def a(self):\n        return 'a1'\nclass B:\n    def b(self):\n        return 'b1'\nclass C(A, B):\n    pass\n"
    )
    from m import C

    c = C()
    c.x = 1
    live.edit("1'", "2'")
    assert (c.a(), c.b(), c.x) == ("a2", "b2", 1)


def test_instances_in_an_isinstance_dispatch_after_the_class_was_rebased(live):
    live.start(
        "class Shape:\n    pass\nclass Round(Shape):\n    pass\nclass Ball:\n    pass\ndef kind(x):\n    return 'round' if isinstance(x, Round) else 'other'\n"
    )
    import m

    held = [m.Ball()]
    live.edit("class Ball:", "class Ball(Round):")
    assert m.kind(held[0]) == "round"
    assert m.kind(m.Ball()) == "round"


def test_a_class_gains_call_and_len_through_a_base(live):
    live.start("class B:\n    def __len__(self):\n        return 3\nclass C(B):\n    pass\n")
    from m import C

    c = C()
    live.edit("return 3\n", "return 4\n    def __call__(self):\n        return 'called'\n")
    assert (len(c), c()) == (4, "called")


def test_instances_whose_class_was_set_by_hand(live):
    live.start("class A:\n    def f(self):\n        return 'a1'\nclass B:\n    def f(self):\n        return 'b1'\n")
    from m import A, B

    x = A()
    x.__class__ = B
    live.edit("1'", "2'")
    assert x.f() == "b2"
    assert type(x) is B


def test_an_unchanged_class_in_an_edited_file_is_not_touched(live):
    live.start(
        "class A:\n    x = []\n    def f(self):\n        return 'a1'\nclass B:\n    def f(self):\n        return 'b1'\n"
    )
    from m import A

    f, x = A.f, A.x
    A.x.append(1)
    live.edit("b1", "b2")
    assert A.f is f
    assert A.x is x
    assert x == [1]


def test_a_class_body_statement_with_an_effect_runs_only_when_it_changed(live):
    live.start("seen = []\nclass C:\n    seen.append('one')\n    def f(self):\n        return 'v1'\n")
    import m

    live.edit("v1", "v2")
    assert m.seen == ["one"]
    live.edit("'one'", "'two'")
    assert m.seen == ["one", "two"]


def test_reading_doc_name_and_module_of_a_class(live):
    live.start('class C:\n    "old"\n    def f(self):\n        return 1\n')
    from m import C

    live.edit('"old"', '"new"')
    assert (C.__doc__, C.__name__, C.__qualname__, C.__module__) == ("new", "C", "C", "m")
    live.edit('    "new"\n', "")
    assert C.__doc__ is None


def test_a_final_class_keyword_default_factory_and_sealed_pattern(live):
    live.start(
        "class Sealed:\n    def __init_subclass__(cls):\n        raise TypeError('sealed')\n    def f(self):\n        return 'v1'\n"
    )
    from m import Sealed

    s = Sealed()
    live.edit("v1", "v2")
    assert s.f() == "v2"


def test_abstract_properties_and_registered_implementations(live):
    live.start(
        "import abc\nclass Shape(abc.ABC):\n    @property\n    @abc.abstractmethod\n    def area(self): ...\nclass Square(Shape):\n    @property\n    def area(self):\n        return 'v1'\n"
    )
    from m import Shape, Square

    s = Square()
    live.edit("v1", "v2")
    assert s.area == "v2"
    assert isinstance(s, Shape)
    live.edit("    @property\n    def area(self):\n        return 'v2'\n", "    x = 1\n")
    with pytest.raises(TypeError):
        Square()
    with pytest.raises(TypeError):
        Shape()


# -- what abstract classes and protocols remember -------------------------------------------------------------------------

SIZED = "from collections.abc import Hashable, Sized\n"
PROTOCOL = "import typing\n@typing.runtime_checkable\nclass P(typing.Protocol):\n    def f(self): ...\n"


@pytest.mark.parametrize(
    ("before", "after", "asked", "then"),
    [
        (SIZED + "class A: pass\n", SIZED + "class A:\n    def __len__(self): return 0\n", "Sized", True),
        (SIZED + "class A:\n    def __len__(self): return 0\n", SIZED + "class A: pass\n", "Sized", False),
        (SIZED + "class A: pass\n", SIZED + "class A:\n    def __eq__(self, other): return True\n", "Hashable", False),
        (PROTOCOL + "class A:\n    def g(self): ...\n", PROTOCOL + "class A:\n    def f(self): ...\n", "P", True),
        (PROTOCOL + "class A:\n    def f(self): ...\n", PROTOCOL + "class A:\n    def g(self): ...\n", "P", False),
    ],
)
def test_an_answer_that_was_remembered_is_given_anew(live, before, after, asked, then):
    live.start(before + "class B(A): pass\n")
    import m

    held, kind = [m.A(), m.B()], getattr(m, asked)
    assert [isinstance(each, kind) for each in held] == [not then] * 2
    live.become(after + "class B(A): pass\n")
    assert [isinstance(each, kind) for each in held] == [then] * 2
    assert issubclass(m.B, kind) is then


def test_a_class_below_one_that_left_its_abstract_base_is_no_longer_one(live):
    live.start("import abc\nclass A(abc.ABC): pass\nclass B(A): pass\nclass C(B): pass\n")
    import m

    held = m.C()
    assert isinstance(held, m.A)
    live.edit("class B(A)", "class B")
    assert not isinstance(held, m.A)


def test_a_registered_class_stays_registered_whatever_it_loses(live):
    live.start("import abc\nclass A(abc.ABC): pass\nclass X:\n    def f(self): ...\nA.register(X)\n")
    import m

    held = m.X()
    live.edit("def f", "def g")
    assert isinstance(held, m.A)


def test_another_subclass_hook_answers_anew(live):
    live.start(
        "import abc\nclass A(abc.ABC):\n    @classmethod\n"
        "    def __subclasshook__(cls, other): return hasattr(other, 'f')\nclass X:\n    def f(self): ...\n"
    )
    import m

    held = m.X()
    assert isinstance(held, m.A)
    live.edit("hasattr(other, 'f')", "hasattr(other, 'g')")
    assert not isinstance(held, m.A)


def test_answers_are_as_they_were_after_a_refused_edit(live):
    live.start(m=SIZED + "class A: pass\n", z="import m\n")
    import m
    import z  # noqa: F401 -- imported, so that it is edited too

    held = m.A()
    assert not isinstance(held, m.Sized)
    live.refused(
        m=SIZED + "class A:\n    def __len__(self): return 0\n",
        z="import m\ndef __rebuilt__(old): assert not isinstance(m.A(), m.Sized)\n",
    )
    assert not isinstance(held, m.Sized)


def test_a_class_may_define_names_that_types_have_themselves(live):
    live.start("class A:\n    @classmethod\n    def __base__(cls): return 1\n")
    import m

    held = m.A()
    live.become("class A:\n    @classmethod\n    def __base__(cls): return 2\n    __name__ = 'm'\n    __mro__ = 3\n")
    assert (held.__base__(), held.__name__, held.__mro__) == (2, "m", 3)
    assert m.A.__name__ == "A"


def test_a_default_reads_a_name_that_its_class_gets_with_its_new_base(live):
    live.start("class A:\n    def f(self, x=1): return x\n")
    import m

    held, f = m.A(), m.A.f
    live.become("class B: pass\nclass A(B):\n    V = 5\n    def f(self, x=V): return x\n")
    assert held.f() == f(held) == 5


@pytest.mark.parametrize("maker", ["object.__new__", "lambda cls: cls()"])
def test_the_one_instance_that_a_decorator_makes_of_a_class_goes_on(live, maker):
    live.start(f"@{maker}\nclass settings:\n    x = 1\n    def get(self): return self.x\n")
    import m

    held = m.settings
    held.mark = "kept"
    live.become(f"@{maker}\nclass settings:\n    x = 2\n    y = 3\n    def get(self): return self.x, self.y\n")
    assert m.settings is held
    assert (held.get(), held.mark) == ((2, 3), "kept")
