"""Classes: bases, metaclasses, hooks of class creation, nesting, and subclasses elsewhere."""

import pytest


def test_class_and_instances_keep_identity_and_state(live):
    live.start("class C:\n    def __init__(self):\n        self.n = 1\n    def f(self):\n        return 'v1'\n")
    import m

    C, c = m.C, m.C()
    state = c.__dict__
    live.edit("v1", "v2")
    assert m.C is C
    assert type(c) is C
    assert c.__dict__ is state
    assert c.f() == "v2"


def test_a_subclass_in_a_module_that_was_not_edited(live):
    live.start(
        {"base.py": "class Base:\n    def step(self):\n        return 'v1'\n"},
        child="from base import Base\nclass Child(Base):\n    def up(self):\n        return super().step()\n",
    )
    import base
    from child import Child

    child = Child()
    live.become(
        base="class Base:\n    def step(self):\n        return 'v2'\n    def extra(self):\n        return 'extra'\n"
    )
    assert (child.step(), child.up(), child.extra()) == ("v2", "v2", "extra")
    assert isinstance(child, base.Base)


def test_a_class_made_by_type_at_run_time_follows_its_base(live):
    live.start("class Base:\n    def f(self):\n        return 'v1'\n")
    from m import Base

    Made = type("Made", (Base,), {})
    made = Made()
    live.edit("v1", "v2")
    assert made.f() == "v2"
    assert issubclass(Made, Base)


def test_a_mixin_is_put_before_the_base(live):
    source = """
        class Base:
            def say(self):
                return "base"
        class Loud:
            def say(self):
                return "loud>" + super().say()
        class Child(Base):
            def say(self):
                return "child>" + super().say()
        """
    live.start(source)
    from m import Child, Loud

    child = Child()
    live.become(source.replace("Child(Base)", "Child(Loud, Base)"))
    assert child.say() == Child().say() == "child>loud>base"
    assert Child.__mro__[1] is Loud
    live.become(source)
    assert child.say() == "child>base"
    assert not isinstance(child, Loud)


def test_a_mixin_that_the_same_edit_defines(live):
    live.start("class Base:\n    def say(self):\n        return 'base'\nclass Child(Base):\n    pass\n")
    from m import Child

    child = Child()
    live.become(
        """
        class Base:
            def say(self):
                return "base"
        class Loud:
            def say(self):
                return "loud>" + super().say()
        class Child(Loud, Base):
            pass
        """
    )
    assert child.say() == "loud>base"


def test_the_first_base_is_added(live):
    live.start(
        "class Base:\n    def hello(self):\n        return 'hello'\nclass Thing:\n    def f(self):\n        return 1\n"
    )
    import m

    Thing = m.Thing
    thing = Thing()
    thing.kept = 5
    held = {"t": thing, "l": [thing]}
    live.edit("class Thing:", "class Thing(Base):")
    assert held["t"] is held["l"][0]
    assert held["t"].hello() == "hello"
    assert held["t"].kept == 5
    assert isinstance(held["t"], m.Base)
    assert isinstance(held["t"], m.Thing)
    assert issubclass(m.Thing, m.Base)
    assert m.Thing().hello() == "hello"
    assert [c.__name__ for c in m.Thing.__mro__] == ["Thing", "Base", "object"]


def test_the_only_base_is_removed(live):
    live.start(
        "class Base:\n    def hello(self):\n        return 'hello'\nclass Thing(Base):\n    def f(self):\n        return 1\n"
    )
    import m

    held = [m.Thing()]
    held[0].kept = 5
    live.edit("class Thing(Base):", "class Thing:")
    assert held[0].kept == 5
    assert held[0].f() == 1
    assert not hasattr(held[0], "hello")
    assert isinstance(held[0], m.Thing)
    assert not issubclass(m.Thing, m.Base)
    assert m.Thing.__bases__ == (object,)


def test_bases_look_as_a_plain_import_would_leave_them(live):
    live.start("class A:\n    pass\nclass B(A):\n    pass\nclass C(dict):\n    pass\n")
    import m

    assert m.A.__bases__ == (object,)
    assert m.A.__mro__ == (m.A, object)
    assert m.B.__bases__ == (m.A,)
    live.edit("class B(A)", "class B(C)")
    assert m.B.__bases__ == (m.C,)
    assert m.B.__mro__ == (m.B, m.C, dict, object)


