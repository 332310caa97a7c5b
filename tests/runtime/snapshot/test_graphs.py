"""Every graph that Python can hold comes back as it was."""

import array
import asyncio
import collections
import datetime as dt
import decimal
import functools
import math
import pathlib
import pickle
import queue
import re
import sys
import threading
import types
import uuid
import weakref
from typing import Any

import pytest
import snapshot_things as things
from snapshot_things import Key, Thing

from midair.runtime import errors
from midair.runtime.snapshot import dumps, loads, pickling
from midair.runtime.space import Space


def again(value: Any) -> Any:
    return loads(dumps(value))


@pytest.fixture(params=["quick", "thorough"])
def both(request: pytest.FixtureRequest) -> Any:
    """A round trip the quick way, and one in company of something that only the thorough way can write."""
    if request.param == "quick":
        return again
    return lambda value: again([value, Thing.Inner, things.nested(list, 1000)])[0]


@pytest.mark.parametrize("value", [
    0, -1, 2**70, 1.5, math.inf, True, None, ..., NotImplemented, "text", "\ud800", "ünï\ncode", b"bytes", bytearray(b"x"), 1j, range(3), slice(1, 2),
    (), (1,), [], [1, [2]], {}, {"a": 1, 2: (3,)}, {1, 2}, frozenset({1}), {(1, frozenset({2})): 3},
    dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC), dt.date(2026, 1, 2), dt.timedelta(1, 2, 3),
    decimal.Decimal("1.50"), uuid.UUID(int=5), pathlib.PurePosixPath("/a/b"), collections.deque([1, 2], 5), collections.Counter("hello"),
    collections.OrderedDict(b=1, a=2), things.Mode.READ, things.Mode.READ | things.Mode.WRITE, Thing.Inner.Color.BLUE, things.Point(1, 2),
    Thing, Thing.Inner, things.a_function, Thing.double, Thing.greet, len, str.upper, dict.fromkeys, sys, type(None), int, list[int],
    things.Plain(1, [2]), things.Slotted(1, [2]), things.Attrs(1, [2]), Key("k"), re.compile("a+", re.IGNORECASE),
], ids=lambda value: re.sub(r" at 0x\w+", "", repr(value))[:40])  # fmt: skip
def test_a_value_comes_back_equal_and_of_its_type(value: Any, both: Any) -> None:
    back = both(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_and_the_types_of_numbers_survive() -> None:
    assert math.isnan(again(math.nan))
    assert [type(value) for value in again([True, 1, 1.0])] == [bool, int, float]


@pytest.mark.parametrize(
    "value", [Thing.Inner.Color.RED, things.Mode.WRITE, Thing, Thing.Inner, things.a_function, len, ...]
)
def test_what_has_a_name_is_the_same_object(value: Any, both: Any) -> None:
    assert both(value) is value


def test_bound_methods_of_all_kinds(both: Any) -> None:
    thing, names = Thing(name="ann"), ["a"]
    greet, kind, append, private = both((thing.greet, Thing.kind, names.append, things.Thing.Inner().shout))
    assert greet() == "hello from ann"
    assert kind() == "Thing"
    append("b")
    assert append.__self__ == ["a", "b"]
    assert private() == "inner"


def test_a_method_is_bound_to_the_object_that_is_saved_beside_it(both: Any) -> None:
    thing = Thing(name="ann")
    thing.callback = thing.greet
    back = both(thing)
    back.name = "bob"
    assert back.callback() == "hello from bob"


def test_a_function_bound_by_hand(both: Any) -> None:
    thing = Thing(number=4)
    thing.method = types.MethodType(things.a_function, 6)
    assert both(thing).method() == 7


def test_partials_and_defaultdicts_keep_their_functions(both: Any) -> None:
    part, table = both((functools.partial(things.a_function, 4), collections.defaultdict(Thing.Inner, {"a": 1})))
    assert part() == 5
    assert isinstance(table["new"], Thing.Inner)


def test_shared_objects_are_still_shared(both: Any) -> None:
    thing, names = Thing(name="ann"), ["x"]
    back = both({"a": thing, "b": [thing, names], "c": (names,)})
    assert back["a"] is back["b"][0]
    assert back["b"][1] is back["c"][0]


def test_objects_without_any_attributes(both: Any) -> None:
    mark, bare = object(), things.Bare()
    thing = Thing(mark=mark, seen={mark: 1}, all=[mark, bare, {bare}])
    back = both(thing)
    assert type(back.mark) is object
    assert back.seen == {back.mark: 1}
    assert back.all[0] is back.mark
    assert isinstance(back.all[1], things.Bare)
    assert back.all[2] == {back.all[1]}


def test_cycles_through_every_container(both: Any) -> None:
    thing = Thing(name="ann")
    thing.list, thing.dict, thing.set, thing.tuple = [thing], {"me": thing}, {thing}, (thing,)
    thing.key, thing.frozen, thing.tuple_key = {thing: 1}, frozenset({thing}), {(thing, 1): 2}
    back = both(thing)
    assert back.list[0] is back.dict["me"] is back.tuple[0] is back
    assert back in back.set
    assert back in back.frozen
    assert back.key[back] == 1
    assert back.tuple_key[back, 1] == 2


def test_containers_that_hold_themselves(both: Any) -> None:
    inner: list[Any] = []
    inner.append((inner,))
    table: dict[str, Any] = {}
    table["me"] = [table]
    back, back_table = both((inner, table))
    assert back[0][0] is back
    assert back_table["me"][0] is back_table


def test_keys_whose_hash_needs_their_state_are_found_again(both: Any) -> None:
    holder = Thing(name="holder")
    holder.table = {Key("a", holder): 1, (Key("b", holder), 1): 2, frozenset({Key("c", holder)}): 3}
    holder.set, holder.frozen = {Key("d", holder)}, frozenset({Key("e", holder)})
    holder.ordered = collections.OrderedDict({Key("f", holder): 1, Key("g", holder): 2})
    back = both(holder)
    assert back.table[Key("a")] == 1
    assert back.table[Key("b"), 1] == 2
    assert back.table[frozenset({Key("c")})] == 3
    assert Key("d") in back.set
    assert Key("e") in back.frozen
    assert hash(back.frozen) == hash(frozenset({Key("e")}))
    assert list(back.ordered) == [Key("f"), Key("g")]
    assert [key.owner for key in (*back.set, *back.frozen)] == [back, back]


def test_a_key_that_holds_its_own_dict(both: Any) -> None:
    table: dict[Any, int] = {}
    table[Key("a", table)] = 1
    back = both(table)
    assert back[Key("a")] == 1
    assert next(iter(back)).owner is back


def test_making_keys_registers_nothing(both: Any) -> None:
    made, subclasses = list(things.Meta.made), list(things.Made.subclasses)
    back = both({things.Made("a"): 1})
    assert back[things.Made("a")] == 1
    assert type(next(iter(back))) is things.Made
    assert (things.Meta.made, things.Made.subclasses) == (made, subclasses)


def test_a_social_world_of_100_000() -> None:
    everybody = things.people(100_000)
    back = again(everybody)
    assert [person.number for person in back] == list(range(100_000))
    assert [[friend.number for friend in person.friends] for person in back] == [
        [friend.number for friend in person.friends] for person in everybody
    ]


def test_a_chain_of_a_million_objects() -> None:
    here, length = again(things.chain(1_000_000)), 0
    while here is not None:
        here, length = here.next, length + 1
    assert length == 1_000_000


@pytest.mark.parametrize(
    ("kind", "depth"),
    [(list, 100_000), (tuple, 100_000), (dict, 100_000), (frozenset, 10_000), (collections.deque, 10_000)],
)
def test_containers_nested_very_deep(kind: type, depth: int) -> None:
    assert things.depth_of(again(things.nested(kind, depth))) == depth


def test_depth_through_objects_and_containers_in_turn() -> None:
    value: Any = None
    for number in range(3000):
        value = [Thing(held={"in": (value, number)})] if number % 2 else (Thing(held=[value, number]),)
    back, count = again(value), 0
    while back is not None:
        held = back[0].held
        back, number = held["in"] if isinstance(held, dict) else held
        count += 1
        assert number == 3000 - count
    assert count == 3000


def test_a_gigabyte_is_written_in_pieces_that_fit() -> None:
    """Here 40 MB: the same path, over many chunks; `make soak` has the gigabyte."""
    data = bytes(range(256)) * 160_000
    back = again({"blob": data, "text": "é" * 3_000_000})
    assert back == {"blob": data, "text": "é" * 3_000_000}


def test_more_than_the_format_can_count_is_refused_by_path() -> None:
    """The bytes are zeros that nothing touches, so they take no memory."""
    with pytest.raises(errors.NotStorable) as refused:
        dumps({"files": [Thing(data=bytes(1 << 32))]})
    assert (refused.value.path, refused.value.kind) == ("obj['files'][0].data", "bytes")
    assert "it is 4294967296 bytes long, the limit is 4294967295 bytes" in refused.value.reason


@pytest.mark.soak
def test_a_gigabyte_of_bytes() -> None:
    data = b"midair" * 180_000_000
    assert again(data) == data


def test_slots_private_names_included(both: Any) -> None:
    private = things.Private()
    back = both(private)
    assert back.hidden() == 7
    assert not hasattr(back, "left_empty")


def test_subclasses_of_builtin_containers_keep_items_and_attributes(both: Any) -> None:
    bag, stack, name = things.Bag(), things.Stack(), things.Name("n")
    bag.limit, bag["a"], bag["b"] = 2, stack, 2
    stack.label, name.note = "top", "x"
    stack += [bag, name]
    back = both(bag)
    assert (back.limit, dict.keys(back)) == (2, {"a", "b"})
    assert back["a"].label == "top"
    assert back["a"][0] is back
    assert back["a"][1] == "n"
    assert back["a"][1].note == "x"
    with pytest.raises(ValueError, match="full"):
        back["c"] = 1


def test_own_state_methods_are_used(both: Any) -> None:
    back = both(things.Caching(5))
    assert (back.value, back.cache) == (5, "made again")


def test_what_an_own_reduction_is_called_with_is_whole(both: Any) -> None:
    """Shells come first, so its arguments need their states before their turn."""
    thing = Thing(name="ann", friend=Thing(name="bob"))
    world = [
        thing.friend,
        {"e": things.Eager(thing)},
        things.Eager(thing.friend),
        things.Eager(Thing(name="cy", deep=things.Eager(thing))),
    ]
    back = both(world)
    assert [back[1]["e"].seen, back[2].seen, back[3].seen] == ["ann", "bob", "cy"]
    assert back[1]["e"].thing.friend is back[0]
    assert back[3].thing.deep.thing is back[1]["e"].thing


def test_an_own_reduction_in_a_circle_works_as_far_as_it_does_in_any_pickle(both: Any) -> None:
    parent = Thing(name="parent")
    parent.children = [things.Child(parent), things.Child(parent)]
    back = both(parent)
    assert [child.parent for child in back.children] == [back, back]


def test_exceptions_keep_their_attributes_whatever_their_init_takes(both: Any) -> None:
    error = things.Unusual("depth", limit=3)
    error.add_note("noted")
    back, system, group = both((error, FileNotFoundError(2, "gone", "a.txt"), ExceptionGroup("many", [ValueError(1)])))
    assert (str(back), back.what, back.limit, back.__notes__) == ("depth over 3", "depth", 3, ["noted"])
    assert (system.errno, system.filename, type(system)) == (2, "a.txt", FileNotFoundError)
    assert group.exceptions[0].args == (1,)
    assert again(errors.NoSuchObject("a.b", nearest="a")).nearest == "a"


def test_locks_events_and_queues_come_back_fresh(both: Any) -> None:
    loop_lock, event, waiting = asyncio.Lock(), threading.Event(), queue.Queue(5)
    loop_lock._locked = True
    event.set()
    waiting.put(1)
    held = threading.Lock()
    held.acquire()
    world = [
        loop_lock,
        event,
        waiting,
        held,
        threading.RLock(),
        asyncio.Event(),
        asyncio.Queue(3),
        asyncio.Semaphore(2),
        queue.SimpleQueue(),
    ]
    back = both(world)
    assert not back[0].locked()
    assert not back[1].is_set()
    assert (back[2].maxsize, back[2].empty()) == (5, True)
    assert back[3].acquire(blocking=False)
    assert (back[6].maxsize, back[6].empty()) == (3, True)
    assert [type(value) for value in back] == [type(value) for value in world]


def test_two_conditions_on_one_lock_share_it_again(both: Any) -> None:
    lock = threading.Lock()
    first, second = both((threading.Condition(lock), threading.Condition(lock)))
    assert first._lock is second._lock


def test_weak_references_live_when_their_object_is_saved(both: Any) -> None:
    strong, weak_only = Thing(name="strong"), Thing(name="weak only")
    world = {
        "early": weakref.ref(strong),
        "dead": weakref.ref(weak_only),
        "strong": strong,
        "late": weakref.ref(strong),
    }
    back = both(world)
    assert back["early"]() is back["late"]() is back["strong"]
    assert back["dead"]() is None


@pytest.mark.parametrize(
    "strong",
    [{1, 2}, frozenset({1, 2}), collections.deque([1]), array.array("i", [1, 2]), functools.partial(int)],
    ids=["set", "frozenset", "deque", "array", "partial"],
)
def test_weak_references_to_values_that_are_no_instances_live_too(strong: Any, both: Any) -> None:
    weak_only = {3}
    values = weakref.WeakValueDictionary({"strong": strong, "weak": weak_only})
    back = both([weakref.ref(strong), values, weakref.ref(weak_only), {"strong": strong}])
    assert back[0]() is back[3]["strong"]
    assert dict(back[1]) == {"strong": back[3]["strong"]}
    assert back[2]() is None


def test_weak_references_to_named_things_live_by_their_names(both: Any) -> None:
    back = both([weakref.ref(Thing), weakref.WeakSet([Thing, things.a_function])])
    assert back[0]() is Thing
    assert set(back[1]) == {Thing, things.a_function}


def test_weak_collections_keep_what_is_saved_elsewhere(both: Any) -> None:
    strong, gone = Key("strong"), Key("gone")
    values = weakref.WeakValueDictionary({"a": strong, "b": gone})
    keys, members = weakref.WeakKeyDictionary({strong: [1], gone: [2]}), weakref.WeakSet({strong, gone})
    back = both([values, keys, members, {"s": strong}])
    again_strong = back[3]["s"]
    assert dict(back[0]) == {"a": again_strong}
    assert dict(back[1]) == {again_strong: [1]}
    assert list(back[2]) == [again_strong]


def test_what_the_standard_pickler_wrote_loads_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickling, "zodbpickle", pickle)
    thing = Thing(name="ann", inner=Thing.Inner(), when=dt.date(2026, 1, 2))
    thing.greet_later, thing.me = thing.greet, thing
    data = dumps([thing, Key("k"), things.Slotted(1, [2])])
    monkeypatch.undo()
    back = loads(data)
    assert (back[0].me, back[0].greet_later()) == (back[0], "hello from ann")
    assert (type(back[0].inner), back[0].when.year, back[2].y) == (Thing.Inner, 2026, [2])


