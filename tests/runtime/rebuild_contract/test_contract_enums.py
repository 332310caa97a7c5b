"""Enumerations: members keep identity; added, removed and changed ones are as a fresh import makes them."""

import pickle

import pytest

MODE = """
import enum
class Mode(enum.Enum):
    ON = 1
    OFF = 0
"""


def test_a_method_changes_and_members_are_the_same(live):
    live.start(MODE + "    def label(self):\n        return 'v1 ' + self.name\n")
    import m

    on, table = m.Mode.ON, {m.Mode.ON: "x"}
    live.edit("v1", "v2")
    assert on is m.Mode.ON is m.Mode(1) is m.Mode["ON"]
    assert on.label() == "v2 ON"
    assert table[m.Mode.ON] == "x"


def test_a_member_is_added(live):
    live.start(MODE, user="from m import Mode\nstate = Mode.ON\n")
    import m
    import user

    Mode, on = m.Mode, m.Mode.ON
    live.edit("OFF = 0", "OFF = 0\n    AUTO = 2")
    assert Mode is m.Mode
    assert Mode.AUTO.value == 2
    assert Mode(2) is Mode.AUTO is Mode["AUTO"]
    assert [x.name for x in Mode] == ["ON", "OFF", "AUTO"]
    assert user.state is on is Mode.ON
    assert len(Mode) == 3
    assert list(Mode.__members__) == ["ON", "OFF", "AUTO"]
    assert pickle.loads(pickle.dumps(on)) is on
    assert pickle.loads(pickle.dumps(Mode.AUTO)) is Mode.AUTO
    assert type(Mode.AUTO) is Mode


def test_a_member_is_added_in_the_middle_and_members_are_reordered(live):
    live.start(MODE)
    import m

    on, off = m.Mode.ON, m.Mode.OFF
    live.become("import enum\nclass Mode(enum.Enum):\n    OFF = 0\n    AUTO = 2\n    ON = 1\n")
    assert [x.name for x in m.Mode] == ["OFF", "AUTO", "ON"]
    assert m.Mode.ON is on
    assert m.Mode.OFF is off


def test_a_member_is_removed(live):
    live.start(MODE + "    OLD = 9\n")
    import m

    on, gone = m.Mode.ON, m.Mode.OLD
    live.edit("    OLD = 9\n", "")
    assert not hasattr(m.Mode, "OLD")
    assert [x.name for x in m.Mode] == ["ON", "OFF"]
    assert m.Mode.ON is on
    assert gone.name == "OLD"
    assert gone != on
    with pytest.raises(ValueError):
        m.Mode(9)
    with pytest.raises(KeyError):
        m.Mode["OLD"]


def test_a_value_changes_and_the_member_is_the_same(live):
    live.start(MODE)
    import m

    on, table = m.Mode.ON, {m.Mode.ON: "x"}
    live.edit("ON = 1", "ON = 10")
    assert m.Mode.ON is on
    assert on.value == 10
    assert m.Mode(10) is on
    assert table[on] == "x"
    with pytest.raises(ValueError):
        m.Mode(1)


def test_two_members_trade_values(live):
    live.start(MODE)
    import m

    on, off = m.Mode.ON, m.Mode.OFF
    live.become("import enum\nclass Mode(enum.Enum):\n    ON = 0\n    OFF = 1\n")
    assert (on, off) == (m.Mode.ON, m.Mode.OFF)
    assert m.Mode(0) is on
    assert m.Mode(1) is off
    assert on.value == 0


def test_a_member_is_renamed(live):
    live.start(MODE)
    import m

    live.edit("ON = 1", "ACTIVE = 1")
    assert m.Mode.ACTIVE.value == 1
    assert m.Mode(1) is m.Mode.ACTIVE
    assert not hasattr(m.Mode, "ON")
    assert m.Mode.ACTIVE.name == "ACTIVE"


