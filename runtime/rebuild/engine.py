"""A rebuild from beginning to end: read, plan, prepare, commit; on any failure, put everything back."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import importlib.machinery
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import (
    bases,
    classes,
    derived,
    edits,
    functions,
    guards,
    heap,
    instances,
    layout,
    native,
    old_code,
    outline,
    plan,
    rehash,
    sources,
    tuples,
    unify,
)
from .errors import RebuildError, wrap
from .plan import ModulePlan, Step
from .report import Note, Report, Straggler
from .scopes import Scope
from .shared import Edit
from .sources import Record
from .transaction import MISSING, Transaction

_lock = threading.Lock()
_inside: int | None = None  # the thread that is rebuilding

_PIECE = 100  # statements between two rests
checks: dict[tuple[str, str], Callable[[], Any]] = {}
in_hand: dict[str, bytes] = {}  # the texts of the edit that is being made


@dataclass(eq=False)
class Wanted:
    """What one rebuild is asked to make live: text by module; None where the file is gone."""

    texts: dict[str, bytes | None] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    specs: dict[str, importlib.machinery.ModuleSpec] = field(default_factory=dict)
    memory: set[str] = field(default_factory=set)  # paths whose text does not come from the disk


def read(names: Iterable[str | types.ModuleType], texts: Mapping[str, str | bytes] | None) -> Wanted:
    """Find what differs from what runs."""
    importlib.invalidate_caches()
    wanted = Wanted()
    if texts:
        for name, text in texts.items():
            record = sources.recover(name)
            wanted.texts[name] = text.encode() if isinstance(text, str) else text
            wanted.memory.add(record.path)
    chosen = [n if isinstance(n, str) else n.__name__ for n in names]
    for name in chosen:
        sources.recover(name)
    if not chosen and not texts:
        chosen = list(sources.records)
    held = edits.held_texts() if not names else {}
    _read_all(chosen, wanted, held)
    if edits.forgive(current(wanted)):
        _read_all(chosen, wanted, edits.held_texts(refused=False))
    return wanted


def _read_all(names: list[str], wanted: Wanted, held: Mapping[str, bytes | None]) -> None:
    for name in names:
        if name in sources.records and name not in wanted.texts:
            _read_one(sources.records[name], wanted, held)


def current(wanted: Wanted) -> dict[str, bytes | None]:
    """What the files concerned say; a text from memory is in none."""
    found = {wanted.paths.get(n) or sources.records[n].path: t for n, t in wanted.texts.items()}
    return {path: text for path, text in found.items() if path not in wanted.memory}


def _read_one(record: Record, wanted: Wanted, held: Mapping[str, bytes | None]) -> None:
    data = _bytes(record.path)
    path = record.path
    if data is None:
        spec = _locate(record.name)
        if spec is not None and spec.origin is not None:
            path = sources.real(spec.origin)
            data = _bytes(path)
            wanted.specs[record.name] = spec
    if data is None and record.absent:
        return
    record.absent = False
    if data == record.text.data and path == record.path:
        edits.runs(path)
        return
    if path in held and held[path] == data:
        return
    wanted.texts[record.name] = data
    wanted.paths[record.name] = path


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RebuildError(f"cannot be read: {error.strerror}", file=path, stage="read") from error


def _locate(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module whose file is gone lives now."""
    parent, _, _ = name.rpartition(".")
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    if name == "__main__" or (parent and path is None):
        return None
    try:
        spec = sources.Finder().find_spec(name, path)
    except (ImportError, AttributeError, ValueError):
        return None
    return spec if spec is not None and sources.is_ours(spec.origin) else None


# -- the edit ---------------------------------------------------------------------------------------------------------


def rebuild(
    *modules: str | types.ModuleType,
    sources: Mapping[str, str | bytes] | None = None,
    who: str = "",
    undo_of: int | None = None,
) -> Report:
    """Bring live code to the state of its sources, as one transaction. See the package for what it does."""
    with exclusively():
        return _rebuild(modules, sources, who, undo_of)


