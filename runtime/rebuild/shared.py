"""What the modules of one edit share: what has changed so far, and what waits for the end."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import functions, sources
from .functions import FunctionType
from .kinds import isa
from .plan import ModulePlan
from .report import Note
from .transaction import Transaction

if TYPE_CHECKING:
    from .scopes import Scope


@dataclass(eq=False)
class Before:
    """A class before the edit: its own schema, the way back from it, its MRO."""

    schema: int
    back: FunctionType | None
    mro: tuple[type, ...]

    @classmethod
    def of(cls, live: type) -> Before:
        number, back = vars(live).get("__schema__", 0), vars(live).get("__downgrade__")
        if isa(back, FunctionType):  # as it is now, whatever its name will mean
            back = FunctionType(back.__code__, back.__globals__, back.__name__, back.__defaults__, back.__closure__)
        return cls(number if type(number) is int else 0, back if isa(back, FunctionType) else None, live.__mro__)


@dataclass(eq=False)
class Edit:
    """What all modules of one edit share."""

    tx: Transaction
    scan: functions.Scan
    plans: list[ModulePlan] = field(default_factory=list)
    holders: functions.Holders = field(default_factory=functions.Holders)
    changes: list[Note] = field(default_factory=list)
    kept: list[Note] = field(default_factory=list)
    changed: dict[tuple[str, str], tuple[Any, Any]] = field(default_factory=dict)  # (module, name) -> old, new value
    swaps: list[tuple[Any, Any]] = field(default_factory=list)  # references to the first become the second
    moved_classes: list[tuple[type, type]] = field(default_factory=list)  # a layout changed: old class, new class
    # Classes that wait for their own turn to get bases: the one they have meanwhile, and what they had.
    aside: list[tuple[type, type, tuple[type, ...], type]] = field(default_factory=list)
    touched: list[type] = field(default_factory=list)  # classes whose body or bases changed
    moves: dict[tuple[str, str], Any] = field(default_factory=dict)  # (module, name) -> object that moves there
    returned: dict[int, list[functions.Pair]] = field(default_factory=dict)  # step -> what a definition had made
    tuples: list[tuple[type, tuple[str, ...]]] = field(default_factory=list)  # named tuples, and their fields before
    fields: list[type] = field(default_factory=list)  # classes whose fields changed, which those below them repeat
    whole: list[type] = field(default_factory=list)  # classes whose statement ran as a whole
    made: list[type] = field(default_factory=list)  # classes built aside, of no use any more
    before: dict[type, Before] = field(default_factory=dict)  # classes that were edited, as they were
    # New fields: those with defaults, those without.
    field_makers: list[tuple[type, dict[str, Callable[[], Any]]]] = field(default_factory=list)
    unfilled: list[tuple[type, set[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what the edit leaves to do
    rehash: list[type] = field(default_factory=list)
    noted: list[type] = field(default_factory=list)  # classes whose attributes were set
    scopes: list[Scope] = field(default_factory=list)
    globals_before: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[type, tuple[str, int]] = field(default_factory=dict)  # file and line, of classes that were asked for

    def remember(self, cls: type) -> None:
        """Keep what an upgrade needs to know of a class before it changes."""
        if cls not in self.before:
            self.before[cls] = Before.of(cls)

    def place(self, cls: type) -> tuple[str, int]:
        """File and line of a class by the text that becomes live; its module and 0 where that is not recorded."""
        if cls not in self.places:
            self.places[cls] = self._place(cls)
        return self.places[cls]

    def _place(self, cls: type) -> tuple[str, int]:
        record = sources.records.get(cls.__module__)
        if record is None:
            return cls.__module__, 0
        made = next((each for each in self.plans if each.record is record), None)
        text, path = (record.text, record.path) if made is None else (made.text, made.path)
        names = [name for name in cls.__qualname__.split(".") if name != "<locals>"]
        line = 0
        for statement in text.body:
            if names[0] in statement.binds:  # the last one has the name
                node: ast.AST = sources.node_of(statement, text)
                for name in names:
                    node = next((each for each in ast.walk(node) if getattr(each, "name", None) == name), node)
                line = getattr(node, "lineno", 0)
                if made is None:
                    statement.forget()
        return path, line

    def dispose(self) -> None:
        """Let go of all code objects at once: the next edit counts who refers to them."""
        for each in self.plans:
            each.steps.clear()
            each.moved.clear()
            each.shifts = [], []
            each.base = None
        self.holders = functions.Holders()
        for table in (self.before, self.changed, self.globals_before, self.moves, self.places):
            table.clear()
        for scope in self.scopes:
            scope.canonical.clear()
        self.scopes.clear()

    def change(self, kind: str, scope: Scope, name: str, line: int) -> None:
        self.changes.append(Note(kind, scope.qualify(name), scope.plan.path, line))

    def keep(self, scope: Scope, name: str, line: int, why: str) -> None:
        self.kept.append(Note("kept", scope.qualify(name), scope.plan.path, line, why))
