"""A pickle without a container, from before there was a `.spl`: everything in it counts as schema 0.

It has no manifest, so it is as dangerous as any pickle: for one's own data only. Python's own reader in Python is used,
slower but open: it shows each instance and its state, which the upgrade hooks need.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

from . import names
from .filling import as_dict, fill_own
from .schema import own_schema

_Reader: Any = pickle._Unpickler  # its stubs leave out what a subclass needs


class BareReader(_Reader):  # type: ignore[misc]  # for the same reason
    """Reads a pickle of any protocol, zodbpickle's too."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_Reader.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        #: The instances whose class has a schema, with the state that was stored.
        self.instances: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._former: dict[str, type] | None = None

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            if self._former is None:
                self._former = names.former_names()
            if f"{module}:{name}" not in self._former:
                raise
            return self._former[f"{module}:{name}"]

    def _note(self, obj: Any, state: Any) -> None:
        if any(own_schema(base) for base in type(obj).__mro__):
            self.instances[id(obj)] = (obj, as_dict(state))

    def load_build(self) -> None:
        state = self.stack.pop()
        obj = self.stack[-1]
        fill_own(obj, state, None, None)
        self._note(obj, state)

    def load_newobj(self) -> None:
        super().load_newobj()
        self._note(self.stack[-1], None)

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.NEWOBJ[0]] = load_newobj
