"""Closures and lambdas made before the edit."""


def test_a_closure_runs_the_new_inner_body_with_its_own_cells(live):
    live.start("def adder(n):\n    def add(x):\n        return x + n\n    return add\n")
    from m import adder

    two, three = adder(2), adder(3)
    live.edit("x + n", "x + n + 100")
    assert (two(1), three(1), adder(4)(1)) == (103, 104, 105)


def test_free_variables_used_in_another_order_keep_their_values(live):
    live.start("def make(first, second):\n    def show():\n        return f'{first}/{second}'\n    return show\n")
    from m import make

    show = make("a", "b")
    live.edit("{first}/{second}", "{second}|{first}")
    assert show() == "b|a"


def test_fewer_free_variables(live):
    live.start("def make(a, b):\n    def show():\n        return a, b\n    return show\n")
    from m import make

    show = make(1, 2)
    live.edit("return a, b", "return ('only', b)")
    assert show() == ("only", 2)
    assert make(5, 6)() == ("only", 6)


def test_no_free_variable_left_and_back_again(live):
    live.start("def make(a):\n    def show():\n        return a\n    return show\n")
    from m import make

    show = make(1)
    live.edit("return a\n", "return 'none'\n")
    assert show() == "none"
    live.edit("return 'none'\n", "return ('back', a)\n")
    assert show() == ("back", 1)


def test_a_closure_whose_new_body_reads_what_it_never_captured_stays_whole_and_is_reported(live):
    live.start("def scaler(k, offset=5):\n    def scale(x):\n        return x * k\n    return scale\n")
    from m import scaler

    scale = scaler(3)
    report = live.edit("x * k", "x * k + offset")
    assert scale(2) == 6
    assert scaler(3)(2) == 11
    assert "scale" in str(report)
    live.edit("x * k + offset", "x * k + 1")
    assert scale(2) == 7


def test_a_renamed_free_variable_keeps_the_old_closure_whole(live):
    live.start("def make(a):\n    def show():\n        return a\n    return show\n")
    from m import make

    show = make(1)
    live.become("def make(b):\n    def show():\n        return ('new', b)\n    return show\n")
    assert show() in (1, ("new", 1))
    assert make(2)() == ("new", 2)


def test_a_counter_in_a_nonlocal_goes_on(live):
    live.start(
        """
        def counter():
            n = 0
            def bump():
                nonlocal n
                n += 1
                return n
            def peek():
                return n
            return bump, peek
        """
    )
    from m import counter

    bump, peek = counter()
    assert [bump(), bump()] == [1, 2]
    live.edit("n += 1", "n += 10")
    assert bump() == 12
    assert peek() == 12


def test_a_lambda_made_in_a_function_runs_the_new_expression(live):
    live.start("def sorter(sign):\n    return lambda pair: pair[0] * sign\n")
    from m import sorter

    key = sorter(-1)
    live.edit("pair[0]", "pair[1]")
    assert key((1, 5)) == -5


def test_two_lambdas_on_one_line_keep_apart(live):
    live.start("def pair(k):\n    return (lambda x: x + k), (lambda x: x * k)\n")
    from m import pair

    add, mul = pair(3)
    live.edit("x * k", "x * k * 100")
    assert (add(2), mul(2)) == (5, 600)


def test_closures_three_deep(live):
    live.start(
        """
        def a(x):
            def b(y):
                def c(z):
                    return ("v1", x, y, z)
                return c
            return b
        """
    )
    from m import a

    b = a(1)
    c = b(2)
    live.edit("v1", "v2")
    assert c(3) == b(2)(3) == ("v2", 1, 2, 3)


def test_a_closure_made_by_a_method_and_by_a_static_method(live):
    live.start(
        """
        class Maker:
            def make(self, n):
                def inner():
                    return ("v1", n, self.tag)
                return inner
            tag = "t"
            @staticmethod
            def other(n):
                return lambda: ("v1", n)
        """
    )
    from m import Maker

    inner, other = Maker().make(1), Maker.other(2)
    live.edit("v1", "v2")
    assert inner() == ("v2", 1, "t")
    assert other() == ("v2", 2)


def test_a_class_made_in_a_function_follows_for_classes_made_before(live):
    live.start(
        """
        def make(n):
            class Local:
                def show(self):
                    return ("v1", n)
            return Local
        """
    )
    from m import make

    one, two = make(1), make(2)
    obj = one()
    live.edit("v1", "v2")
    assert obj.show() == ("v2", 1)
    assert two().show() == ("v2", 2)
    assert make(3)().show() == ("v2", 3)


def test_the_defaults_of_an_inner_function_are_new_for_new_closures_and_its_body_for_all(live):
    live.start("def make():\n    def inner(k=1):\n        return ('v1', k)\n    return inner\n")
    from m import make

    old = make()
    live.become("def make():\n    def inner(k=2):\n        return ('v2', k)\n    return inner\n")
    assert make()() == ("v2", 2)
    assert old()[0] == "v2"


def test_an_inner_parameter_is_added_with_a_default(live):
    live.start("def make(n):\n    def inner(x):\n        return x + n\n    return inner\n")
    from m import make

    old = make(1)
    live.become("def make(n):\n    def inner(x, y=10):\n        return x + n + y\n    return inner\n")
    assert make(1)(2) == 13
    assert old(2) == 13


