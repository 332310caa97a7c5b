"""The object layer, over each encoding and over bytes that arrive one at a time: the same for both sides' users."""

import asyncio
import gc

import pytest
from spread_pair import Pair, Picture, settled

from midair.runtime.errors import LimitExceeded
from midair.services.spread import (
    Copyable,
    DeadReference,
    Error,
    Limits,
    NoSuchMethod,
    NotAllowed,
    NotSendable,
    Referenceable,
    RemoteCache,
    RemoteCopy,
    RemoteError,
    RemoteReference,
    Viewable,
    register,
    remote,
)
from midair.services.spread.errors import BadMessage
from midair.services.spread.flavors import ViewPoint

every = pytest.mark.parametrize("dialect", ["midair-1", "pb", "none"])


class Room(Referenceable):
    def __init__(self, name):
        self.name = name
        self.gone = 0

    def remote_describe(self):
        return f"the {self.name}"

    async def remote_later(self):
        await asyncio.sleep(0)
        return Room(f"{self.name}'s neighbour")

    def released(self):
        self.gone += 1


@register
class Point(Copyable):
    def __init__(self, x, y):
        self.x, self.y = x, y
        self._secret = 5

    def remote_x(self):
        return self.x


class Shape(Copyable):
    wire_name = "test.Shape"

    def copy_state(self, perspective):
        return {"sides": 3, "seen_by": perspective}


@register("test.Shape")
class RemoteShape(RemoteCopy):
    pass


class Unknown(Copyable):
    pass


@register
class Refused(Error):
    pass


class Drawn(Picture):
    wire_name = "test.Picture"


@register("test.Picture")
class RemotePicture(RemoteCache):
    def observe_add(self, dot):
        self.dots.append(dot)
        return len(self.dots)


class Board(Viewable):
    def __init__(self):
        self.seen = []

    def view_look(self, perspective, what):
        self.seen.append(perspective)
        return f"{perspective} sees {what}"

    @remote
    def touch(self, perspective):
        return f"{perspective} touches"


class Root(Referenceable):
    def __init__(self):
        self.hall = Room("hall")
        self.picture = Drawn()
        self.calls = []
        self.ended = asyncio.Event()

    def remote_echo(self, value=None, **names):
        return names or value

    @remote
    def plain(self, value=7):
        return value

    @remote
    async def slowly(self):
        await asyncio.sleep(0)
        return "at last"

    def private(self):
        raise AssertionError("never to be reached")

    @remote
    def _hidden(self):
        raise AssertionError("never to be reached")

    def remote_hall(self):
        return self.hall

    def remote_room(self, name):
        return Room(name)

    def remote_is_hall(self, room):
        return room is self.hall

    async def remote_call_back(self, other, name):
        return await other.call(name)

    def remote_fail(self, text):
        raise KeyError(text)

    async def remote_fail_later(self, text):
        await asyncio.sleep(0)
        raise ValueError(text)

    def remote_refuse(self):
        error = Refused("closed", 5)
        error.until = "noon"
        raise error

    def remote_copy(self, point):
        return Point(point.x + 1, point)

    def remote_shape(self):
        return Shape()

    def remote_unknown(self):
        return Unknown()

    def remote_object(self):
        return object()

    def remote_picture(self):
        return self.picture

    def remote_is_picture(self, picture):
        return picture is self.picture

    def remote_note(self, what):
        self.calls.append(what)

    async def remote_hang(self):
        try:
            await asyncio.sleep(1000)
        finally:
            self.ended.set()

    def remote_board(self):
        return ViewPoint("alice", Board())


@every
@pytest.mark.parametrize("chop", [0, 1])
async def test_a_call_goes_there_and_its_result_back(dialect, chop):
    pair = Pair(Root(), dialect=dialect, chop=chop)
    for value in (
        (1, "two", 3.0),
        [1, {2: (3, b"x")}, None, True, {4, 5}],
        2**70,
        -(2**70),
        {"a": {"b": [1.5]}},
        "é" * 300,
    ):
        result = await pair.root.echo(value)
        assert result == value
        assert type(result) is type(value)
    assert await pair.root.call("echo", a=1, b=[2]) == {"a": 1, "b": [2]}
    assert await pair.root.slowly() == "at last"


TUPLES = [
    ((), (1, (2, (3,))), {"a": (1,)}),
    [(), (1, 2), [(3,), []]],
    ((1, [2]), {"b": (3, [4])}),
    {(1, "two"): (3.0, None), (4, (5,)): b"6"},
    (2**70, -(2**70), (2**64 - 1,)),
    ({1}, (2, frozenset({3}))),
    ([],),
]


