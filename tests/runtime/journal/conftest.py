"""Snapshots in these tests are signed with a key of their own, never with the user's."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("key") / "key"
    monkeypatch.setenv("MIDAIR_KEY_FILE", str(path))
    return path
