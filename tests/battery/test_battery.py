"""The public half of the neutral hot-swap battery, where it lies beside this repository."""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PLACES = [parent / "shared" / "battery" for parent in HERE.parents]
BATTERY = next((p for p in PLACES if (p / "run.py").exists()), None)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    if BATTERY is None:
        pytest.skip("the battery is not beside this repository (../shared/battery)")
    home = tmp_path_factory.mktemp("battery")
    shutil.copytree(BATTERY, home / "battery", ignore=shutil.ignore_patterns("marathon", "__pycache__"))
    for folder in (home, *home.rglob("*")):
        folder.chmod(0o755)
    shutil.copy(HERE / "midair_rebuild.py", home / "battery/adapters")
    out = home / "out.json"
    command = [
        sys.executable,
        "run.py",
        "--adapter",
        "midair_rebuild",
        "--half",
        "public",
        "--json",
        str(out),
        "--timeout",
        "60",
    ]
    done = subprocess.run(command, cwd=home / "battery", capture_output=True, text=True, timeout=110, check=False)
    assert out.exists(), done.stdout + done.stderr
    return {r["case"]: r for r in json.loads(out.read_text())}


def test_every_public_case_passes(results):
    without = {"migrate/unpickle_hook"} if importlib.util.find_spec("midair.runtime.snapshot") is None else set()
    failed = {name: r["detail"] for name, r in results.items() if r["status"] != "pass" and name not in without}
    assert failed == {}
    assert len(results) == 100
