"""Dataclasses, attrs, named tuples, typed dicts."""

import copy
import dataclasses
import pickle

import attr
import pytest

USER = """
from dataclasses import dataclass, field
@dataclass
class User:
    name: str
"""


def test_a_field_with_a_default_is_filled_in_for_live_instances(live):
    live.start(USER)
    from m import User

    a = User("ann")
    live.edit("name: str", "name: str\n    age: int = 7")
    assert a.age == 7
    assert repr(a) == "User(name='ann', age=7)"
    assert a == User("ann")
    assert a.__dict__ == {"name": "ann", "age": 7}


def test_a_field_with_a_default_factory_is_fresh_for_each_live_instance(live):
    live.start(USER)
    from m import User

    a, b = User("ann"), User("bob")
    live.edit("name: str", "name: str\n    tags: list = field(default_factory=list)")
    assert a.tags == b.tags == []
    assert a.tags is not b.tags
    a.tags.append(1)
    assert repr(b) == "User(name='bob', tags=[])"


def test_a_field_without_a_default_is_asked_of_new_instances_only(live):
    live.start(USER)
    from m import User

    a = User("ann")
    live.edit("name: str", "name: str\n    age: int")
    assert User("bob", 3).age == 3
    assert not hasattr(a, "age")
    assert a.name == "ann"


def test_a_field_is_removed(live):
    live.start(USER + "    age: int = 0\n")
    from m import User

    u = User("ann", 30)
    live.edit("    age: int = 0\n", "")
    assert repr(u) == "User(name='ann')"
    assert u == User("ann")
    assert [f.name for f in dataclasses.fields(u)] == ["name"]


def test_a_field_default_changes_for_new_instances(live):
    live.start(USER + "    age: int = 0\n")
    from m import User

    old = User("ann")
    live.edit("age: int = 0", "age: int = 5")
    assert (old.age, User("bob").age) == (0, 5)


def test_fields_are_reordered_and_renamed(live):
    live.start(USER + "    age: int = 0\n    mail: str = ''\n")
    from m import User

    u = User("ann", 1, "a@b")
    live.become(USER + "    mail: str = ''\n    years: int = 9\n")
    assert repr(u) == "User(name='ann', mail='a@b', years=9)"
    assert User("x", "m", 2).years == 2


def test_frozen_and_order_are_added_and_removed(live):
    live.start(USER.replace("name: str", "n: int"))
    from m import User

    a, b = User(1), User(2)
    live.edit("@dataclass\n", "@dataclass(frozen=True, order=True)\n")
    assert a < b
    assert hash(a) != hash(b)
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.n = 5
    live.edit("@dataclass(frozen=True, order=True)\n", "@dataclass\n")
    a.n = 5
    assert a.n == 5
    with pytest.raises(TypeError):
        a < b


def test_eq_false_and_a_compare_false_field(live):
    live.start(USER + "    tag: int = 0\n")
    from m import User

    a, b = User("x", 1), User("x", 2)
    assert a != b
    live.edit("tag: int = 0", "tag: int = field(default=0, compare=False)")
    assert a == b
    live.edit("@dataclass\n", "@dataclass(eq=False)\n")
    assert a != b
    assert len({a, b}) == 2


def test_a_new_field_that_enters_the_hash_rehashes(live):
    live.start(USER.replace("@dataclass\n", "@dataclass(frozen=True)\n"))
    from m import User

    users = [User(str(i)) for i in range(8)]
    table = {u: u.name for u in users}
    group = set(users)
    live.edit("name: str", "name: str\n    realm: str = 'x'")
    assert [table[u] for u in users] == [u.name for u in users]
    assert all(User(str(i)) in group for i in range(8))


def test_kw_only_is_added(live):
    live.start(USER + "    age: int = 0\n")
    from m import User

    u = User("ann", 1)
    live.edit("@dataclass\n", "@dataclass(kw_only=True)\n")
    with pytest.raises(TypeError):
        User("ann")
    assert User(name="ann", age=1) == u


def test_slots_are_added_to_a_dataclass_with_live_instances(live):
    live.start(USER + "    age: int = 0\n")
    import m

    held = {"u": m.User("ann", 3)}
    live.edit("@dataclass\n", "@dataclass(slots=True)\n")
    assert held["u"] == m.User("ann", 3)
    assert isinstance(held["u"], m.User)
    assert not hasattr(m.User("x"), "__dict__")
    assert (held["u"].name, held["u"].age) == ("ann", 3)


def test_a_field_is_added_to_a_dataclass_with_slots(live):
    live.start(USER.replace("@dataclass\n", "@dataclass(slots=True)\n"))
    import m

    held = [m.User("ann"), m.User("bob")]
    live.edit("name: str", "name: str\n    tags: list = field(default_factory=list)\n    hp: int = 5")
    assert [u.name for u in held] == ["ann", "bob"]
    assert held[0].tags == []
    assert held[0].tags is not held[1].tags
    assert held[0].hp == 5
    assert repr(held[0]) == "User(name='ann', tags=[], hp=5)"
    assert isinstance(held[0], m.User)


