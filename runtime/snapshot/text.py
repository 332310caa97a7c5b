"""A `.spl` as lines of JSON: readable and writable without midair, so that nobody is locked in.

The first line is the manifest. Each line after it is one object, the first of them the root:

    {"id": 4, "class": "game:Sword", "made": ["new"], "attributes": {"damage": 5, "owner": {"ref": 2}}}
    {"id": 7, "class": "game:Own", "made": ["call", 1], "state": [null, [1, 2], null]}
    {"id": 9, "value": {"set": [1, 2]}}

`made` is how the instance is made and with which arguments; `state` is a state of its own making with the items and
pairs of a list or dict class. In values, text, numbers, true, false and null are themselves, a list is a list, and all
else is an object with one key that says what it is: ref, bytes, bytearray, float, complex, range, slice, tuple, set,
frozenset, dict (pairs), map (a dict whose keys are text), deque, ordered, class, function, module, method, weak, make.
A container that is shared, or nested deep, has a line of its own.
"""

from __future__ import annotations

import base64
import collections
import json
import math
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import SnapshotError
from .container import Writer
from .lost import Lost, LostFunction, LostMethod, LostModule, lost_class
from .manifest import describe
from .parts import lock, rlock, simple_queue
from .pickling import dump
from .store import Store
from .walk import ATOMS, Map

_FORMAT = 1
_INLINE = 20  # containers nested deeper than this get lines of their own
_FRESH: dict[type, Callable[[], object]] = {
    type(threading.Lock()): lock, type(threading.RLock()): rlock, queue.SimpleQueue: simple_queue,
}  # fmt: skip
_CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque, collections.OrderedDict)


def export_lines(manifest: dict[str, Any], root: Any) -> Iterator[str]:
    """The lines for a root that was read as stand-ins."""
    yield json.dumps({"midair": "export", "format": _FORMAT, "manifest": manifest}, ensure_ascii=True)
    yield from _Exporter(root).lines()


class _Exporter:
    def __init__(self, root: Any) -> None:
        self._ids: dict[int, int] = {}
        self._todo: list[Any] = []
        self._kept: list[Any] = []
        self._shared = _shared(root)
        # Whether the line is that of a tuple, which is read whole: what is filled later, and may lead back to it, goes elsewhere.
        self._fixed = False
        self._refer(root)

    def lines(self) -> Iterator[str]:
        for number, obj in enumerate(self._growing()):
            yield json.dumps({"id": number, **self._line(obj)}, ensure_ascii=True)

    def _growing(self) -> Iterator[Any]:
        at = 0
        while at < len(self._todo):
            yield self._todo[at]
            at += 1

    def _refer(self, obj: Any) -> dict[str, Any]:
        number = self._ids.get(id(obj))
        if number is None:
            number = self._ids[id(obj)] = len(self._todo)
            self._todo.append(obj)
        return {"ref": number}

    def _line(self, obj: Any) -> dict[str, Any]:
        self._fixed = isinstance(obj, tuple | frozenset)
        if not isinstance(obj, Lost):
            return {"value": self._container(obj, 0)}
        maker, args = obj._lost_call
        how = maker if isinstance(maker, str) else {"function": maker.name}
        line: dict[str, Any] = {"class": obj.__lost__, "made": [how, *(self._value(value, 0) for value in args)]}
        if obj._lost_state is not None:
            line["state"] = [self._listed(part) for part in obj._lost_state]
        else:
            line["attributes"] = {name: self._value(value, 0) for name, value in obj.kept().items()}
        return line

    def _listed(self, part: Any) -> Any:
        # Items and pairs were made for the stream; they are written in place.
        return self._container(part, 0) if type(part) in (tuple, dict) else self._value(part, 0)

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, type):
            return {"class": getattr(value, "__lost__", f"{value.__module__}:{value.__qualname__}")}
        if isinstance(value, Lost):
            return self._refer(value)
        if isinstance(value, _CONTAINERS):
            elsewhere = self._fixed and not isinstance(value, tuple | frozenset)
            if elsewhere or id(value) in self._shared or depth >= _INLINE:
                return self._refer(value)
            return self._container(value, depth)
        return self._atom(value, depth)

    def _atom(self, value: Any, depth: int) -> Any:
        match value:
            case None | bool() | int() | str():
                return value
            case float():
                return value if math.isfinite(value) else {"float": repr(value)}
            case bytes() | bytearray():
                return {type(value).__name__: base64.b64encode(value).decode()}
            case complex():
                return {"complex": [value.real, value.imag]}
            case range() | slice():
                return {type(value).__name__: [value.start, value.stop, value.step]}
            case LostFunction():
                return {"function": value.name}
            case LostModule():
                return {"module": value.name}
            case LostMethod():
                return {"method": [self._value(value.owner, depth + 1), value.name, value.maker]}
            case weakref.ref():
                return {"weak": self._value(value(), depth + 1)}
            case _:
                return self._rare(value)

    def _rare(self, value: Any) -> Any:
        if type(value) in _FRESH:
            return {"make": _FRESH[type(value)].__name__}
        if value in (..., NotImplemented):
            return {"function": f"builtins:{value!r}"}
        raise SnapshotError(f"{type(value).__qualname__} has no form as text")

    def _container(self, value: Any, depth: int) -> Any:
        inner = depth + 1
        if isinstance(value, dict):
            if type(value) is dict and all(type(key) is str for key in value):
                return {"map": {key: self._value(part, inner) for key, part in value.items()}}
            kind = "ordered" if isinstance(value, collections.OrderedDict) else "dict"
            return {kind: [[self._value(key, inner), self._value(part, inner)] for key, part in value.items()]}
        parts = [self._value(part, inner) for part in value]
        if type(value) is list:
            return parts
        if isinstance(value, collections.deque):
            return {"deque": [value.maxlen, *parts]}
        return {type(value).__name__: parts}


