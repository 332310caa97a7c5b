"""What was confirmed is made again after a crash, in order, as it was; and nothing is confirmed that is not on disk."""

import asyncio
import os
import random
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bank_crashes import crash
from faulty_disks import FaultyDisk

from midair import Service
from midair.runtime import journal, rebuild, snapshot
from midair.runtime.disk import DISK, Disk
from midair.runtime.journal import JournalCorrupt, JournalError, dice, journaled, now
from midair.runtime.journal.records import (
    CALL,
    HEADER,
    file_header,
    pack,
    pack_record,
    read_header,
    record_at,
    records,
    unpack,
)
from midair.runtime.space import Space


class Shop(Service):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.sold: list[Any] = []
        self.ran = 0

    @journaled
    def sell(self, *things: Any, **named: Any) -> int:
        self.ran += 1
        if things == ("nothing",):
            raise ValueError("nothing to sell")
        self.sold.append((things, named))
        return len(self.sold)

    @journaled
    def stamp(self) -> tuple[float, float]:
        self.sold.append((now(), dice().random(), dice().random()))
        return now(), dice().random()

    @journaled
    def twice(self, thing: str) -> int:
        return self.sell(thing) + self.sell(thing)  # type: ignore[operator]  # inside, a journaled call answers at once


Shop.__module__ = "journal_shop"
sys.modules["journal_shop"] = type(sys)("journal_shop")
sys.modules["journal_shop"].Shop = Shop  # type: ignore[attr-defined]


@asynccontextmanager
async def running(path: Path, disk: Disk = DISK) -> AsyncIterator[Shop]:
    """The shop of a space that is resumed, or made, and journaled; left as by a crash, after what waits is written."""
    if snapshot.exists(path):
        space = snapshot.load(path)
    else:
        space = Space()
        space["shop"] = Shop()
        space.save(path)
    known = snapshot.manifest(path, generation=space.generation)
    shop: Shop = space["shop"]
    shop.replayed = journal.open_journal(space, path, known["journal"], disk=disk)  # type: ignore[attr-defined]
    try:
        yield shop
    finally:
        journal.close_journal(space)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.spl"


def files(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob("*.journal*"))


# --- calls


async def test_a_call_takes_effect_at_once_and_answers_when_it_is_on_disk(path: Path) -> None:
    async with running(path) as shop:
        answer = shop.sell("tea", 2, price=1.5)
        assert shop.sold == [(("tea", 2), {"price": 1.5})]
        assert not answer.done()  # type: ignore[attr-defined]
        assert await answer == 1
        assert (path.parent / "shop.1.journal").stat().st_size > HEADER


async def test_what_was_confirmed_is_there_after_a_crash(path: Path) -> None:
    async with running(path) as shop:
        for number in range(10):
            await shop.sell(number)
    async with running(path) as shop:
        assert shop.sold == [((number,), {}) for number in range(10)]
        assert shop.replayed.calls == 10  # type: ignore[attr-defined]
        await shop.sell("more")
    async with running(path) as shop:
        assert len(shop.sold) == 11


def test_a_kill_after_the_confirmation_and_before_the_reply_loses_nothing(path: Path) -> None:
    async def sell() -> None:
        async with running(path) as shop:
            await shop.sell("lamp")
            os.kill(os.getpid(), signal.SIGKILL)

    async def look() -> None:
        async with running(path) as shop:
            assert [things for things, _ in shop.sold] == [("lamp",)]

    pid = os.fork()
    if pid == 0:
        asyncio.set_event_loop(None)
        asyncio.run(sell())
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    asyncio.run(look())


async def test_many_clients_share_one_sync(path: Path) -> None:
    class Counting(Disk):
        syncs = 0

        def sync_data(self, descriptor: int) -> None:
            self.syncs += 1
            super().sync_data(descriptor)

    disk = Counting()
    async with running(path, disk) as shop:
        answers = await asyncio.gather(*(shop.sell(number) for number in range(500)))
        assert answers == list(range(1, 501))
    assert disk.syncs < 100
    async with running(path) as shop:
        assert [things for things, _ in shop.sold] == [(number,) for number in range(500)]


