"""Watching the calls of one function, without a cost to any other: its code is exchanged for code that tells and then calls the original.

Every holder of the function is covered, because the function object stays. The exchange ends by itself after the agreed number of calls,
and an edit of the function ends it too: new code simply takes the place.
"""

import inspect
import types
import warnings
from collections.abc import Callable
from typing import Any

from .display import shown

MAX_VALUE = 200
"""Characters shown of an argument or a result."""

traces: dict[int, "Trace"] = {}
"""What is being traced, by the id of the function."""


_PLAIN = "def call(*args, **kwargs): return 'hook'(*args, **kwargs)"
_WAITING = "async def call(*args, **kwargs): return await 'hook'(*args, **kwargs)"


class Trace:
    """One function whose next calls are told.

    Args:
        tell: called with one line for a call and one for its result, in the thread that made the call.
    """

    def __init__(self, function: types.FunctionType, times: int, tell: Callable[[str], None]) -> None:
        self.function, self.left, self.tell = function, times, tell
        self.name = function.__qualname__
        self._before = function.__code__
        self._waits = inspect.iscoroutinefunction(function)
        self._original = types.FunctionType(
            self._before, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        self._original.__kwdefaults__ = function.__kwdefaults__
        self._code = self._exchanged()
        function.__code__ = self._code
        traces[id(function)] = self

    def _exchanged(self) -> types.CodeType:
        """Code that calls this trace, acceptable to a function with the original's closure."""
        # A function reads globals from its own module, so the hook has to be a constant of the code.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # a string that is called, until it is exchanged
            module = compile(_WAITING if self._waits else _PLAIN, "<midair trace>", "exec")
        made = next(constant for constant in module.co_consts if isinstance(constant, types.CodeType))
        hook = self._wait if self._waits else self._call
        return made.replace(
            co_consts=tuple(hook if constant == "hook" else constant for constant in made.co_consts),
            co_freevars=self._before.co_freevars,
            co_name=self._before.co_name,
            co_qualname=self._before.co_qualname,
        )

    def end(self) -> None:
        """Put the original code back, unless an edit has put newer code there."""
        traces.pop(id(self.function), None)
        if self.function.__code__ is self._code:
            self.function.__code__ = self._before

    def _begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.left -= 1
        if self.left <= 0:
            self.end()
        given = [*map(_short, args), *(f"{name}={_short(value)}" for name, value in kwargs.items())]
        self.tell(f"{self.name}({', '.join(given)})")

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        self._begin(args, kwargs)
        try:
            result = self._original(*args, **kwargs)
        except BaseException as error:
            self.tell(f"{self.name} raised {type(error).__name__}")
            raise
        self.tell(f"{self.name} -> {_short(result)}")
        return result

    async def _wait(self, *args: Any, **kwargs: Any) -> Any:
        self._begin(args, kwargs)
        try:
            result = await self._original(*args, **kwargs)
        except BaseException as error:
            self.tell(f"{self.name} raised {type(error).__name__}")
            raise
        self.tell(f"{self.name} -> {_short(result)}")
        return result


def _short(value: object) -> str:
    try:
        text = shown(value)
    except Exception as error:  # noqa: BLE001 - an argument's own __repr__ failed; the call goes on
        text = f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "…"
