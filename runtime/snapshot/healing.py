"""After an edit: what waited for code gets it."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .. import rebuild
from . import names, quarantine
from .filling import as_dict, attributes, fill_own, filler, put_back
from .hashes import holders, rehash
from .lost import Lost, standing
from .schema import Lineage, Lowered, defaults, steps


@dataclass
class Healing:
    """What came of it."""

    healed: int = 0
    #: Stand-ins that become instances at the next load only, by the name that they stand for; and why others did not.
    waiting: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[Any, BaseException]] = field(default_factory=list)


def heal(space: object = None) -> Healing:
    """Turn stand-ins whose class is there again into its instances, upgraded and resumed; try failed upgrades again.

    Instances whose class has slots, a C base or arguments of its own to be made with cannot change in place: they stay
    stand-ins until the next load.

    Args:
        space: what `__resume__(space)` gets.
    """
    report, found = Healing(), []
    for obj in standing():
        cls = _class_of_today(obj)
        if cls is not None:
            found.append((obj, cls))
        elif names.look_up(*obj.__lost__.split(":")) is not names.MISSING:
            report.waiting[obj.__lost__] += 1
    kinds = frozenset(type(obj) for obj, _ in found)
    keyed = [(holder, list(holder)) for holder in holders(kinds, gc.get_objects())] if found else []
    healed = [one for one in (_become(obj, cls, report) for obj, cls in found) if one is not None]
    for obj, state, stored in healed:
        error = _upgrade(obj, state, stored)
        if error is None:
            report.healed += 1
            _resume(obj, space, report)
        else:
            report.failed.append((obj, error))
            quarantine.hold(obj, stored, error)
    for holder, order in keyed:
        rehash(holder, order)
    with rebuild.look_through():
        _try_again(space, report, {id(obj) for obj, _, _ in healed})
    return report


def _class_of_today(obj: Lost) -> type | None:
    maker, args = obj._lost_call
    found = names.look_up(*obj.__lost__.split(":"))
    if found is names.MISSING:
        found = names.former_names().get(obj.__lost__)
    in_place = maker in ("new", "hashed") and not args
    return found if isinstance(found, type) and in_place else None


def _become(obj: Lost, cls: type, report: Healing) -> tuple[Any, dict[str, Any], Lineage] | None:
    name, stored, kept, own = obj.__lost__, obj.__lineage__, obj.kept(), obj._lost_state
    before = dict(vars(obj))
    vars(obj).clear()
    try:
        object.__setattr__(obj, "__class__", cls)
    except TypeError:
        vars(obj).update(before)
        report.waiting[name] += 1
        return None
    if own is not None:
        fill_own(obj, *own)
        return obj, as_dict(own[0]), stored
    filler(cls, defaults(cls), None)(obj, tuple(kept), list(kept.values()))
    return obj, kept, stored


def _upgrade(obj: Any, state: dict[str, Any], stored: Lineage) -> Exception | None:
    """Run the hooks that its class wants; what went wrong. The state is then as it was."""
    try:
        for hook, before in steps(type(obj), stored, _today):
            hook(obj, before, dict(state))
    except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; the report tells
        if not isinstance(error, Lowered):
            put_back(obj, state)
        return error
    return None


def _today(name: str) -> str:
    cls = names.former_names().get(name)
    return name if cls is None else names.full_name(cls)


def _resume(obj: Any, space: object, report: Healing) -> None:
    resume = getattr(type(obj), "__resume__", None)
    if resume is not None:
        try:
            resume(obj, space)
        except Exception as error:  # noqa: BLE001 - a user's hook may raise anything; the report tells
            report.failed.append((obj, error))


def _try_again(space: object, report: Healing, fresh: set[int]) -> None:
    for one in quarantine.loaded():
        if id(one.obj) in fresh:
            continue
        error = _mend(one)
        if error is None:
            quarantine.release(one.obj)
            report.healed += 1
            _resume(one.obj, space, report)
        else:
            report.failed.append((one.obj, error))


def _mend(one: quarantine.Held) -> Exception | None:
    """Bring an object that waits up to date; what went wrong."""
    if one.kept is None:
        return _upgrade(one.obj, attributes(one.obj), one.stored)
    try:
        fill_own(one.obj, *one.kept)
    except Exception as error:  # noqa: BLE001 - a user's __setstate__ may raise anything; the report tells
        return error
    return _upgrade(one.obj, as_dict(one.kept[0]), one.stored)
