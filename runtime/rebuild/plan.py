"""What an edit means, before anything is touched: old text, new text -> steps. Pure.

same     the statement is there as before, perhaps on other lines or in another place
body     only the bodies of functions in it differ: their code is exchanged, nothing runs
run      it is new, or differs otherwise: it takes effect
gone     it is no longer there
"""

from __future__ import annotations

import ast
import collections
import itertools
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from . import outline, sources
from .native import Write
from .outline import Statement
from .sources import Text

Kind = Literal["same", "body", "run", "gone"]


@dataclass(eq=False, slots=True)
class Step:
    kind: Kind
    old: Statement | None
    new: Statement | None
    code: types.CodeType | None = None  # what running it would run
    again: bool = False  # unchanged, but an earlier statement for the same name is not
    was: str = ""  # the definition had this name
    inner: list[Step] | None = None  # of a class statement: those in it, once somebody asked

    @property
    def node(self) -> ast.stmt:
        """The new tree; the old one of what is gone."""
        statement = self.new or self.old
        assert statement is not None
        assert statement.node is not None
        return statement.node

    @property
    def before(self) -> ast.stmt | None:
        return self.old.node if self.old is not None else None


@dataclass(eq=False)
class ModulePlan:
    """One module: its new text and the steps to get there."""

    record: sources.Record
    text: Text
    path: str
    steps: list[Step]
    moved: list[tuple[Statement, int]] = field(default_factory=list)  # unchanged statements, by how many lines
    shifts: tuple[list[Write], list[Write]] = field(
        default_factory=lambda: ([], [])
    )  # what moves their code, and what moves it back
    silent: bool = False  # comments and blank lines only
    base: Text | None = None  # the text that the steps start from

    @property
    def name(self) -> str:
        return self.record.name


def no_rest() -> None:
    """Nobody else waits for a turn."""


def compare(record: sources.Record, data: bytes, path: str, rest: Callable[[], object] = no_rest) -> ModulePlan:
    """Plan the way from a module's recorded text to a new one.

    Args:
        rest: called between pieces of the work.

    Raises:
        SyntaxError: the new text does not compile; with file and line.
    """
    old = record.text
    lines = outline.lines(sources.decode(data, path))
    rest()
    first, last, shift = _unequal(old, lines)
    rest()
    region = None
    if last - first < len(old.body):
        region = _parse_region(old, lines, first, last, shift, path)
    if region is not None:
        outside = [*old.body[:first], *old.body[last:]]
        if _shared([*old.body[first:last], *region], outside) or _reads_deleted(region, outside, old):
            region = None  # a name has statements here and elsewhere: their order matters
    if region is None:
        text, tree = Text.parse(data, path)
        compile(tree, path, "exec", dont_inherit=True)  # what only the whole can tell: a misplaced future import
        first, last, region = 0, len(old.body), text.body
        flags = text.flags
    else:
        flags = old.flags
        if _is_untouched(old, lines, first, last, region):
            first, region = first + 1, region[1:]
    rest()
    if first < last:
        _fill_run(old, first, last)
    head, tail = old.body[:first], old.body[last:]
    ahead = [s.moved(shift) for s in tail] if shift else tail
    text = Text(data, lines, [*head, *region, *ahead], flags)
    rest()
    steps = pair(old.body[first:last], region)
    rest()
    if flags != old.flags:
        for step in steps:
            if step.kind == "same" and not outline.is_docstring(step.node):
                step.kind = "run" if isinstance(step.node, _DEFINITIONS) else "body"
    moved = [(s, shift) for s in tail] if shift else []
    plan = ModulePlan(record, text, path, steps, moved, base=old)
    plan.silent = all(step.kind == "same" for step in steps)
    rest()
    _compile(plan, path)
    return plan


