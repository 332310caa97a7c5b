"""The web server as a service: made from options, started, stopped, saved and loaded."""

import argparse
import asyncio
import getpass
import os
import ssl
import subprocess
import sys

import pytest
from web_server import client_of, running

from midair.console.cli.make import mkwebserver
from midair.runtime import rebuild
from midair.runtime.errors import ServiceError
from midair.runtime.space import Space
from midair.runtime.testing import edit, resaved
from midair.services.web import Resource, Static, Text, Web
from midair.services.web.ratelimit import RateLimit, network_of
from midair.services.web.tls import Certificate


def made(*arguments):
    parser = argparse.ArgumentParser()
    Web.add_arguments(parser)
    web = Web.make(parser.parse_args([*arguments]))
    if web.addresses_wanted[0].__class__.__name__ == "Address" and "-p" not in arguments:
        web.addresses_wanted[0].port = 0
    return web


async def page(web, target, **headers):
    client = await client_of(web)
    try:
        status, _, body = await client.get(target, **headers)
        return status, body.decode()
    finally:
        client.close()


async def test_without_options_there_is_a_page_that_counts_and_goes_on_counting_after_a_restart():
    async with running(made()) as web:
        assert web.addresses[0].startswith("127.0.0.1:")
        client = await client_of(web)
        status, headers, body = await client.get("/")
        assert (status, b'<b id="hits">1</b>' in body) == (200, True)
        cookie = headers["set-cookie"].partition(";")[0]
        client.close()
        space = web.space
    again = resaved(space)["web"]
    async with running(again) as web:
        body = (await page(web, "/", Cookie=cookie))[1]
        assert '<b id="hits">2</b>' in body
        assert '<b id="mine">2</b>' in body, "the session survived"


@pytest.mark.parametrize("port", ["abc", "65536", "-1", "web.sock"])
def test_what_is_neither_a_port_nor_a_path_is_refused(port):
    with pytest.raises(ServiceError, match=rf"^--port: {port} is not a port; .*; nothing was made$"):
        made(f"--port={port}")


async def test_the_options_make_files_mounts_and_hosts(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.txt").write_text("b")
    (tmp_path / "files" / "x.epy").write_text("request.write('run')")
    files, other = str(tmp_path / "files"), str(tmp_path / "other")
    web = made("--static", files, "--mount", f"/deep/er={other}", "--vhost", f"*.example.org={other}")
    async with running(web):
        assert await page(web, "/a.txt") == (200, "a")
        assert await page(web, "/x.epy") == (200, "run")
        assert await page(web, "/deep/er/b.txt") == (200, "b")
        assert (await page(web, "/deep"))[0] == 404
        assert (await page(web, "/"))[0] == 200
        client = await client_of(web)
        await client.send("GET /b.txt HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
        assert (await client.answer())[2] == b"b"
        client.close()
    plain = made("--static", files, "--no-listing", "--index", "a.txt", "--cache", "*.txt=max-age=60", "--no-scripts")
    async with running(plain):
        client = await client_of(plain)
        assert (await client.get("/a.txt"))[1]["cache-control"] == "max-age=60"
        client.close()
        assert await page(plain, "/") == (200, "a")
        assert (await page(plain, "/x.epy"))[0] == 403


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--static", "/nowhere/at/all"], "there is no file or folder /nowhere/at/all"),
        (["--module", "site.py"], "is not FILE:CLASS"),
        (["--module", "/nowhere/site.py:Root"], "there is no file /nowhere/site.py"),
        (["--mount", "/x"], "is not of the form --mount /PATH=TARGET"),
        (["--mount", "/=/tmp"], "a mount has a path below /"),
        (["--tls", "/nowhere/cert", "/nowhere/key"], "cannot be used: No such file"),
        (["--offer", "--host", "0.0.0.0"], "needs --tls"),
        (["--mount", "/x=midair://"], "is no address"),
        (["--asgi", "nosuch:app"], "there is no module 'nosuch' for asgi:nosuch:app in "),
        (["--mount", "/x=wsgi:email.nosuch.more"], "there is no module 'email.nosuch.more'"),
        (["--personal", "--central", "nobody-of-this-name"], "there is no user 'nobody-of-this-name'"),
    ],
)
def test_what_is_not_there_is_named_when_it_is_made(arguments, words):
    with pytest.raises(ServiceError, match=words):
        made(*arguments)


def test_an_application_is_found_before_it_is_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found_later.py").write_text("raise SystemError")
    assert made("--asgi", "found_later:app").site.root.target == "found_later:app"
    assert "found_later" not in sys.modules


