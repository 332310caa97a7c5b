"""What makes a function a command.

    @command(looks=True)
    def who() -> Table:
        '''Who is logged in, from where, and what they run.'''

At a prompt it is called as a function, `who()`; a bare `who` runs it too when it only looks. Those without Python write words instead:
`log --level warning`, parsed against the signature.
"""

import asyncio
import importlib
import inspect
import shlex
import types
import typing
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from typing import Any

from ...runtime.errors import ConsoleError
from ...runtime.space import Space
from ..display import Prose, Text
from ..users import Role

SUBJECTS = ("world", "objects", "code", "state", "run", "recordings", "people")


class Pending:
    """The running work of a command that takes a while. The prompt waits for it if it `waits`; `await` always does.

    It has started already: a command that nobody awaits still happens. One that is `whole` also goes on when its waiter gives up, so
    that Ctrl-C leaves no half-finished edit or snapshot; any other is cancelled.
    """

    def __init__(
        self, name: str, coroutine: Coroutine[Any, Any, Any], *, waits: bool = True, whole: bool = True
    ) -> None:
        self.name, self.waits, self.whole = name, waits, whole
        self.task = asyncio.get_running_loop().create_task(coroutine)

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self.task).__await__() if self.whole else self.task.__await__()

    def __repr__(self) -> str:
        state = "done" if self.task.done() else "running"
        return f"<{self.name}(): {state}; 'await' gives its result>"


class Command:
    """A function with what a console needs to know about it.

    Args:
        looks: it only looks, so a bare name runs it.
        aside: it touches nothing of the server, so it may run in the console's thread and answers while the loop is stuck.
        role: the least role that may use it by name.
        whole: once begun it is carried through; Ctrl-C only ends the waiting for it.
    """

    def __init__(self, function: Callable[..., Any], *, looks: bool, aside: bool, role: Role, whole: bool) -> None:
        self.function, self.looks, self.aside, self.role, self.whole = function, looks, aside, role, whole
        self.context: Callable[[], AbstractContextManager[Any]] | None = None
        """What `with` this command means, if anything."""
        self.name = self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.signature = inspect.signature(function)
        self._types = typing.get_type_hints(function)

    @property
    def runs_bare(self) -> bool:
        """Whether the name alone, without parentheses, runs it: it only looks, and needs no argument."""
        return self.looks and all(
            one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            for one in self.signature.parameters.values()
        )

    @property
    def summary(self) -> str:
        return (self.__doc__ or "").partition("\n")[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.function(*args, **kwargs)
        return Pending(self.name, result, whole=self.whole) if inspect.iscoroutine(result) else result

    def __enter__(self) -> Any:
        return self._context().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> bool | None:
        return self._context().__exit__(kind, error, trace)

    def _context(self) -> AbstractContextManager[Any]:
        if self.context is None:
            raise ConsoleError(f"{self.name} is called, {self._call()}; 'with undo:' is the one command with a block")
        return self.context()

    def __repr__(self) -> str:
        return f"<command {self.name}: {self.summary}>"

    def usage(self) -> Text:
        """How it is called, and what it does."""
        return Prose(f"{self._call()}\n{inspect.cleandoc(self.__doc__ or '')}")

    def _call(self) -> str:
        """How it is written: `undo(number=None, *, write=False)`."""
        bare = [p.replace(annotation=p.empty) for p in self.signature.parameters.values()]
        return self.name + str(self.signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))

    def describe(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "name": self.name,
            "summary": self.summary,
            "help": inspect.cleandoc(self.__doc__ or ""),
            "parameters": [str(parameter) for parameter in self.signature.parameters.values()],
            "looks": self.looks,
            "role": str(self.role),
        }

    def parse(self, words: list[str], space: Space) -> tuple[list[Any], dict[str, Any]]:
        """Words as arguments: `7 --level warning --follow`. An object is given by its path in the space.

        Raises:
            ConsoleError: they do not fit the signature; says how it is used.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word.startswith("--") and len(word) > 2:
                name, equals, value = word[2:].partition("=")
                name = name.replace("-", "_")
                if name not in self.signature.parameters:
                    raise self._misused(f"there is no --{name}")
                if self._types.get(name) is bool:
                    kwargs[name] = value.lower() not in {"no", "off", "false", "0"} if equals else True
                else:
                    if not equals and not rest:
                        raise self._misused(f"--{name} needs a value")
                    kwargs[name] = self._convert(name, value if equals else rest.pop(0), space)
            else:
                args.append(self._convert(self._position(len(args)), word, space))
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._misused(str(error)) from error
        return args, kwargs

    def _position(self, index: int) -> str:
        for number, parameter in enumerate(self.signature.parameters.values()):
            if parameter.kind is parameter.VAR_POSITIONAL or (
                number == index and parameter.kind is not parameter.KEYWORD_ONLY
            ):
                return parameter.name
        raise self._misused("too many words")

    def _convert(self, name: str, word: str, space: Space) -> Any:
        kinds = typing.get_args(self._types.get(name)) or (self._types.get(name, str),)
        try:
            for kind in (int, float):
                if kind in kinds:
                    return kind(word)
        except ValueError:
            if str not in kinds:
                raise self._misused(f"{name} is a number, not {word!r}") from None
        if bool in kinds:
            return word.lower() not in {"no", "off", "false", "0"}
        if object in kinds or Any in kinds:
            return space.resolve(word)
        return word

    def _misused(self, why: str) -> ConsoleError:
        return ConsoleError(f"{self.name}: {why}; usage: {self._call()}")


_commands: dict[str, Command] = {}


def command(
    *, looks: bool = False, aside: bool = False, role: Role | None = None, whole: bool = False
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command of every console. What only looks is open to viewers, what acts to operators."""

    def make(function: Callable[..., Any]) -> Command:
        least = role if role is not None else Role.VIEWER if looks else Role.OPERATOR
        made = Command(function, looks=looks, aside=aside, role=least, whole=whole)
        _commands[made.name] = made
        return made

    return make


def table() -> dict[str, Command]:
    """Every command, by name, in the order of the subjects."""
    for subject in SUBJECTS:
        importlib.import_module(f".{subject}", __package__)
    return dict(_commands)


def split(line: str) -> tuple[str, list[str]]:
    """A line of words: the command's name and its arguments. `who()` is understood as `who`.

    Raises:
        ConsoleError: a quotation is not closed.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConsoleError(f"cannot read that line: {error}") from error
    if not words:
        return "", []
    return words[0].removesuffix("()"), words[1:]