@contextlib.contextmanager
def exclusively(*, fresh: bool = False) -> Iterator[None]:
    """One rebuild at a time; fresh: in a copy of the process, where whoever held the lock is not.

    Raises:
        RebuildError: this thread is inside a rebuild.
    """
    global _inside, _lock
    me = threading.get_ident()
    if fresh:
        _lock, _inside = threading.Lock(), None
    if _inside == me:
        raise RebuildError("a rebuild cannot be started inside another one", stage="call")
    with _lock:
        _inside = me
        try:
            yield
        finally:
            _inside = None


def _rebuild(
    modules: tuple[str | types.ModuleType, ...],
    texts: Mapping[str, str | bytes] | None,
    who: str,
    undo_of: int | None,
) -> Report:
    wanted = read(modules, texts)
    if not wanted.texts:
        return Report(time=time.time())
    files = {wanted.paths.get(n) or sources.records[n].path for n in wanted.texts}
    try:
        plans = make_plans(wanted)
        return commit(wanted, plans, files, who, undo_of)
    except RebuildError as error:
        edits.refuse(error, files, current(wanted), who)
        raise


def make_plans(wanted: Wanted, rest: Callable[[], object] = plan.no_rest) -> list[ModulePlan]:
    """Parse, compare and compile everything; nothing is touched.

    Args:
        rest: called between pieces of the work, so that another thread may take its turn.

    Raises:
        RebuildError: a text does not compile.
    """
    plans = []
    for name, data in wanted.texts.items():
        if data is None:
            continue
        record = sources.records[name]
        path = wanted.paths.get(name) or record.path
        try:
            made = plan.compare(record, data, path, rest)
        except (SyntaxError, ValueError) as error:
            raise wrap(error, "compile", set(), file=path) from error
        _prepare_shifts(made, rest)
        plans.append(made)
    return plans


def _prepare_shifts(each: ModulePlan, rest: Callable[[], object]) -> None:
    """Make the writes, and those back, by which unedited functions move to their new lines."""
    there, back = each.shifts
    for number, (statement, lines) in enumerate(each.moved):
        if not number % _PIECE:
            rest()
        if not statement.places:
            statement.places += [native.first_line(code) for top in statement.codes for code in outline.tree(top)]
        writes, inverses = native.move_lines(statement.places, lines)
        there += writes
        back += inverses


def commit(
    wanted: Wanted,
    plans: list[ModulePlan],
    files: set[str],
    who: str,
    undo_of: int | None,
    waiting: guards.Waiting | None = None,
    seconds: float | None = None,
) -> Report:
    """Make the plans happen.

    Args:
        waiting: upgrades that may come later are left to it.
        seconds: how long the others may take.

    Raises:
        RebuildError: nothing was changed. A TooSlow one: only because the upgrades took longer.
    """
    guards.finish_all()
    began = time.perf_counter()
    in_hand.update({each.name: each.text.data for each in plans})
    tx = Transaction()
    edit = Edit(tx, functions.Scan(), plans)
    report = Report(time=time.time(), who=who, files=sorted(files), undo_of=undo_of)
    stage = "run"
    superseded: list[types.CodeType] = []
    try:
        superseded = _find_holders(edit)
        _take_all(edit, wanted)
        tx.flush()
        classes.settle(tx, edit.touched)
        stage = "upgrade"
        report.upgraded, report.moved, left = _finish_objects(edit, waiting, seconds)
        stage = "hook"
        _module_hooks(edit)
        stage = "check"
        _run_checks()
        tx.commit()
    except BaseException as error:
        tx.roll_back()
        old_code.keep(superseded)
        if isinstance(error, RebuildError):
            raise
        raise wrap(error, stage, files) from error
    finally:
        in_hand.clear()
    for made in edit.made:
        classes.discard(made)
    report.upgraded += guards.try_again()
    report.pause_ms = (time.perf_counter() - began) * 1000
    report.changes, report.kept, report.notes = edit.changes, edit.kept, edit.notes
    report.scanned, report.scan_ms = edit.scan.objects, edit.scan.seconds * 1000
    report.scan_reason = edit.scan.reasons[0] if edit.scan.reasons else ""
    _publish(edit, wanted, report)
    superseded.clear()
    modules, suspended = [each.record.module for each in plans], edit.holders.suspended
    edit.dispose()
    report.stragglers = [*left, *old_code.after_edit(modules, suspended)]
    return report


