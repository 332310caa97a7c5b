"""Write the golden files of this release: `python tests/golden/make.py`. Files of earlier releases are never touched.

They are loaded by every later release, for ever (tests/runtime/snapshot/test_golden.py).
"""

import asyncio
import collections
import datetime as dt
import decimal
import functools
import queue
import sys
import threading
import uuid
import weakref
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import snapshot_things as things
from snapshot_things import Key, Thing

from midair.runtime import snapshot
from midair.runtime.snapshot.container import FORMAT
from midair.runtime.space import Space

HERE = Path(__file__).parent


def contents() -> dict[str, Any]:
    """One value of each kind, by the name of its file."""
    ann, bob = Thing(name="ann"), Thing(name="bob")
    ann.friend, bob.friend = bob, ann
    holder = Thing(name="holder")
    holder.table, holder.frozen = {Key("a", holder): 1, (Key("b"), 1): 2}, frozenset({Key("c", holder)})
    return {
        "values": [None, True, 2**70, 1.5, "ünï", b"b", bytearray(b"x"), 1j, range(3), ..., (1, [2, {"a": {3}}]), frozenset({4})],
        "library": [
            dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), decimal.Decimal("1.5"), uuid.UUID(int=5), collections.deque([1], 3),
            collections.OrderedDict(b=1), collections.Counter("aab"), collections.defaultdict(list, {1: [2]}),
        ],
        "instances": {"cycle": ann, "slots": things.Private(), "dataclass": things.Slotted(1, [2]), "attrs": things.Attrs(3, [4])},
        "names": [Thing, Thing.Inner, Thing.Inner(), things.a_function, ann.greet, Thing.kind, len, str.upper, things.Mode.READ, sys],
        "keys": holder,
        "own": [things.Caching(5), things.Eager(ann), things.Unusual("depth", limit=3), things.Bag(), functools.partial(things.a_function, 1)],
        "fresh": [threading.Lock(), asyncio.Lock(), threading.Event(), queue.Queue(5), asyncio.Queue(2)],
        "weak": [ann, weakref.ref(ann), weakref.WeakValueDictionary({"a": ann}), weakref.WeakSet({bob})],
        "deep": things.nested(list, 2000),
    }  # fmt: skip


def space() -> Space:
    """A space with one root of each kind."""
    space = Space()
    for name, value in contents().items():
        space[name] = value
    return space


if __name__ == "__main__":
    folder = HERE / f"format-{FORMAT}"
    folder.mkdir(exist_ok=True)
    for name, value in contents().items():
        (folder / f"{name}.spl").write_bytes(snapshot.dumps(value))
    (folder / "space.spl").write_bytes(snapshot.dumps(space()))
    print(f"{len(list(folder.iterdir()))} files in {folder}")
