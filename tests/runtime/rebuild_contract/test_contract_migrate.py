"""Upgrade hooks: `__schema__`, `__upgrade__`, `__downgrade__` and `__rebuilt__`."""

import pytest

PLAIN = """
class User:
    def __init__(self, n):
        self.n = n
"""

UPGRADED = """
class User:
    __schema__ = 1
    def __init__(self, n):
        self.n = n
    def __upgrade__(self, schema, state):
        self.seen = (schema, dict(state))
        self.n *= 100
"""


def test_the_hook_runs_once_for_each_instance(live):
    live.start(PLAIN)
    from m import User

    users = [User(i) for i in range(5)]
    live.become(UPGRADED)
    assert [u.n for u in users] == [0, 100, 200, 300, 400]
    assert users[1].seen == (0, {"n": 1})
    live.become(UPGRADED + "    def more(self):\n        return 'v3'\n")
    assert users[1].n == 100
    assert users[1].more() == "v3"


def test_no_hook_runs_without_a_bump(live):
    live.start(UPGRADED)
    from m import User

    u = User(1)
    live.edit("self.n *= 100", "self.n *= 1000")
    assert u.n == 1
    assert not hasattr(u, "seen")


def test_no_hook_runs_when_another_class_was_edited(live):
    live.start(UPGRADED + "class Other:\n    def f(self):\n        return 1\n")
    from m import User

    u = User(1)
    live.edit("return 1", "return 2")
    assert u.n == 1


def test_instances_made_after_the_edit_are_not_upgraded(live):
    live.start(PLAIN)
    import m

    live.become(UPGRADED)
    new = m.User(1)
    live.edit("__schema__ = 1", "__schema__ = 2")
    assert new.n == 100
    assert new.seen[0] == 1


def test_two_bumps_tell_where_from(live):
    live.start(PLAIN)
    from m import User

    u = User(1)
    live.become(UPGRADED.replace("__schema__ = 1", "__schema__ = 5"))
    assert u.seen[0] == 0
    live.become(UPGRADED.replace("__schema__ = 1", "__schema__ = 7"))
    assert u.seen[0] == 5
    assert u.n == 10000


def test_a_subclass_in_another_module_is_upgraded_by_its_base(live):
    live.start(PLAIN, sub="from m import User\nclass Admin(User):\n    pass\n")
    from sub import Admin

    admin = Admin(2)
    live.become(UPGRADED)
    assert admin.n == 200
    assert admin.seen == (0, {"n": 2})


def test_hooks_run_base_first_each_class_with_its_own_number(live):
    live.start("class A:\n    pass\nclass B(A):\n    pass\n")
    from m import B

    b = B()
    live.become(
        """
        class A:
            __schema__ = 3
            def __upgrade__(self, schema, state):
                self.log = [("A", schema)]
        class B(A):
            __schema__ = 2
            def __upgrade__(self, schema, state):
                self.log.append(("B", schema))
        """
    )
    assert b.log == [("A", 0), ("B", 0)]


def test_a_hook_is_not_inherited(live):
    live.start(
        "class A:\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.log = 'A'\nclass B(A):\n    x = 1\n"
    )
    from m import B

    b = B()
    live.edit("    x = 1\n", "    x = 1\n    __schema__ = 4\n")
    assert not hasattr(b, "log")


def test_several_bases(live):
    live.start("class A:\n    pass\nclass B:\n    pass\nclass C(A, B):\n    pass\n")
    from m import C

    c = C()
    up = "    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.__dict__.setdefault('log', []).append(__class__.__name__)\n"
    live.become("class A:\n" + up + "class B:\n" + up + "class C(A, B):\n" + up)
    assert c.log == ["B", "A", "C"]


def test_a_base_new_in_the_mro_is_called_with_zero(live):
    live.start(
        """
        class Mix:
            __schema__ = 4
            def __upgrade__(self, schema, state):
                self.log = ("Mix", schema)
        class Base:
            pass
        class User(Base):
            pass
        """
    )
    from m import User

    u = User()
    live.edit("class User(Base)", "class User(Mix, Base)")
    assert u.log == ("Mix", 0)


def test_the_hook_reads_a_value_whose_slot_was_removed(live):
    live.start("class P:\n    __slots__ = ('celsius',)\n    def __init__(self, c):\n        self.celsius = c\n")
    import m

    held = [m.P(10), m.P(20)]
    live.become(
        """
        class P:
            __slots__ = ("kelvin",)
            __schema__ = 1
            def __init__(self, k):
                self.kelvin = k
            def __upgrade__(self, schema, state):
                self.kelvin = state["celsius"] + 273
        """
    )
    assert [p.kelvin for p in held] == [283, 293]


def test_self_already_holds_what_still_fits(live):
    live.start("class P:\n    __slots__ = ('a', 'b')\n    def __init__(self):\n        self.a, self.b = 1, 2\n")
    import m

    held = [m.P()]
    live.become(
        """
        class P:
            __slots__ = ("a", "c")
            __schema__ = 1
            def __upgrade__(self, schema, state):
                self.c = (self.a, hasattr(self, "b"), state)
        """
    )
    assert held[0].c == (1, False, {"a": 1, "b": 2})


