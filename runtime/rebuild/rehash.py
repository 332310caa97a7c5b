"""Dicts and sets whose keys hash or compare differently after an edit are filled again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import heap, native
from .errors import RebuildError
from .kinds import isa, of_types

if TYPE_CHECKING:
    from .shared import Edit


def run(edit: Edit, classes: set[type], own: set[int]) -> None:
    """Fill every dict and set again that has an instance of these classes as a key, alone or in what hashes by it.

    Raises:
        RebuildError: two keys have become equal.
    """
    name = next(iter(classes)).__qualname__
    things = edit.scan.heap(f"keys that are instances of {name}")
    wanted: list[Any] = of_types(things, classes)
    if not wanted:
        return
    own |= {id(things), id(wanted)}
    for holder in heap.hashed_by(list(wanted), things, own):
        wanted.append(holder)
        if isa(holder, frozenset):
            heap.fill_again(edit.tx, holder, native.refill_frozenset, list(holder))
    ids = set(map(id, wanted))
    for holder, _ in heap.holders(heap.naming(ids), things, own):
        if isa(holder, (dict, set)) and not ids.isdisjoint(map(id, holder)):
            _fill_again(edit, holder, name)


def _fill_again(edit: Edit, holder: Any, name: str) -> None:
    before = list(dict.items(holder)) if isa(holder, dict) else list(holder)
    heap.fill_again(edit.tx, holder, heap.refill if isa(holder, dict) else heap.reset, before)
    if len(holder) != len(before):
        raise RebuildError(
            f"two keys of a {type(holder).__name__}, instances of {name}, have become equal; one entry would be lost",
            stage="upgrade",
        )