@pytest.mark.parametrize("value", [
    None, True, -1, 2**63, 2**200, 1.5, "ü\ud800", b"b", [1, [2]], (1, (2, [3])), {"a": {1: 2}}, {(1, 2): 3}, {1}, frozenset({2}),
])  # fmt: skip
async def test_plain_values_come_back_as_they_were(value: Any, path: Path) -> None:
    async with running(path) as shop:
        await shop.sell(value, key=value)
    async with running(path) as shop:
        assert repr(shop.sold) == repr([((value,), {"key": value})])


async def test_an_object_as_an_argument_is_refused_before_anything_happens(path: Path) -> None:
    async with running(path) as shop:
        with pytest.raises(
            TypeError, match=r"Shop\.sell is journaled: a Shop is no plain value; pass plain values, and the path"
        ):
            shop.sell(shop)
        with pytest.raises(JournalError, match="bytes long, the limit is 16777216 bytes"):
            shop.sell(bytes(17 << 20))
        assert shop.ran == 0


async def test_what_the_caller_changes_later_changes_nothing(path: Path) -> None:
    async with running(path) as shop:
        things = ["tea"]
        answer = shop.sell(things, bytearray(b"b"))
        things.append("coffee")
        await answer
        assert shop.sold == [((["tea"], b"b"), {})]


async def test_a_call_that_raises_raises_again_and_goes_on(path: Path) -> None:
    async with running(path) as shop:
        with pytest.raises(ValueError, match="nothing to sell"):
            await shop.sell("nothing")
        await shop.sell("tea")
    async with running(path) as shop:
        assert (shop.ran, len(shop.sold), shop.replayed.raised) == (2, 1, 1)  # type: ignore[attr-defined]


async def test_time_and_dice_are_those_of_the_call(path: Path) -> None:
    async with running(path) as shop:
        await shop.stamp()
        await shop.stamp()
        before = list(shop.sold)
    async with running(path) as shop:
        assert shop.sold == before
        assert before[0][1] != before[1][1]
    assert now() > before[0][0]
    assert dice().random() < 1


async def test_a_journaled_call_inside_another_is_part_of_it(path: Path) -> None:
    async with running(path) as shop:
        assert await shop.twice("tea") == 3
    async with running(path) as shop:
        assert len(shop.sold) == 2
        assert shop.replayed.calls == 1  # type: ignore[attr-defined]


async def test_without_a_journal_the_method_just_runs() -> None:
    assert await Shop().sell("tea") == 1


def test_only_a_plain_method_can_be_journaled() -> None:
    with pytest.raises(TypeError, match="is journaled, so it is a plain def"):

        @journaled
        async def wait(self: Any) -> None: ...


# --- snapshots


async def test_a_snapshot_holds_what_came_before_and_the_journal_goes_on_after_it(path: Path) -> None:
    async with running(path) as shop:
        await shop.sell("before")
        assert await snapshot.take(shop.space, path) == 2
        await shop.sell("after")
    async with running(path) as shop:
        assert [things for things, _ in shop.sold] == [("before",), ("after",)]
        assert shop.replayed.calls == 1  # type: ignore[attr-defined]


async def test_calls_between_the_fork_and_the_end_of_a_snapshot_are_not_lost(path: Path) -> None:
    async with running(path) as shop:
        await shop.sell("before")
        taking = asyncio.create_task(snapshot.take(shop.space, path))
        while snapshot.progress(shop.space) is None:
            await asyncio.sleep(0)
        await shop.sell("meanwhile")
        await taking
        await shop.sell("after")
    async with running(path) as shop:
        assert [things for things, _ in shop.sold] == [("before",), ("meanwhile",), ("after",)]