def test_the_base_is_swapped_for_another(live):
    live.start(
        "class A:\n    def f(self):\n        return 'A'\nclass B:\n    def f(self):\n        return 'B'\nclass C(A):\n    pass\n"
    )
    from m import A, B, C

    c = C()
    live.edit("class C(A)", "class C(B)")
    assert c.f() == "B"
    assert isinstance(c, B)
    assert not isinstance(c, A)
    assert C not in A.__subclasses__()
    assert C in B.__subclasses__()


def test_a_base_from_another_module_is_swapped_in_both_files_at_once(live):
    live.start(
        "from base import A\nclass C(A):\n    def f(self):\n        return 'v1' + self.name()\n",
        base="class A:\n    def name(self):\n        return 'a1'\n",
    )
    import base
    from m import C

    c = C()
    live.become(
        "from base import B\nclass C(B):\n    def f(self):\n        return 'v2' + self.name()\n",
        base="class A:\n    def name(self):\n        return 'a2'\nclass B(A):\n    def name(self):\n        return 'b' + super().name()\n",
    )
    assert c.f() == "v2ba2"
    assert C.__mro__[1] is base.B


def test_grandchildren_follow_when_a_middle_class_gains_a_base(live):
    source = "class Mix:\n    def extra(self):\n        return 'mix'\nclass A:\n    pass\nclass B(A):\n    pass\nclass C(B):\n    pass\n"
    live.start(source)
    from m import B, C, Mix

    c = C()
    live.become(source.replace("class B(A)", "class B(Mix, A)"))
    assert c.extra() == "mix"
    assert Mix in C.__mro__
    assert C.__mro__[1] is B


def test_a_middle_class_is_taken_out(live):
    live.start(
        "class A:\n    def f(self):\n        return 'A'\nclass B(A):\n    def f(self):\n        return 'B' + super().f()\nclass C(B):\n    pass\n"
    )
    from m import A, C

    c = C()
    live.become("class A:\n    def f(self):\n        return 'A'\nclass C(A):\n    pass\n")
    assert c.f() == "A"
    assert C.__bases__ == (A,)


def test_the_base_changes_between_layouts_and_the_instance_is_whole(live):
    live.start("class Store:\n    def __init__(self):\n        self.note = 'n'\n    def f(self):\n        return 1\n")
    import m

    held = {"s": m.Store()}
    live.become(
        "class Store(dict):\n    def __init__(self):\n        super().__init__()\n        self.note = 'n'\n    def f(self):\n        return 2\n"
    )
    fresh = m.Store()
    fresh["k"] = 1
    assert fresh.f() == 2
    assert held["s"].note == "n"
    assert held["s"].f() == 2
    assert isinstance(held["s"], m.Store)


def test_subclasses_of_c_types_take_new_methods_and_keep_their_data(live):
    live.start(
        """
        import collections, io, threading, datetime, decimal
        class L(list):
            def tag(self): return "v1"
        class D(dict):
            def tag(self): return "v1"
        class S(set):
            def tag(self): return "v1"
        class I(int):
            def tag(self): return "v1"
        class T(tuple):
            def tag(self): return "v1"
        class Str(str):
            def tag(self): return "v1"
        class B(bytes):
            def tag(self): return "v1"
        class Q(collections.deque):
            def tag(self): return "v1"
        class OD(collections.OrderedDict):
            def tag(self): return "v1"
        class DD(collections.defaultdict):
            def tag(self): return "v1"
        class Buf(io.BytesIO):
            def tag(self): return "v1"
        class Th(threading.Thread):
            def tag(self): return "v1"
        class Date(datetime.date):
            def tag(self): return "v1"
        class F(float):
            def tag(self): return "v1"
        """
    )
    import m

    objects = [m.L([1, 2]), m.D(a=1), m.S([1]), m.I(10), m.T((1, 2)), m.Str("s"), m.B(b"b"), m.Q([1], maxlen=3)]
    objects += [m.OD(a=1), m.DD(list, a=[1]), m.Buf(b"abc"), m.Th(), m.Date(2020, 1, 1), m.F(1.5)]
    live.edit("v1", "v2")
    assert [o.tag() for o in objects] == ["v2"] * len(objects)
    assert objects[:9] == [[1, 2], {"a": 1}, {1}, 10, (1, 2), "s", b"b", m.Q([1]), {"a": 1}]
    assert objects[10].read() == b"abc"
    assert objects[9]["zz"] == []
    assert objects[12].year == 2020


