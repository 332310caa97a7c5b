"""Readers and writers over a connection: asyncio's streams as handlers know them."""

import asyncio

import pytest

from midair.runtime.errors import LimitExceeded
from midair.runtime.streams import StreamConnection
from midair.runtime.testing import connected


async def with_streams(use, *arrivals, end=True):
    """What `use(reader, writer)` returned or raised, when these bytes arrive one after the other; and what was sent."""
    result = asyncio.get_running_loop().create_future()

    async def handler(reader, writer):
        try:
            result.set_result(await use(reader, writer))
        except Exception as error:
            result.set_exception(error)

    connection, transport = connected(StreamConnection(handler))
    for data in arrivals:
        await asyncio.sleep(0)
        connection.data_received(data)
    if end:
        connection.eof_received()
    try:
        return await result, bytes(transport.sent)
    finally:
        transport.close()


async def test_lines_until_the_end():
    async def use(reader, writer):
        return [line async for line in reader]

    assert (await with_streams(use, b"a\nb", b"c\n\nrest"))[0] == [b"a\n", b"bc\n", b"\n", b"rest"]


async def test_read_takes_what_is_there_and_everything_when_asked():
    async def use(reader, writer):
        return await reader.read(2), await reader.read(), await reader.read(1), reader.at_eof()

    assert (await with_streams(use, b"abc", b"def"))[0] == (b"ab", b"cdef", b"", True)


async def test_readexactly_says_what_was_there_when_the_peer_left_early():
    async def use(reader, writer):
        assert await reader.readexactly(3) == b"abc"
        await reader.readexactly(3)

    with pytest.raises(asyncio.IncompleteReadError) as caught:
        await with_streams(use, b"ab", b"cd")
    assert caught.value.partial == b"d"


async def test_a_separator_cut_in_two_is_found():
    async def use(reader, writer):
        return await reader.readuntil(b"\r\n\r\n")

    assert (await with_streams(use, b"head\r", b"\n\r", b"\nbody"))[0] == b"head\r\n\r\n"


async def test_input_stops_at_the_limit_and_goes_on_when_it_is_read():
    async def use(reader, writer):
        transport = writer.transport
        await asyncio.sleep(0)
        while transport.reading:
            await asyncio.sleep(0)
        first = await reader.read(10)
        return first, transport.reading

    too_much = b"x" * (StreamConnection.max_inbox + 5)
    assert (await with_streams(use, too_much))[0] == (b"x" * 10, True)


async def test_a_line_without_end_is_an_error_at_the_limit():
    async def use(reader, writer):
        await reader.readline()

    with pytest.raises(LimitExceeded):
        await with_streams(use, b"x" * (StreamConnection.max_inbox + 1), end=False)


async def test_what_is_written_is_sent_and_the_connection_closes_when_the_handler_ends():
    async def use(reader, writer):
        writer.writelines([b"a", b"b"])
        await writer.drain()

    assert (await with_streams(use))[1] == b"ab"


async def test_an_error_in_a_handler_is_logged_and_closes_its_connection(caplog):
    async def handler(reader, writer):
        raise ZeroDivisionError

    connection, transport = connected(StreamConnection(handler))
    await connection.lost()
    assert transport.is_closing()
    assert "ZeroDivisionError" in caplog.text
