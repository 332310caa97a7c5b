"""Coroutine tests run by themselves: no plugin, one loop a test, closed afterwards."""

import asyncio
import inspect
import os
import sys
from collections.abc import Iterator

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long runs out unless `make soak` asked for them; keep groups of tests on one worker."""
    _name_groups(config, items)
    if os.environ.get("MIDAIR_SOAK"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def _name_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """xdist puts a test's group behind its id, where pytest 9.2 no longer looks: so the groups would have no effect."""
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group and getattr(config.option, "loadgroup", False) and hasattr(item, "_id") and "@" not in item.nodeid:
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")


@pytest.fixture(autouse=True)
def _no_edit_of_one_test_is_seen_by_the_next() -> Iterator[None]:
    """What `rebuild` knows belongs to the process, and a process runs many tests."""
    yield
    if "midair.runtime.rebuild" not in sys.modules:
        return
    from midair.runtime import rebuild
    from midair.runtime.rebuild import edits, engine, sources

    rebuild.unwatch()
    for name in list(sources.records):
        sources.forget(name)
    sources.folders.clear()
    for key in [key for key in engine.checks if not key[0].startswith("midair.")]:
        del engine.checks[key]
    edits.history._entries.clear()
    edits.history.last = 0
    for waiting in (edits._held, edits._refused, edits._surroundings):
        waiting.clear()
