"""A service: an object in the space that runs.

What it opens while it runs (listeners, connections, jobs, processes) stands in its `Book`, is closed when it stops and
is never saved. What it is (its attributes, its timers) is saved with the space and is there again at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as _ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .book import Book, Connector, Datagrams, Job, Listener, Received, Spawnable
from .errors import ServiceError
from .timers import Timer, target_of

if TYPE_CHECKING:
    from .connection import Connection
    from .space import Space
    from .streams import Handler


class Service:
    """The base class of what a space runs. Override `start`, and `stop` where there is something to say goodbye to.

    Across a rebuild: goes on as it is, with the new methods; `start` is not called again.
    In a snapshot: its attributes and timers, without those named in `__transient__`.
    """

    __transient__: tuple[str, ...] = ("_book",)

    #: Connections that one listener holds at a time; more are turned away at once.
    max_connections: int = 10_000

    _space: Space | None = None
    _name: str = ""
    _book: Book | None = None

    # --- for subclasses to override

    async def start(self) -> None:
        """Begin to work: listen, connect, set timers. Called at every start of the server, also after a resume."""

    async def stop(self) -> None:
        """End the work in hand. Listeners are closed by then; connections, jobs and processes are closed afterwards."""

    # --- for subclasses to use

    @property
    def space(self) -> Space:
        """The space this service is in.

        Raises:
            ServiceError: it is in none yet. In `__init__` it never is; `start` is the place for what needs it.
        """
        if self._space is None:
            raise ServiceError(f"{self!r} is not in a space yet; do this in start()")
        return self._space

    @property
    def name(self) -> str:
        """Its name in the space, "" before it has one."""
        return self._name

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose lines name this service."""
        owner = self._name or type(self).__name__
        return logging.LoggerAdapter(logging.getLogger(f"midair.service.{owner}"), {"owner": owner})

    @property
    def connections(self) -> frozenset[Connection]:
        """The connections open now, accepted and made."""
        return frozenset(self._book.connections) if self._book else frozenset()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens now, as people write it: `127.0.0.1:4000`."""
        return tuple(at for listener in (self._book.listeners if self._book else ()) for at in listener.addresses)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """What `spawn` started and has not ended."""
        return tuple(self._book.jobs) if self._book else ()

    async def listen(
        self,
        port_or_path: int | str,
        handler_or_factory: Handler | Callable[[], Connection],
        *,
        host: str = "127.0.0.1",
        ssl: _ssl.SSLContext | None = None,
    ) -> Listener:
        """Accept connections until the service stops.

        Args:
            port_or_path: a TCP port (0 for any that is free: see the listener's `port`), or the path of a Unix socket,
                which only the server's own user may use.
            handler_or_factory: an `async def` called with a reader and a writer for each connection; or a `Connection`
                class, or anything that returns a new `Connection` when called.
            host: loopback unless said otherwise; "" is every address of the machine.

        Raises:
            AddressInUse: somebody listens there already.
            ServiceError: the address cannot be listened on, and why.
        """
        return await self._running().listen(port_or_path, handler_or_factory, host=host, ssl=ssl)

    async def connect(
        self,
        host: str,
        port: int | None,
        factory: Handler | Callable[[], Connection],
        *,
        ssl: _ssl.SSLContext | None = None,
        retry: bool = True,
    ) -> Connector:
        """Connect to `host` and `port`, or to the Unix socket at `host` when `port` is None.

        With `retry` this returns at once, and the connection is made, and made again whenever it is lost, with
        growing pauses from 0.5 s to 30 s, until the service stops. Without, it returns once the connection stands.

        Raises:
            OSError: without `retry`: it could not be made.
        """
        return await self._running().connect(host, port, factory, ssl=ssl, retry=retry)

    async def datagram(self, port: int, received: Received, *, host: str = "127.0.0.1") -> Datagrams:
        """Take UDP datagrams: `received(data, address)` is called for each; `send(data, address)` on what this returns.

        Raises:
            AddressInUse: somebody has that port.
        """
        return await self._running().datagram(port, received, host=host)

    async def process(self, program: str, *args: str, **options: Any) -> asyncio.subprocess.Process:
        """Run a program with pipes for its three streams. When the service stops it is sent SIGTERM, 5 s later SIGKILL.

        Args:
            options: as for `asyncio.create_subprocess_exec`, such as `cwd` and `env`.
        """
        return await self._running().process(program, *args, **options)

    def spawn(self, fn: Spawnable, *args: Any) -> Job:
        """Run a coroutine function for as long as the service runs, and again when it fails.

        It is started again after an error, with pauses from 0.1 s to 30 s, and not after it returned. When an edit
        changes code that it is inside of, it is cancelled at its next await and started with the new code.

        In a snapshot: never; `start` spawns it again.
        """
        return self._running().spawn(fn, *args)

    def call_later(self, delay: float, method: Callable[..., Any], *args: Any) -> Timer:
        """Call a method once, `delay` seconds from now. Each call of this adds a timer.

        The method may be `async`. The timer is saved with the space: when the server is away at the due time, the
        call is made right after the next start.

        Raises:
            TypeError: not a method of an object, and so nothing that could be saved.
        """
        target, name = target_of(method)
        timer = Timer(target, name, args, due=self._now() + delay)
        self.space.add_timer(timer)
        return timer

    def every(self, period: float, method: Callable[..., Any], *args: Any) -> Timer:
        """Call a method every `period` seconds, from one period from now on.

        When the same method has such a timer already, as after a resume, that one goes on at its own beat, with this
        period and these arguments. Ticks missed while the server was away or busy are made up for by one.

        Raises:
            TypeError: not a method of an object, and so nothing that could be saved.
            ValueError: the period is not above zero.
        """
        if not period > 0:
            raise ValueError(f"the period of a timer is a number of seconds above 0; got {period!r}")
        target, name = target_of(method)
        for timer in self.space.timers:
            if timer.period and timer.target is target and timer.method == name and not timer.cancelled:
                if timer.period != period:
                    timer.due = min(timer.due, self._now() + period)
                timer.period, timer.args = period, args
                if self.space.runner:
                    self.space.runner.arm(timer)
                return timer
        timer = Timer(target, name, args, due=self._now() + period, period=period)
        self.space.add_timer(timer)
        return timer

    # --- inside

    def _running(self) -> Book:
        if self._book is None:
            raise ServiceError(f"{self!r} is not running; do this in start() or later")
        return self._book

    def _now(self) -> float:
        runner = self.space.runner
        return runner.now() if runner else time.time()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name or 'not in a space'}>"
