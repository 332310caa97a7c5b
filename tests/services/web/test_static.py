"""Files and folders, asked for without a socket."""

import gzip
import os

import pytest
from asgi_client import ask

from midair.services.web.resource import Resource
from midair.services.web.rules import http_date
from midair.services.web.site import Site
from midair.services.web.static import SMALL, Static

ZEROCOPY = {"http.response.zerocopysend": {}}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "site"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"0123456789" * 10)
    (root / "page.html").write_text("<p>" + "hello " * 1000)
    (root / "big.bin").write_bytes(os.urandom(SMALL + 1000))
    (root / "sub" / "index.html").write_text("the index")
    (root / ".secret").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    return root


@pytest.fixture
def site(folder):
    return Site(Static(folder))


async def test_a_file_comes_with_its_validators(site, folder):
    got = await ask(site, "/a.txt")
    assert (got.status, got.body) == (200, b"0123456789" * 10)
    assert got["content-type"] == "text/plain; charset=utf-8"
    assert got["content-length"] == "100"
    assert got["last-modified"] == http_date((folder / "a.txt").stat().st_mtime).decode()
    assert got["etag"].startswith('"')
    assert got["accept-ranges"] == "bytes"
    assert got["x-content-type-options"] == "nosniff"
    assert got["cache-control"] == "no-cache"


async def test_head_gives_the_headers_of_get(site):
    for path in ("/a.txt", "/big.bin", "/sub/", "/"):
        get, head = await ask(site, path), await ask(site, path, "HEAD", extensions=ZEROCOPY)
        assert (head.status, head.headers) == (200, get.headers)
        assert not any(m["type"] == "http.response.zerocopysend" for m in head.messages)


async def test_a_second_request_is_answered_from_memory_until_the_file_changes(site, folder, monkeypatch):
    await ask(site, "/a.txt")
    opened = []
    monkeypatch.setattr(Static, "_open", lambda _self, path: opened.append(path))
    assert (await ask(site, "/a.txt")).body == b"0123456789" * 10
    assert opened == []
    monkeypatch.undo()
    (folder / "a.txt").write_text("new")
    got = await ask(site, "/a.txt")
    assert (got.body, got["content-length"]) == (b"new", "3")
    (folder / "a.txt").unlink()
    assert (await ask(site, "/a.txt")).status == 404


async def test_a_large_file_is_never_in_memory(site, folder):
    got = await ask(site, "/big.bin")
    assert got.body == (folder / "big.bin").read_bytes()
    assert all(len(m.get("body", b"")) <= 512 << 10 for m in got.messages)
    direct = await ask(site, "/big.bin", extensions=ZEROCOPY)
    assert direct.body == got.body
    assert [m["type"] for m in direct.messages] == ["http.response.start", "http.response.zerocopysend"]
    part = await ask(site, "/big.bin", extensions=ZEROCOPY, range="bytes=5-104")
    assert (part.status, part.body) == (206, got.body[5:105])


async def test_conditional_requests(site):
    got = await ask(site, "/a.txt")
    for header in ({"if_none_match": got["etag"]}, {"if_modified_since": got["last-modified"]}):
        again = await ask(site, "/a.txt", **header)
        assert (again.status, again.body) == (304, b"")
        assert again["etag"] == got["etag"]
        assert not again["content-length"]
        assert not again["content-type"]
    assert (await ask(site, "/a.txt", if_match='"other"')).status == 412
    assert (await ask(site, "/a.txt", if_none_match='"other"')).status == 200


async def test_ranges(site):
    whole = await ask(site, "/a.txt")
    got = await ask(site, "/a.txt", range="bytes=10-20")
    assert (got.status, got.body, got["content-range"]) == (206, b"01234567890", "bytes 10-20/100")
    assert (got["content-length"], got["etag"]) == ("11", whole["etag"])
    assert (await ask(site, "/a.txt", range="bytes=-5")).body == b"56789"
    assert (await ask(site, "/a.txt", range="bytes=95-")).body == b"56789"
    off = await ask(site, "/a.txt", range="bytes=100-")
    assert (off.status, off["content-range"]) == (416, "bytes */100")
    assert (await ask(site, "/a.txt", range="bytes=9-1")).status == 200
    assert (await ask(site, "/a.txt", range="bytes=0-1,5-6")).body == whole.body
    assert (await ask(site, "/a.txt", range="bytes=0-1", if_range=whole["etag"])).status == 206
    assert (await ask(site, "/a.txt", range="bytes=0-1", if_range='"x"')).status == 200
    assert (await ask(site, "/a.txt", "HEAD", range="bytes=0-1")).status == 200