def test_a_missing_hook_is_added_to_a_dict_subclass(live):
    live.start("class Conf(dict):\n    def get2(self):\n        return 1\n")
    from m import Conf

    conf = Conf(a=1)
    live.become(
        "class Conf(dict):\n    def get2(self):\n        return 2\n    def __missing__(self, k):\n        return k\n"
    )
    assert (conf["zz"], conf["a"], conf.get2()) == ("zz", 1, 2)


def test_a_metaclass_method_changes_for_existing_classes(live):
    live.start(
        """
        class Meta(type):
            def describe(cls):
                return "v1 " + cls.__name__
            def __len__(cls):
                return 1
            @property
            def label(cls):
                return "v1"
        class Thing(metaclass=Meta):
            pass
        """
    )
    from m import Thing

    live.edit("v1", "v2")
    live.edit("return 1", "return 2")
    assert (Thing.describe(), len(Thing), Thing.label) == ("v2 Thing", 2, "v2")


def test_members_that_a_metaclass_makes_follow_the_body(live):
    live.start(
        """
        class Meta(type):
            def __new__(mcls, name, bases, ns):
                cls = super().__new__(mcls, name, bases, ns)
                cls.fields = sorted(k for k, v in ns.items() if isinstance(v, int))
                return cls
        class Model(metaclass=Meta):
            a = 1
            b = 2
        """
    )
    from m import Model

    obj = Model()
    live.edit("    b = 2\n", "    b = 2\n    c = 3\n")
    assert Model.fields == obj.fields == ["a", "b", "c"]


def test_a_metaclass_registry_holds_the_live_class_once(live):
    live.start(
        """
        class Meta(type):
            registry = {}
            made = []
            def __init__(cls, name, bases, ns):
                super().__init__(name, bases, ns)
                Meta.registry[name] = cls
                Meta.made.append(cls)
        class A(metaclass=Meta):
            x = 1
        class B(A):
            def f(self):
                return "v1"
        """
    )
    from m import A, B, Meta

    b = B()
    live.edit("v1", "v2")
    live.edit("x = 1", "x = 1\n    y = 2")
    assert Meta.registry == {"A": A, "B": B}
    assert Meta.made == [A, B]
    assert (b.f(), b.y) == ("v2", 2)


def test_a_metaclass_is_exchanged_for_another(live):
    live.start(
        """
        class One(type):
            def who(cls):
                return "one"
        class Two(type):
            def who(cls):
                return "two"
        class T(metaclass=One):
            def f(self):
                return 1
        """
    )
    import m

    held = [m.T()]
    held[0].x = 5
    live.edit("metaclass=One", "metaclass=Two")
    assert m.T.who() == "two"
    assert held[0].x == 5
    assert held[0].f() == 1
    assert isinstance(held[0], m.T)


def test_a_metaclass_is_added_and_removed(live):
    live.start(
        "class Meta(type):\n    def who(cls):\n        return cls.__name__\nclass T:\n    def f(self):\n        return 1\n"
    )
    import m

    held = [m.T()]
    held[0].x = 5
    live.edit("class T:", "class T(metaclass=Meta):")
    assert m.T.who() == "T"
    assert (held[0].x, held[0].f()) == (5, 1)
    assert isinstance(held[0], m.T)
    live.edit("class T(metaclass=Meta):", "class T:")
    assert type(m.T) is type
    assert held[0].x == 5
    assert isinstance(held[0], m.T)


def test_metaclass_keyword_arguments_change(live):
    live.start(
        """
        class Meta(type):
            def __new__(mcls, name, bases, ns, table=None):
                cls = super().__new__(mcls, name, bases, ns)
                cls.table = table
                return cls
            def __init__(cls, name, bases, ns, table=None):
                super().__init__(name, bases, ns)
        class T(metaclass=Meta, table="one"):
            pass
        """
    )
    import m

    T, t = m.T, m.T()
    live.edit('"one"', '"two"')
    assert (m.T, T.table, t.table) == (T, "two", "two")


