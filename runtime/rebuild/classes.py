"""Classes: edited in place, statement by statement; built aside and taken in where something else makes them.

What a plain class statement says can be carried over piece by piece. Where a decorator, a metaclass or
`__init_subclass__` makes more of the body than it says, the whole statement runs, and the live class takes in what
came out. Only another memory layout needs another class: that is `layout.py`.
"""

from __future__ import annotations

import abc
import ast
import enum
import importlib
import sys
import types
import typing
from typing import TYPE_CHECKING, Any, cast

from . import bases, derived, enums, functions, instances, native, outline, plan, tuples, unify
from .errors import RebuildError
from .kinds import isa
from .plan import Step
from .transaction import MISSING

if TYPE_CHECKING:
    from .scopes import Scope

_STANDARD = frozenset(sys.stdlib_module_names)
_NOT_TAKEN = {"__dict__", "__weakref__", "__module__", "_abc_impl", "__qualname__"}
_OF_DATACLASS = {"__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__setattr__", "__delattr__",
                 "__post_init__", "__match_args__", "__getstate__", "__setstate__"}  # fmt: skip


_OWN_REFERENCES = 6  # how many of a fresh method's references are ours while it is taken in


def run(scope: Scope, step: Step, node: ast.ClassDef) -> None:
    """A class statement that is new or differs."""
    live = scope.get(node.name)
    before = step.before
    line = step.new.start if step.new else node.lineno
    ours = isa(live, type) and live.__module__ == scope.plan.name and bool(live.__flags__ & (1 << 9))
    if isa(before, ast.ClassDef) and ours and not step.again:
        update(scope, live, before, node, step)
        return
    scope.edit.change("added" if live is MISSING else "changed", scope, node.name, line)
    scope.bind_all(scope.execute([node]), step)


def enter(scope: Scope, cls: type, node: ast.ClassDef) -> Scope:
    from .scopes import Scope as Made

    return Made(scope.edit, scope.plan, scope.module, cls, (*scope.path, node), scope.canonical)


def update(scope: Scope, cls: type, before: ast.ClassDef, node: ast.ClassDef, step: Step) -> None:
    """Carry the difference of two class statements into the live class."""
    steps = plan.inside(step)
    edit = scope.edit
    edit.remember(cls)
    marks = len(edit.changes)
    if _header(before) != _header(node) or _needs_whole(cls, node, steps):
        _exchange_all(scope, cls, node, steps)
        final = rebuild_whole(scope, cls, before, node)
        if final is not None:
            _depend(enter(scope, final, node), steps)
    else:
        inner = enter(scope, cls, node)
        inner.take(steps)
        _finish(inner, before, node, steps)
    _watch_equality(edit, cls, steps)
    if len(edit.changes) == marks and any(s.kind in {"run", "gone"} for s in steps):
        edit.change("changed", scope, node.name, node.lineno)


def _watch_equality(edit: Any, cls: type, steps: list[Step]) -> None:
    concerned = [s for s in steps if {"__hash__", "__eq__"} & outline.bound(s.node)]
    if any(s.kind != "body" or s.old is None or s.new is None or s.old.dump != s.new.dump for s in concerned):
        edit.rehash.append(cls)


def _exchange_all(scope: Scope, cls: type, node: ast.ClassDef, steps: list[Step]) -> None:
    inner = enter(scope, cls, node)
    for step in steps:
        if step.old is not None and step.new is not None:
            if isa(step.node, ast.ClassDef):
                continue
            inner.exchange(step, made_again=True)


def _header(node: ast.ClassDef) -> str:
    parts = [*node.bases, *node.keywords, *node.decorator_list]
    return ",".join(map(ast.dump, parts)) + f";{len(node.bases)},{len(node.decorator_list)}"


def _needs_whole(cls: type, node: ast.ClassDef, steps: list[Step]) -> bool:
    """Would carrying over the statements alone miss what something else makes of them?"""
    if (_is_made(cls) or node.decorator_list) and _reordered(steps):
        return True
    changed = [s for s in steps if s.kind in {"run", "gone"}]
    if not changed:
        return False
    bound = {n for s in changed for n in outline.bound(s.node) | {s.was}}
    if bound & {"__slots__", "__classcell__", "__class_getitem__"} or _is_made(cls):
        return True
    if not (node.decorator_list or has_machinery(cls)):
        return False
    definitions = all(
        isa(s.node, outline.FUNCTIONS) and (s.old is None or isa(s.before, outline.FUNCTIONS)) for s in changed
    )
    if definitions and "__dataclass_fields__" in vars(cls) and not has_machinery(cls):
        return bool(bound & _OF_DATACLASS)
    in_place = all(s.old is not None and s.new is not None and not s.was for s in changed)
    return not (definitions and in_place) and not all(outline.is_docstring(s.node) for s in changed)


