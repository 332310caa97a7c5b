"""The files of one space on disk: `NAME.spl`, which is the newest, and its generations `NAME.<n>.spl`.

A generation is written under a temporary name, synced, renamed to its number; then the folder is synced. Only then is
it linked (copied where there are no links) and renamed over `NAME.spl`, and the folder synced again. At each moment
the disk holds a whole generation under a final name, and what was confirmed is never the one that is replaced.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk import DISK, NO_LINKS, Disk, write_all
from ..errors import SnapshotCorrupt, SnapshotError
from .container import Container

log = logging.getLogger("midair.snapshot")

_count = itertools.count(1)
# Numbers that this process is writing under, by file; so a save in the middle of another takes the next one.
_reserved: dict[Path, set[int]] = {}
_COPY = 1 << 20


@dataclass(frozen=True)
class Generation:
    """One `NAME.<n>.spl`."""

    number: int
    path: Path
    #: When it was taken, in seconds since 1970.
    time: float
    size: int
    uuid: str
    parent: int
    objects: int


class Draft:
    """A generation that is being written."""

    def __init__(self, store: Store, number: int) -> None:
        self.store, self.number = store, number
        self.path = store.folder / f"{store.name}.{number}.{os.getpid()}-{next(_count)}.tmp"
        self.descriptor = store.disk.create(self.path)

    def write(self, data: bytes) -> None:
        write_all(self.store.disk, self.descriptor, data)

    def again(self) -> None:
        """Begin anew."""
        self.store.disk.empty(self.descriptor)


class Store:
    """The files of the space whose newest snapshot is at `path`."""

    def __init__(self, path: str | Path, disk: Disk = DISK) -> None:
        path = Path(path).absolute()
        if path.suffix != ".spl":
            raise SnapshotError(f"{path.name} is no name for a snapshot; it ends in .spl")
        self.newest = path
        self.folder, self.name, self.disk = path.parent, path.stem, disk

    def of(self, number: int) -> Path:
        return self.folder / f"{self.name}.{number}.spl"

    def numbers(self) -> list[int]:
        """The generations that are there, whole or not, oldest first."""
        pattern = re.compile(re.escape(self.name) + r"\.([1-9][0-9]*)\.spl")
        return sorted(int(found[1]) for name in self.disk.names(self.folder) if (found := pattern.fullmatch(name)))

    def manifest(self, path: Path) -> Mapping[str, Any] | None:
        """What a file says about itself; None when it is not there or its ends are damaged."""
        try:
            with self.disk.open(path) as file:
                return Container(file, path.name).manifest
        except (FileNotFoundError, SnapshotError):
            return None

    def generations(self) -> list[Generation]:
        """The generations that can be read, oldest first."""
        found = []
        for number in self.numbers():
            manifest = self.manifest(self.of(number))
            if manifest is not None:
                status = self.disk.status(self.of(number))
                size = status.size if status else 0
                found.append(Generation(
                    number, self.of(number), manifest["time"], size, manifest.get("uuid", ""),
                    manifest.get("parent", 0), manifest["objects"],
                ))  # fmt: skip
        return found

    # --- writing

    @contextmanager
    def draft(self, above: int) -> Iterator[Draft]:
        """A new generation to write, with a number above all that are there and above this one.

        Raises:
            SnapshotError: the disk refused something; says what, and that nothing on disk was touched.
        """
        reserved = _reserved.setdefault(self.newest, set())
        with self.told("the folder cannot be read"):
            number = max([0, above, *self.numbers(), *reserved]) + 1
        reserved.add(number)
        try:
            with self.told(f"{self.name}.{number}.tmp cannot be made"):
                draft = Draft(self, number)
            try:
                yield draft
            finally:
                self._discard(draft)
        finally:
            reserved.discard(number)

    def _discard(self, draft: Draft) -> None:
        """Remove what a draft left, if anything."""
        descriptor, draft.descriptor = draft.descriptor, -1
        try:
            if descriptor >= 0:
                self.disk.close(descriptor)
            if self.disk.status(draft.path):
                self.disk.remove(draft.path)
        except OSError as error:
            log.warning("%s could not be removed (%s); the next start does it", draft.path.name, error.strerror)

    def finish(self, draft: Draft) -> None:
        """Make the bytes of a draft last. An error here counts: the same bytes are never synced twice and believed."""
        with self.told(f"{draft.path.name} cannot be synced"):
            self.disk.sync(draft.descriptor)
        descriptor, draft.descriptor = draft.descriptor, -1
        with self.told(f"{draft.path.name} cannot be closed"):
            self.disk.close(descriptor)

    def publish(self, draft: Draft) -> None:
        """Give a draft that was finished its number, and make it the newest.

        Raises:
            SnapshotError: the disk refused something. Then the older newest is what the next start finds.
        """
        final = self.of(draft.number)
        with self.told(f"{draft.path.name} cannot be renamed to {final.name}"):
            self.disk.rename(draft.path, final)
        with self.told(f"the folder of {final.name} cannot be synced"):
            self.disk.sync_folder(self.folder)
        with self.told(f"{self.newest.name} cannot be replaced by generation {draft.number}, which is whole"):
            current = self.manifest(self.newest)
            if (
                current is not None
                and current.get("uuid") == self._uuid(final)
                and current["generation"] > draft.number
            ):
                return  # a save that began later was faster
            self._keep_stranger(current, final)
            scratch = final.with_name(f"{self.name}.{os.getpid()}-{next(_count)}.tmp")
            try:
                self._same(final, scratch)
                self.disk.rename(scratch, self.newest)
            except OSError:
                if self.disk.status(scratch):
                    self.disk.remove(scratch)
                raise
        self._sync_newest(draft.number)

    def _sync_newest(self, number: int) -> None:
        doubt = f"{self.newest.name} is generation {number} or the one before, and both are whole"
        with self.told("the folder cannot be synced", kept=doubt):
            self.disk.sync_folder(self.folder)

    def replace(self, draft: Draft) -> None:
        """Make a draft that was finished the newest, without a number."""
        with self.told(f"{self.newest.name} cannot be replaced"):
            self.disk.rename(draft.path, self.newest)
            self.disk.sync_folder(self.folder)

    def _uuid(self, path: Path) -> object:
        manifest = self.manifest(path)
        return manifest and manifest.get("uuid")

    def _keep_stranger(self, current: Mapping[str, Any] | None, final: Path) -> None:
        """A `NAME.spl` of another space that has no other name would be lost: it is set aside."""
        status = self.disk.status(self.newest)
        if current is not None and current.get("uuid") != self._uuid(final) and status and status.links == 1:
            aside = free_name(self.newest, "other")
            log.warning("%s is of another space; it is kept as %s", self.newest.name, aside.name)
            self.disk.rename(self.newest, aside)

    def _same(self, old: Path, new: Path) -> None:
        """A second name for a file; a second file where the file system knows no second names."""
        try:
            self.disk.link(old, new)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            descriptor = self.disk.create(new)
            try:
                with self.disk.open(old) as file:
                    while data := file.read(_COPY):
                        write_all(self.disk, descriptor, data)
                self.disk.sync(descriptor)
            finally:
                self.disk.close(descriptor)

    @contextmanager
    def told(self, what: str, kept: str = "") -> Iterator[None]:
        """Turn an error of the disk into a sentence: what failed, why, what is on disk now."""
        try:
            yield
        except OSError as error:
            kept = kept or (
                f"{self.newest.name} is as it was" if self.disk.status(self.newest) else "there is none yet"
            )
            raise SnapshotError(f"not saved: {what} ({error.strerror or error}); {kept}") from error

    # --- tidying

    def exists(self) -> bool:
        """Whether there is a snapshot under this name, whole or not."""
        return self.disk.status(self.newest) is not None or (self.folder.is_dir() and bool(self.numbers()))

    def sweep(self) -> None:
        """Remove temporary files that a process left behind which died in a save."""
        pattern = re.compile(re.escape(self.name) + r"\.(?:\d+\.)?(\d+)-\d+\.tmp")
        for name in self.disk.names(self.folder):
            found = pattern.fullmatch(name)
            if found and not _is_at_work(int(found[1]), bool(_reserved.get(self.newest))):
                try:
                    self.disk.remove(self.folder / name)
                except OSError as error:
                    log.warning("%s could not be removed (%s)", name, error.strerror)

    def set_aside(self, path: Path) -> Path:
        """Rename a damaged file so that nobody takes it for a snapshot; its new name."""
        aside = free_name(path, "damaged")
        self.disk.rename(path, aside)
        return aside

    def tidy(self) -> None:
        """Prune, after a save that succeeded; an error here is only logged."""
        try:
            self.prune()
        except OSError as error:
            log.warning("older generations of %s were not pruned: %s", self.newest.name, error)

    def prune(self, *, now: float | None = None, last: int = 10) -> list[int]:
        """Remove generations that nobody will ask for; their numbers.

        Kept: the last 10, the newest of each hour for a day and of each day for a week, and in any case the newest that
        is whole. Files of another space with the same name are neither counted nor removed.
        """
        manifest = self.manifest(self.newest)
        own = [one for one in self.generations() if manifest is None or one.uuid == manifest.get("uuid")]
        keep = set(_kept(own, time.time() if now is None else now, last))
        if manifest is not None:
            keep.add(manifest["generation"])
        newest_first = own[::-1]
        for one in newest_first:
            keep.add(one.number)
            if self.is_whole(one.path):
                break
        gone = []
        for one in own:
            if one.number not in keep:
                try:
                    self.disk.remove(one.path)
                except OSError as error:
                    log.warning("%s could not be removed (%s)", one.path.name, error.strerror)
                    continue
                gone.append(one.number)
        return gone

    def is_whole(self, path: Path) -> bool:
        """Whether every byte of a file fits its checksums."""
        try:
            with self.disk.open(path) as file:
                Container(file, path.name).verify()
        except (SnapshotCorrupt, FileNotFoundError):
            return False
        return True


def _kept(own: list[Generation], now: float, last: int) -> Iterator[int]:
    yield from (one.number for one in own[-last:])
    # Later ones of the same hour or day replace earlier ones, as they come oldest first.
    spans: list[tuple[int, Callable[[float], int]]] = [
        (24 * 3600, lambda when: int(when // 3600)), (7 * 24 * 3600, lambda when: int(when // (24 * 3600))),
    ]  # fmt: skip
    for span, slot in spans:
        yield from {slot(one.time): one.number for one in own if now - one.time <= span}.values()


def free_name(path: Path, why: str) -> Path:
    """`NAME.spl.damaged`, or with a number when there is one already."""
    for number in itertools.count(1):
        candidate = path.with_name(f"{path.name}.{why}" + (f"-{number}" if number > 1 else ""))
        if not candidate.exists():
            return candidate
    raise AssertionError("count() ended")


def _is_at_work(pid: int, writing: bool) -> bool:
    if pid == os.getpid():
        return writing
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
