"""Banana: the bytes of expressions, and what is refused."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midair.runtime.errors import LimitExceeded, ProtocolError
from midair.services.spread import Limits
from midair.services.spread.banana import MAX_LENGTH, Decoder, encode
from midair.services.spread.errors import BadMessage, NotSendable
from midair.services.spread.limits import FRIEND

GOLDEN = [
    (
        [b"message", 1, b"root", b"login", 1, [b"tuple", b"bob"], [b"dictionary"]],
        "07 80 1a 87 01 81 04 82 72 6f 6f 74 14 87 01 81 02 80 0b 87 03 82 62 6f 62 01 80 05 87",
    ),
    ([b"answer", 2, [b"remote", 2]], "03 80 1b 87 02 81 02 80 10 87 02 81"),
    ([b"decref", 1], "02 80 1d 87 01 81"),
    ([b"decache", 3], "02 80 1e 87 03 81"),
    ([b"uncache", 3], "02 80 1f 87 03 81"),
    ([b"version", 6], "02 80 13 87 06 81"),
    (
        [b"cachemessage", 1, 3, b"set", 1, [b"tuple", 5], [b"dictionary"]],
        "07 80 19 87 01 81 03 81 03 82 73 65 74 01 81 02 80 0b 87 05 81 01 80 05 87",
    ),
    (
        [
            b"answer",
            5,
            [b"list", [b"reference", 1, [b"list", 1]], [b"dereference", 1], [b"tuple", [b"dereference", 1]]],
        ],
        "03 80 1b 87 05 81 04 80 08 87 03 80 04 87 01 81 02 80 08 87 01 81 02 80 03 87 01 81 02 80 0b 87 02 80 03 87 01 81",
    ),
    ([-1], "01 80 01 83"),
    ([2.5], "01 80 84 40 04 00 00 00 00 00 00"),
    ([2**31], "01 80 00 00 00 00 08 85"),
    ([-(2**40)], "01 80 00 00 00 00 00 20 86"),
    ([0], "01 80 00 81"),
    ([-(2**31)], "01 80 00 00 00 00 08 83"),
    ([], "00 80"),
]


def decode(data: bytes, *, vocabulary: bool = True, limits: Limits = FRIEND) -> list[list[object]]:
    decoder, buffer = Decoder(limits, vocabulary=vocabulary), bytearray(data)
    out = []
    while (expression := decoder.next(buffer)) is not None:
        out.append(expression)
    return out


@pytest.mark.parametrize(("expression", "hexadecimal"), GOLDEN, ids=[repr(e)[:30] for e, _ in GOLDEN])
def test_the_bytes_are_those_captured_from_a_twisted_peer(expression, hexadecimal):
    assert encode(expression, vocabulary=True).hex(" ") == hexadecimal
    assert decode(bytes.fromhex(hexadecimal)) == [expression]


def test_the_offer_of_dialects_uses_no_vocabulary():
    assert encode([b"pb", b"none"], vocabulary=False).hex(" ") == "02 80 02 82 70 62 04 82 6e 6f 6e 65"
    assert encode([b"list"], vocabulary=False) == b"\x01\x80\x04\x82list"


def test_a_word_of_the_vocabulary_is_understood_as_a_plain_string_too():
    assert decode(b"\x01\x80\x04\x82list") == [[b"list"]]


expressions = st.recursive(
    st.integers(-(2**447), 2**447)
    | st.binary(max_size=40)
    | st.floats(allow_nan=False)
    | st.sampled_from([b"list", b"None"]),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=30,
).filter(lambda value: isinstance(value, list))


@given(st.lists(expressions, max_size=4), st.booleans(), st.data())
def test_any_cut_of_the_bytes_gives_the_same_expressions(values, vocabulary, data):
    whole = b"".join(encode(value, vocabulary=vocabulary) for value in values)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    decoder, buffer, out = Decoder(FRIEND, vocabulary=vocabulary), bytearray(), []
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        buffer += whole[start:stop]
        while (expression := decoder.next(buffer)) is not None:
            out.append(expression)
    assert out == values
    assert not buffer


def test_every_truncation_waits_for_more():
    whole = encode([b"message", 1, [b"a" * 300, 2.5, 2**40, [[], [[]]]]], vocabulary=True)
    for length in range(len(whole)):
        assert decode(whole[:length]) == []


def test_a_nan_arrives():
    ((value,),) = decode(encode([math.nan], vocabulary=True))
    assert math.isnan(value)


@pytest.mark.parametrize("number", [2**448, -(2**448)])
def test_an_integer_beyond_the_prefix_is_refused_before_it_is_sent(number):
    with pytest.raises(NotSendable, match="bits does not fit"):
        encode([number], vocabulary=True)
    assert decode(encode([number // 2], vocabulary=True)) == [[number // 2]]


@pytest.mark.parametrize("value", ["text", None, True, object(), {}])
def test_a_type_without_a_form_is_refused(value):
    with pytest.raises(NotSendable, match="has no form"):
        encode([value], vocabulary=True)


def test_strings_and_lists_up_to_640_kib_travel_and_longer_ones_are_refused_by_the_sender():
    assert decode(encode([b"x" * MAX_LENGTH], vocabulary=True)) == [[b"x" * MAX_LENGTH]]
    for value in (b"x" * (MAX_LENGTH + 1), [0] * (MAX_LENGTH + 1)):
        with pytest.raises(NotSendable, match="at most 655360"):
            encode([value], vocabulary=True)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"\x01\x80" + b"\x01" * 65 + b"\x81", LimitExceeded, "64 digits"),
        (b"\x01\x80" + b"\x01" * 65, LimitExceeded, "64 digits"),
        (b"\x01\x80\x01\x00\x28\x82", LimitExceeded, "655360 bytes"),
        (b"\x01\x00\x28\x80", LimitExceeded, "655360 elements"),
        (b"\x01\x80" * 1000, LimitExceeded, "64 levels"),
        (b"\x00\x80" + b"\x00\x80" + b"\x05\x81", BadMessage, "an expression is a list, not int"),
        (b"\x01\x80\x01\x88", BadMessage, "0x88"),
        (b"\x01\x80\x7f\x87", BadMessage, "word 127"),
        (b"\x03\x82abc", BadMessage, "a list, not bytes"),
    ],
)
def test_what_is_no_banana_or_too_much_is_refused_with_the_reason(data, error, words):
    with pytest.raises(error, match=words):
        decode(data)


def test_a_word_is_no_element_of_the_plain_dialect():
    with pytest.raises(BadMessage, match="0x87"):
        decode(b"\x01\x80\x08\x87", vocabulary=False)


def test_a_message_of_many_strings_is_bounded_while_it_arrives():
    limits = Limits(message=100_000)
    decoder, buffer = Decoder(limits), bytearray(b"\x00\x01\x80")
    with pytest.raises(LimitExceeded, match="100000 bytes"):
        for _ in range(1000):
            buffer += encode([b"x" * 1000], vocabulary=False)[2:]
            assert decoder.next(buffer) is None
            assert len(buffer) < 2000


def test_a_message_of_many_elements_is_bounded_while_it_arrives():
    decoder = Decoder(Limits(elements=1000))
    with pytest.raises(LimitExceeded, match="1000 elements"):
        decoder.next(bytearray(b"\x00\x7f\x80" + b"\x80" * 5000))


def test_the_count_starts_anew_with_each_message():
    assert len(decode(encode([1, 2, 3], vocabulary=True) * 500, limits=Limits(message=100, elements=10))) == 500


@given(st.binary(max_size=200))
def test_random_bytes_give_expressions_or_an_error_of_the_protocol(data):
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(expression, list) for expression in decode(data))
