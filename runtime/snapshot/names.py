"""Classes and functions by name: what a file calls them, and where they are found today."""

from __future__ import annotations

import importlib
import sys
from typing import Any

MISSING = object()


def full_name(thing: Any) -> str:
    """What files call a class or function: `module:Qualified.Name`."""
    return f"{thing.__module__}:{thing.__qualname__}"


def look_up(module: str, qualname: str) -> object:
    """What that name means in the modules that are loaded; MISSING when nothing.

    Through classes only: `logging:os.system` is nothing, whatever `logging` has imported.
    """
    first, *rest = qualname.split(".")
    found: object = vars(sys.modules[module]).get(first, MISSING) if module in sys.modules else MISSING
    for part in rest:
        # Not getattr: a metaclass or a descriptor would run for a mere look.
        found = vars(found).get(part, MISSING) if isinstance(found, type) else MISSING
        if isinstance(found, staticmethod):
            found = found.__func__
    return found


def is_named(thing: Any) -> bool:
    """Whether its module and qualified name lead back to it."""
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return isinstance(module, str) and isinstance(qualname, str) and look_up(module, qualname) is thing


def is_named_plainly(thing: Any) -> bool:
    """The same without a dot, as the pickler itself can write it."""
    qualname = getattr(thing, "__qualname__", ".")
    return "." not in qualname and thing.__name__ == qualname and is_named(thing)


def import_and_look_up(module: str, qualname: str) -> object:
    """The same, importing the module when it is not loaded yet.

    Raises:
        ImportError: the module is there but what it needs is not; another error of its body passes through.
    """
    if module not in sys.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and (module + ".").startswith(error.name + "."):
                return MISSING
            raise
    return look_up(module, qualname)


def former_names() -> dict[str, type]:
    """Which class each name in some `__was__ = ("module:Name",)` means today."""
    found: dict[str, type] = {}
    todo: list[type] = [object]
    seen: set[type] = set()
    while todo:
        subclasses: list[type] = type.__subclasses__(todo.pop())
        for cls in subclasses:
            if cls in seen:
                continue
            seen.add(cls)
            todo.append(cls)
            was = vars(cls).get("__was__")
            if isinstance(was, tuple | list) and is_named(cls):
                found.update((name, cls) for name in was if isinstance(name, str))
    return found
