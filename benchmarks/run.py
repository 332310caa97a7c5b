"""Run the benchmarks, each beside its peers, and keep what they print in RESULTS.md.

    make bench                                   all of them
    .venv/bin/python benchmarks/run.py rebuild   one

A benchmark is a program of this folder that prints a Markdown section, its own command included. A peer that is not
installed is left out, and the section says so.
"""

import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"


def sections() -> dict[str, str]:
    """The sections of RESULTS.md by name."""
    if not RESULTS.exists():
        return {}
    parts = RESULTS.read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}


def main(names: list[str]) -> int:
    every = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run" and not path.stem.startswith("_"))
    kept, failed = sections(), 0
    for name in names or every:
        print(f"--- {name}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, HERE / f"{name}.py"],
            stdout=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        print(done.stdout)
        if done.returncode:
            failed += 1
        else:
            kept[name] = f"`python benchmarks/{name}.py` on Python {platform.python_version()}\n\n{done.stdout.strip()}"
    body = "\n\n".join(f"## {name}\n{text}" for name, text in sorted(kept.items()))
    RESULTS.write_text(
        f"# Results\n\nFigures of one machine; take the ratios. `make bench` makes this file anew.\n\n{body}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
