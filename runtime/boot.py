"""From what a person named to a space that is ready to run: resumed from its file, or built anew.

find what is meant -> take the lock -> set aside what --fresh replaces -> load the file, or build
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from . import rebuild, snapshot
from .app import Application, NoSuchModule, place_of
from .errors import ServerError, SnapshotError
from .files import Files, Hold
from .rebuild.given import given
from .service import Service
from .space import Space
from .words import ago, near


class ApplicationFailed(ServerError):
    """The program itself failed while it was imported or built; its error is the cause of this one."""


@dataclass(frozen=True)
class Target:
    """What is to be run.

    Args:
        what: as it was named.
        files: where its space is, or will be.
        application: the program that builds it, when one was named.
        make: makes its one service, when a kind was named.
    """

    what: str
    files: Files
    application: Application | None = None
    make: Callable[[], Service] | None = None

    @classmethod
    def of(cls, what: str | None, *, file: str | None = None) -> Target:
        """From `FILE.spl`, `APP.py` or `package.module`.

        Args:
            file: where the space is kept, instead of `NAME.spl` in the current folder.

        Raises:
            ServerError: there is no such file or module.
        """
        if what is None or what.endswith(".spl"):
            named = what or file or ""
            if not Path(named).exists() and not snapshot.exists(named):
                raise ServerError(f"there is no file {named}; 'midair run APP.py' builds a space from a program")
            return cls(named, Files.of(named))
        application = Application.of(what)
        if not application.exists():
            raise ServerError(
                f"{what!r} is neither a .spl or .py file, nor a module that is importable from here, nor a kind of service"
            )
        return cls(what, Files.of(file or f"{application.name}.spl"), application)


@dataclass(frozen=True)
class How:
    """How a space is opened.

    Args:
        fresh: build anew; what is on disk is set aside.
        generation: this one rather than the newest.
        last_good: on the sources kept in the snapshot rather than on those on disk.
        lenient: objects that do not fit today's classes are put in quarantine, rather than refusing the start.
        trust: load a file that is not this user's own, or was imported from text.
    """

    fresh: bool = False
    generation: int | None = None
    last_good: bool = False
    lenient: bool = False
    trust: bool = False


@dataclass
class Opened:
    """A space ready to be served, with the right to do so."""

    space: Space
    hold: Hold
    application: Application | None
    #: What happened, in one line for the person who started it.
    line: str
    #: What they must know besides, a line each.
    warnings: list[str] = field(default_factory=list)


def open_space(target: Target, how: How | None = None) -> Opened:
    """Resume a space from its file, or build it when there is none.

    Raises:
        AlreadyRunning: another process runs it.
        ServerError: neither a file nor a program.
        SnapshotError: the file cannot be loaded, and why.
        ApplicationFailed: the program raised.
    """
    how = how or How()
    hold = Hold(target.files)
    hold.take()
    try:
        if how.fresh:
            return _anew(target, hold, how)
        if snapshot.exists(target.files.spl):
            return _resume(target, hold, how)
        if how.generation is not None or how.last_good:
            raise ServerError(f"there is no {target.files.spl.name} to take a generation from; nothing was started")
        return _build(target, hold)
    except BaseException:
        hold.release()
        raise


def _anew(target: Target, hold: Hold, how: How) -> Opened:
    """Build although there is a file. That is moved only when the program has built."""
    if target.application is None and target.make is None and target.files.spl.exists():
        stored = snapshot.vouched(target.files.spl, trust=how.trust).get("application")
        if stored is None:
            raise ServerError(f"{target.files.spl.name} does not say what it was built from; nothing was started")
        target = replace(target, application=Application.from_dict(stored))
    opened = _build(target, hold)
    if aside := set_aside(target.files):
        opened.line += f"; the old file is in {aside.name}/"
    return opened


def set_aside(files: Files) -> Path | None:
    """Move the snapshots and the journal of a space into a folder of their own, from which they can still be run; that folder.

    All generations go: the new space begins to count at 1 and must not meet the numbers of the old one.
    """
    its_own = re.compile(re.escape(files.name) + r"((\.\d+)?\.spl|\.\d+\.journal)")
    found = [path for path in files.folder.iterdir() if its_own.fullmatch(path.name)]
    if not found:
        return None
    folder = files.folder / f"{files.name}.aside-{time.strftime('%Y%m%d-%H%M%S')}"
    folder.mkdir(mode=0o700)
    for path in found:
        path.rename(folder / path.name)
    return folder


def _build(target: Target, hold: Hold) -> Opened:
    space, files = Space(), target.files
    if target.application:
        with _blaming(target.application):
            target.application.build(space)
        line = f"new space from {Path(target.what).name}"
    elif target.make:
        space[files.name] = target.make()
        line = f"new space of one {target.what}"
    else:
        raise ServerError(f"there is no file {files.spl}, and no program to build it from")
    return Opened(space, hold, target.application, line)


def _resume(target: Target, hold: Hold, how: How) -> Opened:
    spl = target.files.spl
    try:  # what the file says is about to run: its program is imported, perhaps on its sources
        manifest = snapshot.vouched(spl, how.generation, trust=how.trust)
    except FileNotFoundError:
        raise ServerError(f"there is no generation {how.generation} of {spl.name}; nothing was started") from None
    calls = snapshot.waiting(spl, how.generation)
    recorded = how.last_good or calls > 0
    stored = manifest.get("application")
    application = target.application or (_found(Application.from_dict(stored), target.files) if stored else None)
    advice = "" if how.last_good else f"; --last-good starts on the sources of generation {manifest['generation']}"
    folder = application.folder if application else str(target.files.folder)
    with given(manifest["sources"], folder) if recorded else nullcontext():
        if application:
            application.record()
            with _blaming(application, advice):
                application.import_()
        loaded = snapshot.resume(spl, how.generation, lenient=how.lenient, trust=how.trust)
    line = f"resumed {spl.name} generation {loaded.generation}, saved {ago(loaded.manifest['time'])}"
    if calls:
        done = snapshot.catch_up(loaded.space, spl)
        line += f", and {done.calls} calls confirmed since"
    if recorded and not how.last_good:
        _follow_files(loaded.generation, advice)
    if target.application:
        line += "; build() not run (--fresh starts anew, the old file is set aside)"
    elif target.make:
        line += "; its options are those it was made with (--fresh makes it anew, the old file is set aside)"
    _insist_on_services(loaded.space, advice)
    warnings = [*_met(loaded)]
    if application and not how.last_good:
        warnings += _of_two(application, target.files)
    if how.last_good:
        warnings += [f"{near(one.file)} is not what runs: {one.reason}; {one.cure}" for one in rebuild.held()]
    return Opened(loaded.space, hold, application, line, warnings)


def _insist_on_services(space: Space, advice: str) -> None:
    """A lenient start can do without an object here and there, not without a service.

    Raises:
        ApplicationFailed: one could not be upgraded.
    """
    waiting = {id(one.obj): one for one in snapshot.not_upgraded()}
    for name, service in space.services().items():
        if one := waiting.get(id(service)):
            raise ApplicationFailed(f"{name} cannot be started: {one.reason}; nothing was started{advice}")


def _found(application: Application, files: Files) -> Application:
    """The program where it was, or else in the sources that a restored backup has beside its snapshot."""
    restored = replace(application, folder=str(files.folder / f"{files.name}.sources"))
    return restored if not application.exists() and restored.exists() else application


def _of_two(application: Application, files: Files) -> Iterator[str]:
    """Which sources run, where a restored backup has its own beside its snapshot."""
    beside = files.folder / f"{files.name}.sources"
    if Path(application.folder) == beside:
        yield f"runs the sources of the backup, in {beside.name}"
    elif beside.is_dir():
        yield f"runs the program in {application.folder}; the backup's own sources are in {beside.name}"


def _follow_files(generation: int, advice: str) -> None:
    """From the sources that confirmed calls were replayed on to those of today, as by any edit.

    Raises:
        ApplicationFailed: they cannot be taken; nothing on disk was changed.
    """
    try:
        rebuild.rebuild(*rebuild.recorded(), who="start")
    except rebuild.RebuildError as error:
        where = f"{near(error.file)} line {error.line}: " if error.file else ""
        raise ApplicationFailed(
            f"{where}{error.reason}; the calls confirmed since generation {generation} were replayed on its sources, "
            f"and those on disk cannot follow; nothing was started{advice}"
        ) from error


def _met(loaded: snapshot.Loaded) -> Iterator[str]:
    """What a person must know of a load that did not go smoothly."""
    for path in loaded.set_aside:
        yield f"a damaged file was set aside as {path.name}"
    for name, count in loaded.lost.items():
        yield f"{name} is not in the code any more: {count} stand-ins keep what was stored"
    for problem in loaded.problems:
        yield f"kept as it was stored: {problem}"


@contextmanager
def _blaming(application: Application, advice: str = "") -> Iterator[None]:
    """Turn what the program raises into one sentence that names its file and line."""
    try:
        yield
    except NoSuchModule as error:
        raise ServerError(f"{error}{advice}") from None
    except (ServerError, SnapshotError):
        raise
    except (Exception, SystemExit) as error:
        where = place_of(error) or application.module
        raise ApplicationFailed(f"{where}: {_told(error)}; nothing was started{advice}") from error


def _told(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the program ended itself ({type(error).__name__}: {error.code}) while it was imported or built"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = text.partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def make_file(files: Files, make: Callable[[], Service]) -> Service:
    """Write a space with one service in it, named as the file, as the first generation of a new file; the service.

    Raises:
        ServerError: the file is there already, or a server of that name runs.
    """
    _refuse_existing(files)
    hold = Hold(files)
    hold.take()
    try:
        _refuse_existing(files)
        space = Space()
        space[files.name] = service = make()
        snapshot.save(space, files.spl)
    finally:
        hold.release()
    return service


def _refuse_existing(files: Files) -> None:
    if files.spl.exists():
        raise ServerError(f"{files.spl} exists already and was left alone; choose another with -o")
