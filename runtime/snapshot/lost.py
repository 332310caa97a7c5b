"""Stand-ins for what a file names and the code has no more.

A class that is gone becomes a class of the same name whose instances keep the stored call and state as they were. They
can be looked at, run nothing, and are written back so that the file means the same. When the class is there again,
`heal` turns them into its instances.
"""

from __future__ import annotations

import weakref
from typing import Any, Self

from .schema import Lineage


class Lost:
    """An instance of a class that is gone. Its attributes are the stored ones; it has no behaviour.

    In a snapshot: as the instance that it stands for.
    """

    __lost__: str
    __lineage__: Lineage
    __hashed__: bool

    #: How the instance was made, (maker, arguments), and its state where that is not its attributes.
    _lost_call: tuple[str, tuple[Any, ...]]
    _lost_state: tuple[Any, ...] | None

    def __new__(cls, *args: Any) -> Self:
        self = object.__new__(cls)
        self._lost_call, self._lost_state = ("new", args), None
        _standing.add(self)
        return self

    def __init__(self, *args: Any) -> None:
        self._lost_call = ("call", args)

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

    def __call__(self, *_: Any) -> Any:
        raise LookupError(f"{self.name} is not in the code any more")

    def __repr__(self) -> str:
        return f"<stand-in for function {self.name}>"


_standing: weakref.WeakSet[Lost] = weakref.WeakSet()


def lost_class(name: str, lineage: Lineage, *, hashed: bool) -> type[Lost]:
    """A class for the stand-ins of one class."""
    module, _, qualname = name.partition(":")
    body = {
        "__module__": module,
        "__qualname__": qualname,
        "__lost__": name,
        "__lineage__": lineage,
        "__hashed__": hashed,
    }
    return type(qualname.rpartition(".")[2], (Lost,), body)


def standing() -> list[Lost]:
    """The stand-ins that are in use."""
    return list(_standing)