def _shared(root: Any) -> set[int]:
    """The containers that are met more than once, or that a weak reference names."""
    from .walk import children

    chart = Map(root)
    chart.walk()
    met: set[int] = set()
    shared: set[int] = set()
    for obj in chart.objects:
        for _, value in children(obj):
            if type(value) not in ATOMS:
                (shared if id(value) in met else met).add(id(value))
            if isinstance(value, weakref.ref):
                shared.add(id(value()))
    return shared


# --- the way back


def import_(source: str | Path, path: str | Path) -> list[str]:
    """Write a `.spl` from lines of JSON; the names of all functions and classes that loading it will call.

    Read those names: loading the file calls them with the arguments that the text gives. So it is marked as imported
    and not signed, and loads with `trust` only; what a server saves from then on is as any other.

    Raises:
        FileExistsError: there are snapshots under this name.
        SnapshotError: the text is no export, and in which line.
    """
    store = Store(path)
    if store.exists():
        raise FileExistsError(f"{path} is there already; nothing was written")
    with open(source, encoding="utf-8") as file:
        manifest, root = _read(file)
    with store.draft(above=0) as draft:
        writer = Writer(draft.write)

        def restart() -> None:
            draft.again()
            writer.begin()

        contents = dump(root, writer.write, restart)
        told = ("uuid", "application", "sources", "time", "roots")
        about = {key: manifest[key] for key in told if key in manifest}
        about |= {"imported": True, "generation": draft.number, "parent": 0, "raw": writer.raw}
        writer.finish(describe(root, contents, about), None)
        store.finish(draft)
        store.publish(draft)
    return sorted(contents.functions | set(contents.classes))


