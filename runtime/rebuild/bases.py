"""Other bases for a class that stays.

Classes are edited one after another, and a class below may go with the bases of before only: `D(A, B)` when B gets A as
its base, though the edit makes it `D(B, A)` next. Such a class steps aside until its own turn.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from . import instances, native
from .transaction import MISSING

if TYPE_CHECKING:
    from .shared import Edit


def change(edit: Edit, cls: type, bases: tuple[type, ...], base: type) -> None:
    """`cls.__bases__ = bases`; base is the one that gives the layout, which stays.

    Raises:
        TypeError: there is no order in which all of them, and those of the classes below, can be asked.
    """
    edit.tx.flush()
    try:
        _set(edit, cls, bases, base)
    except TypeError:
        if not _step_aside(edit, cls):
            raise
        _set(edit, cls, bases, base)


def _set(edit: Edit, cls: type, bases: tuple[type, ...], base: type) -> None:
    before, above = cls.__bases__, cls.__base__
    assert above is not None
    native.set_bases(cls, bases, base)
    edit.tx.did(native.set_bases, cls, before, above)


def _step_aside(edit: Edit, cls: type) -> bool:
    """Let classes below that have several bases have only the one from `cls`, for now; says whether there are any."""
    found = False
    for below in set(instances._below(cls)):
        if len(below.__bases__) == 1 or below.__base__ is None:
            continue
        only = next(each for each in below.__bases__ if cls in each.__mro__)
        if native.layout(only) == native.layout(below.__base__):
            edit.aside.append((below, only, below.__bases__, below.__base__))
            _set(edit, below, (only,), only)
            found = True
    return found


def come_back(edit: Edit) -> None:
    """What stepped aside and had no turn gets its bases again.

    Raises:
        TypeError: they do not go with what was edited. A class that no module has any more stays aside.
    """
    for cls, only, bases, base in edit.aside:
        if cls.__bases__ == (only,) != bases and _is_current(cls):
            _set(edit, cls, bases, base)


def _is_current(cls: type) -> bool:
    """Is it still what its module has by its name?"""
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = vars(found).get(name, MISSING) if hasattr(found, "__dict__") else MISSING
    return found is cls