def test_the_state_is_a_copy(live):
    live.start(PLAIN)
    from m import User

    u = User([1])
    live.become(
        PLAIN
        + "    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        state['n'] = 'changed'\n        state['extra'] = 1\n        return 'ignored'\n"
    )
    assert u.n == [1]
    assert not hasattr(u, "extra")


def test_a_hook_that_raises_rolls_everything_back(live):
    live.start("LIMIT = 1\n" + PLAIN + "    def show(self):\n        return 'v1', self.n\n")
    import m

    users = [m.User(i) for i in range(6)]
    live.refused(
        """
        LIMIT = 2
        class User:
            __schema__ = 1
            def __init__(self, n):
                self.n = n
            def show(self):
                return 'v2', self.n
            def __upgrade__(self, schema, state):
                if self.n == 3:
                    raise ValueError("cannot move 3")
                self.n *= 100
        """
    )
    assert [u.show() for u in users] == [("v1", i) for i in range(6)]
    assert m.LIMIT == 1
    assert type(users[0]) is m.User
    assert not hasattr(m.User, "__schema__")


def test_what_hooks_did_to_other_instances_is_taken_back(live):
    live.start(PLAIN + "class Slotted:\n    __slots__ = ('a', 'b')\n")
    import m

    users, slotted = [m.User(i) for i in range(6)], [m.Slotted() for _ in range(6)]
    for number, each in enumerate(slotted):
        each.a = number
    live.refused(
        """
        class User:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                state.clear()
                del self.n
                self.more = 1
        class Slotted:
            __slots__ = ('a', 'b')
            __schema__ = 1
            def __upgrade__(self, schema, state):
                state.clear()
                if self.a == 3:
                    raise ValueError("cannot move 3")
                del self.a
                self.b = 1
        """
    )
    assert [vars(u) for u in users] == [{"n": i} for i in range(6)]
    assert [s.a for s in slotted] == list(range(6))
    assert not any(hasattr(s, "b") for s in slotted)


BASE_AND_DERIVED = """
class Base:
    __schema__ = {0}
    def __upgrade__(self, schema, state):
        self.log = ["Base", sorted(state)]
        state.clear()
    def __downgrade__(self, schema, state):
        self.log = [*self.log, "Base", sorted(state)]
        state.clear()
class Derived(Base):
    __schema__ = {0}
    def __upgrade__(self, schema, state):
        self.log += ["Derived", sorted(state)]
    def __downgrade__(self, schema, state):
        self.log = ["Derived", sorted(state)]
        state.clear()
"""


def test_each_hook_gets_a_state_of_its_own_up_base_first_and_down_the_most_derived_first(live):
    live.start(BASE_AND_DERIVED.format(1))
    from m import Derived

    thing = Derived()
    thing.x = 1
    live.become(BASE_AND_DERIVED.format(2))
    assert thing.log == ["Base", ["x"], "Derived", ["x"]]
    live.become(BASE_AND_DERIVED.format(1))
    assert thing.log == ["Derived", ["log", "x"], "Base", ["log", "x"]]


def test_a_value_that_an_instance_has_of_a_new_field_is_not_replaced_by_the_default(live):
    text = "import dataclasses\n@dataclasses.dataclass\nclass Note:\n    text: str\n"
    live.start(text)
    from m import Note

    had, had_not = Note("a"), Note("b")
    had.size = 7
    live.become(text + "    size: int = 0\n")
    assert (vars(had), vars(had_not)) == ({"text": "a", "size": 7}, {"text": "b", "size": 0})


def test_a_failed_upgrade_can_be_corrected(live):
    live.start(PLAIN)
    from m import User

    users = [User(i) for i in range(3)]
    live.refused(UPGRADED.replace("self.n *= 100", "1 / self.n\n        self.n *= 100"))
    live.become(UPGRADED)
    assert [u.n for u in users] == [0, 100, 200]


def test_a_hook_that_raises_after_a_layout_change_leaves_the_old_layout(live):
    live.start("class P:\n    __slots__ = ('a',)\n    def __init__(self):\n        self.a = 1\n")
    import m

    P, held = m.P, [m.P(), m.P()]
    first = held[0]
    live.refused(
        "class P:\n    __slots__ = ('b',)\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        raise ValueError('no')\n"
    )
    assert m.P is P
    assert held[0] is first
    assert [p.a for p in held] == [1, 1]
    assert type(held[0]) is P


def test_no_method_sees_an_instance_before_its_upgrade(live):
    live.start("class A:\n    def __init__(self, other=None):\n        self.n, self.other = 1, other\n")
    from m import A

    one = A()
    two = A(one)
    one.other = two
    live.become(
        """
        class A:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                self.m = self.n + 1
            def show(self):
                return self.m, self.other.m
        """
    )
    assert one.show() == two.show() == (2, 2)


