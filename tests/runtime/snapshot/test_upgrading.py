"""Old state meets new code: the same hooks as in a live edit."""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snapshot_versions import game, no_game
from zodbpickle import pickle as zodbpickle

from midair.runtime import rebuild, snapshot
from midair.runtime.errors import UpgradeRefused
from midair.runtime.server import Server
from midair.runtime.snapshot import dumps, loads, quarantine
from midair.runtime.space import Space


@pytest.fixture(autouse=True)
def _versions() -> Iterator[None]:
    with no_game("game", "arms"):
        yield
    for one in quarantine.loaded():
        quarantine.release(one.obj)


SWORD_1 = """
class Sword:
    __schema__ = 1
    def __init__(self, number=1):
        self.dmg, self.number, self.next = number, number, None
"""
SWORD_2 = """
class Sword:
    __schema__ = 2
    def __upgrade__(self, schema, state):
        assert schema == 1, schema
        assert "damage" not in state
        self.damage = state["dmg"] * 10
        del self.dmg
"""


def moved(old: str, make: str, new: str) -> Any:
    """An object that was saved under one source, loaded under another."""
    data = dumps(eval(make, game(old).__dict__))
    game(new)
    return loads(data)


def test_a_risen_schema_calls_the_hook_once_for_each_instance() -> None:
    back = moved(SWORD_1, "[Sword(1), Sword(2)]", SWORD_2)
    assert [vars(sword) for sword in back] == [{"number": n, "next": None, "damage": 10 * n} for n in (1, 2)]


def test_no_bump_no_call() -> None:
    back = moved(SWORD_1, "Sword(3)", SWORD_2.replace("__schema__ = 2", "__schema__ = 1"))
    assert vars(back) == {"dmg": 3, "number": 3, "next": None}


def test_absent_counts_as_schema_0() -> None:
    back = moved(
        "class A:\n    x = 1\n",
        "A()",
        "class A:\n    __schema__ = 1\n    def __upgrade__(self, schema, state): self.seen = schema, state\n",
    )
    assert back.seen == (0, {})


def test_every_state_is_there_before_the_first_hook() -> None:
    old = "class A:\n    def __init__(self): self.other = None\n"
    new = "class A:\n    __schema__ = 1\n    def __upgrade__(self, schema, state): self.seen = self.other.name\n"
    data = game(old + "a, b = A(), A()\na.other, b.other, a.name, b.name = b, a, 'a', 'b'\n")
    data = dumps([data.a, data.b])
    game(new)
    back = loads(data)
    assert [one.seen for one in back] == ["b", "a"]


def test_each_base_brings_its_own_schema_base_first() -> None:
    old = "class Base:\n    __schema__ = 1\nclass Gone:\n    __schema__ = 5\nclass A(Base, Gone):\n    __schema__ = 1\n    def __init__(self): self.calls = []\n"
    new = """
    class Base:
        __schema__ = 3
        def __upgrade__(self, schema, state): self.calls.append(("Base", schema))
    class New:
        __schema__ = 2
        def __upgrade__(self, schema, state): self.calls.append(("New", schema))
    class A(Base, New):
        __schema__ = 2
        def __upgrade__(self, schema, state): self.calls.append(("A", schema))
    """
    assert moved(old, "A()", new).calls == [("New", 0), ("Base", 1), ("A", 1)]


def test_a_schema_is_not_inherited_and_one_that_is_no_int_is_somebody_elses() -> None:
    old = "class A:\n    pass\nclass B(A):\n    pass\n"
    new = "class A:\n    __schema__ = 'mine'\n    def __upgrade__(self, *a): raise AssertionError\nclass B(A):\n    __schema__ = 1\n"
    assert type(moved(old, "B()", new)).__name__ == "B"


def test_slots_are_part_of_the_state_and_what_does_not_fit_is_offered_to_the_hook() -> None:
    old = "class A:\n    __slots__ = ('x', 'y')\n    def __init__(self): self.x, self.y = 1, 2\n"
    new = """
    class A:
        __slots__ = ("y", "z")
        __schema__ = 1
        def __upgrade__(self, schema, state): self.z = state["x"] + self.y
    """
    back = moved(old, "A()", new)
    assert (back.y, back.z) == (2, 3)