async def test_a_damaged_newest_snapshot_loses_nothing_either(path: Path) -> None:
    async with running(path) as shop:
        for number in range(4):
            await shop.sell(number)
            shop.space.save()
        await shop.sell(4)
    for name in ("shop.spl", "shop.5.spl"):
        (path.parent / name).write_bytes(b"damaged")
    async with running(path) as shop:
        assert [things for things, _ in shop.sold] == [(number,) for number in range(5)]


async def test_files_that_no_generation_needs_are_removed(path: Path) -> None:
    async with running(path) as shop:
        for number in range(6):
            await shop.sell(number)
            shop.space.save()
        await shop.sell("last")
    assert len(files(path)) <= 3


async def test_going_back_to_an_older_generation_leaves_the_journal_behind(path: Path) -> None:
    async with running(path) as shop:
        await shop.sell("one")
        shop.space.save()
        await shop.sell("two")
    space = snapshot.load(path, generation=1)
    done = snapshot.open_journal(space, path)
    journal.close_journal(space)
    assert (space["shop"].sold, done.calls) == ([], 0)
    assert all(".left-" in name for name in files(path))


async def test_a_space_without_a_generation_gets_one_before_its_first_call(path: Path) -> None:
    space = Space()
    space["shop"] = Shop()
    snapshot.open_journal(space, path)
    await space["shop"].sell("tea")
    journal.close_journal(space)
    async with running(path) as shop:
        assert len(shop.sold) == 1


# --- damage


async def sold(path: Path, count: int) -> bytes:
    async with running(path) as shop:
        for number in range(count):
            await shop.sell(number)
    return (path.parent / "shop.1.journal").read_bytes()


def places(data: bytes) -> list[int]:
    """Where each record begins, and where the last one ends."""
    found = [HEADER]
    while record := record_at(data, found[-1]):
        found.append(record.end)
    return found


async def test_a_record_cut_off_at_any_byte_is_taken_away_and_the_rest_replayed(path: Path) -> None:
    data = await sold(path, 3)
    *_, last, end = places(data)
    for length in range(last + 1, end):
        (path.parent / "shop.1.journal").write_bytes(data[:length])
        async with running(path) as shop:
            assert len(shop.sold) == 2
            assert shop.replayed.cut == length - last  # type: ignore[attr-defined]
            assert await shop.sell("more") == 3
        async with running(path) as shop:
            assert len(shop.sold) == 3
        for file in path.parent.glob("*.journal*"):
            file.unlink()


async def test_a_damaged_record_in_the_middle_stops_with_its_position(path: Path) -> None:
    data = bytearray(await sold(path, 5))
    second = places(bytes(data))[1]
    data[second + 30] ^= 1
    (path.parent / "shop.1.journal").write_bytes(data)
    with pytest.raises(
        JournalCorrupt,
        match=rf"shop\.1\.journal is damaged at byte {second}, record 2: .* had been confirmed; nothing was",
    ):
        async with running(path):
            raise AssertionError
    assert (path.parent / "shop.1.journal").read_bytes() == data


async def test_every_flipped_bit_is_noticed_or_in_what_was_not_confirmed(path: Path) -> None:
    data, dice = await sold(path, 5), random.Random(3)
    last = places(data)[-2]
    spl = path.read_bytes()
    for _ in range(60):
        place = dice.randrange(last * 8)
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        (path.parent / "shop.1.journal").write_bytes(damaged)
        space = snapshot.load(path)
        with pytest.raises(JournalError):
            journal.open_journal(space, path, 0)
        assert space["shop"].sold == []
    assert path.read_bytes() == spl


