"""The graph as a person sees it: what an object holds, under which path, as far as a snapshot would save it."""

from __future__ import annotations

import collections
import enum
import functools
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .lost import Lost, LostFunction, LostMethod, LostModule
from .parts import padded
from .schema import has_plain_state, is_ordinary, slots, transient

#: Built-in values without parts of interest.
ATOMS = frozenset({
    int, float, complex, bool, str, bytes, bytearray, type(None), type(...), type(NotImplemented), range, slice,
})  # fmt: skip
_BY_REFERENCE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, enum.Enum)

_SPACE = "midair.runtime.space:Space"

Child = tuple[str, Any]


def children(obj: Any) -> Iterable[Child]:
    """What an object holds: (how a path goes on, value), in the order in which it is saved."""
    cls = type(obj)
    if cls in ATOMS or isinstance(obj, _BY_REFERENCE):
        return ()
    look = _looks.get(cls)
    if look is None:
        look = _looks[cls] = _look(cls)
    return look(obj)


_looks: weakref.WeakKeyDictionary[type, Callable[[Any], Iterable[Child]]] = weakref.WeakKeyDictionary()


def _look(cls: Any) -> Callable[[Any], Iterable[Child]]:
    """How to look into instances of a class."""
    from ..space import Space

    if issubclass(cls, Space):
        return _of_space
    if cls in (dict, collections.OrderedDict):
        return _of_mapping
    if cls in (list, tuple, collections.deque):
        return _of_sequence
    if cls in (set, frozenset):
        return _of_set
    if cls is types.MethodType:
        return lambda bound: ((".__self__", bound.__self__),)
    if cls is functools.partial:
        return lambda part: ((".func", part.func), (".args", part.args), (".keywords", part.keywords))
    if cls is LostMethod:
        return lambda gone: ((".__self__", gone.owner),)
    if issubclass(cls, LostFunction | LostModule):
        return lambda _: ()
    if issubclass(cls, Lost):
        return _of_lost
    return _of_instance


def _of_space(space: Any) -> Iterator[Child]:
    for name, value in space._objects.items():
        yield f"[{name!r}]", value
    for number, timer in enumerate(space._timers):
        yield f".timers[{number}]", timer


def _of_mapping(mapping: Any) -> Iterator[Child]:
    for key, value in dict.items(mapping):
        yield from _of_pair(key, value)


def _of_sequence(sequence: Iterable[Any]) -> Iterator[Child]:
    for number, value in enumerate(sequence):
        yield f"[{number}]", value


def _of_set(members: Iterable[Any]) -> Iterator[Child]:
    for value in members:
        yield f".<member {shown(value)}>", value


def _of_lost(obj: Lost) -> Iterator[Child]:
    state, items, pairs = obj._lost_state or (None, (), ())
    pairs = pairs or ()
    attributes = {**obj.kept(), **(state if isinstance(state, dict) else {})}
    if obj.__lost__ == _SPACE:
        yield from ((f"[{name!r}]", value) for name, value in attributes["_objects"].items())
        yield from ((f".timers[{number}]", timer) for number, timer in enumerate(attributes["_timers"]))
        return
    for name, value in attributes.items():
        yield f".{name}", value
    if state is not None and not isinstance(state, dict):
        yield ".__getstate__()", state
    for number, value in enumerate(obj._lost_call[1]):
        yield f".<argument {number}>", value
    for number, value in enumerate(items or ()):
        yield f"[{number}]", value
    for at in range(0, len(pairs), 2):
        yield from _of_pair(pairs[at], pairs[at + 1])


def _of_pair(key: Any, value: Any) -> Iterator[Child]:
    yield f"[{shown(key)}]", value
    if type(key) not in ATOMS:
        yield f".<key {shown(key)}>", key


def _of_instance(obj: Any) -> Iterator[Child]:
    cls = type(obj)
    if not is_ordinary(cls):
        yield from _of_reduced(obj)
        return
    if isinstance(obj, dict):
        yield from _of_mapping(obj)
    elif isinstance(obj, list):
        yield from _of_sequence(list.__iter__(obj))
    elif isinstance(obj, tuple):
        yield from _of_sequence(tuple.__iter__(obj))
    yield from _of_state(cls, obj)


def _of_state(cls: type, obj: Any) -> Iterator[Child]:
    left_out = transient(cls)
    if not has_plain_state(cls):
        state = obj.__getstate__()
        if isinstance(state, dict):
            yield from ((f".{name}", value) for name, value in state.items() if name not in left_out)
        elif state is not None:
            yield ".__getstate__()", state
        return
    for name, value in getattr(obj, "__dict__", {}).items():
        if name not in left_out:
            yield f".{name}", value
    for name in slots(cls):
        if name not in left_out and hasattr(obj, name):
            yield f".{name}", getattr(obj, name)


