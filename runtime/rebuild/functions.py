"""Functions: found by the code they run, and brought to new code without ceasing to be themselves.

A function is found through the names of its module when the reference count of its code object proves that nobody
else runs it; else by one scan of the heap for all that an edit concerns. It is changed by its own fields: code,
defaults, annotations, documentation, and its closure where the new body needs another cell.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import gc
import inspect
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import frames, native, outline
from .kinds import exactly, isa, of_types
from .outline import FUNCTIONS, Function
from .transaction import MISSING, Transaction

FunctionType = types.FunctionType
Pair = tuple[types.CodeType, types.CodeType]
_LRU = type(functools.lru_cache(lambda: None))


def reach(value: object, depth: int = 4) -> Iterator[FunctionType]:
    """The functions behind a value: itself, what it wraps, what a class or a descriptor holds."""
    if isa(value, FunctionType):
        yield value
        if depth:
            for name in ("__wrapped__", "registry", "func"):
                if name in value.__dict__:
                    yield from reach(value.__dict__[name], depth - 1)
            for cell in value.__closure__ or ():
                try:
                    held = cell.cell_contents
                except ValueError:
                    continue
                if not isa(held, type):
                    yield from reach(held, depth - 1)
    elif isa(value, type):
        for inner in list(vars(value).values()):
            if not isa(inner, type) or inner.__qualname__.startswith(f"{value.__qualname__}."):
                yield from reach(inner, depth - 1) if depth else ()
    elif depth:
        for inner in _inside(value):
            yield from reach(inner, depth - 1)


def _inside(value: object) -> Iterator[object]:
    if isa(value, (staticmethod, classmethod)):
        yield value.__func__
    elif isa(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isa(value, functools.partial) or isa(value, (functools.cached_property, functools.partialmethod)):
        yield value.func
    elif isa(value, types.MethodType):
        yield value.__func__
    elif isa(value, functools.singledispatchmethod):
        yield from (value.func, value.dispatcher)
    elif type(value) is _LRU:
        yield value.__wrapped__
    elif exactly(value, dict, types.MappingProxyType):
        if len(value) <= 100:  # type: ignore[arg-type]  # one of the two
            yield from list(value.values())  # type: ignore[attr-defined]  # one of the two
    elif exactly(value, list, tuple):
        if len(value) <= 100:  # type: ignore[arg-type]  # one of the two
            yield from list(value)  # type: ignore[call-overload]  # one of the two
    elif type(type(value)) is type and type(value).__flags__ & (1 << 9):
        inside = _attributes(value)
        if inside is not None and len(inside) <= 50:
            for held in list(inside.values()):
                if isa(held, FunctionType):
                    yield held


def _attributes(value: object) -> dict[str, Any] | None:
    """The `__dict__` of an object, whatever its class does to attribute access."""
    if not type(value).__dictoffset__:
        return None
    try:
        found = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return None
    return found if type(found) is dict else None


@dataclass(eq=False)
class Scan:
    """What looking at the heap has cost this edit."""

    objects: int = 0
    seconds: float = 0.0
    times: int = 0
    reasons: list[str] = field(default_factory=list)

    def heap(self, reason: str) -> list[Any]:
        """All tracked objects, the frozen ones too."""
        began = time.perf_counter()
        if gc.get_freeze_count():
            gc.unfreeze()
        found = gc.get_objects()
        self.objects, self.times = max(self.objects, len(found)), self.times + 1
        self.reasons.append(reason)
        self.seconds += time.perf_counter() - began
        return found

    def referrers(self, reason: str, wanted: Iterator[object]) -> list[Any]:
        """All that refers to a few objects, found by a pass over the heap in C; an iterator, so as to be none of it."""
        if gc.get_freeze_count():
            gc.unfreeze()
        self.times += 1
        self.reasons.append(reason)
        return gc.get_referrers(*wanted)


@dataclass(eq=False)
class Holders:
    """Who runs the code that an edit supersedes: functions by the identity of their code, and frames under way."""

    functions: dict[int, list[FunctionType]] = field(default_factory=dict)
    suspended: list[object] = field(default_factory=list)  # generators, coroutines, asynchronous generators

    def of(self, code: types.CodeType) -> list[FunctionType]:
        return self.functions.get(id(code), [])


def find(pairs: list[Pair], roots: Iterable[object], scan: Scan) -> Holders:
    """All functions that run one of the old code objects."""
    probe = find.__code__.replace(co_name="probe")
    consts = [probe]  # stands for the one reference from the code around it
    pairs.append((probe, probe.replace(co_name="probed")))
    wanted = {id(old): old for old, _ in pairs}
    del probe
    holders = Holders()
    seen: set[int] = set()
    for root in roots:
        for function in reach(root):
            if id(function) not in seen and id(function.__code__) in wanted:
                seen.add(id(function))
                holders.functions.setdefault(id(function.__code__), []).append(function)
    for function, code in list(_behind.items()):
        if id(code) in wanted:
            holders.functions.setdefault(id(code), []).append(function)
    running = _running(wanted)
    usual = sys.getrefcount(wanted[id(consts[0])])
    unproven = {
        each
        for each in wanted
        if sys.getrefcount(wanted[each]) > usual + len(holders.functions.get(each, ())) + running.get(each, 0)
    }
    pairs.pop()
    wanted.pop(id(consts[0]))
    if unproven:
        first = wanted[next(iter(unproven))]
        _search(unproven, wanted, holders, seen, scan, f"{first.co_qualname} is also held elsewhere")
    return holders


def _running(wanted: dict[int, types.CodeType]) -> dict[int, int]:
    """How many frames on the stacks of all threads run each code."""
    count: dict[int, int] = {}

    def see(_: int, frame: types.FrameType) -> None:
        each = id(frame.f_code)
        if each in wanted:
            count[each] = count.get(each, 0) + 1

    frames.visit(see)
    return count


def _search(
    unproven: set[int], wanted: dict[int, types.CodeType], holders: Holders, seen: set[int], scan: Scan, why: str
) -> None:
    things = scan.heap(why)
    began = time.perf_counter()
    if len(unproven) <= 4:
        things = gc.get_referrers(*(wanted[each] for each in unproven))
    for thing in of_types(things, _RUNNABLE):
        if type(thing) is FunctionType:
            if id(thing.__code__) in unproven and id(thing) not in seen:
                seen.add(id(thing))
                holders.functions.setdefault(id(thing.__code__), []).append(thing)
        elif id(suspended_code(thing)) in unproven:
            holders.suspended.append(thing)
    scan.seconds += time.perf_counter() - began


_RUNNABLE = {FunctionType, types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType}


def suspended_code(thing: Any) -> types.CodeType | None:
    """The code of a generator, coroutine or asynchronous generator."""
    for name in ("gi_code", "cr_code", "ag_code"):
        if (code := getattr(thing, name, None)) is not None:
            return code  # type: ignore[no-any-return]  # one of the three names
    return None


# -- changing one function ------------------------------------------------------------------------------------------

_dropped: weakref.WeakKeyDictionary[FunctionType, dict[str, types.CellType]] = weakref.WeakKeyDictionary()
"""Cells that a function's body has no use for at present: a later body may."""

