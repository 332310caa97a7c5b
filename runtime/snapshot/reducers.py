"""What becomes of each type when it is saved.

The pickler asks the table for `table[type(obj)]`, once for each type: the answer is a function that says how to make
the object again, or KeyError for "as it says itself". In order:

    refused     sockets, tasks, threads, files, generators ...: an error that names the path
    fresh       locks, events, queues: come back as new
    weak        references: kept when their object is reached strongly, else dead
    by name     classes, functions, modules, methods, enum members
    built in    what C code reduces well by itself: datetime, deque, Decimal, numpy arrays ...
    shells      every other instance: made first, filled later
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import copyreg
import enum
import functools
import multiprocessing.process
import operator
import queue
import selectors
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import names, parts, quarantine
from .lost import Lost, LostFunction, LostMethod, LostModule
from .parts import WEAK
from .schema import has_plain_state, is_ordinary, needs_state_for_hash, slots, transient
from .walk import ATOMS

if TYPE_CHECKING:
    from .pickling import Dumper

Reducer = Callable[[Any], Any]

#: Classes whose instances belong to the running process, and what to do about it.
REFUSED: dict[type, str] = {
    threading.Thread: "a thread is not saved; start it in start() or __resume__",
    threading.local: "what a thread keeps for itself is not saved",
    asyncio.Handle: "a call scheduled on the loop is not saved; use the service's call_later",
    asyncio.BaseTransport: "an open connection is not saved",
    asyncio.StreamReader: "an open connection is not saved",
    asyncio.StreamWriter: "an open connection is not saved",
    asyncio.AbstractEventLoop: "an event loop is not saved",
    asyncio.AbstractServer: "an open port is not saved; listen in start()",
    asyncio.Future: "a future is not saved; start its work again in start()",
    concurrent.futures.Future: "a future is not saved; start its work again in start()",
    concurrent.futures.Executor: "a pool of workers is not saved; make it in start() or __resume__",
    subprocess.Popen: "a process is not saved; use the service's process()",
    multiprocessing.process.BaseProcess: "a process is not saved; use the service's process()",
    selectors.BaseSelector: "a selector is not saved",
    types.GeneratorType: "a generator is not saved; keep what it needs to begin again",
    types.CoroutineType: "a coroutine is not saved; spawn() it in start()",
    types.AsyncGeneratorType: "an asynchronous generator is not saved",
    types.FrameType: "a running frame is not saved",
    types.TracebackType: "a traceback is not saved; keep its text",
    types.CodeType: "code is not saved, its source is",
    types.CellType: "the variable of a closure is not saved",
    memoryview: "a view of memory is not saved; keep the bytes",
    contextvars.Context: "a context is not saved",
    contextvars.Token: "a context is not saved",
    property: "a property lives in its class",
}
_HINT = "; name its attribute in __transient__ to leave it out"

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_FULL_ERRORS = (OSError, ImportError, SyntaxError, UnicodeError, StopIteration, SystemExit, BaseExceptionGroup)
_MAKERS = (copyreg.__newobj__, parts.new, parts.new_ex, parts.hashed)  # type: ignore[attr-defined]
_BY_REFERENCE = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.MethodType)
_CONTAINERS = (list, dict, set, tuple, frozenset)
_METHODS_IN_C = (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType)


class Offender(Exception):
    """An object that cannot be saved."""

    def __init__(self, obj: object, kind: str, reason: str) -> None:
        super().__init__(kind, reason)
        self.obj, self.kind, self.reason = obj, kind, reason


class Entry(enum.Enum):
    """How a queued object's state is had."""

    PLAIN = "its __dict__"


class Name:
    """Stands in the stream for a class or function that the pickler cannot name by itself."""

    def __init__(self, module: str, qualname: str) -> None:
        self.module, self.qualname = module, qualname

    def __call__(self, *args: Any) -> None:
        """Never called: the pickler insists that what makes an object can be."""


class Now:
    """Stands in the stream for 'give this object its state now'."""

    def __init__(self, obj: object) -> None:
        self.obj = obj


class StateOf:
    """Stands in the stream for an object's entry."""

    def __init__(self, obj: object) -> None:
        self.obj = obj


