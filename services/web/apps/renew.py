"""A new application object from edited modules.

An edit that adds a route runs its registration on the live application, but one that moves or removes a route cannot take the old
registration back, and some frameworks refuse new ones after the first request. So when anything changed that an application is registered
from, it is made again: the statements that construct and register (see slices.py) run once more, in the live modules, so that state and every other object in
them stay what they are. Registered are the live functions themselves. Whether it can be made is tried inside the edit, which is refused
where it cannot; it takes over after the edit.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from . import slices
from .frameworks import open_for_edits
from .slices import Construct, Other, Route, Slice

#: Texts of the editable modules by name, in the order of their import.
Texts = Mapping[str, str]

_NOT_FRAMEWORKS = {"builtins", "typing", "abc", "collections", "enum", "functools", "types"}


@dataclass
class Made:
    """A new application, and the names in modules that will hold what was made for it."""

    app: Any
    bindings: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    def bind(self) -> None:
        for namespace, values in self.bindings:
            namespace.update(values)


class Recipe:
    """How one application is made: its module, and those it is registered from.

    Args:
        module: name of the module, and `attribute` of the application in it. An attribute with a dot, or one that is no name of the
            module's own, cannot be made again; then `digest` is always the same.
    """

    def __init__(self, module: str, attribute: str) -> None:
        self.module, self.attribute = module, attribute

    # --- what it depends on

    def cut(self, texts: Texts) -> dict[str, Slice]:
        """The slices of all modules that have to do with applications, those that others register from first."""
        app = getattr(sys.modules.get(self.module), self.attribute, None)
        roots = frameworks_of(app)
        found: dict[str, Slice] = {}
        for name, text in texts.items():
            module = sys.modules.get(name)
            if module is None or not roots:
                continue
            piece = slices.cut(_parse(text), lambda n, m=module: _is_maker(vars(m).get(n), roots))  # type: ignore[misc]  # mypy cannot infer the default
            if piece.registers:
                found[name] = piece
        return _in_order(found)

    def digest(self, texts: Texts) -> bytes:
        """Changes when, and only when, something changed that the application is registered from."""
        seen: set[tuple[str, str]] = set()
        digest = hashlib.sha256()
        for name, piece in self.cut(texts).items():
            digest.update(f"module {name}\n".encode())
            for statement in piece.statements:
                for text in _texts_of(name, statement, texts, seen):
                    digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    # --- making it

    def make(self, texts: Texts) -> Made:
        """Make it again. The modules are left as they were; `Made.bind` puts the new objects into them.

        Raises:
            Exception: whatever a statement raises, with the traceback into the module's file.
        """
        pieces = self.cut(texts)
        modules = {name: vars(module) for name in texts if (module := sys.modules.get(name)) is not None}
        before = {name: dict(space) for name, space in modules.items()}
        try:
            for name, piece in pieces.items():
                for statement in piece.statements:
                    _run(statement, sys.modules[name], modules)
            app = modules[self.module][self.attribute]
            made = Made(app)
            for name, space in modules.items():
                changed = {k: v for k, v in space.items() if k not in before[name] or before[name][k] is not v}
                if changed:
                    made.bindings.append((space, changed))
        finally:
            for name, space in modules.items():
                _restore(space, before[name])
        return made


def frameworks_of(app: Any) -> frozenset[str]:
    """The packages that an application's class comes from."""
    roots = {cls.__module__.partition(".")[0] for cls in type(app).__mro__} if app is not None else set()
    return frozenset(roots - _NOT_FRAMEWORKS)


def _is_maker(value: Any, roots: frozenset[str]) -> bool:
    if isinstance(value, list | tuple) and value:
        return all(_is_maker(one, roots) for one in value)  # a table of routes, such as `urlpatterns`
    if value is None or isinstance(value, type | FunctionType | ModuleType):
        return False
    return not roots.isdisjoint(cls.__module__.partition(".")[0] for cls in type(value).__mro__)


_parsed: dict[str, ast.Module] = {}