_behind: weakref.WeakKeyDictionary[FunctionType, types.CodeType] = weakref.WeakKeyDictionary()
"""Functions that stayed on old code, with the code of the present text that they could not take."""


def runs(function: FunctionType, code: types.CodeType) -> bool:
    """Is this the function's code, or what its code should be by now?"""
    return function.__code__ is code or _behind.get(function) is code


Evaluate = Callable[[ast.expr, FunctionType], Any]


class OutOfReach(Exception):
    """An expression reads a local variable of a call that is over."""


def set_code(
    tx: Transaction, function: FunctionType, code: types.CodeType, closure: tuple[types.CellType, ...] | None
) -> None:
    """Stage a function's code and closure together; each setter of the one checks it against the other."""
    was, cells = tx.functions.get(id(function)) or (function.__code__, function.__closure__)
    tx.functions[id(function)] = code, closure
    tx.hold(was, cells, closure)
    nothing = (id, None)
    if closure is not cells:
        if closure is not None:
            native.incref(closure)
            tx.did(native.decref, closure)
        if cells is not None:
            tx.on_commit(functools.partial(native.decref, cells))
        tx.stage(native.write_closure(function, closure), nothing)
    tx.stage((native.SET_CODE, function, code), (native.SET_CODE, function, was))
    if closure is not cells:
        tx.stage(nothing, native.write_closure(function, cells))