def test_what_only_a_weak_reference_holds_may_be_unsavable() -> None:
    thread = threading.current_thread()
    assert again([weakref.ref(thread)])[0]() is None


def test_transient_attributes_stay_out_and_resume_makes_them_again(both: Any) -> None:
    back = both(things.LeavingMore())
    assert (back.kept, back.lock.locked()) == ([1], False)
    assert not hasattr(back, "thread")
    assert not hasattr(back, "more")


def test_a_space_comes_back_with_timers_and_names() -> None:
    space = Space()
    space["thing"] = Thing(name="ann")
    space["leaving"] = things.Leaving()
    back = again(space)
    assert list(back) == ["thing", "leaving"]
    assert back.uuid == space.uuid
    assert back["leaving"].space is back
    with back.lock:
        assert back["thing"].greet() == "hello from ann"


def test_numpy_arrays_when_numpy_is_there(both: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed here")
    array = numpy.arange(1000.0).reshape(10, 100)
    assert (both({"a": array})["a"] == array).all()


def test_pydantic_models_when_pydantic_is_there(both: Any) -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed here")
    model = pydantic.create_model("Model", x=(int, 1), __module__="snapshot_things")
    things.Model = model  # type: ignore[attr-defined]
    try:
        assert both(model(x=5)).x == 5
    finally:
        del things.Model  # type: ignore[attr-defined]


def test_text_that_looks_like_a_name_in_the_stream_stays_text(both: Any) -> None:
    text = "cos\nsystem\nq\x00"
    assert both([text, text.encode()]) == [text, text.encode()]
