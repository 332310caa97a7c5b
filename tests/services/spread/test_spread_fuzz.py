"""Whatever arrives: a result or an error of the protocol, never a hang, never more than the limits.

Good streams cut anywhere, bytes at random, and messages made by a grammar that knows what a peer could try.
"""

import asyncio
import contextlib
import itertools
import struct

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midair.runtime.errors import ProtocolError
from midair.runtime.testing import connected
from midair.services.spread import Copyable, Limits, Portal, Referenceable, RemoteCache, Users, register
from midair.services.spread.banana import encode
from midair.services.spread.broker import Broker
from midair.services.spread.negotiation import DIALECTS

LIMITS = Limits(message=20_000, elements=1_000, nesting=16, references=20, calls=5, unsent=50_000)

quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


@register("fuzz.Copy")
class Copy(Copyable):
    pass


@register("fuzz.Cache")
class Cache(RemoteCache):
    def observe_set(self, value):
        self.value = value


class Root(Referenceable):
    def remote_echo(self, *values, **names):
        return [*values, names]

    def remote_self(self):
        return self

    async def remote_hang(self):
        await asyncio.sleep(1000)

    async def remote_stream(self, *values):
        for value in values:
            yield value

    async def remote_read(self, stream):
        return [item async for item in stream]


async def take(dialect, pieces):
    """Give the pieces to a server; what it answered, or the error of the protocol that ended it."""
    server = Broker(DIALECTS[dialect], lookup={"root": Root()}.get, limits=LIMITS)
    inbox = bytearray()
    out = bytearray()
    try:
        for piece in pieces:
            inbox += piece
            server.received(inbox)
            for _ in range(3):
                await asyncio.sleep(0)
            out += server.take()
            # One message and what it is wrapped in: no more is ever held back unparsed.
            assert len(inbox) <= LIMITS.message + len(piece) + 8
    except ProtocolError as error:
        return error
    finally:
        server.cancel_running()
        server.lost(None)
        assert len(server.exports) == len(server.shown) == 0
        for _ in range(3):
            await asyncio.sleep(0)
    return bytes(out)


async def conversation(dialect):
    """What a client says in a long conversation, as the bytes of each message."""
    client = Broker(DIALECTS[dialect])
    root = client.proxy("root")
    ring: list = [1, "two", 3.0, None, True, {4}, (5,), b"six", 2**70]
    ring.append(ring)
    calls = [
        lambda: root.echo(*ring[:-1]),
        lambda: root.echo(ring, a=1),
        lambda: root.self(),
        lambda: root.echo(Root()),
        lambda: root.hang(),
        lambda: root.within(5).echo(),
        lambda: root.missing(),
        lambda: root.stream(1, 2),
        lambda: root.self().echo(1) if dialect == "midair-1" else root.echo(1),
        lambda: root.hang().cancel(),
    ]
    pieces = [client.take()]
    for call in calls:
        call()
        pieces.append(client.take())
    for promise in client._pending.values():
        promise.add_done_callback(lambda promise: promise.cancelled() or promise.exception())
    client.lost(None)
    return pieces


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_any_cut_of_a_good_stream_gives_the_same_answers(dialect):
    pieces = asyncio.run(conversation(dialect))
    whole = b"".join(pieces)
    expected = asyncio.run(take(dialect, [whole]))
    assert isinstance(expected, bytes)
    assert expected

    @quick
    @given(st.lists(st.integers(0, len(whole)), max_size=10))
    def cut(cuts):
        edges = [0, *sorted(cuts), len(whole)]
        parts = [whole[start:stop] for start, stop in itertools.pairwise(edges)]
        answer = asyncio.run(take(dialect, parts))
        assert isinstance(answer, bytes)
        # Streams and calls that take time answer when they are done, so the order may differ; the amount does not.
        assert sorted(answer) == sorted(expected)

    cut()


