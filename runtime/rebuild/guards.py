"""Instances that wait for their upgrade, and the guards that keep everybody from seeing them before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from . import closed, instances
from .errors import NotUpgraded
from .instances import Upgrades
from .transaction import MISSING, Transaction

log = logging.getLogger("midair.rebuild")

_GUARDED = ("__getattribute__", "__setattr__", "__delattr__")


class Waiting:
    """Instances still to be upgraded after a commit; falsy when there are none."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[Any, dict[str, Any] | None]] = {}
        self._order: list[int] = []  # of those that wait, and of some that do no longer
        self._upgrades = Upgrades()
        self._guarded: dict[type, dict[str, Any]] = {}
        self.done = 0
        self.quarantined: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, upgrades: Upgrades, everyone: list[Any], states: dict[int, dict[str, Any]]) -> None:
        """Take over the upgrades of an edit that has just been made."""
        self._upgrades = upgrades
        self._pending = {id(thing): (thing, states.get(id(thing))) for thing in everyone}
        self._order = list(reversed(self._pending))
        kinds = {type(thing) for thing in everyone}
        originals = {(cls, name): getattr(cls, name) for cls in kinds for name in _GUARDED}
        for cls in kinds:
            self._guarded[cls] = {name: vars(cls).get(name, MISSING) for name in _GUARDED}
            for name in _GUARDED:
                type.__setattr__(cls, name, self._guard(originals[cls, name]))
        _active.append(self)

    def _guard(self, original: Callable[..., Any]) -> Callable[..., Any]:
        pending, upgrade = self._pending, self._upgrade

        def guard(thing: Any, *arguments: Any) -> Any:
            if id(thing) in pending:
                upgrade(thing)
            elif id(thing) in quarantine and not closed.looking():
                raise NotUpgraded(quarantine[id(thing)].message)
            return original(thing, *arguments)

        return guard

    def _upgrade(self, thing: Any) -> None:
        _, earlier = self._pending.pop(id(thing))
        tx = Transaction()
        try:
            if instances.one(tx, self._upgrades, thing, earlier):
                self.done += 1
        except Exception as error:  # noqa: BLE001 -- rehearsed, so this is about this instance alone: it waits for the next edit
            tx.roll_back()
            held = Quarantined(thing, self._upgrades, earlier, error)
            quarantine[id(thing)] = held
            self.quarantined.append(held.message)
            log.error("%s", held.message)  # noqa: TRY400 -- one line; the traceback was in the rehearsal
        if not self._pending:
            self._lift()

    def some(self, seconds: float) -> None:
        """Upgrade for about that long, one instance at least."""
        until = time.perf_counter() + seconds
        while self._pending:
            if (waits := self._pending.get(self._order.pop())) is not None:
                self._upgrade(waits[0])
            if time.perf_counter() >= until:
                break

    def _lift(self) -> None:
        """Nothing waits: the classes are as their source says, but where an instance could not be upgraded."""
        stuck = {type(held.thing) for held in quarantine.values()}
        for cls in [c for c in self._guarded if c not in stuck]:
            self._unguard(cls)
        if self in _active and not self._guarded:
            _active.remove(self)

    def _unguard(self, cls: type) -> None:
        for name, own in self._guarded.pop(cls).items():
            if own is MISSING:
                type.__delattr__(cls, name)
            else:
                type.__setattr__(cls, name, own)

    def failures(self) -> str:
        return f", {len(self.quarantined)} could not be and keep their old state" if self.quarantined else ""

    def release(self) -> None:
        if not self._pending:
            self._lift()


class Quarantined:
    """An instance whose upgrade failed, with what a later edit needs to try again."""

    def __init__(self, thing: Any, upgrades: Upgrades, earlier: dict[str, Any] | None, error: Exception) -> None:
        self.thing, self.upgrades, self.earlier = thing, upgrades, earlier
        cls = type(thing)
        self.message = (
            f"{cls.__module__}.{cls.__qualname__} at {id(thing):#x} could not be upgraded ({type(error).__name__}: {error}); "
            "it keeps its old state and is tried again by the next edit"
        )


quarantine: dict[int, Quarantined] = {}
_active: list[Waiting] = []


def not_upgraded() -> list[tuple[Any, dict[type, int]]]:
    """The instances that an edit could not upgrade, with the schemas that their state still has."""
    found = []
    for held in quarantine.values():
        ways = held.upgrades
        schemas = {cls: was for cls, (was, _) in ways.raised.items()}
        schemas |= {base: 0 for owner in type(held.thing).__mro__ for base in ways.joined.get(owner, ())}
        found.append((held.thing, schemas))
    return found


def busy() -> bool:
    """Do instances still wait for their upgrade? A snapshot must not be taken then."""
    return any(_active)


def finish_all() -> None:
    """Upgrade everything that waits, now: another edit is about to change the classes again."""
    for waiting in tuple(_active):
        waiting.some(float("inf"))


def try_again() -> int:
    """Give instances that could not be upgraded another chance, with the hooks there are now."""
    count = 0
    for key, held in list(quarantine.items()):
        upgrades = held.upgrades.renewed()
        tx = Transaction()
        del quarantine[key]
        try:
            instances.one(tx, upgrades, held.thing, held.earlier)
            count += 1
        except Exception as error:  # noqa: BLE001 -- it stays where it was, and says why
            tx.roll_back()
            quarantine[key] = Quarantined(held.thing, upgrades, held.earlier, error)
    for waiting in tuple(_active):
        waiting.release()
    return count


__all__ = ["Quarantined", "Waiting", "busy", "finish_all", "not_upgraded", "quarantine", "try_again"]
