"""What names mean at a prompt.

A person's own assignments are private. Behind them come the commands and Python's builtins, then what somebody shared, then `space` and
the services by name. Assigning never changes what others see; `share("name")` does.
"""

import builtins
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..runtime.errors import ConsoleError


class Fallback(dict[str, Any]):
    """The `__builtins__` of a prompt: real builtins and commands as items, the shared names behind them.

    CPython asks an exact dict directly and any other mapping through `__getitem__`, so names that are added to the shared dict
    later are found too, from functions and comprehensions defined at the prompt as well. The cost is the inline cache of builtin names
    in such functions only.
    """

    def __init__(self, items: Mapping[str, Any], look_up: Callable[[str], Any]) -> None:
        super().__init__(items)
        self._look_up = look_up

    def __missing__(self, name: str) -> Any:
        return self._look_up(name)


class Shared:
    """What every prompt of a server sees.

    Args:
        world: names that come from the server itself (`space`, services, commands), asked for at each look-up.
    """

    def __init__(self, commands: Mapping[str, Any], world: Callable[[], Mapping[str, Any]]) -> None:
        self.commands = dict(commands)
        self.world = world
        self.names: dict[str, Any] = {}
        # `space` names the space itself; the prompt shows it as the command of that name would.
        named = {name: one for name, one in self.commands.items() if name != "space"}
        self.builtins = Fallback({**vars(builtins), "input": _input, **named}, self._look_up)

    def _look_up(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        return self.world()[name]

    def share(self, name: str, value: Any) -> None:
        """Let every prompt see a value under this name.

        Raises:
            ValueError: a command or a builtin has the name; it would never be seen.
        """
        if name in self.builtins:
            raise ValueError(f"{name!r} is a command or a builtin of Python; share it under another name")
        self.names[name] = value

    def visible(self) -> Iterator[str]:
        """Every shared name, command and service."""
        yield from self.commands
        yield from self.names
        yield from self.world()


def _input(prompt: object = "") -> str:
    """Refuses: the server would stop until somebody answers, on the terminal it was started from."""
    raise ConsoleError(f"input() would stop the server while you think; use: await ask({str(prompt)!r})")


class Namespace(dict[str, Any]):
    """One person's names: the globals of what they type. Sessions of the same person use the same one.

    *In a snapshot:* never saved.
    """

    def __init__(self, user: str, shared: Shared) -> None:
        super().__init__(__name__="__console__", __doc__=None, __builtins__=shared.builtins)
        self.user, self.shared = user, shared
        self.statements = 0
        self.started = False
        """Whether `.midairrc.py` has been run in it."""

    def next_number(self) -> int:
        """The number of the next statement: `_3` is the value of statement 3."""
        self.statements += 1
        return self.statements

    def remember(self, number: int, value: Any) -> None:
        """Keep a shown value as `_`, and the one before as `__`."""
        if "_" in self:
            self["__"] = self["_"]
        self["_"] = self[f"_{number}"] = value
        # A hundred values are enough to look back at; more would keep half the server alive.
        self.pop(f"_{number - 100}", None)