def test_a_method_of_a_dataclass_with_slots_changes_in_place(live):
    live.start(
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass P:\n    x: int\n    def f(self):\n        return 'v1', self.x\n"
    )
    import m

    P, p = m.P, m.P(3)
    held = p.f
    live.edit("v1", "v2")
    assert p.f() == held() == ("v2", 3)
    assert m.P is P


def test_a_slotted_frozen_dataclass_takes_a_field(live):
    live.start(USER.replace("@dataclass\n", "@dataclass(slots=True, frozen=True)\n"))
    import m

    held = {"u": m.User("ann")}
    live.edit("name: str", "name: str\n    hp: int = 5")
    assert (held["u"].name, held["u"].hp) == ("ann", 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        held["u"].hp = 6
    assert hash(held["u"]) == hash(m.User("ann"))


def test_post_init_changes_for_new_instances(live):
    live.start(USER + "    def __post_init__(self):\n        self.name = 'v1' + self.name\n")
    from m import User

    old = User("a")
    live.edit("'v1'", "'v2'")
    assert (old.name, User("a").name) == ("v1a", "v2a")


def test_a_dataclass_method_repr_and_subclass_elsewhere(live):
    live.start(
        USER + "    def hi(self):\n        return 'v1'\n",
        sub="from dataclasses import dataclass\nfrom m import User\n@dataclass\nclass Admin(User):\n    level: int = 1\n",
    )
    from sub import Admin

    admin = Admin("root", 2)
    live.edit("v1", "v2")
    assert admin.hi() == "v2"
    assert repr(admin) == "Admin(name='root', level=2)"
    live.edit("name: str", "name: str\n    realm: str = 'x'")
    assert admin.realm == "x"
    assert isinstance(admin, Admin)


def test_initvar_and_classvar(live):
    live.start(
        """
        from dataclasses import dataclass, InitVar
        from typing import ClassVar
        @dataclass
        class C:
            total: ClassVar[int] = 0
            n: int
            twice: InitVar[bool] = False
            def __post_init__(self, twice):
                if twice:
                    self.n *= 2
        """
    )
    from m import C

    C.total = 9
    c = C(1)
    live.edit("self.n *= 2", "self.n *= 20")
    assert C(2, True).n == 40
    assert C.total == 9
    assert c.n == 1


def test_a_plain_class_becomes_a_dataclass_and_back(live):
    live.start("from dataclasses import dataclass\nclass C:\n    n: int = 1\n    def f(self):\n        return self.n\n")
    from m import C

    c = C()
    live.edit("class C:", "@dataclass\nclass C:")
    assert repr(c) == "C(n=1)"
    assert C(5).f() == 5
    live.edit("@dataclass\n", "")
    assert C().f() == 1
    with pytest.raises(TypeError):
        C(5)


def test_replace_copy_pickle_and_asdict_of_old_instances(live):
    live.start(USER)
    from m import User

    u = User("ann")
    data = pickle.dumps(u)
    live.edit("name: str", "name: str\n    age: int = 7")
    assert dataclasses.asdict(u) == {"name": "ann", "age": 7}
    assert dataclasses.replace(u, age=8).age == 8
    assert copy.deepcopy(u) == u
    assert pickle.loads(pickle.dumps(u)) == u
    assert pickle.loads(data).name == "ann"


def test_a_field_default_computed_from_a_constant(live):
    live.start("from dataclasses import dataclass\nHP = 10\n@dataclass\nclass Mob:\n    hp: int = HP\n")
    from m import Mob

    old = Mob()
    live.edit("HP = 10", "HP = 30")
    assert old.hp == 10
    assert Mob().hp == 30


def test_match_on_a_dataclass_whose_fields_changed(live):
    live.start(USER + "    age: int = 0\n")
    from m import User

    u = User("ann", 3)
    live.become(USER.replace("name: str", "age: int = 0\n    name: str = ''"))
    match u:
        case User(first, second):
            assert (first, second) == (3, "ann")


# -- attrs


def test_attrs_fields_with_default_and_factory(live):
    live.start("import attr\n@attr.s(auto_attribs=True)\nclass U:\n    name: str\n")
    from m import U

    a, b = U("ann"), U("bob")
    live.edit("name: str", "name: str\n    age: int = 7\n    tags: list = attr.Factory(list)")
    assert (a.age, a.tags) == (7, [])
    assert a.tags is not b.tags
    assert repr(a) == "U(name='ann', age=7, tags=[])"
    assert a == U("ann")


def test_attrs_define_with_slots_gains_and_loses_a_field(live):
    live.start(
        "import attrs\n@attrs.define\nclass U:\n    name: str\n    def f(self):\n        return 'v1', self.name\n"
    )
    import m

    held = [m.U("ann")]
    live.edit("v1", "v2")
    assert held[0].f() == ("v2", "ann")
    live.edit("name: str", "name: str\n    hp: int = 5")
    assert (held[0].name, held[0].hp) == ("ann", 5)
    assert isinstance(held[0], m.U)
    live.edit("    hp: int = 5\n", "")
    assert held[0].name == "ann"
    assert repr(held[0]) == "U(name='ann')"
    assert [a.name for a in attr.fields(m.U)] == ["name"]


def test_attrs_frozen_and_validator(live):
    live.start("import attrs\n@attrs.frozen\nclass U:\n    n: int = attrs.field(default=1)\n")
    import m

    held = [m.U(2)]
    live.edit("default=1", "default=1, validator=attrs.validators.lt(10)")
    assert held[0].n == 2
    with pytest.raises(ValueError):
        m.U(11)
    assert held[0] == m.U(2)


# -- named tuples, typed dicts, simple namespaces


def test_a_named_tuple_takes_a_method_and_keeps_its_values(live):
    live.start(
        "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\n    def f(self):\n        return 'v1'\n"
    )
    import m

    P, p = m.P, m.P(1, 2)
    live.edit("v1", "v2")
    assert p.f() == "v2"
    assert p == (1, 2)
    assert m.P is P
    assert isinstance(p, m.P)


def test_a_named_tuple_gains_a_field(live):
    live.start("from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int = 0\n")
    import m

    held = [m.P(1, 2)]
    live.edit("y: int = 0", "y: int = 0\n    z: int = 9")
    assert m.P(1).z == 9
    assert m.P._fields == ("x", "y", "z")
    assert (held[0].x, held[0].y) == (1, 2)
    assert isinstance(held[0], m.P)


def test_a_collections_namedtuple_and_a_subclass(live):
    live.start(
        """
        import collections
        Pair = collections.namedtuple("Pair", "a b")
        class Named(collections.namedtuple("Named", "a b")):
            __slots__ = ()
            def total(self):
                return ("v1", self.a + self.b)
        """
    )
    import m

    pair, named = m.Pair(1, 2), m.Named(3, 4)
    Pair = m.Pair
    live.edit("v1", "v2")
    assert named.total() == ("v2", 7)
    assert m.Pair is Pair
    assert isinstance(pair, m.Pair)
    live.edit('"a b")\nclass', '"a b c")\nclass')
    assert m.Pair(1, 2, 3).c == 3
    assert pair.a == 1


def test_type_aliases_and_typed_dicts(live):
    live.start(
        """
        from typing import TypedDict, Union
        Id = Union[int, str]
        class Row(TypedDict):
            id: Id
        def load(i: Id) -> Row:
            return {"id": i}
        """
    )
    import typing

    import m

    load = m.load
    live.edit("Union[int, str]", "Union[int, bytes]")
    assert typing.get_args(m.Id) == (int, bytes)
    assert load.__annotations__["i"] == m.Id
    assert m.Row.__annotations__["id"] == m.Id
    assert load.__annotations__["return"] is m.Row


def test_a_typed_dict_gains_a_key_and_total_changes(live):
    live.start("from typing import TypedDict\nclass Row(TypedDict):\n    a: int\n")
    from m import Row

    live.edit("a: int", "a: int\n    b: str")
    assert set(Row.__annotations__) == {"a", "b"}
    assert Row.__required_keys__ == {"a", "b"}
    live.edit("(TypedDict)", "(TypedDict, total=False)")
    import m

    assert m.Row.__optional_keys__ == {"a", "b"}


def test_new_type_and_literal_aliases(live):
    live.start(
        "from typing import Literal, NewType\nMode = Literal['a', 'b']\nUid = NewType('Uid', int)\ndef f(m: Mode, u: Uid): ...\n"
    )
    import typing

    import m

    live.edit("['a', 'b']", "['a', 'b', 'c']")
    assert typing.get_args(m.Mode) == ("a", "b", "c")
    assert typing.get_type_hints(m.f) == {"m": m.Mode, "u": m.Uid}


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("Outer(Inner(1))", "frozen=True"),
        ("Outer((Inner(1),))", "frozen=True, slots=True"),
        ("(frozenset([Inner(1)]), 'x')", "frozen=True"),
        ("Outer(Outer(Inner(1)))", "frozen=True"),
    ],
)
def test_keys_that_hash_by_what_they_hold_are_found_again_however_deep(live, key, options):
    text = (
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Inner:\n    v: int\n"
        f"@dataclass({options})\nclass Outer:\n    i: object\ntable = {{{key}: 'found'}}\n"
    )
    live.start(text)
    import m

    table, held = m.table, next(iter(m.table))
    live.edit("    v: int\n", "    v: int\n    w: int = 0\n")
    assert table[held] == table[eval(key, vars(m))] == "found"
