"""Values: which can be computed again, and how a display of the source is merged into the live container.

Pure: nothing here writes anything but the merge plans that it returns.
"""

from __future__ import annotations

import ast
import builtins
import datetime as dt
import decimal
import fractions
import pathlib
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from . import outline
from .kinds import isa

_IMMUTABLE = (
    int, float, complex, str, bytes, bool, type(None), type(...), range, slice, re.Pattern, decimal.Decimal, fractions.Fraction,
    dt.date, dt.time, dt.timedelta, dt.tzinfo, pathlib.PurePath, types.GenericAlias, types.UnionType,
)  # fmt: skip
_TYPING: tuple[Any, ...] = (type(typing.Annotated[int, 0]), type(typing.Literal[0]), typing.TypeVar, type(typing.Any))
_BUILTINS = {
    builtins.abs, builtins.all, builtins.any, builtins.ascii, builtins.bin, bool, bytes, builtins.chr, complex, dict, builtins.divmod,
    enumerate, float, builtins.format, frozenset, builtins.hash, builtins.hex, int, builtins.len, list, map, max, min, builtins.oct,
    builtins.ord, builtins.pow, range, builtins.repr, reversed, builtins.round, set, slice, sorted, str, sum, tuple, zip, filter,
}  # fmt: skip
_MODULES = {
    "math", "cmath", "re", "string", "operator", "itertools", "functools", "fractions", "decimal", "datetime", "posixpath", "ntpath",
    "pathlib", "typing", "collections", "textwrap", "struct", "statistics", "ipaddress", "json", "base64", "binascii", "hashlib", "_struct",
    "_operator", "numbers", "colorsys", "urllib.parse", "html", "unicodedata", "types", "enum", "_io",
}  # fmt: skip
_PURE_NODES = (
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue, ast.Tuple, ast.List, ast.Set,
    ast.Dict, ast.Subscript, ast.Slice, ast.Starred, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.comprehension,
    ast.keyword,
)  # fmt: skip


def is_immutable(value: object) -> bool:
    if type(value) is tuple or type(value) is frozenset:
        return all(map(is_immutable, value))
    return (
        isa(value, _IMMUTABLE)
        or isa(value, _TYPING)
        or type(value).__module__ == "typing"
        or isa(value, (type, types.FunctionType))
    )


def is_pure(node: ast.expr, look: Callable[[str], Any]) -> bool:
    """Does the expression call nothing but builtins, methods of immutable values and pure standard modules?"""
    local = {n.id for n in ast.walk(node) if isa(n, ast.Name) and isa(n.ctx, ast.Store)}

    def resolve(expr: ast.expr) -> Any:
        if isa(expr, ast.Name) and expr.id not in local:
            return look(expr.id)
        if isa(expr, ast.Attribute):
            owner = resolve(expr.value)
            if isa(owner, (types.ModuleType, type)):
                return getattr(owner, expr.attr, None)
        return None

    def pure(each: ast.AST) -> bool:
        match each:
            case ast.Constant() | ast.Name():
                return True
            case ast.Attribute(value=value):
                found = resolve(value)
                return isa(found, types.ModuleType) or is_immutable(found) or (found is None and pure(value))
            case ast.Call(func=func, args=args, keywords=keywords):
                return may_call(func) and all(map(pure, (*args, *keywords)))
            case _ if isa(each, _PURE_NODES):
                return all(
                    pure(n)
                    for n in ast.iter_child_nodes(each)
                    if not isa(n, (ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop))
                )
            case _:
                pass
        return False

    def may_call(func: ast.expr) -> bool:
        if isa(func, ast.Attribute):
            if isa(func.value, (ast.Constant, ast.JoinedStr)):
                return True
            if isa(func.value, ast.Call):  # a method of what a pure call returned
                return pure(func.value) and (hasattr(str, func.attr) or hasattr(bytes, func.attr))
            owner = resolve(func.value)
            if isa(owner, types.ModuleType):
                return owner.__name__ in _MODULES
            return owner is not None and is_immutable(owner) and not isa(owner, types.FunctionType)
        found = resolve(func)
        try:
            return found in _BUILTINS or getattr(found, "__module__", None) in _MODULES
        except TypeError:  # not hashable
            return False

    return pure(node)


# -- displays -------------------------------------------------------------------------------------------------------


def display(node: ast.AST | None) -> ast.Dict | ast.List | ast.Set | None:
    """The dict, list or set display that an assignment puts into its name, if it is one."""
    value = getattr(node, "value", None) if isa(node, (ast.Assign, ast.AnnAssign)) else None
    return value if isa(value, (ast.Dict, ast.List, ast.Set)) else None


Merge = Iterator[tuple[Any, ...]]


def merge(old: ast.expr, new: ast.expr, fresh: Any, live: Any, was: Callable[[ast.expr], Any]) -> Merge | None:
    """The C-level calls that carry the difference of two displays into the live container.

    Args:
        old, new: the displays before and after; fresh: what the new one evaluates to; live: what there is.
        was: evaluates a part of the old display, or raises.

    Returns:
        None where the two cannot be put side by side.
    """
    if isa(old, ast.Dict) and isa(new, ast.Dict) and type(live) is dict and type(fresh) is dict:
        return _merge_dict(old, new, fresh, live, was)
    if isa(old, ast.List) and isa(new, ast.List) and type(live) is list and type(fresh) is list:
        return _merge_list(old, new, fresh, live, was)
    if isa(old, ast.Set) and isa(new, ast.Set) and type(live) is set and type(fresh) is set:
        return _merge_set(old, new, fresh, live, was)
    return None


