"""Runs a web server as another user: `web_person.py USER RENDEZVOUS central|personal [CENTRAL]`.

The user cannot read where Python and midair are installed, so everything is imported before the rights are dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - imported by asyncio at the first connection
import os
import pwd
import sys

from web_server import running

from midair.services.web import Resource, Web, demo, users
from midair.services.web.engine import Engine
from midair.services.web.service import Personal


class Page(Resource):
    isLeaf = True

    async def render(self, request):
        if request.postpath == ["slow"]:
            request.write(b"x" * 100_000)
            await request.flush()
            await asyncio.sleep(3600)
        if request.postpath == ["big"]:
            return b"y" * 1_000_000
        size = len(await request.body(10 << 20))
        return f"{pwd.getpwuid(os.getuid()).pw_name} {request.postpath} {request.client} {size}"


async def main(user: str, rendezvous: str, kind: str, central: list[str]) -> None:
    assert demo
    Engine(Page()).factory()  # uvicorn imports its parsers at the first
    found = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)
    os.chdir("/")
    web = Web(Page() if kind == "personal" else users.Users(rendezvous), port=0)
    if kind == "personal":
        web.addresses_wanted = [Personal(rendezvous, tuple(central))]
    async with running(web):
        print("ready", web.addresses[0], flush=True)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
