"""ASGI and WSGI applications in the tree."""

import asyncio
from wsgiref.validate import validator

import pytest
from asgi_client import ask
from web_server import served
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus

from midair.runtime.errors import ServiceError
from midair.services.web.apps import AppMount
from midair.services.web.resource import Resource, Text
from midair.services.web.site import Site


async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = f"{scope['root_path']} {scope['path']} {message['type']} {len(body)}".encode()
    headers = [(b"content-length", b"%d" % len(text)), (b"x-frame-options", b"DENY")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def mounted(app, path="app", **options):
    root = Resource()
    root.putChild(path, AppMount(app, **options))
    root.putChild("page", Text("page"))
    return Site(root)


async def test_an_application_sees_where_it_is_mounted():
    site = mounted(asgi)
    got = await ask(site, "/app/x/y?a=1")
    assert got.text == "/app /app/x/y http.request 0"
    assert got["x-frame-options"] == "DENY", "what the application says wins"
    assert got["x-content-type-options"] == "nosniff"
    assert (await ask(site, "/page")).text == "page"
    root = Site(AppMount(asgi))
    assert (await ask(root, "/x")).text == " /x http.request 0"


async def test_a_body_over_the_limit_ends_for_the_application():
    site = mounted(asgi)
    site.max_body = 5
    assert (await ask(site, "/app", body=[b"123", b"45"])).text == "/app /app http.request 5"
    assert "http.disconnect" in (await ask(site, "/app", body=[b"123", b"456"])).text


async def test_an_application_that_fails_gives_a_plain_500(caplog):
    async def fails(scope, receive, send):
        raise ValueError("inside")

    got = await ask(mounted(fails), "/app", client="10.0.0.1")
    assert got.status == 500
    assert "inside" not in got.text
    assert "ValueError: inside" in caplog.text


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    text = f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']} {body.decode()} {environ.get('HTTP_X_USER')}"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))])
    return [text.encode()]


async def test_a_wsgi_application_passes_the_validator():
    site = mounted(validator(wsgi), kind="wsgi")
    async with served(site) as server:
        client = await server.connect()
        assert (await client.get("/app/x?a=1"))[2] == b"/app /x  None"
        assert (await client.get("/app/x", "HEAD"))[0] == 200
        await client.send("POST /app/y HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-User: me\r\n\r\nabc")
        assert (await client.answer())[2] == b"/app /y abc me"
        await client.send("GET /app/y HTTP/1.1\r\nHost: x\r\nX_User: forged\r\n\r\n")
        assert (await client.answer())[2] == b"/app /y  None"
        assert (await client.get("/page"))[2] == b"page"
    await site.root.children["app"].end()


def with_lifespan(events, name, *, fails=False):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            if fails:
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            scope["state"]["name"] = name
            events.append(f"{name} starts")
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            events.append(f"{name} stops")
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": f"{name} {message['text']}"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["state"]["name"].encode()})

    return app


async def test_a_swap_starts_the_new_one_first_and_ends_the_old_one_after_its_last_websocket():
    events = []
    site = mounted(with_lifespan(events, "old"))
    mount = site.root.children["app"]
    async with served(site) as server:
        client = await server.connect()
        assert (await client.get("/app"))[2] == b"old"
        async with connect_websocket(f"ws://127.0.0.1:{server.port}/app") as socket:
            await socket.send("a")
            assert await socket.recv() == "old a"
            await mount.swap(with_lifespan(events, "new"))
            assert (await client.get("/app"))[2] == b"new"
            await socket.send("b")
            assert await socket.recv() == "old b"
            assert events == ["old starts", "new starts"]
        await asyncio.gather(*mount._retiring)
        assert events == ["old starts", "new starts", "old stops"]
        with pytest.raises(ServiceError, match="no database"):
            await mount.swap(with_lifespan(events, "bad", fails=True))
        assert (await client.get("/app"))[2] == b"new"
    await mount.end()
    assert events[-1] == "new stops"


async def test_websockets_are_refused_where_the_application_is_wsgi():
    async with served(mounted(wsgi, kind="wsgi")) as server:
        client = await server.connect()
        key = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            + "A" * 22
            + "=="
        )
        await client.send(f"GET /app HTTP/1.1\r\nHost: x\r\n{key}\r\n\r\n")
        assert (await client.answer())[0] == 403


async def test_a_page_of_the_network_opens_no_websocket_to_this_machine():
    async with served(mounted(with_lifespan([], "app"))) as server:
        url = f"ws://127.0.0.1:{server.port}/app"
        for origin in ("http://localhost:3000", "http://127.0.0.1:9", None):
            async with connect_websocket(url, origin=origin) as socket:
                await socket.send("a")
                assert await socket.recv() == "app a"
        for origin in ("https://evil.example", "http://127.0.0.1.evil.example"):
            with pytest.raises(InvalidStatus):
                await connect_websocket(url, origin=origin)
        told = {"X-Forwarded-For": "1.2.3.4"}
        async with connect_websocket(url, origin="https://example.org", additional_headers=told) as socket:
            await socket.send("through a proxy")
            assert await socket.recv() == "app through a proxy"
    await asyncio.sleep(0)