def _merge_dict(
    old: ast.Dict, new: ast.Dict, fresh: dict[Any, Any], live: dict[Any, Any], was: Callable[[ast.expr], Any]
) -> Merge | None:
    if None in old.keys or None in new.keys or len(fresh) != len(new.keys):
        return _merge_values(was(old), fresh, live)
    before = {ast.dump(k): (k, v) for k, v in zip(old.keys, old.values, strict=True) if k is not None}
    after = {ast.dump(k): v for k, v in zip(new.keys, new.values, strict=True) if k is not None}
    calls: list[tuple[Any, ...]] = []
    for mark, (key, value) in zip(after, fresh.items(), strict=True):
        if mark not in before:
            calls.append((dict.__setitem__, live, key, value))
            continue
        o, n = before[mark][1], after[mark]
        if ast.dump(o) == ast.dump(n) or (outline.shape(o) == outline.shape(n) and key in live):
            continue
        inner = merge(o, n, value, live.get(key), was) if key in live else None
        calls += inner if inner is not None else [(dict.__setitem__, live, key, value)]
    calls += [(dict.pop, live, was(k), None) for mark, (k, _) in before.items() if mark not in after]
    return iter(calls)


def _merge_values(before: dict[Any, Any], fresh: dict[Any, Any], live: dict[Any, Any]) -> Merge:
    """The same for displays that do not list all their keys (`{**base, 'b': 2}`)."""

    def same(key: Any) -> bool:
        one, other = before[key], fresh[key]
        return one is other or (type(one) is type(other) and is_immutable(one) and bool(one == other))

    calls: list[tuple[Any, ...]] = [
        (dict.__setitem__, live, key, value) for key, value in fresh.items() if key not in before or not same(key)
    ]
    calls += [(dict.pop, live, key, None) for key in before if key not in fresh]
    return iter(calls)


def _merge_list(
    old: ast.List, new: ast.List, fresh: list[Any], live: list[Any], was: Callable[[ast.expr], Any]
) -> Merge | None:
    if len(fresh) != len(new.elts) or any(isa(e, ast.Starred) for e in old.elts):
        return None
    before, after = [outline.shape(e) for e in old.elts], [outline.shape(e) for e in new.elts]
    rest = list(live)
    kept: dict[str, list[Any]] = {}
    head = [i for i, e in enumerate(old.elts) if i < len(rest) and _same(rest[i], e, was)]
    if head == list(range(len(old.elts))):  # what the source listed is where it was; run-time entries follow
        for mark, value in zip(before, rest, strict=False):
            kept.setdefault(mark, []).append(value)
        extra = rest[len(before) :]
    else:
        extra = rest
        for mark, element in zip(before, old.elts, strict=True):
            found = next((i for i, v in enumerate(extra) if _same(v, element, was)), None)
            if found is not None:
                kept.setdefault(mark, []).append(extra.pop(found))
        gone = set(before) - set(kept)
        if gone:  # the program took some out: they stay out
            made = [kept[m].pop(0) if kept.get(m) else v for m, v in zip(after, fresh, strict=True) if m not in gone]
            return iter([(list.__setitem__, live, slice(None), made + extra)])
    made = [kept[mark].pop(0) if kept.get(mark) else value for mark, value in zip(after, fresh, strict=True)]
    return iter([(list.__setitem__, live, slice(None), made + extra)])


def _merge_set(
    old: ast.Set, new: ast.Set, fresh: set[Any], live: set[Any], was: Callable[[ast.expr], Any]
) -> Merge | None:
    if any(isa(e, ast.Starred) for e in (*old.elts, *new.elts)):
        return None
    earlier = {was(e) for e in old.elts}
    return iter([(set.difference_update, live, earlier - fresh), (set.update, live, fresh - earlier)])


def _same(value: Any, element: ast.expr, was: Callable[[ast.expr], Any]) -> bool:
    try:
        expected = was(element)
    except Exception:  # noqa: BLE001 -- a part that cannot be evaluated again: we cannot say that it is the same
        return isa(element, (ast.Lambda, ast.Call, ast.Dict, ast.List, ast.Set))
    return value is expected or (type(value) is type(expected) and is_immutable(value) and value == expected)


def pairs_of(node: ast.stmt) -> dict[str, ast.expr]:
    """Name -> expression, for an assignment in which each name has one of its own (`a, b = 1, 2` too); else nothing."""
    found: dict[str, ast.expr] = {}
    if isa(node, ast.AnnAssign):
        if isa(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = node.value
    elif isa(node, ast.Assign):
        for target in node.targets:
            if isa(target, ast.Name):
                found[target.id] = node.value
            elif (
                isa(target, (ast.Tuple, ast.List))
                and isa(node.value, (ast.Tuple, ast.List))
                and len(target.elts) == len(node.value.elts)
                and all(isa(e, ast.Name) for e in target.elts)
                and not any(isa(e, ast.Starred) for e in node.value.elts)
            ):
                for t, v in zip(target.elts, node.value.elts, strict=True):
                    found[t.id] = v  # type: ignore[attr-defined]  # names, as was seen
            else:
                return {}
    return found


def safe_eval(expr: ast.expr, space: dict[str, Any], path: str) -> Any:
    """Evaluate part of a display, when it is plain enough to be evaluated twice."""
    if outline.is_plain(expr):
        return ast.literal_eval(expr)
    if is_pure(expr, lambda name: space.get(name, getattr(builtins, name, None))):
        return eval(compile(ast.Expression(expr), path, "eval"), space)  # noqa: S307 -- the user's own source
    raise ValueError("not plain")
