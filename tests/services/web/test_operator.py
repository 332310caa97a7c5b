"""The operator's pages: off unless asked for, near only, behind a login."""

import json

from web_server import client_of, running

from midair.runtime.space import Space
from midair.runtime.testing import resaved
from midair.services.web import Text, Web
from midair.services.web.operator import Operator


class Anything(Text):
    isLeaf = True


def web(**options):
    made = Web(Anything("x"), port=0)
    made.site.operator = Operator(**options)
    return made


async def log_in(client, password):
    body = f"username=operator&password={password}"
    await client.send(
        "POST /-/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    return await client.answer()


async def test_nothing_is_there_unless_asked_for():
    async with running(Web(Anything("x"), port=0)) as service:
        client = await client_of(service)
        assert (await client.get("/-/status"))[2] == b"x", "it is an address like any other"
        client.close()
    async with running(web()) as service:
        client = await client_of(service)
        for path in ("/-/status", "/-/metrics", "/-/events", "/-/", "/-/nothing"):
            assert (await client.get(path))[0] == 404
        client.close()


async def test_a_login_shows_the_page_and_its_events():
    service = web()
    password = service.site.operator.set_password()
    async with running(service):
        client = await client_of(service)
        assert b"Log in" in (await client.get("/-/status"))[2]
        assert (await client.get("/-/events"))[0] == 403
        assert (await log_in(client, "wrong"))[0] == 403
        status, headers, _ = await log_in(client, password)
        assert (status, headers["location"]) == (303, "./status")
        cookie = headers["set-cookie"].partition(";")[0]
        assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
        status, headers, body = await client.get("/-/status", Cookie=cookie)
        assert b"EventSource" in body
        assert "default-src 'none'" in headers["content-security-policy"]
        service.site.operator._note("edit 7")
        await client.send(f"GET /-/events HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"text/event-stream" in head
        await client.reader.readuntil(b"data: ")
        now = json.loads(await client.reader.readuntil(b"\n\n"))
        assert now["statuses"]["403"] == 2
        assert now["connections"] == 1
        assert now["memory"] > 1_000_000
        assert now["happened"][-1]["what"] == "edit 7"
        assert now["services"]["web"][0].startswith("127.0.0.1:")
        client.close()


async def test_guessing_is_slow():
    service = web()
    service.site.operator.set_password("right one")
    service.site.operator.guesses.clock = lambda: 0.0
    async with running(service):
        client = await client_of(service)
        assert [(await log_in(client, "wrong"))[0] for _ in range(6)] == [403] * 5 + [429]
        assert (await log_in(client, "right+one"))[0] == 429, "not even with the password"
        service.site.operator.guesses.clock = lambda: 10.0
        assert (await log_in(client, "right+one"))[0] == 303
        client.close()


async def test_it_is_for_this_machine_only_unless_said_otherwise():
    service = web(metrics=True)
    service.site.operator.set_password("x")
    async with running(service):
        client = await client_of(service)
        for headers in ({"X_Forwarded_For": "1.2.3.4"}, {"Via": "1.1 proxy"}):
            assert (await client.get("/-/status", **headers))[0] == 404
            assert (await client.get("/-/metrics", **headers))[0] == 404
        await client.send("GET /-/status HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
        assert (await client.answer())[0] == 404
        service.site.operator.anywhere = True
        assert (await client.get("/-/status", Via="1.1 proxy"))[0] == 200
        client.close()


async def test_numbers_for_prometheus():
    service = web(metrics=True)
    async with running(service):
        client = await client_of(service)
        await client.get("/a")
        status, headers, body = await client.get("/-/metrics")
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        lines = body.decode().splitlines()
        assert 'midair_http_requests_total{status="200"} 1' in lines
        assert 'midair_http_request_seconds_bucket{le="+Inf"} 1' in lines
        assert "midair_http_connections 1" in lines
        client.close()


async def test_the_password_survives_as_a_hash_and_logins_do_not():
    service = web()
    service.site.operator.set_password("a long secret")
    space = Space()
    space["web"] = service
    again = resaved(space)["web"]
    async with running(again):
        client = await client_of(again)
        assert (await log_in(client, "a+long+secret"))[0] == 303
        client.close()
    from midair.runtime import snapshot

    assert b"a long secret" not in snapshot.dumps(space)