def _find_holders(edit: Edit) -> list[types.CodeType]:
    """Find who runs what is replaced; returns the code objects that say something else from now on."""
    pairs: list[functions.Pair] = []
    roots: list[object] = []
    for each in edit.plans:
        module = each.record.module
        if module is None:
            continue
        for step in each.steps:
            if step.kind in {"body", "run"} and step.old is not None and step.new is not None:
                pairs += plan.step_codes(step)
                roots += [vars(module)[name] for name in step.old.binds if name in vars(module)]
        roots += [found for kept in each.record.gone.values() if (found := kept()) is not None]
        for step in each.steps:
            if found := unify.codes_of_returned(step, each.record.gone_codes):
                pairs += found
                edit.returned[id(step)] = found
    if pairs:
        edit.holders = functions.find(pairs, roots, edit.scan)
    replaced = [old for old, new in pairs if not plan.same_code(old, new)]
    old_code.supersede(replaced)
    return replaced


def _take_all(edit: Edit, wanted: Wanted) -> None:
    pending = {each.name: each for each in edit.plans}
    leaving = _find_moves(edit, wanted)
    links = {each.name: _links(each) for each in edit.plans}
    done: set[str] = set()

    with sources.told(functools.partial(_take_in, edit, leaving)):
        for name in [*sources.records, *wanted.texts]:
            for each in _imports_first(name, pending, links, done):
                _take(edit, each, wanted)
    if any(name == "__all__" for _, name in edit.changed):
        edit.tx.flush()  # what a star takes is read from the list itself
    _reach_importers(edit, set(pending))
    derived.follow(edit)
    for name, data in wanted.texts.items():
        if data is None:
            _remove_module(edit, name, wanted, links)


def _imports_first(
    name: str, pending: dict[str, ModulePlan], links: dict[str, Any], done: set[str]
) -> Iterator[ModulePlan]:
    """A module of the edit after those that it imports."""
    if name in pending and name not in done:
        done.add(name)
        for other in links[name][2]:
            yield from _imports_first(other, pending, links, done)
        yield pending[name]


def _take_in(
    edit: Edit, leaving: dict[tuple[str, str], list[object]], record: Record, module: types.ModuleType
) -> None:
    """A module that the edit imported: what it defines goes on as the objects that left another one."""
    if threading.get_ident() != _inside:
        return  # somebody else imports it
    scope = Scope(edit, ModulePlan(record, record.text, record.path, []), module)
    for statement in record.text.body:
        for name in statement.binds:
            node = sources.node_of(statement, record.text)
            found = leaving.get((type(node).__name__, name), [])
            if len(found) == 1 and getattr(node, "name", None) == name and scope.get(name) is not MISSING:
                edit.moves[record.name, name] = found.pop()
                scope.bind(name, unify.unify(scope, name, MISSING, scope.get(name), Step("run", None, statement)))
    edit.tx.flush()  # the import statement reads them next


