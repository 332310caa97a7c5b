"""midair: change a running Python server without landing it.

What users need is here by name and imported when first asked for, so that `import midair` costs nothing:

    from midair import Space, Service, Connection
    midair.watch("src"); midair.rebuild(); midair.undo()

The rooms behind it: `midair.runtime` (the space and its life), `midair.services` (what a space can run) and
`midair.console` (how a person reaches it).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from midair.version import __version__

if TYPE_CHECKING:
    from midair.runtime.connection import Connection as Connection
    from midair.runtime.journal import journaled as journaled
    from midair.runtime.rebuild import check as check
    from midair.runtime.rebuild import rebuild as rebuild
    from midair.runtime.rebuild import record as record
    from midair.runtime.rebuild import undo as undo
    from midair.runtime.rebuild import unwatch as unwatch
    from midair.runtime.rebuild import watch as watch
    from midair.runtime.service import Service as Service
    from midair.runtime.space import Space as Space

_HOMES = {
    "Space": "midair.runtime.space",
    "Service": "midair.runtime.service",
    "Connection": "midair.runtime.connection",
    "journaled": "midair.runtime.journal",
    **dict.fromkeys(("rebuild", "undo", "watch", "unwatch", "record", "check"), "midair.runtime.rebuild"),
}

__all__ = [
    "Connection",
    "Service",
    "Space",
    "__version__",
    "check",
    "journaled",
    "rebuild",
    "record",
    "undo",
    "unwatch",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'midair' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