@pytest.mark.parametrize("dialect", list(DIALECTS))
def test_a_good_stream_with_a_byte_changed_never_breaks_more_than_the_connection(dialect):
    whole = b"".join(asyncio.run(conversation(dialect)))

    @quick
    @given(st.integers(0, len(whole) - 1), st.integers(0, 255), st.integers(0, 5))
    def change(at, byte, gone):
        data = bytearray(whole)
        data[at : at + gone] = bytes([byte])
        answer = asyncio.run(take(dialect, [bytes(data)]))
        assert isinstance(answer, bytes | ProtocolError)

    change()


@quick
@given(st.sampled_from(list(DIALECTS)), st.lists(st.binary(max_size=300), max_size=5))
def test_random_bytes_are_an_error_or_wait_for_more(dialect, pieces):
    assert isinstance(asyncio.run(take(dialect, pieces)), bytes | ProtocolError)


@quick
@given(st.lists(st.binary(max_size=120), max_size=6))
def test_random_bytes_before_the_encoding_is_agreed_on_hold_little(pieces):
    async def feed():
        users = Users()
        portal = Portal(realm=object(), users=users, anonymous=True)
        link, transport = connected(portal.link())
        for piece in pieces:
            if not link.is_closing:
                link.data_received(piece)
                await asyncio.sleep(0)
        assert len(link.inbox) <= 700
        transport.close()

    asyncio.run(feed())


# --- messages by a grammar

numbers = st.integers(-3, 12)
words = st.sampled_from(
    ["root", "echo", "self", "hang", "stream", "read", "next", "stop", "remote_echo", "__class__", ""]
)

leaves = numbers | st.binary(max_size=8) | st.floats() | st.sampled_from([2**40, -(2**200)])
tags = st.sampled_from(
    [
        *(b"None", b"boolean", b"unicode", b"list", b"tuple", b"set", b"frozenset", b"dictionary", b"reference"),
        *(
            b"dereference",
            b"remote",
            b"local",
            b"cached",
            b"lcache",
            b"copy",
            b"cache",
            b"class",
            b"module",
            b"instance",
        ),
        *(b"function", b"persistent", b"unpersistable", b"datetime", b"date", b"time", b"timedelta", b"decimal"),
        *(b"fuzz.Copy", b"fuzz.Cache", b"os.system", b"twisted.spread.pb.CopyableFailure"),
    ]
)
jelly = st.recursive(
    leaves,
    lambda inner: (
        st.builds(lambda tag, parts: [tag, *parts], tags, st.lists(inner, max_size=4))
        | st.lists(inner, max_size=3)
        | st.builds(
            lambda pairs: [b"dictionary", *pairs], st.lists(st.lists(inner, min_size=2, max_size=2), max_size=3)
        )
        | st.builds(lambda n, part: [b"reference", n, part], numbers, inner)
        | st.builds(lambda n, part: [b"fuzz.Cache", n, [b"dictionary", [[b"unicode", b"value"], part]]], numbers, inner)
    ),
    max_leaves=12,
)
names = words.map(str.encode)
arguments = jelly | st.builds(lambda parts: [b"tuple", *parts], st.lists(jelly, max_size=3))
keywords = jelly | st.just([b"dictionary"])
old_messages = st.one_of(
    st.tuples(st.just(b"message"), numbers, numbers | names, names, numbers, arguments, keywords),
    st.tuples(st.just(b"cachemessage"), numbers, numbers, names, numbers, arguments, keywords),
    st.tuples(st.sampled_from([b"answer", b"error"]), numbers, jelly),
    st.tuples(st.sampled_from([b"decref", b"decache", b"uncache", b"version", b"didNotUnderstand"]), numbers | jelly),
    st.lists(jelly, max_size=7),
).map(list)


@settings(quick, max_examples=250)
@given(st.lists(old_messages, min_size=1, max_size=6))
def test_messages_of_the_older_grammar_are_answered_or_refused(messages):
    with contextlib.suppress(ProtocolError):
        data = [encode(message, vocabulary=True) for message in messages]
        assert isinstance(asyncio.run(take("pb", data)), bytes | ProtocolError)


def packed(value):
    body = msgpack.packb(value)
    return struct.pack("!I", len(body)) + body


plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.binary(max_size=8) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | numbers, inner, max_size=3)
        | st.builds(lambda code, data: msgpack.ExtType(code, msgpack.packb(data)), st.integers(0, 7), inner)
        | st.builds(lambda code, data: msgpack.ExtType(code, data), st.integers(0, 127), st.binary(max_size=9))
        | st.builds(lambda part: msgpack.ExtType(2, msgpack.packb(part)), jelly.filter(lambda part: _fits(part)))
    ),
    max_leaves=12,
)


def _fits(part):
    try:
        msgpack.packb(part)
    except OverflowError:
        return False
    return True


new_messages = st.one_of(
    st.tuples(st.just(0), numbers, numbers | words | st.lists(numbers, max_size=2), words, st.lists(plain, max_size=3)),
    st.tuples(
        st.just(0),
        numbers,
        st.just("root"),
        words,
        st.lists(plain, max_size=3),
        st.dictionaries(words, plain, max_size=2),
        plain,
    ),
    st.tuples(st.integers(1, 3), numbers | plain, plain),
    st.tuples(st.just(4), numbers | plain, numbers | plain, words, plain, plain),
    st.tuples(st.integers(5, 9), numbers | plain, numbers | plain),
    st.tuples(st.integers(5, 9), numbers | plain),
    st.lists(plain, max_size=7),
    plain,
)


@settings(quick, max_examples=250)
@given(st.lists(new_messages, min_size=1, max_size=6))
def test_messages_of_the_compact_grammar_are_answered_or_refused(messages):
    assert isinstance(asyncio.run(take("midair-1", [packed(message) for message in messages])), bytes | ProtocolError)


# --- bombs


def ext(code, data):
    return msgpack.packb(msgpack.ExtType(code, data))


def nested(levels, wrap, core=b"\xc0"):
    for _ in range(levels):
        core = wrap(core)
    return core


def frame(args):
    body = b"\x95\x00\x01\xa4root\xa4echo" + args
    return struct.pack("!I", len(body)) + body


BOMBS = {
    "lists within lists": frame(b"\x91" * 900 + b"\xc0"),
    "lists within lists beyond the parser": frame(b"\x91" * 3000 + b"\xc0"),
    "tuples within tuples": frame(b"\x91" + nested(300, lambda core: ext(1, b"\x91" + core))),
    "jelly within lists": frame(b"\x91" + ext(2, nested(500, lambda core: b"\x92\xc4\x04list" + core))),
    "dictionaries within dictionaries": frame(b"\x91" + b"\x81\xc0" * 500 + b"\xc0"),
    "a list announced longer than the frame": frame(b"\xdd\xff\xff\xff\xff"),
    "text announced longer than the frame": frame(b"\x91\xdb\xff\xff\xff\xff"),
    "a frame announced longer than allowed": b"\xff\xff\xff\xff\x90",
    "lists within lists, older": b"\x02\x80" * 20_000,
    "a whole call of 900 levels, older": encode(
        [
            b"message",
            1,
            b"root",
            b"echo",
            1,
            [b"tuple", nested(900, lambda core: [b"list", core], b"")],
            [b"dictionary"],
        ],
        vocabulary=True,
    ),
}


@pytest.mark.parametrize("name", list(BOMBS))
async def test_a_bomb_is_refused(name):
    dialect = "pb" if "older" in name else "midair-1"
    answer = await take(dialect, [BOMBS[name]])
    assert isinstance(answer, ProtocolError) or b"BadMessage" in answer or b"LimitExceeded" in answer


async def test_a_value_that_refers_to_itself_many_times_over_stays_small():
    # ten lists, each holding the one before ten times: ten thousand million leaves if they were copied
    expression: list = [b"list", 1]
    for number in range(1, 11):
        expression = [b"list", [b"reference", number, expression], *([[b"dereference", number]] * 9)]
    call = [b"message", 1, b"root", b"self", 0, [b"tuple"], [b"dictionary", [[b"unicode", b"x"], expression]]]
    assert isinstance(await take("pb", [encode(call, vocabulary=True)]), bytes)
    body = msgpack.packb([0, 0, "root", "self", [], {"x": msgpack.ExtType(2, msgpack.packb(expression))}])
    assert isinstance(await take("midair-1", [struct.pack("!I", len(body)) + body]), bytes)