def cells_for(
    function: FunctionType, code: types.CodeType, supply: Callable[[str], types.CellType | None]
) -> tuple[types.CellType, ...] | None:
    """The closure that a new code needs, from the cells at hand; None when one cannot be had."""
    have = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    have = {**_dropped.get(function, {}), **have}
    cells = []
    for name in code.co_freevars:
        cell = have.get(name) or supply(name)
        if cell is None:
            return None
        cells.append(cell)
    if spare := {name: cell for name, cell in have.items() if name not in code.co_freevars}:
        _dropped[function] = spare
    return tuple(cells)


@dataclass(eq=False)
class Change:
    """How one definition is to change: its code, and what else its text says differently."""

    old: types.CodeType
    new: types.CodeType
    before: ast.AST | None
    after: ast.AST | None
    strings: bool  # annotations are kept as strings
    restring: bool = False  # which they were not before, or the other way round
    again: Callable[[ast.expr, Any], bool] | None = None  # does a default of unchanged text have another value now?
    made_again: bool = False  # its class is: what its parameters read may not be there yet


def apply(
    tx: Transaction,
    function: FunctionType,
    change: Change,
    evaluate: Evaluate,
    supply: Callable[[str], types.CellType | None],
) -> str | None:
    """Bring one function to its new code.

    Returns:
        None, or why it stays whole on the old one.
    """
    new, old = change.new, function.__code__
    if old is not change.old:
        change = dataclasses.replace(change, before=None)
    if new.co_freevars != old.co_freevars:
        closure = cells_for(function, new, supply)
        if closure is None:
            missing = next(n for n in new.co_freevars if n not in old.co_freevars)
            tx.did(_set_behind, function, _behind.get(function))
            _behind[function] = new
            return f"it never captured {missing!r}, and stays on its old code"
        closure = closure or None
    else:
        closure = function.__closure__
    parameters_changed = isa(change.after, (*FUNCTIONS, ast.Lambda)) and (
        change.restring
        or not isa(change.before, (*FUNCTIONS, ast.Lambda))
        or _header(change.before) != _header(change.after)
    )
    try:
        given = _parameters(function, change, evaluate) if parameters_changed else None
    except OutOfReach as beyond:
        tx.did(_set_behind, function, _behind.get(function))
        _behind[function] = new
        return f"a default of it reads {beyond}, a variable of the call that made it, and it stays on its old code"
    except NameError:
        if not change.made_again:
            raise
        given = None
    if function in _behind:
        tx.did(_set_behind, function, _behind.pop(function))
    set_code(tx, function, new, closure)
    before, after = documentation(old), documentation(new)
    if before != after and function.__doc__ == before:
        tx.stage((native.SET_DOC, function, after), (native.SET_DOC, function, before))
    if given is not None:
        defaults, words, annotations = given
        set_defaults(tx, function, defaults, words)
        if annotations is not None:
            set_annotations(tx, function, annotations)
    return None


def _set_behind(function: FunctionType, code: types.CodeType | None) -> None:
    if code is None:
        _behind.pop(function, None)
    else:
        _behind[function] = code


def _header(node: ast.AST) -> str:
    return ast.dump(node.args) if isa(node, ast.Lambda) else outline.signature(node)  # type: ignore[arg-type]  # a def