async def test_missing_and_doubled_records_are_told(path: Path) -> None:
    data = await sold(path, 4)
    first, second, third, *_ = places(data)
    file = path.parent / "shop.1.journal"
    file.write_bytes(data[:second] + data[third:])
    with pytest.raises(JournalCorrupt, match="record 3 follows, so some are missing"):
        journal.open_journal(snapshot.load(path), path, 0)
    file.write_bytes(data[:second] + data[first:])
    space = snapshot.load(path)
    assert journal.open_journal(space, path, 0).calls == 4
    journal.close_journal(space)
    assert len(space["shop"].sold) == 4


async def test_a_journal_of_another_space_is_not_replayed(path: Path) -> None:
    await sold(path, 3)
    other = Space()
    other["shop"] = Shop()
    other.save(path)
    done = snapshot.open_journal(other, path)
    await other["shop"].sell("tea")
    journal.close_journal(other)
    assert (done.calls, len(other["shop"].sold)) == (0, 1)
    assert "shop.1.journal.unconfirmed" in files(path)


async def test_a_call_of_a_method_that_is_gone_stops_before_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await sold(path, 2)
    monkeypatch.delattr(Shop, "sell")
    with pytest.raises(JournalError, match=r"record 1 calls shop\.sell, which is not there; replay stopped before it"):
        journal.open_journal(snapshot.load(path), path, 0)


# --- a disk that refuses


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
async def test_when_the_disk_refuses_the_call_fails_and_so_do_later_ones_until_a_snapshot(
    fault: str, path: Path
) -> None:
    disk = FaultyDisk()
    async with running(path, disk) as shop:
        await shop.sell("good")
        disk.at, disk.fault = disk.count + 1, fault
        with pytest.raises(
            JournalError, match=r"the journal of shop cannot be written .*; calls are refused until a snapshot succeeds"
        ):
            await shop.sell("in memory only")
        with pytest.raises(JournalError):
            shop.sell("refused before it runs")
        assert shop.ran == 2
        shop.space.save()
        assert await shop.sell("good again") == 3
    async with running(path) as shop:
        assert [things for things, _ in shop.sold] == [("good",), ("in memory only",), ("good again",)]


async def test_a_fault_at_each_operation_never_confirms_what_is_not_there(tmp_path: Path) -> None:
    for at in range(1, 14):
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        disk, confirmed = FaultyDisk(at, "EIO"), []
        try:
            async with running(folder / "shop.spl", disk) as shop:
                for number in range(4):
                    try:
                        await shop.sell(number)
                        confirmed.append((number,))
                    except JournalError:
                        continue
        except (OSError, JournalError):
            pass
        async with running(folder / "shop.spl") as shop:
            assert [things for things, _ in shop.sold][: len(confirmed)] == confirmed


# --- edits


SHOP_1 = """
from midair import Service
from midair.runtime.journal import journaled

def price(amount):
    return amount

class Stall(Service):
    def __init__(self):
        self.took = []

    @journaled
    def sell(self, amount):
        self.took.append(price(amount))
        return len(self.took)
"""


@pytest.fixture
def stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    (folder / "journal_stall.py").write_text(SHOP_1)
    rebuild.record(folder)
    yield folder / "journal_stall.py"
    sys.modules.pop("journal_stall", None)


async def test_an_edit_is_a_barrier_and_each_call_is_replayed_on_its_own_code(stall: Path, tmp_path: Path) -> None:
    import journal_stall  # type: ignore[import-not-found]

    path, space = tmp_path / "stall.spl", Space()
    space["stall"] = journal_stall.Stall()
    snapshot.save(space, path, sources=rebuild.texts())
    snapshot.open_journal(space, path)
    await space["stall"].sell(1)
    stall.write_text(SHOP_1.replace("return amount", "return amount * 10"))
    rebuild.rebuild("journal_stall")
    await space["stall"].sell(2)
    assert space["stall"].took == [1, 20]
    journal.close_journal(space)
    # The files say something else by now, as after a crash that a bug had caused and somebody mended.
    stall.write_text(SHOP_1.replace("return amount", "return amount * 100"))
    rebuild.rebuild("journal_stall")
    again = snapshot.load(path)
    done = snapshot.open_journal(again, path)
    assert (again["stall"].took, done.calls, done.edits) == ([1, 20], 2, 1)
    await again["stall"].sell(3)
    assert again["stall"].took == [1, 20, 300]
    journal.close_journal(again)
    last = snapshot.load(path)
    snapshot.open_journal(last, path)
    journal.close_journal(last)
    assert last["stall"].took == [1, 20, 300]


