"""What redbot and httplint, whom nobody here wrote, say of our answers: nothing bad."""

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path

import pytest
from asgi_client import ask
from httplint import HttpRequestLinter, HttpResponseLinter
from httplint.note import levels
from web_server import served

from midair.services.web import Resource, Static, WebError
from midair.services.web.demo import Demo
from midair.services.web.rules import http_date
from midair.services.web.site import Site

REDBOT = Path(sys.executable).with_name("redbot")


class Page(Resource):
    def render_GET(self, request):
        request.setHeader("Cache-Control", "max-age=60")
        return "<!doctype html><title>x</title>" + "dynamic " * 200


class Fails(Resource):
    def render_GET(self, request):
        raise ValueError("x")


class Refuses(Resource):
    def render_GET(self, request):
        raise WebError(403, "not for you")


@pytest.fixture
def site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "page.html").write_text("<!doctype html><title>x</title>" + "hello " * 400)
    (tmp_path / "big.bin").write_bytes(bytes(range(256)) * 2000)
    root = Resource()
    for name, child in {
        "files": Static(tmp_path),
        "page": Page(),
        "fails": Fails(),
        "refuses": Refuses(),
        "demo": Demo(),
    }.items():
        root.putChild(name, child)
    return Site(root)


@pytest.mark.skipif(not REDBOT.exists() and not shutil.which("redbot"), reason="redbot is not installed")
async def test_redbot_finds_nothing_wrong(site):
    async with served(site) as server:

        async def notes(path):
            process = await asyncio.create_subprocess_exec(
                str(REDBOT), "-o", "har", f"http://127.0.0.1:{server.port}{path}", stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            return path, json.loads(out)["log"]["entries"][0]["_red_messages"]

        paths = ["/files/page.html", "/files/big.bin", "/files/sub/", "/page", "/demo/"]
        for path, found in [await notes(path) for path in paths]:
            assert not [note["summary"] for note in found if note["level"] in {"BAD", "WARN"}], path
            ids = {note["note_id"] for note in found}
            if path == "/files/page.html":
                assert {"CONNEG_GZIP_GOOD", "INM_304", "IMS_304", "RANGE_CORRECT"} <= ids


REQUESTS = [
    ("/files/page.html", "GET", {}, 200),
    ("/files/page.html", "HEAD", {}, 200),
    ("/files/page.html", "GET", {"accept_encoding": "gzip"}, 200),
    ("/files/page.html", "GET", {"if_none_match": "*"}, 304),
    ("/files/page.html", "GET", {"range": "bytes=0-9"}, 206),
    ("/files/page.html", "GET", {"range": "bytes=99999-"}, 416),
    ("/files/page.html", "GET", {"if_match": '"x"'}, 412),
    ("/files/sub", "GET", {}, 301),
    ("/files/none", "GET", {}, 404),
    ("/files/page.html", "POST", {}, 405),
    ("/page", "GET", {}, 200),
    ("/page", "OPTIONS", {}, 204),
    ("/fails", "GET", {}, 500),
    ("/refuses", "GET", {}, 403),
    ("/demo/", "GET", {}, 200),
]


@pytest.mark.parametrize(("path", "method", "headers", "status"), REQUESTS)
async def test_httplint_finds_nothing_wrong(site, path, method, headers, status):
    got = await ask(site, path, method, **headers)
    assert got.status == status
    asked = HttpRequestLinter()
    asked.process_request_topline(method.encode(), f"http://localhost{path}".encode(), b"HTTP/1.1")
    asked.process_headers(
        [(b"Host", b"localhost"), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
    )
    asked.finish_content(True)
    linter = HttpResponseLinter(no_content=method == "HEAD", _related=asked)
    linter.process_response_topline(b"HTTP/1.1", str(status).encode(), b"")
    raw = [(name.encode(), value.encode()) for name, value in got.headers]
    linter.process_headers([*raw, (b"date", http_date(time.time()))])
    linter.feed_content(b"" if method == "HEAD" else got.body)
    linter.finish_content(True)
    assert not [str(note.summary) for note in linter.notes if note.level in {levels.BAD, levels.WARN}]
