"""What a `.spl` says about itself, readable without unpickling anything."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from midair.version import __version__

from .names import full_name
from .pickling import PROTOCOL, Contents
from .schema import defaults


def describe(root: object, contents: Contents, about: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a stream.

    Args:
        about: what only the caller knows: generation, parent, uuid, application, sources, bytes of the stream.
    """
    counts = {full_name(cls): (cls, number) for cls, number in contents.counts.items()}
    classes: dict[str, Any] = {}
    for name, mro in sorted(contents.classes.items()):
        cls, number = counts.get(name, (None, 0))
        entry: dict[str, Any] = {"count": number, "mro": mro}
        if name in contents.hashed:
            entry["hashed"] = True
        if cls is not None and (fields := list(defaults(cls))):
            entry["fields"] = fields
        classes[name] = entry
    return {
        "time": time.time(),
        "midair": __version__,
        "python": platform.python_version(),
        "pickler": f"zodbpickle {_zodbpickle}",
        "protocol": PROTOCOL,
        "objects": contents.objects,
        "roots": roots(root),
        "classes": classes,
        "functions": sorted(contents.functions),
        "modules": sorted(contents.modules),
        "dropped": contents.dropped,
        "notes": contents.notes,
        **about,
    }


_zodbpickle = version("zodbpickle")  # asked at import: a forked child reads no files


def roots(root: object) -> dict[str, str]:
    """The names in a space and the class of each."""
    from ..space import Space

    if isinstance(root, Space):
        return {name: full_name(type(value)) for name, value in root._objects.items()}
    return {"": full_name(type(root))}
