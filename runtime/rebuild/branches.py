"""Statements under `if`: taken one by one while the condition says what it said, the other branch when it says otherwise."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from . import outline, plan, sources, values
from .plan import Step
from .transaction import MISSING

if TYPE_CHECKING:
    from .scopes import Scope


def holds(scope: Scope, test: ast.expr) -> bool | None:
    """What a condition says now; None where it cannot be asked without effects."""
    return _ask(scope, test, {}) if values.is_pure(test, scope.look) else None


def held(scope: Scope, test: ast.expr) -> bool | None:
    """What it said before this edit; None where that cannot be told."""
    now = holds(scope, test)
    names = scope.changed_names()
    if now is None or outline.read_now(test).isdisjoint(names):
        return now
    inside = f"{scope.qualname}." if scope.path else ""
    before = {name: scope.edit.changed.get((scope.plan.name, inside + name), (MISSING,))[0] for name in names}
    if any(before[name] is MISSING for name in outline.read_now(test) & before.keys()):
        return None
    return _ask(scope, test, before)


def _ask(scope: Scope, test: ast.expr, names: dict[str, Any]) -> bool | None:
    try:
        return bool(scope.evaluate(test, names))
    except Exception:  # noqa: BLE001 -- a condition that cannot be told by itself; running its statement will say why
        return None


def turn(scope: Scope, node: ast.If, step: Step | None = None) -> None:
    """The other branch of a condition applies: what it defines is taken, what the first had defined goes."""
    from .scopes import name_of

    if step is None:
        step = next((s for s in scope.last.values() if s.new is not None and s.new.node is node), None)
        step = step or Step("run", None, outline.statements([node])[0])
        step.kind = "run"
    scope.bind_all(scope.execute([node]), step)
    forget_other(scope, node)
    scope.edit.change("changed", scope, name_of(node), node.lineno)


def forget_other(scope: Scope, node: ast.If) -> None:
    """Drop the names that only the branch not taken binds."""
    now = holds(scope, node.test)
    if now is None:
        return
    rest = {name for s in (node.body if now else node.orelse) for name in outline.bound(s)}
    body = scope.path[-1].body if scope.path else [sources.node_of(s, scope.plan.text) for s in scope.plan.text.body]
    rest |= {name for s in body if s is not node for name in outline.bound(s)}
    for name in sorted(outline.bound(node) - rest):
        scope.drop(name, node.lineno)


def run(scope: Scope, step: Step, node: ast.If, before: ast.If) -> bool:
    """Take the difference of two `if` statements; False where the condition cannot be told, and the whole has to run."""
    if step.again or (now := holds(scope, node.test)) is None or (was := held(scope, before.test)) is None:
        return False
    if now != was:
        scope.exchange(step)
        turn(scope, node, step)
        return True
    assert step.old is not None
    assert step.new is not None
    old, new = (outline.statements(n.body if now else n.orelse) for n in (before, node))
    outline.spread(step.old.codes, old)
    outline.spread(step.new.codes, new)
    steps = plan.pair(old, new)
    for each in steps:
        each.kind = "body" if each.kind == "same" else each.kind
    outer = scope.last, scope.last_before
    scope.take(steps)
    scope.last, scope.last_before = outer
    return True