def test_slots_become_attributes_and_the_other_way_round() -> None:
    slotted, loose = (
        "class A:\n    __slots__ = ('x',)\n    def __init__(self): self.x = 1\n",
        "class A:\n    def __init__(self): self.x = 1\n",
    )
    assert vars(moved(slotted, "A()", loose)) == {"x": 1}
    back = moved(loose, "A()", slotted)
    assert back.x == 1
    assert not hasattr(back, "__dict__")


def test_an_own_setstate_is_called_before_the_hook() -> None:
    old = "class A:\n    def __init__(self): self.x = 1\n"
    new = """
    class A:
        __schema__ = 1
        def __setstate__(self, state): self.order, self.y = ["setstate"], state["x"]
        def __upgrade__(self, schema, state): self.order.append("upgrade"); self.state = state
    """
    back = moved(old, "A()", new)
    assert (back.order, back.y, back.state) == (["setstate", "upgrade"], 1, {"x": 1})


def test_new_fields_with_defaults_are_filled_in() -> None:
    old = "from dataclasses import dataclass\nimport attrs\n@dataclass\nclass A:\n    x: int\n@attrs.define\nclass B:\n    x: int\n"
    new = """
    from dataclasses import dataclass, field
    import attrs
    @dataclass
    class A:
        x: int
        y: int = 5
        z: list = field(default_factory=list)
    @attrs.define
    class B:
        x: int
        y: int = 6
        z: list = attrs.field(factory=list)
    """
    first, second, third = moved(old, "[A(1), A(2), B(3)]", new)
    assert vars(first) == {"x": 1, "y": 5, "z": []}
    assert first.z is not second.z
    assert (third.x, third.y, third.z) == (3, 6, [])


def test_a_dataclass_that_became_frozen_or_slotted_takes_its_state() -> None:
    old = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    back = moved(old, "A(1)", old.replace("@dataclass", "@dataclass(frozen=True)"))
    assert back.x == 1
    assert hash(back) == hash((1,))
    assert moved(old, "A(2)", old.replace("@dataclass", "@dataclass(slots=True)")).x == 2


KEY_1 = "class Key:\n    def __init__(self, name): self.name = name\n    def __hash__(self): return hash(self.name)\n    def __eq__(self, other): return self.name == other.name\n"
KEY_2 = KEY_1 + "    __schema__ = 1\n    def __upgrade__(self, schema, state): self.name = state['name'].lower()\n"


def test_an_upgrade_that_changes_hashes_leaves_keys_where_they_are_found() -> None:
    back = moved(KEY_1, "[{Key('A'): 1, Key('B'): 2}, {Key('C')}, frozenset({Key('D')})]", KEY_2)
    import sys

    key = sys.modules["game"].Key
    assert back[0][key("a")] == 1
    assert key("c") in back[1]
    assert key("d") in back[2]


def test_two_keys_that_become_equal_are_refused() -> None:
    with pytest.raises(UpgradeRefused, match=r"two keys of one dict or set are equal now \(game:Key\)"):
        moved(KEY_1, "{Key('A'): 1, Key('a'): 2}", KEY_2)


def test_a_class_that_got_a_hash_of_its_own_still_takes_its_keys() -> None:
    old = "class Key:\n    def __init__(self, name): self.name = name\n"
    back = moved(old + "key = Key('a')\n", "{key: 1, 'list': [key]}", KEY_1)
    import sys

    assert back[sys.modules["game"].Key("a")] == 1
    assert type(back["list"][0]) is sys.modules["game"].Key


def test_older_code_is_refused_with_the_name_of_the_class() -> None:
    with pytest.raises(
        UpgradeRefused, match="stored state of game:Sword has schema 2, its class has 1 now: older code"
    ):
        moved(SWORD_2, "Sword()", SWORD_1)


