"""Who waited for an answer goes on in the turn that read it."""

import asyncio
from contextvars import copy_context
from typing import Any

import pytest
from spread_pair import settled

from midair.runtime.testing import MemoryTransport
from midair.services.spread import FRIEND, Link, Portal, Referenceable, RemoteReference
from midair.services.spread.turn import Turn


class Root(Referenceable):
    def remote_echo(self, value: Any) -> Any:
        return value


async def ask(root: RemoteReference) -> Any:
    return await root.call("echo", 5)


class Joined:
    """Two links, joined by hand: what one wrote goes to the other when `carry` says so."""

    def __init__(self) -> None:
        self.client, self.server = Link(server=False, limits=FRIEND), Portal(Root()).link()
        for link in (self.client, self.server):
            link.connection_made(MemoryTransport(link))
        while any(self.carry(link) for link in (self.client, self.server)):
            pass
        assert self.client.broker is not None
        self.broker = self.client.broker
        self.root = self.broker.proxy("root")

    def sent(self, link: Link) -> bytes:
        transport: Any = link.transport
        data = bytes(transport.sent)
        transport.sent.clear()
        return data

    def carry(self, source: Link) -> int:
        data = self.sent(source)
        if data:
            (self.client if source is self.server else self.server).data_received(data)
        return len(data)

    def in_a_turn_of_its_own(self, source: Link, after: Any) -> None:
        """Carry as the loop does, outside of any task, and call `after` before the turn is over."""
        asyncio.get_running_loop().call_soon(lambda: (self.carry(source), after()))


async def test_a_task_goes_on_before_the_turn_that_read_its_answer_is_over() -> None:
    joined = Joined()
    done, seen = [], []

    async def ask() -> None:
        done.append(await joined.root.call("echo", 5))

    task = asyncio.create_task(ask())
    await settled()
    joined.carry(joined.client)
    joined.in_a_turn_of_its_own(joined.server, lambda: seen.extend(done))
    await task
    assert seen == [5]


async def test_what_it_calls_next_is_sent_in_that_turn_too() -> None:
    joined = Joined()
    sent: list[bytes] = []

    async def ask() -> None:
        await joined.root.call("echo", 5)
        await joined.root.call("echo", 6)

    task = asyncio.create_task(ask())
    await settled()
    joined.carry(joined.client)
    joined.in_a_turn_of_its_own(joined.server, lambda: sent.append(joined.sent(joined.client)))
    await settled()
    assert len(sent[0]) > 4
    task.cancel()


async def test_in_a_task_of_another_it_waits_for_the_loop() -> None:
    joined = Joined()
    done: list[Any] = []

    async def ask() -> None:
        done.append(await joined.root.call("echo", 5))

    task = asyncio.create_task(ask())
    await settled()
    joined.carry(joined.client)
    joined.carry(joined.server)
    assert done == []
    await task
    assert done == [5]


async def test_a_promise_is_of_the_running_loop_and_waits_with_others() -> None:
    joined = Joined()
    loop = asyncio.get_running_loop()
    promises = [joined.root.call("echo", number) for number in range(3)]
    assert all(promise.get_loop() is loop for promise in promises)
    waiting = asyncio.gather(*promises, loop.create_task(asyncio.wait_for(asyncio.shield(promises[0]), 5)))
    await settled()
    joined.carry(joined.client)
    joined.in_a_turn_of_its_own(joined.server, lambda: None)
    assert await waiting == [0, 1, 2, 0]


async def test_a_callback_that_fails_is_reported_and_those_behind_it_are_called() -> None:
    loop = asyncio.get_running_loop()
    reported: list[Any] = []
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    called: list[str] = []
    turn = Turn(loop)
    ended = loop.create_future()

    def in_a_turn() -> None:
        turn.begin()
        turn.call_soon(lambda: 1 // 0, context=context)
        turn.call_soon(called.append, "behind", context=context)
        turn.end()
        ended.set_result(list(called))

    context = copy_context()
    loop.call_soon(in_a_turn)
    assert await ended == ["behind"]
    assert [type(error) for error in reported] == [ZeroDivisionError]


async def test_an_exit_in_one_leaves_the_rest_to_the_loop() -> None:
    loop = asyncio.get_running_loop()
    called: list[str] = []
    turn = Turn(loop)
    ended = loop.create_future()

    def leave() -> None:
        raise SystemExit

    def in_a_turn() -> None:
        turn.begin()
        turn.call_soon(leave, context=context)
        turn.call_soon(called.append, "behind", context=context)
        with pytest.raises(SystemExit):
            turn.end()
        ended.set_result(list(called))

    context = copy_context()
    loop.call_soon(in_a_turn)
    assert await ended == []
    await settled()
    assert called == ["behind"]


def test_a_program_may_end_with_a_call_under_way() -> None:
    async def main() -> None:
        joined = Joined()
        asyncio.create_task(ask(joined.root))  # noqa: RUF006 - left behind on purpose
        joined.root.call("echo", 6)
        await settled()

    asyncio.run(main())
