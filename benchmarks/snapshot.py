"""The `.spl` file beside its peers and beside what the machine can do at best.

    .venv/bin/python benchmarks/snapshot.py [--objects 50000] [--mb 100 1000] [--parts rates pause journal]

Rates are per second of CPU, medians of rounds in which all take turns; pauses are of the process's own clock. One
object is an instance with a dict, two lists, a time and two references to others: about 0.85 kB of memory.
"""

import argparse
import asyncio
import datetime as dt
import gc
import io
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zodbpickle import pickle as zodbpickle  # type: ignore[import-untyped]  # it has no stubs

from midair import Service, Space
from midair.runtime import snapshot
from midair.runtime.journal import journaled
from midair.runtime.snapshot import pages, pickling

cpu, clock = time.process_time, time.perf_counter
BORN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ROUNDS = 5


class Player:
    def __init__(self, number: int, friends: list["Player"]) -> None:
        self.number, self.name, self.born = number, f"player-{number}", BORN + dt.timedelta(seconds=number)
        self.tags, self.friends = [f"t{number % 97}", f"u{number % 89}"], friends
        self.stats = {"hp": number % 100, "mp": number * 7 % 1000, "gold": number * 1.5}


def players(count: int) -> list[Player]:
    """Friends are earlier ones, so that a recursive pickler can follow."""
    dice, everybody = random.Random(1), list[Player]()
    for number in range(count):
        friends = [everybody[dice.randrange(number)] for _ in range(2)] if number else []
        everybody.append(Player(number, friends))
    return everybody


def timed(work: Callable[[], Any]) -> float:
    """Seconds of CPU, with the collector off."""
    gc.collect()
    gc.disable()
    began = cpu()
    work()
    taken = cpu() - began
    gc.enable()
    return taken


def with_collector(work: Callable[[], Any]) -> float:
    gc.collect()
    began = cpu()
    work()
    return cpu() - began


