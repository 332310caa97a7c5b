"""A definition that ran again meets the object that bore its name: the old object goes on, as what the new one is."""

from __future__ import annotations

import ast
import functools
import sys
import types
from typing import TYPE_CHECKING, Any

from . import functions, outline, plan
from .functions import FunctionType
from .kinds import attribute, isa
from .transaction import MISSING

if TYPE_CHECKING:
    from .plan import Step
    from .scopes import Scope

_OWN_REFERENCES = 6  # how many of a fresh definition's references are ours while it is bound


def unify(scope: Scope, name: str, live: Any, value: Any, step: Step) -> Any:
    """What the name is to be bound to."""
    if not scope.path and (moved := scope.edit.moves.pop((scope.plan.name, name), None)) is not None:
        if type(moved) is type(value) or (isa(moved, type) and isa(value, type)):
            live = moved
    elif live is MISSING:
        live = _returned(scope, name, value)
        if live is MISSING:
            return value
    elif live is value or not _belongs(scope, name, live, step):
        return value
    fresh = _is_fresh(scope, name, value, step)
    if isa(live, type) and isa(value, type):
        from . import classes

        if fresh and live.__flags__ & (1 << 9) and _may_become(scope, live, value):
            before = step.before if isinstance(step.before, ast.ClassDef) else None
            return classes.absorb(scope, live, value, before, step.node)
        scope.edit.moved_classes.append((live, value))
        return value
    if (
        isinstance(step.node, ast.ClassDef)
        and not callable(live)
        and type(live).__name__ == type(value).__name__ == name
    ):
        return _same_instance(scope, live, value, step)
    if not isa(live, FunctionType) and not _wraps_its_own(scope, live, step):
        if callable(live) and not isa(live, (staticmethod, classmethod)):
            scope.edit.swaps.append((live, value))
        return value
    final = join(scope, live, value) if fresh else _follow(scope, live, value)
    became = final is not value and isa(value, FunctionType) and isa(final, FunctionType)
    if became and getattr(step.node, "decorator_list", None) and sys.getrefcount(value) > _OWN_REFERENCES:
        scope.edit.swaps.append((value, final))  # a decorator may have registered it
    return final


def _same_instance(scope: Scope, live: Any, value: Any, step: Step) -> Any:
    """A decorator made the one instance of a class of it: that goes on, with its state."""
    from . import classes

    before = step.before if isinstance(step.before, ast.ClassDef) else None
    classes.absorb(scope, type(live), type(value), before, step.node)
    return live


def _may_become(scope: Scope, live: type, value: type) -> bool:
    if type(value) is value or type(live) is live:
        return False  # a class that is its own kind cannot be another's
    return value.__module__ in (live.__module__, scope.plan.name)


def _returned(scope: Scope, name: str, value: Any) -> Any:
    """A definition removed earlier, of that kind and qualified name, if somebody still holds it."""
    if not isa(value, (type, FunctionType)):
        return MISSING
    qualname = f"{scope.qualname}.{name}" if scope.path else name
    kept = scope.plan.record.gone.pop(("class" if isa(value, type) else "def", qualname), None)
    found = kept() if kept is not None else None
    return MISSING if found is None else found


def codes_of_returned(
    step: Step, gone: dict[tuple[str, str], list[types.CodeType]]
) -> list[tuple[types.CodeType, types.CodeType]]:
    """For a definition that an earlier edit removed and that is back: the codes of what it had made, old and new."""
    node = step.node
    if step.kind != "run" or step.old is not None or step.new is None:
        return []
    if not isinstance(node, (*outline.FUNCTIONS, ast.ClassDef)):
        return []
    new = {code.co_qualname: code for top in step.new.codes for code in outline.tree(top)}
    pairs: list[tuple[types.CodeType, types.CodeType]] = []
    for code in gone.get(("class" if isinstance(node, ast.ClassDef) else "def", node.name), ()):
        if code.co_qualname in new:
            pairs += plan.pair_codes(outline.children(code), outline.children(new[code.co_qualname]))
    return pairs


def _belongs(scope: Scope, name: str, live: Any, step: Step) -> bool:
    """Was the live object made by the statements of this name, and is it still there?"""
    if isa(live, FunctionType) and step.old is not None and any(live.__code__ is c for c in step.old.codes):
        return True
    before = scope.last_before.get(name)
    if before is not None and before is not step and before.new is not None and name in before.new.binds:
        return False  # it belongs to another statement of that name
    if not scope.path and scope.put.get(name, id(live)) != id(live):
        return False
    node = before.before if before is not None else None
    if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Name, ast.Attribute)):
        return False  # only another name for something that goes on under its own
    if isinstance(node, (*outline.FUNCTIONS, ast.ClassDef)) and not isa(live, types.ModuleType):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isa(live, type):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda) and isa(live, FunctionType):
        return True
    if isa(live, FunctionType) and live.__name__ == "<lambda>":
        others = vars(scope.cls) if scope.cls is not None else scope.space
        return live.__module__ == scope.plan.name and not any(v is live for n, v in others.items() if n != name)
    if isa(live, (FunctionType, type)):
        return live.__module__ == scope.plan.name and live.__name__ == name
    if isa(live, (staticmethod, classmethod, property, functools.cached_property)):
        return True
    wrapped = attribute(live, "__wrapped__")
    return isa(wrapped, FunctionType) and wrapped.__module__ == scope.plan.name and wrapped.__name__ == name


