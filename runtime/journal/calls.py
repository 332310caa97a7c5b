"""`@journaled`: a method whose effect is confirmed only when it is on disk, and is replayed after a crash."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_S = TypeVar("_S")


class Moment:
    """What a journaled call may know of the world: the same when it is replayed."""

    def __init__(self, when: float, seed: int) -> None:
        self.time, self._seed = when, seed

    @functools.cached_property
    def dice(self) -> random.Random:
        """Made when it is asked for: most calls need none, and seeding takes longer than they do."""
        return random.Random(self._seed)


_moment: Moment | None = None


def now() -> float:
    """The time, in seconds since 1970: inside a journaled call that of the call, also when it is replayed."""
    return _moment.time if _moment else time.time()


def dice() -> random.Random:
    """A source of random numbers: inside a journaled call one that gives the same numbers when it is replayed."""
    return _moment.dice if _moment else _WORLD


_WORLD = random.Random()


@contextmanager
def at_moment(when: float, seed: int) -> Generator[None]:
    """Run a call at this moment."""
    global _moment
    before, _moment = _moment, Moment(when, seed)
    try:
        yield
    finally:
        _moment = before


def inside() -> bool:
    """Whether a journaled call is running."""
    return _moment is not None


class Ready(Awaitable[_T], Generic[_T]):
    """An answer that is there already: of a call that no journal confirms."""

    def __init__(self, value: _T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, _T]:
        yield from ()
        return self._value


def journaled(method: Callable[Concatenate[_S, _P], _T]) -> Callable[Concatenate[_S, _P], Awaitable[_T]]:
    """Confirm a service's method only when it is on disk.

    The method is a plain `def`. It takes effect at once; what it returns, or raises, comes from awaiting the call, after
    the call is on disk. After a crash the calls since the last snapshot are made again, in order, before `start()`. So a
    method does only what follows from the state of its space, its arguments, and `journal.now()` and `journal.dice()`;
    what reaches out (a reply, a file) comes after the await. Its arguments are plain values, of which it gets copies; for
    an object, give its path and use `self.space.resolve(path)`.

    A journaled method that another one calls is part of that one: it returns its result at once. Without a server the
    method runs, and nothing is written.

    Raises:
        TypeError: the method is a coroutine function; or, when called, an argument is no plain value.
        JournalError: from awaiting, or from later calls: the disk refused. What took effect is in the next snapshot.
    """
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        raise TypeError(
            f"{method.__qualname__} is journaled, so it is a plain def: what it awaited could not be replayed"
        )

    @functools.wraps(method)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        if inside():
            return method(self, *args, **named)
        from .journal import of

        journal = of(self)
        if journal is None:
            return Ready(method(self, *args, **named))
        return journal.call(self, method, args, named)

    call.__journaled__ = True  # type: ignore[attr-defined]
    wrapped: Any = call
    declared: Callable[Concatenate[_S, _P], Awaitable[_T]] = wrapped
    return declared


def is_journaled(cls: type) -> bool:
    """Whether a class has a journaled method."""
    return any(hasattr(value, "__journaled__") for base in cls.__mro__ for value in vars(base).values())


def settle(future: asyncio.Future[Any], result: Any, error: Exception | None, refused: Exception | None) -> None:
    """Give an answer to who waits, if anybody still does."""
    if future.cancelled():
        return
    if refused is not None or error is not None:
        future.set_exception(refused or error or RuntimeError())
    else:
        future.set_result(result)
