"""One scope of an edit: the globals of a module, or the body of a class in it. Where statements take effect.

The steps of a plan are taken in the order of the new text. What can be staged is staged; what must run runs with the
module's own globals, but binds into a scratch namespace first, so that a definition is unified with the object that
bore its name before anybody sees it.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import branches, functions, native, outline, plan, sources, values
from .functions import Change, FunctionType
from .kinds import isa
from .plan import ModulePlan, Step
from .report import Note
from .shared import Edit
from .transaction import MISSING, Transaction

_COMPOUND = (ast.If, ast.Try, ast.For, ast.While, ast.With, ast.Match, ast.AsyncFor, ast.AsyncWith, ast.Delete)
_CAPTURE = "_midair_capture"
_IMPLIED: dict[str, Callable[[Any], Any]] = {  # what a class statement makes of these by itself
    "__new__": staticmethod,
    "__init_subclass__": classmethod,
    "__class_getitem__": classmethod,
}


@dataclass(eq=False)
class Scope:
    """The globals of a module, or with `cls` the body of a class."""

    edit: Edit
    plan: ModulePlan
    module: types.ModuleType
    cls: type | None = None
    path: tuple[ast.ClassDef, ...] = ()
    canonical: dict[types.CodeType, types.CodeType] = field(default_factory=dict)
    last: dict[str, Step] = field(default_factory=dict)  # who has the last word on a name now
    last_before: dict[str, Step] = field(default_factory=dict)  # and who had it

    def __post_init__(self) -> None:
        self.edit.scopes.append(self)

    # -- names --------------------------------------------------------------------------------------------------

    @property
    def space(self) -> dict[str, Any]:
        body = self.plan.record.body
        return vars(self.module) if body is None else body

    def _shown(self, name: str, old: Any) -> bool:
        """Does the module that took the place of the body's own show what that had?"""
        shown = self.plan.record.body is not None and isa(self.module, types.ModuleType)
        return shown and self.tx.get(vars(self.module), name) is old

    @property
    def tx(self) -> Transaction:
        return self.edit.tx

    def stored(self, name: str) -> str:
        return outline.mangle(name, self.path[-1].name) if self.path else name

    def get(self, name: str) -> Any:
        if self.cls is not None:
            return self.tx.get_attr(self.cls, self.stored(name))
        return self.tx.get(self.space, name)

    def look(self, name: str) -> Any:
        """What a name means in this scope."""
        for value in (self.get(name), self.tx.get(self.space, name)):
            if value is not MISSING:
                return value
        return getattr(builtins, name, None)

    def bind(self, name: str, value: Any) -> None:
        old = self.get(name)
        if self.cls is not None:
            self.tx.set_attr(self.cls, self.stored(name), value)
            self.edit.noted.append(self.cls)
        else:
            if self._shown(name, old):
                self.tx.set_item(vars(self.module), name, value)
            self.tx.set_item(self.space, name, value)
        if old is not value:
            self._differs(name, old, value)

    def _differs(self, name: str, old: Any, value: Any) -> None:
        key = (self.plan.name, f"{self.qualname}.{name}" if self.path else name)
        first = self.edit.changed.get(key, (old, None))[0]
        self.edit.changed[key] = (first, value)

    def delete(self, name: str) -> None:
        if self.cls is not None:
            self.tx.del_attr(self.cls, self.stored(name))
        else:
            old = self.get(name)
            if self._shown(name, old):
                self.tx.del_item(vars(self.module), name)
            self.tx.del_item(self.space, name)
            if old is not MISSING:
                self._differs(name, old, MISSING)

    def qualify(self, name: str) -> str:
        return ".".join([self.plan.name, *(c.name for c in self.path), name])

    @property
    def qualname(self) -> str:
        return ".".join(c.name for c in self.path)

    @property
    def put(self) -> dict[str, int]:
        record = self.plan.record
        return record.members.get(self.qualname, {}) if self.path else record.put

    def untouched(self, name: str) -> bool:
        """Does the name still hold what its statement put there, or what this edit made of that?"""
        key = (self.plan.name, f"{self.qualname}.{name}" if self.path else name)
        before, _ = self.edit.changed.get(key, (self.get(name), None))
        return self.put.get(self.stored(name)) == id(before)

    # -- running ------------------------------------------------------------------------------------------------

    def evaluate(self, expr: ast.expr, names: dict[str, Any] | None = None) -> Any:
        """The value of a part of a definition: a default, an annotation, an entry of a display."""
        if outline.is_plain(expr):
            return ast.literal_eval(expr)
        self.tx.flush()
        self.tx.watch(self.space)
        given: ast.stmt = ast.Assign([ast.Name(_CAPTURE, ast.Store())], expr)
        code = self.plan.text.compile([ast.fix_missing_locations(ast.copy_location(given, expr))], self.plan.path)
        local = dict(vars(self.cls)) if self.cls is not None else {}
        if not outline.read_now(expr).isdisjoint(local):
            for name in self.bound_now() - self._bound_before(expr):  # a name of the module may be meant
                local.pop(self.stored(name), None)
        local.update(names or {})
        exec(self.same_codes(code), self.space, local)  # noqa: S102 -- the user's own source
        return local[_CAPTURE]

    def same_codes(self, code: types.CodeType) -> types.CodeType:
        """The same code, with the code objects that are in the module's tree in the place of equal ones."""
        consts = tuple(
            self.canonical.get(c) or self.same_codes(c) if isa(c, types.CodeType) else c for c in code.co_consts
        )
        if all(a is b for a, b in zip(consts, code.co_consts, strict=True)):
            return code
        return code.replace(co_consts=consts)

    def execute(self, nodes: list[ast.stmt]) -> dict[str, Any]:
        """Run statements in this scope; returns what they bound, which nobody else has seen yet."""
        if self.path:
            return self._execute_in_class(nodes)
        code = self.same_codes(self.plan.text.compile(nodes, self.plan.path))
        if any(isa(n, _COMPOUND) for n in nodes):
            self.tx.flush()
            before = dict(self.space)
            self.tx.run(code, self.space)
            bound = {n: v for n, v in self.space.items() if before.get(n, MISSING) is not v}
            for name in bound:  # seen already; put back until it has been unified
                if name in before:
                    self.space[name] = before[name]
                else:
                    del self.space[name]
            for name in before.keys() - self.space.keys():
                self.edit.changed.setdefault((self.plan.name, name), (before[name], MISSING))
            return bound
        hidden = self._still_builtin(nodes)
        scratch: dict[str, Any] = dict(hidden)
        self.tx.run(code, self.space, scratch)
        for name in [n for n, value in hidden.items() if scratch.get(n) is value]:
            del scratch[name]
        if (made := scratch.pop("__annotations__", None)) is not None:
            known = self.space.setdefault("__annotations__", {})
            self.tx.did(dict.update, known, dict(known))
            known.update(made)
        return scratch

    def _still_builtin(self, nodes: list[ast.stmt]) -> dict[str, Any]:
        """Builtins that statements read by a name which the module binds, but only further down."""
        known = vars(builtins).keys() & self.space.keys()
        reads = {n for node in nodes for n in outline.read_now(node) & known if not n.startswith("__")}
        above = [s for s in self.plan.text.body if s.start < outline.first_line(nodes[0])] if reads else []
        if any(s.links and not s.binds for s in above):
            return {}  # a star import
        return {name: getattr(builtins, name) for name in reads if not any(name in s.binds for s in above)}

    def _execute_in_class(self, nodes: list[ast.stmt]) -> dict[str, Any]:
        cls = self.cls
        assert cls is not None
        caught: dict[str, Any] = {}
        self.tx.flush()
        later = self.bound_now() - self._bound_before(nodes[0])  # a name of the module may be meant
        hidden = {"__dict__", "__weakref__", "__annotations__", *map(self.stored, later)}
        given = {n: v for n, v in vars(cls).items() if n not in hidden}

        depth = len(self.path)
        entered = 0

        def prepare(*_: object) -> dict[str, Any]:
            nonlocal entered
            entered += 1
            return dict(given) if entered == depth else {_CAPTURE: capture}

        def capture(_name: str, _bases: object, body: dict[str, Any]) -> None:
            nonlocal entered
            if entered == depth:
                caught.update(body)
            entered = 0  # the classes around it are of no interest

        capture.__prepare__ = prepare  # type: ignore[attr-defined]  # how a metaclass gives the namespace
        inner: list[ast.stmt] = nodes
        for node in reversed(self.path):
            keyword = ast.keyword("metaclass", ast.Name(_CAPTURE, ast.Load()))
            made: ast.stmt = ast.ClassDef(node.name, [], [keyword], inner, [])
            inner = [ast.fix_missing_locations(ast.copy_location(made, node))]
        code = self.plan.text.compile(inner, self.plan.path)
        scratch: dict[str, Any] = {_CAPTURE: capture}
        self.tx.run(self.same_codes(code), self.space, scratch)
        if isa(cell := caught.pop("__classcell__", None), types.CellType):
            cell.cell_contents = cls
        for name in given.keys() - caught.keys():
            self.delete(name)
        return {
            n: _IMPLIED[n](v) if n in _IMPLIED and isa(v, FunctionType) else v
            for n, v in caught.items()
            if given.get(n, MISSING) is not v and n not in {"__module__", "__qualname__"}
        }

    # -- steps --------------------------------------------------------------------------------------------------

    def take(self, steps: list[Step]) -> None:
        """Let the steps take effect, in their order."""
        self.survey(steps)
        for step in steps:
            self.take_one(step)
        self.remove([s for s in steps if s.kind == "gone"])

    def survey(self, steps: list[Step]) -> None:
        self.last, self.last_before = plan.last_binders(steps), plan.last_binders_before(steps)

    def take_one(self, step: Step) -> None:
        if step.kind == "body":
            self.exchange(step)
            self.depend(step)
        elif step.kind == "run":
            self._run(step)
        elif step.kind == "same":
            self.depend(step)

    def _rename(self, step: Step, new: str) -> bool:
        """The object of a definition goes on under its new name, if it is still what the definition made."""
        live = self.get(step.was)
        if live is MISSING or not isa(live, (type, FunctionType)) or live.__name__ != step.was:
            return False
        tx = self.tx
        self.bind(new, live)
        self.delete(step.was)
        self.edit.change("renamed", self, f"{step.was} -> {new}", step.new.start if step.new else 0)
        qualname = f"{self.qualname}.{new}" if self.path else new
        if isa(live, FunctionType):
            tx.stage((native.SET_NAME, live, new), (native.SET_NAME, live, live.__name__))
            functions.set_qualname(tx, live, qualname)
            return True
        kind = vars(type)
        tx.stage((kind["__name__"].__set__, live, new), (kind["__name__"].__set__, live, live.__name__))
        before = live.__qualname__
        tx.stage((kind["__qualname__"].__set__, live, qualname), (kind["__qualname__"].__set__, live, before))
        self.plan.record.members[qualname] = self.plan.record.members.pop(before, {})
        for function in functions.reach(live, 2):
            if function.__qualname__.startswith(before + "."):
                functions.set_qualname(tx, function, qualname + function.__qualname__[len(before) :])
        return True

    def _run(self, step: Step) -> None:
        node = step.node
        self._take_up(step)
        if step.was and not self._rename(step, node.name):  # type: ignore[attr-defined]  # a definition
            step.was = ""
        if outline.is_main_block(node):
            self.exchange(step)
        elif isa(node, outline.FUNCTIONS):
            self._run_function(step, node)
        elif isa(node, ast.ClassDef):
            from . import classes

            classes.run(self, step, node)
        elif isa(node, ast.If) and isa(step.before, ast.If) and branches.run(self, step, node, step.before):
            pass
        elif isa(node, (ast.Assign, ast.AnnAssign)):
            self._run_assignment(step, node)
        elif outline.is_docstring(node) and step.new is not None and step.new.start == node.lineno:
            self._run_docstring(step)
        else:
            self.exchange(step)
            self.bind_all(self.execute([node]), step)
            if isa(node, ast.If):
                branches.forget_other(self, node)
            if isa(node, ast.Expr):
                self.edit.change("ran", self, ast.unparse(node)[:40], node.lineno)
        if step.old is not None:  # names that the statement bound and binds no longer
            rest = plan.names_kept(self.plan.text) if not self.path else self.bound_now()
            for name in step.old.binds - {step.was} - (step.new.binds if step.new else frozenset()) - rest:
                self.drop(name, node.lineno)

    def _bound_before(self, node: ast.stmt | ast.expr) -> set[str]:
        """Names that the class body binds above a statement: those that it binds itself do not exist yet."""
        above = itertools.takewhile(lambda each: each.lineno < node.lineno, self.path[-1].body)
        return {name for each in above for name in outline.bound(each)}

    def outer_names(self, node: ast.stmt, name: str) -> dict[str, Any]:
        """For `x = x` in a class body: what the module calls x, unless the body has bound it before."""
        if not self.path or name in self._bound_before(node):
            return {}
        found = self.tx.get(self.space, name)
        return {} if found is MISSING else {name: found}

    def bound_now(self) -> set[str]:
        return {name for statement in self.path[-1].body for name in outline.bound(statement)}

    def _run_docstring(self, step: Step) -> None:
        assert isa(step.node, ast.Expr)
        if self.path and "__doc__" in self.bound_now():
            return  # the body defines it
        if self.path or (self.plan.text.body and self.plan.text.body[0] is step.new):
            self.bind("__doc__", ast.literal_eval(step.node.value))

    def _take_up(self, step: Step) -> None:
        """A definition that was away is back: what it had made goes on too."""
        after = step.new.definitions if step.new is not None else {}
        for old, new in self.edit.returned.get(id(step), ()):
            for function in self.edit.holders.of(old):
                if functions.runs(function, old):
                    change = Change(old, new, None, _node_of(after, new), *self.strings())
                    functions.apply(self.tx, function, change, self._evaluator(step, new), self._supplier(function))

    def exchange(self, step: Step, *, made_again: bool = False) -> None:
        """New code for the functions that the old text of a statement has made; nothing of it runs.

        Args:
            made_again: the class around it is, after this.
        """
        if step.old is None or step.new is None:
            return
        before = step.old.definitions if step.old.node is not None else {}
        after = step.new.definitions
        named: dict[str, int] = {}
        for old, new in plan.step_codes(step):
            differs = new.co_flags & inspect.CO_OPTIMIZED and not plan.same_code(old, new)
            for function in self.edit.holders.of(old):
                if not functions.runs(function, old):
                    continue
                documented = function.__doc__
                nodes = _node_of(before, old), _node_of(after, new)
                again = self._differs_now if self.edit.changed else None
                change = Change(old, new, *nodes, *self.strings(), again, made_again)
                why = functions.apply(self.tx, function, change, self._evaluator(step, new), self._supplier(function))
                if why:
                    self.edit.kept.append(Note("kept", self._named(new), self.plan.path, new.co_firstlineno, why))
                elif differs:
                    self._document_wrappers(step, function, documented, functions.documentation(new))
                    asked = {
                        "__hash__": self.edit.rehash,
                        "__eq__": self.edit.rehash,
                        "__subclasshook__": self.edit.touched,
                    }
                    if new.co_name in asked and (owner := self._class_of(function)) is not None:
                        asked[new.co_name].append(owner)
            if differs and not new.co_name.startswith("<"):
                named.setdefault(self._named(new), new.co_firstlineno)
            elif differs:
                named.setdefault(self.qualify(name_of(step.node)), step.new.start)
        for name, line in named.items():
            self.edit.changes.append(Note("changed", name, self.plan.path, line))
        if named:
            self._clear_caches(step)

    def _named(self, code: types.CodeType) -> str:
        """A function as its module knows it: the outermost one, for those inside."""
        return f"{self.plan.name}.{code.co_qualname.partition('.<locals>')[0]}"

    def _differs_now(self, expr: ast.expr, value: Any) -> bool:
        """Does an expression read what this edit changed, and may it be computed again?"""
        if outline.read_now(expr).isdisjoint(self.changed_names()):
            return False
        if self.was_value_of(expr, value):
            return True
        return values.is_immutable(value) and values.is_pure(expr, self.look)

    def was_value_of(self, expr: ast.expr, value: Any) -> bool:
        """Is the expression a bare name, and the value what it stood for before this edit?"""
        if not isa(expr, ast.Name):
            return False
        before, now = self._change_of(expr.id)
        return before is value and now is not MISSING

    def strings(self) -> tuple[bool, bool]:
        """Are annotations kept as strings, and is that new?"""
        bit = __future__.annotations.compiler_flag
        now, before = self.plan.text.flags & bit, self.plan.record.text.flags & bit
        return bool(now), now != before

    def _document_wrappers(self, step: Step, function: FunctionType, old: str | None, new: str | None) -> None:
        """What functools.wraps had copied from a function."""
        if old == new or step.new is None:
            return
        for name in step.new.binds:
            for outer in functions.reach(self.get(name)):
                if outer.__dict__.get("__wrapped__") is function and outer.__doc__ == old:
                    self.tx.stage((native.SET_DOC, outer, new), (native.SET_DOC, outer, old))

    def _clear_caches(self, step: Step) -> None:
        assert step.new is not None
        for name in step.new.binds:
            value = self.get(name)
            if value is not MISSING:
                for cache in functions.clear_caches(value):
                    self.tx.on_commit(functools.partial(_clear, cache))

    def _evaluator(self, step: Step, code: types.CodeType) -> functions.Evaluate:
        def evaluate(expr: ast.expr, function: FunctionType) -> Any:
            cells: dict[str, Any] = {}
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
                try:
                    cells[name] = cell.cell_contents
                except ValueError:
                    continue
            around = _locals_around(step.new.codes, code) if step.new is not None else set()
            if beyond := around & outline.read_now(expr) - cells.keys():
                raise functions.OutOfReach(min(beyond))
            return self.evaluate(expr, cells)

        return evaluate

    def _supplier(self, function: FunctionType) -> Callable[[str], types.CellType | None]:
        def supply(name: str) -> types.CellType | None:
            if name == "__class__":
                owner = self._class_of(function) or self.cls
                return types.CellType(owner) if owner is not None else None
            if name == function.__name__:
                return types.CellType(function)
            return None

        return supply

    def _class_of(self, function: FunctionType) -> type | None:
        """The class that a method belongs to, by its qualified name."""
        found: type | None = None
        *path, _ = function.__qualname__.split(".")
        for i, name in enumerate(path):
            inside = self.space.get(name) if i == 0 else vars(found).get(name)
            if not isa(inside, type):
                return None
            found = inside
        return found

    # -- definitions --------------------------------------------------------------------------------------------

    def _run_function(self, step: Step, node: outline.Function) -> None:
        before = step.before
        live = self.get(node.name)
        line = step.new.start if step.new else node.lineno
        if isa(before, outline.FUNCTIONS) and live is not MISSING and not step.again:
            self.exchange(step)
            if outline.decorators(before) == outline.decorators(node) and not _registers(node, before):
                return
            self.edit.change("changed", self, node.name, line)
        elif not step.again:
            self.edit.change("added", self, node.name, line)
        self.bind_all(self.execute([node]), step)

    def _run_assignment(self, step: Step, node: ast.Assign | ast.AnnAssign) -> None:
        self.exchange(step)
        old_parts = values.pairs_of(step.before) if step.before is not None else {}
        new_parts = values.pairs_of(node)
        if new_parts and all(map(outline.is_plain, new_parts.values())) and not isa(node, ast.AnnAssign):
            bound = {}
            made: dict[int, Any] = {}
            for name, expr in new_parts.items():
                if id(expr) not in made:
                    made[id(expr)] = ast.literal_eval(expr)
                bound[self.stored(name)] = made[id(expr)]
        else:
            bound = self.execute([node])
        self._merge_annotation(bound)
        for name, value in bound.items():
            plain = next((n for n in new_parts if self.stored(n) == name), name)
            old, new = old_parts.get(plain), new_parts.get(plain)
            live = self.get(plain)
            if old is not None and new is not None and live is not MISSING and not step.again:
                part_of_it = self.cls is not None or len(new_parts) > 1 or isa(node, ast.AnnAssign)
                if part_of_it and ast.dump(old) == ast.dump(new):
                    continue
                if self._merged(old, new, value, live):
                    self.edit.change("merged", self, plain, node.lineno)
                    self.note_change(plain, live)
                    continue
            self._bind_one(plain, value, step)
            self.edit.change("added" if live is MISSING else "changed", self, plain, node.lineno)

    def note_change(self, name: str, live: Any) -> None:
        if self.cls is None:
            self.edit.changed.setdefault((self.plan.name, name), (live, live))

    def _merged(self, old: ast.expr, new: ast.expr, value: Any, live: Any) -> bool:
        try:
            calls = values.merge(old, new, value, live, self._as_before)
            made = list(calls) if calls is not None else None
        except (ValueError, TypeError, NameError):
            return False
        if made is None:
            return False
        for call in made:
            holder = call[1]
            copy = holder.copy()
            self.tx.hold(copy)
            kind = type(holder)
            if kind is list:
                self.tx.stage(call, (list.__setitem__, holder, slice(None), copy))
            else:
                self.tx.stage(call, (kind.update, holder, copy))
                self.tx.stage((len, holder), (kind.clear, holder))
        return True

    def _as_before(self, expr: ast.expr) -> Any:
        """What a part of the old text meant before this edit; raises where evaluating it again might not tell."""
        reads = outline.read_now(expr)
        changed = self.changed_names() & reads | self._changed_in_modules(reads)
        inside = dict(vars(self.cls)) if self.cls is not None else {}
        known = {name: old for name in changed if (old := self._change_of(name)[0]) is not MISSING}
        return values.safe_eval(outline.flat(expr, known), {**self.space, **inside, **known}, self.plan.path)

    def _change_of(self, name: str) -> tuple[Any, Any]:
        """The value that a changed name had, in the body of the class or the module, and the one it has."""
        inside = f"{self.qualname}." if self.path else ""
        base, _, last = name.partition(".")
        owner = getattr(self.space.get(base), "__name__", "")
        keys = (self.plan.name, inside + name), (self.plan.name, name), (owner, last)
        return next((self.edit.changed[key] for key in keys if key in self.edit.changed), (MISSING, MISSING))

    def _merge_annotation(self, bound: dict[str, Any]) -> None:
        made = bound.pop("__annotations__", None)
        if made is not None and self.cls is not None:
            known = vars(self.cls).get("__annotations__")
            if isa(known, dict):
                before = dict(known)
                self.tx.stage((dict.update, known, made), (dict.update, known, before))
                self.tx.stage((len, known), (dict.clear, known))
            else:
                self.tx.set_attr(self.cls, "__annotations__", made)

    def bind_all(self, bound: dict[str, Any], step: Step) -> None:
        made = bound.pop("__annotations__", None)
        if made is not None and self.cls is not None:
            self._merge_annotation({"__annotations__": made})
        for name, value in bound.items():
            self._bind_one(name, value, step)

    def _bind_one(self, name: str, value: Any, step: Step) -> None:
        from . import unify

        live = self.get(name)
        last = self.last.get(name, step)
        if last is not step and (last.kind != "run" or _stands_alone(last.node, name)):
            return  # a later statement has the last word
        final = unify.unify(self, name, live, value, step)
        self.bind(name, final)
        if self.cls is not None and live is not value:
            if live is final:
                self.tx.flush()  # it has what the new one had, which nobody has told its name
            _set_name(self.cls, self.stored(name), final)

    # -- what depends on what changed -----------------------------------------------------------------------------

    def changed_names(self) -> set[str]:
        found = {name for module, name in self.edit.changed if module == self.plan.name}
        if self.path:
            inside = f"{self.qualname}."
            found |= {name[len(inside) :] for name in found if name.startswith(inside)}
        return found

    def depend(self, step: Step) -> None:
        """An unchanged statement: computed again when it read a value that this edit changed."""
        statement = step.new
        assert statement is not None
        if not self.edit.changed:
            return
        names = self.changed_names() & statement.reads | self._changed_in_modules(statement.reads)
        if not names:
            return
        from . import dependents

        node = step.node if statement.node is not None else sources.node_of(statement, self.plan.text)
        dependents.recompute(self, node, names)

    def _changed_in_modules(self, reads: Iterable[str]) -> set[str]:
        """`module.name` among what is read, where that changed."""
        found = set()
        for dotted in reads:
            base, dot, name = dotted.partition(".")
            owner = self.space.get(base) if dot else None
            if isa(owner, types.ModuleType) and (owner.__name__, name) in self.edit.changed:
                found.add(dotted)
        return found

    # -- removal ------------------------------------------------------------------------------------------------

    def remove(self, gone: list[Step]) -> None:
        kept = plan.names_kept(self.plan.text) if not self.path else self.bound_now()
        for step in gone:
            node = step.node
            for name in sorted(outline.bound(node) - kept):
                self.drop(name, node.lineno)
            if isa(node, ast.Expr) and isa(node.value, (ast.Call, ast.Await)):
                self.edit.keep(self, ast.unparse(node)[:40], node.lineno, "a call cannot be taken back")

    def drop(self, name: str, line: int) -> None:
        live = self.get(name)
        if live is MISSING:
            return
        if not self.path and not self.untouched(name) and not self._set_by_itself(name, live):
            self.edit.keep(self, name, line, "it was set from outside")
            return
        if isa(live, (type, FunctionType)):
            kind = "class" if isa(live, type) else "def"
            qualname = f"{self.qualname}.{name}" if self.path else name
            sources.remember(self.plan.name, kind, qualname, live)
            self.plan.record.gone_codes[kind, qualname] = [f.__code__ for f in functions.reach(live, 3)]
        self.delete(name)
        self.edit.change("removed", self, name, line)

    def _set_by_itself(self, name: str, live: object) -> bool:
        """Did the module's own code change it (a `global` in one of its functions)?"""
        if isa(live, (type, FunctionType)):
            return getattr(live, "__module__", None) == self.plan.name and name not in self.put
        return any(
            f"global {name}" in line or f"{name}" in line.partition("global")[2]
            for line in self.plan.record.text.lines
            if "global" in line
        )