def _read(lines: Iterable[str]) -> tuple[dict[str, Any], Any]:
    number = 1
    try:
        rest = iter(lines)
        first = json.loads(next(rest))
        if first["midair"] != "export" or first["format"] > _FORMAT:
            raise ValueError(f"it is no export of format {_FORMAT}")
        importer = _Importer(first["manifest"])
        for line in rest:
            number += 1
            importer.take(json.loads(line))
        return first["manifest"], importer.finish()
    except (StopIteration, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise SnapshotError(f"line {number} is not as an export writes it: {error}") from error


class _Importer:
    def __init__(self, manifest: dict[str, Any]) -> None:
        self._lineages = {
            name: [(base, schema) for base, schema in entry["mro"]] for name, entry in manifest["classes"].items()
        }
        self._classes: dict[str, type[Lost]] = {}
        self._functions: dict[str, LostFunction] = {}
        self._lines: list[dict[str, Any]] = []
        self._made: dict[int, Any] = {}

    def take(self, line: dict[str, Any]) -> None:
        """One line; what can have references to itself is made at once and filled later."""
        number = line["id"]
        self._lines.append(line)
        if "class" in line:
            self._made[number] = self._class(line["class"])()
        elif isinstance(line["value"], list):
            self._made[number] = []
        else:
            (kind,) = line["value"]
            if kind in ("map", "dict", "ordered", "set"):
                self._made[number] = {"set": set, "ordered": collections.OrderedDict}.get(kind, dict)()
            elif kind == "deque":
                self._made[number] = collections.deque(maxlen=line["value"]["deque"][0])

    def finish(self) -> Any:
        """The root, with everything filled."""
        self._make_fixed()
        for line in self._lines:
            if "class" in line:
                self._fill(self._made[line["id"]], line)
            elif line["id"] not in self._fixed:
                self._fill_container(self._made[line["id"]], self._value(line["value"]))
        return self._made[0]

    def _make_fixed(self) -> None:
        """Tuples and frozensets: made whole, those inside before those around them."""
        waiting = [line for line in reversed(self._lines) if line["id"] not in self._made]
        self._fixed = {line["id"] for line in waiting}
        while waiting:
            left = []
            for line in waiting:
                try:
                    self._made[line["id"]] = self._value(line["value"])
                except _NotYet:
                    left.append(line)
            if len(left) == len(waiting):
                raise ValueError("tuples that hold one another")
            waiting = left

    def _class(self, name: str) -> type[Lost]:
        if name not in self._classes:
            self._classes[name] = lost_class(name, self._lineages.get(name, []))
        return self._classes[name]

    def _function(self, name: str) -> Any:
        if name in ("builtins:Ellipsis", "builtins:NotImplemented"):
            return ... if name.endswith("Ellipsis") else NotImplemented
        return self._functions.setdefault(name, LostFunction(name))

    def _fill(self, obj: Lost, line: dict[str, Any]) -> None:
        how, *args = line["made"]
        maker = how if isinstance(how, str) else self._function(how["function"])
        obj._lost_call = (maker, tuple(self._value(value) for value in args))
        if "state" in line:
            state, items, pairs = (self._value(part) for part in line["state"])
            obj._lost_state = (state, items, pairs)
        else:
            vars(obj).update((name, self._value(value)) for name, value in line["attributes"].items())

    def _fill_container(self, empty: Any, whole: Any) -> None:
        if isinstance(empty, list | collections.deque):
            empty.extend(whole)
        else:
            empty.update(whole)

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._value(part) for part in value]
        if not isinstance(value, dict):
            return value
        ((kind, held),) = value.items()
        if kind == "ref":
            if held not in self._made:
                raise _NotYet
            return self._made[held]
        return _MAKE[kind](self, held)


class _NotYet(Exception):
    """A tuple that another one holds is not made yet."""


def _pairs(importer: _Importer, held: Any) -> list[tuple[Any, Any]]:
    return [(importer._value(key), importer._value(value)) for key, value in held]


_MAKE: dict[str, Callable[[_Importer, Any], Any]] = {
    "bytes": lambda _, held: base64.b64decode(held),
    "bytearray": lambda _, held: bytearray(base64.b64decode(held)),
    "float": lambda _, held: float(held),
    "complex": lambda _, held: complex(*held),
    "range": lambda _, held: range(*held),
    "slice": lambda _, held: slice(*held),
    "tuple": lambda importer, held: tuple(importer._value(part) for part in held),
    "set": lambda importer, held: {importer._value(part) for part in held},
    "frozenset": lambda importer, held: frozenset(importer._value(part) for part in held),
    "dict": lambda importer, held: dict(_pairs(importer, held)),
    "ordered": lambda importer, held: collections.OrderedDict(_pairs(importer, held)),
    "map": lambda importer, held: {key: importer._value(part) for key, part in held.items()},
    "deque": lambda importer, held: collections.deque((importer._value(part) for part in held[1:]), held[0]),
    "class": lambda importer, held: importer._class(held),
    "function": lambda importer, held: importer._function(held),
    "module": lambda _, held: LostModule(held),
    "method": lambda importer, held: LostMethod(importer._value(held[0]), *held[1:]),
    "weak": lambda importer, held: _weak(importer._value(held)),
    "make": lambda _, held: {"lock": lock, "rlock": rlock, "simple_queue": simple_queue}[held](),
}


def _weak(target: Any) -> Any:
    return weakref.ref(target) if target is not None else weakref.ref(set())
