"""Snapshots in the background: the server goes on, and a child that fails takes nothing with it."""

import asyncio
import errno
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import snapshot_things as things
from snapshot_things import Book

from midair.runtime import snapshot
from midair.runtime.disk import Disk
from midair.runtime.errors import NotStorable, SnapshotError
from midair.runtime.server import Server
from midair.runtime.snapshot import forked, pages
from midair.runtime.space import Space


@pytest.fixture
def space() -> Space:
    space = Space()
    space["book"] = Book()
    return space


class Hanging:
    """Its state never comes, in a child: as if a thread of the parent had held a lock at the fork."""

    parent = os.getpid()

    def __getstate__(self) -> Any:
        if os.getpid() != self.parent:
            threading.Event().wait()
        return {"fine": True}


class Dying:
    parent = os.getpid()

    def __getstate__(self) -> Any:
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"fine": True}


class Waiting:
    """Its state comes, in a child, when a named pipe was opened for writing and closed again, or is gone."""

    parent = os.getpid()

    def __init__(self, pipe: str) -> None:
        self.pipe = pipe

    def __getstate__(self) -> Any:
        if os.getpid() != self.parent and Path(self.pipe).exists():
            Path(self.pipe).read_bytes()
        return {"pipe": self.pipe}


class Sulking:
    def __getstate__(self) -> Any:
        raise RuntimeError("not here")


class Told:
    def __getstate__(self) -> dict[str, bool]:
        return {"fine": True}


things.Hanging, things.Dying, things.Sulking, things.Told = Hanging, Dying, Sulking, Told  # type: ignore[attr-defined]
for kind in (Hanging, Dying, Sulking, Told):
    kind.__module__ = "snapshot_things"


async def test_a_snapshot_is_written_while_the_loop_goes_on(space: Space, tmp_path: Path) -> None:
    space["people"] = things.people(30_000)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    assert await snapshot.take(space, tmp_path / "app.spl") == 1
    turning.cancel()
    assert turns > 10
    back = snapshot.load(tmp_path / "app.spl")
    assert len(back["people"]) == 30_000
    assert (space.generation, back.generation) == (1, 1)
    assert snapshot.last_pause(space) > 0


async def test_it_holds_the_moment_of_the_fork(space: Space, tmp_path: Path) -> None:
    taking = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl"))
    while snapshot.progress(space) is None:
        await asyncio.sleep(0)
    space["book"].reads = 99
    await taking
    assert snapshot.load(tmp_path / "app.spl")["book"].reads == 0


async def test_two_at_once_follow_one_another_and_the_second_holds_what_came_before_it(
    space: Space, tmp_path: Path
) -> None:
    first = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl"))
    while snapshot.progress(space) is None:
        await asyncio.sleep(0)
    space["book"].reads = 5
    second = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl"))
    assert [await first, await second] == [1, 2]
    assert snapshot.load(tmp_path / "app.spl")["book"].reads == 5


async def test_a_save_in_the_middle_of_one_in_the_background_is_the_newest(space: Space, tmp_path: Path) -> None:
    taking = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl"))
    while snapshot.progress(space) is None:
        await asyncio.sleep(0)
    space["book"].reads = 5
    assert space.save(tmp_path / "app.spl") == 2
    assert await taking == 1
    assert snapshot.load(tmp_path / "app.spl")["book"].reads == 5


async def test_the_offender_is_named_from_the_child(space: Space, tmp_path: Path) -> None:
    space["book"].pages[2].hook = threading.current_thread()
    with pytest.raises(
        NotStorable, match=r"^space\['book'\]\.pages\[2\]\.hook cannot be saved: threading\._MainThread: a thread"
    ):
        await snapshot.take(space, tmp_path / "app.spl")
    assert list(tmp_path.iterdir()) == []
    del space["book"].pages[2].hook
    assert await snapshot.take(space, tmp_path / "app.spl") == 1


async def test_a_state_that_raises_in_the_child_is_named_too(space: Space, tmp_path: Path) -> None:
    space["book"].pages[1].odd = Sulking()
    with pytest.raises(NotStorable, match=r"^space\['book'\]\.pages\[1\]\.odd cannot be saved: .*Sulking: not here"):
        await snapshot.take(space, tmp_path / "app.spl")
    assert list(tmp_path.iterdir()) == []


