"""Sites of other midair servers: asked over services/spread, on a Unix socket and over TCP."""

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
from midair.runtime.sockets import bind_unix
from midair.services import spread
from midair.services.web import FarSite, Resource, Static, WebError
from midair.services.web.engine import Engine
from midair.services.web.far import checked, lanes_of, pairs, with_port
from midair.services.web.offered import LONG, Offer
from midair.services.web.site import Site


class Echo(Resource):
    isLeaf = True

    async def render(self, request):
        body = await request.body(10 << 20)
        request.setHeader("X-Own", "kept")
        told = {k.decode(): v.decode() for k, v in request.headers.items() if k.startswith((b"x-", b"host"))}
        return {"method": request.method, "uri": request.uri, "size": len(body), "told": told, "from": request.client}


class Page(Resource):
    """Says what its function returns."""

    isLeaf = True

    def __init__(self, render):
        self._render = render

    def render(self, request):
        return self._render(request)


@contextlib.asynccontextmanager
async def offered(site, path, *, users=None, lanes=True):
    """The far side: its engine, and the factory's servers on Unix sockets."""
    engine = Engine(site.begin if isinstance(site, Site) else site)
    engine.start()
    offer = Offer(engine, users=users)
    loop = asyncio.get_running_loop()
    links = []

    def link():
        links.append(offer.link())
        return links[-1]

    servers = [await loop.create_unix_server(link, sock=bind_unix(path))]
    if lanes:
        servers.append(await loop.create_unix_server(offer.lane, sock=bind_unix(lanes_of(path))))
    offer.links = links
    try:
        yield offer
    finally:
        for server in servers:
            server.close()
        for one in (*links, *offer.lanes.values()):
            one.abort()
        await asyncio.sleep(0)
        engine.stop()


@contextlib.asynccontextmanager
async def relaying(path, **options):
    root, far = Resource(), FarSite(f"midair+unix://{path}", **options)
    root.putChild("x", far)
    try:
        yield Site(root)
    finally:
        await far.end()


@pytest.fixture
def path(tmp_path_factory):
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/far.sock"


@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_a_request_goes_through_with_its_body_and_the_answer_comes_back(path, parser):
    async with offered(Site(Echo()), path), relaying(path) as site, served(site, parser=parser) as front:
        client = await front.connect()
        status, headers, body = await client.get(
            "/x/a%20b/?q=1", X_Thing="t", X_Forwarded_For="6.6.6.6", Connection="X-Thing"
        )
        assert (status, headers["x-own"], headers["server"]) == (200, "kept", "midair")
        said = json.loads(body)
        assert (said["method"], said["uri"], said["from"]) == ("GET", "/a%20b/?q=1", "127.0.0.1")
        assert said["told"] == {
            "host": "localhost",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
            "x-forwarded-host": "localhost",
            "x-forwarded-prefix": "/x",
        }
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 700000\r\n\r\n" + "y" * 700_000)
        assert b'"size": 700000' in (await client.answer())[2]
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert b'"size": 3' in (await client.answer())[2]
        assert (await client.get("/x/", "HEAD"))[0] == 200
        assert (await client.get("/x/"))[0] == 200, "the connection goes on after a HEAD"


@pytest.mark.parametrize("lanes", [True, False])
@pytest.mark.parametrize("parser", ["h11", "httptools"])
async def test_long_answers_come_whole_with_and_without_a_lane(path, tmp_path, parser, lanes):
    (tmp_path / "mega").write_bytes(os.urandom(3_000_000))
    (tmp_path / "small").write_bytes(b"s" * 100)
    async with (
        offered(Site(Static(tmp_path)), path, lanes=lanes) as offer,
        relaying(path) as site,
        served(site, parser=parser) as front,
    ):
        client = await front.connect()
        for _ in range(3):
            assert (await client.get("/x/mega"))[2] == (tmp_path / "mega").read_bytes()
            assert (await client.get("/x/small"))[2] == b"s" * 100
            assert (await client.get("/x/mega", Range="bytes=10-500000"))[2] == (tmp_path / "mega").read_bytes()[
                10:500001
            ]
        assert (await client.get("/x/mega", "HEAD"))[1]["content-length"] == "3000000"
        many = [await front.connect() for _ in range(12)]
        answers = await asyncio.gather(*(one.get("/x/mega") for one in many))
        assert {len(body) for _, _, body in answers} == {3_000_000}
        assert len(offer.lanes) == (8 if lanes else 0)
        assert len(offer.links) == 1, "one connection carries all calls"


