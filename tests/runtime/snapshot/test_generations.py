"""A space and its files: numbers, the newest, what is kept, what is set aside, whose files are loaded."""

import asyncio
import os
import re
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from snapshot_things import Book, Thing

from midair.runtime import snapshot
from midair.runtime.errors import NotStorable, NotTrusted, SnapshotCorrupt, SnapshotError
from midair.runtime.snapshot.store import Store
from midair.runtime.space import Space

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
def space() -> Space:
    space = Space()
    space["book"] = Book()
    return space


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, at: int = 100) -> None:
    """Damage one file and no other name of it."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o600)


def test_each_save_is_a_generation_and_the_newest_has_the_plain_name(space: Space, tmp_path: Path) -> None:
    assert [space.save(tmp_path / "app.spl") for _ in range(3)] == [1, 2, 3]
    assert files(tmp_path) == ["app.1.spl", "app.2.spl", "app.3.spl", "app.spl"]
    assert os.path.samefile(tmp_path / "app.3.spl", tmp_path / "app.spl")
    assert stat.S_IMODE((tmp_path / "app.spl").stat().st_mode) == 0o600
    assert (space.generation, space.path) == (3, tmp_path / "app.spl")


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 here")
def test_a_folder_whose_name_is_no_utf_8_is_as_good_as_any(space: Space, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9"))
    folder.mkdir()
    snapshot.save(space, folder / "app.spl", application={"module": "app", "folder": str(folder)})
    assert list(Space.load(folder / "app.spl")) == ["book"]
    assert snapshot.manifest(folder / "app.spl")["application"]["folder"] == str(folder)
    assert str(snapshot.inspect(folder / "app.spl"))
    snapshot.export(folder / "app.spl", folder / "app.jsonl")
    snapshot.import_(folder / "app.jsonl", folder / "again.spl")
    assert snapshot.manifest(folder / "again.spl")["application"]["folder"] == str(folder)


def test_load_takes_the_newest_or_the_number_that_is_asked_for(space: Space, tmp_path: Path) -> None:
    for reads in (1, 2, 3):
        space["book"].reads = reads
        space.save(tmp_path / "app.spl")
    assert Space.load(tmp_path / "app.spl")["book"].reads == 3
    second = Space.load(tmp_path / "app.spl", generation=2)
    assert (second["book"].reads, second.generation) == (2, 2)
    assert Space.load(tmp_path / "app.1.spl")["book"].reads == 1
    assert second.save() == 4
    assert snapshot.manifest(tmp_path / "app.spl")["parent"] == 2


def test_a_space_that_was_loaded_is_saved_where_it_came_from(space: Space, tmp_path: Path) -> None:
    space.save(tmp_path / "app.spl")
    again = Space.load(tmp_path / "app.spl")
    assert again.uuid == space.uuid
    assert again.save() == 2


def test_an_older_file_put_in_the_place_of_the_newest_is_taken(space: Space, tmp_path: Path) -> None:
    for reads in (1, 2):
        space["book"].reads = reads
        space.save(tmp_path / "app.spl")
    (tmp_path / "app.spl").unlink()
    os.link(tmp_path / "app.1.spl", tmp_path / "app.spl")
    back = Space.load(tmp_path / "app.spl")
    assert back["book"].reads == 1
    assert back.save() == 3


def test_no_file_is_one_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*app\.spl"):
        snapshot.load(tmp_path / "app.spl")
    with pytest.raises(FileNotFoundError, match="generation 7"):
        snapshot.load(tmp_path / "app.spl", generation=7)
    assert not snapshot.exists(tmp_path / "app.spl")


def test_a_damaged_newest_is_set_aside_and_the_highest_whole_number_taken(
    space: Space, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for reads in (1, 2, 3):
        space["book"].reads = reads
        space.save(tmp_path / "app.spl")
    flip(tmp_path / "app.spl")
    flip(tmp_path / "app.3.spl")
    loaded = snapshot.resume(tmp_path / "app.spl")
    assert loaded.generation == 2
    assert [path.name for path in loaded.set_aside] == ["app.spl.damaged", "app.3.spl.damaged"]
    assert (
        "app.spl is damaged at byte 16: the checksum of a chunk is wrong; it is kept as app.spl.damaged" in caplog.text
    )
    assert files(tmp_path) == ["app.1.spl", "app.2.spl", "app.3.spl.damaged", "app.spl.damaged"]
    assert snapshot.manifest(tmp_path / "app.spl")["generation"] == 2


def test_when_all_are_damaged_that_is_said_and_nothing_is_lost(space: Space, tmp_path: Path) -> None:
    space.save(tmp_path / "app.spl")
    for name in ("app.spl", "app.1.spl"):
        flip(tmp_path / name)
    with pytest.raises(SnapshotCorrupt):
        snapshot.load(tmp_path / "app.spl")
    assert files(tmp_path) == ["app.1.spl.damaged", "app.spl.damaged"]


def test_what_cannot_be_saved_is_named_and_the_old_file_stays(space: Space, tmp_path: Path) -> None:
    space.save(tmp_path / "app.spl")
    before = (tmp_path / "app.spl").read_bytes()
    space["book"].pages[1].hook = lambda: 0
    with pytest.raises(NotStorable, match=r"^space\['book'\]\.pages\[1\]\.hook cannot be saved: function: a lambda"):
        space.save()
    assert (tmp_path / "app.spl").read_bytes() == before
    assert files(tmp_path) == ["app.1.spl", "app.spl"]


def closure() -> Any:
    return lambda: 0


async def loose() -> None:
    """A coroutine."""


@pytest.mark.parametrize("depth", [1, 40])
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda _: socket.socket(), "socket: cannot pickle"),
        (lambda _: open(os.devnull), "TextIOWrapper: cannot pickle"),  # noqa: SIM115 - closed below
        (lambda loop: loop.create_future(), "Future: a future is not saved; start its work again in start()"),
        (lambda loop: loop.create_task(asyncio.sleep(9)), "Task: a future is not saved; start its work again in start()"),
        (lambda _: loose(), "coroutine: a coroutine is not saved; spawn() it in start()"),
        (lambda _: (number for number in "a"), "generator: a generator is not saved; keep what it needs to begin again"),
        (lambda _: closure(), "function: a lambda has no name by which to find it"),
        (lambda _: threading.current_thread(), "thread is not saved; start it in start()"),
        (lambda _: type("Typed", (), {"__module__": "__console__"})(), "class: no module leads to it as __console__:Typed"),
        (lambda _: sys._getframe(), "frame: a running frame is not saved"),
        (lambda _: memoryview(b"x"), "memoryview: a view of memory is not saved; keep the bytes"),
    ],
    ids=lambda value: value.split(":")[0] if isinstance(value, str) else "",
)  # fmt: skip
def test_each_thing_that_belongs_to_the_process_is_named_by_its_path(
    make: Any, problem: str, depth: int, tmp_path: Path
) -> None:
    loop, space = asyncio.new_event_loop(), Space()
    offender = make(loop)
    space["top"] = here = Thing()
    where = "space['top']"
    for number in range(depth - 1):
        here.next = [0, {"in": (Thing(),)}] if number % 3 == 2 else Thing()
        where += ".next[1]['in'][0]" if number % 3 == 2 else ".next"
        here = here.next[1]["in"][0] if number % 3 == 2 else here.next
    here.odd = offender
    try:
        with pytest.raises(NotStorable) as refused:
            space.save(tmp_path / "app.spl")
        found = space.check().problems
    finally:
        here.odd = None
        if isinstance(offender, asyncio.Task):
            offender.cancel()
            loop.run_until_complete(asyncio.gather(offender, return_exceptions=True))
        elif hasattr(offender, "close"):
            offender.close()
        loop.close()
    class_of = ".__class__" if problem.startswith("class:") else ""
    expected = f"{where}.odd" if depth == 1 else shortened(f"{where}.odd")
    assert refused.value.path in (expected, expected + class_of)
    assert problem in str(refused.value)
    assert [one.path for one in found] == [refused.value.path]
    assert list(tmp_path.iterdir()) == []


def shortened(path: str) -> str:
    """A long path as errors show it: without its middle."""
    parts = re.findall(r"space|\['\w+'\]|\[\d+\]|\.\w+", path)
    return "".join(parts if len(parts) <= 24 else [*parts[:12], f"...({len(parts) - 18} more)...", *parts[-6:]])


def test_the_rest_is_saved_without_the_offenders_which_are_listed(space: Space, tmp_path: Path) -> None:
    space["book"].pages[1].hook = lambda: 0
    space["book"].late = (number for number in range(3))
    lost = snapshot.save_rest(space, tmp_path / "app.rescue.spl")
    assert sorted(problem.path for problem in lost) == ["space['book'].late", "space['book'].pages[1].hook"]
    assert files(tmp_path) == ["app.rescue.spl"]
    back = snapshot.load(tmp_path / "app.rescue.spl")
    assert (back["book"].late, back["book"].pages[1].hook, len(back["book"].pages)) == (None, None, 3)
    assert space.path is None


def test_an_object_whose_own_state_fails_is_left_out_of_the_rest(space: Space, tmp_path: Path) -> None:
    class Sulking:
        __module__, __qualname__ = Book.__module__, "Sulking"

        def __getstate__(self) -> object:
            raise RuntimeError("not now")

    import snapshot_things

    snapshot_things.Sulking = Sulking  # type: ignore[attr-defined]
    space["sulking"] = [Sulking(), Sulking()]
    with pytest.raises(NotStorable, match=r"space\['sulking'\]\[0\].*not now"):
        space.save(tmp_path / "app.spl")
    lost = snapshot.save_rest(space, tmp_path / "app.rescue.spl")
    assert [problem.path for problem in lost] == ["space['sulking'][0]", "space['sulking'][1]"]
    assert snapshot.load(tmp_path / "app.rescue.spl")["sulking"] == [None, None]


def test_check_finds_the_same_before_it_matters(space: Space) -> None:
    space["book"].pages[1].hook = lambda: 0
    found = space.check()
    assert [problem.path for problem in found.problems] == ["space['book'].pages[1].hook"]
    assert found.deepest == "space['book'].pages[1].hook"
    assert found.depth == 4
    assert found.biggest[0][0] == "space['book']"
    assert "cannot be saved: space['book'].pages[1].hook" in str(found)


def test_a_queue_with_items_is_noted_and_is_no_problem(space: Space, tmp_path: Path) -> None:
    import queue

    space["line"] = queue.Queue()
    space["line"].put(1)
    found = space.check()
    assert found.problems == []
    assert [str(note) for note in found.notes] == [
        "space['line']: queue.Queue: a queue comes back empty: 1 items were in it"
    ]
    space.save(tmp_path / "app.spl")
    assert snapshot.manifest(tmp_path / "app.spl")["notes"][0][1] == "queue.Queue"


# --- what is kept


def saved_at(space: Space, path: Path, times: list[float]) -> Store:
    """One generation at each of these times."""
    import time
    from unittest import mock

    for when in times:
        with mock.patch.object(time, "time", return_value=when):
            space.save(path)
    return Store(path)


def test_the_last_ten_stay_and_one_an_hour_and_one_a_day(space: Space, tmp_path: Path) -> None:
    now = 1_000_000 * DAY / DAY * DAY
    times = [now - 20 * DAY, now - 5 * DAY, now - 5 * DAY + 10, now - 3 * HOUR, now - 3 * HOUR + 60]
    times += [now - 20 + second for second in range(12)]
    store = saved_at(space, tmp_path / "app.spl", times)
    gone = store.prune(now=now)
    left = store.numbers()
    assert left[-10:] == list(range(8, 18))
    assert 3 in left
    assert 5 in left
    assert not {1, 2, 4} & set(left)
    assert not set(gone) & set(left)


def test_pruning_spares_the_files_of_another_space(space: Space, tmp_path: Path) -> None:
    other = Space()
    other.save(tmp_path / "app.spl")
    times = [1000.0 + second for second in range(13)]
    saved_at(space, tmp_path / "app.spl", times)
    left = Store(tmp_path / "app.spl").numbers()
    assert left == [1, *range(5, 15)]


def test_pruning_never_removes_the_last_good_one(space: Space, tmp_path: Path) -> None:
    store = saved_at(space, tmp_path / "app.spl", [1000.0 + second for second in range(10)])
    for number in range(2, 11):
        flip(tmp_path / f"app.{number}.spl")
    flip(tmp_path / "app.spl")
    store.prune(now=1000 * DAY, last=3)
    assert 1 in store.numbers()
    assert snapshot.load(tmp_path / "app.spl").generation == 1


def test_a_newest_of_another_space_without_a_second_name_is_kept(space: Space, tmp_path: Path) -> None:
    other = Space()
    other.save(tmp_path / "other.spl")
    (tmp_path / "other.1.spl").unlink()
    (tmp_path / "other.spl").rename(tmp_path / "app.spl")
    space.save(tmp_path / "app.spl")
    assert snapshot.load(tmp_path / "app.spl").uuid == space.uuid
    assert (tmp_path / "app.spl.other").exists()


def test_temporary_files_of_the_dead_are_swept_and_those_of_the_living_stay(space: Space, tmp_path: Path) -> None:
    space.save(tmp_path / "app.spl")
    for pid in (2**22 - 3, 1):
        (tmp_path / f"app.9.{pid}-1.tmp").write_bytes(b"half")
    snapshot.load(tmp_path / "app.spl")
    assert files(tmp_path) == ["app.1.spl", "app.9.1-1.tmp", "app.spl"]


def test_a_name_that_is_no_snapshot_is_refused(space: Space, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="it ends in .spl"):
        space.save(tmp_path / "app.txt")


# --- whose file


def open_to_all(folder: Path) -> None:
    folder.chmod(0o777)


def test_ones_own_file_in_a_private_folder_loads_without_a_key(space: Space, tmp_path: Path, own_key: Path) -> None:
    space.save(tmp_path / "app.spl")
    own_key.unlink()
    assert snapshot.load(tmp_path / "app.spl").uuid == space.uuid


def test_a_file_where_others_can_write_needs_a_signature(space: Space, tmp_path: Path, own_key: Path) -> None:
    space.save(tmp_path / "app.spl")
    open_to_all(tmp_path)
    assert snapshot.load(tmp_path / "app.spl").uuid == space.uuid
    own_key.write_text("another key that is long enough")
    with pytest.raises(NotTrusted, match=r"others can write to its folder .*signature is not by your key.*--trust"):
        snapshot.load(tmp_path / "app.spl")
    assert snapshot.load(tmp_path / "app.spl", trust=True).uuid == space.uuid


def test_a_file_that_others_can_write_to_or_own_needs_one_too(space: Space, tmp_path: Path, own_key: Path) -> None:
    space.save(tmp_path / "app.spl")
    own_key.unlink()
    (tmp_path / "app.spl").chmod(0o622)
    with pytest.raises(NotTrusted, match="others can write to it"):
        snapshot.load(tmp_path / "app.spl")
    (tmp_path / "app.spl").chmod(0o600)
    if os.geteuid() == 0:
        os.chown(tmp_path / "app.spl", 12345, -1)
        with pytest.raises(NotTrusted, match="belongs to user 12345"):
            snapshot.load(tmp_path / "app.spl")


def test_the_key_is_made_once_and_only_its_owner_can_read_it(space: Space, tmp_path: Path, own_key: Path) -> None:
    space.save(tmp_path / "app.spl")
    first = own_key.read_bytes()
    space.save(tmp_path / "app.spl")
    assert own_key.read_bytes() == first
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_not_used(
    space: Space, tmp_path: Path, own_key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    space.save(tmp_path / "app.spl")
    own_key.chmod(0o644)
    space.save(tmp_path / "app.spl")
    assert "snapshots are not signed" in caplog.text
    open_to_all(tmp_path)
    with pytest.raises(NotTrusted, match="it has no signature"):
        snapshot.load(tmp_path / "app.spl")