def medians(contestants: dict[str, Callable[[], float]]) -> dict[str, float]:
    """All take turns, so that a busy machine is busy for all."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            times[name].append(contestant())
    return {name: statistics.median(taken) for name, taken in times.items()}


def peers(world: list[Player]) -> dict[str, Callable[[], float]]:
    found: dict[str, Callable[[], float]] = {}
    try:
        import dill

        few = world[:500]  # it goes as deep as its references, and is slow
        found["dill"] = lambda: timed(lambda: dill.dumps(few)) * len(world) / len(few)
    except ImportError:
        print("dill is not installed, so it is left out.\n")
    try:
        import persistent.mapping  # type: ignore[import-untyped]  # they have no stubs
        import transaction  # type: ignore[import-untyped]
        import ZODB

        def commit() -> float:
            database = ZODB.DB(None)
            root = database.open().root()
            tree = persistent.mapping.PersistentMapping()
            for player in world[:5000]:
                one = persistent.mapping.PersistentMapping(
                    {name: value for name, value in vars(player).items() if name != "friends"}
                )
                tree[player.number] = one
            root["players"] = tree
            taken = timed(transaction.commit)
            database.close()
            return taken * len(world) / 5000

        found["ZODB commit"] = commit
    except ImportError:
        print("ZODB is not installed, so it is left out.\n")
    return found


def throughput(count: int) -> None:
    world = players(count)
    plain = io.BytesIO()
    zodbpickle.Pickler(plain, 3).dump(world)
    data = snapshot.dumps(world)
    print(
        f"### {count} objects to bytes and back\n\n| dump | objects a second | against zodbpickle |\n| --- | --- | --- |"
    )
    times = medians({
        "zodbpickle, plain": lambda: timed(lambda: zodbpickle.Pickler(io.BytesIO(), 3).dump(world)),
        "midair, the stream": lambda: timed(lambda: pickling.dump(world, pickling.ignore, pickling.ignore)),
        "midair, packed and checked": lambda: timed(lambda: snapshot.dumps(world)),
        **peers(world),
    })  # fmt: skip
    table(times, count)
    print("\n| load | objects a second | against zodbpickle |\n| --- | --- | --- |")
    times = medians({
        "zodbpickle, collector on": lambda: with_collector(lambda: zodbpickle.loads(plain.getvalue())),
        "midair": lambda: with_collector(lambda: snapshot.loads(data)),
    })  # fmt: skip
    table(times, count)
    print(f"\nSize: {len(data):,} bytes, {len(data) / len(plain.getvalue()):.2f} of the plain pickle's.\n")


def table(times: dict[str, float], count: int) -> None:
    first = next(iter(times.values()))
    for name, taken in times.items():
        print(f"| {name} | {count / taken:,.0f} | {first / taken:.2f} |")


# --- the pause


def forked() -> tuple[float, float]:
    """Milliseconds of the clock and of CPU that a bare fork takes."""
    began, used = clock(), cpu()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    taken = (clock() - began) * 1e3, (cpu() - used) * 1e3
    os.waitpid(pid, 0)
    return taken


async def pauses(megabytes: int) -> None:
    """In a process of its own: the pause of a snapshot beside that of a bare fork, in turn."""
    space, start = Space(), pages.resident()
    rows: list[Any] = []
    space["rows"] = rows
    while pages.resident() - start < megabytes << 20:
        rows.extend({"number": number, "list": [number]} for number in range(2000))
    gc.collect()
    gc.freeze()
    worth, pages.WORTH_IT = pages.WORTH_IT, 1 << 62
    with tempfile.TemporaryDirectory() as folder:
        bare, ours = [], []
        for _ in range(ROUNDS if megabytes < 500 else 3):
            bare += [forked()[0] for _ in range(3)]
            await snapshot.take(space, Path(folder) / "rows.spl", deadline=600)
            ours.append(snapshot.last_pause(space) * 1e3)
        pages.WORTH_IT = worth
        before = statistics.median(forked()[1] for _ in range(5))
        done = pages.collapse()
        after = statistics.median(forked()[1] for _ in range(5))
    gigabytes = pages.resident() / (1 << 30)
    pause, fork = statistics.median(ours), statistics.median(bare)
    print(
        f"| {megabytes} MB | {fork:.1f} ms | {pause:.1f} ms | {pause / fork:.2f} | {before / gigabytes:.1f} ms | "
        f"{after / gigabytes:.1f} ms, {(done.tried - done.refused) >> 20} of {done.tried >> 20} MB gathered |"
    )


def pause_table(sizes: list[int]) -> None:
    print("### How long the loop stands for a snapshot\n")
    print("| heap | bare os.fork() | snapshot | ratio | CPU of a fork per GB | the same on gathered pages |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for size in sizes:
        subprocess.run([sys.executable, __file__, "--pause", str(size)], check=True)
    print()


# --- the journal


class Counter(Service):
    def __init__(self) -> None:
        self.count = 0

    @journaled
    def add(self, number: int, _text: str) -> int:
        self.count += number
        return self.count


async def journal(clients: int, seconds: float) -> float:
    """Confirmed calls a second of so many clients, each of which waits for its answer."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        space = Space()
        space["counter"] = Counter()
        snapshot.open_journal(space, Path(folder) / "bench.spl")
        counter, end, done = space["counter"], clock() + seconds, 0

        async def client() -> None:
            nonlocal done
            while clock() < end:
                await counter.add(1, "hello there, traveller")
                done += 1

        began = clock()
        await asyncio.gather(*(client() for _ in range(clients)))
        rate = done / (clock() - began)
        from midair.runtime.journal import close_journal

        close_journal(space)
    return rate


def synced(seconds: float) -> float:
    """Records of the same size a second with one sync each, without anything else."""
    with tempfile.NamedTemporaryFile(dir=".") as file:
        end, done, began = clock() + seconds, 0, clock()
        while clock() < end:
            os.write(file.fileno(), b"r" * 90)
            os.fdatasync(file.fileno())
            done += 1
        return done / (clock() - began)


def journal_table() -> None:
    print("### Journaled calls\n\n| | confirmed a second | against one sync for each |\n| --- | --- | --- |")
    alone = synced(2)
    print(f"| bare file, one sync for each record | {alone:,.0f} | 1 |")
    for clients in (1, 10, 100, 1000):
        rate = asyncio.run(journal(clients, 3))
        print(f"| {clients} clients | {rate:,.0f} | {rate / alone:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--mb", type=int, nargs="*", default=[100, 1000])
    parser.add_argument(
        "--parts", nargs="*", choices=["rates", "pause", "journal"], default=["rates", "pause", "journal"]
    )
    parser.add_argument("--pause", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pause:
        asyncio.run(pauses(options.pause))
        return
    if "rates" in options.parts:
        throughput(options.objects)
    if "pause" in options.parts:
        pause_table(options.mb)
    if "journal" in options.parts:
        journal_table()


if __name__ == "__main__":
    main()