def _unequal(old: Text, lines: list[str]) -> tuple[int, int, int]:
    """(first and last+1 statement of the old text that an edit may touch, by how many lines the rest moves)."""
    before = old.lines
    shift = len(lines) - len(before)
    limit = min(len(before), len(lines))
    same_above = _alike(limit, lambda i, j: before[i:j] == lines[i:j])
    above, below = len(before), len(lines)
    same_below = _alike(limit - same_above, lambda i, j: before[above - j : above - i] == lines[below - j : below - i])
    body = old.body
    first = 0
    while first < len(body) and body[first].end <= same_above:
        first += 1
    first = max(first - 1, 0)  # an `else:` may have been added to the last one
    while first and body[first - 1].end >= body[first].start:
        first -= 1
    last = len(body)
    while last > first and body[last - 1].start > len(before) - same_below:
        last -= 1
    while last < len(body) and last and body[last].start <= body[last - 1].end:
        last += 1
    return first, last, shift


def _alike(limit: int, equal: Callable[[int, int], bool]) -> int:
    """How many lines up to the limit are equal, found by halving; `equal` compares those from i to j."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if equal(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _parse_region(old: Text, lines: list[str], first: int, last: int, shift: int, path: str) -> list[Statement] | None:
    """The new statements between two unchanged ones; None where only the whole text can tell."""
    above = old.body[first - 1].end if first else 0
    below = old.body[last].start + shift - 1 if last < len(old.body) else len(lines)
    if above < 2 or below < above:
        return None  # the lines that may name an encoding, or hold `from __future__`
    try:
        parsed = outline.parse(lines, above, below, path)
    except SyntaxError:
        return None  # reported from the whole text, where lines are right
    if outline.futures(parsed.body):
        return None
    return outline.statements(parsed.body)


def _is_untouched(old: Text, lines: list[str], first: int, last: int, region: list[Statement]) -> bool:
    """Was the first statement of a region only taken along for an `else:` that might have been added?"""
    if first == last or not region:
        return False
    was, now = old.body[first], region[0]
    after = [s.start for s in (*old.body[first + 1 : first + 2], *region[1:2])]
    return (
        (was.start, was.end) == (now.start, now.end)
        and old.lines[was.start - 1 : was.end] == lines[now.start - 1 : now.end]
        and all(start > now.end for start in after)
        and not _shared([now], [*old.body[first + 1 : last], *region[1:]])
    )


def _shared(inside: list[Statement], outside: list[Statement]) -> bool:
    names = frozenset().union(*(s.binds for s in inside))
    return not names.isdisjoint(itertools.chain.from_iterable(s.binds for s in outside))


def _reads_deleted(inside: list[Statement], outside: list[Statement], text: Text) -> bool:
    """Does a statement read a name that the module lets go of when it is done with it?"""
    deleted = [s.binds for s in outside if text.lines[s.start - 1].startswith("del ")]
    return any(not s.reads.isdisjoint(names) for s in inside for names in deleted)


def _fill_run(text: Text, first: int, last: int) -> None:
    run = [s for s in text.body[first:last] if s.node is None]
    if run and len(run) == last - first:
        sources.fill(text, run)
    else:
        for statement in run:
            sources.node_of(statement, text)


def _compile(plan: ModulePlan, path: str) -> None:
    """Compile what is new, so that an error in any file is known before anything is touched."""
    for step in plan.steps:
        if step.new is None:
            continue
        if step.kind == "same":
            assert step.old is not None
            step.new.codes = step.old.codes
            if not _same_lines(step.old, step.new):
                step.kind = "body"  # comments inside: the lines of its functions changed
            elif step.new.start != step.old.start:
                plan.moved.append((step.old, step.new.start - step.old.start))
        if step.kind != "same":
            code = plan.text.compile([step.node], path)
            step.code = code
            step.new.codes = outline.children(code)
            for statement in filter(None, (step.old, step.new)):
                assert statement.definitions is not None  # looked up now, so that the commit is short


def _same_lines(old: Statement, new: Statement) -> bool:
    if old.end - old.start != new.end - new.start:
        return False
    assert old.node is not None
    assert new.node is not None
    return all(
        getattr(a, "lineno", old.start) - old.start == getattr(b, "lineno", new.start) - new.start
        for a, b in zip(ast.walk(old.node), ast.walk(new.node), strict=True)
    )


def pair(old: list[Statement], new: list[Statement]) -> list[Step]:
    """Put old and new statements side by side; steps come in the new order, what is gone last."""
    partner: dict[int, Statement] = {}
    left = old
    marks: list[Callable[[Statement], object]] = [
        lambda s: s.dump,
        lambda s: (outline.key(_node(s)), outline.decorators(_node(s))),
        lambda s: outline.key(_node(s)),
    ]
    for mark in marks:
        left = _match(left, [n for n in new if id(n) not in partner], partner, mark)
    _match_last(old, new, partner)
    renamed = _match_renamed(left, [n for n in new if id(n) not in partner], partner)
    steps = []
    for n in new:
        o = partner.get(id(n))
        kind: Kind
        if o is None:
            kind = "run"
        elif o.dump == n.dump:
            kind = "same"
        elif outline.shape(_node(o)) == outline.shape(_node(n)):
            kind = "body"
        else:
            kind = "run"
        steps.append(Step(kind, o, n, was=renamed.get(id(n), "")))
    used = {id(o) for o in partner.values()}
    steps += [Step("gone", o, None) for o in old if id(o) not in used]
    _follow_names(old, steps)
    _keep_helpers(steps)
    return steps


def _keep_helpers(steps: list[Step]) -> None:
    """What runs may read names that a later `del` took away: what binds them runs again, and so does the `del`."""
    deleted: set[str] = set()
    for step in steps:
        if step.kind != "gone" and isinstance(step.node, ast.Delete):
            deleted |= _binds(step)
    needed = {name for s in steps if s.kind == "run" and s.new is not None for name in s.new.reads} & deleted
    grew = bool(needed)
    while grew:
        grew = False
        for step in steps:
            if step.kind in {"same", "body"} and not needed.isdisjoint(_binds(step)):
                step.kind, step.again, grew = "run", True, True
                needed |= {n.id for n in ast.walk(step.node) if isinstance(n, ast.Name)} & deleted  # it may be called


def _match_last(old: list[Statement], new: list[Statement], partner: dict[int, Statement]) -> None:
    """The object that a name has belongs to its last definition: that goes with the last one of the new text."""
    ends: dict[str, Statement] = {}
    for s in old:
        if isinstance(s.node, outline.FUNCTIONS) and not s.node.decorator_list:
            ends[s.node.name] = s
    last = {s.node.name: s for s in new if isinstance(s.node, outline.FUNCTIONS) and not s.node.decorator_list}
    for name, n in last.items():
        o = ends.get(name)
        if o is not None and id(n) not in partner:
            for key in [key for key, each in partner.items() if each is o]:
                del partner[key]
            partner[id(n)] = o


_DEFINITIONS = (*outline.FUNCTIONS, ast.ClassDef)


def _match_renamed(old: list[Statement], new: list[Statement], partner: dict[int, Statement]) -> dict[int, str]:
    """Definitions that only got another name: the same body, or a name that became private or public."""
    found: dict[int, str] = {}
    again = {name for n in new if not isinstance(n.node, (ast.Assign, ast.AnnAssign)) for name in n.binds}
    waiting = [o for o in old if isinstance(o.node, _DEFINITIONS) and o.node.name not in again]
    for n in new:
        if not isinstance(n.node, _DEFINITIONS):
            continue
        for o in waiting:
            if isinstance(o.node, _DEFINITIONS) and _is_renamed(o.node, n.node):
                partner[id(n)] = o
                found[id(n)] = o.node.name
                waiting.remove(o)
                break
    return found


def _is_renamed(old: ast.stmt, new: ast.stmt) -> bool:
    assert isinstance(old, _DEFINITIONS)
    assert isinstance(new, _DEFINITIONS)
    if isinstance(old, ast.ClassDef) != isinstance(new, ast.ClassDef):
        return False
    if old.name.strip("_") == new.name.strip("_"):
        return True
    return sum(1 for _ in ast.walk(old)) > 12 and list(map(ast.dump, old.body)) == list(map(ast.dump, new.body))


def _node(statement: Statement) -> ast.stmt:
    assert statement.node is not None
    return statement.node


def _match(
    old: list[Statement], new: list[Statement], partner: dict[int, Statement], mark: Callable[[Statement], object]
) -> list[Statement]:
    """Pair statements with equal marks, in order; returns the old ones left over."""
    waiting: dict[object, collections.deque[Statement]] = collections.defaultdict(collections.deque)
    for o in old:
        waiting[mark(o)].append(o)
    for n in new:
        if queue := waiting.get(mark(n)):
            partner[id(n)] = queue.popleft()
    return [o for o in old if any(o is w for w in waiting[mark(o)])]


def _follow_names(old: list[Statement], steps: list[Step]) -> None:
    """Where several statements bind one name, those after one that runs run too, and an `x += …` with its start."""
    binders: dict[str, list[Step]] = collections.defaultdict(list)
    for step in steps:
        if step.kind != "gone":
            for name in _binds(step):
                binders[name].append(step)
    for name, several in binders.items():
        before = [o for o in old if name in o.binds]
        if len(several) == 1 and len(before) <= 1:
            continue
        plain = [s for s in several if not isinstance(s.node, (*outline.FUNCTIONS, ast.ClassDef))]
        augmented = any(isinstance(s.node, ast.AugAssign) for s in plain)
        gone = any(s.kind == "gone" and name in _binds(s) for s in steps)
        runs = augmented and (gone or any(s.kind == "run" for s in plain))
        for step in several:
            if step.kind == "run":
                runs = True
            elif runs and step.kind in {"same", "body"} and (step in plain or builds_on(step.node, name)):
                step.kind, step.again = "run", True
        last = several[-1]
        if last.kind in {"same", "body"} and before and last.old is not before[-1]:
            last.kind, last.again = "run", True
        elif last.kind == "run" and before and last.old is not before[-1]:
            last.again = True


def builds_on(node: ast.stmt, name: str) -> bool:
    """Do the decorators of a definition use what its name meant before (`@x.setter`)?"""
    return any(name in outline.read_now(d) for d in getattr(node, "decorator_list", ()))


def last_binders(steps: list[Step]) -> dict[str, Step]:
    """The step whose statement has the last word on a name, in the new text."""
    return {name: step for step in steps if step.kind != "gone" for name in _binds(step)}


def last_binders_before(steps: list[Step]) -> dict[str, Step]:
    """The same for the old text."""
    known = [s for s in steps if s.old is not None]
    known.sort(key=lambda s: s.old.start if s.old is not None else 0)
    return {name: step for step in known if step.old is not None for name in step.old.binds}


def _binds(step: Step) -> frozenset[str]:
    statement = step.new or step.old
    return statement.binds if statement is not None else frozenset()


def names_kept(text: Text) -> set[str]:
    """Names that some statement of a text binds."""
    return set().union(*(s.binds for s in text.body))


def step_codes(step: Step) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """Old and new code objects of a statement, by name and place among those of that name."""
    if step.kind == "run" and isinstance(step.before, ast.ClassDef) and isinstance(step.node, ast.ClassDef):
        for each in inside(step):
            yield from step_codes(each)
    elif step.old is not None and step.new is not None:
        renamed = {step.was: step.node.name} if step.was and isinstance(step.node, _DEFINITIONS) else {}
        old, new = step.old.codes, step.new.codes
        if isinstance(value := getattr(step.node, "value", None), ast.Dict) and isinstance(
            before := getattr(step.before, "value", None), ast.Dict
        ):
            yield from _pair_by_key(old, _keys_of_lambdas(before), new, _keys_of_lambdas(value))
        else:
            yield from pair_codes(old, new, renamed)


def inside(step: Step) -> list[Step]:
    """The steps from the body of a class statement to that of another one."""
    if step.inner is None:
        bodies = []
        for statement in (step.old, step.new):
            assert statement is not None
            node = statement.node
            assert isinstance(node, ast.ClassDef)
            body = outline.statements(node.body)
            if (code := next((c for c in statement.codes if c.co_name == node.name), None)) is not None:
                outline.spread(outline.children(code), body)
            bodies.append(body)
        step.inner = pair(*bodies)
        for each in step.inner:
            if each.kind == "same":
                each.kind = "body"  # its code is that of the new text, at the new lines
    return step.inner


def _keys_of_lambdas(display: ast.Dict) -> list[str]:
    """The key that each lambda of a display stands at, in their order."""
    found = []
    for key, value in zip(display.keys, display.values, strict=True):
        todo: list[ast.AST] = [value]
        while todo:
            each = todo.pop()
            if isinstance(each, ast.Lambda):
                found.append(ast.dump(key) if key is not None else "")
            else:
                todo += ast.iter_child_nodes(each)
    return found


def _pair_by_key(
    old: list[types.CodeType], keys: list[str], new: list[types.CodeType], new_keys: list[str]
) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    if len(old) != len(keys) or len(new) != len(new_keys):  # comprehensions among them
        yield from pair_codes(old, new)
        return
    for key in dict.fromkeys(keys):
        yield from pair_codes(
            [c for c, k in zip(old, keys, strict=True) if k == key],
            [c for c, k in zip(new, new_keys, strict=True) if k == key],
        )


def pair_codes(
    old: list[types.CodeType], new: list[types.CodeType], renamed: dict[str, str] | None = None
) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    """Old and new code objects of one scope and all below."""
    groups: dict[str, tuple[list[types.CodeType], list[types.CodeType]]] = collections.defaultdict(lambda: ([], []))
    for code in old:
        groups[(renamed or {}).get(code.co_name, code.co_name)][0].append(code)
    for code in new:
        groups[code.co_name][1].append(code)
    bare = {name.strip("_"): news for name, (olds, news) in groups.items() if not olds}
    for name, both in groups.items():  # a name that became private or public
        if not both[1]:
            both[1].extend(bare.get(name.strip("_"), ()))
    for olds, news in groups.values():
        for o, n in _align(olds, news):
            yield o, n
            yield from pair_codes(outline.children(o), outline.children(n))


def _align(olds: list[types.CodeType], news: list[types.CodeType]) -> Iterator[tuple[types.CodeType, types.CodeType]]:
    if len(olds) == len(news):
        yield from zip(olds, news, strict=True)
        return
    rest = list(news)
    late = []
    for o in olds:  # those that say the same first, so that one put in front does not shift the others
        twin = next(
            (n for n in rest if n.co_code == o.co_code and _values(n) == _values(o) and n.co_names == o.co_names), None
        )
        if twin is None:
            late.append(o)
        else:
            rest.remove(twin)
            yield o, twin
    yield from zip(late, rest, strict=False)


def same_code(old: types.CodeType, new: types.CodeType) -> bool:
    """Do two code objects do the same, wherever their lines are?"""
    if old.co_code != new.co_code or old.co_names != new.co_names or len(old.co_consts) != len(new.co_consts):
        return False
    if (old.co_varnames, old.co_freevars, old.co_flags) != (new.co_varnames, new.co_freevars, new.co_flags):
        return False
    for a, b in zip(old.co_consts, new.co_consts, strict=True):
        if isinstance(a, types.CodeType) and isinstance(b, types.CodeType):
            if not same_code(a, b):
                return False
        elif type(a) is not type(b) or a != b:
            return False
    return True


def _values(code: types.CodeType) -> tuple[object, ...]:
    return tuple(c.co_code if isinstance(c, types.CodeType) else c for c in code.co_consts)
