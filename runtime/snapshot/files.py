"""`save` and `load`: a space and its `.spl`, in this process."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import journal
from ..disk import DISK, Disk
from ..errors import SnapshotCorrupt
from . import quarantine
from .container import Container, Writer
from .manifest import describe
from .memory import problems, read, refuse_problems
from .pickling import dump, ignore
from .store import Draft, Store
from .trust import insist, signing_key
from .unpickling import Problem

if TYPE_CHECKING:
    from ..space import Space

log = logging.getLogger("midair.snapshot")


# Spaces that somebody took back, or forward, to a generation by its number.
_chosen: weakref.WeakSet[Any] = weakref.WeakSet()
# The manifest of the generation that each space continues.
_held: weakref.WeakKeyDictionary[Any, Mapping[str, Any]] = weakref.WeakKeyDictionary()


def save(
    space: Space,
    path: str | Path,
    *,
    application: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    disk: Disk = DISK,
) -> int:
    """Write the next generation, in this process, now; its number.

    Args:
        path: `NAME.spl`.
        application: what the space was built from, kept in the manifest.
        sources: the running modules' texts by name, kept there too.

    Raises:
        NotStorable: something cannot be saved; named by its path. The file that was there stays.
        SnapshotError: the disk refused something. The file that was there stays.
    """
    store = Store(path, disk)
    with store.draft(above=_parent(space, store)) as draft:
        with space.lock:
            known = about(space, draft, application, sources)
            write(space, draft, known, signing_key())
        store.finish(draft)
        store.publish(draft)
    adopt(space, store, known)
    store.tidy()
    return draft.number


def rehearse(
    space: Space,
    path: str | Path,
    *,
    application: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    disk: Disk = DISK,
) -> list[Problem]:
    """Write a generation and throw it away again; what could not be saved, by path.

    Raises:
        SnapshotError: the disk refused something.
    """
    store = Store(path, disk)
    with store.draft(above=_parent(space, store)) as draft:
        with space.lock:
            problems = write(space, draft, about(space, draft, application, sources), signing_key(), leave_out=True)
        store.finish(draft)
    return problems


def save_rest(
    space: Space,
    path: str | Path,
    *,
    application: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Write one file of all that can be saved, with None in the place of what cannot; what that is, by path.

    The file at `path` is replaced. The space goes on belonging to its own file.
    """
    store = Store(path)
    with store.draft(above=0) as draft:
        with space.lock:
            dropped = write(space, draft, about(space, draft, application, sources), signing_key(), leave_out=True)
        store.finish(draft)
        store.replace(draft)
    return dropped


def about(
    space: Space, draft: Draft, application: Mapping[str, Any] | None, sources: Mapping[str, str] | None
) -> dict[str, Any]:
    """The part of a manifest that is known before the stream."""
    return {
        "generation": draft.number,
        "parent": _parent(space, draft.store),
        "uuid": space.uuid,
        "application": application,
        "sources": dict(sources or {}),
        "journal": journal.position(
            space, _held.get(space, {}).get("journal", 0) if _parent(space, draft.store) else 0
        ),
    }


def _parent(space: Space, store: Store) -> int:
    """The generation that this space is the continuation of, among these files."""
    return space.generation if space.path is not None and space.path.absolute() == store.newest else 0


def write(
    space: Space,
    draft: Draft,
    known: Mapping[str, Any],
    key: bytes | None,
    *,
    leave_out: bool = False,
    progress: Callable[[int], object] = ignore,
) -> list[Problem]:
    """The bytes of a generation into its draft; what was left out. A forked child does this and nothing else."""
    with draft.store.told(f"{draft.path.name} cannot be written"):
        writer = Writer(draft.write)

        def restart() -> None:
            draft.again()
            writer.begin()

        contents = dump(space, writer.write, restart, leave_out=leave_out, progress=progress)
        writer.finish(describe(space, contents, {**known, "raw": writer.raw}), key)
    return [Problem(*one) for one in contents.dropped]


