"""Many people's sites: three users on one machine, as processes with three ids."""

import asyncio
import contextlib
import os
import pwd
import socket
import sys
from pathlib import Path

import pytest
from asgi_client import ask
from web_server import Raw

from midair.runtime.errors import ServiceError
from midair.services.web.site import Site
from midair.services.web.users import Users, admitted, meeting_place

PERSON = Path(__file__).parents[2] / "web_person.py"
CENTRAL, ANNA, EVE = "www-data", "daemon", "games"

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can run processes as three users")


@contextlib.asynccontextmanager
async def person(user, rendezvous, kind, *central):
    """A server as another user; yields its process and address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PERSON),
        user,
        str(rendezvous),
        kind,
        *central,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PERSON.parent)},
    )
    try:
        line = (await process.stdout.readline()).decode().split()
        assert line[:1] == ["ready"]
        yield process, line[1]
    finally:
        if process.returncode is None:
            process.stdin.close()
            await process.wait()


async def connect(address):
    host, _, port = address.rpartition(":")
    return Raw(*await asyncio.open_connection(host, int(port), limit=1 << 22))


@pytest.fixture
def rendezvous(tmp_path_factory):
    # Socket paths are short, and other users must be able to get there.
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        place = Path(folder) / "meet"
        place.mkdir()
        place.chmod(0o1777)
        yield place


@as_root
async def test_a_personal_server_is_relayed_both_ways_and_comes_back_after_a_kill(rendezvous):
    async with person(CENTRAL, rendezvous, "central") as (_, address):
        client = await connect(address)
        assert (await client.get(f"/{ANNA}.midair/"))[0] == 502
        async with person(ANNA, rendezvous, "personal", CENTRAL) as (anna, _):
            status, headers, body = await client.get(f"/{ANNA}.midair/a/b")
            assert (status, body.decode()) == (200, f"{ANNA} ['a', 'b'] 127.0.0.1 0")
            assert (await client.get(f"/{ANNA}.twistd/"))[2].startswith(b"daemon")
            assert (await client.get(f"/{ANNA}.midair"))[1]["location"] == f"./{ANNA}.midair/"
            await client.send(f"POST /{ANNA}.midair/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n")
            await client.send(b"z" * 3_000_000)
            assert (await client.answer())[2].endswith(b" 3000000")
            assert len((await client.get(f"/{ANNA}.midair/big"))[2]) == 1_000_000
            assert f"{ANNA}&#x27;s own server".encode() in (await client.get("/"))[2]

            cut = await connect(address)
            await cut.send(f"GET /{ANNA}.midair/slow HTTP/1.1\r\nHost: x\r\n\r\n")
            await cut.reader.readuntil(b"xxxx")
            anna.kill()
            await anna.wait()
            assert await cut.at_end(), "half an answer is seen to be cut"
            cut.close()
        assert (rendezvous / f"{ANNA}.sock").exists(), "a killed server leaves its socket"
        assert (await client.get(f"/{ANNA}.midair/"))[0] == 502
        async with person(ANNA, rendezvous, "personal", CENTRAL):
            assert (await client.get(f"/{ANNA}.midair/"))[0] == 200, "by itself, with the next request"
        client.close()


@as_root
async def test_a_personal_server_killed_at_any_moment_takes_nothing_else_with_it(rendezvous):
    """Small, long, endless and uploading requests are under way; the kill comes after so many bytes of their answers."""
    head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    asking = [f"GET /{ANNA}.midair/{name} {head}\r\n" for name in ("a", "big", "slow", "big", "a")]
    upload = f"POST /{ANNA}.midair/ {head}Content-Length: 3000000\r\n\r\n"
    async with person(CENTRAL, rendezvous, "central") as (_, address):
        steady = await connect(address)
        for after in (0, 1, 1_000, 90_000, 400_000, 1_000_000):
            async with person(ANNA, rendezvous, "personal", CENTRAL) as (anna, _):
                clients = [await connect(address) for _ in range(len(asking) + 1)]
                for client, text in zip(clients, asking, strict=False):
                    await client.send(text)
                await clients[-1].send(upload)
                clients[-1].writer.write(b"z" * 1_000_000)
                if after:
                    async with asyncio.timeout(60):
                        await clients[1].reader.readexactly(after)
                anna.kill()
                await anna.wait()
                async with asyncio.timeout(60):
                    said = await asyncio.gather(*(client.reader.read() for client in clients))
                assert {text[:12] for text in said[2:]} <= {b"HTTP/1.1 200", b"HTTP/1.1 502"}
                assert said[-1].startswith(b"HTTP/1.1 502"), "an upload that nobody took"
                for client in clients:
                    client.close()
            assert (await steady.get("/"))[0] == 200, "the same connection as before"
            assert (await steady.get(f"/{ANNA}.midair/"))[0] == 502
        async with person(ANNA, rendezvous, "personal", CENTRAL):
            assert (await steady.get(f"/{ANNA}.midair/"))[0] == 200
        steady.close()


@as_root
async def test_neither_side_believes_the_name_of_a_socket(rendezvous):
    async with person(CENTRAL, rendezvous, "central") as (_, address):
        client = await connect(address)
        squat = rendezvous / f"{ANNA}.sock"
        with socket.socket(socket.AF_UNIX) as eve:
            eve.bind(str(squat))
            os.chown(squat, pwd.getpwnam(EVE).pw_uid, -1)
            squat.chmod(0o666)
            eve.listen()
            eve.setblocking(False)
            assert (await client.get(f"/{ANNA}.midair/"))[0] == 502
            with pytest.raises(BlockingIOError):
                eve.accept()  # it was not even connected to
            os.chown(squat, pwd.getpwnam(ANNA).pw_uid, -1)
            assert (await client.get(f"/{ANNA}.midair/"))[0] == 502, "the file is Anna's, who listens is not"
        squat.unlink()
        async with person(ANNA, rendezvous, "personal", EVE):
            assert (await client.get(f"/{ANNA}.midair/"))[0] == 502, "the central server's user was not named"
        client.close()


async def test_names_that_nobody_has_and_root_are_not_there(rendezvous):
    site = Site(Users(str(rendezvous)))
    for name in ("nobody-of-this-name", "root", "..", "a%00b", "x" * 300):
        assert (await ask(site, f"/{name}.midair/")).status in {400, 404}
        assert (await ask(site, f"/{name}/")).status in {400, 404}


async def test_people_with_files_are_listed_and_served(rendezvous, tmp_path, monkeypatch):
    (tmp_path / "public_html").mkdir()
    (tmp_path / "public_html" / "a.txt").write_text("a")
    anna = pwd.struct_passwd(("anna", "x", 4242, 4242, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [anna])
    monkeypatch.setattr(pwd, "getpwnam", {"anna": anna}.__getitem__)
    site = Site(Users(str(rendezvous)))
    assert '<a href="./anna/">anna</a>' in (await ask(site, "/")).text
    assert (await ask(site, "/anna/a.txt")).text == "a"
    moved = await ask(site, "/anna")
    assert (moved.status, moved["location"]) == (301, "./anna/")
    assert (await ask(site, "/bob/")).status == 404


def test_the_meeting_place_must_be_sticky(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ServiceError, match="sticky bit"):
        meeting_place(str(tmp_path / "open"), make=True)
    with pytest.raises(ServiceError, match="there is no folder"):
        meeting_place(str(tmp_path / "none"), make=False)
    assert meeting_place(str(tmp_path / "made"), make=True).stat().st_mode & 0o7777 == 0o1777


def test_who_may_ask():
    assert admitted([]) == {os.getuid(), 0}
    with pytest.raises(ServiceError, match="there is no user 'nobody-of-this-name'"):
        admitted(["nobody-of-this-name"])
