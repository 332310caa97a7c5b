"""The engine on real sockets: keep-alive, pipelining, sendfile, limits, shapes of smuggling, the drain. Both parsers."""

import asyncio
import gzip
import os
import ssl
import subprocess

import pytest
from web_server import look_now, served
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from midair.services.web.engine import AccessLog, Guard, Limits
from midair.services.web.resource import NameVirtualHost, Over, Resource, Text
from midair.services.web.site import Site
from midair.services.web.sockets import make_room_for
from midair.services.web.static import SMALL, Static

PARSERS = pytest.mark.parametrize("parser", ["h11", "httptools"])
pytestmark = PARSERS


class Slow(Resource):
    """Answers when it is let."""

    def __init__(self):
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def render_GET(self, _request):
        self.asked.set()
        await self.let.wait()
        return "slow"


class Body(Resource):
    async def render_POST(self, request):
        return f"{len(await request.body())}"


class Stream(Resource):
    async def render_GET(self, request):
        for part in "abc":
            request.write(part)
            await request.flush()


def site(**children):
    root = Resource()
    for name, child in {"hello": Text("hello"), "body": Body(), "stream": Stream(), **children}.items():
        root.putChild(name, child)
    return Site(root)


async def test_one_connection_answers_many_requests(parser):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        for _ in range(3):
            status, headers, body = await client.get("/hello")
            assert (status, body) == (200, b"hello")
            assert headers["server"] == "midair"
            assert headers["date"].endswith("GMT")
        assert (await client.get("/hello", "HEAD"))[1]["content-length"] == "5"
        assert (await client.get("/stream"))[2] == b"abc"
        assert (await client.get("/none"))[0] == 404
        assert server.engine.metrics.statuses == {200: 5, 404: 1}


async def test_pipelined_requests_are_answered_in_order(parser):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        one = "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n"
        await client.send(one.format("hello") + one.format("stream") + one.format("none") + one.format("hello"))
        assert [(await client.answer())[0] for _ in range(4)] == [200, 200, 404, 200]


