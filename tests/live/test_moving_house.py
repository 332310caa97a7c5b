"""A space that is carried to another machine: another HOME, another key, and the program nowhere but in the backup."""

import shutil
import socket
import tarfile

from live_server import LiveServer

WORLD = """
START = 100
"""
SHOP = """
from midair import Service
from midair.runtime.journal import journaled
from midair.services.net import Lines

from . import world


class Till(Lines):
    async def answer(self, text):
        self.send(str(await self.service.earn(int(text))))

    def line(self, text):
        self.service.spawn(self.answer, text)


class Shop(Service):
    def __init__(self):
        self.coins = world.START

    async def start(self):
        await self.listen(0, Till)

    @journaled
    def earn(self, coins):
        self.coins += coins
        return self.coins


def build(space):
    space["shop"] = Shop()
"""


def earn(server, coins):
    with socket.create_connection(("127.0.0.1", server.port("shop")), timeout=60) as sock:
        sock.sendall(f"{coins}\n".encode())
        return int(sock.makefile("r").readline())


def test_a_backup_runs_on_a_second_home_with_its_journal_and_its_users_and_no_key(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "store").mkdir(parents=True)
    new.mkdir()
    for name, text in (("__init__", ""), ("world", WORLD), ("shop", SHOP)):
        (old / "store" / f"{name}.py").write_text(text)
    with LiveServer(old, "store.shop", "--snapshot-every", "0") as server:
        added = server.midair("user", "add", "anna", "--server", "shop", text="a long enough password\n")
        assert added.returncode == 0, added.stderr
        assert earn(server, 5) == 105
        assert server.midair("snapshot").returncode == 0
        assert earn(server, 7) == 112
        server.kill()
        written = server.midair("backup", "shop", "shop.backup")
        assert written.returncode == 0, written.stderr
    key = (old / "config" / "midair" / "key").read_bytes()
    with tarfile.open(old / "shop.backup") as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames()}
    assert sorted(name for name in files if "journal" not in name) == [
        "shop.spl", "shop.users", "sources/store.py", "sources/store.shop.py", "sources/store.world.py",
    ]  # fmt: skip
    assert not any(key in data for data in files.values())
    (old / "shop.backup").rename(new / "shop.backup")
    shutil.rmtree(old)

    there = LiveServer(new, "there/shop.spl")
    restored = there.midair("restore", "shop.backup", "there")
    assert restored.returncode == 0, restored.stderr
    with there:
        assert "and 1 calls confirmed since" in there.out[0]
        assert earn(there, 1) == 113
        assert "anna" in there.midair("user", "list", "--server", "shop").stdout
        (new / "there" / "shop.sources" / "store" / "shop.py").write_text(SHOP.replace("+= coins", "+= 2 * coins"))
        there.wait_for(r"edit 1\b")
        assert earn(there, 1) == 115
        assert there.end() == 0
        there.start()
        assert earn(there, 0) == 115
