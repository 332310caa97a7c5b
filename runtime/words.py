"""Times and places as people say them."""

from __future__ import annotations

import os
import time


def ago(then: float, now: float | None = None) -> str:
    """How long ago that was, as people say it: `3 min ago`."""
    seconds = max(0.0, (time.time() if now is None else now) - then)
    for limit, size, unit in ((100, 1, "s"), (6000, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds / 86_400:.0f} days ago"


def near(path: str | os.PathLike[str]) -> str:
    """A path as seen from here: `game/world.py`; as it is when it lies elsewhere."""
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith("..") else relative
