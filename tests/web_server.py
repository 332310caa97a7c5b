"""Runs a site on a free port, with raw clients that say exactly what they are told to."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from midair.services.web.engine import Engine, Limits


class Raw:
    """A TCP client without manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.rstrip("\r\n").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if head or status in {204, 304}:
            return status, headers, b""
        if "content-length" in headers:
            return status, headers, await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                await self.reader.readline()
            await self.reader.readline()
            return status, headers, body
        return status, headers, await self.reader.read()

    async def get(self, target: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
        return await self.answer(head=method == "HEAD")

    async def at_end(self) -> bool:
        """Whether the server has closed; what it had still to say is dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True

    def close(self) -> None:
        self.writer.transport.abort()


class Running:
    """An engine on a free port of the loopback."""

    def __init__(self, engine: Engine, port: int) -> None:
        self.engine, self.port = engine, port
        self.clients: list[Raw] = []

    async def connect(self, **options: Any) -> Raw:
        client = Raw(*await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22, **options))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def served(
    app: Any, *, parser: str = "auto", port: int = 0, limits: Limits | None = None, ssl: Any = None, **options: Any
) -> Any:
    # A site that is asked as a server asks it, so that it may answer at once.
    engine = Engine(getattr(app, "begin", app), parser=parser, limits=limits, **options)
    server = await asyncio.get_running_loop().create_server(engine.factory, "127.0.0.1", port, ssl=ssl)
    engine.start()
    running = Running(engine, server.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        server.close()
        for client in running.clients:
            client.close()
        async with asyncio.timeout(10):
            await engine.drain()
        engine.stop()
        await asyncio.sleep(0)


def look_now(engine: Engine, later: float) -> None:
    """Have the engine look at its deadlines as it would `later` seconds from now."""
    for connection in tuple(engine.state.connections):
        if hasattr(connection, "check"):
            connection.check(engine.now() + later, later)


@contextlib.asynccontextmanager
async def running(web: Any) -> Any:
    """A Web service in a space (its own, or a new one), running without a server; yields it."""
    from midair.runtime.book import Book
    from midair.runtime.space import Space

    if web._space is None:
        Space()["web"] = web
    web._book = book = Book(web, touch=lambda: None)
    await web.start()
    try:
        yield web
    finally:
        book.close_listeners()
        async with asyncio.timeout(10):
            await web.stop()
            await book.close(drain=5)
        web._book = None


async def client_of(web: Any, **options: Any) -> Raw:
    """A raw client of a service's first address."""
    address = web.addresses[0]
    if address.startswith("/"):
        return Raw(*await asyncio.open_unix_connection(address, limit=1 << 22))
    host, _, port = address.rpartition(":")
    return Raw(*await asyncio.open_connection(host, int(port), limit=1 << 22, **options))