@every
@pytest.mark.parametrize("value", TUPLES, ids=repr)
async def test_lists_and_tuples_are_told_apart_wherever_they_are(dialect, value):
    pair = Pair(Root(), dialect=dialect)
    for answer, expected in (
        (pair.root.echo(value), value),
        (pair.root.call("echo", a=value), {"a": value}),
        (pair.root.call("echo", a=value, b=[]), {"a": value, "b": []}),
    ):
        assert repr(await answer) == repr(expected)


@every
async def test_references_in_tuples_and_lists_come_back_as_themselves(dialect):
    pair = Pair(Root(), dialect=dialect)
    hall, mine = await pair.root.hall(), Room("mine")
    for value in ((hall, 1), [hall, (mine,)], {"a": ((hall, mine),)}, (hall, [mine])):
        assert await pair.root.echo(value) == value
    assert await pair.root.hall().describe() == await hall.describe()
    assert (await pair.root.echo((hall, hall)))[0] is hall


@every
async def test_shared_and_cyclic_values_stay_so(dialect):
    pair = Pair(Root(), dialect=dialect)
    part = [1]
    first, second = await pair.root.echo([part, part])
    assert first is second
    ring = {}
    ring["self"] = (ring,)
    back = await pair.root.echo(ring)
    assert back["self"][0] is back


@every
async def test_only_what_is_declared_can_be_called(dialect):
    pair = Pair(Root(), dialect=dialect)
    assert await pair.root.plain() == 7
    for name in ("private", "_hidden", "__class__", "__init__", "remote_echo", "released", "find_remote", "", "calls"):
        with pytest.raises(NoSuchMethod, match="offers no method"):
            await pair.root.call(name)
    with pytest.raises(AttributeError):
        pair.root._anything


@every
async def test_wrong_arguments_are_an_error_of_that_call_alone(dialect):
    pair = Pair(Root(), dialect=dialect)
    with pytest.raises(TypeError, match="argument"):
        await pair.root.hall(1, 2)
    assert await pair.root.plain() == 7


