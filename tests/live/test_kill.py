"""`kill -9` at any moment of a snapshot: the next start resumes the last one that was confirmed, or a later one."""

import random
import re
import socket
import time
from contextlib import suppress

import pytest
from live_server import LiveServer

PROGRAM = """
import os
from midair import Service, Space
from midair.services.net import Lines


class Store(Lines):
    async def save(self):
        self.service.number += 1
        number = self.service.number
        self.service.ballast = [os.urandom(1000) for _ in range(300)]
        await self.service.space.snapshot()
        self.send(f"saved {number}")

    def line(self, text):
        if text == "number":
            self.send(str(self.service.number))
        else:
            self.service.spawn(self.save)


class Stores(Service):
    number = 0

    async def start(self):
        await self.listen(0, Store)


def build(space):
    space["store"] = Stores()
"""


@pytest.mark.timeout(600)  # fifty-one starts of a process, on whatever machine
def test_fifty_kills_in_the_middle_of_snapshots(tmp_path):
    (tmp_path / "store.py").write_text(PROGRAM)
    seed = random.randrange(10**6)
    chance, confirmed = random.Random(seed), 0
    with LiveServer(tmp_path, "store.py", "--no-watch", "--no-console") as server:
        for round_ in range(50):
            with socket.create_connection(("127.0.0.1", server.port("store"))) as sock, sock.makefile("r") as lines:
                sock.sendall(b"number\n")
                found = int(lines.readline())
                assert found >= confirmed, f"round {round_}, seed {seed}: {found} came back, {confirmed} was confirmed"
                sock.sendall(b"save\n")
                lines.readline()
                confirmed = found + 1
                sock.sendall(b"save\n")
                time.sleep(chance.uniform(0, 0.05))  # the moment of the kill is the experiment
                server.process.kill()
                server.process.wait()
                with suppress(ConnectionResetError):  # it died with the word of ours unread: what it said before counts
                    for line in lines:
                        confirmed = max(confirmed, int(re.fullmatch(r"saved (\d+)\n", line)[1]))
            server.start()