def _of_reduced(obj: Any) -> Iterator[Child]:
    reduced = obj.__reduce_ex__(2)
    if isinstance(reduced, str):
        return
    _, args, state, items, pairs = padded(reduced)
    for number, value in enumerate(args):
        yield f".<argument {number}>", value
    if isinstance(state, dict):
        yield from ((f".{name}", value) for name, value in state.items())
    elif state is not None:
        yield ".__getstate__()", state
    for number, value in enumerate(items or ()):
        yield f"[{number}]", value
    for key, value in pairs or ():
        yield from _of_pair(key, value)


def shown(value: object, longest: int = 60) -> str:
    """A value on one line; never calls a `__repr__` of the user's."""
    kind = type(value)
    if kind in ATOMS:
        text = repr(value) if not isinstance(value, str | bytes | bytearray) else repr(value[:longest])
    elif kind is tuple:
        text = "(" + ", ".join(shown(part, 20) for part in value[:4]) + (", ...)" if len(value) > 4 else ")")  # type: ignore[index, arg-type]
    elif isinstance(value, enum.Enum):
        text = f"{kind.__qualname__}.{value.name}"
    else:
        text = f"{kind.__qualname__}"
    return text if len(text) <= longest else text[: longest - 3] + "..."


class Map:
    """Where everything is: a walk over all that can be reached from a root, breadth first, so that paths are shortest.

    Nothing is changed; instances' `__getstate__` and `__reduce_ex__` are called where they have their own.

    Args:
        wanted: values without parts, such as bytes, that are to be met too.
    """

    def __init__(self, root: object, name: str = "space", wanted: Iterable[object] = ()) -> None:
        self._name = name
        # Values without parts are left out, but for these.
        self._wanted = {id(one) for one in wanted}
        #: Everything met, in order. Its own list keeps temporary states alive, so that an id means one object.
        self.objects: list[Any] = [root]
        self._parents: list[int] = [-1]
        self._suffixes: list[str] = [name]
        self._index: dict[int, int] = {id(root): 0}

    def walk(self, until: Callable[[Any], bool] | None = None) -> int | None:
        """Go on walking; stop at the first object for which `until` is true and return its number."""
        at = 0
        while at < len(self.objects):
            try:
                held = list(children(self.objects[at]))
            except Exception:  # noqa: BLE001 - a user's __getstate__ may raise anything; saving reports that with its path
                held = []
            for suffix, value in held:
                if id(value) in self._index or (type(value) in ATOMS and id(value) not in self._wanted):
                    continue
                self._index[id(value)] = len(self.objects)
                self.objects.append(value)
                self._parents.append(at)
                self._suffixes.append(suffix)
                if until is not None and until(value):
                    return len(self.objects) - 1
            at += 1
        return None

    def path(self, number: int) -> str:
        """The path of the object with this number, shortened in its middle when it is very long."""
        parts: list[str] = []
        while number >= 0:
            parts.append(self._suffixes[number])
            number = self._parents[number]
        parts.reverse()
        if len(parts) > 24:
            parts[12:-6] = [f"...({len(parts) - 18} more)..."]
        return "".join(parts)

    def number_of(self, obj: object) -> int | None:
        """The number of an object that the walk met."""
        return self._index.get(id(obj))

    def path_of(self, obj: object) -> str | None:
        """The path of an object that the walk met."""
        number = self._index.get(id(obj))
        return None if number is None else self.path(number)

    def keys(self, known: dict[tuple[int, str], int]) -> list[int]:
        """A number for the path of each object: equal for equal paths in all maps that are given the same `known`."""
        found: list[int] = []
        for number, parent in enumerate(self._parents):
            step = (found[parent], self._suffixes[number]) if number else (-1, "")
            found.append(known.setdefault(step, len(known)))
        return found

    def depths(self) -> list[int]:
        """How many steps each object is away from the root."""
        found = [0] * len(self.objects)
        for number in range(1, len(found)):
            found[number] = found[self._parents[number]] + 1
        return found

    def weights(self) -> list[int]:
        """How many objects hang on each, itself included, each counted where its shortest path leads."""
        found = [1] * len(self.objects)
        for number in range(len(found) - 1, 0, -1):
            found[self._parents[number]] += found[number]
        return found


def path_to(root: object, target: object, name: str = "space") -> str:
    """The shortest path from the root to an object, as in `space['web'].handlers[2]._lock`.

    A class that nothing but its instances lead to is where the first of those is.
    """
    return paths_to(root, [target], name)[0]


def paths_to(root: object, targets: list[Any], name: str = "space") -> list[str]:
    """The same for several, in one walk."""
    if not targets:
        return []
    missing = {id(target) for target in targets}
    instances: dict[int, Any] = {}
    chart = Map(root, name, targets)

    def was_the_last(value: object) -> bool:
        missing.discard(id(value))
        if id(type(value)) in missing:
            missing.discard(id(type(value)))
            instances[id(type(value))] = value
        return not missing

    if not was_the_last(root):
        chart.walk(until=was_the_last)
    return [
        chart.path_of(target) or chart.path_of(instances.get(id(target))) or f"{name}: somewhere in it"
        for target in targets
    ]