async def test_bodies_come_by_length_or_in_chunks_and_wait_for_100(parser):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        await client.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
        assert (await client.answer())[2] == b"5"
        await client.send("POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert (await client.answer())[2] == b"3"
        await client.send("POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await client.send("ok")
        assert (await client.answer())[2] == b"2"


async def test_the_application_the_tree_and_the_disk_are_looked_at_for_each_request(parser, tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    tree = site(files=Static(tmp_path))
    async with served(tree, parser=parser) as server:
        client = await server.connect()
        for _ in range(2):
            assert (await client.get("/files/file"))[2] == b"one"
        other = tmp_path / "other"
        other.write_text("two")
        os.utime(other, ns=(file.stat().st_mtime_ns,) * 2)
        other.replace(file)  # as long and as old, and another file
        assert (await client.get("/files/file"))[2] == b"two"
        file.unlink()
        assert (await client.get("/files/file"))[0] == 404
        tree.root.putChild("hello", Text("good day"))
        assert (await client.get("/hello"))[2] == b"good day"
        tree.headers["X-New"] = "yes"
        assert (await client.get("/hello"))[1]["x-new"] == "yes"
        tree.root = Text("another root")
        tree.root.isLeaf = True
        assert (await client.get("/hello"))[2] == b"another root"


async def test_what_is_in_memory_is_answered_without_a_task(parser, tmp_path, monkeypatch):
    if parser == "h11":
        pytest.skip("with h11 each request has a task, as uvicorn makes it")
    (tmp_path / "page.txt").write_text("page " * 1000)
    hosts = NameVirtualHost(Over(Static(tmp_path)))
    async with served(Site(hosts), parser=parser) as server:
        client = await server.connect()
        tag = (await client.get("/page.txt"))[1]["etag"]
        await client.get("/page.txt", Accept_Encoding="gzip")
        tasks = []
        monkeypatch.setattr(Guard, "_complete", lambda *args: tasks.append(args))
        assert (await client.get("/page.txt"))[0] == 200
        assert (await client.get("/page.txt", "HEAD"))[0] == 200
        assert (await client.get("/page.txt", If_None_Match=tag))[0] == 304
        assert (await client.get("/page.txt", Range="bytes=5-8"))[2] == b"page"
        status, headers, body = await client.get("/page.txt", Accept_Encoding="gzip")
        assert (status, headers["content-encoding"], gzip.decompress(body)) == (200, "gzip", b"page " * 1000)
        assert not tasks


async def test_files_among_pipelined_requests_keep_their_place_and_their_rules(parser, tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    async with served(site(files=Static(tmp_path)), parser=parser) as server:
        client = await server.connect()
        tag = (await client.get("/files/file"))[1]["etag"]
        get = "GET /files/file HTTP/1.1\r\nHost: x\r\n{}\r\n".format
        await client.send(
            get("")
            + "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
            + get("Range: bytes=2-3\r\n")
            + get(f"If-None-Match: {tag}\r\n")
            + get("").replace("GET", "HEAD")
            + get("")
        )
        got = [await client.answer(head=number == 4) for number in range(6)]
        assert [(status, body) for status, _, body in got] == [
            (200, b"0123456789"),
            (200, b"abc"),
            (206, b"23"),
            (304, b""),
            (200, b""),
            (200, b"0123456789"),
        ]
        assert got[4][1] == got[5][1]


async def test_the_version_and_the_wish_of_a_client_decide_whether_it_may_ask_again(parser, tmp_path):
    (tmp_path / "file").write_text("file")
    log = AccessLog(tmp_path / "access.log")
    async with served(site(files=Static(tmp_path)), parser=parser, access_log=log) as server:
        for first, wish, stays in (
            ("HTTP/1.1", "", True),
            ("HTTP/1.1", "Connection: Keep-Alive\r\n", True),
            ("HTTP/1.1", "Connection: Close\r\n", False),
            ("HTTP/1.0", "", False),
        ):
            client = await server.connect()
            for path in ("/hello", "/files/file", "/files/file") if stays else ("/hello",):
                await client.send(f"GET {path} {first}\r\nHost: x\r\n{wish}\r\n")
                status, headers, _ = await client.answer()
                assert (status, headers.get("connection") == "close") == (200, not stays)
                log.flush()
                last = (tmp_path / "access.log").read_text().splitlines()[-1]
                assert f'"GET {path} {first}" 200' in last
            assert stays or await client.reader.read() == b""


async def test_a_page_may_say_itself_how_long_it_is_and_that_the_connection_ends(parser):
    class Page(Resource):
        def render_GET(self, request):
            request.setHeader("Content-Length", 5)
            if request.args:
                request.setHeader("Connection", "Close")
            return b"hello"

    async with served(site(page=Page()), parser=parser) as server:
        client = await server.connect()
        for target in ("/page", "/page?last"):
            await client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert head.lower().count(b"content-length: 5\r\n") == 1
            assert await client.reader.readexactly(5) == b"hello"
        assert await client.reader.read() == b""


async def test_a_large_file_goes_out_whole_and_in_part(parser, tmp_path, monkeypatch):
    data = os.urandom(SMALL * 12 + 5)
    (tmp_path / "big").write_bytes(data)
    used = []
    real = os.sendfile
    monkeypatch.setattr(os, "sendfile", lambda *args: used.append(args[3]) or real(*args))
    async with served(Site(Static(tmp_path)), parser=parser) as server:
        client = await server.connect()
        assert (await client.get("/big"))[2] == data
        assert used
        status, headers, body = await client.get("/big", Range="bytes=7-300006")
        assert (status, body, headers["content-range"]) == (206, data[7:300007], f"bytes 7-300006/{len(data)}")
        assert (await client.get("/big", "HEAD"))[1]["content-length"] == str(len(data))
        assert (await client.get("/big"))[2] == data, "the connection is good for more"


async def test_a_client_that_leaves_in_the_middle_of_a_file_harms_nobody(parser, tmp_path):
    (tmp_path / "big").write_bytes(bytes(SMALL * 80))
    async with served(Site(Static(tmp_path)), parser=parser) as server:
        client, other = await server.connect(), await server.connect()
        await client.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        client.close()
        assert (await other.get("/big", Range="bytes=0-1"))[2] == b"\0\0"
        while server.engine.active:
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*command.split(), "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


async def test_tls_serves_small_and_large_files(parser, tmp_path, certificate):
    (tmp_path / "big").write_bytes(data := os.urandom(SMALL * 5))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=certificate[0])
    async with served(Site(Static(tmp_path)), parser=parser, ssl=context) as server:
        client = await server.connect(ssl=trusting, server_hostname="localhost")
        assert (await client.get("/big"))[2] == data


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", None),
        ("GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nNul: a\x00b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nCr: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        ("CONNECT other:25 HTTP/1.1\r\nHost: x\r\n\r\n", None),
    ],
)
async def test_shapes_of_smuggling_get_an_error_and_a_closed_connection(parser, shape, status):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        await client.send(shape + "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
        first = (await client.answer())[0]
        assert 400 <= first < 600 if status is None else first == status
        look_now(server.engine, 60)
        rest = await client.reader.read()
        assert b"200 OK" not in rest, "nothing behind it was taken for a request"
        assert (await (await server.connect()).get("/hello"))[0] == 200


async def test_a_header_has_limits(parser):
    async with served(site(), parser=parser) as server:
        for lines in ("X: y\r\n" * 100_000, "X: " + "y" * 1_000_000 + "\r\n", "X: y\r\n" * 200):
            client = await server.connect()
            await client.send("GET /hello HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n")
            assert 400 <= (await client.answer())[0] < 500
            look_now(server.engine, 60)
            assert await client.at_end()
        client = await server.connect()
        await client.send("GET /" + "x" * 200_000 + " HTTP/1.1\r\nHost: x\r\n\r\n")
        assert 400 <= (await client.answer())[0] < 500


async def test_trailers_do_not_become_headers(parser):
    seen = []

    class Look(Resource):
        async def render_POST(self, request):
            await request.body()
            seen.extend(request.scope["headers"])
            return "ok"

    async with served(site(look=Look()), parser=parser) as server:
        client = await server.connect()
        await client.send(
            "POST /look HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Admin: 1\r\n\r\n"
        )
        assert (await client.answer())[0] == 200
        assert not [name for name, _ in seen if name == b"x-admin"]


async def test_slow_clients_are_dropped_at_their_deadline_and_others_are_served(parser):
    limits = Limits(head=5, body=5, rate=100)
    async with served(site(), parser=parser, limits=limits) as server:
        silent, dripping, slow_body, good = [await server.connect() for _ in range(4)]
        await good.get("/hello")
        await dripping.send("GET /hello HTTP/1.1\r\nHost: x\r\nX-Drip: ")
        await slow_body.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx")
        while server.engine.active != 1:
            await asyncio.sleep(0)
        await dripping.send("d")
        look_now(server.engine, 1)
        assert server.engine.metrics.dropped == 0
        look_now(server.engine, 6)
        assert await silent.at_end()
        assert (await dripping.answer())[0] == 408
        assert (await slow_body.answer())[0] == 408
        assert (await good.get("/hello"))[0] == 200


async def test_an_answer_reaches_a_client_that_is_still_sending_and_asked_for_a_close(parser):
    async with served(site(), parser=parser) as server:
        for target in ("/nowhere", "/hello"):
            client = await server.connect()
            await client.send(
                f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5000000\r\n\r\n"
            )
            for _ in range(20):
                await client.send("x" * 50_000)
            assert (await client.answer())[0] in {200, 404}
            for _ in range(20):
                await client.send("x" * 50_000)
            assert await client.reader.read() == b""
            look_now(server.engine, 60)
            await client.at_end()


async def test_a_thousand_slow_headers_cost_nobody_else_anything(parser):
    assert make_room_for(3000) >= 3000, "this machine allows too few open files for the test"
    async with served(site(), parser=parser) as server:
        good = await server.connect()
        slow = [await server.connect() for _ in range(1000)]
        for letter in "GET /hello HTTP/1.1\r\nX":
            for client in slow:
                client.writer.write(letter.encode())
            assert (await good.get("/hello"))[0] == 200
            look_now(server.engine, 0.4)
        assert server.engine.connections == 1001
        assert server.engine.metrics.dropped == 0, "they are within their time"
        look_now(server.engine, server.engine.limits.head + 1)
        assert server.engine.metrics.dropped == 1000
        assert (await good.get("/hello"))[0] == 200, "who has asked before may wait for longer"
        assert {(await client.answer())[0] for client in slow} == {408}
        look_now(server.engine, 60)
        assert all([await client.at_end() for client in slow])
        assert (await (await server.connect()).get("/hello"))[0] == 200


async def test_a_connection_at_rest_is_closed_after_its_time_and_not_with_an_error(parser):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        await client.get("/hello")
        look_now(server.engine, server.engine.limits.idle - 1)
        assert (await client.get("/hello"))[0] == 200
        look_now(server.engine, server.engine.limits.idle + 1)
        assert await client.reader.read() == b""
        assert server.engine.metrics.dropped == 0


async def test_a_reader_that_takes_nothing_is_dropped(parser):
    class Endless(Resource):
        async def render_GET(self, request):
            while True:
                request.write(b"x" * 65536)
                await request.flush()

    async with served(site(endless=Endless()), parser=parser, limits=Limits(stall=5)) as server:
        client = await server.connect()
        client.writer.transport.pause_reading()
        await client.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        while not any(c.flow and c.flow.write_paused for c in server.engine.state.connections):
            await asyncio.sleep(0.001)
        look_now(server.engine, 0)
        look_now(server.engine, 6)
        assert server.engine.metrics.dropped == 1


async def test_an_exception_or_a_system_exit_is_one_answer_only(parser, caplog):
    class Fails(Resource):
        def render_GET(self, request):
            raise SystemExit(3) if request.arg("exit") else ValueError("x")

    async with served(site(fails=Fails()), parser=parser) as server:
        client = await server.connect()
        assert (await client.get("/fails"))[0] == 500
        assert (await client.get("/fails?exit=1"))[0] == 500
        assert (await (await server.connect()).get("/hello"))[0] == 200
        assert server.engine.metrics.statuses[500] == 2


async def test_the_drain_answers_what_is_in_hand_and_closes_the_rest(parser):
    slow = Slow()
    async with served(site(slow=slow), parser=parser) as server:
        busy, idle = await server.connect(), await server.connect()
        await idle.get("/hello")
        await busy.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await slow.asked.wait()
        drain = asyncio.create_task(server.engine.drain())
        assert await idle.at_end()
        assert not drain.done()
        slow.let.set()
        assert (await busy.answer())[2] == b"slow"
        assert await busy.at_end()
        await drain


async def test_a_websocket_talks_and_is_told_when_the_server_goes(parser):
    async def app(scope, receive, send):
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})

    async with served(app, parser=parser) as server:
        async with connect_websocket(f"ws://127.0.0.1:{server.port}/chat") as socket:
            await socket.send("hello")
            assert await socket.recv() == "HELLO"
            assert server.engine.websockets == 1
            drain = asyncio.create_task(server.engine.drain())
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd.code == 1012
            await drain


async def test_a_site_refuses_websockets_that_nothing_takes(parser):
    async with served(site(), parser=parser) as server:
        client = await server.connect()
        key = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + "A" * 22
            + "=="
        )
        await client.send(f"GET /hello HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n")
        assert (await client.answer())[0] == 403


async def test_the_access_log_is_combined_and_follows_rotation(parser, tmp_path):
    log = AccessLog(tmp_path / "access.log")
    async with served(site(), parser=parser, access_log=log) as server:
        client = await server.connect()
        await client.get("/hello?a=1", Referer='http://x/"', User_Agent="m\xe9")
        log.flush()
        (line,) = (tmp_path / "access.log").read_text().splitlines()
        first, _, rest = line.partition(" - - [")
        assert first == "127.0.0.1"
        assert rest.partition("] ")[2] == r'"GET /hello?a=1 HTTP/1.1" 200 5 "http://x/\"" "m\xe9"'
        await client.get("/hello", "HEAD")
        log.flush()
        assert '"HEAD /hello HTTP/1.1" 200 - ' in (tmp_path / "access.log").read_text()
        (tmp_path / "access.log").rename(tmp_path / "access.log.1")
        await client.get("/none")
        log.flush()
        assert '"GET /none HTTP/1.1" 404' in (tmp_path / "access.log").read_text()
        assert len((tmp_path / "access.log.1").read_text().splitlines()) == 2
