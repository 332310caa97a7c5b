"""Keys whose hash needs their state.

While a graph is being made, an instance may have to be a key before its own state is there. So an instance of a class
with its own `__hash__` sleeps: it belongs to a stand-in class that hashes by identity. When all states are in place it
wakes, and the dicts and sets that hold such keys are filled again under the true hashes.
"""

from __future__ import annotations

import collections
import ctypes
import gc
from typing import Any

from ..errors import UpgradeRefused
from .names import full_name
from .walk import shown


class _Quiet:
    """Stands before the true class in the MRO of a sleeping one: nobody's `__init_subclass__` hears of that."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        return


def _sleeping(cls: type) -> type:
    """A class whose instances are laid out as those of `cls` and hash by identity."""
    body = {"__slots__": (), "__hash__": object.__hash__, "__eq__": object.__eq__, "__module__": cls.__module__}
    # `_Quiet` must come before cls for super(), yet not be a base, for then instances could not change to cls. And the
    # true metaclass is not called: what it registers must not hear of this either.
    meta = type("Sleeping", (type(cls),), {"mro": lambda made: [made, _Quiet, *cls.__mro__]})
    return type.__new__(meta, cls.__name__, (cls,), body)


class Asleep:
    """The sleeping instances of one load."""

    def __init__(self) -> None:
        self._classes: dict[type, type] = {}
        self._objects: list[Any] = []
        self._real: dict[type, type] = {}
        #: Dicts and sets with such keys, and the order of the keys.
        self._holders: list[tuple[Any, list[Any]]] = []
        gc.collect(0)  # from here on, what is young is what this load made

    def make(self, cls: type, args: tuple[Any, ...]) -> Any:
        """An instance that sleeps."""
        sleeping = self.sleeping(cls)
        obj = sleeping.__new__(sleeping, *args)
        if type(obj) is sleeping:
            self._objects.append(obj)
        return obj

    def sleeping(self, cls: type) -> type:
        """The class of the instances of `cls` that sleep."""
        sleeping = self._classes.get(cls)
        if sleeping is None:
            sleeping = _sleeping(cls)
            self._classes[cls], self._real[sleeping] = sleeping, cls
        return sleeping

    def adopt(self, obj: Any) -> None:
        """Wake this one too."""
        self._objects.append(obj)

    def real(self, cls: type) -> type:
        """The class that instances of `cls` will have when they wake."""
        return self._real.get(cls, cls)

    def wake(self) -> None:
        """Give all their true class, and put the keys among them in their true places.

        Raises:
            UpgradeRefused: two keys became equal, or a key cannot be hashed any more.
        """
        if not self._objects:
            return
        kinds = frozenset(self._classes.values())
        self._holders = [(holder, list(holder)) for holder in holders(kinds, gc.get_objects(generation=0))]
        for obj in self._objects:
            object.__setattr__(obj, "__class__", self._real.get(type(obj), type(obj)))
        self._objects.clear()
        self.again()

    def again(self) -> None:
        """Put the keys in their places once more: an upgrade may have changed a hash."""
        for holder, order in self._holders:
            rehash(holder, order)


def holders(kinds: frozenset[type], among: list[Any]) -> list[Any]:
    """The dicts and sets with keys of these classes, alone or inside tuples and frozensets; inner ones first."""
    suspects = kinds | {tuple, frozenset}
    found: list[Any] = []
    for obj in among:
        if isinstance(obj, dict):
            keys: Any = dict.keys(obj)
        elif isinstance(obj, set | frozenset):
            keys = obj
        else:
            continue
        if not suspects.isdisjoint(map(type, keys)) and any(_holds(key, kinds) for key in keys):
            found.append(obj)
    found.sort(key=lambda obj: _height(obj) if isinstance(obj, frozenset) else 1 << 30)
    return found


def _holds(key: object, kinds: frozenset[type]) -> bool:
    todo = [key]
    while todo:
        value = todo.pop()
        if type(value) in kinds:
            return True
        if type(value) in (tuple, frozenset):
            todo.extend(value)  # type: ignore[arg-type]
    return False


def _height(value: object) -> int:
    height, level = 0, [value]
    while level:
        height += 1
        level = [inner for outer in level for inner in outer if type(inner) in (tuple, frozenset)]  # type: ignore[attr-defined]
    return height


def rehash(holder: Any, order: list[Any]) -> None:
    """Fill a dict or set again, in this order as far as it goes.

    Raises:
        UpgradeRefused: two keys are equal now, or one cannot be hashed.
    """
    try:
        if isinstance(holder, dict):
            # An OrderedDict looks each key up even to list them, under hashes that are of no use: hence the order given.
            base: Any = collections.OrderedDict if isinstance(holder, collections.OrderedDict) else dict
            pairs = {id(key): (key, value) for key, value in dict.items(holder)}
            kept = [pairs.pop(id(key)) for key in order if id(key) in pairs] + list(pairs.values())
            _unequal([key for key, _ in kept])
            base.clear(holder)
            for key, value in kept:
                base.__setitem__(holder, key, value)
        else:
            members = list(holder)
            _unequal(members)
            _refill(holder, members)
    except TypeError as error:
        raise UpgradeRefused(f"a key cannot be hashed any more: {error}") from error


def _unequal(keys: list[Any]) -> None:
    seen: dict[Any, Any] = {}
    for key in keys:
        if key in seen:
            names = ", ".join(sorted({full_name(type(one)) for one in (key, seen[key])}))
            raise UpgradeRefused(f"two keys of one dict or set are equal now ({names}): {shown(key)}")
        seen[key] = key


# Where a set keeps its class and its hash, in an ordinary build of CPython.
_CLASS_AT = 8
_HASH_AT = 48


def _refill(holder: Any, members: list[Any]) -> None:
    if isinstance(holder, set):
        set.clear(holder)
        set.update(holder, members)
        return
    # A frozenset has no way to be filled again, and who holds it cannot be told to take another one. Sets and
    # frozensets are alike in memory, so for this moment it is a set; then the hash that it remembers is forgotten.
    kind = ctypes.c_void_p.from_address(id(holder) + _CLASS_AT)
    frozen = kind.value
    kind.value = id(set)
    try:
        set.clear(holder)
        set.update(holder, members)
    finally:
        kind.value = frozen
        ctypes.c_ssize_t.from_address(id(holder) + _HASH_AT).value = -1
