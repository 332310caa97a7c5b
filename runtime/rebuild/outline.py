"""Reading source: statements, what they bind and read, and their shape without the bodies of functions.

Pure: text and syntax trees in, values out. Only what changed is parsed: a file is kept as a list of top-level
statements with their lines, and an edit parses the lines between the first and the last statement that differ.
"""

from __future__ import annotations

import ast
import copy
import types
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAY_IMPORT = (ast.Import, ast.ImportFrom, ast.If, ast.Try, ast.With, ast.For, ast.While)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(eq=False, slots=True)
class Statement:
    """One statement of a module or a class body.

    `codes` are the code objects that it makes at its own level: those that live functions hold.
    """

    start: int
    end: int
    node: ast.stmt | None = None
    codes: list[types.CodeType] = field(default_factory=list)
    binds: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    links: bool = False  # it may import
    imported: frozenset[str] = frozenset()  # names that it imports
    _dump: str | None = None
    _definitions: dict[tuple[str, int], list[ast.AST]] | None = None
    places: list[Any] = field(default_factory=list)  # where its codes keep their first lines, once they have moved

    def moved(self, lines: int) -> Statement:
        made = Statement(self.start + lines, self.end + lines, None, self.codes, self.binds, self.reads, self.links)
        made.imported, made.places = self.imported, self.places
        return made

    @property
    def dump(self) -> str:
        assert self.node is not None
        if self._dump is None:
            self._dump = ast.dump(self.node)
        return self._dump

    @property
    def definitions(self) -> dict[tuple[str, int], list[ast.AST]]:
        """Functions and lambdas in it by the name and first line that their code objects have."""
        assert self.node is not None
        if self._definitions is None:
            self._definitions = by_code(self.node)
        return self._definitions

    def forget(self) -> None:
        """Let go of the tree: it is parsed again when the statement is edited; the text is enough."""
        self.node = self._dump = self._definitions = None


def first_line(node: ast.stmt) -> int:
    """The line a statement starts on, decorators included."""
    decorators = getattr(node, "decorator_list", None)
    return min([node.lineno, *(d.lineno for d in decorators)]) if decorators else node.lineno


def lines(text: str) -> list[str]:
    """The lines of a text as Python counts them: a form feed ends none."""
    return text.split("\n")


def parse(lines: list[str], above: int, below: int, path: str = "<unknown>") -> ast.Module:
    """Parse the lines from `above` to `below`, with the numbers that they have in the whole."""
    return ast.parse("\n" * above + "\n".join(lines[above:below]), path)


def statements(body: list[ast.stmt]) -> list[Statement]:
    return [
        Statement(
            first_line(node),
            node.end_lineno or node.lineno,
            node,
            binds=frozenset(bound(node)),
            reads=frozenset(read_now(node)),
            links=isinstance(node, _MAY_IMPORT),
            imported=frozenset(imported(node)),
        )
        for node in body
    ]


def spread(codes: list[types.CodeType], among: list[Statement]) -> None:
    """Give each statement the code objects that lie on its lines."""
    ordered = sorted(codes, key=lambda code: code.co_firstlineno)
    at = 0
    for statement in among:
        statement.codes = []
        while at < len(ordered) and ordered[at].co_firstlineno < statement.start:
            at += 1
        ahead = at
        while ahead < len(ordered) and ordered[ahead].co_firstlineno <= statement.end:
            statement.codes.append(ordered[ahead])
            ahead += 1


def children(code: types.CodeType) -> list[types.CodeType]:
    return [const for const in code.co_consts if isinstance(const, types.CodeType)]


def tree(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for child in children(code):
        yield from tree(child)


def shape(node: ast.AST) -> str:
    """The tree without the bodies of functions and lambdas: two statements of one shape differ only in those."""
    if isinstance(node, FUNCTIONS):
        parts = [
            node.name,
            shape(node.args),
            *map(shape, node.decorator_list),
            shape(node.returns) if node.returns else "",
        ]
        return f"def({','.join(parts)})"
    if isinstance(node, ast.Lambda):
        return f"lambda({shape(node.args)})"
    parts = []
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            parts.append(f"{name}={shape(value)}")
        elif isinstance(value, list):
            parts.append(f"{name}=[{','.join(shape(v) if isinstance(v, ast.AST) else repr(v) for v in value)}]")
        elif name not in {"kind", "type_comment"}:
            parts.append(f"{name}={value!r}")
    return f"{type(node).__name__}({','.join(parts)})"


def signature(node: Function) -> str:
    """What makes `def` differ besides decorators and body."""
    return f"{ast.dump(node.args)}->{ast.dump(node.returns) if node.returns else ''}"


def decorators(node: ast.stmt) -> str:
    return ",".join(map(ast.dump, getattr(node, "decorator_list", ())))


def key(node: ast.stmt) -> tuple[str, ...]:
    """What a statement is about, so that its old and its new text can be put side by side."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return ("def", name)
        case ast.ClassDef(name=name):
            return ("class", name)
        case ast.Assign(targets=targets):
            return ("assign", *sorted(names_in_targets(targets)))
        case ast.AnnAssign(target=target):
            return ("assign", *sorted(names_in_targets([target])))
        case ast.AugAssign(target=target):
            return ("augment", *sorted(names_in_targets([target])))
        case ast.If(test=test):
            return ("if", ast.dump(test))
        case ast.Try():
            return ("try", *sorted(bound(node)))
        case ast.For(target=target):
            return ("for", ast.dump(target))
        case ast.Import() | ast.ImportFrom() | ast.Delete():
            return (type(node).__name__, ast.dump(node))
        case _:
            return (type(node).__name__,)


def names_in_targets(targets: list[ast.expr]) -> set[str]:
    return {
        n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def imported(node: ast.AST) -> set[str]:
    """Names that a statement imports into its own scope."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return bound(node)
    if not isinstance(node, (*_MAY_IMPORT, ast.ExceptHandler)):
        return set()
    return {name for inner in ast.iter_child_nodes(node) for name in imported(inner)}


def bound(node: ast.AST) -> set[str]:
    """Names that running a statement binds in its own scope."""
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        match todo.pop():
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) as each:
                found.add(name)
                todo += each.decorator_list
            case ast.Lambda():
                pass
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                found.add(name)
            case ast.Import(names=aliases):
                found.update(a.asname or a.name.partition(".")[0] for a in aliases)
            case ast.ImportFrom(names=aliases):
                found.update(a.asname or a.name for a in aliases if a.name != "*")
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp() as each:
                todo += [n for n in ast.walk(each) if isinstance(n, ast.NamedExpr)]
            case ast.ExceptHandler() as each:
                todo += each.body  # its name is deleted again
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) as each:
                found.add(name)
                todo += ast.iter_child_nodes(each)
            case each:
                todo += ast.iter_child_nodes(each)
    return found