def _parse(text: str) -> ast.Module:
    if text not in _parsed:
        if len(_parsed) > 500:
            _parsed.clear()
        _parsed[text] = ast.parse(text)
    return _parsed[text]


def _in_order(found: dict[str, Slice]) -> dict[str, Slice]:
    """Modules that construct what others use first."""
    homes = {
        id(vars(sys.modules[name]).get(statement.name)): name
        for name, piece in found.items()
        for statement in piece.statements
        if isinstance(statement, Construct)
    }
    ordered: dict[str, Slice] = {}

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in ordered or name in way:
            return
        for value in list(vars(sys.modules[name]).values()):
            inner = list(vars(value).values()) if isinstance(value, ModuleType) and value.__name__ in found else [value]
            for one in inner:
                home = homes.get(id(one))
                if home is not None and home != name:
                    visit(home, (*way, name))
        ordered[name] = found[name]

    # What is imported by others was begun later and ended earlier, so the last ones go first.
    for name in reversed(found):
        visit(name, ())
    return ordered


def _texts_of(module: str, statement: slices.Statement, texts: Texts, seen: set[tuple[str, str]]) -> list[str]:
    node = statement.node
    if isinstance(statement, Route) and statement.alone:
        found = [slices.signature(statement.node)]
        names = slices.annotated(statement.node)
    else:
        found = [ast.dump(node)]
        names = slices.called(node) | {n for n in slices.used(node) if _is_display(module, n)}
    return found + [text for name in sorted(names) for text in _definition_text(module, name, texts, seen)]


def _is_display(module: str, name: str) -> bool:
    return isinstance(vars(sys.modules[module]).get(name), list | tuple | dict | set)


def _definition_text(module: str, name: str, texts: Texts, seen: set[tuple[str, str]]) -> list[str]:
    """The text of a function or class of ours by its name in a module, and of what it calls."""
    value = vars(sys.modules[module]).get(name)
    if isinstance(value, list | tuple | dict | set):
        # What is registered from a display, such as a list of routes.
        nodes = [node for node in _parse(texts[module]).body if name in slices.targets(node)]
        return [ast.dump(node) for node in nodes]
    if not isinstance(value, type | FunctionType):
        return []
    home, own = value.__module__, value.__qualname__
    if home not in texts or (home, own) in seen:
        return []
    seen.add((home, own))
    for node in _parse(texts[home]).body:
        if isinstance(node, slices.Definition) and node.name == own:
            inner = sorted(slices.called(node) - {own})
            return [ast.dump(node)] + [text for call in inner for text in _definition_text(home, call, texts, seen)]
    return []


def _run(statement: slices.Statement, module: ModuleType, modules: Mapping[str, dict[str, Any]]) -> None:
    space = vars(module)
    file = module.__file__ or module.__name__
    match statement:
        case Construct(node, name):
            old = space.get(name)
            _execute(node, file, space, space)
            new = space[name]
            open_for_edits(new)
            for other in modules.values():
                for key in [key for key, value in other.items() if value is old and value is not None]:
                    other[key] = new
        case Route(node, outer, alone):
            live = space.get(node.name)
            if alone and isinstance(live, type | FunctionType):
                made = live
                for decorator in reversed(outer):
                    made = _evaluate(decorator, file, space)(made)
                if made is not live:
                    space[node.name] = made
            else:
                # The registered one is inside of what the name holds, so another is made, in the same globals.
                _execute(node, file, space, {})
        case Other(node):
            _execute(node, file, space, space)


def _execute(node: ast.stmt, file: str, space: dict[str, Any], local: dict[str, Any]) -> None:
    code = compile(ast.Module([node], []), file, "exec", dont_inherit=True)
    exec(code, space, local)  # noqa: S102 - the module's own statement, once more


def _evaluate(node: ast.expr, file: str, space: dict[str, Any]) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = eval(compile(ast.Expression(node), file, "eval", dont_inherit=True), space)  # noqa: S307 - as above
    return made


def _restore(space: dict[str, Any], before: dict[str, Any]) -> None:
    for key in [key for key in space if key not in before]:
        del space[key]
    space.update(before)