async def test_text_is_packed_for_who_takes_it(site):
    plain = await ask(site, "/page.html")
    packed = await ask(site, "/page.html", accept_encoding="gzip, deflate")
    assert packed["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed["etag"] != plain["etag"]
    assert packed["vary"] == plain["vary"] == "accept-encoding"
    assert (await ask(site, "/page.html", accept_encoding="gzip", if_none_match=packed["etag"])).status == 304
    assert (await ask(site, "/page.html", accept_encoding="gzip", if_none_match=plain["etag"])).status == 200
    assert not (await ask(site, "/page.html", accept_encoding="gzip;q=0"))["content-encoding"]
    assert not (await ask(site, "/a.txt", accept_encoding="gzip"))["vary"], "too small to be worth it"
    assert not (await ask(site, "/big.bin", accept_encoding="gzip"))["content-encoding"]


async def test_a_packed_file_beside_is_taken_unless_it_is_older(site, folder):
    (folder / "page.html.br").write_bytes(b"brotli")
    (folder / "page.html.gz").write_bytes(gzip.compress(b"ready"))
    assert (await ask(site, "/page.html", accept_encoding="br, gzip")).body == b"brotli"
    ready = await ask(site, "/page.html", accept_encoding="gzip")
    assert gzip.decompress(ready.body) == b"ready"
    assert ready["content-type"] == "text/html; charset=utf-8"
    (folder / "page.html.br").unlink()
    assert (await ask(site, "/page.html", accept_encoding="br, gzip"))["content-encoding"] == "gzip"
    os.utime(folder / "page.html.gz", (1, 1))
    (folder / "page.html").write_text("<p>" + "newer " * 1000)
    fresh = await ask(site, "/page.html", accept_encoding="gzip")
    assert gzip.decompress(fresh.body).startswith(b"<p>newer")


async def test_a_folder_has_a_slash_an_index_or_a_listing(site, folder):
    moved = await ask(site, "/sub?a=1")
    assert (moved.status, moved["location"]) == (301, "./sub/?a=1")
    assert (await ask(site, "/sub/")).text == "the index"
    (folder / "<b>&.txt").write_text("x")
    (folder / "javascript:alert(1)").write_text("x")
    page = await ask(site, "/")
    assert page["content-type"].startswith("text/html")
    assert '<a href="./%3Cb%3E%26.txt">&lt;b&gt;&amp;.txt</a>' in page.text
    assert 'href="./javascript%3Aalert%281%29"' in page.text
    assert ".secret" not in page.text
    assert page.text.index("sub/") < page.text.index("a.txt"), "folders first"
    site.root.listing = False
    assert (await ask(site, "/")).status == 404


async def test_a_redirect_never_leaves_the_host(folder):
    (folder / "evil.example").mkdir()
    moved = await ask(Site(Static(folder)), "//evil.example")
    assert moved.status == 404
    moved = await ask(Site(Static(folder)), "/evil.example")
    assert moved["location"] == "./evil.example/"


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/sub/../../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/..%5coutside.txt",
        "/%252e%252e/outside.txt",
        "/%c0%ae%c0%ae/outside.txt",
        "/sub%2f..%2f..%2foutside.txt",
        "/.secret",
        "/a.txt/",
        "/sub//index.html",
        "//a.txt",
        "/a.txt%00.html",
        "/" + "x" * 5000,
    ],
)
async def test_what_is_outside_or_hidden_is_not_there(site, path):
    got = await ask(site, path)
    assert 400 <= got.status < 500
    assert got.body != b"no"


async def test_symlinks_stay_inside_unless_allowed(site, folder):
    (folder / "in.txt").symlink_to("a.txt")
    (folder / "out.txt").symlink_to(folder.parent / "outside.txt")
    (folder / "away").symlink_to(folder.parent)
    assert (await ask(site, "/in.txt")).status == 200
    assert (await ask(site, "/out.txt")).status == 404
    assert (await ask(site, "/away/outside.txt")).status == 404
    (folder / "in.txt").unlink()
    (folder / "in.txt").symlink_to(folder.parent / "outside.txt")
    assert (await ask(site, "/in.txt")).status == 404, "also when it was in memory before"
    site.root.outside = True
    assert (await ask(site, "/out.txt")).body == b"no"


async def test_pipes_and_devices_are_not_files(site, folder):
    os.mkfifo(folder / "pipe")
    assert (await ask(site, "/pipe")).status == 404


async def test_only_reading_is_done_to_files(site):
    for method in ("POST", "PUT", "DELETE", "BREW"):
        got = await ask(site, "/a.txt", method)
        assert (got.status, got["allow"]) == (405, "GET, HEAD")


async def test_scripts_are_not_shown_where_they_are_not_run(site, folder):
    (folder / "x.epy").write_text("password = 'x'")
    assert (await ask(site, "/x.epy")).status == 403


async def test_cache_control_follows_its_rules(folder):
    (folder / "app-0123abcd.js").write_text("x")
    site = Site(Static(folder, cache=[("*.html", "max-age=5")]))
    assert (await ask(site, "/page.html"))["cache-control"] == "max-age=5"
    assert (await ask(site, "/app-0123abcd.js"))["cache-control"].endswith("immutable")


async def test_one_file_can_be_a_resource(folder):
    root = Resource()
    root.putChild("it", Static(folder / "a.txt"))
    site = Site(root)
    assert (await ask(site, "/it")).status == 200
    assert (await ask(site, "/it/x")).status == 404


async def test_memory_is_bounded(folder, monkeypatch):
    monkeypatch.setattr("midair.services.web.static.MEMORY", 20_000)
    site = Site(Static(folder))
    for number in range(30):
        (folder / f"{number}.txt").write_bytes(b"x" * 2000)
        assert (await ask(site, f"/{number}.txt")).status == 200
    assert site.root._held <= 20_000
    assert len(site.root._known) <= 7
