"""Enumerations: members that stay keep their identity, whatever happens around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import native, sources
from .kinds import isa

if TYPE_CHECKING:
    from .scopes import Scope


def merge(scope: Scope, cls: Any, made: Any) -> None:
    """Give a live enumeration the members of one built aside, its own member objects first."""
    tx = scope.tx
    old: dict[str, Any] = dict(cls._member_map_)
    new: dict[str, Any] = dict(made._member_map_)
    named = {id(member) for member in old.values()}
    unnamed = {v: m for v, m in cls._value2member_map_.items() if id(m) not in named}  # combinations of flags
    chosen: dict[int, Any] = {}  # member of the class built aside -> the object that goes on
    for name, member in new.items():
        if id(member) in chosen:
            continue
        live = old.get(name) or unnamed.get(member._value_) or _returned(scope, cls, name)
        ours = live is not None and (live._name_ == name or live._value_ in unnamed)
        if ours and _can_become(live, member):
            _become(tx, live, member)
            chosen[id(member)] = live
        else:
            if ours:
                scope.edit.swaps.append((live, member))
            tx.flush()
            native.set_type(member, cls)
            tx.did(native.set_type, member, made)
            chosen[id(member)] = member
    members = {name: chosen[id(member)] for name, member in new.items()}
    by_value = {value: chosen[id(member)] for value, member in made._value2member_map_.items() if id(member) in chosen}
    mask = getattr(made, "_flag_mask_", 0)
    by_value |= {v: m for v, m in unnamed.items() if v not in by_value and isinstance(v, int) and v | mask == mask}
    for holder, content in ((cls._member_map_, members), (cls._value2member_map_, by_value)):
        before = dict(holder)
        tx.hold(before)
        tx.stage((dict.clear, holder), (dict.update, holder, before))
        tx.stage((dict.update, holder, content), (dict.clear, holder))
    names = list(cls._member_names_)
    tx.stage((list.__setitem__, cls._member_names_, slice(None), list(made._member_names_)),
             (list.__setitem__, cls._member_names_, slice(None), names))  # fmt: skip
    for name in ("_member_map_", "_value2member_map_", "_member_names_"):
        tx.set_attr(cls, name, vars(cls)[name])  # undo what taking in the members did to these three
    for name in set(old) - set(new):
        if type(old[name]).__weakrefoffset__:
            sources.remember(cls.__module__, "member", f"{cls.__qualname__}.{name}", old[name])
        tx.del_attr(cls, name)
    for name, member in members.items():
        if name in vars(cls) or name in vars(made):
            value = vars(made).get(name)
            tx.set_attr(cls, name, member if value is None or isa(value, made) or id(value) in chosen else value)


def _returned(scope: Scope, cls: Any, name: str) -> Any:
    """A member removed by an earlier edit, if somebody still holds it."""
    kept = scope.plan.record.gone.pop(("member", f"{cls.__qualname__}.{name}"), None)
    return kept() if kept is not None else None


def _can_become(live: Any, member: Any) -> bool:
    """An enum that is also a str or an int keeps the value inside the object: only an equal one can go on."""
    mixed = [c for c in type(member).__mro__ if c in (int, str, bytes, float, tuple)]
    if not mixed or mixed[0] is object:
        return True
    kind = mixed[0]
    return bool(kind.__eq__(live, member))


def _become(tx: Any, live: Any, member: Any) -> None:
    mine, its = vars(live), vars(member)
    for key, value in its.items():
        if key != "__objclass__" and mine.get(key, tx) is not value:
            tx.set_item(mine, key, value)
