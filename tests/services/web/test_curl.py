"""The matrix that a small site's owner would try with curl, tried with curl."""

import asyncio
import os
import shutil

import pytest
from web_server import served

from midair.services.web.rules import http_date
from midair.services.web.site import Site
from midair.services.web.static import Static

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

FORMAT = "%{http_code} %{size_download} %{num_connects} %{redirect_url}"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "a.txt").write_bytes(bytes(range(48, 58)) * 2)
    (root / "docs" / "<i>&.txt").write_text("x" * 2000)
    (root / "big").write_bytes(os.urandom(2_000_000))
    (tmp_path / "outside").write_text("no")
    return root


async def curl(port, *arguments):
    """What curl printed, and what it says about each transfer."""
    process = await asyncio.create_subprocess_exec(
        "curl",
        "-s",
        "--path-as-is",
        "-w",
        f"\\n{FORMAT}\\n",
        *(a.replace("@", f"http://127.0.0.1:{port}") for a in arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_the_matrix(folder):
    date = http_date((folder / "a.txt").stat().st_mtime).decode()
    matrix = [
        (["@/a.txt"], 200, 20),
        (["-I", "@/a.txt"], 200, 0),
        (["-r", "10-20", "@/a.txt"], 206, 10),
        (["-r", "10-", "@/a.txt"], 206, 10),
        (["-r", "-5", "@/a.txt"], 206, 5),
        (["-r", "20-30", "@/a.txt"], 416, None),
        (["-z", date, "@/a.txt"], 304, 0),
        (["-z", "2000-01-01", "@/a.txt"], 200, 20),
        (["-H", f"If-Unmodified-Since: {http_date(0).decode()}", "@/a.txt"], 412, None),
        (["@/none"], 404, None),
        (["@/docs"], 301, None),
        (["@/docs/"], 200, None),
        (["@/docs/%3Ci%3E%26.txt"], 200, 2000),
        (["--compressed", "@/docs/%3Ci%3E%26.txt"], 200, None),
        (["@/big"], 200, 2_000_000),
        (["-X", "POST", "-d", "a=1", "@/a.txt"], 405, None),
        (["-X", "DELETE", "@/a.txt"], 405, None),
        (["--http1.0", "@/a.txt"], 200, 20),
        (["@/../outside"], 400, None),
        (["@/docs/../../outside"], 400, None),
        (["@/%2e%2e/outside"], 400, None),
        (["@/..%2foutside"], 400, None),
        (["@/..%5coutside"], 404, None),
        (["@/%c0%ae%c0%ae/outside"], 400, None),
        (["@/%252e%252e/outside"], 404, None),
        (["@/a.txt%00"], 400, None),
    ]
    async with served(Site(Static(folder))) as server:
        for arguments, status, size in matrix:
            said = (await curl(server.port, *arguments)).splitlines()[-1].split()
            assert int(said[0]) == status, arguments
            assert size is None or int(said[1]) == size, arguments


async def test_a_connection_is_kept_between_requests(folder):
    async with served(Site(Static(folder))) as server:
        out = await curl(server.port, "@/a.txt", "@/none", "@/docs", "@/a.txt")
        connects = [line.split()[2] for line in out.splitlines() if line[:1].isdigit() and len(line.split()) >= 3]
        assert connects == [b"1", b"0", b"0", b"0"]


async def test_a_redirect_and_a_listing_are_followed(folder):
    async with served(Site(Static(folder))) as server:
        out = await curl(server.port, "-L", "@/docs")
        assert b'<a href="./%3Ci%3E%26.txt">&lt;i&gt;&amp;.txt</a>' in out
        assert out.splitlines()[-1].startswith(b"200 ")


async def test_a_broken_download_is_resumed(folder, tmp_path):
    async with served(Site(Static(folder))) as server:
        part = tmp_path / "part"
        part.write_bytes((folder / "big").read_bytes()[:700_000])
        out = await curl(server.port, "-C", "-", "-o", str(part), "@/big")
        assert out.splitlines()[-1].startswith(b"206 1300000 ")
        assert part.read_bytes() == (folder / "big").read_bytes()