def adopt(space: Space, store: Store, manifest: Mapping[str, Any]) -> None:
    """The space belongs to this generation of this file from now on."""
    space.path, space.generation = store.newest, manifest["generation"]
    _held[space] = manifest
    journal.snapshotted(space, manifest.get("journal", 0))


@dataclass
class Loaded:
    """A space as it came from a file, and what was met on the way."""

    space: Any
    file: Path
    generation: int
    manifest: Mapping[str, Any]
    #: Damaged files, by the names under which they were set aside.
    set_aside: list[Path] = field(default_factory=list)
    #: Objects in quarantine; empty under the strict policy.
    problems: list[Problem] = field(default_factory=list)
    #: Classes and functions that are gone, and how many stand-ins each has.
    lost: dict[str, int] = field(default_factory=dict)
    upgraded: int = 0


def load(path: str | Path, generation: int | None = None, *, lenient: bool = False, trust: bool = False) -> Space:
    """The space of the newest whole generation, or of the one with this number. See `resume`."""
    loaded: Space = resume(path, generation, lenient=lenient, trust=trust).space
    return loaded


def resume(path: str | Path, generation: int | None = None, *, lenient: bool = False, trust: bool = False) -> Loaded:
    """Load a space, and say what was met.

    `NAME.spl` is taken when it is whole, else the highest whole number. Damaged files are renamed, never removed.

    Args:
        generation: take this one and no other.
        lenient: where some object's upgrade fails, or its class is older than its state, go on with that object as it
            was stored, and list it: using it raises `NotUpgraded` until an edit brings it up to date. Else that refuses
            the load.
        trust: load the file whoever wrote it, or the text that it was imported from.

    Raises:
        FileNotFoundError: there is none.
        SnapshotCorrupt: none is whole.
        SnapshotTooNew, NotTrusted, UpgradeRefused: see there. An older generation is not tried then.
    """
    store = Store(_newest_name(Path(path)))
    store.sweep()
    wanted = _candidates(store, Path(path), generation)
    set_aside: list[Path] = []
    first: SnapshotCorrupt | None = None
    for file in wanted:
        try:
            loaded = _load_one(file, store, lenient=lenient, trust=trust)
        except FileNotFoundError:
            continue
        except SnapshotCorrupt as error:
            aside = store.set_aside(file)
            set_aside.append(aside)
            log.warning("%s; it is kept as %s", error, aside.name)
            first = first or error
            continue
        loaded.set_aside = set_aside
        if generation is not None:
            _chosen.add(loaded.space)
        return loaded
    if first is not None:
        raise first
    what = f"generation {generation} of {store.newest}" if generation is not None else str(path)
    raise FileNotFoundError(f"there is no {what}")


def _newest_name(path: Path) -> Path:
    """`chat.spl` for `chat.12.spl`, which is a generation of it."""
    return path.with_name(re.sub(r"\.[1-9][0-9]*\.spl$", ".spl", path.name))


def _candidates(store: Store, path: Path, generation: int | None) -> list[Path]:
    if generation is not None:
        return [store.of(generation)]
    if path.absolute() != store.newest:
        return [path.absolute()]
    if not store.folder.is_dir():
        return []
    return [store.newest, *(store.of(number) for number in reversed(store.numbers()))]


def _load_one(path: Path, store: Store, *, lenient: bool, trust: bool) -> Loaded:
    from ..space import Space

    with open(path, "rb") as file:
        container = Container(file, path.name)
        container.verify()
        if not trust:
            insist(container, file.fileno(), path)
        root, outcome = read(container)
    found = problems(root, outcome)
    if not lenient:
        refuse_problems(found, path.name)
    for one in found:
        log.warning("kept as it was stored: %s", one)
    for obj, _, error in outcome.quarantined:
        if id(obj) in outcome.kept:
            stored, kept = outcome.kept[id(obj)]
            quarantine.hold(obj, stored, error, kept)
    for name, count in outcome.lost.items():
        log.warning("%s is not in the code any more: %d stand-ins keep what was stored", name, count)
    manifest = container.manifest
    if isinstance(root, Space):
        adopt(root, store, manifest)
    number = manifest.get("generation", 0)
    return Loaded(root, path, number, manifest, problems=found, lost=outcome.lost, upgraded=outcome.upgraded)


