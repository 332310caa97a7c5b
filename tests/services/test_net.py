"""Lines, netstrings and prefixed messages: bytes in, messages out, however the bytes were cut."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midair.runtime.errors import LimitExceeded, ProtocolError
from midair.runtime.testing import connected
from midair.services.net import Lines, Netstrings, Prefixed, take_line, take_netstring, take_prefixed


def all_of(take, data):
    buffer = bytearray(data)
    messages = []
    while (message := take(buffer)) is not None:
        messages.append(message)
    return messages, bytes(buffer)


def lines(buffer):
    return take_line(buffer, limit=100)


def netstrings(buffer):
    return take_netstring(buffer, limit=100)


def prefixed(buffer):
    return take_prefixed(buffer, prefix=2, limit=100)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\r\nc\r\0d", ([b"a", b"b", b"c"], b"d")),
        (b"\n\n", ([b"", b""], b"")),
        (b"a\r", ([], b"a\r")),
        (b"", ([], b"")),
    ],
)
def test_lines_end_in_any_of_the_usual_ways(data, expected):
    assert all_of(lines, data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"5:hello,0:,", ([b"hello", b""], b"")),
        (b"5:hell", ([], b"5:hell")),
        (b"5:hello", ([], b"5:hello")),
        (b"5", ([], b"5")),
    ],
)
def test_netstrings(data, expected):
    assert all_of(netstrings, data) == expected


@pytest.mark.parametrize("data", [b"x:", b"05:hello,", b":,", b"-1:,", b"3:abcd", b" 3:abc,"])
def test_what_is_no_netstring_is_refused(data):
    with pytest.raises(ProtocolError):
        all_of(netstrings, data)


@pytest.mark.parametrize(
    ("take", "data"),
    [
        (lines, b"x" * 102),
        (lines, b"x" * 101 + b"\n" * 1 + b"x" * 102 + b"\n"),
        (netstrings, b"101:"),
        (netstrings, b"9" * 4),
        (prefixed, b"\0\x65"),
    ],
)
def test_what_is_too_long_is_refused_before_it_has_arrived(take, data):
    with pytest.raises(LimitExceeded):
        all_of(take, data)


def test_prefixed_messages():
    assert all_of(prefixed, b"\0\3abc\0\0\0\2x") == ([b"abc", b""], b"\0\2x")


class Kept:
    def opened(self):
        self.kept = []


class KeptLines(Kept, Lines):
    def line(self, text):
        self.kept.append(text)


class KeptNetstrings(Kept, Netstrings):
    def message(self, data):
        self.kept.append(data)


class KeptPrefixed(Kept, Prefixed):
    def message(self, data):
        self.kept.append(data)


@pytest.mark.parametrize("kind", [KeptNetstrings, KeptPrefixed])
@given(messages=st.lists(st.binary(max_size=20)), data=st.data())
def test_any_cut_of_the_bytes_gives_the_same_messages(kind, messages, data):
    async def run():
        sender, wire = connected(kind())
        for message in messages:
            sender.send(message)
        receiver, _ = connected(kind())
        rest = bytes(wire.sent)
        while rest:
            cut = data.draw(st.integers(1, len(rest)))
            receiver.data_received(rest[:cut])
            rest = rest[cut:]
        return receiver.kept

    assert asyncio.run(run()) == messages


async def test_text_goes_out_by_lines_and_comes_in_by_lines():
    connection, transport = connected(KeptLines())
    connection.send("two\nlines")
    assert transport.sent == b"two\r\nlines\r\n"
    connection.data_received("grüß\r\nGo".encode() + b"tt\xff\n")
    assert connection.kept == ["grüß", "Gott\ufffd"]


async def test_a_line_that_is_too_long_is_said_so_and_drops_the_peer():
    connection, transport = connected(KeptLines())
    connection.data_received(b"x" * (connection.max_line + 2))
    assert transport.sent == b"line too long\r\n"
    assert transport.is_closing()


async def test_a_message_as_long_as_the_limit_passes():
    connection, _ = connected(KeptPrefixed())
    message = b"x" * connection.max_message
    connection.data_received(connection.framed(message))
    assert connection.kept == [message]
    with pytest.raises(LimitExceeded):
        connection.send(message + b"x")