async def test_a_lane_that_somebody_left_in_the_middle_carries_nothing_into_the_next_answer(path):
    big = b"b" * 8_000_000
    async with offered(Site(Page(lambda request: big)), path) as offer, relaying(path) as site, served(site) as front:
        for _ in range(3):
            hasty = await front.connect()
            await hasty.send("GET /x/ HTTP/1.1\r\nHost: x\r\n\r\n")
            await hasty.reader.readuntil(b"bbbb")
            hasty.close()
        client = await front.connect()
        assert (await client.get("/x/"))[2] == big
        async with asyncio.timeout(60):
            while len(offer.lanes) > 1 or offer.engine.active:
                await asyncio.sleep(0.01)


async def test_a_body_of_the_wrong_length_is_cut_and_the_next_answer_is_whole(path):
    def wrong(length):
        async def app(scope, receive, send):
            size = length if scope["path"] == "/wrong" else 200_000
            headers = [(b"content-length", b"%d" % size)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"w" * 100_000, "more_body": True})
            await send({"type": "http.response.body", "body": b"w" * 100_000})

        return app

    for length in (150_000, 250_000):
        async with offered(wrong(length), path), relaying(path) as site, served(site) as front:
            client = await front.connect()
            await client.send("GET /x/wrong HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await client.at_end()
            client = await front.connect()
            assert (await client.get("/x/"))[2] == b"w" * 200_000


async def test_an_endless_answer_is_held_back_by_its_reader_and_ends_with_it(path):
    written, ended = [], asyncio.Event()

    async def endless(request):
        try:
            while True:
                request.write(b"e" * 50_000)
                written.append(50_000)
                await request.flush()
        finally:
            ended.set()

    async with offered(Site(Page(endless)), path), relaying(path) as site, served(site) as front:
        client = await front.connect()
        await client.send("GET /x/ HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.reader.readuntil(b"eeee")
        before = -1
        async with asyncio.timeout(60):
            while before != len(written):  # until nothing moves any more
                before = len(written)
                await asyncio.sleep(0.2)
            assert sum(written) < 64 << 20
            client.close()
            await ended.wait()


async def test_an_application_learns_that_the_client_left_before_it_answered(path):
    asked, left = asyncio.Event(), asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        asked.set()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with offered(app, path), relaying(path) as site, served(site) as front:
        client = await front.connect()
        await client.send("GET /x/ HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            await asked.wait()
            client.close()
            await left.wait()


async def test_an_upload_that_breaks_off_is_seen_on_the_far_side(path):
    seen = asyncio.get_running_loop().create_future()

    async def app(scope, receive, send):
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
        seen.set_result((message["type"], size))

    async with offered(app, path), relaying(path) as site, served(site) as front:
        client = await front.connect()
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n12345")
        await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while not front.engine.active:
                await asyncio.sleep(0.01)
            client.close()
            assert (await seen)[0] == "http.disconnect"


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(path):
    def refuse(request):
        raise WebError(403, "not here")

    async with offered(Site(Page(refuse)), path), relaying(path) as site, served(site) as front:
        client = await front.connect()
        await client.send("POST /x/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n12345")
        assert (await client.answer())[0] == 403


async def test_a_server_that_is_down_is_502_and_comes_back_by_itself(path):
    async with relaying(path) as site, served(site) as front:
        client = await front.connect()
        assert (await client.get("/x/"))[0] == 502
        for _ in range(2):
            async with offered(Site(Echo()), path):
                assert (await client.get("/x/"))[0] == 200
            assert (await client.get("/x/"))[0] == 502


async def test_what_listens_and_says_nothing_is_502_within_the_connect_timeout(path):
    async def silent(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(silent, path)
    async with relaying(path, connect=0.05) as site:
        answers = await asyncio.gather(*(ask(site, "/x/") for _ in range(50)))
    assert {answer.status for answer in answers} == {502}
    server.close()


async def test_a_server_that_does_not_answer_is_504(path):
    async def never(request):
        await asyncio.sleep(3600)

    async with offered(Site(Page(never)), path), relaying(path, answer=0.05) as site:
        assert (await ask(site, "/x/")).status == 504


async def test_a_failing_application_far_away_is_502_and_half_an_answer_is_cut(path):
    async def app(scope, receive, send):
        if scope["path"] == "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    async with offered(app, path), relaying(path) as site, served(site) as front:
        client = await front.connect()
        assert (await client.get("/x/"))[0] == 502
        await client.send("GET /x/half HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await client.reader.read()
        assert b"half" in said and not said.endswith(b"0\r\n\r\n"), "seen to be cut"


async def test_who_may_not_ask_is_turned_away(path):
    async with offered(Site(Echo()), path, users=frozenset({4711})), relaying(path) as site:
        assert (await ask(site, "/x/")).status == 502
    async with offered(Site(Echo()), path), relaying(path, owner=4711) as site:
        assert (await ask(site, "/x/")).status == 502, "the socket is not the one of the user it names"


class Hostile(spread.Referenceable):
    def __init__(self, answer):
        self.answer = answer

    def remote_ask(self, head, body=None):
        return self.answer

    def remote_websocket(self, head, messages):
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (200, [], b""),
        ("200", [], b"", None),
        (99, [], b"", None),
        (200, [b"a"], b"", None),
        (200, [b"a\r\nb", b"c"], b"", None),
        (200, [b"a", b"c\r\nset-cookie: x"], b"", None),
        (200, ["a", "b"], b"", None),
        (200, [], "text", None),
        (200, [], b"", 7),
        (200, [], b"", Hostile(None)),
        (200, [b"content-length", b"10"], b"", True),
        (200, [b"content-length", b"1"], b"too long", None),
        (200, [b"content-length", b"-5"], b"", None),
    ],
)
async def test_whatever_another_server_says_no_more_than_its_own_answer_suffers(path, answer):
    root = Hostile(answer)
    link = lambda: spread.Link(server=True, limits=spread.FRIEND, lookup=lambda link, name: root)
    server = await asyncio.get_running_loop().create_unix_server(link, sock=bind_unix(path))
    async with relaying(path) as site, served(site) as front:
        client = await front.connect()
        await client.send("GET /x/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(60):
            said = await client.reader.read()
        assert b"HTTP/1.1 502" in said or not said.endswith(b"\r\n0\r\n\r\n"), "an error, or seen to be cut"
        assert b"set-cookie" not in said
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            async with asyncio.timeout(60), connect_websocket(f"ws://127.0.0.1:{front.port}/x/") as socket:
                await socket.recv()
        assert (await (await front.connect()).get("/"))[0] == 404
    server.close()


async def talk(scope, receive, send):
    """Repeats, closes at "bye", falls at "fall"."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001})
            return
        if message.get("text") == "fall":
            raise ZeroDivisionError
        await send({"type": "websocket.send", **{k: v for k, v in message.items() if k in {"text", "bytes"} and v}})
    talk.closed.set_result(message["code"])


async def test_websockets_go_through_and_say_how_they_ended(path):
    talk.closed = asyncio.get_running_loop().create_future()
    async with offered(talk, path) as offer, relaying(path) as site, served(site) as front:
        url = f"ws://127.0.0.1:{front.port}/x/chat?a=1"
        async with connect_websocket(url, subprotocols=["one", "two"]) as socket:
            assert socket.subprotocol == "one"
            for said in ("text", b"bytes", "é" * 1000, b"z" * 900_000):
                await socket.send(said)
                assert await socket.recv() == said
            await socket.close(4002)
        assert await talk.closed == 4002
        for word, code in (("bye", 4001), ("fall", 1011)):
            async with connect_websocket(url) as socket:
                await socket.send(word)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                assert socket.close_code == code
        async with connect_websocket(url) as socket:
            await socket.send("here")
            assert await socket.recv() == "here"
            for link in offer.links:
                link.abort()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1011, "the far server is gone"


async def test_a_thousand_messages_each_way_keep_their_order(path):
    talk.closed = asyncio.get_running_loop().create_future()
    async with offered(talk, path), relaying(path) as site, served(site) as front:
        async with connect_websocket(f"ws://127.0.0.1:{front.port}/x/") as socket:
            for number in range(1000):
                await socket.send(str(number))
            assert [await socket.recv() for _ in range(1000)] == [str(number) for number in range(1000)]


def test_a_port_that_is_left_out_is_the_one_of_perspective_brokers():
    assert with_port("midair://host/N") == "midair://host:8787/N"
    assert with_port("midair://[::1]/N") == "midair://[::1]:8787/N"
    for whole in ("midair://host:1/N", "midair://[::1]:1/N", "midair+unix:///run/a.sock"):
        assert with_port(whole) == whole


def test_addresses_and_answers_that_are_none_are_named():
    with pytest.raises(ServiceError, match="no address"):
        FarSite("midair://")
    with pytest.raises(spread.SpreadError, match="a header line"):
        pairs([b"a b", b"c"])
    with pytest.raises(spread.SpreadError, match="status 700"):
        checked((700, [], b"", None))
    assert LONG > 0