async def test_progress_says_how_far_it_is(space: Space, tmp_path: Path) -> None:
    space["people"] = things.people(30_000)
    await snapshot.take(space, tmp_path / "app.spl")
    os.mkfifo(tmp_path / "on")
    space["people"][-1].friends.append(Waiting(str(tmp_path / "on")))  # written after all people
    taking = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl"))
    while not (far := snapshot.progress(space)) or far.written <= 10_000:  # it stays there until it is let on
        assert not taking.done()
        await asyncio.sleep(0.001)
    assert (far.generation, far.expected >= 30_000) == (2, True)
    said = Server(space).status()["snapshot"]
    with open(tmp_path / "on", "wb"):
        (tmp_path / "on").unlink()  # its state is asked for more than once
    await taking
    assert re.match(r"generation 2: [1-9][\d,]* of about 30,\d\d\d objects written in ", said)
    assert re.match(
        r"the last was written by a child; this process stood for [\d.]+ ms", Server(space).status()["snapshot"]
    )
    assert snapshot.progress(space) is None


async def test_what_a_thread_changes_under_the_lock_is_never_saved_half(space: Space, tmp_path: Path) -> None:
    book, stop = space["book"], threading.Event()
    book.left = book.right = book.pages[0].number = 0

    def write() -> None:
        while not stop.wait(0):
            with space.lock:
                book.left += 1
                book.pages[0] = things.Thing(number=book.left)
                book.right += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        saved = []
        for _ in range(10):
            await snapshot.take(space, tmp_path / "app.spl")
            saved.append(snapshot.load(tmp_path / "app.spl")["book"])
    finally:
        stop.set()
        thread.join()
    assert [one.left - one.right for one in saved] == [0] * 10
    assert [one.pages[0].number - one.left for one in saved] == [0] * 10
    assert saved[-1].left > saved[0].left