def _find_moves(edit: Edit, wanted: Wanted) -> dict[tuple[str, str], list[object]]:
    """Definitions that leave one module and appear in another, in the same edit: the objects go with them.

    Returns:
        By kind and name, those that leave and appear in none of the edit's.
    """
    going = [sources.records[name] for name, data in wanted.texts.items() if data is None]
    leaving: list[tuple[Record, Sequence[ast.stmt | None]]] = [
        *((each.record, [step.before for step in each.steps if step.kind == "gone"]) for each in edit.plans),
        *((each, [sources.node_of(statement, each.text) for statement in each.text.body]) for each in going),
    ]
    gone: dict[tuple[str, str], list[object]] = {}
    for record, nodes in leaving:
        space = vars(record.module) if record.module is not None else {}
        for node in nodes:
            name = getattr(node, "name", None)
            if isinstance(name, str) and name in space and record.holds(name, space[name]):
                gone.setdefault((type(node).__name__, name), []).append(space[name])
    for each in edit.plans:
        for step in each.steps:
            name = getattr(step.node, "name", None) if step.kind == "run" and step.old is None else None
            found = gone.get((type(step.node).__name__, name)) if isinstance(name, str) else None
            if found is not None and isinstance(name, str) and len(found) == 1:
                edit.moves[each.name, name] = found.pop()
    return {key: found for key, found in gone.items() if found}


def _links(each: ModulePlan) -> tuple[list[outline.Imported], list[str], list[str]]:
    """What a module imports by its new text, and which of those are modules."""
    record = each.record
    taken, whole = record.taken, record.whole
    if any((s.new or s.old).links for s in each.steps if s.kind != "same"):  # type: ignore[union-attr]  # one of the two
        nodes = [sources.node_of(s, each.text) for s in each.text.body if s.links]
        package = record.name if os.path.basename(each.path) == "__init__.py" else record.name.rpartition(".")[0]
        taken, whole = outline.imports(nodes, package)
    return taken, whole, [*(i.module for i in taken), *(f"{i.module}.{i.name}" for i in taken), *whole]


def _take(edit: Edit, each: ModulePlan, wanted: Wanted) -> None:
    module = each.record.module
    if module is None:
        raise RebuildError(f"module {each.name!r} is no longer in sys.modules", file=each.path, stage="run")
    scope = Scope(edit, each, module)
    scope.survey(each.steps)
    scope.canonical = {c: c for step in each.steps if step.new for top in step.new.codes for c in outline.tree(top)}
    if each.name in wanted.specs:
        _move_module(edit, module, wanted.specs[each.name])
    hooked = vars(module).get("__rebuilt__")
    edit.globals_before[each.name] = dict(vars(module)) if hooked or _has_hook(each) else {}
    by_new = {id(step.new): step for step in each.steps if step.new is not None}
    running = old_code.running_body(module)
    limit = running.line if running is not None else None
    for statement in each.text.body:
        step = by_new.get(id(statement))
        if step is None:
            if edit.changed:
                scope.depend(Step("same", statement, statement))
        elif limit is None or _may_take(step, limit):
            scope.take_one(step)
        if edit.changed and statement.links:
            _pull(edit, each.record, scope)
    scope.remove([s for s in each.steps if s.kind == "gone"])
    had_docstring = any(s.kind == "gone" and outline.is_docstring(s.node) for s in each.steps)
    if had_docstring and not (each.text.body and outline.is_docstring(sources.node_of(each.text.body[0], each.text))):
        scope.bind("__doc__", None)
    edit.tx.stage_all(*each.shifts)


def _has_hook(each: ModulePlan) -> bool:
    return any("__rebuilt__" in s.binds for s in each.text.body)


