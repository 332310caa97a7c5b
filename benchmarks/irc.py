"""How the IRC server does beside ngircd: the same load, the same run, one after the other.

    python benchmarks/irc.py [--clients 2000] [--channels 100] [--rate 20] [--seconds 10] [--only midair|ngircd]

Each client is in one channel; each channel hears `rate` messages a second, from its members in turn. Counted are the
messages delivered (each member but the speaker hears each once), the time from one client's send to another's receive,
the server's CPU time, its memory a connection, how many joins a second it takes, and from start to the first answer.
ngircd is Debian's; without it, midair runs alone.

The load is one process beside the server. So that its own slowness is not what is measured, every twentieth client
reads at once and takes the times; the others read four times a second, and count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import resource
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROMPT = 20  # one client in so many reads at once, and takes the times
LOOKS = 4  # times a second that the others read
DECIMALS = {"p50 ms": 1, "p99 ms": 1, "CPU s": 2, "kB/connection": 1, "kB/conn joined": 1, "start s": 2}

NGIRCD = """
[Global]
Name = irc.bench.example
Info = bench
Listen = 127.0.0.1
Ports = {port}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 30
PingTimeout = 600
PongTimeout = 600
MaxPenaltyTime = 0
[Options]
DNS = no
Ident = no
PAM = no
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serve(name: str) -> Iterator[tuple[int, int, float]]:
    """Start a server; its port, its process id, and how many seconds it took until it answered."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if name == "ngircd":
            config = pathlib.Path(folder, "ngircd.conf")
            config.write_text(NGIRCD.format(port=port))
            command = [shutil.which("ngircd") or "/usr/sbin/ngircd", "-n", "-f", str(config)]
        else:
            command = [sys.executable, "-m", "midair", "run", "irc", "--port", str(port)]
        begun = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                if process.poll() is not None:
                    raise SystemExit(f"{name} ended at its start, status {process.returncode}")
                time.sleep(0.01)
            yield port, process.pid, time.monotonic() - begun
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


class Client:
    """One connection, with nothing that costs the load more than it must."""

    __slots__ = ("channel", "heard", "place", "rest", "sock", "times")

    def __init__(self, port: int, number: int, channel: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.channel = channel
        self.heard, self.rest = 0, b""
        self.times: list[float] = []
        self.sock.sendall(f"NICK n{number}\r\nUSER u 0 * :u\r\n".encode())
        # One after the other: a server with a short queue of connections would have the kernel try again later.
        data = b""
        while b" 376 " not in data and b" 422 " not in data:
            data += self.sock.recv(1 << 16)

    def read(self, now: float, *, sample: bool) -> bytes:
        data = self.sock.recv(1 << 18)
        if not data:
            raise SystemExit("the server closed a connection")
        if self.rest:
            data = self.rest + data
        end = data.rfind(b"\n") + 1
        self.rest, data = data[end:], data[:end]
        heard = data.count(b" PRIVMSG #")
        self.heard += heard
        if sample:
            for line in data.split(b"\n"):
                if b" PRIVMSG #" in line:
                    self.times.append(now - float(line.rsplit(b":", 1)[1]))
        if data.startswith(b"PING") or b"\nPING" in data:
            self.sock.sendall(b"PONG :x\r\n")
        return data


class Load:
    def __init__(self, port: int, clients: int, channels: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.clients: list[Client] = []
        self.channels: list[list[Client]] = [[] for _ in range(channels)]
        for number in range(clients):
            place = number % channels
            client = Client(port, number, f"#c{place}")
            self.clients.append(client)
            self.channels[place].append(client)
            self.selector.register(client.sock, selectors.EVENT_READ, client)

    def wait_for(self, word: bytes, clients: list[Client], ask: bytes = b"") -> None:
        """Ask each client's server something, and read until each has been answered."""
        waiting = set(clients)
        for client in clients if ask else ():
            client.sock.sendall(ask)
        until = time.monotonic() + 60
        while waiting:
            if time.monotonic() > until:
                raise SystemExit(f"{len(waiting)} clients got no {word.decode()} within 60 s")
            for key, _ in self.selector.select(1):
                if word in key.data.read(0.0, sample=False):
                    waiting.discard(key.data)

    def join(self) -> float:
        """Everybody joins; joins a second."""
        begun = time.monotonic()
        for client in self.clients:
            client.sock.sendall(f"JOIN {client.channel}\r\n".encode())
            for key, _ in self.selector.select(0):
                key.data.read(0.0, sample=False)
        self.wait_for(b"PONG", self.clients, b"PING joined\r\n")
        return len(self.clients) / (time.monotonic() - begun)

    def talk(self, rate: float, seconds: float) -> tuple[int, int, list[float]]:
        """Talk; how many deliveries were due, how many came, and how long some of them took."""
        for client in self.clients:
            client.heard = 0
        prompt = {client.sock.fileno(): client for client in self.clients[::PROMPT]}
        poll = select.epoll()
        for number in prompt:
            poll.register(number, select.EPOLLIN)
        lazy = [client for client in self.clients if client.sock.fileno() not in prompt]
        for client in lazy:
            client.sock.setblocking(False)
        turn, last = 0.0, time.monotonic()
        gap = 1.0 / (rate * len(self.channels))
        due, sent = 0, 0
        begun = time.monotonic()
        while (now := time.monotonic()) - begun < seconds:
            while begun + sent * gap <= now:
                members = self.channels[sent % len(self.channels)]
                speaker = members[(sent // len(self.channels)) % len(members)]
                speaker.sock.sendall(f"PRIVMSG {speaker.channel} :{time.monotonic():.6f}\r\n".encode())
                due += len(members) - 1
                sent += 1
            for number, _ in poll.poll(max(0.0, begun + sent * gap - time.monotonic())):
                prompt[number].read(time.monotonic(), sample=True)
            now, before = time.monotonic(), last
            last, start = now, int(turn)
            turn += (now - before) * len(lazy) * LOOKS
            for place in range(start, min(int(turn), start + len(lazy))):
                with contextlib.suppress(BlockingIOError):
                    lazy[place % len(lazy)].read(now, sample=False)
        until = time.monotonic() + 20
        while sum(client.heard for client in self.clients) < due and time.monotonic() < until:
            for key, _ in self.selector.select(0.2):
                key.data.read(time.monotonic(), sample=key.data in prompt.values())
        poll.close()
        time.sleep(0.3)  # for what would come twice
        for key, _ in self.selector.select(0):
            key.data.read(time.monotonic(), sample=False)
        times = sorted(at for client in self.clients for at in client.times)
        return due, sum(client.heard for client in self.clients), times

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.selector.close()


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    with serve(name) as (port, pid, start):
        before = resident(pid)
        load = Load(port, options.clients, options.channels)
        each = (resident(pid) - before) / options.clients
        joins = load.join()
        joined = (resident(pid) - before) / options.clients
        cpu = cpu_seconds(pid)
        due, came, times = load.talk(options.rate, options.seconds)
        cpu = cpu_seconds(pid) - cpu
        load.close()
    return {
        "due": due,
        "delivered": came,
        "p50 ms": 1000 * times[len(times) // 2],
        "p99 ms": 1000 * times[int(len(times) * 0.99)],
        "CPU s": cpu,
        "deliveries/CPU s": came / cpu if cpu else float("nan"),
        "kB/connection": each / 1000,
        "kB/conn joined": joined / 1000,
        "joins/s": joins,
        "start s": start,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second in each channel")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", choices=["midair", "ngircd"])
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, options.clients * 2 + 200)), hard))
    names = [options.only] if options.only else ["midair"]
    if not options.only:
        if shutil.which("ngircd") or pathlib.Path("/usr/sbin/ngircd").exists():
            names.append("ngircd")
        else:
            print("ngircd is not installed; midair runs alone")
    results = {name: measure(name, options) for name in names}
    rate = options.clients * options.rate
    loop = "uvloop" if find_spec("uvloop") else "asyncio's own loop"
    print(
        f"{options.clients} clients, {options.channels} channels, {options.rate:g} messages/s each, {rate:,.0f}/s, {loop}\n"
    )
    print("| | " + " | ".join(results) + " |\n|---|" + "--:|" * len(results))
    for row in next(iter(results.values())):
        print(
            f"| {row} | " + " | ".join(f"{result[row]:,.{DECIMALS.get(row, 0)}f}" for result in results.values()) + " |"
        )
    if len(results) == 2:
        mine, theirs = (result["deliveries/CPU s"] for result in results.values())
        print(f"\nFan-out per CPU second: {mine / theirs:.2f} of ngircd's.")
    return 0 if all(result["due"] == result["delivered"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