@every
async def test_an_object_is_one_reference_however_often_it_is_sent(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    one, two = await pair.root.hall(), await pair.root.hall()
    assert one is two
    assert await one.describe() == "the hall"
    assert await pair.root.is_hall(one)
    assert await pair.root.echo([one]) == [one]


@every
async def test_an_object_is_let_go_when_the_last_reference_is_dropped_there(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    one = await pair.root.hall()
    two = await pair.root.hall()
    await settled()
    assert len(pair.server.exports) == 1
    del one
    await settled()
    assert len(pair.server.exports) == 1
    del two
    gc.collect()
    await settled()
    assert len(pair.server.exports) == 0
    assert root.hall.gone == 1
    assert await (await pair.root.hall()).describe() == "the hall"


@every
async def test_the_server_calls_the_clients_objects(dialect):
    pair = Pair(Root(), dialect=dialect)
    mine = Room("client's room")
    assert await pair.root.call_back(mine, "describe") == "the client's room"
    assert await pair.root.echo(mine) is mine
    await settled()
    assert len(pair.client.exports) == 0


@every
async def test_errors_arrive_with_type_text_and_bases(dialect):
    pair = Pair(Root(), dialect=dialect)
    with pytest.raises(KeyError) as caught:
        await pair.root.fail("nothing")
    error = caught.value
    assert isinstance(error, RemoteError)
    assert (error.type, error.text, error.traceback) == ("builtins.KeyError", "'nothing'", "")
    assert error.is_a(LookupError)
    assert not error.is_a(ValueError)
    with pytest.raises(ValueError, match="later"):
        await pair.root.fail_later("later")


@every
async def test_a_traceback_is_told_only_by_a_server_that_was_asked_to(dialect):
    pair = Pair(Root(), dialect=dialect, tracebacks=True)
    with pytest.raises(KeyError) as caught:
        await pair.root.fail("nothing")
    assert "remote_fail" in caught.value.traceback
    assert "remote_fail" in caught.value.__notes__[0]


@every
async def test_a_registered_exception_is_raised_as_itself(dialect):
    pair = Pair(Root(), dialect=dialect)
    with pytest.raises(Refused) as caught:
        await pair.root.refuse()
    if dialect == "midair-1":
        assert caught.value.args == ("closed", 5)
        assert caught.value.until == "noon"
    else:
        assert str(caught.value) == "('closed', 5)"  # older peers are told the text alone


@every
async def test_an_exception_that_cannot_be_sent_is_told_as_such(dialect):
    class Hopeless(Error):
        def copy_state(self, perspective):
            raise Hopeless("again")

    class Raises(Referenceable):
        def remote_raise(self):
            raise Hopeless("once")

    pair = Pair(Raises(), dialect=dialect)
    with pytest.raises(RemoteError, match="Hopeless"):
        await pair.root.call("raise")


@every
async def test_a_copy_is_made_of_registered_classes_only(dialect):
    pair = Pair(Root(), dialect=dialect)
    point = Point(1, 2)
    copy = await pair.root.copy(point)
    assert type(copy) is Point
    assert (copy.x, copy.y.x, copy.y.y) == (2, 1, 2)
    assert not hasattr(copy, "_secret")
    shape = await pair.root.shape()
    assert type(shape) is RemoteShape
    assert (shape.sides, shape.seen_by) == (3, None)
    with pytest.raises(NotAllowed, match=r"Unknown is not a registered class"):
        await pair.root.unknown()
    with pytest.raises(NotAllowed):
        await pair.root.echo(Unknown())
    assert await pair.root.plain() == 7


@every
async def test_copies_in_a_ring_come_back_in_a_ring(dialect):
    pair = Pair(Root(), dialect=dialect)
    one = Point(1, None)
    one.y = Point(2, (one,))
    back = await pair.root.echo(one)
    assert back.y.y[0] is back
    two = Point(3, None)
    two.y = (two, 5)
    back = await pair.root.echo(two.y)
    assert back[0].y is back


@every
async def test_the_state_of_a_copy_cannot_reach_private_attributes(dialect):
    pair = Pair(Root(), dialect=dialect)

    class Sly(Copyable):
        wire_name = f"{Point.__module__}.Point"

        def copy_state(self, perspective):
            return {"__class__": "os", "x": 1}

    with pytest.raises(RemoteError, match="'__class__' is not a public attribute"):
        await pair.root.echo(Sly())


@every
async def test_what_cannot_be_sent_fails_at_the_sender_and_leaves_no_trace(dialect):
    pair = Pair(Root(), dialect=dialect)
    mine = Room("mine")
    with pytest.raises(NotSendable, match="object cannot be sent"):
        pair.root.echo([mine, Drawn(), object()])
    assert len(pair.client.exports) == len(pair.client.shown) == 0
    with pytest.raises(NotSendable, match="cannot be sent"):
        await pair.root.object()
    with pytest.raises(NotSendable, match="over the limit of 8388608; stream it instead"):
        pair.root.echo([b"x" * 600_000] * 15)
    deep: object = 1
    for _ in range(70):
        deep = [deep]
    with pytest.raises(NotSendable, match="64 levels"):
        pair.root.echo(deep)
    assert await pair.root.plain() == 7


@every
async def test_a_reference_cannot_be_handed_to_another_peer(dialect):
    one, other = Pair(Root(), dialect=dialect), Pair(Root(), dialect=dialect)
    hall = await one.root.hall()
    with pytest.raises(NotSendable, match="another connection"):
        other.root.echo(hall)


@every
async def test_a_cache_follows_its_original_until_it_is_dropped(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    root.picture.add(1)
    picture = await pair.root.picture()
    assert type(picture) is RemotePicture
    assert picture.dots == [1]
    again = await pair.root.picture()
    assert again is picture
    assert await pair.root.is_picture(picture)
    root.picture.add(2)
    root.picture.add(3)
    await settled()
    assert picture.dots == [1, 2, 3]
    del again, picture
    gc.collect()
    await settled()
    assert root.picture.stopped == 1
    assert not root.picture.observers
    assert not pair.client.held
    assert len(pair.server.shown) == 0
    assert (await pair.root.picture()).dots == [1, 2, 3]


@every
async def test_an_observer_answers_when_it_is_asked_to(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    picture = await pair.root.picture()
    (observer,) = root.picture.observers
    assert await observer.call("add", 5) == 1
    with pytest.raises(NoSuchMethod):
        await observer.call("remove", 5)
    assert picture.dots == [5]


@every
async def test_a_cache_dropped_and_mentioned_again_at_the_same_moment_keeps_its_state(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    root.picture.add(1)
    picture = await pair.root.picture()
    coming = pair.root.picture()
    del picture
    gc.collect()
    root.picture.add(2)
    picture = await coming
    await settled()
    assert picture.dots == [1, 2]
    root.picture.add(3)
    await settled()
    assert picture.dots == [1, 2, 3]
    assert len(root.picture.observers) == 1


@every
async def test_a_view_tells_who_is_calling(dialect):
    pair = Pair(Root(), dialect=dialect)
    board = await pair.root.board()
    assert await board.look("a dot") == "alice sees a dot"
    assert await board.touch() == "alice touches"
    with pytest.raises(NoSuchMethod):
        await board.call("seen")


@every
async def test_a_call_without_an_answer_is_made_in_order(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    for number in range(5):
        pair.root.send("note", number)
    await settled()
    assert root.calls == [0, 1, 2, 3, 4]
    assert not pair.client._pending


@every
async def test_a_call_within_a_time_is_cancelled_when_the_time_is_over(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    with pytest.raises(TimeoutError):
        await pair.root.within(0.01).hang()
    if dialect == "midair-1":
        await root.ended.wait()
    assert await pair.root.within(10).plain(3) == 3
    pair.server.cancel_running()


async def test_cancelling_the_caller_cancels_the_method():
    root = Root()
    pair = Pair(root)
    task = asyncio.create_task(_awaiting(pair.root.hang()))
    await settled()
    task.cancel()
    await root.ended.wait()
    await settled()
    assert not pair.server._running
    assert not pair.client._pending


async def _awaiting(promise):
    return await promise


@every
async def test_a_late_answer_to_a_cancelled_call_is_dropped(dialect):
    pair = Pair(Root(), dialect=dialect)
    pair.root.slowly().cancel()
    assert await pair.root.plain() == 7
    await settled()
    assert not pair.client._pending


@every
async def test_a_result_can_be_called_before_it_has_arrived(dialect):
    pair = Pair(Root(), dialect=dialect)
    assert await pair.root.room("attic").describe() == "the attic"
    assert await pair.root.room("attic").later().later().describe() == "the attic's neighbour's neighbour"
    with pytest.raises(KeyError, match="gone"):
        await pair.root.fail("gone").describe().again()
    with pytest.raises((TypeError, DeadReference)):
        await pair.root.plain().describe()
    gc.collect()
    await settled()
    assert not pair.server._results
    assert len(pair.server.exports) == 0


async def test_a_chain_of_calls_costs_one_round_trip():
    pair = Pair(Root())
    await pair.root.plain()
    trips = []
    pair.client.on_output = pair.server.on_output = lambda alone: None
    promise = pair.root.room("attic").later().describe()
    pair.pump()
    trips.append(promise.done())
    await settled()
    pair.pump()
    await settled()
    assert trips == [False]
    assert await promise == "the attic's neighbour"


async def test_a_result_that_has_arrived_takes_calls_too():
    pair = Pair(Root())
    promise = pair.root.room("attic")
    await promise
    assert await promise.describe() == "the attic"


@every
async def test_a_lost_connection_breaks_every_promise_at_once(dialect):
    root = Root()
    pair = Pair(root, dialect=dialect)
    hall, picture = await pair.root.hall(), await pair.root.picture()
    waiting = pair.root.hang()
    await settled()
    pair.cut()
    with pytest.raises(DeadReference, match="lost before the answer came"):
        await waiting
    for reference in (hall, pair.root):
        assert not reference.alive
        with pytest.raises(DeadReference, match="is gone"):
            await reference.describe()
        with pytest.raises(DeadReference):
            reference.send("describe")
    assert root.hall.gone == 1
    assert root.picture.stopped == 1
    assert picture.dots == []
    assert not root.ended.is_set()  # what was asked for is carried through
    pair.server.cancel_running()
    await root.ended.wait()


@every
async def test_a_peer_that_holds_too_many_objects_gets_an_error_and_no_more_objects(dialect):
    pair = Pair(Root(), dialect=dialect, limits=Limits(references=3))
    held = [await pair.root.room(str(number)) for number in range(3)]
    with pytest.raises(LimitExceeded, match="3 references"):
        await pair.root.room("one more")
    assert len(pair.server.exports) == 3
    held.pop()
    await settled()
    assert isinstance(await pair.root.room("in its place"), RemoteReference)


@every
async def test_a_peer_with_too_many_calls_running_gets_an_error(dialect):
    pair = Pair(Root(), dialect=dialect, limits=Limits(calls=2))
    running = [pair.root.hang(), pair.root.hang()]
    with pytest.raises(LimitExceeded, match="2 calls"):
        await pair.root.slowly()
    assert await pair.root.plain() == 7
    pair.server.cancel_running()
    for promise in running:
        with pytest.raises(RemoteError, match="cancelled"):
            await promise


@every
async def test_giving_back_what_was_never_given_ends_the_connection(dialect):
    pair = Pair(Root(), dialect=dialect)
    for data in (pair.client.wire.decref(5, 1), pair.client.wire.decache(5, 1)):
        with pytest.raises(BadMessage, match="given back"):
            pair.server.received(bytearray(data))


async def test_a_reference_collected_in_another_thread_is_given_back():
    pair = Pair(Root())
    box = [await pair.root.hall()]
    await asyncio.to_thread(box.clear)
    await settled()
    assert len(pair.server.exports) == 0


async def test_a_dead_reference_can_be_saved_and_says_what_it_was():
    import pickle

    pair = Pair(Root())
    again = pickle.loads(pickle.dumps(await pair.root.hall()))
    assert not again.alive
    with pytest.raises(DeadReference, match="earlier connection"):
        await again.describe()
