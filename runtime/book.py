"""What one running service has open, and how each of it is closed.

A `Book` is made when the service starts and is gone when it has stopped; closing it is the one place where
listeners, connections, jobs and processes end.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
import ssl as _ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from . import sockets
from .connection import Connection
from .logs import owner
from .streams import Handler, StreamConnection

if TYPE_CHECKING:
    from .service import Service

Factory: TypeAlias = Callable[[], Connection]
Received: TypeAlias = Callable[[bytes, tuple[str, int]], None]
Spawnable: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0
_CONNECT_PAUSE = 0.5
# A job or connection that held for this long, in seconds, starts over with the short pause.
_HEALTHY_AFTER = 10.0
_KILL_AFTER = 5.0


class Book:
    """The open things of one running service. It is the keeper of the service's connections."""

    def __init__(self, service: Service, *, touch: Callable[[], None]) -> None:
        self.service, self.touch = service, touch
        self.listeners: list[Listener] = []
        self.connectors: list[Connector] = []
        self.connections: set[Connection] = set()
        self.jobs: list[Job] = []
        self.processes: list[asyncio.subprocess.Process] = []
        self.datagrams: list[Datagrams] = []
        self._empty = asyncio.Event()
        self._empty.set()

    # --- the keeper of connections

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        self._empty.clear()

    def closed(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    # --- opening

    async def listen(
        self, where: int | str, handler: Handler | Factory, *, host: str, ssl: _ssl.SSLContext | None
    ) -> Listener:
        listener = Listener(self, handler)
        if isinstance(where, str) and not where.isdigit():
            bound = [sockets.bind_unix(where)]
        else:
            bound = sockets.bind_tcp(host, where)
        await listener.open(bound, ssl)
        self.listeners.append(listener)
        return listener

    async def connect(
        self, host: str, port: int | None, handler: Handler | Factory, *, ssl: _ssl.SSLContext | None, retry: bool
    ) -> Connector:
        connector = Connector(self, host, port, handler, ssl)
        if retry:
            connector.keep()
        else:
            await connector.make()
        self.connectors.append(connector)
        return connector

    async def datagram(self, port: int, received: Received, *, host: str) -> Datagrams:
        try:
            _, endpoint = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: Datagrams(self, received), local_addr=(host, sockets.port(port))
            )
        except OSError as error:
            raise sockets.cannot_listen(f"{host}:{port} (UDP)", error) from error
        self.datagrams.append(endpoint)
        return endpoint

    async def process(self, program: str, *args: str, **options: Any) -> asyncio.subprocess.Process:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        process = await asyncio.create_subprocess_exec(program, *args, **{**pipes, **options})
        self.processes = [p for p in self.processes if p.returncode is None]
        self.processes.append(process)
        return process

    def spawn(self, fn: Spawnable, *args: Any) -> Job:
        if not inspect.iscoroutinefunction(fn):
            raise TypeError(f"spawn takes an async function and calls it; got {fn!r}")
        job = Job(self, fn, args)
        self.jobs.append(job)
        return job

    def make(self, handler: Handler | Factory) -> Connection:
        """A connection for a handler or from a factory, in this book."""
        if inspect.iscoroutinefunction(handler):
            connection: Connection = StreamConnection(cast("Handler", handler))
        else:
            connection = cast("Factory", handler)()
        connection._keeper, connection.service = self, self.service
        return connection

    # --- closing

    def close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        for connector in self.connectors:
            connector.stop()
        self.listeners, self.connectors = [], []

    async def close(self, *, drain: float) -> None:
        """Close everything: what was written is sent first, for at most `drain` seconds."""
        self.close_listeners()
        for job in tuple(self.jobs):
            job.cancel()
        for connection in tuple(self.connections):
            connection.close()
        for endpoint in self.datagrams:
            endpoint.close()
        await asyncio.gather(*(_end(process) for process in self.processes))
        try:
            await asyncio.wait_for(self._empty.wait(), drain)
        except TimeoutError:
            for connection in tuple(self.connections):
                connection.abort()
        await asyncio.gather(*(job.ended() for job in tuple(self.jobs)))


