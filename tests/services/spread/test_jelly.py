"""Jelly: values as expressions and back, what is shared stays shared, and nothing is made that was not registered."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midair.services.spread.errors import BadMessage, NotAllowed, NotSendable
from midair.services.spread.jelly import MAX_DEPTH, Jellier, Unjellier

both = pytest.mark.parametrize("rich", [False, True], ids=["older", "compact"])


def there_and_back(value, *, rich=False):
    return Unjellier().value(Jellier(rich=rich).jelly(value))


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("é", [b"unicode", b"\xc3\xa9"]),
        (None, [b"None"]),
        (True, [b"boolean", b"true"]),
        (False, [b"boolean", b"false"]),
        (b"raw", b"raw"),
        (7, 7),
        (2.5, 2.5),
        ([1, [2]], [b"list", 1, [b"list", 2]]),
        ((1, ()), [b"tuple", 1, [b"tuple"]]),
        ({1: b"a"}, [b"dictionary", [1, b"a"]]),
        ({}, [b"dictionary"]),
        ({5}, [b"set", 5]),
        (frozenset({5}), [b"frozenset", 5]),
        (dt.datetime(2026, 11, 22, 10, 3, 1, 5), [b"datetime", b"2026 11 22 10 3 1 5"]),
        (dt.date(2026, 1, 2), [b"date", b"2026 1 2"]),
        (dt.time(1, 2, 3, 4), [b"time", b"1 2 3 4"]),
        (dt.timedelta(1, 2, 3), [b"timedelta", b"1 2 3"]),
        (Decimal("-1.50"), [b"decimal", -150, -2]),
        (Decimal(0), [b"decimal", 0, 0]),
    ],
)
def test_each_type_has_the_form_that_older_peers_know(value, expression):
    assert Jellier().jelly(value) == expression
    back = Unjellier().value(expression)
    assert back == value
    assert type(back) is type(value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=5), max_size=4)
    ),
    max_leaves=20,
)


@given(values, st.booleans())
def test_any_plain_value_comes_back(value, rich):
    assert there_and_back(value, rich=rich) == value


@both
def test_what_is_shared_stays_shared(rich):
    part = [1]
    first, second, (third,) = there_and_back([part, part, (part,)], rich=rich)
    assert first is second is third


def test_equal_parts_that_are_not_the_same_stay_apart():
    first, second = there_and_back([[1], [1]])
    assert first == second
    assert first is not second


@both
def test_a_list_in_itself_comes_back_in_itself(rich):
    ring = []
    ring.append(ring)
    back = there_and_back(ring, rich=rich)
    assert back[0] is back


@both
def test_a_tuple_in_a_list_in_that_tuple_comes_back_so(rich):
    inner = []
    outer = (inner, {"self": inner})
    inner.append(outer)
    back = there_and_back(outer, rich=rich)
    assert back[0][0] is back
    assert back[1]["self"] is back[0]


@both
def test_tuples_that_wait_for_one_another_come_back(rich):
    inner: list = []
    first = (inner,)
    inner.append((first, 7, frozenset({1})))
    back = there_and_back(first, rich=rich)
    assert back[0][0][0] is back
    assert back[0][0][1:] == (7, frozenset({1}))


def test_a_dictionary_with_a_key_that_is_still_to_come_is_filled_in():
    # ["dereference", 1] stands before ["reference", 1, …], as in tuples of older peers
    expression = [b"list", [b"dictionary", [[b"dereference", 1], 5]], [b"reference", 1, [b"tuple", 1, 2]]]
    assert Unjellier().value(expression) == [{(1, 2): 5}, (1, 2)]


def test_a_set_takes_a_part_that_is_still_to_come():
    expression = [b"list", [b"set", [b"dereference", 1]], [b"reference", 1, [b"tuple", 1]]]
    assert Unjellier().value(expression) == [{(1,)}, (1,)]


def test_a_thousand_shared_parts_are_numbered_apart():
    parts = [[number] for number in range(1000)]
    back = there_and_back([parts, list(reversed(parts))])
    assert all(one is other for one, other in zip(back[0], reversed(back[1]), strict=True))


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (object(), "Referenceable"),
        (len, "code does not travel"),
        (int, "code does not travel"),
        (pytest, "Referenceable"),
        (Decimal("NaN"), "finite"),
        (dt.datetime.now(dt.UTC), "time zone"),
        (type("Text", (str,), {})("x"), "Referenceable"),
    ],
)
def test_what_has_no_form_is_refused_by_the_sender_with_advice(value, advice):
    with pytest.raises(NotSendable, match=advice):
        Jellier().jelly([value])


def test_a_value_deeper_than_the_peer_would_take_is_refused_by_the_sender():
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = {"a": value}
    assert there_and_back(value) == value
    with pytest.raises(NotSendable, match="64 levels"):
        Jellier().jelly([value])


@pytest.mark.parametrize(
    "expression",
    [
        [],
        [5],
        [[b"list"]],
        [b"tuple", [b"dereference", 1]],
        [b"reference", 1, [b"tuple", [b"dereference", 1]]],
        [b"list", [b"reference", 1, [b"list"]], [b"reference", 1, [b"list"]]],
        [b"reference", b"one", [b"list"]],
        [b"dereference"],
        [b"dereference", [b"list"]],
        [b"datetime", b"1 2"],
        [b"datetime", b"9999999 1 1 1 1 1 1"],
        [b"date", b"x y z"],
        [b"dictionary", [1, 2, 3]],
        [b"dictionary", [[b"list"], 1]],
        [b"set", [b"list"]],
        [b"boolean", b"maybe"],
        [b"unicode", b"\xff"],
        [b"unicode"],
        [b"decimal", b"1", 2],
    ],
    ids=repr,
)
def test_a_malformed_expression_is_an_error_of_the_protocol(expression):
    with pytest.raises(BadMessage):
        Unjellier().value(expression)


@pytest.mark.parametrize(
    "expression",
    [
        [b"function", b"os.system"],
        [b"class", b"os.system"],
        [b"module", b"os"],
        [b"method", b"system", [b"None"], [b"class", b"os.X"]],
        [b"instance", [b"class", b"subprocess.Popen"], [b"dictionary"]],
        [b"subprocess.Popen", [b"dictionary"]],
        [b"persistent", b"1"],
        [b"copy", b"1"],
        [b"twisted.spread.pb.CopyableFailure", [b"dictionary"]],
    ],
    ids=lambda expression: expression[0].decode(),
)
def test_nothing_is_made_by_name(expression):
    with pytest.raises(NotAllowed, match="may not be made"):
        Unjellier().value([b"list", expression])
