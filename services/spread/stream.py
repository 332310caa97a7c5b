"""Streams: a generator on one side, `async for` on the other, either way round.

A generator, sync or async, that is passed to a call or returned by a method crosses as a reference to a `Source`. The
reader asks for the next items, a few requests ahead, so the writer runs no further than that: back-pressure needs no
other means, and any peer that can call `next` can read. Letting go of the reference closes the generator.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable
from typing import Any

from .errors import BadMessage
from .flavors import Referenceable
from .limits import exceeded
from .references import Caller, Promise, RemoteReference

ITEMS = 64
"""Items made ahead of the reader, and in one answer, at the most."""

BYTES = 128 * 1024
"""Likewise in bytes, roughly, give or take one item."""

AHEAD = 4
"""Answers that a reader asks for before it has used up the earlier ones."""

MOST_PAGES = 64 * 1024 * 1024
"""Bytes of pages that wait here for their reader: their sender, unlike a stream's, does not wait for us."""


class Source(Referenceable):
    """The writing end of a stream. A generator becomes one by itself; `Source(iterable)` is for the other iterables.

    The generator runs in a task of its own, at most ITEMS or BYTES ahead of its reader.

    Across a rebuild: a generator under way finishes with its old code. In a snapshot: never, as generators are not.
    """

    def __init__(self, items: AsyncIterable[Any] | Iterable[Any]) -> None:
        self._items = items
        self._ready: deque[Any] = deque()
        self._size = 0
        self._room = asyncio.Event()
        self._readers: deque[tuple[asyncio.Future[Any], int]] = deque()
        self._delivering = False
        self._task: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._ended = False

    def remote_next(self, most: int = ITEMS) -> Any:
        """At least one item and at most `most`, with whether more may come: `[items, True]`; `[[], False]` at the end."""
        if self._task is None and not self._ended:
            self._task = asyncio.get_running_loop().create_task(self._run())
        if not self._readers and (self._ready or self._ended):
            return self._take(most)
        reader = asyncio.get_running_loop().create_future()
        self._readers.append((reader, most))
        return reader

    def remote_stop(self) -> None:
        """No more is wanted: the generator is closed where it waits."""
        self._ready.clear()
        if self._task is not None:
            self._task.cancel()
        else:
            self._ended = True

    def released(self) -> None:
        self.remote_stop()

    async def _run(self) -> None:
        items = self._items if isinstance(self._items, AsyncIterable) else _stepped(self._items)
        try:
            async for item in items:
                self._ready.append(item)
                self._size += _weight(item)
                self._deliver_soon()
                while len(self._ready) >= ITEMS or self._size >= BYTES:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001 - the generator is users' code; its error is the reader's next answer
            self._error = error
        finally:
            self._ended = True
            self._deliver_soon()
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    def _deliver_soon(self) -> None:
        # Not at once: what the generator has ready without waiting goes along in the same answer.
        if self._readers and not self._delivering:
            self._delivering = True
            asyncio.get_running_loop().call_soon(self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        while self._readers and (self._ready or self._ended):
            reader, most = self._readers.popleft()
            if reader.done():
                continue
            try:
                reader.set_result(self._take(most))
            except Exception as error:  # noqa: BLE001 - as in `_run`
                reader.set_exception(error)

    def _take(self, most: int) -> list[Any]:
        if not self._ready and self._error is not None:
            error, self._error = self._error, None
            raise error
        items: list[Any] = []
        size = 0
        while self._ready and len(items) < max(most, 1) and size < BYTES:
            item = self._ready.popleft()
            items.append(item)
            size += _weight(item)
        self._size -= size
        self._room.set()
        # A list: the compact encoding copies what is in a tuple once more.
        return [items, bool(self._ready or self._error or not self._ended)]


def _weight(item: Any, depth: int = 4) -> int:
    """About how many bytes an item takes on the wire."""
    if isinstance(item, bytes | str):
        return len(item)
    if isinstance(item, dict):
        item = (*item, *item.values())
    if depth and isinstance(item, list | tuple | set | frozenset):
        return sum([_weight(part, depth - 1) for part in item])
    return 8


async def _stepped(items: Iterable[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item


def source_of(value: Any) -> Source | None:
    """The source for a generator; None for anything else."""
    return Source(value) if isinstance(value, AsyncGenerator | Generator) else None


async def read(source: RemoteReference | Promise) -> AsyncIterator[Any]:
    """The items of a stream, asked for a few answers ahead.

    Raises:
        RemoteError: the generator at the peer raised.
        DeadReference: the connection was lost before the end.
    """
    stream = await source if isinstance(source, Promise) else source
    if not isinstance(stream, RemoteReference):
        raise TypeError(f"the call answered with {type(stream).__name__}, which is no stream")
    asked: deque[Promise] = deque()
    more = True
    try:
        while more:
            while len(asked) < AHEAD:
                asked.append(stream.call("next", ITEMS))
            answer = await asked.popleft()
            if type(answer) not in (tuple, list) or len(answer) != 2:
                raise BadMessage(f"a stream answers with items and whether there are more, not {answer!r}")
            items, more = answer
            for item in items:
                yield item
    finally:
        for promise in asked:
            promise.add_done_callback(_seen)
            promise.cancel()
        if more and stream.alive:
            stream.send("stop")


def _seen(promise: Promise) -> None:
    if not promise.cancelled():
        promise.exception()


# --- pages: the older way, which Twisted's Pager speaks


class Collector(Referenceable):
    """Receives pages: `gotPage` for each, `endedPaging` after the last."""

    def __init__(self) -> None:
        self._pages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0

    def remote_gotPage(self, page: bytes) -> None:  # noqa: N802 - the name on the wire
        self._waiting += len(page)
        if self._waiting > MOST_PAGES:
            raise exceeded("pages not read yet", MOST_PAGES, "bytes")
        self._pages.put_nowait(page)

    def remote_endedPaging(self) -> None:  # noqa: N802 - the name on the wire
        self._pages.put_nowait(None)

    async def pages(self) -> AsyncIterator[bytes]:
        while (page := await self._pages.get()) is not None:
            self._waiting -= len(page)
            yield page


async def pages(target: Caller, name: str, /, *args: Any, **kw: Any) -> AsyncIterator[bytes]:
    """Call a method that takes a page collector first and sends it pages, as Twisted's pagers do; the pages.

    Raises:
        RemoteError: the method raised.
    """
    collector = Collector()
    call = target.call(name, collector, *args, **kw)
    call.add_done_callback(
        lambda call: collector.remote_endedPaging() if call.cancelled() or call.exception() else None
    )
    async for page in collector.pages():
        yield page
    if call.done():
        await call


async def send_pages(collector: Caller, chunks: Iterable[bytes]) -> None:
    """Send pages to a collector that a peer passed, each when the one before was taken."""
    for chunk in chunks:
        await collector.call("gotPage", chunk)
    await collector.call("endedPaging")