def _may_take(step: Step, limit: int) -> bool:
    """In a module whose body is still running: what it has passed, if that is a definition, import or assignment."""
    if step.old is not None and step.old.start >= limit:
        return False
    if step.old is None and step.new is not None and step.new.start >= limit:
        return False
    return step.kind != "run" or isinstance(
        step.node, (*outline.FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    )


def _pull(edit: Edit, record: Record, scope: Scope) -> None:
    """Names that a module takes from others follow where they still hold the old value."""
    for link in record.taken:
        if link.name == "*":
            _pull_all(edit, link.module, scope)
        elif (found := edit.changed.get((link.module, link.name))) is not None:
            old, new = found
            if new is not MISSING and old is not new and scope.get(link.alias) is old:
                scope.bind(link.alias, new)


def _pull_all(edit: Edit, module: str, scope: Scope) -> None:
    source = sys.modules.get(module)
    if source is None:
        return
    exported = edit.tx.get(vars(source), "__all__")
    if (module, "__all__") in edit.changed and exported is not MISSING:
        for name in exported:
            if scope.get(name) is MISSING and (value := edit.tx.get(vars(source), name)) is not MISSING:
                scope.bind(name, value)
    own = {name for s in scope.plan.text.body for name in s.binds}
    for (name_of, name), (old, new) in list(edit.changed.items()):
        public = name in exported if exported is not MISSING else not name.startswith("_")
        if name_of != module or "." in name or not public or name in own:
            continue
        live = scope.get(name)
        if new is MISSING:
            if live is old:
                scope.delete(name)
        elif live is old or live is MISSING:
            scope.bind(name, new)


def _reach_importers(edit: Edit, planned: set[str]) -> None:
    """Values that changed are followed into the modules that took them, until nothing changes any more."""
    known = -1
    while known != len(edit.changed):
        known = len(edit.changed)
        for name, record in list(sources.records.items()):
            module = record.module
            if module is None or (name in planned and known == 0):
                continue
            if not any(m in _modules_read(record) for m, _ in edit.changed):
                continue
            text = next((p.text for p in edit.plans if p.name == name), record.text)
            scope = Scope(edit, ModulePlan(record, text, record.path, []), module)
            before = len(edit.changed)
            _pull(edit, record, scope)
            if name in planned and before == len(edit.changed):
                continue
            for statement in text.body:
                scope.depend(Step("same", statement, statement))


def _modules_read(record: Record) -> set[str]:
    return (
        {link.module for link in record.taken}
        | {f"{link.module}.{link.name}" for link in record.taken}
        | set(record.whole)
    )


# -- modules that move or go --------------------------------------------------------------------------------------------


def _move_module(edit: Edit, module: types.ModuleType, spec: importlib.machinery.ModuleSpec) -> None:
    space = vars(module)
    places = {
        "__file__": spec.origin, "__spec__": spec, "__loader__": spec.loader, "__cached__": spec.cached,
        "__package__": spec.parent,
    }  # fmt: skip
    for name, value in places.items():
        edit.tx.set_item(space, name, value)
    if spec.submodule_search_locations is not None:
        edit.tx.set_item(space, "__path__", list(spec.submodule_search_locations))
    else:
        edit.tx.del_item(space, "__path__")


def _remove_module(edit: Edit, name: str, wanted: Wanted, links: dict[str, Any]) -> None:
    record = sources.records[name]
    for other, user in sources.records.items():
        if other == name or wanted.texts.get(other, b"") is None:
            continue
        taken, whole, _ = links.get(other) or (user.taken, user.whole, [])
        parent, _, last = name.rpartition(".")
        if any(w == name or w.startswith(name + ".") for w in whole) or any(
            i.module == name or i.module.startswith(name + ".") or (i.module == parent and i.name == last)
            for i in taken
        ):
            edit.kept.append(Note("kept", name, record.path, 1, f"its file is gone, but {other} imports it"))
            return
    module = record.module
    edit.tx.flush()
    edit.tx.watch(vars(module) if module is not None else {})
    edit.tx.did(dict.__setitem__, sources.records, name, record)
    edit.tx.on_commit(lambda: sources.forget(name))
    edit.tx.on_commit(lambda: edits.release_text(record.path))
    if module is not None:
        del sys.modules[name]
        edit.tx.did(dict.__setitem__, sys.modules, name, module)
        parent, _, last = name.rpartition(".")
        above = sys.modules.get(parent)
        if above is not None and vars(above).get(last) is module:
            edit.tx.del_item(vars(above), last)
    edit.changes.append(Note("removed", name, record.path, 1))


# -- objects, hooks, checks -----------------------------------------------------------------------------------------------


def _finish_objects(
    edit: Edit, waiting: guards.Waiting | None, seconds: float | None
) -> tuple[int, int, list[Straggler]]:
    """Move and upgrade instances; returns (upgraded, moved, those that stay on an old layout)."""
    moved_count = 0
    left: list[Straggler] = []
    moved: list[tuple[Any, Any]] = []
    bases.come_back(edit)
    if edit.moved_classes:
        moved_count, left, moved = layout.finish(edit)
        for old, new in edit.moved_classes:
            if old in edit.before:
                edit.before[new] = edit.before.pop(old)
    if edit.tuples:
        more, late = tuples.finish(edit)
        moved_count += len(more)
        moved += more
        left += late
    _swap(edit)
    upgrades = instances.plan(edit)
    count = instances.run(edit, upgrades, moved, waiting, seconds) if upgrades else 0
    edit.notes += instances.warnings(edit, upgrades)
    wanted = {below for cls in edit.rehash for below in (cls, *instances._below(cls))}
    if upgrades:
        wanted |= {c for c in upgrades.classes() if getattr(c, "__hash__", None) not in (None, object.__hash__)}
    if wanted:
        rehash.run(edit, wanted, layout.own_ids(edit))
    return count, moved_count, left


def _swap(edit: Edit) -> None:
    pairs = [(old, new) for old, new in edit.swaps if old is not new]
    if pairs:
        edit.tx.flush()
        mapping = {id(old): (old, new) for old, new in pairs}
        del pairs
        swap = heap.Swap(edit.tx, mapping, edit.scan, all_or_none=False)
        swap.run(
            layout.own_ids(edit), f"references to {getattr(edit.swaps[0][1], '__qualname__', 'what was replaced')}"
        )


def _module_hooks(edit: Edit) -> None:
    for each in edit.plans:
        module = each.record.module
        if module is None or each.silent:
            continue
        hook = vars(module).get("__rebuilt__")
        if isinstance(hook, types.FunctionType):
            edit.tx.watch(vars(module))
            hook(edit.globals_before[each.name])


def _run_checks() -> None:
    for (_, name), check in list(checks.items()):
        if check() is False:
            code = getattr(check, "__code__", None)
            raise RebuildError(
                f"the check {name} does not hold",
                file=code.co_filename if code else None,
                line=code.co_firstlineno if code else None,
                stage="check",
            )


def _note_taken_over(edit: Edit) -> None:
    """What took the place of something that a module's body had put there counts as put there too."""
    taken = {id(old): new for old, new in (*edit.moved_classes, *edit.swaps) if old is not new}
    if not taken:
        return
    for record in sources.records.values():
        for name, known in list(record.put.items()):
            if known in taken:
                record.put[name] = id(taken[known])
                if isinstance(cls := taken[known], type) and cls.__module__ == record.name:
                    record.note_class(cls, name)


def _publish(edit: Edit, wanted: Wanted, report: Report) -> None:
    """The baselines move, the history grows, tracebacks show the new text."""
    texts: dict[str, tuple[str, bytes, bytes | None]] = {}
    links = {each.name: _links(each) for each in edit.plans}
    for each in edit.plans:
        record = each.record
        texts[each.name] = (each.path, record.text.data, each.text.data)
        record.taken, record.whole, _ = links[each.name]
        record.path, record.text = each.path, each.text
        if os.path.basename(each.path) == "__init__.py":
            record.package = record.name
        for statement in each.text.body:
            statement.forget()
    for name, data in wanted.texts.items():
        if data is None and name in sources.records:
            sources.records[name].absent = True
    for name, changed in edit.changed:
        record = sources.records.get(name)  # type: ignore[assignment]  # may be gone
        if record is not None and record.module is not None and "." not in changed:
            record.note(record.module, [changed])
    _note_taken_over(edit)
    for cls in [*edit.touched, *edit.noted]:
        record = sources.records.get(cls.__module__)  # type: ignore[assignment]  # may be gone
        if record is not None:
            record.note_class(cls, cls.__qualname__)
    edits.publish(report, texts, wanted.memory)