def _reordered(steps: list[Step]) -> bool:
    """Do members or fields, which count in their order, stand in another one?"""
    starts = [s.old.start for s in steps if s.old is not None and not isa(s.node, (*outline.FUNCTIONS, ast.ClassDef))]
    return starts != sorted(starts)


def _is_made(cls: type) -> bool:
    """Classes that a function makes of the body: enums, named tuples, typed dicts."""
    return isa(cls, enum.EnumMeta) or (issubclass(cls, tuple) and "_fields" in vars(cls)) or hasattr(cls, "__total__")


def has_machinery(cls: type) -> bool:
    """Does a metaclass or an inherited `__init_subclass__` of somebody's own see the body?"""
    for meta in type.mro(type(cls)):
        if (
            meta.__module__.partition(".")[0] not in _STANDARD
            and {"__new__", "__init__", "__prepare__"} & vars(meta).keys()
        ):
            return True
    return any(
        "__init_subclass__" in vars(base) and base.__module__.partition(".")[0] not in _STANDARD
        for base in cls.__mro__[1:]
    )


def _finish(inner: Scope, before: ast.ClassDef, node: ast.ClassDef, steps: list[Step]) -> None:
    cls = inner.cls
    assert cls is not None
    tx = inner.tx
    doc = ast.get_docstring(node, clean=False)
    if ast.get_docstring(before, clean=False) != doc and isa(vars(cls).get("__doc__"), (str, types.NoneType)):
        tx.set_attr(cls, "__doc__", doc)
    _drop_annotations(inner, before, node)
    _respell_annotations(inner, node)
    _imply_hash(inner, node)
    if any(s.kind in {"run", "gone"} for s in steps):
        inner.edit.touched.append(cls)


def _imply_hash(inner: Scope, node: ast.ClassDef) -> None:
    """A class with `__eq__` and without `__hash__` cannot be hashed; the class statement says so by itself."""
    cls = inner.cls
    assert cls is not None
    if "__hash__" in {name for s in node.body for name in outline.bound(s)} or "__dataclass_fields__" in vars(cls):
        return
    has_eq, has_hash = (inner.tx.get_attr(cls, name) for name in ("__eq__", "__hash__"))
    if has_eq is not MISSING and has_hash is MISSING:
        inner.tx.set_attr(cls, "__hash__", None)
    elif has_eq is MISSING and has_hash is None:
        inner.tx.del_attr(cls, "__hash__")


def _drop_annotations(inner: Scope, before: ast.ClassDef, node: ast.ClassDef) -> None:
    def names(body: list[ast.stmt]) -> set[str]:
        return {s.target.id for s in body if isa(s, ast.AnnAssign) and isa(s.target, ast.Name)}

    assert inner.cls is not None
    known = vars(inner.cls).get("__annotations__")
    if isa(known, dict):
        for name in names(before.body) - names(node.body):
            if (stored := inner.stored(name)) in known:
                inner.tx.stage((dict.pop, known, stored, None), (dict.__setitem__, known, stored, known[stored]))


def _respell_annotations(inner: Scope, node: ast.ClassDef) -> None:
    """`from __future__ import annotations` came or went: they are strings now, or what these stand for."""
    strings, changed = inner.strings()
    known = vars(inner.cls).get("__annotations__")
    if changed and isa(known, dict):
        made = {
            inner.stored(s.target.id): ast.unparse(s.annotation) if strings else inner.evaluate(s.annotation)
            for s in node.body
            if isa(s, ast.AnnAssign) and isa(s.target, ast.Name)
        }
        inner.tx.stage((dict.update, known, made), (dict.update, known, dict(known)))


def settle(tx: Any, classes: list[type]) -> None:
    """After all writes: what a class keeps about the methods that it has."""
    for cls in classes:
        native.inherit_new(cls)
    seen: set[type] = set()
    for cls in classes:
        for each in [cls, *_below(cls)]:
            if each not in seen and isa(each, abc.ABCMeta):
                seen.add(each)
                before = each.__abstractmethods__
                abc.update_abstractmethods(cast("type[Any]", each))
                if each.__abstractmethods__ != before:
                    tx.did(_set_abstract, each, before)
    for model in _models(classes):
        _complete_model(tx, model)
    if classes:
        _forget_answers()
        tx.did(_forget_answers)


def _models(classes: list[type]) -> list[type]:
    """The pydantic models among these, and those with fields of their kinds: each validator holds those it calls."""
    found = [cls for cls in dict.fromkeys(classes) if "__pydantic_validator__" in vars(cls)]
    if not found:
        return []
    roots = {next(c for c in reversed(cls.__mro__) if "__pydantic_validator__" in vars(c)) for cls in found}
    everyone = {model for root in roots for model in _below(root)}
    for cls in found:  # grows as it goes
        found += [m for m in everyone if m not in found and any(_speaks_of(f, cls) for f in _annotations(m))]
    return found


