"""Stand-ins for what a file names and the code has no more.

A class that is gone becomes a class of the same name whose instances keep the stored call and state as they were. They
can be looked at, run nothing, and are written back so that the file means the same. When the class is there again,
`healing.heal` turns them into its instances.
"""

from __future__ import annotations

import weakref
from typing import Any, Self

from .schema import Lineage


class LostType(type):
    """The class of the stand-in classes, so that a snapshot knows them."""


class Lost(metaclass=LostType):
    """An instance of a class that is gone. Its attributes are the stored ones; it has no behaviour.

    In a snapshot: as the instance that it stands for.
    """

    __lost__: str
    __lineage__: Lineage

    #: How the instance was made, (maker, arguments), and its state where that is not its attributes.
    _lost_call: tuple[Any, tuple[Any, ...]]
    _lost_state: tuple[Any, ...] | None

    def __new__(cls, *args: Any) -> Self:
        self = object.__new__(cls)
        self._lost_call, self._lost_state = ("new", args), None
        _standing.add(self)
        return self

    def __init__(self, *args: Any) -> None:
        self._lost_call = ("call", args)

    def __setstate__(self, state: Any) -> None:
        self._lost_state = (state, None, None)

    def extend(self, items: Any) -> None:
        """Keep what a class like list is given while it is read."""
        state, kept, pairs = self._lost_state or (None, None, None)
        self._lost_state = (state, (*(kept or ()), *items), pairs)

    def append(self, item: Any) -> None:
        self.extend((item,))

    def __setitem__(self, key: Any, value: Any) -> None:
        state, items, kept = self._lost_state or (None, None, None)
        self._lost_state = (state, items, (*(kept or ()), key, value))

    def kept(self) -> dict[str, Any]:
        """The stored attributes."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_lost_")}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{self.__lost__} is not in the code any more; this stand-in keeps only its state, which has no {name!r}"
        )

    def __repr__(self) -> str:
        return f"<stand-in for {self.__lost__}>"


class LostFunction:
    """A function that is gone. Calling it says so.

    In a snapshot: by the same name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        #: While a file is being read a call makes a stand-in for what the function would have made.
        self.reading = True

    def __call__(self, *args: Any) -> Any:
        if self.reading:
            made = lost_class(self.name, [])()
            made._lost_call = (self, args)
            return made
        raise LookupError(f"{self.name} is not in the code any more")

    def __repr__(self) -> str:
        return f"<stand-in for function {self.name}>"


class LostMethod:
    """A bound method that is gone, with its object. It works again as soon as the object has it again.

    In a snapshot: as the method that it stands for.
    """

    def __init__(self, owner: Any, name: str, maker: str = "method") -> None:
        self.owner, self.name, self.maker = owner, name, maker

    def __call__(self, *args: Any, **named: Any) -> Any:
        found = None if isinstance(self.owner, Lost) else getattr(self.owner, self.name, None)
        if found is None:
            raise LookupError(f"{self!r} cannot be called: it is not in the code any more")
        return found(*args, **named)

    def __repr__(self) -> str:
        return f"<stand-in for method {self.name} of {self.owner!r}>"


class LostModule:
    """A module that is only looked at.

    In a snapshot: by its name.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<module {self.name}>"


_standing: weakref.WeakSet[Lost] = weakref.WeakSet()


def lost_class(name: str, lineage: Lineage) -> type[Lost]:
    """A class for the stand-ins of one class."""
    module, _, qualname = name.partition(":")
    body = {"__module__": module, "__qualname__": qualname, "__lost__": name, "__lineage__": lineage}
    made: Any = LostType(qualname.rpartition(".")[2], (Lost,), body)
    cls: type[Lost] = made
    return cls


def standing() -> list[Lost]:
    """The stand-ins that are in use."""
    return [obj for obj in _standing if isinstance(obj, Lost)]  # one that healed is none any more
