"""Named tuples whose fields changed: a tuple cannot grow in place, so another takes its place.

Values go by the names of the fields; one that only got another name keeps its value by its place. A new field has its
default. An instance for which a new field has none stays as it is, runs the new methods, and is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import heap, instances, layout
from .kinds import of_types
from .transaction import MISSING

if TYPE_CHECKING:
    from .report import Straggler
    from .shared import Edit


def note(edit: Edit, cls: type, made: type) -> None:
    """Remember the fields that the live instances of a class have."""
    before, after = (getattr(each, "_fields", None) for each in (cls, made))
    if issubclass(cls, tuple) and before is not None and after is not None and before != after:
        edit.tuples.append((cls, before))


def finish(edit: Edit) -> tuple[list[tuple[Any, Any]], list[Straggler]]:
    """Put tuples with the new fields in the place of the old ones.

    Returns:
        ((old, new) of those that were replaced, those that stay)
    """
    edit.tx.flush()
    mapping: heap.Mapping = {}
    left: list[Straggler] = []
    for cls, before in edit.tuples:
        things = edit.scan.heap(f"the fields of {cls.__qualname__} changed")
        found = of_types(things, {cls, *instances._below(cls)})
        del things
        while found:
            old = found.pop()
            values = _values(old, before, cls._fields, cls._field_defaults)  # type: ignore[attr-defined]  # a named tuple
            if values is None:
                left.append(layout.left(edit, old))
            elif values != tuple.__getitem__(old, slice(None)):
                new = tuple.__new__(type(old), values)
                layout.fill(new, layout.state(old))
                mapping[id(old)] = (old, new)
            del old
    swap = heap.Swap(edit.tx, mapping, edit.scan, all_or_none=True)
    if mapping:
        swap.run(layout.own_ids(edit), "references to tuples that were made again")
    kinds = {type(old): type(new) for old, new in mapping.values()}
    layout.file_again(edit, layout._settle_copies(edit, kinds, mapping, swap.mapping))
    return list(swap.mapping.values()), [*left, *(layout.left(edit, each) for each in swap.left)]


def _values(
    old: tuple[Any, ...], before: tuple[str, ...], after: tuple[str, ...], defaults: dict[str, Any]
) -> tuple[Any, ...] | None:
    have = dict(zip(before, tuple.__iter__(old), strict=False))
    values = []
    for at, name in enumerate(after):
        value = have.get(name, MISSING)
        if value is MISSING and at < len(before) and before[at] not in after:
            value = have.get(before[at], MISSING)
        if value is MISSING:
            value = defaults.get(name, MISSING)
        if value is MISSING:
            return None
        values.append(value)
    return tuple(values)
