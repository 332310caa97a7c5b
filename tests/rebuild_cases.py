"""A live program for one test: files in a folder, imported, edited and rebuilt, in a process of its own.

Each test that asks for `live` runs in a fork: whatever it leaves behind (modules, threads, patched classes) goes with
the child. Imports are written inside the test, where the files exist.
"""

import asyncio
import contextlib
import importlib
import inspect
import os
import pickle
import select
import shutil
import signal
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midair.runtime import rebuild

PATIENCE = 50.0  # seconds a child may take before it is killed; a case takes some ten milliseconds


class Live:
    """The files of one live program, and the process that imported them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.on_disk: dict[str, str] = {}

    def start(self, *files: str | dict[str, str | None], **modules: str | None) -> None:
        """Write the first version and record the folder. A bare text is `m.py`, a keyword `name.py`."""
        self.write(*files, **modules)
        sys.path.insert(0, str(self.root))
        importlib.invalidate_caches()
        rebuild.record(self.root)

    def write(self, *files: str | dict[str, str | None], **modules: str | None) -> None:
        """Save as most editors do, under another name and renamed; None deletes the file."""
        for name, text in self._named(files, modules).items():
            path = self.root / name
            if text is None:
                path.unlink()
                del self.on_disk[name]
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            scratch = path.with_suffix(".tmp~")
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
            self.on_disk[name] = text

    def become(self, *files: str | dict[str, str | None], **modules: str | None) -> rebuild.Report:
        """Write the next version and rebuild."""
        self.write(*files, **modules)
        return rebuild.rebuild()

    def edit(self, old: str, new: str, file: str = "m.py") -> rebuild.Report:
        """Replace `old` by `new` wherever it stands in the file, and rebuild."""
        self.replace(old, new, file)
        return rebuild.rebuild()

    def replace(self, old: str, new: str, file: str = "m.py") -> None:
        """Replace `old` by `new` wherever it stands in the file; nothing is rebuilt."""
        text = self.on_disk[file]
        if old not in text:
            raise ValueError(f"{old!r} does not occur in {file}")
        self.write({file: text.replace(old, new)})

    def refused(self, *files: str | dict[str, str | None], **modules: str | None) -> rebuild.RebuildError:
        """Write the next version; the rebuild must raise, and what it raised is returned."""
        self.write(*files, **modules)
        with pytest.raises(rebuild.RebuildError) as caught:
            rebuild.rebuild()
        return caught.value

    @staticmethod
    def _named(files: tuple[str | dict[str, str | None], ...], modules: dict[str, str | None]) -> dict[str, str | None]:
        named: dict[str, str | None] = {f"{name}.py": text for name, text in modules.items()}
        for given in files:
            named.update({"m.py": given} if isinstance(given, str) else given)
        return {
            name: text if text is None else textwrap.dedent(text.removeprefix("\n")) for name, text in named.items()
        }


def in_a_fork(function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Call a test in a child process; fail here, with the child's traceback, when it fails there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Later Pythons warn of forks beside threads; the runner's threads hold nothing that a case needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reading)
        signal.signal(signal.SIGALRM, _overdue)
        signal.alarm(round(PATIENCE * 0.8))
        answer = pickle.dumps(_outcome(function, arguments))
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a case may leave threads and loops behind
    os.close(writing)
    data = b""
    with os.fdopen(reading, "rb") as pipe:
        while select.select([pipe], [], [], PATIENCE)[0]:
            piece = os.read(pipe.fileno(), 65536)
            if not piece:
                break
            data += piece
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    kind, text = pickle.loads(data) if data else ("failed", f"the child process ended with status {status}")
    if kind == "failed":
        pytest.fail(text, pytrace=False)
    elif kind == "skipped":
        pytest.skip(text)


def _overdue(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"the case was not over after {PATIENCE * 0.8:.0f} s")


def _outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> tuple[str, str]:
    sys.dont_write_bytecode = True
    try:
        if inspect.iscoroutinefunction(function):
            asyncio.run(function(**arguments))
        else:
            function(**arguments)
    except pytest.skip.Exception as skipped:
        return "skipped", str(skipped)
    except BaseException as failure:  # SystemExit of an edited file must not pass for success
        try:
            return "failed", str(pytest.ExceptionInfo.from_exception(failure).getrepr(style="short"))
        except Exception as unprintable:
            return "failed", f"{type(failure).__name__}, and printing it raised {unprintable!r}"
    return "passed", ""


@contextlib.contextmanager
def fresh_folder() -> Any:
    """A folder that goes when the test ends, whichever process wrote to it."""
    folder = Path(tempfile.mkdtemp(prefix="midair-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
