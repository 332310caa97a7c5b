"""Sockets for what goes past an event loop's transports."""

from __future__ import annotations

import asyncio
import resource
import select
import socket
from typing import Any


async def dial(family: int, address: Any) -> socket.socket:
    """A connected socket."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def writable(fd: int) -> None:
    """Wait until a descriptor can be written."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(fd, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def readable(sock: socket.socket) -> bool:
    """Whether anything, its end included, can be read right now."""
    poll = select.poll()  # select() takes no descriptor above 1023, which a busy server has
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def make_room_for(files: int) -> int:
    """Let this process have so many files open, as far as it may decide that; how many it may have now.

    Shells give 1,024, which a thousand idle connections use up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else files
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