def _annotations(model: type) -> list[Any]:
    return [info.annotation for info in vars(model).get("__pydantic_fields__", {}).values()]


def _speaks_of(annotation: Any, cls: type) -> bool:
    return annotation is cls or any(_speaks_of(each, cls) for each in typing.get_args(annotation))


def _complete_model(tx: Any, cls: Any) -> None:
    """A pydantic model's validator names the class that it makes: it is made again for the class that goes on."""
    before = dict(vars(cls))
    cls.model_rebuild(force=True)
    for name, value in before.items():
        if vars(cls).get(name) is not value:
            tx.did(type.__setattr__, cls, name, value)


_reset_caches: Any = importlib.import_module("_abc")._reset_caches  # what abc itself uses; it has no public name


def _forget_answers() -> None:
    """What abstract classes and protocols remember of who is below them: a class may have gained or lost what they ask."""
    seen: set[int] = set()
    todo: list[type] = [object]
    while todo:
        each = todo.pop()
        if id(each) not in seen:
            seen.add(id(each))
            todo += native.subclasses(each)
            if isa(each, abc.ABCMeta):
                _reset_caches(each)


def _set_abstract(cls: Any, names: frozenset[str]) -> None:
    cls.__abstractmethods__ = names


def _below(cls: type) -> list[type]:
    found: list[type] = []
    for each in native.subclasses(cls):
        found += [each, *_below(each)]
    return found


# -- classes built aside ----------------------------------------------------------------------------------------------


def _depend(inner: Scope, steps: list[Step]) -> None:
    """What did not change in the body was kept; what it had read may have changed."""
    for step in steps:
        if step.old is not None and step.new is not None and step.old.dump == step.new.dump:
            inner.depend(step)


def rebuild_whole(scope: Scope, cls: type, before: ast.ClassDef, node: ast.ClassDef) -> type | None:
    """Run the whole statement and let the live class take in what it makes; returns the class that goes on.

    Raises:
        RebuildError: the class is mapped to a table, which its mapper does once.
    """
    if "__mapper__" in vars(cls) and "__table__" in vars(cls):
        raise RebuildError(
            f"{cls.__qualname__} is already mapped to the table {vars(cls)['__table__'].name}, and a class is mapped once; "
            "methods may change, columns and relations may not",
            file=scope.plan.path,
            line=node.lineno,
            needs="hand-over",
        )
    bound = scope.execute([node])
    bound.pop("__annotations__", None)
    made = bound.pop(node.name)
    scope.edit.change("changed", scope, node.name, node.lineno)
    if not isa(made, type):
        scope.bind(node.name, made)
        return None
    final = absorb(scope, cls, made, before, node)
    scope.bind(node.name, final)
    for name, value in bound.items():
        scope.bind(name, value)
    return final


def absorb(scope: Scope, cls: type, made: type, before: ast.ClassDef | None, node: ast.AST) -> type:
    """Let a live class become what one built aside is; returns the class that goes on."""
    edit = scope.edit
    edit.remember(cls)
    derived.note(edit, cls, made)
    if isa(cls, enum.EnumMeta) != isa(made, enum.EnumMeta):
        edit.swaps.append((cls, made))  # members that somebody holds stay members of what they were
        return made
    same_layout = native.layout(cls) == native.layout(made) and _own_slots(cls) == _own_slots(made)
    same_kind = native.layout(type(cls)) == native.layout(type(made))
    if not same_layout or not same_kind:
        from . import layout

        edit.field_makers.append((made, instances.makers(cls, made)))
        edit.unfilled.append((made, instances.unfilled(cls, made)))
        return layout.take_over(scope, cls, made, _unchanged(before, node))
    tuples.note(edit, cls, made)
    kept = _unchanged(before, node)
    edit.field_makers.append((cls, instances.makers(cls, made)))
    edit.unfilled.append((cls, instances.unfilled(cls, made)))
    _take_members(scope, cls, made, kept, _given_elsewhere(cls, before, node))
    _take_bases(scope, cls, made)
    edit.touched.append(cls)
    if {"__hash__", "__eq__"} & (vars(cls).keys() | vars(made).keys()):
        edit.rehash.append(cls)
    if isa(made, enum.EnumMeta):
        enums.merge(scope, cls, made)
    if _may_be_registered(made, node):
        edit.swaps.append((made, cls))
    edit.made.append(made)
    return cls


