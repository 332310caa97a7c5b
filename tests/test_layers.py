"""The arrows: console -> services -> runtime -> libraries, and rebuild stands alone."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def lint_imports(*options):
    # The linter reads files by their place, so it goes through the links that type checkers use.
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ".layout"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_go_one_way():
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_an_arrow_that_goes_the_other_way_is_found(tmp_path):
    """The check sees through the layout: a copy with one wrong import fails it."""
    for name in ("runtime", "services", "console"):
        (tmp_path / "midair" / name).mkdir(parents=True)
        (tmp_path / "midair" / name / "__init__.py").touch()
    (tmp_path / "midair" / "__init__.py").touch()
    (tmp_path / "midair" / "runtime" / "__init__.py").write_text("from .. import console\n")
    config = tmp_path / "importlinter.ini"
    config.write_text(
        "[importlinter]\nroot_package = midair\n[importlinter:contract:1]\nname = arrows\ntype = layers\n"
        "layers =\n    midair.console\n    midair.services\n    midair.runtime\n"
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", config],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "midair.runtime -> midair.console" in done.stdout