def documentation(code: types.CodeType) -> str | None:
    first = code.co_consts[0] if code.co_consts else None
    return first if isa(first, str) and code.co_name != "<lambda>" else None


def parameters(node: Any) -> tuple[dict[str, ast.expr], dict[str, ast.expr], dict[str, ast.expr]]:
    """(positional defaults, keyword-only defaults, annotations) of a definition, by name."""
    args: ast.arguments = node.args
    positional = [*args.posonlyargs, *args.args]
    count = len(args.defaults)
    defaults = dict(zip([a.arg for a in positional[len(positional) - count :]], args.defaults, strict=True))
    keyword = {a.arg: d for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None}
    everyone = [
        *positional,
        *([args.vararg] if args.vararg else []),
        *args.kwonlyargs,
        *([args.kwarg] if args.kwarg else []),
    ]
    annotations = {a.arg: a.annotation for a in everyone if a.annotation is not None}
    if getattr(node, "returns", None) is not None:
        annotations["return"] = node.returns
    return defaults, keyword, annotations


def _parameters(function: FunctionType, change: Change, evaluate: Evaluate) -> tuple[Any, Any, dict[str, Any] | None]:
    """New defaults and annotations, None for the same; a default whose text did not change keeps its object."""
    defaults, keyword, annotations = parameters(change.after)
    was = parameters(change.before) if change.before is not None else ({}, {}, {})

    def fresh(name: str, exprs: dict[str, ast.expr], earlier: dict[str, ast.expr], have: dict[str, Any]) -> Any:
        same = name in earlier and name in have and ast.dump(earlier[name]) == ast.dump(exprs[name])
        if same and not (change.again is not None and change.again(exprs[name], have[name])):
            return have[name]
        return evaluate(exprs[name], function)

    live = function.__defaults__ or ()
    have = dict(zip(was[0], live, strict=True)) if len(was[0]) == len(live) else {}
    values = tuple(fresh(name, defaults, was[0], have) for name in defaults) or None
    words = {n: fresh(n, keyword, was[1], function.__kwdefaults__ or {}) for n in keyword} or None
    if change.restring or {n: ast.dump(e) for n, e in was[2].items()} != {
        n: ast.dump(e) for n, e in annotations.items()
    }:
        known = {} if change.restring else function.__annotations__
        made = {
            n: ast.unparse(e) if change.strings else fresh(n, annotations, was[2], known)
            for n, e in annotations.items()
        }
        return values, words, made
    return values, words, None


def set_defaults(tx: Transaction, function: FunctionType, values: Any, words: Any) -> None:
    old, old_words = function.__defaults__, function.__kwdefaults__
    tx.hold(old, old_words)
    tx.stage((native.SET_DEFAULTS, function, values), (native.SET_DEFAULTS, function, old))
    tx.stage((native.SET_KWDEFAULTS, function, words), (native.SET_KWDEFAULTS, function, old_words))


def set_annotations(tx: Transaction, function: FunctionType, made: dict[str, Any]) -> None:
    """In the same dict: a wrapper made with functools.wraps shares it."""
    known = function.__annotations__
    before = dict(known)
    tx.stage((dict.clear, known), (dict.update, known, before))
    tx.stage((dict.update, known, made), (dict.clear, known))


def set_qualname(tx: Transaction, function: FunctionType, name: str) -> None:
    tx.stage((native.SET_QUALNAME, function, name), (native.SET_QUALNAME, function, function.__qualname__))


_OF_DECORATORS = ("__wrapped__", "__isabstractmethod__", "__final__", "__override__", "__deprecated__", "__remote__")


