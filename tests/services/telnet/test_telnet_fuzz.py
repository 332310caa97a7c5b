"""The telnet machine under atheris, which looks for bytes that reach new code: a few thousand runs each time, minutes in `make fuzz`."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz_telnet.py")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: it has no wheel for this Python or platform",
)

# Run without importing it here: atheris instruments what it imports, and belongs in a process of its own.
SEEDING = (
    "import runpy, sys, pathlib; made = runpy.run_path(sys.argv[1]); folder = pathlib.Path(sys.argv[2]);"
    "made['write_seeds'](folder / 'seeds'); (folder / 'telnet.dict').write_text(made['dictionary']())"
)


def test_no_bytes_confuse_the_telnet_machine(tmp_path: Path) -> None:
    (tmp_path / "seeds").mkdir()
    subprocess.run([sys.executable, "-c", SEEDING, str(FUZZ), str(tmp_path)], check=True, capture_output=True)
    seconds = os.environ.get("MIDAIR_FUZZ_SECONDS")
    bound = [f"-max_total_time={seconds}"] if seconds else ["-runs=3000"]
    command = [sys.executable, str(FUZZ), *bound, f"-dict={tmp_path / 'telnet.dict'}", "-max_len=512", "-timeout=30"]
    done = subprocess.run(
        [*command, str(tmp_path / "seeds")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs, done.stderr[-4000:]
    print(runs[0], re.findall(r"cov: \d+ ft: \d+ corp: \S+", done.stderr)[-1])
    assert int(runs[1]) >= 1000
    assert "Dictionary: 18 entries" in done.stderr