def test_an_alias_is_added_and_removed(live):
    live.start(MODE)
    import m

    on = m.Mode.ON
    live.edit("OFF = 0", "OFF = 0\n    ENABLED = 1")
    assert m.Mode.ENABLED is on
    assert len(m.Mode) == 2
    assert "ENABLED" in m.Mode.__members__
    live.edit("    ENABLED = 1\n", "")
    assert not hasattr(m.Mode, "ENABLED")
    assert m.Mode.ON is on


def test_auto_values(live):
    live.start("import enum\nclass Mode(enum.Enum):\n    A = enum.auto()\n    B = enum.auto()\n")
    import m

    a, b = m.Mode.A, m.Mode.B
    live.edit("    B = enum.auto()\n", "    B = enum.auto()\n    C = enum.auto()\n")
    assert [(x.name, x.value) for x in m.Mode] == [("A", 1), ("B", 2), ("C", 3)]
    assert m.Mode.A is a
    assert m.Mode.B is b


def test_int_enum(live):
    live.start("import enum\nclass Level(enum.IntEnum):\n    LOW = 1\n    HIGH = 2\n")
    import m

    low, table = m.Level.LOW, {m.Level.LOW: "l"}
    live.edit("HIGH = 2", "HIGH = 2\n    TOP = 3")
    assert m.Level.LOW is low
    assert m.Level(3) is m.Level.TOP
    assert low < m.Level.TOP
    assert m.Level.TOP + 1 == 4
    assert table[1] == "l"
    live.edit("TOP = 3", "TOP = 30")
    assert m.Level.TOP + 1 == 31
    assert m.Level(30) is m.Level.TOP


def test_an_int_enums_changed_value_counts_as_the_new_number(live):
    live.start("import enum\nclass Level(enum.IntEnum):\n    LOW = 1\n    HIGH = 2\n")
    import m

    live.edit("LOW = 1", "LOW = -1")
    assert m.Level.LOW == -1
    assert m.Level(-1) is m.Level.LOW
    assert m.Level.LOW < 0
    assert m.Level.LOW.value == -1


def test_str_enum(live):
    live.start(
        "import enum\nclass Kind(enum.StrEnum):\n    CAT = 'cat'\n    def loud(self):\n        return 'v1' + self\n"
    )
    import m

    cat = m.Kind.CAT
    live.edit("CAT = 'cat'", "CAT = 'cat'\n    DOG = enum.auto()")
    live.edit("v1", "v2")
    assert m.Kind.CAT is cat
    assert cat == "cat"
    assert m.Kind.DOG == "dog"
    assert cat.loud() == "v2cat"


def test_flags(live):
    live.start("import enum\nclass P(enum.Flag):\n    R = 1\n    W = 2\n")
    import m

    r, rw = m.P.R, m.P.R | m.P.W
    live.edit("W = 2", "W = 2\n    X = 4\n    ALL = 7")
    assert m.P.R is r
    assert rw == m.P.R | m.P.W
    assert m.P.R | m.P.W is rw
    assert m.P.X in (m.P.X | r)
    assert m.P.ALL == m.P.R | m.P.W | m.P.X
    assert rw in m.P.ALL
    assert (~r & m.P.ALL) == m.P.W | m.P.X
    assert [x.name for x in m.P] == ["R", "W", "X"]


def test_int_flags(live):
    live.start("import enum\nclass P(enum.IntFlag):\n    R = 4\n    W = 2\n")
    import m

    r = m.P.R
    live.edit("W = 2", "W = 2\n    X = 1")
    assert m.P.R is r
    assert m.P(5) == m.P.R | m.P.X
    assert int(m.P.R | m.P.X) == 5
    live.edit("    X = 1\n", "")
    assert not hasattr(m.P, "X")
    assert m.P.R is r


