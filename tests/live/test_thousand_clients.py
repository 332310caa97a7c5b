"""1,000 people talk through 100 edits: nobody is disconnected, no line is lost, none comes twice."""

import asyncio
import re
import resource

from live_server import PATIENCE, LiveServer, copy_example

from midair.runtime.testing import edit

CLIENTS, ROOM, EDITS, TALKING = 1000, 10, 100, 200


class Client:
    """Talks in a room of ten, and notes what it hears from whom."""

    def __init__(self, number: int) -> None:
        self.number, self.said = number, 0
        self.heard: dict[str, list[int]] = {}
        self.versions: set[str] = set()
        self.changed = asyncio.Event()

    async def enter(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(f"c{self.number}\n/join r{self.number // ROOM}\n".encode())
        while b"is in r" not in (line := await self.reader.readline()):
            assert line, "disconnected while coming in"
        self.listening = asyncio.ensure_future(self.listen())

    async def listen(self) -> None:
        while line := (await self.reader.readline()).decode().strip():
            if found := re.fullmatch(r"(c\d+): (\d+)(.*)", line):
                self.heard.setdefault(found[1], []).append(int(found[2]))
                self.versions.add(found[3])
                self.changed.set()

    def talk(self) -> None:
        self.said += 1
        self.writer.write(f"{self.said}\n".encode())

    async def has_heard(self, who: str, count: int) -> None:
        while len(self.heard.get(who, [])) < count:
            assert not self.listening.done(), f"c{self.number} was disconnected"
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), PATIENCE)


async def talk_through_edits(server, program):
    clients = [Client(number) for number in range(CLIENTS)]
    port = server.port("chat")
    for start in range(0, CLIENTS, 100):
        await asyncio.gather(*(client.enter(port) for client in clients[start : start + 100]))
    before = '        self.tell(f"{who}: {text}")'
    for number in range(EDITS):
        talking = [clients[(number * TALKING + i) % CLIENTS] for i in range(TALKING)]
        for client in talking[: TALKING // 2]:
            client.talk()
        after = f'        self.tell(f"{{who}}: {{text}} v{number}")'
        edit(program, before, after)
        before = after
        for client in talking[TALKING // 2 :]:
            client.talk()
        await asyncio.to_thread(server.wait_for, rf"\bedit {number + 1}\b")
    return clients


async def test_nobody_is_disconnected_and_no_line_is_lost_or_doubled(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CLIENTS + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    program = copy_example("chat/chat.py", tmp_path)
    with LiveServer(tmp_path, program, "--settle", "0.01", PORT="0") as server:
        clients = await talk_through_edits(server, program)
        for client in clients:
            room = clients[client.number // ROOM * ROOM :][:ROOM]
            for other in room:
                await client.has_heard(f"c{other.number}", other.said)
                assert client.heard[f"c{other.number}"] == list(range(1, other.said + 1))
        assert not any(client.listening.done() for client in clients)
        assert len(set.union(*(client.versions for client in clients))) > EDITS // 2
        for client in clients:
            client.writer.close()
