"""Coroutine tests run by themselves: no plugin, one loop a test, closed afterwards."""

import asyncio
import inspect
import os

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
