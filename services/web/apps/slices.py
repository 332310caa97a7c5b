"""Reading a module for what makes an application: which statements construct it and register with it. Pure.

A *maker* is a name that holds an application, a router, a blueprint or the like. Of a module's top-level statements these count:

    construct   `app = FastAPI()`, `router = APIRouter()`, `api = Api(app)`: binds a maker by a call
    route       a function or class under a decorator that mentions a maker: `@app.get("/")`
    other       anything else that mentions a maker: `app.include_router(router)`, `if debug: app.mount(...)`
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Construct:
    node: ast.stmt
    name: str


@dataclass(frozen=True)
class Route:
    """A definition to be registered.

    Attributes:
        outer: the decorators that mention a maker and stand outside of all others, outermost first.
        alone: whether every decorator that mentions one is among them, and nothing else has the name: then what the
            name holds is what was registered, and can be registered again.
    """

    node: Definition
    outer: tuple[ast.expr, ...]
    alone: bool


@dataclass(frozen=True)
class Other:
    node: ast.stmt


Statement = Construct | Route | Other


@dataclass
class Slice:
    """What one module has to do with applications, in order."""

    statements: list[Statement] = field(default_factory=list)
    makers: set[str] = field(default_factory=set)

    @property
    def registers(self) -> bool:
        return bool(self.statements)


def cut(tree: ast.Module, is_maker: Callable[[str], bool]) -> Slice:
    """The slice of a module.

    Args:
        is_maker: whether what a module-level name holds now is known to be a maker.
    """
    makers = {name for name in _bound(tree) if is_maker(name)}
    while grown := {name for node in tree.body if (name := _constructs(node)) and mentions(node, makers)} - makers:
        makers |= grown
    counts: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, Definition):
            counts[node.name] = counts.get(node.name, 0) + 1
    found = Slice(makers=makers)
    for node in tree.body:
        statement = _statement(node, makers, counts)
        if statement is not None:
            found.statements.append(statement)
    return found


def _statement(node: ast.stmt, makers: set[str], counts: dict[str, int]) -> Statement | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return None
    if (name := _constructs(node)) in makers:
        return Construct(node, str(name))
    if isinstance(node, Definition):
        concerned = [d for d in node.decorator_list if mentions(d, makers)]
        if not concerned:
            return None
        outer = []
        for decorator in node.decorator_list:
            if decorator not in concerned:
                break
            outer.append(decorator)
        return Route(node, tuple(outer), len(outer) == len(concerned) and counts[node.name] == 1)
    if _is_main_guard(node) or not mentions(node, makers):
        return None
    return Other(node)


def _constructs(node: ast.stmt) -> str | None:
    """The name that an assignment binds to what a call, or a display of calls, gives."""
    target: ast.expr
    match node:
        case ast.Assign(targets=[target], value=value):
            pass
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            pass
        case _:
            return None
    if not isinstance(target, ast.Name):
        return None
    return target.id if any(isinstance(part, ast.Call) for part in ast.walk(value)) else None


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that top-level assignments and imports bind."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif name := _constructs(node):
            yield name


def mentions(node: ast.AST, names: Collection[str]) -> bool:
    """Whether a statement uses one of the names when it runs; what stands inside of functions runs later."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Name) and part.id in names:
            return True
        if part is not node and isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(getattr(part, "decorator_list", []))
            continue
        waiting.extend(ast.iter_child_nodes(part))
    return False


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and mentions(node.test, {"__name__"})


def used(node: ast.AST) -> set[str]:
    """Every name in a piece of code."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def called(node: ast.AST) -> set[str]:
    """Names that a piece of code calls, inside of functions too."""
    calls = (part.func for part in ast.walk(node) if isinstance(part, ast.Call))
    return {name for call in calls for name in used(call)}


def targets(node: ast.stmt) -> set[str]:
    """The names that an assignment binds, or adds to."""
    match node:
        case ast.Assign(targets=found):
            return {part.id for target in found for part in ast.walk(target) if isinstance(part, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.AugAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=name)))):
            return {name}
        case _:
            return set()


def signature(node: Definition) -> str:
    """A definition without its body: a change of it is a change of what was registered."""
    if isinstance(node, ast.ClassDef):
        return ast.dump(node)
    returns = ast.dump(node.returns) if node.returns else ""
    decorators = [ast.dump(d) for d in node.decorator_list]
    return f"{type(node).__name__} {node.name} {decorators} {ast.dump(node.args)} {returns}"


def annotated(node: Definition) -> set[str]:
    """Names in the annotations and defaults of a function, which frameworks read when it is registered."""
    if isinstance(node, ast.ClassDef):
        return set()
    return used(node.args) | (used(node.returns) if node.returns else set())