def adopt(tx: Transaction, function: FunctionType, other: FunctionType, *, name: bool = True) -> None:
    """Let a function become all that another is, its own attributes excepted; both then do the same."""
    if function is other:
        return
    set_code(tx, function, other.__code__, other.__closure__)
    if function.__globals__ is not other.__globals__:
        tx.hold(function.__globals__)
        native.incref(other.__globals__)
        tx.stage(
            native.write_globals(function, other.__globals__), native.write_globals(function, function.__globals__)
        )
        tx.on_commit(functools.partial(native.decref, function.__globals__))
        tx.did(native.decref, other.__globals__)
    set_defaults(tx, function, other.__defaults__, other.__kwdefaults__)
    tx.stage(
        (native.SET_ANNOTATIONS, function, other.__annotations__),
        (native.SET_ANNOTATIONS, function, function.__annotations__),
    )
    tx.hold(function.__annotations__, function.__doc__)
    given = "__wrapped__" not in function.__dict__ and function.__doc__ != documentation(function.__code__)
    if other.__doc__ is not None or not given:  # `f.__doc__ = …` is a statement of its own
        tx.stage((native.SET_DOC, function, other.__doc__), (native.SET_DOC, function, function.__doc__))
    if name:
        tx.stage((native.SET_NAME, function, other.__name__), (native.SET_NAME, function, function.__name__))
        tx.stage(
            (native.SET_QUALNAME, function, other.__qualname__), (native.SET_QUALNAME, function, function.__qualname__)
        )
        tx.stage((native.SET_MODULE, function, other.__module__), (native.SET_MODULE, function, function.__module__))
    inside = function.__dict__
    for key, value in other.__dict__.items():
        tx.set_item(inside, key, value)
    for key in _OF_DECORATORS:
        if key in inside and key not in other.__dict__:
            tx.del_item(inside, key)


def forward(tx: Transaction, function: FunctionType, target: Callable[..., Any]) -> None:
    """Let a function call something that is not a function."""
    made: FunctionType
    if inspect.iscoroutinefunction(target):

        async def forward_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await target(*args, **kwargs)

        made = forward_coroutine  # type: ignore[assignment]  # a function
    else:

        def forward_call(*args: Any, **kwargs: Any) -> Any:
            return target(*args, **kwargs)

        made = forward_call  # type: ignore[assignment]  # a function
    functools.update_wrapper(made, target, updated=())
    if isa(target, type):
        made.__annotations__ = {}
    adopt(tx, function, made, name=False)


def class_cells(function: FunctionType, cls: type) -> Iterator[types.CellType]:
    """Cells behind a function, and what it wraps, that hold a class: `__class__`, or what a decorator of it calls it."""
    for each in reach(function):
        for cell in each.__closure__ or ():
            try:
                if cell.cell_contents is cls:
                    yield cell
            except ValueError:
                continue


def set_cell(tx: Transaction, cell: types.CellType, value: object) -> None:
    try:
        old: object = cell.cell_contents
    except ValueError:
        old = MISSING
    if old is value:
        return
    tx.hold(old)
    back = (native.EMPTY_CELL, cell) if old is MISSING else (native.SET_CELL, cell, old)
    tx.stage((native.SET_CELL, cell, value), back)


def clear_caches(value: object) -> Iterator[Any]:
    """The lru_caches around the functions behind a value."""
    todo, seen = [value], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if type(each) is _LRU:
            yield each
        wrapped = getattr(each, "__dict__", {}).get("__wrapped__") if isa(each, (FunctionType, _LRU)) else None
        todo += [wrapped] if wrapped is not None else []
        if isa(each, type):
            todo += [v for v in vars(each).values() if not isa(v, type)]
        elif isa(each, FunctionType):
            for cell in each.__closure__ or ():
                try:
                    todo.append(cell.cell_contents)
                except ValueError:
                    continue
            todo = [t for t in todo if not isa(t, type)]
        elif isa(each, (staticmethod, classmethod, property, functools.partial)):
            todo += [inner for inner in _inside(each) if inner is not None]


def is_definition(node: object) -> bool:
    return isa(node, FUNCTIONS)


def bare(node: Function) -> Function:
    """The definition without its decorators."""
    import copy

    made = copy.copy(node)
    made.decorator_list = []
    return made
