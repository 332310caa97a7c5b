"""An edit of the server's classes while peers hold references, caches and calls under way: everything goes on, on new code."""

import asyncio
import importlib
import sys

import pytest

from midair.runtime import rebuild
from midair.runtime.testing import edit
from midair.services import spread

CLIENTS = 100

SOURCE = """
import asyncio

from midair.services import spread


class Room(spread.Referenceable):
    def __init__(self):
        self.visits = 0

    @spread.remote
    def visit(self):
        self.visits += 1
        return ("first", self.visits)


class Picture(spread.Cacheable):
    wire_name = "rebuilt.Picture"

    def __init__(self):
        self.dots = []

    def add(self, dot):
        self.dots.append(dot)
        self.tell("add", dot)

    def copy_state(self, perspective):
        return {"dots": list(self.dots)}


@spread.register("rebuilt.Picture")
class PictureThere(spread.RemoteCache):
    def observe_add(self, dot):
        self.dots.append(dot)


@spread.register
class Point(spread.Copyable):
    def __init__(self, x):
        self.x = x


class Api(spread.Referenceable):
    def __init__(self):
        self.room, self.picture = Room(), Picture()
        self.go_on = asyncio.Event()

    @spread.remote
    def version(self):
        return 1

    def remote_room(self):
        return self.room

    def remote_picture(self):
        return self.picture

    def remote_point(self):
        return Point(1)

    async def remote_wait(self):
        await self.go_on.wait()
        return "began with the first"

    async def remote_count(self):
        yield 1
        await self.go_on.wait()
        yield 2
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A module with the server's classes, recorded for rebuilds."""
    (tmp_path / "spread_program.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    rebuild.record(tmp_path)
    module = importlib.import_module("spread_program")
    yield module
    del sys.modules["spread_program"]


def save(program, *changes):
    """Change the file and bring the program to it."""
    for old, new in changes:
        edit(program.__file__, old, new)
    rebuild.rebuild("spread_program")


async def connected(api):
    server = await asyncio.get_running_loop().create_server(spread.Portal(api).link, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, f"127.0.0.1:{port}"


async def test_an_edit_under_a_hundred_calling_clients_fails_no_call(program):
    api = program.Api()
    server, where = await connected(api)
    peers = [
        await spread.connect(where, dialects=("midair-1",) if number % 3 else ("pb",)) for number in range(CLIENTS)
    ]
    stop = asyncio.Event()
    seen: list[list[int]] = [[] for _ in peers]

    async def call(number):
        while not stop.is_set():
            seen[number].append(await peers[number].root.version())

    calling = [asyncio.create_task(call(number)) for number in range(CLIENTS)]
    for version in range(2, 7):
        before = [len(answers) for answers in seen]
        while any(len(answers) < count + 3 for answers, count in zip(seen, before, strict=True)):
            await asyncio.sleep(0)
        save(program, (f"return {version - 1}\n\n    def remote_room", f"return {version}\n\n    def remote_room"))
        # The call after an edit runs the new code: whoever asks from now on gets this version.
        assert await peers[0].root.version() == version
    stop.set()
    await asyncio.gather(*calling)
    for answers in seen:
        assert answers == sorted(answers)
        assert set(answers) >= {1, 2, 3, 4, 5}
    for peer in peers:
        await peer.close()
    server.close()


@pytest.mark.parametrize("dialect", ["midair-1", "pb"])
async def test_what_peers_hold_goes_on_after_an_edit(program, dialect):
    api = program.Api()
    server, where = await connected(api)
    async with await spread.connect(where, dialects=(dialect,)) as peer:
        room, picture = await peer.root.room(), await peer.root.picture()
        waiting = peer.root.wait()
        stream = peer.root.count().__aiter__()
        assert await anext(stream) == 1
        assert await room.visit() == ("first", 1)
        save(
            program,
            ('("first", self.visits)', '("second", self.visits)'),
            ("        self.dots.append(dot)\n        self.tell", "        self.dots.append(-dot)\n        self.tell"),
            (
                "class PictureThere(spread.RemoteCache):\n    def observe_add(self, dot):\n        self.dots.append(dot)",
                "class PictureThere(spread.RemoteCache):\n    def observe_add(self, dot):\n        self.dots.append(dot * 10)",
            ),
            ("return Point(1)", "return Point(2)"),
            ('"began with the first"', '"ends with the second"'),
        )
        assert await room.visit() == ("second", 2)
        assert (await peer.root.room()) is room
        api.picture.add(3)
        point = await peer.root.point()
        assert (type(point), point.x) == (program.Point, 2)
        assert picture.dots == [30]
        assert api.picture.dots == [-3]
        assert (await peer.root.picture()) is picture
        api.go_on.set()
        assert await waiting == "began with the first"
        assert [item async for item in stream] == [2]
    server.close()


async def test_a_method_added_or_taken_away_is_so_for_references_held_before(program):
    api = program.Api()
    server, where = await connected(api)
    async with await spread.connect(where) as peer:
        with pytest.raises(spread.NoSuchMethod):
            await peer.root.added()
        save(
            program,
            (
                "    def remote_room(self)",
                "    def remote_added(self):\n        return self.room\n\n    def remote_room(self)",
            ),
            ("    @spread.remote\n    def version", "    def version"),
        )
        assert await (await peer.root.added()).visit() == ("first", 1)
        with pytest.raises(spread.NoSuchMethod):
            await peer.root.version()
    server.close()


async def test_an_edit_of_the_memory_layout_keeps_references(program):
    """The instance is another one afterwards, and the peer's number leads to it."""
    api = program.Api()
    server, where = await connected(api)
    async with await spread.connect(where) as peer:
        room = await peer.root.room()
        save(
            program,
            (
                "class Room(spread.Referenceable):\n",
                'class Room(spread.Referenceable):\n    __slots__ = ("visits",)\n\n',
            ),
        )
        assert await room.visit() == ("first", 1)
        assert (await peer.root.room()) is room
    server.close()
