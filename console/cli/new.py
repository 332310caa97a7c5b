"""`midair new NAME`: a project to start from."""

from __future__ import annotations

import argparse
import keyword
import shutil
import sys
from pathlib import Path
from string import Template

from ...runtime.errors import ServerError
from .faults import UsageError
from .parser import Commands

#: The files of a project, and the templates in `project/` that they are made from.
FILES = {
    "{name}.py": "app.py.in",
    "tests/test_{name}.py": "tests/test_app.py.in",
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    ".gitignore": "gitignore.in",
    "{name}.service": "service.in",
    "Dockerfile": "Dockerfile.in",
}


def add(commands: Commands) -> None:
    parser = commands.add(
        "new",
        new,
        "make a project to start from",
        example="midair new guestbook",
        more="A small server with its tests, a .gitignore, a systemd unit and a Dockerfile, in a new folder NAME.",
    )
    parser.add_argument("name", metavar="NAME", help="a Python name, for it is imported by it")


def new(options: argparse.Namespace) -> int:
    """Write the project; nothing when there is a folder of that name."""
    folder = Path(options.name)
    name = folder.name
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(f"{name!r} is not a Python name, and the program is imported by it; choose another")
    if name == "midair" or name in sys.stdlib_module_names:
        raise UsageError(f"{name!r} is a module already, and the program would never be imported by it; choose another")
    if folder.exists():
        raise UsageError(f"{folder} exists already and was left alone; choose another name")
    try:
        _write(folder, render(name))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ServerError(f"{folder} was not made: {error.strerror}") from error
    print(f"{folder}/ is ready; now:\n    cd {folder}\n    midair run {name}.py\n    telnet localhost 4000")
    return 0


def _write(folder: Path, files: dict[str, str]) -> None:
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def render(name: str) -> dict[str, str]:
    """The files of a project with this name, by their path in it."""
    from importlib import resources

    from midair.version import __version__

    templates = resources.files("midair.console.cli") / "project"
    return {
        file.format(name=name): Template((templates / template).read_text(encoding="utf-8")).substitute(
            name=name, version=__version__
        )
        for file, template in FILES.items()
    }
