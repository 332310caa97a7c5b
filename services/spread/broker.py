"""The object layer of one connection: who holds what, what was asked and what is still to be answered.

It does no I/O. Bytes that arrived go to `received`, bytes to send collect in `outbox`, and `on_output` is called when
the first of them is there. What travels is encoded by a wire: `PackedWire` between midair peers, `JellyWire` for others.

    exports   objects of ours that the peer holds, by number, with the count of times they were sent
    proxies   our references to the peer's objects, alive as long as somebody here holds them
    shown     our Cacheables that the peer holds copies of; `held` are our copies of the peer's
    pending   our calls without an answer yet; `running` are the peer's

    Across a rebuild: everything goes by object identity, so the tables stay true.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from types import CoroutineType
from typing import Any, cast
from weakref import WeakValueDictionary

from ...runtime.errors import ProtocolError
from .calls import Running, run
from .errors import (
    BadMessage,
    DeadReference,
    NotAllowed,
    NotSendable,
    RemoteError,
    SpreadError,
    dotted,
    lineage,
    remake,
)
from .flavors import (
    Cacheable,
    Copyable,
    Referenceable,
    RemoteCache,
    Viewable,
    ViewPoint,
    find,
    registered,
    wire_name,
)
from .holding import Exports, Held, PeerObserver
from .jelly import Jellier, Unjellier
from .limits import FRIEND, Limits, exceeded
from .references import Caller, Promise, RemoteReference, failed
from .stream import source_of
from .turn import Turn

log = logging.getLogger("midair.spread")


class Broker:
    """One side of a connection.

    Args:
        make_wire: the encoding, made with this broker.
        lookup: finds the object for a name that the peer calls, such as "root"; None when there is none.
        limits: what the peer may cost; assign `limits` to change them.
        tracebacks: whether the peer is told where an error happened.
        peer: how messages and `repr` name the other side.
    """

    def __init__(
        self,
        make_wire: Callable[[Broker], Any],
        *,
        lookup: Callable[[str], Any] | None = None,
        limits: Limits = FRIEND,
        tracebacks: bool = False,
        peer: str = "the peer",
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.lookup = lookup or (lambda _: None)
        self.limits = limits
        self.tracebacks = tracebacks
        self.peer = peer
        #: Who the peer logged in as; sees what we send it by ourselves.
        self.perspective: Any = None
        self.outbox: list[bytes] = []
        self.on_output: Callable[[bool], None] = _nothing
        #: Bytes of answers that the peer has not taken yet, at most; the owner of the connection lowers it.
        self.answering = 0
        self.gone: BaseException | None = None
        self.exports = Exports("references")
        self.shown = Exports("caches")
        self._proxies: WeakValueDictionary[int | str, RemoteReference] = WeakValueDictionary()
        self.held: dict[int, Held] = {}
        self._pending: dict[int, Promise] = {}
        self._last = 0
        self._running: dict[int, Running] = {}
        self._unanswered: set[Running] = set()
        # What we answered with references, until the peer says that it has them: it may have called them before.
        self._results: dict[int, Any] = {}
        self._granted: list[tuple[Exports, int]] = []
        self._dropped: deque[tuple[str, int, int]] = deque()
        self._dropping = False
        self._thread = threading.get_ident()
        self.turn = Turn(self.loop)
        self.wire = make_wire(self)
        self.say(self.wire.hello())

    # --- bytes

    def say(self, data: bytes, *, alone: bool = False) -> None:
        """Have something sent: with all else that this turn of the loop has to say, or at once when it is `alone`."""
        if not data or self.gone is not None:
            return
        outbox = self.outbox
        outbox.append(data)
        if len(outbox) == 1:
            self.on_output(alone)

    def take(self) -> bytes:
        """Everything there is to send now."""
        outbox = self.outbox
        data = outbox[0] if len(outbox) == 1 else b"".join(outbox)
        outbox.clear()
        return data

    @property
    def full(self) -> bool:
        """Whether so many answers wait for the peer that no more of its calls should be read."""
        return self.answering > self.limits.unsent

    def _encode(self, make: Callable[..., bytes], *args: Any) -> bytes:
        """A message, whole or not at all: what it hands out is taken back when some part cannot be sent."""
        granted = self._granted
        mark = len(granted)
        try:
            return make(*args)
        except BaseException:
            for table, luid in granted[mark:]:
                entry = table.take_back(luid)
                if entry is not None and table is self.shown:
                    self._stopped_observing(entry.value, entry.observer)
            raise
        finally:
            if granted:
                del granted[mark:]

    def received(self, inbox: bytearray) -> None:
        """Take the whole messages from the front of what arrived.

        Raises:
            ProtocolError: the peer broke the rules; drop it.
        """
        try:
            self.wire.received(inbox, self.limits)
        except ProtocolError:
            raise
        except (LookupError, TypeError, ValueError) as error:
            # Every handler catches what users' code raises; what is left is a message of the wrong shape.
            raise BadMessage(f"a message that cannot be read: {error}") from error

    def lost(self, reason: BaseException | None) -> None:
        """The connection is gone: break every promise, tell every observed object, let go of everything."""
        if self.gone is not None:
            return
        self.gone = reason or DeadReference(f"the connection to {self.peer} was closed")
        self.outbox.clear()
        pending, self._pending = self._pending, {}
        for promise in pending.values():
            if not promise.done():
                promise.set_exception(DeadReference(f"the connection to {self.peer} was lost before the answer came"))
        for entry in self.shown.clear():
            self._stopped_observing(entry.value, entry.observer)
        for entry in self.exports.clear():
            self._released(entry.value)
        self.held.clear()
        self._results.clear()

    def cancel_running(self) -> list[asyncio.Future[Any]]:
        """Stop the peer's calls that are under way, as when the server stops; what is to end now."""
        under_way = (*self._running.values(), *self._unanswered)
        for running in under_way:
            running.cancel()
        return [running.task for running in under_way]

    # --- our calls

    def call(
        self, target: int | str, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None
    ) -> Promise:
        if self.gone is not None:
            return failed(self.dead())
        number = self._last = self._last + 1
        data = self._encode(self.wire.call, number, target, name, args, kw, seconds)
        # With no other call under way nothing is gained by waiting for more to say, and a turn of the loop is lost.
        alone = not self._pending
        promise = self._promise(number, seconds)  # before it is sent, which may be what the connection breaks over
        self.say(data, alone=alone)
        return promise

    def call_promise(
        self, source: Promise, number: int, name: str, args: tuple[Any, ...], kw: dict[str, Any], seconds: float | None
    ) -> Promise:
        """A call on what an earlier one is going to answer with."""
        promise = self.call(self.wire.promised(number), name, args, kw, seconds)
        promise._source = source
        return promise

    def send_call(self, target: int | str, name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> None:
        if self.gone is not None:
            raise self.dead()
        self.say(self._encode(self.wire.call, 0, target, name, args, kw, None))

    def observe(
        self, value: Cacheable, name: str, args: tuple[Any, ...], kw: dict[str, Any], *, answer: bool
    ) -> Promise | None:
        """Call the peer's copy of a Cacheable."""
        luid = self.shown.number(value)
        if self.gone is not None or luid is None:
            error = self.dead() if self.gone is not None else DeadReference(f"{self.peer} holds no copy of {value!r}")
            if answer:
                return failed(error)
            raise error
        number = 0
        if answer:
            number = self._last = self._last + 1
        data = self._encode(self.wire.observe, number, luid, name, args, kw)
        promise = self._promise(number, None) if answer else None
        self.say(data)
        return promise

    def _promise(self, number: int, seconds: float | None) -> Promise:
        promise = Promise(loop=cast("asyncio.AbstractEventLoop", self.turn))  # all that a future asks of one
        promise._broker = self
        promise._number = number
        self._pending[number] = promise
        if seconds is not None:
            timer = self.loop.call_later(seconds, self._expired, promise, seconds)
            promise.add_done_callback(lambda _: timer.cancel())
        return promise

    def _expired(self, promise: Promise, seconds: float) -> None:
        if not promise.done():
            promise.set_exception(
                TimeoutError(f"{self.peer} did not answer within {seconds:g} s; the call was cancelled")
            )
            self.abandon(promise._number)

    def abandon(self, number: int) -> None:
        """Nobody here waits for that answer any more."""
        if self._pending.pop(number, None) is not None and self.gone is None:
            self.say(self.wire.cancel(number))

    def dead(self) -> DeadReference:
        return DeadReference(f"the connection to {self.peer} is gone")

    # --- their answers

    def answered(self, number: int, value: Any) -> None:
        if type(value) is RemoteReference and self.wire.pipelines:
            self.say(self.wire.forget(number))
        promise = self._pending.pop(number, None)
        if promise is not None and not promise.done():
            promise.set_result(value)

    def failed(self, number: int, type: str, text: str, parents: Any = (), traceback: str = "") -> None:
        kind = registered(str(type))
        if kind is not None and issubclass(kind, Exception):
            error = kind.__new__(kind)
            error.args = (str(text),)
            self._break(number, error)
        else:
            self._break(number, remake(str(type), str(text), tuple(map(str, parents)), str(traceback)))

    def raised(self, number: int, error: Any) -> None:
        if not isinstance(error, Exception):
            raise BadMessage(f"{type(error).__name__} was raised, which is no exception")
        self._break(number, error)

    def answer_unreadable(self, number: int, error: Exception) -> None:
        self._break(number, error)

    def _break(self, number: int, error: Exception) -> None:
        promise = self._pending.pop(number, None)
        if promise is None or promise.done():
            return
        source = promise._source
        if source is not None and source.done() and not source.cancelled() and source.exception() is not None:
            # What the peer says is only that there was nothing to call; why not, it said in answer to the first call.
            error = source.exception()  # type: ignore[assignment] # an Exception, as all that we set
        promise.set_exception(error)

    # --- their calls

    def called(
        self, number: int, target: Any, name: str, args: list[Any] | tuple[Any, ...], kw: dict[str, Any], seconds: Any
    ) -> None:
        try:
            found = self._target(target)
            method = found.find_remote(name)
            perspective = found.perspective
        except Exception as error:  # noqa: BLE001 - find_remote is users' code; whatever it raises is the answer
            self._answer_error(number, error)
            return
        self._run(number, method, args, kw, perspective, seconds)

    def called_promise(
        self, number: int, source: Any, name: str, args: list[Any], kw: dict[str, Any], seconds: Any
    ) -> None:
        """A call on what the peer's earlier call answers with."""
        running = self._running.get(source)
        if running is not None:
            self._start(number, self._after(running, number, name, args, kw), None, seconds)
        else:
            self._start_on(number, self._results.get(source), name, args, kw, seconds)

    def _start_on(self, number: int, found: Any, name: str, args: list[Any], kw: dict[str, Any], seconds: Any) -> None:
        try:
            method = _callable(found, name, None).find_remote(name)
        except Exception as error:  # noqa: BLE001 - as in `called`
            self._answer_error(number, error)
            return
        self._run(number, method, args, kw, found.perspective, seconds)

    async def _after(self, source: Running, number: int, name: str, args: list[Any], kw: dict[str, Any]) -> Any:
        await asyncio.wait([source.task])
        found = _callable(source.object, name, source.perspective)
        own = self._running.get(number)
        if own is not None:
            own.perspective = found.perspective
        result = found.find_remote(name)(*args, **kw)
        return await result if asyncio.iscoroutine(result) or asyncio.isfuture(result) else result

    def observed(
        self, number: int, luid: int, name: str, args: list[Any] | tuple[Any, ...], kw: dict[str, Any]
    ) -> None:
        held = self.held.get(_whole(luid))
        _whole(number)
        try:
            if held is None:
                raise DeadReference(f"no cache {luid} is held here")
            method = find(held.instance(), "observe_", name)
        except Exception as error:  # noqa: BLE001 - as in `called`
            self._answer_error(number, error)
            return
        self._run(number, method, args, kw, None, None)

    def cancelled(self, number: int) -> None:
        running = self._running.get(number)
        if running is not None:
            running.unwanted = True
            running.cancel()

    def forget(self, number: int) -> None:
        self._results.pop(number, None)

    def refuse(self, number: int, error: Exception) -> None:
        """A call whose arguments could not be made."""
        log.info("%s: refused: %s", self.peer, error)
        self._answer_error(number, error)

    def _target(self, target: Any) -> Any:
        if type(target) is int:
            return self.exports.get(target)
        found = self.lookup(target) if type(target) is str else None
        if found is None:
            raise DeadReference(f"nothing here has the name {target!r}")
        return found

    def _run(
        self, number: int, method: Callable[..., Any], args: Any, kw: dict[str, Any], perspective: Any, seconds: Any
    ) -> None:
        try:
            result = method(*args, **kw)
        except asyncio.CancelledError:
            self._answer_cancelled(number)
            return
        except Exception as error:  # noqa: BLE001 - the method is users' code; what it raises is the answer
            self._answer_error(number, error, perspective)
            return
        kind = type(result)
        if kind is CoroutineType or (kind not in _AT_HAND and asyncio.isfuture(result)):
            self._start(number, result, perspective, seconds)
        elif number:
            self._answer(number, result, perspective)

    def _start(self, number: int, work: Any, perspective: Any, seconds: Any) -> None:
        if number in self._running:
            raise BadMessage(f"call {number} is under way already")
        if len(self._running) + len(self._unanswered) >= self.limits.calls:
            if asyncio.iscoroutine(work):
                work.close()
            self._answer_error(number, exceeded("calls running at a time", self.limits.calls, "calls"))
            return
        running = run(self.loop, work, perspective, seconds, lambda running: self._finished(number, running))
        if number:
            self._running[number] = running
        else:
            self._unanswered.add(running)

    def _finished(self, number: int, running: Running) -> None:
        self._running.pop(number, None)
        self._unanswered.discard(running)
        if self.gone is not None and not running.failed:
            return
        try:
            result = running.result()
        except asyncio.CancelledError:
            if not running.unwanted:
                self._answer_cancelled(number)
        except Exception as error:  # noqa: BLE001 - as in `_run`
            self._answer_error(number, error, running.perspective)
        else:
            self._answer(number, result, running.perspective)

    def _answer(self, number: int, result: Any, perspective: Any) -> None:
        if not number or self.gone is not None:
            return
        try:
            data = self._encode(self.wire.answer, number, result, perspective)
        except Exception as error:  # noqa: BLE001 - copy_state and the like are users' code
            self._answer_error(number, error, perspective)
            return
        if type(result) not in _AT_HAND and self.wire.pipelines and isinstance(result, Referenceable | Viewable):
            self._results[number] = _callable(result, "", perspective)
            if len(self._results) > self.limits.references:
                del self._results[next(iter(self._results))]
        self.answering += len(data)
        self.say(data, alone=not self._running)

    def _answer_cancelled(self, number: int) -> None:
        if number and self.gone is None:
            name = dotted(asyncio.CancelledError)
            self.say(self.wire.error(number, name, "the call was cancelled by the peer", (name,), ""))

    def _answer_error(self, number: int, error: Exception, perspective: Any = None) -> None:
        if not isinstance(error, SpreadError | ProtocolError | Copyable | TimeoutError):
            log.warning("%s: a call failed", self.peer, exc_info=error)
        if not number or self.gone is not None:
            return
        if isinstance(error, Copyable):
            try:
                self.say(self._encode(self.wire.raised, number, error, perspective))
            except Exception as unsendable:  # noqa: BLE001 - as in `_answer`
                self._answer_error(
                    number, NotSendable(f"{dotted(type(error))} was raised and cannot be sent: {unsendable}")
                )
            return
        known = isinstance(error, RemoteError)
        kind, parents = (error.type, error.parents) if known else (dotted(type(error)), lineage(type(error)))  # type: ignore[attr-defined] # narrowed by `known`
        text = error.text if known else _text(error)  # type: ignore[attr-defined] # as above
        where = "".join(traceback.format_exception(error)) if self.tracebacks else ""
        data = self.wire.error(number, kind, text[:4096], parents, where[-65536:])
        self.answering += len(data)
        self.say(data)

    # --- flavors out

    def jelly(self, value: Any, perspective: Any, *, rich: bool) -> Any:
        """The expression of a value for this peer."""
        return Jellier(self, perspective, rich=rich).jelly(value)

    def send_flavor(self, value: Any, jellier: Jellier) -> list[Any] | None:
        if isinstance(value, Referenceable | Caller):
            return list(self.reference(value))
        if isinstance(value, Viewable):
            return list(self.reference(ViewPoint(jellier.perspective, value)))
        if isinstance(value, Cacheable):
            return self._send_cache(value, jellier)
        if isinstance(value, Copyable):
            return jellier.shared(
                value, lambda: [wire_name(type(value)).encode(), jellier.jelly(value.copy_state(jellier.perspective))]
            )
        if isinstance(value, RemoteCache):
            for luid, held in self.held.items():
                if held.live() is value:
                    return [b"lcache", luid]
            raise NotSendable(f"{value!r} belongs to another connection; a cache goes only to its owner")
        source = source_of(value)
        return None if source is None else list(self.reference(source))

    def reference(self, value: Any) -> tuple[bytes, Any]:
        """The tag and number for a reference: ours by "remote", the peer's own by "local"."""
        if isinstance(value, Caller):
            luid = value.now(self)._luid
            return b"local", luid.encode() if type(luid) is str else luid
        luid = self.exports.add(value, most=self.limits.references)
        self._granted.append((self.exports, luid))
        return b"remote", luid

    def _send_cache(self, value: Cacheable, jellier: Jellier) -> list[Any]:
        known = self.shown.number(value)
        luid = self.shown.add(value, most=self.limits.references)
        self._granted.append((self.shown, luid))
        if known is not None:
            return [b"cached", luid]
        observer = PeerObserver(self, value, jellier.perspective)
        self.shown.entry(luid).observer = observer
        return jellier.shared(
            value,
            lambda: [
                wire_name(type(value)).encode(),
                luid,
                jellier.jelly(value.cache_state(jellier.perspective, observer)),
            ],
        )

    # --- flavors in

    def unjelly(self, expression: Any) -> Any:
        return Unjellier(self).value(expression)

    def receive_flavor(self, tag: str, expression: list[Any], unjellier: Unjellier, number: int | None) -> Any:
        if tag == "remote":
            return self.proxy(_whole(expression[1]))
        if tag == "local":
            name = expression[1]
            return self.own(name.decode() if type(name) is bytes else name)
        if tag == "cached":
            held = self.held.get(_whole(expression[1]))
            if held is None:
                raise BadMessage(f"cache {expression[1]} was never sent")
            return held.receive()
        if tag == "lcache":
            return self.shown.get(_whole(expression[1]))
        if tag == "unpersistable":
            raise BadMessage(f"the peer could not send a part: {expression[1:]!r}")
        kind = registered(tag)
        if kind is None:
            raise NotAllowed(f"{tag} is not a registered class here")
        if issubclass(kind, RemoteCache):
            return self._receive_cache(kind, expression, unjellier, number)
        made: Any = kind.__new__(kind)  # pyright: ignore[reportCallIssue] - whatever class was registered
        unjellier.announce(number, made)
        unjellier.whole(unjellier.unjelly(expression[1]), made.set_copy_state)
        return made

    def _receive_cache(
        self, kind: type[RemoteCache], expression: list[Any], unjellier: Unjellier, number: int | None
    ) -> Any:
        _, luid, state = expression
        if len(self.held) >= self.limits.references:
            raise exceeded("caches held", self.limits.references, "caches")
        held = self.held[_whole(luid)] = Held(self, luid, kind)
        made = held.receive()
        unjellier.announce(number, made)
        unjellier.whole(unjellier.unjelly(state), lambda state: held.become(made, state))
        return made

    def proxy(self, luid: int | str) -> RemoteReference:
        """Our reference to the peer's object: always the same one as long as somebody holds it."""
        proxy = self._proxies.get(luid)
        if proxy is None:
            if len(self._proxies) >= self.limits.references:
                raise exceeded("references held", self.limits.references, "references")
            proxy = self._proxies[luid] = RemoteReference(self, luid)
        if type(luid) is int:
            proxy._receipts += 1
        return proxy

    def own(self, luid: Any) -> Any:
        """Our own object, which the peer passes back."""
        return self._target(luid)

    # --- letting go

    def reference_dropped(self, luid: Any, count: int) -> None:
        """A reference was collected; from any thread, at any moment."""
        self._drop("decref", luid, count)

    def cache_dropped(self, luid: int, count: int) -> None:
        self._drop("decache", luid, count)

    def _drop(self, what: str, luid: int, count: int) -> None:
        # A collection may happen in the middle of anything, so it is only noted here and said in a turn of its own.
        if self.gone is not None or self.loop.is_closed():
            return
        self._dropped.append((what, luid, count))
        if threading.get_ident() != self._thread:
            self.loop.call_soon_threadsafe(self._say_dropped)
        elif not self._dropping:
            self._dropping = True
            self.loop.call_soon(self._say_dropped)

    def _say_dropped(self) -> None:
        self._dropping = False
        while self._dropped:
            what, luid, count = self._dropped.popleft()
            self.say(getattr(self.wire, what)(luid, count))

    def decref(self, luid: int, count: int = 1) -> None:
        """The peer holds an object of ours that many times less."""
        entry = self.exports.drop(_whole(luid), _whole(count))
        if entry is not None:
            self._released(entry.value)

    def decache(self, luid: int, count: int = 1) -> None:
        """The peer dropped copies of a Cacheable of ours."""
        entry = self.shown.drop(_whole(luid), _whole(count))
        if entry is not None:
            self._stopped_observing(entry.value, entry.observer)
            self.say(self.wire.uncache(luid))

    def uncache(self, luid: int) -> None:
        """The owner will not speak of that cache any more."""
        self.held.pop(_whole(luid), None)

    def _released(self, value: Any) -> None:
        try:
            value.released()
        except Exception:
            log.exception("%s: error in %s.released", self.peer, type(value).__name__)

    def _stopped_observing(self, value: Cacheable, observer: Any) -> None:
        try:
            value.stopped_observing(observer.perspective, observer)
        except Exception:
            log.exception("%s: error in %s.stopped_observing", self.peer, type(value).__name__)


_AT_HAND = frozenset({type(None), bool, int, float, str, bytes, tuple, list, dict})


def _nothing(alone: bool) -> None:
    pass


def _callable(found: Any, name: str, perspective: Any) -> Referenceable:
    """The object to make a call on that a promise was waiting for."""
    if isinstance(found, Viewable):
        return ViewPoint(perspective, found)
    if not isinstance(found, Referenceable):
        raise DeadReference(f"the call gave no object to call {name!r} on")
    return found


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise BadMessage(f"{number!r} is not a number of an object")
    return number


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a __str__ of users' code
        return f"(a {type(error).__name__} that cannot be shown)"
