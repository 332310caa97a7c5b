"""What a console costs the server that it looks into, and how fast it answers.

    python benchmarks/console.py [--sessions 50]

A server in a process of its own; its loop notes the longest time that it did not come round. The limits stand beside the
figures; they hold on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from midair.console import client, frames
from midair.console.console import Console
from midair.console.users import Users
from midair.runtime.server import Server
from midair.runtime.space import Space

PASSWORD = "for the benchmark"
RESET = "space['probe'].reset()"
TRACKED = "import gc; gc.collect(); len(gc.get_objects())"
COLLECT = "import gc, time; began = time.perf_counter(); gc.collect(); (time.perf_counter() - began) * 1000"


class Probe:
    """Notes the longest time between two rounds of the loop, in ms."""

    def __init__(self) -> None:
        self.worst = 0.0
        self.collecting = 0.0
        self._began = 0.0
        gc.callbacks.append(self._collected)

    def _collected(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.collecting = max(self.collecting, (time.perf_counter() - self._began) * 1000)

    async def run(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.worst = max(self.worst, (now - before - 0.001) * 1000)
            before = now

    def reset(self) -> float:
        worst, self.worst = self.worst, 0.0
        return round(worst, 1)


async def serve(folder: Path) -> None:
    """The server's process: says its telnet port when it is ready."""
    users = Users(folder / "bench.users")
    users.add("anna", PASSWORD)
    console = Console(folder / "bench.sock", telnet=("127.0.0.1", 0), users=users, limit=0, say=lambda _: None)
    server = Server(Space(), say=lambda _: None)
    server.add(console)
    console_ready = asyncio.create_task(server.main())
    await server.ready.wait()
    probe = server.space["probe"] = Probe()
    running = asyncio.create_task(probe.run())
    print(json.dumps(console.telnet_address), flush=True)
    await console_ready
    running.cancel()


class Session:
    """An editor session over the Unix socket."""

    def __init__(self, path: Path) -> None:
        self.sock = client.connect(path)
        self.sock.sendall(frames.hello("editor", term="xterm", size=[80, 24]))
        self.frames = frames.Frames()
        self.until(b">>>")

    def type(self, keys: bytes) -> None:
        self.sock.sendall(frames.pack(frames.DATA, keys))

    def until(self, text: bytes) -> None:
        seen = b""
        while text not in seen:
            for _, payload in self.frames.receive(self.sock.recv(65536)):
                seen += re.sub(rb"\x1b\[[0-9;?]*[ -/]*[@-~]", b"", payload)

    def quiet(self) -> None:
        """Read what is still drawn."""
        self.sock.settimeout(0.05)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            self.frames = frames.Frames()
        self.sock.settimeout(None)


def ask(path: Path, code: str) -> str:
    with client.connect(path) as sock:
        sock.sendall(frames.hello("run") + frames.pack(frames.DATA, code.encode()) + frames.pack(frames.END))
        return client.collect(sock).out.strip()


def echoes(sessions: list[Session], keys: int) -> list[float]:
    """Milliseconds from a key inside of a string to its drawing, round robin."""
    times = []
    for session in sessions:
        session.type(b"'")
        session.quiet()
    for number in range(keys):
        session = sessions[number % len(sessions)]
        began = time.perf_counter()
        session.type(b"k")
        session.until(b"k")
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(0.02)
    for session in sessions:
        session.type(b"\x03")
        session.quiet()
    return times


def telnet(address: list[object]) -> socket.socket:
    sock = socket.create_connection((str(address[0]), int(str(address[1]))))
    sock.sendall(b"\xff\xfb\x18\xff\xfa\x18\x00XTERM\xff\xf0")
    for said, answer in ((b"username:", b"anna\r\n"), (b"password:", PASSWORD.encode() + b"\r\n"), (b">>>", b"")):
        seen = b""
        while said not in seen:
            seen += sock.recv(65536)
        sock.sendall(answer)
    return sock