FAILING = SWORD_2.replace(
    "        self.damage",
    "        if state['number'] == 2: self.half = 1; raise ValueError('no rule')\n        self.damage",
)


def three_swords(path: Path) -> None:
    module, space = game(SWORD_1), Space()
    space["swords"] = [module.Sword(number) for number in (1, 2, 3)]
    space.save(path)


def test_a_hook_that_raises_refuses_the_start_with_a_list_and_takes_no_older_generation(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    three_swords(tmp_path / "app.spl")
    game(FAILING)
    with pytest.raises(
        UpgradeRefused,
        match=r"1 objects do not fit.*space\['swords'\]\[1\]: game\.Sword: __upgrade__: ValueError: no rule",
    ):
        snapshot.load(tmp_path / "app.spl")
    assert len(list(tmp_path.glob("*.spl"))) == 3


def test_lenient_goes_on_with_that_object_as_it_was_stored_and_lists_it(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    game(FAILING)
    loaded = snapshot.resume(tmp_path / "app.spl", lenient=True)
    assert [problem.path for problem in loaded.problems] == ["space['swords'][1]"]
    assert loaded.upgraded == 2
    with rebuild.look_through():
        assert vars(loaded.space["swords"][1]) == {"dmg": 2, "number": 2, "next": None}
    assert loaded.space["swords"][2].damage == 30


def test_an_object_in_quarantine_is_tried_again_by_the_next_load(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    game(FAILING)
    snapshot.load(tmp_path / "app.spl", lenient=True).save()
    game(SWORD_2)
    back = snapshot.load(tmp_path / "app.spl")
    assert [sword.damage for sword in back["swords"]] == [10, 20, 30]


def test_an_object_in_quarantine_refuses_to_be_used_until_an_edit_heals_it(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    module = game(FAILING)
    space = snapshot.load(tmp_path / "app.spl", lenient=True)
    stuck, whole = space["swords"][1], space["swords"][2]
    for use in (lambda: stuck.number, lambda: setattr(stuck, "number", 3), lambda: delattr(stuck, "number")):
        with pytest.raises(
            rebuild.NotUpgraded, match=r"game\.Sword at .* \(ValueError: no rule\); it keeps its old state"
        ):
            use()
    assert isinstance(stuck, module.Sword)
    assert whole.damage == 30
    assert Server(space).status()["not_upgraded"] == 1
    assert [str(problem) for problem in space.check().problems] == []
    space.save()
    module.Sword.__upgrade__ = game(SWORD_2).Sword.__upgrade__
    sys.modules["game"] = module
    assert snapshot.heal(space).healed == 1
    assert stuck.damage == 20
    assert not {"__getattribute__", "__setattr__", "__delattr__"} & vars(module.Sword).keys()


async def test_an_object_in_quarantine_goes_through_a_snapshot_by_fork_and_back(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    game(FAILING)
    space = snapshot.load(tmp_path / "app.spl", lenient=True)
    assert await snapshot.take(space, tmp_path / "app.spl") == 2
    with pytest.raises(UpgradeRefused, match=r"1 objects do not fit.*space\['swords'\]\[1\]"):
        snapshot.load(tmp_path / "app.spl")
    game(SWORD_2)
    assert [sword.damage for sword in snapshot.load(tmp_path / "app.spl")["swords"]] == [10, 20, 30]


def test_a_class_that_got_older_than_its_objects_keeps_them_shut(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    module = game(SWORD_1.replace("= 1\n", "= 0\n"))
    space = snapshot.load(tmp_path / "app.spl", lenient=True)
    with pytest.raises(rebuild.NotUpgraded, match="older code"):
        space["swords"][0].number
    space.save()
    module.Sword.__schema__ = 1
    assert snapshot.heal(space).healed == 3
    assert [sword.number for sword in space["swords"]] == [1, 2, 3]
    game(SWORD_1)
    assert [sword.number for sword in snapshot.load(tmp_path / "app.spl")["swords"]] == [1, 2, 3]


SELF_MADE = """
class Own:
    def __init__(self): self.x, self.next = 1, [self]
    def __getstate__(self): return {"kept": self.x, "next": self.next}
    def __setstate__(self, state): self.x, self.next = state["kept"], state["next"]
"""


def test_a_state_that_its_own_class_refuses_is_kept_and_offered_again(tmp_path: Path) -> None:
    module, space = game(SELF_MADE), Space()
    space["own"] = module.Own()
    space.save(tmp_path / "app.spl")
    module = game(SELF_MADE.replace('state["kept"]', 'state["other"]').replace('self.x, "next"', 'self.y, "next"'))
    with pytest.raises(UpgradeRefused, match=r"space\['own'\]: game\.Own: __setstate__: KeyError: 'other'"):
        snapshot.load(tmp_path / "app.spl")
    space = snapshot.load(tmp_path / "app.spl", lenient=True)
    with pytest.raises(rebuild.NotUpgraded):
        space["own"].x
    space.save()
    space.save()
    module.Own.__setstate__ = game(SELF_MADE).Own.__setstate__
    assert snapshot.heal(space).healed == 1
    assert space["own"].x == 1
    again = snapshot.load(tmp_path / "app.spl")["own"]
    assert (again.x, again.next) == (1, [again])


def test_an_object_that_an_edit_could_not_upgrade_is_saved_with_its_old_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit itself is made as `rebuild.apply` makes it when a hook fails only after its rehearsal."""
    module, space = game(SWORD_1), Space()
    space["sword"] = sword = module.Sword(7)
    module.Sword.__schema__, module.Sword.__upgrade__ = 2, game(FAILING).Sword.__upgrade__
    sys.modules["game"] = module
    monkeypatch.setattr(rebuild, "not_upgraded", lambda: [(sword, {module.Sword: 1})])
    rebuild.close(sword, "waits")
    space.save(tmp_path / "app.spl")
    rebuild.open_again(sword)
    monkeypatch.undo()
    game(SWORD_2)
    assert snapshot.load(tmp_path / "app.spl")["sword"].damage == 70


def test_a_resume_that_raises_is_listed_like_an_upgrade(tmp_path: Path) -> None:
    module, space = game("class A:\n    def __resume__(self, space): self.space = space\n"), Space()
    space["a"] = module.A()
    space.save(tmp_path / "app.spl")
    back = snapshot.load(tmp_path / "app.spl")
    assert back["a"].space is back
    game("class A:\n    def __resume__(self, space): raise OSError('no port')\n")
    with pytest.raises(UpgradeRefused, match=r"space\['a'\]: game\.A: __resume__: OSError: no port"):
        snapshot.load(tmp_path / "app.spl")


def test_what_is_below_is_resumed_before_what_is_above() -> None:
    source = "order = []\nclass A:\n    def __init__(self, name, below=None): self.name, self.below = name, below\n    def __resume__(self, space): order.append(self.name)\n"
    moved(source, "A('root', A('middle', A('leaf')))", source)
    import sys

    assert sys.modules["game"].order == ["leaf", "middle", "root"]


# --- names


def test_a_renamed_class_says_what_it_was_called() -> None:
    back = moved(SWORD_1, "Sword(4)", SWORD_2.replace("class Sword:", "class Blade:\n    __was__ = ('game:Sword',)"))
    assert (type(back).__name__, back.damage) == ("Blade", 40)


def test_a_moved_class_is_found_and_its_schema_with_it() -> None:
    data = dumps(game(SWORD_1).Sword(5))
    game("")
    game(SWORD_2.replace("class Sword:", "class Sword:\n    __was__ = ('game:Sword',)"), "arms")
    back = loads(data)
    assert (type(back).__module__, back.damage) == ("arms", 50)


def test_a_moved_class_that_is_still_imported_where_it_was() -> None:
    data = dumps(game(SWORD_1).Sword(5))
    arms = game(SWORD_1, "arms")
    game("").__dict__["Sword"] = arms.Sword
    assert type(loads(data)) is arms.Sword


def test_a_class_that_got_a_metaclass_or_another_base_takes_its_state() -> None:
    old = "class A:\n    def __init__(self): self.x = 1\n"
    back = moved(old, "[A()]", "class Meta(type): pass\nclass A(metaclass=Meta): y = 2\n")
    assert (back[0].x, back[0].y, type(type(back[0])).__name__) == (1, 2, "Meta")
    back = moved(
        old, "[A()]", "class Base:\n    y = 3\n    def __init__(self): raise AssertionError\nclass A(Base): pass\n"
    )
    assert (back[0].x, back[0].y) == (1, 3)
    back = moved("class A(list): pass\n", "[A('ab')]", "class A(list):\n    extra = 1\n")
    assert (list(back[0]), back[0].extra) == (["a", "b"], 1)


def test_a_class_that_holds_items_no_more_is_refused_by_path() -> None:
    with pytest.raises(UpgradeRefused, match=r"obj\[0\]: game\.A: .*takes no items any more"):
        moved("class A(list): pass\n", "[A('ab')]", "class A: pass\n")


def test_what_a_hook_returns_does_not_matter() -> None:
    back = moved(SWORD_1, "[Sword(1)]", SWORD_2 + "        return {'damage': 5}\n")
    assert back[0].damage == 10


def test_a_hook_that_never_ends_can_be_interrupted_and_harms_no_file(tmp_path: Path) -> None:
    three_swords(tmp_path / "app.spl")
    before = (tmp_path / "app.spl").read_bytes()
    game(
        SWORD_2.replace(
            "self.damage =",
            "import signal; signal.raise_signal(signal.SIGINT)\n        while True: pass\n        self.damage =",
        )
    )
    with pytest.raises(KeyboardInterrupt):
        snapshot.load(tmp_path / "app.spl")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".spl"] == []
    assert (tmp_path / "app.spl").read_bytes() == before
    game(SWORD_2)
    assert snapshot.load(tmp_path / "app.spl")["swords"][0].damage == 10


def test_an_enum_member_is_found_by_value_or_by_name() -> None:
    old = "import enum\nclass Mode(enum.Enum):\n    ON = 1\n    OFF = 2\n"
    assert moved(old, "Mode.ON", old.replace("ON = 1", "STARTED = 1")).name == "STARTED"
    assert moved(old, "Mode.ON", old.replace("ON = 1", "ON = 7")).value == 7
    with pytest.raises(UpgradeRefused, match="game:Mode has no member ON = 1 any more"):
        moved(old, "Mode.ON", "import enum\nclass Mode(enum.Enum):\n    OFF = 2\n")


def test_a_class_that_became_a_function_is_lost_not_called() -> None:
    back = moved("class A:\n    def __init__(self): self.x = 1\n", "A()", "def A(): raise AssertionError\n")
    assert back.x == 1
    assert repr(back) == "<stand-in for game:A>"


# --- bare pickles


@pytest.mark.parametrize(
    "pickled", [pickle.dumps, lambda value: pickle.dumps(value, 0), lambda value: zodbpickle.dumps(value, 3)]
)
def test_a_bare_pickle_counts_as_schema_0_and_gets_its_upgrade(pickled: Any) -> None:
    module = game("class User:\n    def __init__(self): self.full, self.list = 'ann lee', [1]\n")
    user = module.User()
    data = pickled([user, user, module.User])
    game("""
    class User:
        __schema__ = 1
        def __upgrade__(self, schema, state):
            self.first, _, self.last = state["full"].partition(" ")
            del self.full
            self.schema = schema
    """)
    first, second, cls = loads(data)
    assert vars(first) == {"list": [1], "first": "ann", "last": "lee", "schema": 0}
    assert first is second
    assert type(first) is cls


def test_a_bare_pickle_without_schemas_is_just_loaded() -> None:
    assert loads(pickle.dumps({"a": [1, 2.5, {"b"}]})) == {"a": [1, 2.5, {"b"}]}
