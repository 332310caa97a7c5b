"""What is installed from the built wheel, in a fresh environment and an empty folder, is whole and works."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("runtime", "services", "console", "examples")

# One worker builds and installs; on a busy machine that takes a while.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("the wheel"), pytest.mark.timeout(400)]


def run(*command, **options):
    """Run a command that must succeed; its standard output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def files_of_the_checkout():
    """What git knows, and what is new and not ignored: what a clone of the next commit would have."""
    return run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that was made from it, of a clean copy of the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in files_of_the_checkout():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", cwd=source)
    (wheel,), (sdist,) = (source / "dist").glob("*.whl"), (source / "dist").glob("*.tar.gz")
    return wheel, sdist


class Installed:
    """A fresh environment with the wheel in it, and a folder of its own to work in."""

    def __init__(self, folder, wheel):
        self.folder = folder / "empty"
        self.folder.mkdir()
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / "bin"
        kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        self.environment = {
            **kept,
            "MIDAIR_RUNTIME_DIR": str(folder / "run"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
        }
        self("pip", "install", "--quiet", wheel)

    def __call__(self, program, *args, cwd=None):
        return run(self.bin / program, *args, cwd=cwd or self.folder, env=self.environment, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"), built[0])


def test_the_wheel_has_every_module_and_template_of_the_checkout(built):
    packed = set(zipfile.ZipFile(built[0]).namelist())
    for name in files_of_the_checkout():
        room, _, rest = name.partition("/")
        if room not in ROOMS or rest.startswith("plugin/") or name.endswith(".md"):
            continue  # documents and the plugin are read in a checkout
        expected = f"midair/{rest.removeprefix('_top/')}" if rest.startswith("_top/") else f"midair/{name}"
        assert expected in packed, f"{name} is missing from the wheel"


def test_the_wheel_brings_one_top_level_name(built):
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(built[0]).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"midair"}


def test_the_sdist_has_what_the_wheel_is_made_from(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "setup.py", "LICENSE", "README.md", "runtime/_top/__init__.py"} <= names


def test_the_rooms_are_not_importable_by_their_bare_names(installed):
    for room in ROOMS[:3]:
        done = subprocess.run([installed.bin / "python", "-c", f"import {room}"], cwd=installed.folder, check=False)
        assert done.returncode == 1


def test_the_commands_are_there(installed):
    assert re.fullmatch(r"midair \d+\.\d+\.\d+\n", installed("midair", "--version"))
    assert installed("python", "-m", "midair", "--version") == installed("midair", "--version")
    for name in ("mkwebserver", "mktelnetserver", "mkircserver"):
        assert name in installed(name, "--help")


def test_names_in_pickles_begin_with_midair(installed):
    code = (
        "import pickle, pickletools; from midair import Service; from midair.services.net import Lines\n"
        "print([arg for cls in (Service, Lines) for op, arg, _ in pickletools.genops(pickle.dumps(cls, 2)) "
        "if op.name == 'GLOBAL'])"
    )
    assert installed("python", "-c", code) == "['midair.runtime.service Service', 'midair.services.net Lines']\n"


def test_midair_new_makes_a_project_whose_tests_pass(installed):
    installed("midair", "new", "guestbook")
    installed("python", "-W", "error", "-m", "unittest", "discover", "tests", cwd=installed.folder / "guestbook")


def test_midair_demo_tells_its_tour_to_the_end(installed):
    told = installed("midair", "demo")
    for seen in (r"edit 1\b", "refused", r"resumed chat\.spl generation \d+", "carl sees:   anna: hello"):
        assert re.search(seen, told), told
    assert not list(installed.folder.glob("chat*"))


def test_a_kind_from_a_package_of_its_own_is_made_and_run(installed, tmp_path):
    shutil.copytree(ROOT / "examples" / "plugin", tmp_path / "plugin")
    installed("pip", "install", "--quiet", "--no-deps", tmp_path / "plugin")
    assert re.search(r"^clock +A clock: tells the time", installed("midair", "make"), re.MULTILINE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = installed("midair", "make", "clock", "--port", port, "--zone", "CET")
    assert "wrote clock.spl" in made
    installed("midair", "run", "clock.spl", "--daemon")
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            assert re.fullmatch(r"It is \d\d:\d\d:\d\d CET; asked 1 times\.\r\n", sock.makefile("r", newline="").read())
    finally:
        installed("midair", "stop", "clock")
