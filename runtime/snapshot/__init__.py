"""The `.spl` file: a space at one moment, written, checked, loaded, upgraded and read.

    dumps loads       the same in memory             (memory.py)
    save load resume  a space and its file           (files.py; store.py has the generations)
    take              the same in the background, by fork   (forked.py; pages.py keeps the fork short)
    heal              what waited for code gets it  (healing.py)
    check             what could not be saved        (checking.py)

    inspect verify diff cat export     look into a file, run nothing of it     (looking.py, inert.py)
    import_           a file from text              (text.py)
    backup restore    a space in one file           (backup.py)

Below: container.py has the bytes of the file, pickling.py the stream in it with reducers.py for what becomes of each
type, unpickling.py the way back with parts.py for what a stream may call, schema.py the upgrades, lost.py stand-ins for
classes that are gone, trust.py whose files are loaded, walk.py the paths in messages.
"""

from __future__ import annotations

from .backup import backup, restore
from .checking import Check, check
from .files import (
    Loaded,
    catch_up,
    exists,
    load,
    manifest,
    open_journal,
    rehearse,
    resume,
    save,
    save_rest,
    vouched,
    waiting,
)
from .forked import Progress, last_pause, progress, take, told
from .healing import Healing, heal
from .looking import Change, Inspection, Verified, cat, diff, export, generations, inspect, verify
from .memory import dumps, loads
from .quarantine import held as not_upgraded
from .store import Generation, Store
from .text import import_
from .unpickling import Problem

__all__ = [
    "Change",
    "Check",
    "Generation",
    "Healing",
    "Inspection",
    "Loaded",
    "Problem",
    "Progress",
    "Store",
    "Verified",
    "backup",
    "cat",
    "catch_up",
    "check",
    "diff",
    "dumps",
    "exists",
    "export",
    "generations",
    "heal",
    "import_",
    "inspect",
    "last_pause",
    "load",
    "loads",
    "manifest",
    "not_upgraded",
    "open_journal",
    "progress",
    "rehearse",
    "restore",
    "resume",
    "save",
    "save_rest",
    "take",
    "told",
    "verify",
    "vouched",
    "waiting",
]