def _locals_around(codes: list[types.CodeType], code: types.CodeType) -> set[str]:
    """The local variables of the functions that a function stands in."""
    for each in codes:
        if each is not code and any(inner is code for inner in outline.tree(each)):
            own = {*each.co_varnames, *each.co_cellvars} if each.co_flags & inspect.CO_OPTIMIZED else set()
            return own | _locals_around(outline.children(each), code)
    return set()


def _clear(cache: Any) -> None:
    cache.cache_clear()


def _stands_alone(node: ast.stmt, name: str) -> bool:
    """A definition that does not use what its name meant before."""
    return isinstance(node, (*outline.FUNCTIONS, ast.ClassDef)) and not plan.builds_on(node, name)


def _node_of(nodes: dict[tuple[str, int], list[ast.AST]], code: types.CodeType) -> ast.AST | None:
    found = nodes.get((code.co_name, code.co_firstlineno), [])
    return found[0] if len(found) == 1 else None


def name_of(node: ast.stmt) -> str:
    named = getattr(node, "name", None)
    if isa(named, str):
        return named
    names = sorted(outline.bound(node))
    return ", ".join(names) if names else type(node).__name__.lower()


def _registers(node: outline.Function, before: outline.Function) -> bool:
    """`@something.register`: what it registers depends on the annotations, so it must run again when they change."""
    if outline.signature(node) == outline.signature(before):
        return False
    return any(isa(d, ast.Attribute) and d.attr == "register" for d in node.decorator_list)


def _set_name(cls: type, name: str, value: object) -> None:
    """As at the end of a class statement."""
    hook = getattr(type(value), "__set_name__", None)
    if hook is not None and not isa(value, (FunctionType, type)):
        hook(value, cls, name)