def test_an_inner_function_is_renamed(live):
    live.start("def make(n):\n    def one():\n        return ('v1', n)\n    return one\n")
    from m import make

    old = make(1)
    live.become("def make(n):\n    def two():\n        return ('v2', n)\n    return two\n")
    assert make(3)() == ("v2", 3)
    assert old()[1] == 1


def test_an_inner_function_is_added_before_another(live):
    live.start("def make(n):\n    def show():\n        return ('v1', n)\n    return show\n")
    from m import make

    old = make(1)
    live.become(
        """
        def make(n):
            def aid(x):
                return ('aid', x)
            def show():
                return ('v2', n)
            return show
        """
    )
    assert old() == ("v2", 1)
    assert make(2)() == ("v2", 2)


def test_a_lambda_is_added_before_another_on_the_same_line(live):
    live.start("def make(k):\n    return [lambda x: ('mul', x * k)]\n")
    from m import make

    (mul,) = make(3)
    live.edit("[lambda x: ('mul', x * k)]", "[lambda x: ('add', x + k), lambda x: ('mul', x * k)]")
    assert [f(2) for f in make(3)] == [("add", 5), ("mul", 6)]
    assert mul(2) == ("mul", 6)


def test_comprehensions_and_generator_expressions_inside_a_function(live):
    live.start("def f(xs):\n    return [x + 1 for x in xs], {x for x in xs}, list(x for x in xs if x > 1)\n")
    from m import f

    live.become("def f(xs):\n    return [x * 2 for x in xs], {x: x for x in xs}, list(x for x in xs if x > 2)\n")
    assert f([1, 2, 3]) == ([2, 4, 6], {1: 1, 2: 2, 3: 3}, [3])


def test_a_plain_function_becomes_a_closure_made_by_a_factory(live):
    live.start("def tick():\n    return 'plain'\n")
    import m

    live.become(
        """
        def make():
            n = 41
            def tick():
                nonlocal n
                n += 1
                return n
            return tick
        tick = make()
        """
    )
    assert (m.tick(), m.tick()) == (42, 43)


def test_a_closure_at_module_level_becomes_a_plain_function(live):
    live.start("def make():\n    n = 1\n    def tick():\n        return n\n    return tick\ntick = make()\n")
    import m

    live.become("def tick():\n    return 'plain'\n")
    assert m.tick() == "plain"


def test_a_method_newly_uses_super_through_a_bound_method_held_before(live):
    live.start(
        """
        class Base:
            def say(self):
                return "base"
        class Child(Base):
            def say(self):
                return "child"
        """
    )
    from m import Child

    say = Child().say
    live.edit('return "child"', 'return "child>" + super().say()')
    assert say() == Child().say() == "child>base"


def test_a_method_newly_names_its_class_cell(live):
    live.start("class C:\n    def who(self):\n        return 'v1'\n")
    from m import C

    who = C().who
    live.edit("return 'v1'", "return __class__.__name__")
    assert who() == "C"


def test_a_method_no_longer_uses_super(live):
    live.start(
        "class B:\n    def f(self):\n        return 1\nclass C(B):\n    def f(self):\n        return super().f()\n"
    )
    from m import C

    c = C()
    held = c.f
    live.edit("return super().f()", "return 'alone'")
    assert held() == c.f() == "alone"
    live.edit("return 'alone'", "return ('again', super().f())")
    assert held() == ("again", 1)


def test_a_callback_that_a_factory_registered_follows(live):
    live.start(
        """
        import bus
        def install(who):
            def on_event():
                return f"v1 {who}"
            bus.handlers.append(on_event)
        install("ann")
        install("bob")
        """,
        bus="handlers = []\n",
    )
    import bus
    import m  # noqa: F401 - its import registers

    live.edit("v1", "v2")
    assert [h() for h in bus.handlers] == ["v2 ann", "v2 bob"]


def test_a_closure_inside_a_closures_default_and_partial(live):
    import functools

    live.start("def make(n):\n    def inner(x):\n        return ('v1', n, x)\n    return inner\n")
    from m import make

    held = functools.partial(make(1), 2)
    live.edit("v1", "v2")
    assert held() == ("v2", 1, 2)


def test_a_free_variable_that_another_closure_of_the_frame_captured_is_supplied_or_all_stays_whole(live):
    live.start(
        """
        def make(a, b):
            def first():
                return a
            def second():
                return b
            return first, second
        """
    )
    from m import make

    first, second = make(1, 2)
    live.edit("return a\n", "return a, b\n")
    assert first() in (1, (1, 2))
    assert second() == 2
    assert make(3, 4)[0]() == (3, 4)


def test_closures_and_wrappers_follow_a_definition_that_was_away_for_a_while(live):
    source = """
        def deco(fn):
            def wrapper():
                return "v1 " + fn()
            return wrapper
        class Maker:
            def make(self):
                return lambda: "v1"
        """
    live.start(source, user="import m\n@m.deco\ndef f():\n    return 'x'\nmade = m.Maker().make()\n")
    import user

    live.become("")
    live.become(source.replace("v1", "v2"))
    live.edit("v2", "v3")
    assert user.f() == "v3 x"
    assert user.made() == "v3"
