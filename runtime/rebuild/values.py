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
    gone = [was(k) for mark, (k, _) in before.items() if mark not in after]
    calls: list[tuple[Any, ...]] = []
    for mark, (key, value) in zip(after, fresh.items(), strict=True):
        earlier = _value(before[mark][0], was) if mark in before else _UNKNOWN
        if earlier is not _UNKNOWN and not _alike(earlier, key):  # the same name for another key
            gone.append(earlier)
        elif mark in before and key in live:
            calls += _merge_entry(before[mark][1], after[mark], value, live, key, was)
            continue
        elif mark in before and ast.dump(before[mark][1]) == ast.dump(after[mark]):
            continue  # the program took it out
        calls.append((dict.__setitem__, live, key, value))
    return iter([*((dict.pop, live, key, None) for key in gone if key not in fresh), *calls])


def _merge_entry(
    old: ast.expr, new: ast.expr, value: Any, live: dict[Any, Any], key: Any, was: Callable[[ast.expr], Any]
) -> Merge:
    """The same for the value of a key that is in both displays."""
    same = outline.shape(old) == outline.shape(new)
    if same and not any(isa(each, ast.Name) for each in ast.walk(new)):
        return iter(())
    if (inner := merge(old, new, value, live[key], was)) is not None:
        return inner
    if same and not _replaced(live[key], _value(old, was), value):
        return iter(())
    return iter([(dict.__setitem__, live, key, value)])


def _merge_values(before: dict[Any, Any], fresh: dict[Any, Any], live: dict[Any, Any]) -> Merge:
    """The same for displays that do not list all their keys (`{**base, 'b': 2}`)."""
    calls: list[tuple[Any, ...]] = [
        (dict.__setitem__, live, key, value)
        for key, value in fresh.items()
        if key not in before or not _alike(before[key], value)
    ]
    calls += [(dict.pop, live, key, None) for key in before if key not in fresh]
    return iter(calls)


def _merge_list(
    old: ast.List, new: ast.List, fresh: list[Any], live: list[Any], was: Callable[[ast.expr], Any]
) -> Merge | None:
    if len(fresh) != len(new.elts) or any(isa(e, ast.Starred) for e in old.elts):
        return None
    before, after = [outline.shape(e) for e in old.elts], [outline.shape(e) for e in new.elts]
    earlier = [_UNKNOWN if isa(e, tuple(_DISPLAYS)) else _value(e, was) for e in old.elts]
    rest = list(live)
    kept: dict[str, list[tuple[Any, Any]]] = {}  # by shape: what is there, and what the source had put there
    if len(rest) >= len(before) and all(map(_may_be, rest, earlier, old.elts)):
        for mark, value, known in zip(before, rest, earlier, strict=False):  # run-time entries follow
            kept.setdefault(mark, []).append((value, known))
        del rest[: len(before)]
    else:
        order = sorted(range(len(before)), key=lambda i: earlier[i] is _UNKNOWN)  # those that we can tell take first
        for i in order:
            found = next((j for j, v in enumerate(rest) if _may_be(v, earlier[i], old.elts[i])), None)
            if found is not None:
                kept.setdefault(before[i], []).append((rest.pop(found), earlier[i]))
    gone = set(before) - set(kept)  # the program took them out: they stay out
    made = []
    for mark, value in zip(after, fresh, strict=True):
        if kept.get(mark):
            there, known = kept[mark].pop(0)
            made.append(value if _replaced(there, known, value) else there)
        elif mark not in gone:
            made.append(value)
    return iter([(list.__setitem__, live, slice(None), made + rest)])


def _merge_set(
    old: ast.Set, new: ast.Set, fresh: set[Any], live: set[Any], was: Callable[[ast.expr], Any]
) -> Merge | None:
    if any(isa(e, ast.Starred) for e in (*old.elts, *new.elts)):
        return None
    earlier = {was(e) for e in old.elts}
    return iter([(set.difference_update, live, earlier - fresh), (set.update, live, fresh - earlier)])


_UNKNOWN = object()
_DISPLAYS = {ast.Dict: dict, ast.List: list, ast.Set: set}


def _value(expr: ast.expr, was: Callable[[ast.expr], Any]) -> Any:
    """What a part of the old display had put there; _UNKNOWN where evaluating it again might not tell."""
    try:
        return was(expr)
    except Exception:  # noqa: BLE001 -- whatever it raises, we cannot say
        return _UNKNOWN


def _alike(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and is_immutable(one) and bool(one == other))


def _may_be(value: Any, known: Any, expr: ast.expr) -> bool:
    """Is an entry what the expression of the old display had put there?"""
    if known is _UNKNOWN:
        return not isa(expr, tuple(_DISPLAYS)) or type(value) is _DISPLAYS[type(expr)]
    return _alike(value, known)


def _replaced(there: Any, known: Any, value: Any) -> bool:
    """Does an entry that is as the old source had it mean something else by now?"""
    return known is not _UNKNOWN and _alike(there, known) and not _alike(known, value)


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
