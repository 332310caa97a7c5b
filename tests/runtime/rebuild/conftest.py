"""A folder of modules that a test writes, imports and edits; nothing of it is left behind."""

import gc
import importlib
import sys
import textwrap

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import edits, engine, sources


class Project:
    """`write` files, `load` modules, `edit` files and rebuild."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files):
        for name, text in files.items():
            path = self.path(name)
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text).lstrip("\n"))

    def path(self, name):
        return self.folder / (
            name.replace("__", "/") + ".py" if "__" in name and not name.startswith("__") else name + ".py"
        )

    def load(self, name="m"):
        importlib.invalidate_caches()
        return importlib.import_module(name)

    def edit(self, **files):
        self.write(**files)
        return rebuild.rebuild()

    def replace(self, name, *pairs):
        text = self.path(name).read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
            text = text.replace(old, new)
        self.path(name).write_text(text)
        return rebuild.rebuild()


@pytest.fixture
def project(tmp_path, monkeypatch):
    known, folders = set(sys.modules), list(sources.folders)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    rebuild.record(tmp_path)
    yield Project(tmp_path.resolve())
    for name in [name for name, record in sources.records.items() if record.path.startswith(str(tmp_path))]:
        sources.forget(name)
    for name in set(sys.modules) - known:
        del sys.modules[name]
    sources.folders[:] = folders
    for key in [key for key in engine.checks if not key[0].startswith("midair.")]:
        del engine.checks[key]
    edits._held.clear()
    edits._refused.clear()
    gc.collect()