class Listener:
    """An address on which a service accepts connections."""

    def __init__(self, book: Book, handler: Handler | Factory) -> None:
        self._book, self._handler = book, handler
        self._servers: list[asyncio.Server] = []
        #: Where it listens, as people write it: `127.0.0.1:4000`.
        self.addresses: tuple[str, ...] = ()
        #: The TCP port; 0 for a Unix socket.
        self.port = 0

    async def open(self, bound: list[Any], ssl: _ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self.addresses = tuple(sockets.written(sock) for sock in bound)
        name = bound[0].getsockname()
        self.port = name[1] if isinstance(name, tuple) else 0
        for sock in bound:
            self._servers.append(await loop.create_server(self._accept, sock=sock, ssl=ssl))

    def _accept(self) -> Connection:
        service = self._book.service
        owner.set(service.name)
        if len(self._book.connections) >= service.max_connections:
            service.log.warning("turned a connection away: %d are open", service.max_connections)
            return _Full()
        return self._book.make(self._handler)

    def close(self) -> None:
        """Accept no more; connections that are open stay."""
        for server in self._servers:
            server.close()
        for address in self.addresses:
            if address.startswith("/"):
                sockets.remove(address)

    def __repr__(self) -> str:
        return f"<Listener {', '.join(self.addresses)}>"


class _Full(Connection):
    def opened(self) -> None:
        self.abort()


class Connector:
    """An outgoing connection, made again when it is lost if it was asked to be."""

    def __init__(
        self, book: Book, host: str, port: int | None, handler: Handler | Factory, ssl: _ssl.SSLContext | None
    ) -> None:
        self._book, self._handler, self._ssl = book, handler, ssl
        self.host, self.port = host, port
        #: The connection, while it stands.
        self.connection: Connection | None = None
        self._standing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def made(self) -> Connection:
        """Wait until the connection stands."""
        await self._standing.wait()
        assert self.connection
        return self.connection

    def stop(self) -> None:
        """Do not connect again; the connection that stands, if one does, stays until it is closed."""
        if self._task:
            self._task.cancel()

    def close(self) -> None:
        """Do not connect again, and close the connection."""
        self.stop()
        if self.connection:
            self.connection.close()

    def keep(self) -> None:
        self._task = asyncio.ensure_future(self._keep())

    async def make(self) -> Connection:
        loop = asyncio.get_running_loop()

        def factory() -> Connection:
            owner.set(self._book.service.name)
            return self._book.make(self._handler)

        if self.port is None:
            _, connection = await loop.create_unix_connection(factory, self.host, ssl=self._ssl)
        else:
            _, connection = await loop.create_connection(factory, self.host, self.port, ssl=self._ssl)
        self.connection = connection
        self._standing.set()
        return connection

    async def _keep(self) -> None:
        loop, log = asyncio.get_running_loop(), self._book.service.log
        pause = _CONNECT_PAUSE
        while True:
            began = loop.time()
            try:
                connection = await self.make()
                log.info("connected to %s", self)
                await connection.lost()
                log.info("lost %s; connecting again", self)
            except OSError as error:
                log.info("cannot connect to %s: %s; trying again", self, error)
            self._standing.clear()
            self.connection = None
            pause = _CONNECT_PAUSE if loop.time() - began > _HEALTHY_AFTER else min(pause * 2, _LONGEST_PAUSE)
            # Clients that lost the same server must not all come back in the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    def __str__(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


class Datagrams(asyncio.DatagramProtocol):
    """A UDP port of a service."""

    def __init__(self, book: Book, received: Received) -> None:
        self._book, self._received = book, received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port: int = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._book.touch()
        try:
            self._received(data, cast("tuple[str, int]", addr))
        except Exception:
            self._book.service.log.exception("error in %s", getattr(self._received, "__qualname__", self._received))

    def send(self, data: bytes, address: tuple[str, int]) -> None:
        self._transport.sendto(data, address)

    def close(self) -> None:
        self._transport.close()


class Job:
    """A supervised task: see `Service.spawn`."""

    def __init__(self, book: Book, fn: Spawnable, args: tuple[Any, ...]) -> None:
        self._book, self._fn, self._args = book, fn, args
        self.name = getattr(fn, "__qualname__", repr(fn))
        #: How often it was started again, after an error or an edit.
        self.restarts = 0
        self._inner: asyncio.Task[Any] | None = None
        self._again = False
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name=f"job {self.name}")

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that runs now, for who wants to see which code it is inside of."""
        return self._inner

    @property
    def done(self) -> bool:
        """Whether it returned or was cancelled."""
        return self._task.done()

    def cancel(self) -> None:
        """End it at its next await, for good."""
        self._task.cancel()

    def restart(self) -> None:
        """End it at its next await and start it again, at once."""
        if self._inner and not self._inner.done():
            self._again = True
            self._inner.cancel()

    async def ended(self) -> None:
        """Wait until it has returned or was cancelled."""
        await asyncio.wait({self._task})

    async def _supervise(self) -> None:
        owner.set(self._book.service.name)
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        try:
            while True:
                began = loop.time()
                if not await self._run():
                    return
                self.restarts += 1
                if self._again:
                    self._again, pause = False, _FIRST_PAUSE
                    continue
                if loop.time() - began > _HEALTHY_AFTER:
                    pause = _FIRST_PAUSE
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._book.jobs.remove(self)

    async def _run(self) -> bool:
        """Run it once; whether it is to be started again."""
        self._inner = asyncio.ensure_future(self._fn(*self._args))
        try:
            await asyncio.wait({self._inner})
        except asyncio.CancelledError:
            self._inner.cancel()
            await asyncio.wait({self._inner})
            raise
        if self._inner.cancelled():
            return self._again
        if error := self._inner.exception():
            self._book.service.log.error("%s failed and is started again", self.name, exc_info=error)
            return True
        return False

    def __repr__(self) -> str:
        return f"<Job {self.name}{' done' if self.done else ''}>"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    try:
        process.terminate()
        await asyncio.wait_for(process.wait(), _KILL_AFTER)
    except ProcessLookupError:
        await process.wait()
    except TimeoutError:
        logging.getLogger("midair.service").warning("process %d ignored SIGTERM and was killed", process.pid)
        process.kill()
        await process.wait()
