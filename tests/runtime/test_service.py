"""Services with real sockets, real processes and a real server around them."""

import asyncio
import contextlib
import os
import socket
import sys

import pytest

from midair import Service, Space
from midair.runtime import snapshot
from midair.runtime.connection import Connection
from midair.runtime.errors import AddressInUse, ServiceError, SnapshotError
from midair.runtime.files import Files
from midair.runtime.server import FAILED, FINE, UNSAVED, Server
from midair.services.net import Lines


@contextlib.asynccontextmanager
async def running(**services):
    """A server that runs these services, without a file; its lines for the person who started it are in `said`."""
    space = Space()
    for name, service in services.items():
        space[name] = service
    server = Server(space, say=(said := []).append, complain=said.append, drain=1.0)
    server.said = said
    main = asyncio.ensure_future(server.main())
    ready = asyncio.ensure_future(server.ready.wait())
    await asyncio.wait({main, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    server.ended = main
    yield server
    server.stop_soon("the test is over")
    await main


async def ask(port, *lines):
    """Send lines and return as many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(f"{line}\n" for line in lines).encode())
    answers = [(await reader.readline()).decode().strip() for _ in lines]
    writer.close()
    await writer.wait_closed()
    return answers


class Echo(Lines):
    def line(self, text):
        self.send(f"{self.service.name}: {text}")


class Echoes(Service):
    def __init__(self, where=0, handler=Echo):
        self.where, self.handler = where, handler
        self.events = []

    async def start(self):
        self.listener = await self.listen(self.where, self.handler)
        self.events.append("start")

    async def stop(self):
        self.events.append("stop")


class Streams(Service):
    async def start(self):
        self.listener = await self.listen(0, self.on_connect)

    async def on_connect(self, reader, writer):
        async for line in reader:
            writer.write(line.upper())
            await writer.drain()


async def test_a_connection_class_is_served():
    async with running(echo=Echoes()) as server:
        port = server.space["echo"].listener.port
        assert await ask(port, "a", "b") == ["echo: a", "echo: b"]
        assert f"echo 127.0.0.1:{port}" in server.said[-1]


async def test_a_handler_gets_streams():
    async with running(streams=Streams()) as server:
        assert await ask(server.space["streams"].listener.port, "a", "b") == ["A", "B"]


async def test_a_unix_socket_is_private_and_a_stale_one_is_replaced(tmp_path):
    path = str(tmp_path / "s.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()
    async with running(echo=Echoes(path)):
        assert os.stat(path).st_mode & 0o777 == 0o600
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x\n")
        assert await reader.readline() == b"echo: x\r\n"
        writer.close()
    assert not os.path.exists(path)


async def test_a_live_unix_socket_is_not_taken_over(tmp_path):
    path = str(tmp_path / "s.sock")
    async with running(echo=Echoes(path)):
        space = Space()
        space["other"] = Echoes(path)
        said = []
        server = Server(space, say=said.append, complain=said.append)
        assert await server.main() == FAILED
        assert said == [f"other did not start: {path} is in use by another program; nothing was started there"]


async def test_what_is_in_the_way_of_a_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("x")
    space = Space()
    space["echo"] = Echoes(str(path))
    said = []
    assert await Server(space, complain=said.append).main() == FAILED
    assert "left alone" in said[0]
    assert path.read_text() == "x"


async def test_a_taken_port_is_one_line_and_stops_what_was_started():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        space = Space()
        space["first"], space["second"] = Echoes(), Echoes(port)
        said = []
        assert await Server(space, say=said.append, complain=said.append).main() == FAILED
    assert said == [f"second did not start: 127.0.0.1:{port} is in use by another program; nothing was started there"]
    assert space["first"].events == ["start", "stop"]


async def test_an_unforeseen_error_while_saving_ends_neither_the_saving_nor_the_stop(tmp_path, monkeypatch, caplog):
    async def broken(*_, **__):
        raise AttributeError("what nobody thought of")

    monkeypatch.setattr(snapshot, "take", broken)
    monkeypatch.setattr(snapshot, "save", lambda *_, **__: 1 / 0)
    space, said = Space(), []
    space["number"] = 1
    server = Server(
        space, files=Files.of(tmp_path / "it.spl"), snapshot_every=0.001, say=said.append, complain=said.append
    )
    main = asyncio.ensure_future(server.main())
    await server.ready.wait()
    with pytest.raises(SnapshotError, match="AttributeError: what nobody thought of"):
        await server.snapshot()
    server.snapshot_failed = None
    while server.snapshot_failed is None:  # the next round of saving
        await asyncio.sleep(0)
    assert "what nobody thought of" in server.status()["snapshot_failed"]
    server.stop_soon("the test is over")
    assert await main == UNSAVED
    assert said[-1].startswith("not saved: ZeroDivisionError: ")
    assert said[-1].endswith("; it.spl stays as it was")
    assert not (tmp_path / "it.pid").exists()
    assert "AttributeError" in caplog.text


async def test_services_start_in_order_and_stop_in_reverse():
    order = []

    class Noted(Service):
        async def start(self):
            order.append(f"start {self.name}")

        async def stop(self):
            order.append(f"stop {self.name}")

    async with running(a=Noted(), b=Noted()) as server:
        server.space["c"] = Noted()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del server.space["a"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert order == ["start a", "start b", "start c", "stop a", "stop c", "stop b"]
    assert server.ended.result() == FINE


async def test_at_a_stop_what_was_written_is_still_sent():
    class Much(Connection):
        max_unsent = 64 * 1024 * 1024

        def opened(self):
            self.write(b"x" * 10_000_000)

    async with running(much=Echoes(handler=Much)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.space["much"].listener.port)
        assert await reader.read(1) == b"x"
        server.stop_soon("test")
        assert len(await reader.read()) == 10_000_000 - 1
        writer.close()


async def test_a_peer_that_never_reads_does_not_hold_up_the_stop_for_longer_than_the_drain():
    class Much(Connection):
        max_unsent = 64 * 1024 * 1024

        def opened(self):
            self.write(b"x" * 10_000_000)

    async with running(much=Echoes(handler=Much)) as server:
        server.drain = 0.05
        reader, writer = await asyncio.open_connection("127.0.0.1", server.space["much"].listener.port, limit=1)
        await reader.read(1)
        server.stop_soon("test")
        assert await server.ended == FINE
        writer.transport.abort()
        assert reader is not None


async def test_a_failing_job_is_started_again_and_one_that_returned_is_not():
    class Worker(Service):
        async def start(self):
            self.tries = 0
            self.finished = asyncio.Event()
            self.spawn(self.work)

        async def work(self):
            self.tries += 1
            if self.tries < 3:
                raise ZeroDivisionError
            self.finished.set()

    async with running(worker=Worker()) as server:
        worker = server.space["worker"]
        await worker.finished.wait()
        (job,) = worker.jobs
        await job.ended()
        assert (worker.tries, job.restarts, worker.jobs) == (3, 2, ())


async def test_a_job_restarts_on_request_with_the_code_of_then():
    class Worker(Service):
        async def start(self):
            self.seen = asyncio.Queue()
            self.job = self.spawn(self.work)

        async def work(self):
            await self.seen.put("old")
            await asyncio.Event().wait()

    async with running(worker=Worker()) as server:
        worker = server.space["worker"]
        assert await worker.seen.get() == "old"

        async def work(self):
            await self.seen.put("new")

        Worker.work.__code__ = work.__code__
        worker.job.restart()
        assert await worker.seen.get() == "new"
        await worker.job.ended()


async def test_spawn_takes_async_functions_only():
    async with running(echo=Echoes()) as server:
        with pytest.raises(TypeError, match="async function"):
            server.space["echo"].spawn(print)


async def test_an_outgoing_connection_is_made_again_when_it_was_lost():
    class Caller(Service):
        async def start(self):
            self.opened = asyncio.Queue()

        def factory(self):
            caller = self

            class Call(Lines):
                def opened(self):
                    caller.opened.put_nowait(self)

            return Call()

    async with running(echo=Echoes(), caller=Caller()) as server:
        caller, port = server.space["caller"], server.space["echo"].listener.port
        connector = await caller.connect("127.0.0.1", port, caller.factory)
        first = await caller.opened.get()
        for connection in server.space["echo"].connections:
            connection.abort()
        second = await caller.opened.get()
        assert first is not second
        assert await connector.made() is second


async def test_without_retry_a_connection_that_cannot_be_made_is_an_error():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with running(echo=Echoes()) as server:
            with pytest.raises(OSError, match="Connect call failed|refused"):
                await server.space["echo"].connect("127.0.0.1", closed.getsockname()[1], Echo, retry=False)


async def test_datagrams_come_and_go():
    class Ping(Service):
        async def start(self):
            self.port = await self.datagram(0, self.got)

        def got(self, data, address):
            if data == b"bug":
                raise ZeroDivisionError
            self.port.send(data.upper(), address)

    async with running(ping=Ping()) as server:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", server.space["ping"].port.port))
            await loop.sock_sendall(sock, b"bug")
            await loop.sock_sendall(sock, b"hello")
            assert await loop.sock_recv(sock, 100) == b"HELLO"


async def test_a_taken_udp_port_is_said_so():
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        async with running(echo=Echoes()) as server:
            with pytest.raises(AddressInUse, match="in use"):
                await server.space["echo"].datagram(taken.getsockname()[1], print)


async def test_a_process_ends_with_its_service():
    class Runner(Service):
        async def start(self):
            self.child = await self.process(sys.executable, "-c", "print('up', flush=True); input()")

    async with running(runner=Runner()) as server:
        child = server.space["runner"].child
        assert await child.stdout.readline() == b"up\n"
    assert child.returncode == -15
    child._transport.close()


async def test_no_more_connections_than_the_limit():
    class Few(Echoes):
        max_connections = 1

    async with running(few=Few()) as server:
        port = server.space["few"].listener.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a\n")
        assert await reader.readline() == b"few: a\r\n"
        other, other_writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await other.read() == b""
        writer.close()
        other_writer.close()


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_number_that_is_no_port_is_refused(port):
    async with running(echo=Echoes()) as server:
        with pytest.raises(ServiceError, match="65535"):
            await server.space["echo"].listen(port, Echo)


def test_a_service_outside_of_a_space_says_where_it_belongs():
    with pytest.raises(ServiceError, match=r"start\(\)"):
        Echoes().every(1, Echoes().stop)