def test_schemas_that_are_not_ints_and_upgrades_without_one_are_somebody_elses(live):
    live.start(PLAIN)
    from m import User

    u = User(1)
    live.become(UPGRADED.replace("__schema__ = 1", "__schema__ = 'mine'"))
    assert u.n == 1
    live.become(UPGRADED.replace("    __schema__ = 1\n", ""))
    assert u.n == 1


def test_a_lowered_number_needs_a_downgrade_hook(live):
    live.start(UPGRADED.replace("__schema__ = 1", "__schema__ = 3"))
    from m import User

    u = User(7)
    error = live.refused(UPGRADED.replace("__schema__ = 1", "__schema__ = 2"))
    assert "User" in str(error)
    assert User.__schema__ == 3
    assert u.n == 7


def test_the_downgrade_hook_of_the_class_being_left_runs(live):
    live.start(
        UPGRADED.replace("__schema__ = 1", "__schema__ = 3")
        + "    def __downgrade__(self, schema, state):\n        self.down = (schema, state['n'])\n"
    )
    from m import User

    u = User(7)
    live.become(UPGRADED.replace("__schema__ = 1", "__schema__ = 2"))
    assert u.down == (2, 7)
    assert User.__schema__ == 2


def test_undo_of_an_upgrade_runs_the_downgrade(live):
    from midair.runtime import rebuild

    live.start(PLAIN)
    from m import User

    u = User(7)
    live.become(UPGRADED + "    def __downgrade__(self, schema, state):\n        self.n //= 100\n")
    assert u.n == 700
    rebuild.undo()
    assert u.n == 7


def test_undo_of_an_upgrade_without_a_downgrade_is_refused(live):
    from midair.runtime import rebuild

    live.start(PLAIN)
    from m import User

    u = User(7)
    live.become(UPGRADED)
    with pytest.raises(rebuild.RebuildError, match="User"):
        rebuild.undo()
    assert u.n == 700
    assert User.__schema__ == 1


def test_the_upgrade_uses_new_helpers_of_its_module_and_of_others(live):
    live.start(PLAIN, aid="def scale(x):\n    return x\n")
    from m import User

    u = User(1)
    live.become(
        """
        from aid import scale
        FACTOR = 3
        def local(x):
            return x + 1
        class User:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                self.n = scale(local(self.n)) * FACTOR
        """,
        aid="def scale(x):\n    return x * 10\n",
    )
    assert u.n == 60


def test_instances_with_an_own_dict_type_and_properties(live):
    live.start("class T:\n    def __init__(self):\n        self.temp = 20\n")
    from m import T

    t = T()
    live.become(
        """
        class T:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                self._temp = self.__dict__.pop("temp")
            @property
            def temp(self):
                return ("property", self._temp)
        """
    )
    assert t.temp == ("property", 20)


# -- module hooks


def test_the_module_hook_runs_last_once_and_sees_the_old_values(live):
    live.start("users = ['ann', 'bob']\n")
    import m

    m.users.append("cat")
    live.become(
        """
        by_name = {}
        moves = 0
        def __rebuilt__(old):
            global by_name, moves
            by_name = {name: i for i, name in enumerate(old["users"])}
            moves += 1
        """
    )
    assert m.by_name == {"ann": 0, "bob": 1, "cat": 2}
    assert m.moves == 1
    assert not hasattr(m, "users")


def test_the_module_hook_does_not_run_for_comments_or_for_other_modules(live):
    live.start("calls = []\ndef __rebuilt__(old):\n    calls.append(1)\ndef f():\n    return 1\n", other="X = 1\n")
    import m
    import other  # noqa: F401 - it is edited below

    live.edit("calls = []", "# a comment\ncalls = []")
    live.edit("X = 1", "X = 2", "other.py")
    assert m.calls == []
    live.edit("return 1", "return 2")
    assert m.calls == [1]


def test_a_module_hook_that_raises_rolls_back(live):
    live.start("X = 1\ndef f():\n    return 'v1'\n")
    import m

    live.refused("X = 2\ndef f():\n    return 'v2'\ndef __rebuilt__(old):\n    raise ValueError('no')\n")
    assert (m.X, m.f()) == (1, "v1")
    assert not hasattr(m, "__rebuilt__")


def test_the_module_hook_sees_upgraded_instances(live):
    live.start("class U:\n    def __init__(self):\n        self.n = 1\nall = [U()]\n")
    import m

    live.become(
        """
        class U:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                self.n = 2
            def __init__(self):
                self.n = 1
        all = [U()]
        seen = None
        def __rebuilt__(old):
            global seen
            seen = [u.n for u in all]
        """
    )
    assert m.seen == [2]


def test_hooks_of_two_edited_modules_both_run(live):
    live.start("import b\nX = 1\n", b="Y = 1\n")
    import b
    import m

    hook = "done = None\ndef __rebuilt__(old):\n    global done\n    done = old[{!r}]\n"
    live.become("import b\nX = 2\n" + hook.format("X"), b="Y = 2\n" + hook.format("Y"))
    assert (m.done, b.done) == (1, 1)
