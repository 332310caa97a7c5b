"""Classes whose fields repeat those of their bases: dataclasses, attrs classes, pydantic models, wherever they stand.

What their decorator or metaclass made of a class names the fields of its bases too. When those change, the statement
of the class runs again, and the live class takes in what it makes.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from . import native, sources
from .kinds import isa
from .plan import ModulePlan
from .report import Note

if TYPE_CHECKING:
    from .scopes import Scope
    from .shared import Edit

_FIELDS = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")


def note(edit: Edit, cls: type, made: type) -> None:
    """Remember a class whose statement ran as a whole, and whether those below have to follow."""
    edit.whole += [cls, made]
    if any(repr(vars(cls).get(name)) != repr(vars(made).get(name)) for name in _FIELDS):
        edit.fields += [cls, made]


def follow(edit: Edit) -> None:
    """Run the statements of the classes below those whose fields changed, and of those below these."""
    seen: set[type] = set()
    while edit.fields:
        cls = edit.fields.pop(0)
        for below in native.subclasses(cls):
            if below not in seen and below not in edit.whole and any(name in vars(below) for name in _FIELDS):
                seen.add(below)
                if not _run_again(edit, below):
                    why = f"{cls.__qualname__} has other fields, but the statement that made this class cannot be run again"
                    edit.kept.append(Note("kept", f"{below.__module__}.{below.__qualname__}", "", 0, why))


def _run_again(edit: Edit, cls: type) -> bool:
    from . import classes
    from .scopes import Scope as Made

    record = sources.records.get(cls.__module__)
    if record is None or record.module is None:
        return False
    text = next((p.text for p in edit.plans if p.name == record.name), record.text)
    scope: Scope = Made(edit, ModulePlan(record, text, record.path, []), record.module)
    body: list[ast.stmt] = [sources.node_of(s, text) for s in text.body]
    *path, name = cls.__qualname__.split(".")
    for part in path:
        node = _find(body, part)
        outer: Any = scope.get(part)
        if node is None or not isa(outer, type):
            return False
        scope, body = classes.enter(scope, outer, node), node.body
    node = _find(body, name)
    if node is None or scope.get(name) is not cls:
        return False
    classes.rebuild_whole(scope, cls, node, node)
    return True


def _find(body: list[ast.stmt], name: str) -> ast.ClassDef | None:
    """The last statement of a class, also under conditions."""
    for statement in reversed(body):
        if isa(statement, ast.ClassDef) and statement.name == name:
            return statement
        if isa(statement, (ast.If, ast.Try, ast.With)):
            inner = [s for s in ast.iter_child_nodes(statement) if isa(s, ast.stmt)]
            if (found := _find(inner, name)) is not None:
                return found
    return None