def exists(path: str | Path) -> bool:
    """Whether there is a snapshot under this name, whole or not."""
    return Store(path).exists()


def manifest(path: str | Path, generation: int | None = None) -> Mapping[str, Any]:
    """What a `.spl` says about itself: generation, time, versions, roots, classes, sources. Nothing is unpickled.

    It is that of the file which `load` would take, as far as the ends of the files tell.

    Raises:
        FileNotFoundError, SnapshotCorrupt, SnapshotTooNew: see there.
    """
    return _of_the_first(path, generation, lambda container, _: container.manifest)


def vouched(path: str | Path, generation: int | None = None, *, trust: bool = False) -> Mapping[str, Any]:
    """What the file says about itself that `resume` would load, for those who act on it: it is whole, and may be loaded.

    Raises:
        FileNotFoundError, SnapshotCorrupt, SnapshotTooNew, NotTrusted: see there.
    """

    def checked(container: Container, file: BinaryIO) -> Mapping[str, Any]:
        container.verify()
        if not trust:
            insist(container, file.fileno(), Path(file.name))
        return container.manifest

    return _of_the_first(path, generation, checked)


def _of_the_first(
    path: str | Path, generation: int | None, of: Callable[[Container, BinaryIO], Mapping[str, Any]]
) -> Mapping[str, Any]:
    """What `of` says of the first candidate that it does not find damaged."""
    store = Store(_newest_name(Path(path)))
    first: SnapshotCorrupt | None = None
    for name in _candidates(store, Path(path), generation):
        try:
            with open(name, "rb") as file:
                return of(Container(file, name.name), file)
        except FileNotFoundError:
            continue
        except SnapshotCorrupt as error:
            first = first or error
    raise first or FileNotFoundError(f"there is no {path}")


def waiting(path: str | Path, generation: int | None = None) -> int:
    """How many calls were confirmed since the generation that `load` would take, and will be made again.

    None are when somebody goes back to an older generation by its number: that leaves the journal behind.

    Raises:
        FileNotFoundError, SnapshotCorrupt, SnapshotTooNew: see `manifest`.
        JournalCorrupt: damaged where it had confirmed.
    """
    said, store = manifest(path, generation), Store(_newest_name(Path(path)))
    if not said.get("uuid") or (generation is not None and _is_behind(store, said["generation"], said["uuid"])):
        return 0
    return journal.pending(store.newest, said["uuid"], said.get("journal", 0))


def _is_behind(store: Store, generation: int, uuid: str) -> bool:
    """Whether the same space has a newer generation."""
    return any(one.number > generation and one.uuid == uuid for one in store.generations())


def catch_up(space: Space, path: str | Path) -> journal.Replayed:
    """Make the calls again that were confirmed since the generation that a space came from. Nothing is journaled yet.

    Raises:
        JournalCorrupt, JournalError: see there.
    """
    known = _held[space]
    return journal.catch_up(space, Store(path).newest, known.get("journal", 0), sources=known.get("sources") or None)


def open_journal(
    space: Space,
    path: str | Path,
    *,
    application: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
) -> journal.Replayed:
    """Replay what was confirmed since the generation that this space came from, and journal its calls from here on.

    A space without a generation gets its first one: a journal says what came after a snapshot. A space
    that was taken back to an older generation by its number leaves the journal behind: the files are set aside.

    Raises:
        JournalCorrupt, JournalError: see there.
    """
    store = Store(path)
    if not space.generation:
        save(space, path, application=application, sources=sources)
    known = _held[space]
    # A newer generation alone says nothing: a crash can come between its two names.
    if space in _chosen and _is_behind(store, space.generation, space.uuid):
        journal.set_aside(store.newest)
    return journal.open_journal(space, store.newest, known.get("journal", 0), sources=known.get("sources") or None)
