"""Streams run as far ahead as their readers allow, end with them, and carry errors in their place."""

import asyncio
import gc

import pytest
from spread_pair import Pair, settled

from midair.services.spread import DeadReference, Referenceable, Source
from midair.services.spread.stream import AHEAD, BYTES, ITEMS

every = pytest.mark.parametrize("dialect", ["midair-1", "pb"])


class Root(Referenceable):
    def __init__(self):
        self.made = 0
        self.closed = asyncio.Event()
        self.held = []
        self.go_on = asyncio.Event()

    async def remote_count(self, n, size=0):
        try:
            for number in range(n):
                self.made = number + 1
                yield bytes(size) if size else number
        finally:
            self.closed.set()

    def remote_steps(self, n):
        yield from range(n)

    async def remote_breaks(self, n):
        for number in range(n):
            yield number
        raise ValueError("broken")

    async def remote_waits(self):
        yield "first"
        await self.go_on.wait()
        yield "second"

    def remote_lines(self):
        return Source(["a", "b"])

    def remote_plain(self):
        return [1, 2]

    async def remote_take(self, stream, n):
        taken = []
        async for item in stream:
            taken.append(item)
            if len(taken) == n:
                break
        return taken

    def remote_keep(self, stream):
        self.held.append(stream)

    def remote_drop(self):
        self.held.clear()


@every
@pytest.mark.parametrize("n", [0, 1, ITEMS - 1, ITEMS, ITEMS + 1, 1000])
async def test_all_items_arrive_in_order(dialect, n):
    root = Root()
    pair = Pair(root, dialect=dialect)
    assert [item async for item in pair.root.count(n)] == list(range(n))
    assert [item async for item in pair.root.steps(n)] == list(range(n))
    await root.closed.wait()
    gc.collect()
    await settled()
    assert len(pair.server.exports) == 0


@every
async def test_an_iterable_that_is_no_generator_becomes_a_stream_when_it_is_asked_to(dialect):
    pair = Pair(Root(), dialect=dialect)
    assert [item async for item in pair.root.lines()] == ["a", "b"]
    assert [item async for item in await pair.root.lines()] == ["a", "b"]


async def test_what_is_no_stream_is_not_read_as_one():
    pair = Pair(Root())
    with pytest.raises(TypeError, match="answered with list, which is no stream"):
        [item async for item in pair.root.plain()]


@every
async def test_a_reader_that_is_slow_holds_the_generator_back(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    stream = pair.root.count(100_000).__aiter__()
    assert await anext(stream) == 0
    for _ in range(20):
        await settled()
    assert root.made <= (AHEAD + 2) * ITEMS
    await stream.aclose()
    await root.closed.wait()


@every
async def test_large_items_are_held_back_by_their_size(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    stream = pair.root.count(10_000, 32_768).__aiter__()
    await anext(stream)
    for _ in range(20):
        await settled()
    assert root.made * 32_768 <= (AHEAD + 2) * (BYTES + 32_768)
    await stream.aclose()
    await root.closed.wait()


@every
async def test_leaving_the_loop_closes_the_generator(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    async for item in pair.root.count(10_000):
        if item == 5:
            break
    gc.collect()
    await root.closed.wait()
    await settled()
    assert len(pair.server.exports) == 0


@every
async def test_an_error_arrives_after_the_items_before_it(dialect):
    pair = Pair(Root(), dialect=dialect)
    got = []
    with pytest.raises(ValueError, match="broken"):
        async for item in pair.root.breaks(70):
            got += [item]
    assert got == list(range(70))


@every
async def test_what_is_ready_arrives_while_the_rest_is_awaited(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    stream = pair.root.waits().__aiter__()
    assert await anext(stream) == "first"
    root.go_on.set()
    assert await anext(stream) == "second"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@every
async def test_an_argument_is_read_at_the_server_and_closed_when_it_has_enough(dialect):
    pair = Pair(Root(), dialect=dialect)
    closed = asyncio.Event()

    async def numbers():
        try:
            for number in range(100_000):
                yield number
        finally:
            closed.set()

    assert await pair.root.take(numbers(), 3) == [0, 1, 2]
    await closed.wait()
    assert await pair.root.take((number for number in range(2)), 10) == [0, 1]


@every
async def test_a_stream_nobody_reads_is_closed_when_its_reference_is_dropped(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    source = root.remote_count(5)
    stream = await pair.root.lines()
    await pair.root.keep(Source(source))
    assert len(pair.client.exports) == 1
    await pair.root.drop()
    gc.collect()
    await settled()
    assert len(pair.client.exports) == 0
    del stream


@every
async def test_large_items_that_are_no_bytes_do_not_add_up_to_a_message_that_is_too_long(dialect):
    class Rows(Referenceable):
        def remote_rows(self, n):
            return ({"number": number, "lines": ["x" * 1000] * 300, "sizes": (1, 2)} for number in range(n))

    pair = Pair(Rows(), dialect=dialect)
    assert [row["number"] async for row in pair.root.rows(100)] == list(range(100))


async def test_a_lost_connection_ends_the_reader_and_the_generator():
    root = Root()
    pair = Pair(root)
    stream = pair.root.count(100_000).__aiter__()
    await anext(stream)
    pair.cut()
    with pytest.raises(DeadReference):
        async for _ in stream:
            pass
    await root.closed.wait()


async def test_small_items_travel_many_at_a_time():
    pair = Pair(Root())
    before = pair.client._last
    assert len([item async for item in pair.root.count(640)]) == 640
    assert pair.client._last - before <= 640 / ITEMS * 2 + AHEAD + 3
