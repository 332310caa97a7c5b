"""What the caller holds: references to objects of the peer, and promises of what their methods return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import DeadReference, NotSendable

if TYPE_CHECKING:
    from .broker import Broker


class Caller:
    """Something that takes calls: `target.call("name", ...)`, or `target.name(...)` where no attribute is in the way."""

    __slots__ = ()

    def call(self, name: str, /, *args: Any, **kw: Any) -> Promise:
        """Send a call now. Await the promise for its result, or make calls on it before that is there.

        Raises:
            NotSendable: an argument has no form on the wire; nothing was sent.
        """
        return self._call(name, args, kw, None)

    def within(self, seconds: float) -> Hurried:
        """The same target, for calls that must be answered within this time: `await ref.within(2.0).name()`.

        Then the caller gets TimeoutError, and the method at the peer is cancelled (a Twisted peer's goes on).
        """
        return Hurried(self, seconds)

    def now(self, broker: Broker) -> RemoteReference:  # noqa: ARG002 - for those who have one
        """The reference that this is on one connection.

        Raises:
            NotSendable: it belongs to another.
        """
        raise NotSendable(f"{self!r} is no reference, and cannot be sent; await it first")

    def _call(self, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None) -> Promise:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Callable[..., Promise]:
        if name.startswith("_"):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}, and peers offer none that begin with '_'"
            )
        return partial(self.call, name)


class Hurried(Caller):
    """Calls with a deadline."""

    __slots__ = ("_seconds", "_target")

    def __init__(self, target: Caller, seconds: float) -> None:
        self._target, self._seconds = target, seconds

    def _call(self, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None) -> Promise:
        return self._target._call(name, args, kw, self._seconds if seconds is None else min(seconds, self._seconds))


class RemoteReference(Caller):
    """An object of the peer. Equal references are the same reference; the peer keeps the object while you keep this.

    `async for item in ref` reads a stream. One that is lost with its connection raises DeadReference when called.

    Across a rebuild: stays valid, on both sides. In a snapshot: as one that is dead; references by name or URL
    (see `connect`) are the ones that find their object again.
    """

    __slots__ = ("__weakref__", "_broker", "_luid", "_receipts")

    def __init__(self, broker: Broker | None, luid: int | str) -> None:
        self._broker = broker
        self._luid = luid
        self._receipts = 0

    @property
    def alive(self) -> bool:
        """Whether its connection stands."""
        return self._broker is not None and not self._broker.gone

    def send(self, name: str, /, *args: Any, **kw: Any) -> None:
        """Call without an answer: whether it worked is not known.

        Raises:
            DeadReference: the connection is gone.
        """
        self._living().send_call(self._luid, name, args, kw)

    def _call(self, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None) -> Promise:
        if self._broker is None:
            return failed(DeadReference(f"{self!r} was saved with an earlier connection, which is gone"))
        return self._broker.call(self._luid, name, args, kw, seconds)

    def now(self, broker: Broker) -> RemoteReference:
        if self._broker is not broker:
            raise NotSendable(f"{self!r} belongs to another connection; it cannot be handed on")
        return self

    def _living(self) -> Broker:
        if self._broker is None:
            raise DeadReference(f"{self!r} was saved with an earlier connection, which is gone")
        return self._broker

    def __aiter__(self) -> AsyncIterator[Any]:
        from .stream import read

        return read(self)

    def __del__(self) -> None:
        if self._broker is not None and self._receipts:
            self._broker.reference_dropped(self._luid, self._receipts)

    def __copy__(self) -> RemoteReference:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteReference:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteReference, (None, self._luid)

    def __repr__(self) -> str:
        where = self._broker.peer if self._broker is not None else "a lost connection"
        return f"<reference {self._luid} at {where}>"


class Promise(asyncio.Future[Any], Caller):
    """The result of a call that is under way: await it, or call it, which costs no wait for it.

    `await ref.room("hall").describe()` is one round trip. Cancelled, it cancels the method at the peer. Use
    `promise.call("name")` for methods named like those of a future (`result`, `done`, `cancel`).
    """

    _broker: Broker | None = None
    _number: int = 0
    _source: Promise | None = None  # the promise this is a call on

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._broker.loop if self._broker is not None else super().get_loop()

    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        if self._broker is not None:
            self._broker.abandon(self._number)
        return True

    def _call(self, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None) -> Promise:
        if self._broker is not None and not self.done() and self._broker.wire.pipelines:
            return self._broker.call_promise(self, self._number, name, args, kw, seconds)
        return chained(self, lambda target: _caller(target)._call(name, args, kw, seconds), seconds)

    def __aiter__(self) -> AsyncIterator[Any]:
        from .stream import read

        return read(self)


def failed(error: Exception) -> Promise:
    """A promise that is already broken."""
    promise = Promise()
    promise.set_exception(error)
    return promise


def chained(
    source: asyncio.Future[Any], proceed: Callable[[Any], asyncio.Future[Any]], seconds: float | None = None
) -> Promise:
    """What `proceed` will promise when it gets the result of `source`, within so many seconds; or its error."""
    promise = Promise()
    if seconds is not None:
        timer = promise.get_loop().call_later(seconds, _expired, promise, seconds)
        promise.add_done_callback(lambda _: timer.cancel())

    def arrived(source: asyncio.Future[Any]) -> None:
        if promise.done():
            return
        try:
            copy(proceed(source.result()), promise)
        except asyncio.CancelledError:
            promise.cancel()
        except Exception as error:  # noqa: BLE001 - it is the caller's, whatever it is
            promise.set_exception(error)

    if source.done():
        arrived(source)
    else:
        source.add_done_callback(arrived)
    return promise


def _expired(promise: Promise, seconds: float) -> None:
    if not promise.done():
        promise.set_exception(TimeoutError(f"the call could not be made and answered within {seconds:g} s"))


def _caller(target: Any) -> Caller:
    if not isinstance(target, Caller):
        raise TypeError(f"the call answered with {type(target).__name__}, which takes no calls")
    return target


def copy(source: asyncio.Future[Any], promise: Promise) -> None:
    """Let a promise end as another does, and take that along when it is cancelled."""

    def ended(source: asyncio.Future[Any]) -> None:
        if promise.done():
            if not source.cancelled():
                source.exception()  # seen: nobody is left to be told
        elif source.cancelled():
            promise.cancel()
        elif error := source.exception():
            promise.set_exception(error)
        else:
            promise.set_result(source.result())

    source.add_done_callback(ended)
    # Ended before its source, by whoever waited or by its deadline: then nobody wants that any more.
    promise.add_done_callback(lambda _: source.cancel())
