"""What a `.spl` stream may call: the few functions by which saved things are made again.

They are named in files, so their names and arguments stay for ever. Those that need to know which load they belong
to are only marks here; the reader has a method of its own for each (`reading.Reader`).
"""

from __future__ import annotations

import asyncio
import importlib
import queue
import threading
import types
import weakref
from collections.abc import Iterable
from typing import Any, NoReturn

MODULE = __name__

#: What an entry of a batch is, where it is not an instance with its attributes; see `pickling`.
STATE, LIST, DICT, SET, VALUE, WEAK = range(6)


def _mark(name: str) -> NoReturn:
    raise TypeError(f"{name} is called by a reader of .spl files only")


def new(_cls: type, *_args: Any) -> NoReturn:
    """An instance without state, of a class that the pickler cannot name by itself."""
    _mark("new")


def new_ex(_cls: type, _args: tuple[Any, ...], _named: dict[str, Any]) -> NoReturn:
    """The same, of a class whose `__new__` has arguments by name."""
    _mark("new_ex")


def hashed(_cls: type, *_args: Any) -> NoReturn:
    """An instance of a class with its own `__hash__`, which works only when all states are there."""
    _mark("hashed")


def find(_module: str, _qualname: str) -> NoReturn:
    """A class or function, nested ones included, by name."""
    _mark("find")


def state(_obj: object, _entry: list[Any]) -> NoReturn:
    """Give an object its state now, because a call that comes next needs it."""
    _mark("state")


def call(_before: object, _end: object, _func: Any, _args: tuple[Any, ...]) -> NoReturn:
    """Call, after the objects in the arguments have their states."""
    _mark("call")


def entry(*flat: Any) -> list[Any]:
    """One entry of a batch, out of its turn."""
    return list(flat)


def nothing() -> None:
    return None


def member(_cls: type, _name: str, _value: object) -> NoReturn:
    """An enum member, by value, or by name when the value is no more."""
    _mark("member")


def raw(cls: Any) -> Any:
    """An instance whose `__init__` has not run."""
    return cls.__new__(cls)


def begin(obj: Any, base: Any, given: Iterable[Any]) -> None:
    """Run the `__init__` of one base."""
    base.__init__(obj, *given)


def padded(reduced: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any, Any, Any]:
    """A reduction with None for what it left out: function, arguments, state, items, pairs."""
    func, args, *rest = reduced
    state, items, pairs = [*rest, None, None, None][:3]
    return func, args, state, items, pairs


def fresh(cls: type, base: str, *args: Any) -> object:
    """A lock, an event or a queue as it is when it is made: free, unset, empty."""
    kind = _FRESH[base]
    if not issubclass(cls, kind):
        raise TypeError(f"{cls.__qualname__} is no {base} any more")
    obj = raw(cls)
    begin(obj, kind, args)
    return obj


def lock() -> object:
    return threading.Lock()


def rlock() -> object:
    return threading.RLock()


def simple_queue() -> object:
    return queue.SimpleQueue()


def method(obj: object, name: str) -> object:
    """A bound method; looked up in the class, so that the state of `obj` need not be there yet."""
    classes = (obj if isinstance(obj, type) else type(obj)).__mro__
    for cls in classes:
        if name in vars(cls):
            found = vars(cls)[name]
            if isinstance(obj, type) and not isinstance(found, classmethod | types.ClassMethodDescriptorType):
                break
            return found.__get__(None, obj) if isinstance(obj, type) else found.__get__(obj, type(obj))
    if isinstance(obj, type):
        meta = type(obj)
        for cls in meta.mro(meta):
            if name in vars(cls):
                return vars(cls)[name].__get__(obj, meta)
    raise AttributeError(f"{classes[0].__qualname__} has no method {name!r} any more")


def bind(func: Any, obj: object) -> object:
    """A function bound to an object that is not in its class."""
    return types.MethodType(func, obj)


def slot(cls: type, name: str) -> object:
    """A method of a built-in class that is not bound: `str.upper`."""
    found = vars(cls)[name]
    if not isinstance(
        found, types.MethodDescriptorType | types.WrapperDescriptorType | types.ClassMethodDescriptorType
    ):
        raise TypeError(f"{cls.__qualname__}.{name} is no built-in method")
    return found


def module(name: str) -> types.ModuleType:
    return importlib.import_module(name)


def ref(target: Any) -> object:
    """A weak reference. What only weak references hold goes when the load ends."""
    return weakref.ref(target)


def weak_method(bound: Any) -> object:
    return weakref.WeakMethod(bound)


class _Gone:
    """Its instances die at once."""


def dead_ref() -> object:
    """A weak reference whose object was not saved."""
    return weakref.ref(_Gone())


#: What comes back fresh, by the name that files use: the class and the attributes its `__init__` is given again.
FRESH_ARGUMENTS: dict[type, tuple[str, ...]] = {
    threading.Condition: ("_lock",),
    threading.Event: (),
    threading.BoundedSemaphore: ("_initial_value",),
    threading.Semaphore: ("_value",),
    threading.Barrier: ("_parties", "_action", "_timeout"),
    queue.PriorityQueue: ("maxsize",),
    queue.LifoQueue: ("maxsize",),
    queue.Queue: ("maxsize",),
    asyncio.Lock: (),
    asyncio.Event: (),
    asyncio.Condition: ("_lock",),
    asyncio.BoundedSemaphore: ("_bound_value",),
    asyncio.Semaphore: ("_value",),
    asyncio.PriorityQueue: ("_maxsize",),
    asyncio.LifoQueue: ("_maxsize",),
    asyncio.Queue: ("_maxsize",),
    asyncio.Barrier: ("_parties",),
}
_FRESH: dict[str, type] = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in FRESH_ARGUMENTS}
