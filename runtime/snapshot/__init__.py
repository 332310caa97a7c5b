"""The `.spl` file: a space at one moment, written, checked, loaded, upgraded and read.

    dumps loads       the same in memory             (memory.py)
    save load resume  a space and its file           (files.py; store.py has the generations, disk.py the disk)
    take              the same in the background, by fork   (forked.py; pages.py keeps the fork short)
    heal              what waited for code gets it  (healing.py)
    check             what could not be saved        (checking.py)

Below: container.py has the bytes of the file, pickling.py the stream in it with reducers.py for what becomes of each
type, unpickling.py the way back with parts.py for what a stream may call, schema.py the upgrades, lost.py stand-ins for
classes that are gone, trust.py whose files are loaded, walk.py the paths in messages.
"""

from __future__ import annotations

from .checking import Check, check
from .files import Loaded, exists, load, manifest, resume, save, save_rest
from .forked import Progress, last_pause, progress, take
from .healing import Healing, heal
from .memory import dumps, loads
from .store import Generation, Store
from .unpickling import Problem

__all__ = [
    "Check", "Generation", "Healing", "Loaded", "Problem", "Progress", "Store", "check", "dumps", "exists", "heal", "last_pause", "load",
    "loads", "manifest", "progress", "resume", "save", "save_rest", "take",
]  # fmt: skip
