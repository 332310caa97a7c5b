"""Other servers behind a path."""

import asyncio
import contextlib
import json
import os

import pytest
from asgi_client import ask
from web_server import served
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from midair.runtime.errors import ServiceError
from midair.services.web import Resource, Upstream, WebError
from midair.services.web.site import Site


class Echo(Resource):
    isLeaf = True

    async def render(self, request):
        body = await request.body(10 << 20)
        request.setHeader("X-Own", "kept")
        told = {k.decode(): v.decode() for k, v in request.headers.items() if k.startswith((b"x-", b"host", b"via"))}
        return {"method": request.method, "uri": request.uri, "size": len(body), "told": told}


class Chunks(Resource):
    isLeaf = True

    async def render(self, request):
        for _ in range(20):
            request.write(b"x" * 100_000)
            await request.flush()


@contextlib.asynccontextmanager
async def relay(port, path="", **options):
    root, upstream = Resource(), Upstream(f"http://127.0.0.1:{port}{path}", **options)
    root.putChild("x", upstream)
    try:
        yield Site(root)
    finally:
        await upstream.end()


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_a_request_goes_through_with_its_body_and_the_answer_comes_back(parser):
    async with (
        served(Site(Echo())) as behind,
        relay(behind.port, "/base/") as site,
        served(site, parser=parser) as front,
    ):
        client = await front.connect()
        status, headers, body = await client.get(
            "/x/a%20b/?q=1", X_Thing="t", X_Forwarded_For="6.6.6.6", Connection="X-Thing"
        )
        assert (status, headers["x-own"]) == (200, "kept")
        assert headers["server"] == "midair"
        said = json.loads(body)
        assert (said["method"], said["uri"]) == ("GET", "/base/a%20b/?q=1")
        assert said["told"] == {
            "host": f"127.0.0.1:{behind.port}",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "localhost",
            "x-forwarded-prefix": "/x",
        }, "what a client says of itself is not passed on, nor what it names as its own connection's"
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 700000\r\n\r\n" + "y" * 700_000)
        assert b'"size": 700000' in (await client.answer())[2]
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert b'"size": 3' in (await client.answer())[2]
        assert (await client.get("/x/", "HEAD"))[0] == 200


async def test_answers_are_streamed_and_connections_used_again():
    async with served(Site(Chunks())) as behind, relay(behind.port) as site, served(site) as front:
        client = await front.connect()
        for _ in range(3):
            assert len((await client.get("/x/"))[2]) == 2_000_000
        assert behind.engine.connections == 1


class Big(Resource):
    isLeaf = True
    data = bytes(range(256)) * 12_000

    def render(self, request):
        return self.data


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_a_long_answer_goes_from_socket_to_socket(parser, monkeypatch):
    used = []
    real = os.splice
    monkeypatch.setattr(os, "splice", lambda *args: used.append(args[2]) or real(*args))
    async with served(Site(Big())) as behind, relay(behind.port) as site, served(site, parser=parser) as front:
        client = await front.connect()
        for _ in range(3):
            assert (await client.get("/x/"))[2] == Big.data
        assert used
        assert behind.engine.connections == 1, "the connection is good for more"
        assert (await client.get("/x/", "HEAD"))[1]["content-length"] == str(len(Big.data))
        assert front.engine.metrics.bytes == 3 * len(Big.data)
        monkeypatch.delattr(os, "splice")
        assert (await client.get("/x/"))[2] == Big.data, "and where the system cannot do that"


async def test_a_server_that_is_away_gives_502_and_comes_back_by_itself():
    async with served(Site(Echo())) as behind:
        port = behind.port
    async with relay(port) as site:
        assert (await ask(site, "/x/")).status == 502
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
        assert (await ask(site, "/x/")).status == 502
        server.close()
        await server.wait_closed()
        async with served(Site(Echo()), port=port):
            assert (await ask(site, "/x/")).status == 200


async def test_a_server_that_never_answers_gives_504():
    gone = asyncio.Event()

    async def silent(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with relay(server.sockets[0].getsockname()[1], answer=0.2) as site:
        assert (await ask(site, "/x/")).status == 504
    await gone.wait()
    server.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("length", [10, 10_000_000])
async def test_an_answer_that_breaks_off_is_seen_to_be_cut(length):
    async def half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhalf" % length)
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with relay(server.sockets[0].getsockname()[1]) as site, served(site) as front:
        client = await front.connect()
        await client.send("GET /x/ HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()
        assert (await (await front.connect()).get("/none"))[0] == 404
    server.close()


async def test_a_kept_connection_that_was_closed_is_not_an_error():
    async with served(Site(Echo())) as behind, relay(behind.port) as site:
        assert (await ask(site, "/x/")).status == 200
        for connection in tuple(behind.engine.state.connections):
            connection.transport.abort()
        assert (await ask(site, "/x/")).status == 200


async def test_errors_of_the_other_server_are_its_own():
    class Refuses(Resource):
        isLeaf = True

        def render(self, request):
            raise WebError(418, "short and stout")

    async with served(Site(Refuses())) as behind, relay(behind.port) as site:
        got = await ask(site, "/x/")
        assert (got.status, "Short and stout" in got.text) == (418, True)


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "x"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ServiceError):
        Upstream(url)


async def chat(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    told = dict(scope["headers"])[b"x-forwarded-prefix"].decode()
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[-1]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001})
        elif message.get("text"):
            await send({"type": "websocket.send", "text": f"{scope['path']} {told} {message['text']}"})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})
    gone.append(message["code"])


gone = []


async def test_websockets_are_relayed_with_their_closing():
    gone.clear()
    async with served(chat) as behind, relay(behind.port) as site, served(site) as front:
        url = f"ws://127.0.0.1:{front.port}/x/room"
        async with connect_websocket(url, subprotocols=["one", "two"]) as socket:
            assert socket.subprotocol == "two"
            await socket.send("hello")
            assert await socket.recv() == "/room /x hello"
            await socket.send(b"abc")
            assert await socket.recv() == b"cba"
            await socket.send("bye")
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd.code == 4001
        async with connect_websocket(url) as socket:
            await socket.send("hello")
            await socket.recv()
            await socket.close(4002)
        while len(gone) < 2:
            await asyncio.sleep(0.001)
        assert gone[1] == 4002


async def test_a_websocket_to_a_server_that_is_away_is_refused():
    async with served(Site(Echo())) as behind:
        port = behind.port
    async with relay(port) as site, served(site) as front:
        with pytest.raises(InvalidStatus):
            await connect_websocket(f"ws://127.0.0.1:{front.port}/x/")
        assert (await (await front.connect()).get("/none"))[0] == 404