async def test_sources_that_cannot_be_taken_again_stop_the_replay_with_their_reason(
    stall: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import journal_stall

    path, space = tmp_path / "stall.spl", Space()
    space["stall"] = journal_stall.Stall()
    snapshot.save(space, path, sources=rebuild.texts())
    snapshot.open_journal(space, path)
    stall.write_text(
        SHOP_1.replace("return amount", "return amount + before\n\nimport os\nbefore = int(os.environ['BEFORE'])")
    )
    monkeypatch.setenv("BEFORE", "5")
    rebuild.rebuild("journal_stall")
    await space["stall"].sell(1)
    journal.close_journal(space)
    stall.write_text(SHOP_1)
    rebuild.rebuild("journal_stall")
    monkeypatch.delenv("BEFORE")
    again = snapshot.load(path)
    with pytest.raises(
        JournalError,
        match="under sources of journal_stall that cannot be taken again: .*BEFORE.*; they were not replayed",
    ):
        snapshot.open_journal(again, path)
    monkeypatch.setenv("BEFORE", "5")
    assert snapshot.open_journal(again, path).calls == 1
    assert again["stall"].took == [6]
    journal.close_journal(again)


# --- the bank


@pytest.mark.timeout(300)
def test_the_bank_killed_100_times_keeps_all_money_and_all_that_it_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDAIR_RUNTIME_DIR", str(tmp_path / "run"))
    done = crash(tmp_path, 100, seed=1)
    assert len(done.confirmed) > 500
    assert len(done.confirmed) < done.asked


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_the_bank_killed_1000_times_in_ten_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setenv("MIDAIR_RUNTIME_DIR", str(tmp_path / "run"))
    assert crash(tmp_path, 100, seed).confirmed


def test_packing_is_the_inverse_of_unpacking() -> None:
    value = {"a": [(1, {2}), frozenset({3}), 2**100, b"x", None], 5: 1.5}
    assert unpack(pack(value)) == value
    with pytest.raises(TypeError, match="a object is no plain value"):
        pack([object()])


# What format 1 looked like when it was released; a journal that was left by an older midair is replayed by every later one.
FORMAT_1 = bytes.fromhex(
    "894a524e0d0a1a0a010012345678123456781234567812345678070000000000000045fdb100"
    "3e0000005977aec30700000000000000060000000000000097"
    "00a473686f70a473656c6c9301c706019202d5029103c716043131383035393136323037313734313133303334323481a161c0"
    "cb3ff800000000000009"
)


def test_a_journal_of_the_first_format_is_read_and_written_as_it_was() -> None:
    uuid, call = (
        "12345678-1234-5678-1234-567812345678",
        [CALL, "shop", "sell", [1, (2, {3}), 2**70], {"a": None}, 1.5, 9],
    )
    assert read_header(FORMAT_1) == (uuid, 7)
    (record,) = records(FORMAT_1)
    assert (record.number, record.confirmed, unpack(record.payload)) == (7, 6, call)
    assert file_header(uuid, 7) + pack_record(7, 6, pack(call)) == FORMAT_1


def test_a_journal_of_a_newer_format_is_refused_with_both_numbers() -> None:
    newer = bytearray(FORMAT_1)
    newer[8] = 2
    newer[34:38] = zlib.crc32(newer[:34]).to_bytes(4, "little")
    with pytest.raises(JournalError, match="a journal has format 2; this midair reads up to format 1"):
        read_header(bytes(newer))