def _own_slots(cls: type) -> set[str]:
    """The slots that a class has itself: a slot's descriptor is good for the class that it was made for."""
    return {name for name, value in vars(cls).items() if isa(value, types.MemberDescriptorType)}


def _may_be_registered(made: type, node: ast.AST) -> bool:
    if has_machinery(made):
        return True
    decorators = getattr(node, "decorator_list", [])
    names = {ast.unparse(d.func if isa(d, ast.Call) else d) for d in decorators}
    return not names <= {"dataclass", "dataclasses.dataclass", "total_ordering", "functools.total_ordering", "final", "typing.final",
                         "runtime_checkable", "typing.runtime_checkable", "unique", "enum.unique"}  # fmt: skip


def _unchanged(before: ast.ClassDef | None, node: ast.AST) -> set[str]:
    """Names whose statements in the class body did not change: they keep what the program made of them."""
    if before is None or not isa(node, ast.ClassDef):
        return set()
    old = {ast.dump(s) for s in before.body}
    same: set[str] = set()
    changed: set[str] = set()
    for statement in node.body:
        (same if ast.dump(statement) in old else changed).update(outline.bound(statement))
    return same - changed


def _given_elsewhere(cls: type, before: ast.ClassDef | None, node: ast.AST) -> set[str]:
    """Public names that neither the body nor what works on it had made: another statement of the module gave them."""
    if before is None or has_machinery(cls) or _may_be_registered(cls, node) or _may_be_registered(cls, before):
        return set()
    own = {name for statement in before.body for name in outline.bound(statement)}
    return {name for name in vars(cls) if name not in own and not name.startswith("_")}


def _take_members(scope: Scope, cls: type, made: type, kept: set[str], given: set[str]) -> None:
    tx = scope.tx
    old, new = dict(vars(cls)), dict(vars(made))
    if old.get("__module__") != new.get("__module__"):
        tx.set_attr(cls, "__module__", new["__module__"])
    path = getattr(cls, "__qualname__", cls.__name__)
    known = scope.plan.record.members.get(path, old)
    for name, value in new.items():
        for function in functions.reach(value, 3):
            for cell in functions.class_cells(function, made):
                functions.set_cell(tx, cell, cls)
        if (name in _NOT_TAKEN and name in old) or isa(value, types.GetSetDescriptorType):
            continue
        live = old.get(name, MISSING)
        if live is MISSING:
            tx.set_attr(cls, name, value)
        elif live is value:
            continue
        elif _is_own(cls, live) and _is_behaviour(value):
            final = unify.join(scope, live, value)
            if final is not value and isa(value, types.FunctionType) and sys.getrefcount(value) > _OWN_REFERENCES:
                scope.edit.swaps.append((value, final))  # a decorator may have registered it
            tx.set_attr(cls, name, final)
        elif isa(value, types.MemberDescriptorType) or (isa(cls, enum.EnumMeta) and isa(value, made)):
            continue
        elif name in kept and not _is_made(cls):
            if isa(live, type) and isa(value, type) and live is not value:
                continue
        else:
            tx.set_attr(cls, name, value)
    for name in old.keys() - new.keys() - _NOT_TAKEN - given:
        member = isa(cls, enum.EnumMeta) and isa(old[name], cls)
        if name in known and not member and not isa(old[name], types.GetSetDescriptorType):
            tx.del_attr(cls, name)


def _is_behaviour(value: object) -> bool:
    return isa(value, (types.FunctionType, staticmethod, classmethod, property)) or type(value) is functions._LRU


def _is_own(cls: type, value: object) -> bool:
    """Made for this class, not a function of a library that was put into it."""
    if not _is_behaviour(value):
        return False
    found = next(functions.reach(value, 1), None)
    if found is None:
        return False
    return found.__qualname__.startswith(f"{cls.__qualname__}.") or "<locals>" in found.__qualname__


def _take_bases(scope: Scope, cls: type, made: type) -> None:
    tx = scope.tx
    if type(cls) is not type(made):
        tx.flush()
        old = type(cls)
        native.set_type(cls, type(made))
        tx.did(native.set_type, cls, old)
    if cls.__bases__ != made.__bases__:
        assert made.__base__ is not None
        bases.change(scope.edit, cls, made.__bases__, made.__base__)
        for name in ("__dict__", "__weakref__"):  # where the new bases have them, a plain import would not repeat them
            if name in vars(cls) and name not in vars(made):
                tx.del_attr(cls, name)
            elif name in vars(made) and name not in vars(cls):
                tx.set_attr(cls, name, native.getset(cls, vars(made)[name]))


def discard(made: type) -> None:
    """Take a class that was only built to be taken in out of the lists of subclasses."""
    if native.layout(made)[0] is object and made.__bases__ != (object,) and not isa(made, enum.EnumMeta):
        native.set_bases(made, (object,), object)