def test_init_subclass_registers_once_and_the_live_class(live):
    live.start(
        """
        from reg import Plugin
        class Irc(Plugin, name="irc"):
            def f(self):
                return "v1"
        """,
        reg="""
        plugins = []
        names = {}
        class Plugin:
            def __init_subclass__(cls, name=None, **kw):
                super().__init_subclass__(**kw)
                plugins.append(cls)
                names[name] = cls
        """,
    )
    import m
    import reg

    irc = m.Irc()
    live.edit("v1", "v2")
    assert reg.plugins == [m.Irc]
    live.edit("class Irc(Plugin", "class Mix:\n    pass\nclass Irc(Mix, Plugin")
    assert reg.plugins == [m.Irc]
    assert reg.names == {"irc": m.Irc}
    assert irc.f() == "v2"
    assert isinstance(irc, m.Mix)


def test_init_subclass_itself_changes(live):
    live.start(
        """
        class Plugin:
            def __init_subclass__(cls):
                cls.tag = "v1"
        class A(Plugin):
            pass
        """
    )
    import m

    live.edit('"v1"', '"v2"')

    class Later(m.Plugin):
        pass

    assert Later.tag == "v2"


def test_a_subclass_added_by_the_edit_registers_once(live):
    live.start(
        "seen = []\nclass P:\n    def __init_subclass__(cls):\n        seen.append(cls.__name__)\nclass A(P):\n    pass\n"
    )
    import m

    live.become(live.on_disk["m.py"] + "class B(P):\n    pass\n")
    assert m.seen == ["A", "B"]


def test_set_name_is_called_for_the_live_class(live):
    live.start(
        """
        class Field:
            def __set_name__(self, owner, name):
                self.owner, self.name = owner, name
            def __get__(self, obj, owner=None):
                return (self.owner, self.name)
        class T:
            a = Field()
            def f(self):
                return 1
        """
    )
    from m import T

    t = T()
    live.edit("a = Field()", "a = Field()\n    b = Field()")
    assert t.a == (T, "a")
    assert t.b == (T, "b")


def test_a_nested_class_keeps_identity_and_follows(live):
    live.start(
        """
        class Outer:
            class Inner:
                limit = 1
                class Deep:
                    def g(self):
                        return "v1"
                def f(self):
                    return "v1"
            def make(self):
                return self.Inner()
        """
    )
    from m import Outer

    outer = Outer()
    inner, deep = outer.make(), Outer.Inner.Deep()
    Inner = Outer.Inner
    live.write(live.on_disk["m.py"].replace("v1", "v2").replace("limit = 1", "limit = 9"))
    live.become()
    assert (inner.f(), inner.limit, deep.g()) == ("v2", 9, "v2")
    assert Outer.Inner is Inner
    assert type(outer.make()) is Inner


def test_a_nested_class_is_added_and_removed(live):
    live.start("class Outer:\n    x = 1\n")
    from m import Outer

    outer = Outer()
    live.become("class Outer:\n    x = 1\n    class Inner:\n        def f(self):\n            return 'inner'\n")
    inner = outer.Inner()
    assert inner.f() == "inner"
    assert Outer.Inner.__qualname__ == "Outer.Inner"
    live.become("class Outer:\n    x = 1\n")
    assert not hasattr(outer, "Inner")
    assert inner.f() == "inner"


@pytest.mark.parametrize(
    ("before", "after"), [("", "from __future__ import annotations\n"), ("from __future__ import annotations\n", "")]
)
def test_annotations_of_a_class_become_strings_and_back(live, before, after):
    text = "class A: pass\nclass B:\n    x: A\n    def f(self, a: A) -> 'int': return 1\n"
    live.start(before + text)
    import m

    live.become(after + text)
    assert m.B.__annotations__ == {"x": "A" if after else m.A}
    assert m.B.f.__annotations__ == {"a": "A" if after else m.A, "return": "'int'" if after else "int"}


def test_a_statement_in_a_class_body_reads_the_module_for_a_name_that_the_body_binds_only_below(live):
    live.start("import tokenize\nclass A:\n    def tokenize(self): return 1\n")
    import tokenize

    import m

    held = m.A()
    live.become(
        "import tokenize\nclass A:\n    kinds = {tokenize.STRING}\n    def f(self, x=tokenize.NAME): return x\n"
        "    def tokenize(self): return 2\n"
    )
    assert m.A.kinds == {tokenize.STRING}
    assert (held.f(), held.tokenize()) == (tokenize.NAME, 2)
    live.edit("x=tokenize.NAME", "x=tokenize.NUMBER")
    assert held.f() == tokenize.NUMBER
