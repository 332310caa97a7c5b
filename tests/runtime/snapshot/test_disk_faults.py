"""Whatever the disk or the power does at whatever moment: what was confirmed loads."""

import asyncio
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_disks import FaultyDisk, ForgetfulDisk, PowerCut
from snapshot_things import Book

from midair.runtime import snapshot
from midair.runtime.errors import SnapshotError
from midair.runtime.snapshot.container import Container, Writer
from midair.runtime.snapshot.store import Store
from midair.runtime.space import Space

BEFORE = 3


def seeded(folder: Path) -> Space:
    """A space with three generations; `reads` is the number of each."""
    space = Space()
    space["book"] = Book()
    for reads in range(1, BEFORE + 1):
        space["book"].reads = reads
        space.save(folder / "app.spl")
    space["book"].reads = BEFORE + 1
    return space


def operations(folder: Path) -> int:
    """How many operations one save takes."""
    disk = FaultyDisk()
    snapshot.save(seeded(folder), folder / "app.spl", disk=disk)
    return disk.count


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> int:
    number = operations(tmp_path_factory.mktemp("count"))
    assert number >= 12
    return number


@pytest.mark.parametrize("fault", ["kill before", "kill after", "ENOSPC", "EIO", "short"])
def test_the_same_for_a_snapshot_in_the_background_in_its_child_and_in_its_parent(fault: str, tmp_path: Path) -> None:
    """Both count their own operations, so the k-th one fails in either; a child that is killed is tried again."""
    at, outcomes = 0, Counter[str]()
    while True:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        disk, space = FaultyDisk(at, fault), seeded(folder)
        status = in_child(lambda: asyncio.run(snapshot.take(space, folder / "app.spl", disk=disk)))
        loaded = snapshot.resume(folder / "app.spl")
        assert loaded.space["book"].reads == loaded.generation
        assert loaded.generation in (BEFORE, BEFORE + 1)
        assert not loaded.set_aside
        assert status != 0 or loaded.generation == BEFORE + 1
        assert not list(folder.glob("*.tmp"))
        outcomes[f"{status}, generation {loaded.generation}"] += 1
        if at > 14 and status == 0:  # what is left to fail came after it was confirmed, or never
            break
    assert outcomes[f"0, generation {BEFORE + 1}"] >= 1
    if fault.startswith("kill"):
        assert outcomes[f"-9, generation {BEFORE}"] >= 5
    elif fault != "short":
        assert outcomes[f"7, generation {BEFORE}"] >= 5


