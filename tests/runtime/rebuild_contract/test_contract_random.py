"""Random programs, edited at random: after each edit the live process is what a fresh import would be."""

import contextlib
import dataclasses
import enum
import random
import time
import types
from typing import Any

import pytest
from rebuild_cases import Live, fresh_folder, in_a_fork
from rebuild_programs import Program, describe, differences, freshly, made, observe

from midair.runtime import rebuild

SHRINKING = 20.0  # seconds to spend on a smaller program that shows the same


class Difference(AssertionError):
    """The live process is not what a fresh one would be."""


def edit_at_random(live: Live, seed: int, edits: int) -> None:
    """Start a program and edit it; raise with seed, texts and differences at the first that is not as it must be."""
    rng = random.Random(seed)
    program = made(rng)
    while not _imports(program):
        program = made(rng)
    live.start(program.files())
    import a
    import b

    done = 0
    while done < edits:
        after = program.edited(rng)
        if after.files() == program.files() or not (_imports(after) or rng.random() < 0.2):
            continue
        try:
            step(live, (a, b), program, after)
        except Exception as error:
            raise Difference(f"seed {seed}, edit {done + 1}: {error}\n{smallest(program, after)}") from error
        done += 1
        program = after if _imports(after) else program


def step(live: Live, modules: tuple[types.ModuleType, ...], before: Program, after: Program) -> None:
    """One edit and everything that must hold after it."""
    held = hold(modules)
    files, expected = after.files(), _fresh(after)
    live.write(files)
    if expected is None:
        # Only what changed runs, so an edit may be applied that a fresh import would stumble over further down.
        with contextlib.suppress(rebuild.RebuildError):
            rebuild.rebuild()
        live.write(before.files())
        rebuild.rebuild()
        _same(modules, _fresh(before), "after an edit that cannot be imported, and back")
        return
    rebuild.rebuild()
    _same(modules, expected, "")
    _check_held(modules, held)


def hold(modules: tuple[types.ModuleType, ...]) -> dict[str, dict[str, Any]]:
    """References as other parts of a program have them: functions, classes, an instance of each class."""
    held: dict[str, dict[str, Any]] = {}
    for module in modules:
        own = {n: v for n, v in vars(module).items() if getattr(v, "__module__", None) == module.__name__}
        held[module.__name__] = {n: v for n, v in own.items() if isinstance(v, (type, types.FunctionType))}
        for name, cls in own.items():
            if type(cls) is type:
                with contextlib.suppress(Exception):  # some cannot be made without arguments
                    held[module.__name__][f"{name}()"] = cls()
    return held


def _check_held(modules: tuple[types.ModuleType, ...], held: dict[str, dict[str, Any]]) -> None:
    for module in modules:
        for name, old in held[module.__name__].items():
            new = vars(module).get(name.removesuffix("()"))
            if name.endswith("()") and isinstance(new, type) and not isinstance(new, enum.EnumMeta):
                _check_instance(f"{module.__name__}.{name}", old, new)
            if type(new) is not type(old) or name.startswith("m_"):  # what a factory made keeps its own cells
                continue
            if isinstance(old, type):
                if new is not old:
                    raise Difference(f"{module.__name__}.{name} is another class than the one that was held")
            elif lines := list(differences(describe(old), describe(new), f"held {module.__name__}.{name}")):
                raise Difference("\n".join(lines[:5]))


def _check_instance(name: str, old: Any, cls: type) -> None:
    if not isinstance(old, cls):
        raise Difference(f"{name}, held from before, is no instance of the class")
    if type(cls) is not type or dataclasses.is_dataclass(cls) or "__slots__" in vars(cls):
        return  # its state is its own
    fresh = cls()
    if hasattr(
        old, "__dict__"
    ):  # a method may return the instance: so both have the one state, and the code is compared
        vars(fresh).clear()
        vars(fresh).update(vars(old))
    if lines := list(differences(describe(old)[3], describe(fresh)[3], f"held {name}")):
        raise Difference("\n".join(lines[:5]))


def _same(modules: tuple[types.ModuleType, ...], expected: dict[str, Any] | None, when: str) -> None:
    seen = {module.__name__: observe(module) for module in modules}
    if lines := list(differences(seen, expected)):
        raise Difference(when + "\n".join(lines[:8]))


def _fresh(program: Program) -> dict[str, Any] | None:
    try:
        return freshly(program.files())
    except Exception:
        return None


def _imports(program: Program) -> bool:
    return _fresh(program) is not None


def smallest(before: Program, after: Program) -> str:
    """The pair of programs with as few statements as still show a difference, when one edit alone shows it."""
    if not _differs(before, after):
        return "One edit alone does not show it: replay the seed.\n" + _shown(before, after)
    shrunk, enough = True, time.monotonic() + SHRINKING
    while shrunk:
        shrunk = False
        for module in "ab":
            names = {(s.name, s.kind) for s in [*getattr(before, module), *getattr(after, module)]}
            for name, kind in sorted(names):
                if time.monotonic() > enough:
                    return _shown(before, after)
                less, more = before.without(module, name, kind), after.without(module, name, kind)
                if _imports(less) and _imports(more) == _imports(after) and _differs(less, more):
                    before, after, shrunk = less, more, True
    return _shown(before, after)


def _shown(before: Program, after: Program) -> str:
    parts = []
    for label, program in (("BEFORE", before), ("AFTER", after)):
        parts += [f"--- {label} {name}\n{text}" for name, text in program.files().items()]
    return "\n".join(parts)


def _differs(before: Program, after: Program) -> bool:
    """Whether this one edit shows a difference, tried in a process of its own."""
    with fresh_folder() as folder:
        try:
            in_a_fork(_one_edit, {"live": Live(folder), "before": before, "after": after})
        except pytest.fail.Exception:
            return True
    return False


def _one_edit(live: Live, before: Program, after: Program) -> None:
    import sys

    for name in ("a", "b"):
        sys.modules.pop(name, None)
    live.start(before.files())
    import a
    import b

    step(live, (a, b), before, after)


@pytest.mark.parametrize("seed", range(12))
def test_random_edits_leave_what_a_fresh_process_would_have(live, seed):
    edit_at_random(live, seed, 20)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_ten_thousand_random_edits(live, seed):
    edit_at_random(live, seed, 50)