def test_an_enum_with_attributes_from_init(live):
    source = """
        import enum
        class Planet(enum.Enum):
            EARTH = (1.0, 2)
            MARS = (0.5, 1)
            def __init__(self, mass, moons):
                self.mass, self.moons = mass, moons
            @property
            def weight(self):
                return self.mass * 10
        """
    live.start(source)
    import m

    earth = m.Planet.EARTH
    live.become(source.replace("(0.5, 1)", "(0.6, 2)").replace("self.mass * 10", "self.mass * 20"))
    assert m.Planet.EARTH is earth
    assert earth.weight == 20
    assert m.Planet.MARS.mass == 0.6
    assert m.Planet((0.6, 2)) is m.Planet.MARS


def test_a_mixin_type_and_a_missing_hook(live):
    live.start(MODE)
    import m

    on = m.Mode.ON
    live.become(MODE + "    @classmethod\n    def _missing_(cls, value):\n        return cls.OFF\n")
    assert m.Mode(77) is m.Mode.OFF
    assert m.Mode.ON is on


def test_enum_to_plain_class_and_plain_class_to_enum(live):
    live.start(MODE)
    import m

    on = m.Mode.ON
    live.become("class Mode:\n    ON = 1\n    OFF = 0\n")
    assert m.Mode.ON == 1
    assert on.name == "ON"
    live.become(MODE)
    assert m.Mode.ON.value == 1
    assert m.Mode(1) is m.Mode.ON


def test_enum_members_in_match_statements_of_running_code(live):
    live.start(
        MODE
        + """
def describe(mode):
    match mode:
        case Mode.ON:
            return "on"
        case Mode.OFF:
            return "off"
        case _:
            return "other"
"""
    )
    import m

    describe, on = m.describe, m.Mode.ON
    live.edit("    OFF = 0\n", "    OFF = 0\n    AUTO = 2\n")
    assert describe(on) == "on"
    assert describe(m.Mode.AUTO) == "other"


def test_a_functional_enum(live):
    live.start("import enum\nMode = enum.Enum('Mode', 'ON OFF')\ndef f():\n    return 'v1'\n")
    import m

    Mode, on = m.Mode, m.Mode.ON
    live.edit("v1", "v2")
    assert m.Mode is Mode
    live.edit("'ON OFF'", "'ON OFF AUTO'")
    assert m.Mode.AUTO.value == 3
    assert on.name == "ON"


def test_unique_and_verify_refuse_a_duplicate(live):
    source = "import enum\n@enum.unique\nclass Mode(enum.Enum):\n    A = 1\n    B = 2\n"
    live.start(source)
    import m

    a = m.Mode.A
    live.refused(source.replace("B = 2", "B = 1"))
    assert m.Mode.A is a
    assert m.Mode.B.value == 2


def test_an_enum_member_as_default_argument_and_in_another_modules_table(live):
    live.start(
        MODE,
        user="from m import Mode\nTABLE = {Mode.ON: 'on', Mode.OFF: 'off'}\ndef f(mode=Mode.ON):\n    return TABLE[mode]\n",
    )
    import user

    live.edit("OFF = 0", "OFF = 0\n    AUTO = 2")
    import m

    assert user.f() == "on"
    assert user.TABLE[m.Mode(0)] == "off"


def test_constants_and_nested_helpers_in_an_enum(live):
    live.start(
        "import enum\nclass Mode(enum.Enum):\n    _ignore_ = ['tmp']\n    tmp = 1\n    A = tmp\n    B = tmp + 1\n"
    )
    import m

    a = m.Mode.A
    live.edit("B = tmp + 1", "B = tmp + 1\n    C = tmp + 2")
    assert m.Mode.C.value == 3
    assert m.Mode.A is a


def test_a_name_that_another_statement_gave_an_enum_stays_when_members_change(live):
    live.start("import enum\nclass C(enum.IntEnum):\n    A = 1\nfor c in C: setattr(C, c.name.lower(), int(c))\n")
    import m

    live.edit("    A = 1\n", "    A = 1\n    B = 2\n")
    assert m.C.a == 1
    assert m.C.B == 2
