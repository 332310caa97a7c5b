"""Tests here that take `live` run each in a fork of their own (see rebuild_cases)."""

from collections.abc import Iterator

import pytest
from rebuild_cases import Live, fresh_folder, in_a_fork


@pytest.fixture
def live() -> Iterator[Live]:
    with fresh_folder() as folder:
        yield Live(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if "live" not in pyfuncitem.fixturenames:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    in_a_fork(pyfuncitem.obj, arguments)
    return True