def read_now(node: ast.AST) -> set[str]:
    """Names that running a statement reads at once, `a.b` too: not those in the bodies of functions."""
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, FUNCTIONS):
            todo += [*each.decorator_list, each.args, *([each.returns] if each.returns else [])]
        elif isinstance(each, ast.Lambda):
            todo.append(each.args)
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            found.add(each.id)
        elif isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            found |= {each.value.id, f"{each.value.id}.{each.attr}"}
        else:
            todo += ast.iter_child_nodes(each)
    return found


def is_main_block(node: ast.AST) -> bool:
    """`if __name__ == "__main__":`, either way round."""
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test) and "__name__" in ast.dump(node.test)


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def flat(expr: ast.expr, names: Container[str]) -> ast.expr:
    """The expression with `a.b` as one name, where that is among the names."""

    class Flat(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
            if isinstance(node.value, ast.Name) and (dotted := f"{node.value.id}.{node.attr}") in names:
                return ast.copy_location(ast.Name(dotted, ast.Load()), node)
            return self.generic_visit(node)

    made: ast.expr = Flat().visit(copy.deepcopy(expr))
    return made


_DISPLAYS = (ast.Tuple, ast.List, ast.Set, ast.Dict)


def is_plain(node: ast.AST) -> bool:
    """A literal: evaluating it can run nothing of anybody's."""
    if isinstance(node, ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.UAdd, ast.Invert)) and isinstance(node.operand, ast.Constant)
    if isinstance(node, _DISPLAYS):
        return all(is_plain(n) for n in ast.iter_child_nodes(node) if not isinstance(n, ast.expr_context))
    return False


def definitions(node: ast.AST) -> Iterator[ast.AST]:
    """Functions and lambdas anywhere in a tree, in the order of the text."""
    found = [n for n in ast.walk(node) if isinstance(n, SCOPES)]
    return iter(sorted(found, key=lambda n: (n.lineno, n.col_offset)))


def by_code(node: ast.AST) -> dict[tuple[str, int], list[ast.AST]]:
    """Functions and lambdas by the name and first line that their code objects will have."""
    found: dict[tuple[str, int], list[ast.AST]] = {}
    for each in definitions(node):
        if isinstance(each, FUNCTIONS):
            found.setdefault((each.name, first_line(each)), []).append(each)
        else:
            found.setdefault(("<lambda>", each.lineno), []).append(each)  # type: ignore[attr-defined]  # a Lambda
    return found


def mangle(name: str, owner: str | None) -> str:
    """The name under which a class body stores `name`."""
    if owner is None or not name.startswith("__") or name.endswith("__") or not owner.strip("_"):
        return name
    return f"_{owner.lstrip('_')}{name}"


@dataclass(frozen=True, slots=True)
class Imported:
    """One name that a module takes from another: `from module import name as alias`."""

    module: str
    name: str
    alias: str


def absolute(module: str | None, level: int, package: str) -> str:
    if not level:
        return module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - level + 1])
    return f"{base}.{module}" if module else base


def imports(body: list[ast.stmt], package: str) -> tuple[list[Imported], list[str]]:
    """(names taken by `from … import`, `*` included; modules imported whole), function bodies left out."""
    taken: list[Imported] = []
    whole: list[str] = []
    todo: list[ast.AST] = list(body)
    while todo:
        each = todo.pop()
        if isinstance(each, ast.ImportFrom):
            module = absolute(each.module, each.level, package)
            taken += [Imported(module, a.name, a.asname or a.name) for a in each.names]
        elif isinstance(each, ast.Import):
            whole += [a.name for a in each.names]
        elif isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test):
            todo += each.body if isinstance(each.test, ast.UnaryOp) else each.orelse
        elif isinstance(each, (ast.If, ast.Try, ast.With, ast.For, ast.While, ast.ClassDef, ast.ExceptHandler)):
            todo += [n for n in ast.iter_child_nodes(each) if isinstance(n, (ast.stmt, ast.ExceptHandler))]
    return taken, whole


def futures(body: list[ast.stmt]) -> int:
    """Compiler flags of the `from __future__` imports."""
    import __future__

    flags = 0
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= getattr(__future__, alias.name).compiler_flag if hasattr(__future__, alias.name) else 0
    return flags
