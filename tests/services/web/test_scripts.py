"""Live Python pages and CGI programs."""

import asyncio
import os
import textwrap

import pytest
from asgi_client import ask
from web_server import served

from midair.services.web.cgi import CGI
from midair.services.web.scripts import Scripts
from midair.services.web.site import Site
from midair.services.web.static import Static


@pytest.fixture
def site(tmp_path):
    root = Static(tmp_path)
    root.processors = {".epy": Scripts(), ".cgi": CGI(timeout=20)}
    return Site(root)


def write(path, text):
    path.write_text(textwrap.dedent(text).lstrip())
    path.chmod(0o755)
    return path


async def test_a_script_writes_its_page_and_an_edit_is_live(site, tmp_path):
    page = write(tmp_path / "x.epy", "request.write('one ' + request.arg('a') + __file__)")
    got = await ask(site, "/x.epy?a=1")
    assert (got.status, got.text) == (200, f"one 1{page}")
    assert got["content-type"] == "text/html; charset=utf-8"
    write(page, "request.setHeader('Content-Type', 'text/plain'); request.write('another')")
    got = await ask(site, "/x.epy")
    assert (got.text, got["content-type"]) == ("another", "text/plain")
    page.unlink()
    assert (await ask(site, "/x.epy")).status == 404


async def test_a_script_may_await_and_read_a_form(site, tmp_path):
    write(
        tmp_path / "form.epy",
        """
        import asyncio
        await asyncio.sleep(0)
        form = await request.form()
        request.write(form.get("name"))
        """,
    )
    got = await ask(site, "/form.epy", "POST", body=b"name=you", content_type="application/x-www-form-urlencoded")
    assert got.text == "you"


async def test_an_error_in_a_script_names_its_line_to_the_developer_only(site, tmp_path, caplog):
    write(tmp_path / "bad.epy", "request.write('half')\n1 / 0\n")
    got = await ask(site, "/bad.epy")
    assert got.status == 500
    assert "bad.epy&quot;, line 2" in got.text
    assert "1 / 0" in got.text
    assert "half" not in got.text.partition("<pre>")[0]
    public = await ask(site, "/bad.epy", client="10.1.1.1")
    assert "bad.epy" not in public.text
    number = public.text.partition("<code>")[2].partition("</code>")[0]
    assert f"error {number}" in caplog.text
    write(tmp_path / "typo.epy", "request.write(")
    got = await ask(site, "/typo.epy")
    assert (got.status, "SyntaxError" in got.text) == (500, True)


async def test_an_index_may_be_a_script(site, tmp_path):
    write(tmp_path / "index.epy", "request.write('front')")
    site.root.index = ("index.html", "index.epy")
    assert (await ask(site, "/")).text == "front"


async def test_a_cgi_program_gets_its_environment_and_its_body(site, tmp_path):
    write(
        tmp_path / "x.cgi",
        """
        #!/bin/sh
        echo "Status: 201 Made"
        echo "Content-Type: text/plain"
        echo "X-Own:  value: with colon"
        echo
        echo "$REQUEST_METHOD $QUERY_STRING $CONTENT_LENGTH $SCRIPT_NAME $HTTP_X_THING [$HTTP_PROXY] $PWD"
        cat
        """,
    )
    got = await ask(
        site, "/x.cgi?a=b", "POST", body=[b"12", b"345"], content_length="5", x_thing="t", proxy="http://evil"
    )
    assert (got.status, got["x-own"]) == (201, "value: with colon")
    assert got.text == f"POST a=b 5 /x.cgi t [] {tmp_path}\n12345"


async def test_a_cgi_program_may_redirect(site, tmp_path):
    write(tmp_path / "go.cgi", '#!/bin/sh\nprintf "Location: /there\\r\\n\\r\\n"\n')
    got = await ask(site, "/go.cgi")
    assert (got.status, got["location"]) == (302, "/there")


@pytest.mark.parametrize("program", ["echo no header", "exit 3", "echo; echo only an empty line", "echo 'A: b'"])
async def test_a_cgi_program_without_a_header_is_an_error_with_what_it_said(site, tmp_path, program):
    write(tmp_path / "bad.cgi", f"#!/bin/sh\necho oops >&2\n{program}\n")
    got = await ask(site, "/bad.cgi")
    assert got.status == 500
    assert "oops" in got.text


async def test_what_cannot_be_run_is_an_error(site, tmp_path):
    write(tmp_path / "lost.cgi", "#!/nowhere/python\n")
    assert (await ask(site, "/lost.cgi")).status == 500
    (tmp_path / "plain.cgi").write_text("x")
    assert (await ask(site, "/plain.cgi")).status == 403


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


SLOW = """
#!/bin/sh
sleep 300 &
echo $! > child; echo $$ > self
{head}
wait
"""


async def test_a_cgi_program_that_takes_too_long_is_killed_with_its_children(site, tmp_path):
    write(tmp_path / "slow.cgi", SLOW.format(head=""))
    site.root.processors[".cgi"].timeout = 0.5
    assert (await ask(site, "/slow.cgi")).status == 504
    while any(alive(int((tmp_path / name).read_text())) for name in ("child", "self")):
        await asyncio.sleep(0.01)


async def test_a_cgi_program_is_killed_when_the_client_leaves(site, tmp_path):
    write(tmp_path / "slow.cgi", SLOW.format(head="printf 'A: b\\n\\n'; echo begun"))
    async with served(site) as server:
        client = await server.connect()
        await client.send("GET /slow.cgi HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.reader.readuntil(b"begun")
        client.close()
        while any(alive(int((tmp_path / name).read_text())) for name in ("child", "self")):
            await asyncio.sleep(0.01)
        assert (await (await server.connect()).get("/none"))[0] == 404


async def test_a_script_that_somebody_else_could_have_written_is_neither_run_nor_shown(site, tmp_path, caplog):
    page = write(tmp_path / "x.epy", "request.write('ran')")
    page.chmod(0o644)
    assert (await ask(site, "/x.epy")).text == "ran"
    page.chmod(0o666)
    got = await ask(site, "/x.epy")
    assert (got.status, "ran" in got.text) == (403, False)
    assert f"anybody may write to {page}" in caplog.text
    page.chmod(0o644)
    tmp_path.chmod(0o777)
    assert (await ask(site, "/x.epy")).status == 403
    tmp_path.chmod(0o755)
    assert (await ask(site, "/x.epy")).text == "ran"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
async def test_a_script_of_another_user_is_not_run(site, tmp_path):
    page = write(tmp_path / "x.epy", "request.write('ran')")
    os.chown(page, 4711, -1)
    assert (await ask(site, "/x.epy")).status == 403
    os.chown(page, 0, 4711)
    assert (await ask(site, "/x.epy")).text == "ran"
    page.chmod(0o664)
    assert (await ask(site, "/x.epy")).status == 403, "a group that is not the server's"