@pytest.mark.parametrize(
    ("arguments", "places"),
    [
        (["-p", "8080"], "http://127.0.0.1:8080/"),
        (["--host", "::1", "-p", "80"], "http://[::1]:80/"),
        (["--host", "", "-p", "80"], "http, port 80 of every address"),
        (
            ["-p", "0", "--offer", "4000"],
            "http, a free port of 127.0.0.1, port 4000 of 127.0.0.1 for other midair servers",
        ),
        (["-p", "/run/web.sock"], "/run/web.sock"),
        (["--personal", "--rendezvous", "/run/x"], f"/run/x/{getpass.getuser()}.sock"),
    ],
)
def test_what_was_made_says_where_it_will_be_reached(arguments, places):
    assert made(*arguments).places() == places


async def test_the_options_of_2001_make_what_they_made_and_the_console_has_the_site(tmp_path, monkeypatch, capsys):
    (tmp_path / "front.html").write_text("the front")
    (tmp_path / "x.epy").write_text("request.write('ran')")
    monkeypatch.chdir(tmp_path)
    made_here, program = tmp_path / "web.spl", ["mkwebserver", "-p", "0", "-i", "front.html", "-s", ".", "-t", "0"]
    monkeypatch.setattr(sys, "argv", program)
    assert mkwebserver() == 0
    assert "starts it on http, a free port of 127.0.0.1" in capsys.readouterr().out
    space = Space.load(made_here)
    web = space["web"]
    async with running(web):
        assert await page(web, "/") == (200, "the front")
        assert await page(web, "/x.epy") == (200, "ran")
        assert "web-telnet" in space, "a console of the same server, where the site is `web.site`"
        assert space["web"].site.root is web.site.root


async def test_scripts_are_run_unless_that_is_not_wanted(tmp_path):
    (tmp_path / "index.epy").write_text("request.write('ran')")
    (tmp_path / "x.cgi").write_text("#!/bin/sh\necho 'Content-Type: text/plain'\necho\necho ran")
    (tmp_path / "x.cgi").chmod(0o755)
    async with running(made("--static", str(tmp_path))) as web:
        assert await page(web, "/") == (200, "ran")
        assert await page(web, "/x.cgi") == (200, "ran\n")
    async with running(made("--static", str(tmp_path), "--no-scripts")) as web:
        assert (await page(web, "/index.epy"))[0] == 403
        assert (await page(web, "/x.cgi"))[0] == 403


async def test_a_class_in_a_file_is_the_root_and_its_state_survives_wherever_it_resumes(tmp_path, monkeypatch, caplog):
    file = tmp_path / "loaded_site.py"
    file.write_text(
        "from midair.services.web import Resource\n"
        "class Root(Resource):\n"
        "    n = 0\n"
        "    def render_GET(self, request):\n"
        "        self.n += 1\n"
        "        return f'one {self.n}'\n"
    )
    web = made("--module", f"{file}:Root")
    async with running(web):
        assert await page(web, "/") == (200, "one 1")
        space = web.space
    monkeypatch.chdir("/")
    monkeypatch.delitem(sys.modules, "loaded_site")
    again = resaved(space)["web"]
    async with running(again):
        assert await page(again, "/") == (200, "one 2")
        space = again.space
    edit(file, file.read_text())
    hidden = file.rename(tmp_path / "gone.py")
    monkeypatch.delitem(sys.modules, "loaded_site")
    lost = resaved(space)["web"]
    async with running(lost):
        assert (await page(lost, "/"))[0] == 503
        assert f"the file {file} is missing" in caplog.text
        hidden.rename(file)
        assert await page(lost, "/") == (200, "one 3")


async def test_a_resource_put_at_the_console_is_there_for_the_next_request():
    root = Resource()
    root.putChild("", Text("front"))
    async with running(Web(root, port=0)) as web:
        assert await page(web, "/") == (200, "front")
        web.site.root = Text("another")
        assert await page(web, "/") == (200, "another")


async def test_the_connections_of_the_service_are_known_and_end_with_it():
    async with running(Web(Text("x"), port=0)) as web:
        client = await client_of(web)
        await client.get("/")
        (connection,) = web.connections
        assert connection.peer.startswith("127.0.0.1:")
    assert await client.at_end()
    client.close()


async def test_a_client_over_its_rate_is_told_to_wait():
    web = Web(Text("x"), port=0)
    web.settings.rate = RateLimit(1, 3)
    web.settings.rate.clock = lambda: 0.0
    async with running(web):
        client = await client_of(web)
        assert [(await client.get("/"))[0] for _ in range(4)] == [200, 200, 200, 429]
        assert int((await client.get("/"))[1]["retry-after"]) >= 1
        web.settings.rate.clock = lambda: 1.0
        assert (await client.get("/"))[0] == 200
        client.close()


def test_one_client_is_an_address_or_a_network():
    assert network_of("10.1.2.3") == "10.1.2.3"
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2") == "2001:db8::/64"
    assert network_of("fe80::1%eth0") == "fe80::/64"