def test_a_real_disk_that_is_full_refuses_and_keeps_the_old_file(tmp_path: Path) -> None:
    """On a file system of its own, of 1 MB, made in a namespace that ends with the test."""
    (tmp_path / "disk").mkdir()
    mounted = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m,mode=700 full disk && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*mounted, "true"], cwd=tmp_path, check=False).returncode:
        pytest.skip("this user cannot mount a file system of its own")
    program = """
import os, sys
from midair.runtime import snapshot
from midair.runtime.errors import SnapshotError
from midair.runtime.space import Space
space = Space()
space["x"] = 1
space.save("disk/app.spl")
space["x"] = [os.urandom(100_000) for _ in range(30)]
try:
    space.save("disk/app.spl")
except SnapshotError as error:
    print(error)
print(sorted(os.listdir("disk")), snapshot.load("disk/app.spl")["x"])
"""
    done = subprocess.run(
        [*mounted, sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said, left = done.stdout.splitlines() or [done.stderr, ""]
    assert re.fullmatch(
        r"not saved: app\.2\..*tmp cannot be written \(No space left on device\); app\.spl is as it was", said
    )
    assert left == "['app.1.spl', 'app.spl'] 1"


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a process that does this: 0 done, 7 refused with a reason, -9 killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            asyncio.set_event_loop(None)
            work()
            status = 0
        except SnapshotError:
            status = 7
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(
    "fault", ["kill before", "kill after", "ENOSPC", "EIO", "EDQUOT", "EROFS", "EINTR", "EXDEV", "short"]
)
def test_a_fault_at_each_operation_leaves_the_old_or_the_new_and_never_a_false_yes(
    fault: str, count: int, tmp_path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    for at in range(1, count + 1):
        folder = tmp_path / str(at)
        folder.mkdir(mode=0o700)
        space = seeded(folder)
        disk = FaultyDisk(at, fault)
        status = in_child(lambda: snapshot.save(space, folder / "app.spl", disk=disk))
        loaded = snapshot.resume(folder / "app.spl")
        assert loaded.space["book"].reads == loaded.generation
        assert loaded.generation in (BEFORE, BEFORE + 1)
        assert not loaded.set_aside
        if status == 0:
            assert loaded.generation == BEFORE + 1
        outcomes[f"{status}, generation {loaded.generation}"] += 1
        assert not list(folder.glob("*.tmp"))
    if fault.startswith("kill"):
        assert set(outcomes) == {f"-9, generation {BEFORE}", f"-9, generation {BEFORE + 1}"}
    elif fault == "short":
        assert set(outcomes) == {f"0, generation {BEFORE + 1}"}
    else:
        assert outcomes[f"7, generation {BEFORE}"] >= 5
        assert all(outcome[0] in "07" for outcome in outcomes)


def test_the_refusal_says_what_failed_and_that_the_old_file_stays(tmp_path: Path) -> None:
    space = seeded(tmp_path)
    with pytest.raises(
        SnapshotError,
        match=r"^not saved: app\.4\..*tmp cannot be synced \(No space left on device\); app\.spl is as it was$",
    ):
        snapshot.save(space, tmp_path / "app.spl", disk=_failing("sync", "ENOSPC", tmp_path))


def _failing(operation: str, fault: str, folder: Path) -> FaultyDisk:
    """A disk whose first operation of this name fails."""

    class Failing(FaultyDisk):
        def __getattribute__(self, name: str) -> object:
            if name == operation and not super().__getattribute__("at"):
                self.at = super().__getattribute__("count") + 1
            return super().__getattribute__(name)

    return Failing(0, fault)


def test_a_sync_that_failed_is_not_tried_again_and_believed(tmp_path: Path) -> None:
    space = seeded(tmp_path)
    disk = _failing("sync", "EIO", tmp_path)
    with pytest.raises(SnapshotError):
        snapshot.save(space, tmp_path / "app.spl", disk=disk)
    assert not list(tmp_path.glob("app.4*"))
    assert snapshot.save(space, tmp_path / "app.spl", disk=disk) == 4


def test_a_folder_without_hard_links_gets_a_copy(tmp_path: Path) -> None:
    space = seeded(tmp_path)
    assert snapshot.save(space, tmp_path / "app.spl", disk=_failing("link", "EPERM", tmp_path)) == 4
    assert not os.path.samefile(tmp_path / "app.spl", tmp_path / "app.4.spl")
    assert (tmp_path / "app.spl").read_bytes() == (tmp_path / "app.4.spl").read_bytes()
    assert snapshot.load(tmp_path / "app.spl")["book"].reads == 4


def write_generation(store: Store, number: int) -> None:
    """What `save` does, with a stream that says its number."""
    with store.draft(above=0) as draft:
        assert draft.number == number
        writer = Writer(draft.write)
        writer.write(b"generation %d " % number * 3000)
        writer.finish({"generation": number, "uuid": "u", "time": float(number), "objects": 1}, None)
        store.finish(draft)
        store.publish(draft)
    store.prune(now=0.0, last=2)


def newest_whole(store: Store) -> int:
    """The generation that a load would take; 0 when there is none."""
    for path in (store.newest, *(store.of(number) for number in reversed(store.numbers()))):
        if store.is_whole(path):
            with store.disk.open(path) as file:
                container = Container(file, path.name)
                number: int = container.manifest["generation"]
                assert container.stream().read() == b"generation %d " % number * 3000
                return number
    return 0


def power_cuts(count: int, *, honest: bool) -> Iterator[tuple[int, int]]:
    """For each of so many power cuts: (the last generation that was confirmed, the one that is there afterwards)."""
    dice = random.Random(11)
    for _ in range(count):
        disk = ForgetfulDisk(dice, honest=honest)
        disk.cut = dice.randrange(1, 90)
        store, confirmed = Store("/simulated/app.spl", disk), 0
        try:
            for number in range(1, 5):
                write_generation(store, number)
                confirmed = number
        except PowerCut:
            pass
        disk.power_on()
        yield confirmed, newest_whole(store)


def test_2000_power_cuts_lose_nothing_that_was_confirmed() -> None:
    results = list(power_cuts(2000, honest=True))
    assert [(confirmed, found) for confirmed, found in results if found < confirmed] == []
    assert {confirmed for confirmed, _ in results} == {0, 1, 2, 3, 4}


def test_the_control_without_syncs_does_lose() -> None:
    results = list(power_cuts(500, honest=False))
    assert sum(found < confirmed for confirmed, found in results) > 200
