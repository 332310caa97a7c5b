"""The frames that all threads are in. Nothing here keeps one: a frame that knows itself would keep all it refers to."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable


def visit(see: Callable[[int, types.FrameType], None]) -> None:
    """Call `see(thread, frame)` for each frame of each thread, the innermost first; not for this one."""
    tops = sys._current_frames()
    own = sys._getframe()
    frame: types.FrameType | None = None
    try:
        for ident, frame in tops.items():
            while frame is not None:
                if frame is not own:
                    see(ident, frame)
                frame = frame.f_back  # noqa: PLW2901 -- outwards
    finally:
        tops.clear()
        del frame, own, tops
