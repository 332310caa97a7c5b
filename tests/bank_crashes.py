"""The bank of the examples, killed at random moments while clients pay one another."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import random
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from midair.runtime import snapshot
from midair.runtime.files import Files
from midair.runtime.server import Server
from midair.runtime.space import Space

BANK = Path(__file__).parent.parent / "examples" / "bank" / "bank.py"
CLIENTS, MONEY, CONNECTIONS = 3, 1000, 6


def bank() -> Any:
    """The module of the example, under its own name, as a server imports it."""
    if "bank" not in sys.modules:
        spec = importlib.util.spec_from_file_location("bank", BANK)
        assert spec
        assert spec.loader
        sys.modules["bank"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["bank"]


class Bank:
    """A bank in a process of its own, forked so that a start costs milliseconds. What it confirmed is counted here."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.dice = folder, random.Random(seed)
        self.confirmed: set[str] = set()
        self._checked: set[str] = set()
        self.asked = 0
        self.pid = 0
        self._rests: dict[int, bytes] = {}

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _be_bank(self.folder, theirs)
        theirs.close()
        ours.settimeout(60)
        self.port = int(ours.recv(16) or 0)
        ours.close()
        if not self.port:
            raise AssertionError(f"the bank did not start: {os.waitpid(self.pid, 0)}")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def ask(self, *lines: str) -> list[str]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall("".join(f"{line}\n" for line in lines).encode())
            with connection.makefile("r") as answers:
                return [answers.readline().strip() for _ in lines]

    def pay_until_killed(self) -> None:
        """Clients send transfers without waiting for answers; the bank dies after a while."""
        end = time.monotonic() + self.dice.uniform(0.0, 0.12)
        connections = [socket.create_connection(("127.0.0.1", self.port), timeout=60) for _ in range(CONNECTIONS)]
        try:
            for connection in connections:
                connection.sendall("".join(self._transfer() for _ in range(40)).encode())
            while (left := end - time.monotonic()) > 0:
                self._hear(select.select(connections, [], [], left)[0], wait=False)
            self.kill()
            self._hear(connections, wait=True)
        finally:
            for connection in connections:
                connection.close()

    def _transfer(self) -> str:
        self.asked += 1
        source, target = self.dice.sample(range(CLIENTS), 2)
        return f"transfer {self.asked} c{source} c{target} {self.dice.randrange(1, 5)}\n"

    def _hear(self, connections: list[socket.socket], *, wait: bool) -> None:
        for connection in connections:
            connection.setblocking(wait)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                while data := connection.recv(1 << 16):
                    self._confirm(connection, data)
            connection.setblocking(True)

    def _confirm(self, connection: socket.socket, data: bytes) -> None:
        *lines, rest = (self._rests.pop(id(connection), b"") + data).split(b"\n")
        self._rests[id(connection)] = rest
        self.confirmed.update(line.decode().split()[0] for line in lines if line.endswith(b" done"))

    def check(self, *, again: bool = False) -> None:
        """All money is there, and all that was confirmed since the last look was done; `again`: since the beginning."""
        asked = sorted(self.confirmed if again else self.confirmed - self._checked, key=int)
        total, *done = self.ask("total", *(f"done {number}" for number in asked))
        lost = [number for number, answer in zip(asked, done, strict=True) if answer != "yes"]
        assert (total, lost) == (str(CLIENTS * MONEY), []), (total, lost[:20], len(asked))
        self._checked.update(asked)


def _be_bank(folder: Path, tell: socket.socket) -> None:
    """Serve until killed; tell the port when ready."""
    os.closerange(3, tell.fileno())
    os.closerange(tell.fileno() + 1, 1024)
    sys.stdout = sys.stderr = open(folder / "bank.out", "a")  # noqa: SIM115 - what pytest captures with is closed
    asyncio.set_event_loop(None)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # it ends with the test, however that ends
    status = 1
    try:
        asyncio.run(_serve(folder, tell))
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


async def _serve(folder: Path, tell: socket.socket) -> None:
    path, module = folder / "bank.spl", bank()
    module.Bank.port = 0
    if snapshot.exists(path):
        space = snapshot.load(path)
    else:
        space = Space()
        module.build(space)
    server = Server(space, files=Files.of(path), snapshot_every=0.03)
    serving = asyncio.create_task(server.main())
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
    if "c0" not in space["bank"].accounts:
        for number in range(CLIENTS):
            await space["bank"].open(f"c{number}", MONEY)
    tell.sendall(space["bank"].addresses[0].rpartition(":")[2].encode() if ready.done() else b"")
    await serving


def crash(folder: Path, times: int, seed: int) -> Bank:
    """Kill the bank so many times and look after each."""
    done = Bank(folder, seed)
    for _ in range(times):
        done.start()
        if done.confirmed:
            done.check()
        done.pay_until_killed()
    done.start()
    try:
        done.check(again=True)
    finally:
        done.kill()
    return done
