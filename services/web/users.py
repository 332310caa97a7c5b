"""Many people's sites under one address: their files, and their own servers.

The central server (`--user`) shows `/NAME/` from `~NAME/public_html` and relays `/NAME.midair/` to the server that NAME runs with `--personal`.
They speak services/spread over a socket in a folder that anybody may put one into and nobody may take another's out of (sticky, like /tmp). Neither believes the name of a socket:

    the central server asks only a socket whose file and whose listening process belong to the user that it names;
    a personal server answers only its own user, root, and the users named by `--central`, by the peer's credentials.
"""

# ruff: noqa: N802, N815, ARG002  (the camelCase names are the API that resources were written against)

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...runtime.errors import ServiceError
from .errors import NotFound, WebError
from .far import FarSite
from .request import Request
from .resource import Resource
from .site import PAGE
from .static import Static

log = logging.getLogger("midair.web")

RENDEZVOUS = "/tmp/midair-web"  # noqa: S108 - a meeting place for all users; who owns a socket in it is checked
FILES = "public_html"
SUFFIXES = (".midair", ".twistd")
_FIRST_PERSON = 1000  # ids below it belong to programs


def meeting_place(path: str, *, make: bool) -> Path:
    """The rendezvous folder.

    Raises:
        ServiceError: it is not a folder in which each one's sockets are safe from the others.
    """
    folder = Path(path)
    if make:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(0o1777)
    try:
        found = folder.lstat()
    except OSError as error:
        raise ServiceError(
            f"there is no folder {folder} to meet in: {error.strerror}; the central server makes it"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or (found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX):
        raise ServiceError(
            f"{folder} is not a folder with the sticky bit (mode 1777); nobody's socket would be safe in it"
        )
    return folder


def admitted(central: Iterable[str]) -> frozenset[int]:
    """The ids of who may ask a personal server.

    Raises:
        ServiceError: a user of that name is not there.
    """
    ids = {os.getuid(), 0}
    for name in central:
        try:
            ids.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            raise ServiceError(
                f"there is no user {name!r} on this machine; --central names who runs the central server"
            ) from None
    return frozenset(ids)


class Users(Resource):
    """Everybody's sites by name, and at `/` the list of them.

    *In a snapshot:* the folder only; who is there is looked up for each request.
    """

    __transient__ = ("_files", "_servers")

    def __init__(self, rendezvous: str = RENDEZVOUS) -> None:
        self.rendezvous = rendezvous
        self._begin()

    def _begin(self) -> None:
        self._files: dict[str, Static] = {}
        self._servers: dict[str, FarSite] = {}

    def __resume__(self, space: Any) -> None:
        self._begin()

    async def begin(self, service: Any) -> None:
        folder = meeting_place(self.rendezvous, make=True)
        if folder.stat().st_uid not in {0, os.getuid()}:
            raise ServiceError(
                f"{folder} belongs to somebody who is neither root nor this server's user; choose another --rendezvous"
            )

    async def end(self) -> None:
        for server in self._servers.values():
            await server.end()

    # --- who is there

    def account(self, name: str) -> pwd.struct_passwd:
        """Raises:
        NotFound: nobody has this name.
        """
        try:
            found = pwd.getpwnam(name)
        except (KeyError, ValueError):
            raise NotFound(f"there is no user {name[:40]!r}") from None
        if found.pw_uid == 0:
            raise NotFound("root has no site")
        return found

    def sites(self) -> list[tuple[str, str]]:
        """(name, address) of each site: people's files first, then the servers that are up."""
        people = sorted({entry.pw_name for entry in pwd.getpwall() if entry.pw_uid >= _FIRST_PERSON})
        found = [(name, f"{name}/") for name in people if os.path.isdir(os.path.join(pwd.getpwnam(name).pw_dir, FILES))]
        with contextlib.suppress(OSError):
            for entry in sorted(os.scandir(self.rendezvous), key=lambda entry: entry.name):
                name = entry.name.removesuffix(".sock")
                with contextlib.suppress(NotFound, OSError):
                    known = entry.stat(follow_symlinks=False)
                    if stat.S_ISSOCK(known.st_mode) and known.st_uid == self.account(name).pw_uid:
                        found.append((f"{name}'s own server", f"{name}.midair/"))
        return found

    # --- answering

    async def getChild(self, name: str, request: Request) -> Resource | None:
        if not name:
            return self
        for suffix in SUFFIXES:
            if name.endswith(suffix):
                return _Folder(self._server(name.removesuffix(suffix)), name)
        return await asyncio.to_thread(self._static, name)

    def _static(self, name: str) -> Static:
        path = os.path.join(self.account(name).pw_dir, FILES)
        if name not in self._files or self._files[name].path != path:
            if not os.path.isdir(path):
                raise NotFound(f"{name} has no {FILES}")
            self._files[name] = Static(path)
        return self._files[name]

    def _server(self, name: str) -> FarSite:
        uid = self.account(name).pw_uid
        if name not in self._servers or self._servers[name].owner != uid:
            self._servers[name] = FarSite(f"midair+unix://{quote(self.rendezvous)}/{quote(name)}.sock", owner=uid)
        return self._servers[name]

    async def render_GET(self, request: Request) -> str:
        if request.postpath:
            raise WebError(404)
        sites = await asyncio.to_thread(self.sites)
        items = "".join(f'<li><a href="./{quote(link)}">{html.escape(name)}</a>' for name, link in sites)
        return PAGE.format(title="Who is here", body=f"<ul>{items}</ul>" if items else "<p>Nobody yet.</p>")


class _Folder(Resource):
    """A server behind a name: without the slash at its end, its relative links would lead elsewhere."""

    isLeaf = True

    def __init__(self, server: FarSite, name: str) -> None:
        self.server, self.name = server, name

    async def respond(self, request: Request) -> None:
        if not request.postpath:
            request.redirect(f"./{quote(self.name)}/", 301)
            request.setHeader("Cache-Control", "max-age=300")
            await request.finish()
            return
        await self.server.respond(request)

    async def respond_websocket(self, request: Request) -> None:
        await self.server.respond_websocket(request)
