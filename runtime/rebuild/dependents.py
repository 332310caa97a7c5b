"""Values computed from values that an edit changed: computed again where that is safe, else kept and reported."""

from __future__ import annotations

import ast
import types
from typing import TYPE_CHECKING, Any

from . import branches, functions, outline, values
from .kinds import isa
from .plan import Step
from .transaction import MISSING

if TYPE_CHECKING:
    from .scopes import Scope


def recompute(scope: Scope, node: ast.stmt, names: set[str]) -> None:
    """Compute again what an unchanged statement had made of the names that changed."""
    if isa(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        _assignment(scope, node, names)
    elif isa(node, outline.FUNCTIONS):
        _definition(scope, node, names)
    elif isa(node, ast.ClassDef):
        _class(scope, node, names)
    elif isa(node, ast.If) and not outline.is_main_block(node):
        if not outline.read_now(node.test).isdisjoint(names) and _turned(scope, node, names):
            return
        for inner in (*node.body, *node.orelse):
            if not outline.read_now(inner).isdisjoint(names):
                recompute(scope, inner, names)


def _turned(scope: Scope, node: ast.If, names: set[str]) -> bool:
    """Does a condition that did not change in the text say otherwise now? Then its other branch is taken."""
    holds, held = branches.holds(scope, node.test), branches.held(scope, node.test)
    changed = ", ".join(sorted(outline.read_now(node.test) & names))
    if holds is None or held is None:
        scope.edit.keep(
            scope, f"if {ast.unparse(node.test)[:40]}", node.lineno, f"{changed} changed, but asking may have effects"
        )
        return False
    if holds == held:
        return False
    taken = node.body if holds else node.orelse
    if not all(isa(s, _DEFINING) for s in taken):
        why = f"{changed} changed, but the other branch does more than define"
        scope.edit.keep(scope, f"if {ast.unparse(node.test)[:40]}", node.lineno, why)
        return True
    branches.turn(scope, node)
    return True


_DEFINING = (*outline.FUNCTIONS, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Pass)


def _assignment(scope: Scope, node: ast.Assign | ast.AnnAssign, names: set[str]) -> None:
    for name, expr in values.pairs_of(node).items():
        reads = outline.read_now(expr)
        if reads.isdisjoint(names):
            continue
        live = scope.get(name)
        if live is MISSING:
            continue
        changed = ", ".join(sorted(reads & names))
        outer = scope.outer_names(node, name)
        if isa(expr, ast.Name) and scope.untouched(name):
            scope.bind(name, outer[expr.id] if expr.id in outer else scope.look(expr.id))
            scope.edit.change("recomputed", scope, name, node.lineno)
        elif not scope.untouched(name):
            scope.edit.keep(scope, name, node.lineno, f"{changed} changed, but it was set at run time")
        elif not values.is_immutable(live):
            scope.edit.keep(scope, name, node.lineno, f"{changed} changed, but it is mutable and may hold more by now")
        elif not values.is_pure(expr, scope.look):
            scope.edit.keep(scope, name, node.lineno, f"{changed} changed, but computing it again may have effects")
        else:
            scope.bind(name, scope.evaluate(expr, outer))
            scope.edit.change("recomputed", scope, name, node.lineno)


def _definition(scope: Scope, node: outline.Function, names: set[str]) -> None:
    value = scope.get(node.name)
    if value is MISSING:
        return
    reads = {name for decorator in node.decorator_list for name in outline.read_now(decorator)}
    if changed := reads & names:
        why = f"{', '.join(sorted(changed))} changed, but a decorator is a call and may have effects"
        scope.edit.keep(scope, node.name, node.lineno, why)
    defaults, keyword, annotations = functions.parameters(node)
    for function in functions.reach(value):
        if not _is_made_by(function.__code__, node):
            continue
        live = function.__defaults__ or ()
        if len(live) == len(defaults):
            made = tuple(_again(scope, expr, names, have) for expr, have in zip(defaults.values(), live, strict=True))
            words = {
                n: _again(scope, keyword[n], names, have) if n in keyword else have
                for n, have in (function.__kwdefaults__ or {}).items()
            }
            if any(a is not b for a, b in zip(made, live, strict=True)) or any(
                words[n] is not have for n, have in (function.__kwdefaults__ or {}).items()
            ):
                functions.set_defaults(scope.tx, function, made or None, words or None)
                scope.edit.change("recomputed", scope, node.name, node.lineno)
        known = function.__annotations__
        fresh = {
            n: _again(scope, e, names, known[n])
            for n, e in annotations.items()
            if n in known and not isa(known[n], str) and not scope.strings()[0]
        }
        if any(known[n] is not v for n, v in fresh.items()):
            functions.set_annotations(scope.tx, function, {**known, **fresh})


def _is_made_by(code: types.CodeType, node: outline.Function) -> bool:
    """By name and parameters: its lines may be those of the old text or of the new one."""
    given = node.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return code.co_name == node.name and list(code.co_varnames[: len(names)]) == names


def _again(scope: Scope, expr: ast.expr, names: set[str], have: Any) -> Any:
    if outline.read_now(expr).isdisjoint(names) or not values.is_pure(expr, scope.look):
        return have
    if scope.was_value_of(expr, have):
        return scope.look(expr.id)  # type: ignore[attr-defined]  # a bare name
    if not values.is_immutable(have):
        return have
    return scope.evaluate(expr)


def _class(scope: Scope, node: ast.ClassDef, names: set[str]) -> None:
    from . import classes

    cls = scope.get(node.name)
    if not isa(cls, type):
        return
    header = [*node.bases, *(k.value for k in node.keywords)]
    if any(not outline.read_now(expr).isdisjoint(names) for expr in header) and _bases_differ(scope, node, cls):
        classes.rebuild_whole(scope, cls, node, node)
        return
    fields = [s for s in node.body if isa(s, ast.AnnAssign) and not outline.read_now(s).isdisjoint(names)]
    if fields and ("__dataclass_fields__" in vars(cls) or "__attrs_attrs__" in vars(cls)):
        cls = classes.rebuild_whole(scope, cls, node, node) or cls  # its methods hold the defaults
    inner = classes.enter(scope, cls, node)
    for statement in outline.statements(node.body):
        inner.depend(Step("same", statement, statement))
    known = vars(cls).get("__annotations__")
    if isa(known, dict) and not scope.strings()[0]:
        fresh = {
            each.target.id: _again(inner, each.annotation, names, known[each.target.id])
            for each in node.body
            if isa(each, ast.AnnAssign)
            and isa(each.target, ast.Name)
            and each.target.id in known
            and not isa(known[each.target.id], str)
        }
        fresh = {n: v for n, v in fresh.items() if v is not known[n]}
        if fresh:
            before = dict(known)
            scope.tx.stage((dict.update, known, fresh), (dict.update, known, before))


def _bases_differ(scope: Scope, node: ast.ClassDef, cls: type) -> bool:
    now = [scope.evaluate(b) for b in node.bases if not isa(b, ast.Starred)]
    known = cls.__dict__.get("__orig_bases__", cls.__bases__)
    return any(isa(b, (type, types.GenericAlias)) and b not in known for b in now)