def certificate(folder, name):
    folder.mkdir(exist_ok=True)
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


async def common_name(web):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = await client_of(web, ssl=context)
    assert (await client.get("/"))[0] == 200
    der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return client, der


@pytest.mark.parametrize("tls", [True, False])
async def test_a_site_is_mounted_by_a_server_on_another_machine(tmp_path, tls, capsys):
    cert = ["--tls", *certificate(tmp_path / "c", "far.example")] if tls else []
    (tmp_path / "page.txt").write_text("from afar")
    (tmp_path / "big").write_bytes(b"b" * 3_000_000)
    far = made("--static", str(tmp_path), "--offer", "0", *cert)
    assert "--mount /PATH=midair" in capsys.readouterr().out
    async with running(far):
        (address,) = far.offered()
        assert address.startswith("midair://" if tls else "midair+tcp://")
        near = made("--mount", f"/far={address}", "--mount", f"/guess={address[:-3]}abc")
        async with running(near):
            assert await page(near, "/far/page.txt") == (200, "from afar")
            assert len((await page(near, "/far/big"))[1]) == 3_000_000
            assert (await page(near, "/guess/page.txt"))[0] == 502, "who does not know the name gets nothing"
        async with running(resaved(near.space)["web"]) as again:
            assert await page(again, "/far/page.txt") == (200, "from afar")
        if tls:
            pin = address.partition("//")[2].partition("@")[0]
            async with running(made("--mount", f"/far={address.replace(pin, '0' * 64)}")) as fooled:
                assert (await page(fooled, "/far/page.txt"))[0] == 502, "another certificate than the address names"


async def test_a_renewed_certificate_is_taken_up_while_open_connections_go_on(tmp_path, caplog):
    cert, key = certificate(tmp_path / "live", "one")
    web = made("--tls", cert, key)
    live = web.addresses_wanted[0].certificate
    async with running(web):
        old, first = await common_name(web)
        new_cert, new_key = certificate(tmp_path / "next", "two")
        os.replace(new_cert, cert)
        live.look()
        assert not live.look(), "a certificate without its key is not taken up"
        assert "the old one stays in use" in caplog.text
        os.replace(new_key, key)
        assert not live.look()
        assert live.look()
        new, second = await common_name(web)
        assert first != second
        assert (await old.get("/"))[0] == 200
        assert not live.look()
        old.close()
        new.close()


def test_a_certificate_goes_into_a_snapshot_by_its_files(tmp_path):
    space = Space()
    space["c"] = Certificate(*certificate(tmp_path, "x"))
    space["c"].open()
    again = resaved(space)["c"]
    assert again.cert == space["c"].cert
    assert again.open()


async def test_a_site_of_files_goes_through_a_snapshot(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    async with running(Web(Static(tmp_path), port=0)) as web:
        for _ in range(2):
            assert await page(web, "/a.txt") == (200, "a")
        assert web.site.root._known
        space = web.space
    again = resaved(space)["web"]
    assert not again.site.root._known, "what is in memory of the files is in no snapshot"
    assert "_fixed" not in vars(again.site)
    async with running(again):
        assert await page(again, "/a.txt") == (200, "a")


async def test_a_socket_of_the_file_system_is_listened_on(tmp_path):
    web = made("-p", str(tmp_path / "web.sock"), "--static", str(tmp_path))
    async with running(web):
        assert (tmp_path / "web.sock").stat().st_mode & 0o777 == 0o600
        assert (await page(web, "/"))[0] == 200
    assert not (tmp_path / "web.sock").exists()
    await asyncio.sleep(0)


async def test_keep_alive_connections_lose_no_request_through_edits(tmp_path):
    file = tmp_path / "edited_root.py"
    text = (
        "from midair.services.web import Resource\n"
        "class Root(Resource):\n"
        "    isLeaf = True\n"
        "    def render(self, request):\n"
        "        return 'edit 0'\n"
    )
    file.write_text(text)
    done = asyncio.Event()
    async with running(made("--module", f"{file}:Root")) as web:
        clients = [await client_of(web) for _ in range(40)]
        seen = set()

        async def ask(client):
            count = 0
            while not done.is_set():
                status, _, body = await client.get("/")
                assert status == 200
                seen.add(body)
                count += 1
            return count

        asking = [asyncio.create_task(ask(client)) for client in clients]
        for number in range(1, 21):
            edit(file, text.replace("edit 0", f"edit {number}"))
            await rebuild.apply()
            while f"edit {number}".encode() not in seen:
                await asyncio.sleep(0)
        done.set()
        assert all(await asyncio.gather(*asking))
        assert web.engine.metrics.statuses.keys() == {200}
        for client in clients:
            client.close()