class End:
    """Stands in the stream for the end of a list of `Now`s."""

    def __init__(self, obj: object) -> None:
        self.obj = obj


class Table(dict[type, Reducer]):
    """The reducers of one dump, made as types are met."""

    def __init__(self, dumper: Dumper) -> None:
        super().__init__(copyreg.dispatch_table)
        self._dumper = dumper
        self._known = dumper.known
        #: By class: how the state of its queued instances is had.
        self.entries: dict[type, Any] = {}
        #: The place in the queue where the batch begins that is being written.
        self.batch = 0
        #: Ids of objects whose state is written out of turn.
        self.stated: set[int] = set()
        #: By id: objects of weak references that were written dead.
        self.thought_dead: dict[int, Any] = {}
        self._names: dict[Any, Name] = {}
        #: What is written before the calls that are open: lists of `Now`, None where instances wait for their turn.
        self._nested: list[list[Any] | None] = []
        self._reducing: set[int] = set()
        self._place: dict[int, int] = {}
        self.nothing = (parts.nothing, ())
        self.update({
            Name: lambda name: (parts.find, (name.module, name.qualname)),
            Now: self._now,
            StateOf: self._state_of,
            End: self._end,
            types.FunctionType: self._function,
            types.MethodType: self._method,
            types.ModuleType: self._module,
            type(map): self._class,
            weakref.ref: self._ref,
            weakref.WeakMethod: self._weak_method,
            weakref.ProxyType: self._proxy,
            weakref.CallableProxyType: self._proxy,
            weakref.WeakValueDictionary: self._weak,
            weakref.WeakKeyDictionary: self._weak,
            weakref.WeakSet: self._weak,
            _LOCK: lambda _: (parts.lock, ()),
            _RLOCK: lambda _: (parts.rlock, ()),
            queue.SimpleQueue: self._simple_queue,
            LostMethod: lambda gone: (getattr(parts, gone.maker), (gone.owner, gone.name)),
            LostFunction: self._lost_function,
            LostModule: self._module,
            contextvars.ContextVar: lambda var: self._dumper.refuse(var, "a context variable that no module names"),
        })  # fmt: skip
        self.update(dict.fromkeys(_METHODS_IN_C, self._slot))

    def __missing__(self, cls: type) -> Reducer:
        return self._decided(cls, self._decide(cls))

    def _decided(self, cls: type, reducer: Reducer) -> Reducer:
        omitted = self._known.omitted
        self[cls] = (lambda obj: self.nothing if id(obj) in omitted else reducer(obj)) if omitted else reducer
        return self[cls]

    def _decide(self, cls: type) -> Reducer:
        for base, reason in REFUSED.items():
            if issubclass(cls, base):
                return functools.partial(self._refused, reason)
        for base, arguments in parts.FRESH_ARGUMENTS.items():
            if issubclass(cls, base):
                return self._fresh(cls, base, arguments)
        if issubclass(cls, type):
            return self._class
        if issubclass(cls, Lost):
            return self._lost(cls)
        if issubclass(cls, enum.Enum):
            return self._member
        if issubclass(cls, weakref.ref):
            return self._ref
        if issubclass(cls, BaseException) and cls.__reduce__ is BaseException.__reduce__ and _is_plain_error(cls):
            return self._shell(cls, self._error_state)
        if is_ordinary(cls):
            return self._ordinary(cls)
        return self._own(cls) if _reduces_in_python(cls) else self._built_in(cls)

    # --- refused, fresh

    def _refused(self, reason: str, obj: object) -> Any:
        return self._dumper.refuse(obj, reason + _HINT)

    def _fresh(self, cls: type, base: type, arguments: tuple[str, ...]) -> Reducer:
        name = f"{base.__module__}.{base.__qualname__}"
        ref = self.ref(cls)
        counted = issubclass(base, queue.Queue | asyncio.Queue)

        def reduce(obj: Any) -> Any:
            given = tuple(getattr(obj, argument) for argument in arguments)
            if counted and obj.qsize():
                self._dumper.drop(obj, f"a queue comes back empty: {obj.qsize()} items were in it")
            made = parts.raw(cls)
            parts.begin(made, base, given)
            extra = {key: value for key, value in vars(obj).items() if key not in vars(made)}
            if extra:
                self._queue(obj)
            return parts.fresh, (ref, name, *given)

        def state(obj: Any) -> Any:
            made = parts.raw(cls)
            parts.begin(made, base, (getattr(obj, argument) for argument in arguments))
            left_out = transient(cls)
            return {key: value for key, value in vars(obj).items() if key not in vars(made) and key not in left_out}

        self.entries[cls] = state
        return reduce

    def _simple_queue(self, obj: Any) -> Any:
        if obj.qsize():
            self._dumper.drop(obj, f"a queue comes back empty: {obj.qsize()} items were in it")
        return parts.simple_queue, ()

    # --- by name

    def ref(self, cls: Any) -> Any:
        """A class as something that the pickler can write: itself, or a `Name`."""
        if issubclass(cls, Lost):
            return self._name(*cls.__lost__.split(":"))
        if type(cls) is type and names.is_named_plainly(cls):
            return cls
        if not names.is_named(cls):
            return self._dumper.refuse(cls, f"no module leads to it as {names.full_name(cls)}", kind="class")
        return self._name(cls.__module__, cls.__qualname__)

    def _name(self, module: str, qualname: str) -> Name:
        self._dumper.mention(module, qualname)
        return self._names.setdefault((module, qualname), Name(module, qualname))

    def find(self, module: str, qualname: str) -> Any:
        self._dumper.mention(module, qualname)
        return parts.find, (module, qualname)

    def _class(self, cls: Any) -> Any:
        if issubclass(cls, Lost):
            self._dumper.contents.classes[cls.__lost__] = cls.__lineage__
            return self.find(*cls.__lost__.split(":"))
        if not names.is_named(cls):
            return self._dumper.refuse(cls, f"no module leads to it as {names.full_name(cls)}", kind="class")
        return self.find(cls.__module__, cls.__qualname__)

    def persistent_class(self, cls: Any) -> tuple[str, ...]:
        """A nested class as a persistent id: ("name", module, qualname)."""
        found = self._class(cls)
        return ("none",) if found is self.nothing else ("name", *found[1])

    def persistent_builtin(self, func: Any) -> tuple[Any, ...]:
        """A bound method of a built-in object as a persistent id: ("method", object, name)."""
        owner = func.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            self._dumper.refuse(func, "no module leads to it")
            return ("none",)
        return "method", owner, func.__name__

    def _function(self, func: Any) -> Any:
        if names.is_named(func):
            return self.find(func.__module__, func.__qualname__)
        why = "a lambda has no name by which to find it" if func.__name__ == "<lambda>" else (
            f"no module leads to it as {names.full_name(func)}: only functions of a module or a class are saved"
        )  # fmt: skip
        return self._dumper.refuse(func, why)

    def _method(self, bound: Any) -> Any:
        owner, func = bound.__self__, bound.__func__
        name = _name_in_class(owner, func)
        if name is not None:
            return parts.method, (self.ref(owner) if isinstance(owner, type) else owner, name)
        return parts.bind, (func, self.ref(owner) if isinstance(owner, type) else owner)

    def _module(self, module: types.ModuleType | LostModule) -> Any:
        name = module.name if isinstance(module, LostModule) else module.__name__
        if not isinstance(module, LostModule) and sys.modules.get(name) is not module:
            return self._dumper.refuse(module, "this module is not imported under its name")
        self._dumper.contents.modules.add(name)
        return parts.module, (name,)

    def _slot(self, func: Any) -> Any:
        return parts.slot, (self.ref(func.__objclass__), func.__name__)

    def _member(self, member: Any) -> Any:
        return parts.member, (self.ref(type(member)), member.name, member.value)

    # --- weak references

    def _ref(self, ref: Any) -> Any:
        target = ref()
        if target is None:
            return parts.dead_ref, ()
        if ref.__callback__ is not None:
            self._dumper.drop(ref, "the callback of a weak reference is not saved")
        if self._is_alive(target):
            return parts.ref, (target,)
        return parts.dead_ref, ()

    def _is_alive(self, target: Any) -> bool:
        """Whether something that is saved holds it strongly, as far as is known by now."""
        if isinstance(target, type | types.FunctionType) or id(target) in self._known.strong:
            return True
        if id(target) in self._places():
            return True
        self.thought_dead[id(target)] = target
        return False

    def _weak_method(self, ref: Any) -> Any:
        bound = ref()
        if bound is None or not self._is_alive(bound.__self__):
            return parts.dead_ref, ()
        return parts.weak_method, (bound,)

    def _proxy(self, proxy: Any) -> Any:
        return self._dumper.refuse(proxy, "a weak proxy is not saved; keep a weakref.ref")

    def _weak(self, obj: Any) -> Any:
        self._dumper.late(obj)
        return type(obj), ()

    def weak_entry(self, obj: Any, is_held: Callable[[Any], bool]) -> list[Any]:
        """The entry of a weak collection: what of it is held strongly elsewhere."""
        if isinstance(obj, weakref.WeakSet):
            return [obj, WEAK, tuple(member for member in obj if is_held(member))]
        keyed = isinstance(obj, weakref.WeakKeyDictionary)
        kept = [pair for pair in obj.items() if is_held(pair[0] if keyed else pair[1])]
        return [obj, WEAK, tuple(part for pair in kept for part in pair)]

    # --- instances

    def _queue(self, obj: Any) -> None:
        now = self._nested[-1] if self._nested else None
        if now is not None and id(obj) not in self.stated:
            self.stated.add(id(obj))
            now.append(Now(obj))
        self._dumper.queue.append(obj)

    def _shell(self, cls: type, entry: Any) -> Reducer:
        """Instances that are made by their class alone and filled later."""
        self.entries[cls] = entry
        ref = self.ref(cls)
        if type(ref) is tuple:  # refused, and None in its place
            return lambda _: self.nothing
        maker: Any = parts.hashed if needs_state_for_hash(cls) else copyreg.__newobj__ if ref is cls else parts.new  # type: ignore[attr-defined]
        args, append, nested, slow = (ref,), self._dumper.queue.append, self._nested, self._queue

        def shell(obj: Any) -> Any:
            if nested:
                slow(obj)
            else:
                append(obj)
            return maker, args

        if maker is parts.hashed:
            self._dumper.contents.hashed.add(names.full_name(cls))
        self._dumper.mention(cls.__module__, cls.__qualname__)
        return shell

    def _ordinary(self, cls: type) -> Reducer:
        """A class without a reduction of its own: CPython itself judges the first instance."""

        def first(obj: Any) -> Any:
            if quarantine.kept(obj) is not None:
                return self._decided(cls, self._own(cls))(obj)
            try:
                reduced = obj.__reduce_ex__(2)
            except Exception as error:  # noqa: BLE001 - a user's __getstate__ may raise anything
                return self._dumper.refuse(obj, str(error) + _HINT, error)
            made_alone = reduced[0] is copyreg.__newobj__ and reduced[1] == (cls,)  # type: ignore[attr-defined]
            items = any(part is not None for part in reduced[3:5])
            own_state = not has_plain_state(cls) or hasattr(cls, "__setstate__")
            if not made_alone or items or own_state:
                reducer = self._own(cls)
            else:
                reducer = self._shell(cls, self._entry(cls))
            return self._decided(cls, reducer)(obj)

        return first

    def _entry(self, cls: type) -> Any:
        left_out, slotted = transient(cls), [name for name in slots(cls) if name not in transient(cls)]
        if not left_out and not slotted and cls.__dictoffset__:
            return Entry.PLAIN

        def state(obj: Any) -> dict[str, Any]:
            found = {name: value for name, value in getattr(obj, "__dict__", {}).items() if name not in left_out}
            found.update((name, getattr(obj, name)) for name in slotted if hasattr(obj, name))
            return found

        return state

    def _error_state(self, error: BaseException) -> Any:
        left_out = transient(type(error))
        state = {name: value for name, value in vars(error).items() if name not in left_out}
        return ("error", error.args, state), None, None

    def _built_in(self, cls: type) -> Reducer:
        """What reduces itself in C: the pickler calls that directly, after the first instance showed that it works."""

        def first(obj: Any) -> Any:
            try:
                reduced = obj.__reduce_ex__(2)
            except Exception as error:  # noqa: BLE001 - files and the like say so here, each with its own error
                return self._dumper.refuse(obj, str(error) + _HINT, error)
            if isinstance(reduced, tuple) and reduced[0] is getattr:
                self[cls] = lambda obj: (parts.method, obj.__reduce_ex__(2)[1])
            elif self._dumper.deep:
                self[cls] = self._own(cls)
            else:
                self[cls] = operator.methodcaller("__reduce_ex__", 2)
            return self[cls](obj)

        return first

    def _own(self, cls: type) -> Reducer:
        """A class that reduces itself in Python, or has items: made by its own call, filled later."""
        rest: dict[int, Any] = {}
        ordinary, left_out = is_ordinary(cls), transient(cls)
        built_in = not ordinary and not _reduces_in_python(cls)

        def state(obj: Any) -> Any:
            return rest.pop(id(obj))

        def reduce(obj: Any) -> Any:
            stored = quarantine.kept(obj) if ordinary else None
            if stored is not None:  # its own methods know today's state only
                rest[id(obj)] = stored
                self._queue(obj)
                return self._maker(cls, copyreg.__newobj__, (cls,))  # type: ignore[attr-defined]
            try:
                reduced = obj.__reduce_ex__(2)
            except Exception as error:  # noqa: BLE001 - a user's method may raise anything
                return self._dumper.refuse(obj, f"{type(error).__name__}: {error}" + _HINT, error)
            if isinstance(reduced, str):
                return self.find(_module_of(obj), reduced)
            func, args, kept, items, pairs = parts.padded(reduced)
            if left_out and type(kept) is dict:
                kept = {name: value for name, value in kept.items() if name not in left_out}
            flat = None if pairs is None else tuple(part for pair in pairs for part in pair)
            if built_in and kept is items is pairs is None:
                return self._after_arguments(cls, obj, func, args)
            rest[id(obj)] = (kept, None if items is None else tuple(items), flat)
            self._queue(obj)
            return self._after_arguments(cls, obj, *self._maker(cls, func, args))

        self.entries[cls] = state
        if names.is_named(cls):
            self._dumper.mention(cls.__module__, cls.__qualname__)
        return reduce

    def _maker(self, cls: type, func: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """The call that makes an instance, with all classes in it written by name where that is needed."""
        if func is copyreg.__newobj__:  # type: ignore[attr-defined]
            ref = self.ref(args[0])
            if needs_state_for_hash(cls):
                self._dumper.contents.hashed.add(names.full_name(cls))
                return parts.hashed, (ref, *args[1:])
            return (func, args) if ref is args[0] else (parts.new, (ref, *args[1:]))
        if func is copyreg.__newobj_ex__:  # type: ignore[attr-defined]
            return parts.new_ex, (self.ref(args[0]), *args[1:])
        return self.ref(func) if isinstance(func, type) else func, args

    def _after_arguments(self, cls: type, obj: Any, func: Any, args: tuple[Any, ...]) -> Any:
        """The reduction, with the states of what is in its arguments written before the call.

        C code, a frozenset for one, needs its lists filled, which are shells in deep mode, but asks nothing of instances.
        """
        if func in _MAKERS:
            return func, args
        instances = (_reduces_in_python(cls) or issubclass(cls, Lost)) and cls not in self._known.circular
        if instances and id(obj) in self._reducing:
            self._dumper.again_without(cls)
        missing = self._unstated(args, instances=instances)
        if not missing:
            return func, args
        # The pickler looks at the length of a list anew for each item, so what is appended meanwhile is written too.
        now: list[Any] = [None, None, *map(Now, missing)]
        self._dumper.mine(now)
        self.stated.update(map(id, missing))
        self._nested.append(now if instances else None)
        self._reducing.add(id(obj))
        return parts.call, (now, End(obj), func, args)

    def _unstated(self, args: tuple[Any, ...], *, instances: bool) -> list[Any]:
        """What is in some arguments whose state is not written yet."""
        places = self._places() if instances else {}
        found: dict[int, Any] = {}
        seen: set[int] = set()
        todo: list[Any] = list(args)
        while todo:
            value = todo.pop()
            kind = type(value)
            if kind in _CONTAINERS:
                if id(value) in seen or self._dumper.is_written(value):
                    continue
                seen.add(id(value))
                todo.extend(value)
                todo.extend(value.values() if kind is dict else ())
                if self._dumper.deep and kind in (list, dict, set) and id(value) not in self.stated:
                    found[id(value)] = value
            elif not instances or kind in ATOMS or id(value) in self.stated or not self._is_shell(value):
                continue
            elif places.get(id(value), self.batch) >= self.batch:
                found[id(value)] = value
        return list(found.values())

    def _places(self) -> dict[int, int]:
        """Where in the queue each instance is."""
        queued = self._dumper.queue
        for number in range(len(self._place), len(queued)):
            self._place[id(queued[number])] = number
        return self._place

    def _is_shell(self, value: Any) -> bool:
        kind = type(value)
        return not isinstance(value, type) and kind not in _BY_REFERENCE and (kind in self.entries or is_ordinary(kind))

    def _now(self, now: Now) -> Any:
        # The object goes first: with it comes how its state is had, where this is the first of its class.
        return parts.state, (now.obj, StateOf(now.obj))

    def _state_of(self, one: StateOf) -> Any:
        flat: list[Any] = []
        self._dumper.add_entry(flat, one.obj)
        return parts.entry, tuple(flat)

    def _end(self, end: End) -> Any:
        self._nested.pop()
        self._reducing.discard(id(end.obj))
        return self.nothing

    def _lost_function(self, gone: LostFunction) -> Any:
        self._dumper.contents.functions.add(gone.name)
        return self.find(*gone.name.split(":"))

    def quarantined(self) -> tuple[Any, ...]:
        """The objects whose upgrade failed when they were loaded, with the schemas that their state still has."""
        places = self._places()
        return tuple((one.obj, tuple(one.stored)) for one in quarantine.held() if id(one.obj) in places)

    def _lost(self, cls: type[Lost]) -> Reducer:
        name = self._name(*cls.__lost__.split(":"))

        def reduce(obj: Any) -> Any:
            self._queue(obj)
            maker, args = obj._lost_call
            if isinstance(maker, LostFunction):
                return self._after_arguments(cls, obj, maker, args)
            self._dumper.contents.classes[cls.__lost__] = cls.__lineage__
            if maker == "hashed":
                self._dumper.contents.hashed.add(cls.__lost__)
            if maker == "call":
                return self._after_arguments(cls, obj, name, args)
            return getattr(parts, maker), (name, *args)

        self.entries[cls] = lambda obj: obj._lost_state if obj._lost_state is not None else obj.kept()
        return reduce


def _reduces_in_python(cls: type) -> bool:
    """Whether a class that is not ordinary reduces itself in Python, or adds to one that does so in C."""
    for base in cls.__mro__:
        if base is object:
            return False
        for name in ("__reduce_ex__", "__reduce__"):
            if isinstance(vars(base).get(name), types.FunctionType):
                return True
    # C code that reduces its own class knows all there is to it; what a subclass adds, it does not.
    return not any(name in vars(cls) for name in ("__reduce_ex__", "__reduce__"))


def _is_plain_error(cls: type) -> bool:
    """Whether arguments and attributes are all there is to such an error; some built-in ones keep more in C."""
    return not issubclass(cls, _FULL_ERRORS)


def _module_of(obj: Any) -> str:
    module = getattr(obj, "__module__", None)
    return module if isinstance(module, str) else type(obj).__module__


def _name_in_class(owner: Any, func: Any) -> str | None:
    """Under which name a method is found on its owner."""
    usual = str(getattr(func, "__name__", ""))
    for cls in owner.__mro__ if isinstance(owner, type) else type(owner).__mro__:
        found = vars(cls).get(usual)
        if found is not None and getattr(found, "__func__", found) is func:
            return usual
        for name, value in vars(cls).items():
            if getattr(value, "__func__", value) is func:
                return name
    return None