def _is_fresh(scope: Scope, name: str, value: Any, step: Step) -> bool:
    """Was the new object made just now for this name, and is nobody else's?"""
    if isinstance(step.node, (ast.Import, ast.ImportFrom)):
        return False
    if isinstance(step.node, (*outline.FUNCTIONS, ast.ClassDef)):
        return True
    source = getattr(step.node, "value", None)
    if isa(source, (ast.Name, ast.Attribute)):
        return False
    space = vars(scope.cls) if scope.cls is not None else scope.space
    return not any(other is value for key, other in list(space.items()) if key != name)


def _wraps_its_own(scope: Scope, live: Any, step: Step) -> bool:
    """Was the function in a wrapper or descriptor made for it, and is it not a definition of its own (`partial(f)`)?"""
    inner = _function_of(live)
    if inner is None or isinstance(step.node, (*outline.FUNCTIONS, ast.ClassDef)):
        return True
    spaces = [scope.space, vars(scope.cls)] if scope.cls is not None else [scope.space]
    if any(value is inner for space in spaces for value in list(space.values())):
        return False
    return inner.__name__ == "<lambda>" or "<locals>" in inner.__qualname__


def _follow(scope: Scope, live: Any, value: Any) -> Any:
    """The name now means something that exists apart: who holds the old object reaches that."""
    if isa(live, FunctionType) and callable(value):
        if isa(value, FunctionType):
            functions.adopt(scope.tx, live, value, name=False)
            scope.edit.swaps.append((live, value))
        else:
            functions.forward(scope.tx, live, value)
    return value


def join(scope: Scope, live: Any, value: Any) -> Any:
    """Make the old object be what the new one is, where its kind allows; returns what the name is bound to."""
    tx = scope.tx
    if isa(live, FunctionType):
        if isa(value, FunctionType):
            functions.adopt(tx, live, value)
            return live
        inner = _function_of(value)
        if inner is not None and isa(value, (staticmethod, classmethod, property, functools.cached_property)):
            functions.adopt(tx, live, inner)
            return _with(value, inner, live)
        if callable(value):
            functions.forward(tx, live, value)
            if isa(value, type):
                scope.edit.swaps.append((live, value))
        return value
    inner = _function_of(live)
    if isa(value, FunctionType) and inner is not None:
        functions.adopt(tx, inner, value)
        if isa(live, (staticmethod, classmethod, property, functools.cached_property)):
            return inner
        scope.edit.swaps.append((live, inner))
        return inner
    if type(live) is type(value):
        return _join_alike(scope, live, value)
    if inner is not None and (other := _function_of(value)) is not None:
        functions.adopt(tx, inner, other)
        value = _with(value, other, inner)
    if isa(live, type) or callable(live):
        scope.edit.swaps.append((live, value))
    return value


def _join_alike(scope: Scope, live: Any, value: Any) -> Any:
    tx = scope.tx
    if isa(live, property):
        parts = []
        for old, new in ((live.fget, value.fget), (live.fset, value.fset), (live.fdel, value.fdel)):
            if isa(old, FunctionType) and isa(new, FunctionType):
                functions.adopt(tx, old, new)
                parts.append(old)
            else:
                parts.append(new)
        return _like(value, property, *parts, value.__doc__)
    inner, other = _function_of(live), _function_of(value)
    if inner is not None and other is not None:
        functions.adopt(tx, inner, other)
        value = _with(value, other, inner)
    if type(live).__flags__ & (1 << 9) and type(live).__module__ != "functools":
        mine, its = functions._attributes(live), functions._attributes(value)
        if mine is not None and its is not None:
            for key, each in its.items():
                held = mine.get(key)
                if isa(held, FunctionType) and isa(each, FunctionType):
                    functions.adopt(tx, held, each)
                else:
                    tx.set_item(mine, key, each)
            return live
    if callable(live) and not isa(live, (staticmethod, classmethod)):
        scope.edit.swaps.append((live, value))
    return value


def _function_of(value: Any) -> FunctionType | None:
    """The function that a wrapper or descriptor made in C holds."""
    if isa(value, (staticmethod, classmethod)):
        found: Any = value.__func__
    elif isa(value, property):
        found = value.fget
    elif isa(value, (functools.partial, functools.cached_property, functools.partialmethod)):
        found = value.func
    elif isa(value, type):
        return None
    else:
        found = attribute(value, "__wrapped__")
    return found if isa(found, FunctionType) else None


def _with(value: Any, inner: FunctionType, other: FunctionType) -> Any:
    """The same descriptor around another function."""
    if inner is other:
        return value
    if isa(value, (staticmethod, classmethod)):
        return _like(value, staticmethod if isa(value, staticmethod) else classmethod, other)
    if isa(value, property):
        fget = other if value.fget is inner else value.fget
        return _like(value, property, fget, value.fset, value.fdel, value.__doc__)
    if isa(value, functools.cached_property):
        made = _like(value, functools.cached_property, other)
        made.attrname = value.attrname
        return made
    return value


def _like(value: Any, kind: Any, *args: Any) -> Any:
    """A descriptor of that kind which has what a class derived from the kind gave the value besides.

    The derived class is not asked to make it: its constructor may want anything.
    """
    made: Any = kind.__new__(type(value))
    kind.__init__(made, *args)
    known, mine = functions._attributes(value), functions._attributes(made)
    if known is not None and mine is not None:
        mine.update({name: each for name, each in known.items() if name not in mine})
    return made
