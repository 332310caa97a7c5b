"""Remote calls a second, beside Twisted's perspective broker and RPyC; streams; memory over a million calls.

    .venv/bin/python benchmarks/spread.py            the tables
    .venv/bin/python benchmarks/spread.py --million  what a million calls leave in memory

Echo of (1, "two", 3.0) over TCP on this machine. The CPU time of both processes is counted, from /proc; each figure is the
median of five runs, in which the rows take turns. `one` is one call at a time, `64` is 64 under way.

Two processes that wait for each other cost what their code costs and what the kernel takes to wake them, which is several
times as much when the other one sleeps on another core. The kernel places them as it likes, so runs could not be
compared; hence both are bound to one core, and in a second table to a core each. `midair+uvloop` is midair as
`midair run` runs it where the extra `fast` is installed.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# mypy: disable-error-code="misc, import-untyped, override, arg-type"
# The peers measured here are not typed, or not as they are used.

import asyncio
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from midair.services import spread

VALUE = (1, "two", 3.0)
SECONDS = 0.6
WARM_UP = 300
CHUNK, CHUNKS = 65_536, 1_600


# --- servers: print their port and serve until their stdin ends


class Api(spread.Referenceable):
    def remote_echo(self, value):
        return value

    async def remote_blob(self, count):
        chunk = bytes(CHUNK)
        for _ in range(count):
            yield chunk


async def serve_midair():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(spread.Portal(Api()).link, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def serve_twisted():
    from twisted.internet import reactor, stdio
    from twisted.internet.protocol import Protocol
    from twisted.spread import pb

    class Root(pb.Root):
        def remote_echo(self, value):
            return value

    class End(Protocol):
        def connectionLost(self, reason):  # noqa: N802, ARG002 - Twisted's names
            reactor.stop()

    port = reactor.listenTCP(0, pb.PBServerFactory(Root()), interface="127.0.0.1")
    stdio.StandardIO(End())
    print(port.getHost().port, flush=True)
    reactor.run()


def serve_rpyc():
    import threading

    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Service(rpyc.Service):
        def exposed_echo(self, value):
            return value

    server = ThreadedServer(Service, hostname="127.0.0.1", port=0)
    threading.Thread(target=server.start, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


# --- clients: print calls and seconds


async def call_midair(port, width):
    async with await spread.connect(f"127.0.0.1:{port}") as peer:
        root = peer.root
        count = 0
        for _ in range(WARM_UP):
            await root.echo(VALUE)
        end = METER.start() + SECONDS

        async def caller():
            nonlocal count
            while time.perf_counter() < end:
                for _ in range(10):
                    await root.echo(VALUE)
                count += 10

        await asyncio.gather(*(caller() for _ in range(width)))
        return count


def call_twisted(port, width):
    from twisted.internet import defer, reactor
    from twisted.spread import pb

    factory = pb.PBClientFactory()
    reactor.connectTCP("127.0.0.1", port, factory)
    counts = []

    @defer.inlineCallbacks
    def caller(root, end):
        count = 0
        while time.perf_counter() < end:
            for _ in range(10):
                yield root.callRemote("echo", VALUE)
            count += 10
        counts.append(count)

    @defer.inlineCallbacks
    def run():
        root = yield factory.getRootObject()
        for _ in range(WARM_UP):
            yield root.callRemote("echo", VALUE)
        end = METER.start() + SECONDS
        yield defer.gatherResults([caller(root, end) for _ in range(width)])
        reactor.stop()

    reactor.callWhenRunning(run)
    reactor.run()
    return sum(counts)


def call_rpyc(port, width):
    import rpyc

    assert width == 1, "rpyc blocks: a thread a call"
    connection = rpyc.connect("127.0.0.1", port)
    echo = connection.root.echo
    count = 0
    for _ in range(WARM_UP):
        echo(VALUE)
    end = METER.start() + SECONDS
    while time.perf_counter() < end:
        for _ in range(10):
            echo(VALUE)
        count += 10
    return count


async def stream_midair(port, width):
    async with await spread.connect(f"127.0.0.1:{port}") as peer:
        total = 0
        METER.start()
        async for chunk in peer.root.blob(CHUNKS * width):
            total += len(chunk)
        return total


async def million_midair(port, _width):
    """A million calls; the growth of both processes from the 100,000th on, in bytes."""
    async with await spread.connect(f"127.0.0.1:{port}") as peer:
        root = peer.root
        before = 0
        METER.start()
        for number in range(1_000_000 // 64):
            if number == 100_000 // 64:
                before = resident(os.getpid()) + resident(METER.server)
            await asyncio.gather(*(root.echo(VALUE) for _ in range(64)))
        return resident(os.getpid()) + resident(METER.server) - before


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- the run

WORK: dict[str, Any] = {
    "serve midair": serve_midair,
    "serve midair+uvloop": serve_midair,
    "call midair+uvloop": call_midair,
    "stream midair+uvloop": stream_midair,
    "serve twisted": serve_twisted,
    "serve rpyc": serve_rpyc,
    "call midair": call_midair,
    "call twisted": call_twisted,
    "call rpyc": call_rpyc,
    "stream midair": stream_midair,
    "million midair": million_midair,
}


def cpu(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Meter:
    """In a client: time, and the CPU of both processes, from the moment when both are warm."""

    def __init__(self, server):
        self.server = server
        self.start()

    def start(self):
        self._cpu = cpu(self.server) + time.process_time()
        self._began = time.perf_counter()
        return self._began

    def read(self):
        return time.perf_counter() - self._began, cpu(self.server) + time.process_time() - self._cpu


METER = Meter(os.getpid())


CORES = sorted(os.sched_getaffinity(0))
PLACES: dict[str, tuple[int | str, int | str]] = {
    "one core": (CORES[0], CORES[0]),
    "two cores": (CORES[0], CORES[-1]),
    "unbound": ("", ""),
}


def measured(server, client, width=1, place="one core"):
    """(amount, wall seconds, CPU seconds of both) of one client at one server, each in a process of its own."""
    me = [sys.executable, __file__]
    ours, theirs = ({**os.environ, "CORE": str(core)} for core in PLACES[place])
    with subprocess.Popen(
        [*me, "serve", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=theirs
    ) as serving:
        assert serving.stdin
        assert serving.stdout
        port = serving.stdout.readline().strip()
        words = [*client.split(), port, str(width), str(serving.pid)]
        done = subprocess.run([*me, *words], stdout=subprocess.PIPE, text=True, check=True, env=ours)
        serving.stdin.close()
        serving.wait()
    amount, wall, used = (float(word) for word in done.stdout.split())
    return amount, wall, used


PAIRS = [
    ("midair", "midair"),
    ("midair+uvloop", "midair+uvloop"),
    ("twisted", "twisted"),
    ("twisted", "midair"),
    ("midair", "twisted"),
    ("rpyc", "rpyc"),
]
ROUNDS = 5

Row = tuple[str, str, int]


def rates(place: str) -> dict[Row, tuple[float, float]]:
    """For each row and width the medians of calls a second, and a second of CPU. Rows take turns, so load hits all."""
    runs: dict[Row, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for server, client in PAIRS:
            if not all(find_spec(name.rpartition("+")[2]) for name in (server, client)):
                continue
            for width in (1,) if client == "rpyc" else (1, 64):
                amount, wall, used = measured(server, f"call {client}", width, place)
                runs.setdefault((server, client, width), []).append((amount / wall, amount / used))
    return {row: medians(each) for row, each in runs.items()}


def medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def table(place: str) -> None:
    found = rates(place)
    print(f"\n**{place}**\n")
    print("| server | client | one /s | one /cpu s | 64 /s | 64 /cpu s |\n| --- | --- | --: | --: | --: | --: |")
    for server, client in PAIRS:
        cells = [found.get((server, client, width)) for width in (1, 64)]
        shown = " | ".join(f"{cell[0]:,.0f} | {cell[1]:,.0f}" if cell else "- | -" for cell in cells)
        print(f"| {server} | {client} | {shown} |")
    print()
    for server, client, other, width in (
        ("midair", "midair", "twisted", 1),
        ("midair+uvloop", "midair+uvloop", "twisted", 1),
        ("midair", "midair", "rpyc", 1),
        ("midair+uvloop", "midair+uvloop", "rpyc", 1),
        ("midair", "midair", "twisted", 64),
        ("twisted", "midair", "twisted", 1),
        ("midair", "twisted", "twisted", 1),
        ("twisted", "midair", "twisted", 64),
        ("midair", "twisted", "twisted", 64),
    ):
        ours, theirs = found.get((server, client, width)), found.get((other, other, width))
        if ours and theirs:
            print(
                f"{server} to {client}, {width} at a time: {ours[1] / theirs[1]:.1f} times {other} for the same CPU.  "
            )


def streams() -> None:
    print(f"\nA stream of {CHUNK * CHUNKS / 1e6:.0f} MB:  ")
    for name in ("midair", "midair+uvloop"):
        for place in PLACES:
            runs = [measured(name, f"stream {name}", 1, place) for _ in range(ROUNDS)]
            wall, used = medians([(amount / wall, amount / used) for amount, wall, used in runs])
            print(f"{name}, {place}: {used / 1e6:,.0f} MB a second of both processes' CPU, {wall / 1e6:,.0f} MB/s.  ")


def main():
    if "--million" in sys.argv:
        amount, _, _ = measured("midair", "million midair", 1, "two cores")
        print(f"From the 100,000th to the millionth call both processes grew by {amount / 1024:,.0f} KiB together.")
        return
    print('Echo of `(1, "two", 3.0)` over TCP; calls a second of wall time, and a second of both processes\' CPU.')
    for place in PLACES:
        table(place)
    streams()


def run(name: str, work: Any) -> Any:
    """On the loop that the name asks for."""
    factory = None
    if name.endswith("+uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def work(words):
    if os.environ["CORE"]:
        os.sched_setaffinity(0, {int(os.environ["CORE"])})
    function = WORK[" ".join(words[:2])]
    if words[0] == "serve":
        served = function()
        if asyncio.iscoroutine(served):
            run(words[1], served)
        return
    port, width, METER.server = map(int, words[2:])
    result = function(port, width)
    amount = run(words[1], result) if asyncio.iscoroutine(result) else result
    print(amount, *METER.read())


if __name__ == "__main__":
    if sys.argv[1:2] in ([], ["--million"]):
        main()
    else:
        work(sys.argv[1:])