def interrupts(sock: socket.socket, path: Path, times: int) -> list[float]:
    """Milliseconds from Ctrl-C to the next prompt, while the server's loop runs `while True: pass`."""
    found = []
    for _ in range(times):
        sock.sendall(b"while True: pass\r\r")
        time.sleep(0.4)
        seen, began = b"", time.perf_counter()
        sock.sendall(b"\x03")
        while b"KeyboardInterrupt" not in seen or b">>>" not in seen.partition(b"KeyboardInterrupt")[2]:
            seen += sock.recv(65536)
        found.append((time.perf_counter() - began) * 1000)
        ask(path, "1")
    return found


def deaf(path: Path) -> float:
    """The longest stop of the loop while 50 MB are printed for a client that does not read."""
    session = Session(path)
    ask(path, RESET)
    session.type(b"import asyncio\rfor n in range(50): print('x' * 1_000_000); await asyncio.sleep(0)\r\r")
    time.sleep(2.0)
    worst = float(ask(path, RESET))
    session.sock.close()
    return worst


def memory(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def one_shot(path: Path) -> float:
    """Milliseconds of `echo 1 | midair attach`, beyond an empty Python."""

    def run(argv: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *argv], input=b"1\n", stdout=subprocess.DEVNULL, check=True)
        return (time.perf_counter() - began) * 1000

    code = "import sys; from midair.console import attach; sys.exit(attach.main(sys.argv[1]))"
    attached = statistics.median(run(["-c", code, str(path)]) for _ in range(7))
    return attached - statistics.median(run(["-c", "pass"]) for _ in range(7))


def measure(path: Path, address: list[object], pid: int, count: int) -> list[tuple[str, str, str]]:
    rows = []
    time.sleep(1.0)
    warming = float(ask(path, RESET))
    rows.append(("importing the editor, after `ready`, stops the loop", f"{warming:.0f} ms", "80 ms"))
    first = Session(path)
    rows.append(("first connect stops the loop", f"{float(ask(path, RESET)):.0f} ms", "80 ms"))
    stops = []
    before, tracked = memory(pid), int(ask(path, TRACKED))
    sessions = [first]
    for _ in range(count - 1):
        ask(path, RESET)
        sessions.append(Session(path))
        stops.append(float(ask(path, RESET)))
    rows.append(("later connects, median / worst", f"{statistics.median(stops):.0f} / {max(stops):.0f} ms", "50 ms"))
    grown = memory(pid) - before
    collecting = float(ask(path, "space['probe'].collecting"))
    rows.append(("the longest garbage collection up to then", f"{collecting:.0f} ms", "50 ms"))
    added = int(ask(path, TRACKED)) - tracked
    rows.append(
        ("objects that the collector visits: one session / each more", f"{tracked:,} / {added / (count - 1):,.0f}", "")
    )
    full = max(float(ask(path, COLLECT)) for _ in range(5))
    rows.append((f"a full collection with {count} sessions open, worst of 5", f"{full:.0f} ms", "50 ms"))
    rows.append(("memory a session", f"{grown / (count - 1):.2f} MiB", "4 MiB"))
    rows.append(
        (f"echo of a key, {count} sessions open, median", f"{statistics.median(echoes(sessions, 100)):.1f} ms", "30 ms")
    )
    for session in sessions[1:]:
        session.sock.close()
    time.sleep(1.0)
    rows.append(("echo of a key, one session, median", f"{statistics.median(echoes([first], 50)):.1f} ms", "15 ms"))
    presses = interrupts(telnet(address), path, 7)
    rows.append(
        (
            "Ctrl-C to prompt over telnet, median / worst",
            f"{statistics.median(presses):.0f} / {max(presses):.0f} ms",
            "50 ms",
        )
    )
    rows.append(("50 MB for a client that does not read stop the loop", f"{deaf(path):.0f} ms", "100 ms"))
    rows.append(("`echo 1 | midair attach` beyond Python's own start", f"{one_shot(path):.0f} ms", "150 ms"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=50, help="open at the same time (default: 50)")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            address = json.loads(server.stdout.readline())
            rows = measure(Path(folder) / "bench.sock", address, server.pid, options.sessions)
        finally:
            server.terminate()
            server.wait()
    print(f"Load of the machine before: {os.getloadavg()[1]:.1f}.\n")
    print("| figure | measured | limit |\n| --- | --- | --- |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
