"""The tree of resources, what it answers, and what a request tells."""

import pytest
from asgi_client import ask

from midair.services.web.errors import WebError
from midair.services.web.request import Request
from midair.services.web.resource import NameVirtualHost, Resource, Text
from midair.services.web.site import Site


class Echo(Resource):
    isLeaf = True

    def render(self, request: Request):
        return f"{request.prepath} {request.postpath} {sorted(request.args.items())}"


class Page(Resource):
    def __init__(self, result):
        self.result = result

    def render_GET(self, request):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result(request) if callable(self.result) else self.result


def tree(**children):
    root = Resource()
    for name, child in children.items():
        root.putChild(name, child)
    return Site(root)


async def test_the_walk_goes_by_children_and_stops_at_a_leaf():
    site = tree(a=Echo())
    got = await ask(site, "/a/b%20c/d?x=1&y=&x=2")
    assert got.text == "['a'] ['b c', 'd'] [('x', ['1', '2']), ('y', [''])]"
    assert got["content-type"] == "text/html; charset=utf-8"
    assert (await ask(site, "/nothing")).status == 404


async def test_children_can_be_found_by_a_plain_or_async_method():
    class Users(Resource):
        def getChild(self, name, request):
            return Text(f"plain {name}") if name == "p" else self.later(name)

        async def later(self, name):
            return Text(f"later {name}") if name == "q" else None

    site = tree(u=Users())
    assert (await ask(site, "/u/p")).text == "plain p"
    assert (await ask(site, "/u/q")).text == "later q"
    assert (await ask(site, "/u/r")).status == 404


async def test_a_slash_at_the_end_is_the_resource_itself():
    site = tree(a=Text("it"))
    assert (await ask(site, "/a/")).text == "it"
    assert (await ask(site, "/a//")).status == 404


async def test_a_child_put_or_removed_is_live_at_once():
    site = tree()
    assert (await ask(site, "/x")).status == 404
    site.root.putChild("x", Text("here"))
    assert (await ask(site, "/x")).status == 200
    site.root.removeChild("x")
    assert (await ask(site, "/x")).status == 404


async def test_what_render_may_return():
    async def later(request):
        return b"bytes"

    async def pieces():
        yield "one "
        yield b"two"

    def written(request):
        request.write("a")
        request.write(b"b")

    site = tree(
        text=Page("é"),
        later=Page(later),
        json=Page({"a": [1]}),
        pieces=Page(lambda _r: pieces()),
        written=Page(written),
    )
    assert (await ask(site, "/text")).body == "é".encode()
    assert (await ask(site, "/later")).body == b"bytes"
    got = await ask(site, "/json")
    assert (got.body, got["content-type"]) == (b'{"a": [1]}', "application/json")
    got = await ask(site, "/pieces")
    assert (got.body, got["content-length"]) == (b"one two", "")
    assert (await ask(site, "/written")).body == b"ab"


async def test_methods_that_are_not_there_are_named():
    site = tree(a=Page("x"))
    assert (await ask(site, "/a", "HEAD")).status == 200
    got = await ask(site, "/a", "POST")
    assert (got.status, got["allow"]) == (405, "GET, HEAD")
    got = await ask(site, "/a", "OPTIONS")
    assert (got.status, got["allow"]) == (204, "GET, HEAD, OPTIONS")


async def test_an_error_shows_the_public_an_id_and_the_developer_the_traceback(caplog):
    site = tree(a=Page(ZeroDivisionError("<boom>")))
    for shown, kwargs in [
        (True, {}),
        (False, {"client": "10.0.0.9"}),
        (False, {"x_forwarded_for": "1.2.3.4"}),
        (False, {"host": "rebound.example"}),
    ]:
        caplog.clear()
        got = await ask(site, "/a", **kwargs)
        assert got.status == 500
        assert ("ZeroDivisionError: &lt;boom&gt;" in got.text) is shown
        number = got.text.partition("<code>")[2].partition("</code>")[0]
        assert f"error {number}: GET /a" in caplog.text
    site.show_errors = "never"
    assert "ZeroDivision" not in (await ask(site, "/a")).text


async def test_an_error_page_can_be_chosen():
    site = tree(a=Page(WebError(418, "short & stout", {"X-Pot": "1"})))
    got = await ask(site, "/a")
    assert (got.status, got["x-pot"]) == (418, "1")
    assert "Short &amp; stout." in got.text


async def test_headers_that_would_split_the_answer_are_refused():
    site = tree(a=Page(lambda request: request.setHeader("Location", request.arg("to"))))
    got = await ask(site, "/a?to=x%0d%0aSet-Cookie:%20a=b")
    assert got.status == 500
    assert not got["set-cookie"]
    assert not got["location"]


async def test_a_request_names_its_host_once():
    site = tree(a=Text("x"))
    assert (await ask(site, "/a", host="")).status == 400
    assert (await ask(site, "/a", host="", version="1.0")).status == 200
    assert (await ask(site, "/a", raw=[(b"host", b"other")])).status == 400


async def test_two_lengths_are_refused_and_the_connection_closed():
    site = tree(a=Text("x"))
    got = await ask(site, "/a", "POST", content_length="3", transfer_encoding="chunked", body=b"abc")
    assert (got.status, got["connection"]) == (400, "close")
    got = await ask(site, "/a", "POST", raw=[(b"content-length", b"3"), (b"content-length", b"3")])
    assert (got.status, got["connection"]) == (400, "close")


async def test_bodies_have_limits():
    async def read(request):
        return await request.body(10)

    site = tree(a=Page(read))
    assert (await ask(site, "/a", body=[b"12345", b"67890"])).body == b"1234567890"
    assert (await ask(site, "/a", body=[b"12345", b"678901"])).status == 413
    site.max_body = 5
    assert (await ask(site, "/a", content_length="6", body=b"123456")).status == 413
    assert (await ask(site, "/a", body=[b"1234", b"56"])).status == 413


async def test_virtual_hosts_go_by_exact_name_wildcard_and_default():
    hosts = NameVirtualHost()
    hosts.addHost("Example.org", Text("exact"))
    hosts.addHost("*.example.org", Text("wild"))
    hosts.addHost("*.deep.example.org", Text("deep"))
    site = Site(hosts)
    for host, text in [
        ("example.org", "exact"),
        ("EXAMPLE.ORG:8080", "exact"),
        ("example.org.", "exact"),
        ("a.example.org", "wild"),
        ("a.b.example.org", "wild"),
        ("x.deep.example.org", "deep"),
    ]:
        assert (await ask(site, "/", host=host)).text == text
    assert (await ask(site, "/", host="other.org")).status == 404
    hosts.default = Text("default")
    assert (await ask(site, "/", host="other.org")).text == "default"
    assert (await ask(site, "/", host="", version="1.0")).text == "default"


async def test_links_are_relative():
    class Links(Resource):
        isLeaf = True

        def render(self, request):
            return f"{request.childLink('c')} {request.sibLink('s')}"

    site = tree(a=Links())
    assert (await ask(site, "/a/b")).text == "./b/c ./s"
    assert (await ask(site, "/a/b/")).text == "./c ../s"


async def test_basic_authentication_is_read():
    site = tree(a=Page(lambda request: f"{request.getUser()}:{request.getPassword()}"))
    assert (await ask(site, "/a", authorization="Basic bWU6c2VjOnJldA==")).text == "me:sec:ret"
    assert (await ask(site, "/a", authorization="Basic !!")).text == ":"


@pytest.mark.parametrize("target", ["*", "/%ff", "/a/../b"])
async def test_bad_targets_get_400(target):
    assert (await ask(tree(), target)).status == 400
