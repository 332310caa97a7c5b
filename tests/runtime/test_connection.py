"""A connection owns what came and was not understood, and what was written and not taken."""

import asyncio
import pickle

import pytest

from midair.runtime.connection import Connection
from midair.runtime.errors import ProtocolError
from midair.runtime.testing import connected


class Upper(Connection):
    """Answers each line in capitals; the line `bug` meets a bug, `rude` breaks the rules."""

    def opened(self) -> None:
        self.lines: list[bytes] = []

    def received(self) -> None:
        line, end, rest = self.inbox.partition(b"\n")
        if not end:
            return
        self.inbox[:] = rest
        if line == b"bug":
            raise ZeroDivisionError
        if line == b"rude":
            raise ProtocolError("no", reply=b"bye")
        self.lines.append(bytes(line))
        self.write(line.upper())


async def test_an_incomplete_message_stays_in_the_inbox():
    connection, transport = connected(Upper())
    connection.data_received(b"hel")
    assert (connection.lines, connection.inbox) == ([], b"hel")
    connection.data_received(b"lo\nwor")
    assert (connection.lines, connection.inbox, transport.sent) == ([b"hello"], b"wor", b"HELLO")


async def test_an_error_in_one_message_costs_neither_the_connection_nor_the_next_messages(caplog):
    connection, transport = connected(Upper())
    connection.data_received(b"a\nbug\nb\n")
    assert connection.lines == [b"a", b"b"]
    assert not transport.is_closing()
    assert "ZeroDivisionError" in caplog.text


async def test_a_peer_that_breaks_the_rules_is_told_and_dropped():
    connection, transport = connected(Upper())
    connection.data_received(b"rude\na\n")
    assert transport.is_closing()
    assert transport.sent == b"bye"
    assert connection.lines == []


async def test_a_message_without_end_is_dropped_at_the_limit():
    connection, transport = connected(Upper())
    connection.data_received(b"x" * connection.max_inbox)
    assert not transport.is_closing()
    connection.data_received(b"x")
    assert transport.is_closing()


async def test_a_peer_that_does_not_read_is_dropped_at_the_limit():
    connection, transport = connected(Upper())
    transport.stalled = True
    connection.write(b"x" * connection.max_unsent)
    assert not transport.is_closing()
    connection.write(b"x")
    assert transport.is_closing()


async def test_unsent_is_exactly_what_the_peer_has_not_taken():
    connection, transport = connected(Upper())
    transport.stalled = True
    for part in (b"abc", b"defg", b"", b"hi"):
        connection.write(part)
    transport.release(5)
    connection.write(b"j")
    assert connection.unsent == b"fghij"


async def test_paused_input_waits_and_is_parsed_first_on_resume():
    connection, transport = connected(Upper())
    connection.pause()
    assert not transport.reading
    connection.data_received(b"a\n")
    assert connection.lines == []
    connection.resume()
    assert (connection.lines, transport.reading) == ([b"a"], True)


async def test_drain_waits_for_room_and_says_when_the_peer_is_gone():
    connection, transport = connected(Upper())
    connection.pause_writing()
    waiting = asyncio.ensure_future(connection.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    connection.resume_writing()
    await waiting
    transport.close()
    with pytest.raises(ConnectionResetError):
        await connection.drain()


async def test_a_frozen_connection_goes_on_elsewhere_with_nothing_lost():
    first, transport = connected(Upper())
    first.data_received(b"a\nhalf")
    transport.stalled = True
    first.write(b"unsent")
    frozen = first.freeze()

    second = Upper()
    second.thaw(frozen)
    _, other = connected(second)
    assert (second.lines, other.sent) == ([b"a"], b"unsent")
    second.data_received(b" done\n")
    assert (second.lines, other.sent) == ([b"a", b"half done"], b"unsentHALF DONE")


async def test_a_connection_refuses_to_be_saved_and_says_what_to_do():
    connection, _ = connected(Upper())
    with pytest.raises(TypeError, match="__transient__"):
        pickle.dumps(connection)
