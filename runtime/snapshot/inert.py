"""A stream read so that nothing of it runs: every class and function is a stand-in, as if all code were gone.

Besides the stand-ins only built-in containers are real. What was read can be looked at, compared, and written again.
"""

from __future__ import annotations

import builtins
import collections
from collections.abc import Mapping
from typing import Any, BinaryIO

from .container import Container
from .lost import LostMethod, LostModule
from .parts import dead_ref
from .unpickling import Reader, without_collector

_BUILTINS = ("object", "int", "float", "bool", "complex", "str", "bytes", "bytearray", "list", "tuple", "dict", "set",
             "frozenset", "range", "slice", "Ellipsis", "NotImplemented")  # fmt: skip
#: What is real in an inert graph: containers and values that do nothing by themselves.
_REAL: dict[str, Any] = {
    **{f"builtins:{name}": getattr(builtins, name) for name in _BUILTINS},
    "collections:deque": collections.deque,
    "collections:OrderedDict": collections.OrderedDict,
}


class InertReader(Reader):
    """Reads one stream into stand-ins."""

    def __init__(self, file: BinaryIO, manifest: Mapping[str, Any]) -> None:
        super().__init__(file, manifest)
        self._own |= {
            "module": LostModule,
            "slot": lambda cls, name: LostMethod(cls, name, "slot"),
            "weak_method": lambda _: dead_ref(),
        }

    def _resolve(self, name: str, *, is_class: bool) -> None:
        module, _, qualname = name.partition(":")
        self._found[module, qualname] = _REAL.get(name) or self._stand_in(name, is_class=is_class)

    def method(self, owner: Any, name: str) -> Any:
        return LostMethod(owner, name)

    def find(self, module: str, qualname: str) -> Any:
        """Even what the manifest does not list: this is for looking, and a strange file should show what it is."""
        if (module, qualname) not in self._found:
            self._found[module, qualname] = self._stand_in(f"{module}:{qualname}", is_class=False)
        return self._found[module, qualname]


def read_inert(container: Container) -> Any:
    """The root of a container, as stand-ins."""
    with without_collector(), container.stream() as stream:
        return InertReader(stream, container.manifest).read()