def test_forks_of_a_process_on_uvloop_all_end(space: Space, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed here")

    async def forks() -> list[int]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            return [await snapshot.take(space, tmp_path / "app.spl", deadline=20) for _ in range(50)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(forks()) == list(range(1, 51))
    assert "in this process" not in caplog.text


async def test_a_child_that_hangs_is_killed_and_the_work_done_here(
    space: Space, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    space["hanging"] = Hanging()
    assert await snapshot.take(space, tmp_path / "app.spl", deadline=0.3) == 1
    assert caplog.text.count("was not done after 0.3 s and was killed") == 3
    assert "generation 1 was written in this process, which stood for" in caplog.text
    assert [path.name for path in tmp_path.glob("*.tmp")] == []
    assert snapshot.load(tmp_path / "app.spl")["hanging"].fine


async def test_a_child_that_dies_is_tried_again_and_the_work_done_here(
    space: Space, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    space["dying"] = Dying()
    assert await snapshot.take(space, tmp_path / "app.spl") == 1
    assert "ended by signal 9; trying again" in caplog.text
    assert snapshot.load(tmp_path / "app.spl")["dying"].fine


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
async def test_where_no_child_can_be_made_the_work_is_done_here_and_said(
    number: int, space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fork", fail)
    assert await snapshot.take(space, tmp_path / "app.spl") == 1
    assert f"no child could be made ({os.strerror(number)})" in caplog.text
    assert re.fullmatch(
        rf"the last was written in this process \(no child could be made \({os.strerror(number)}\)\), which stood for [\d.]+ ms",
        Server(space).status()["snapshot"],
    )


async def test_a_platform_without_fork_writes_the_same_file(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(os, "fork")
    assert await snapshot.take(space, tmp_path / "app.spl") == 1
    assert "this platform has no fork" in caplog.text
    assert snapshot.load(tmp_path / "app.spl").uuid == space.uuid


async def test_a_full_disk_is_said_and_nothing_is_left(space: Space, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")

    class Full(Disk):
        def create(self, path: Path) -> int:
            path.touch(0o600)
            return os.open(full, os.O_WRONLY)

    with pytest.raises(
        SnapshotError,
        match=r"not saved: app\.1\..*tmp cannot be written \(No space left on device\); there is none yet",
    ):
        await snapshot.take(space, tmp_path / "app.spl", disk=Full())
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_does_not_read_back_is_never_published(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshot.Store.finish

    def damage(store: snapshot.Store, draft: Any) -> None:
        with draft.path.open("r+b") as file:
            file.seek(40)
            file.write(b"XXXX")
        real(store, draft)

    monkeypatch.setattr(snapshot.Store, "finish", damage)
    monkeypatch.setattr(forked, "save", lambda *_, **__: 77)
    assert await snapshot.take(space, tmp_path / "app.spl") == 77
    assert list(tmp_path.iterdir()) == []


async def test_a_debugger_of_the_server_sees_nothing_of_the_child(space: Space, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    space["told"] = Told()

    def tracer(frame: FrameType, _event: str, _arg: object) -> None:
        if frame.f_code is Told.__getstate__.__code__:
            with seen.open("a") as file:
                file.write(f"{os.getpid()}\n")

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        await snapshot.take(space, tmp_path / "s.spl")
        space.save(tmp_path / "t.spl")
    finally:
        sys.settrace(before)
    assert set(seen.read_text().split()) == {str(os.getpid())}


async def test_the_child_keeps_no_port_open(space: Space, tmp_path: Path) -> None:
    space["hanging"] = Hanging()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        if not children.exists():
            pytest.skip("this kernel does not list children")
        others = set(children.read_text().split())
        taking = asyncio.create_task(snapshot.take(space, tmp_path / "app.spl", deadline=5))
        while not (child := set(children.read_text().split()) - others):
            await asyncio.sleep(0)
        while f"socket:[{os.fstat(listening.fileno()).st_ino}]" in links(min(child)):
            await asyncio.sleep(0)
    with socket.create_server(("127.0.0.1", port)):
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
    assert list(tmp_path.iterdir()) == []


def links(pid: str) -> set[str]:
    """What the descriptors of a process lead to."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(path))
        except FileNotFoundError:
            continue
    return found


async def test_200_forks_under_threads_that_log_and_lock_all_end(
    space: Space, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    stop, log, lock = threading.Event(), logging.getLogger("busy"), threading.Lock()

    def busy() -> None:
        while not stop.wait(0.0005):
            with lock:
                log.debug("line %s", [bytes(number) for number in range(50)])

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, 201):
            assert await snapshot.take(space, tmp_path / "app.spl", deadline=20) == number
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert "in this process" not in caplog.text


def test_a_parent_that_dies_leaves_the_old_file_and_one_temporary(space: Space, tmp_path: Path) -> None:
    space["book"].reads = 1
    space.save(tmp_path / "app.spl")
    space["book"].reads, space["hanging"] = 2, Hanging()
    parent = os.fork()
    if parent == 0:
        Hanging.parent = os.getpid()
        asyncio.run(snapshot.take(space, tmp_path / "app.spl"))
        os._exit(0)
    while not list(tmp_path.glob("app.2.*.tmp")):
        time.sleep(0.01)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert snapshot.load(tmp_path / "app.spl")["book"].reads == 1
    assert list(tmp_path.glob("*.tmp")) == []


def huge() -> int:
    """Bytes of this process in huge pages."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        pytest.skip("this system does not tell about huge pages")
    return next(
        int(line.split()[1]) << 10 for line in rollup.read_text().splitlines() if line.startswith("AnonHugePages")
    )


def test_gathering_pages_makes_huge_ones_of_the_heap_where_the_kernel_does() -> None:
    ballast = [bytes(1000) for _ in range(30_000)]
    done = pages.collapse()
    assert 0 <= done.refused <= done.tried
    assert pages.resident() > len(ballast) * 1000
    if done.refused == done.tried:
        pytest.skip("this kernel gathers no pages")
    assert huge() >= 2 << 20  # how many more than before depends on what ran in this process before


async def test_a_large_process_gathers_its_pages_before_it_forks(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fork = os.fork
    monkeypatch.setattr(pages, "collapse", lambda: order.append("gather"))
    monkeypatch.setattr(os, "fork", lambda: order.append("fork") or fork())
    monkeypatch.setattr(pages, "WORTH_IT", sys.maxsize)
    await snapshot.take(space, tmp_path / "app.spl")
    monkeypatch.setattr(pages, "WORTH_IT", 1)
    await snapshot.take(space, tmp_path / "app.spl")
    assert order == ["fork", "gather", "fork"]
