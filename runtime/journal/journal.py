"""The journal of one space that runs: calls go in, are confirmed, and are replayed at the next start."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import rebuild
from ..disk import DISK, Disk, write_all
from .calls import at_moment, is_journaled, settle
from .records import (
    CALL,
    EDIT,
    HEADER,
    LONGEST,
    JournalCorrupt,
    JournalError,
    Record,
    confirmed_after,
    pack,
    read_header,
    records,
    unpack,
)
from .writing import Writer

if TYPE_CHECKING:
    from ..space import Space

log = logging.getLogger("midair.journal")

_open: weakref.WeakKeyDictionary[Any, Journal] = weakref.WeakKeyDictionary()
# What was replayed of spaces whose journal is not open yet.
_replayed: weakref.WeakKeyDictionary[Any, Replayed] = weakref.WeakKeyDictionary()


def of(service: Any) -> Journal | None:
    """The journal that confirms the calls of this service, if there is one."""
    space = getattr(service, "_space", None)
    return _open.get(space) if space is not None else None


def position(space: Space, before: int = 0) -> int:
    """The number of the last call that the state of a space holds.

    Args:
        before: of the last call in the generation that it continues: where nothing is journaled any more, that stays.
    """
    journal = _open.get(space)
    if journal:
        return journal.position
    done = _replayed.get(space)
    return done.position if done else before


def snapshotted(space: Space, held: int) -> None:
    """A snapshot that holds everything up to this record is on disk."""
    journal = _open.get(space)
    if journal:
        journal.rotate(held)


def wanted(space: Space) -> bool:
    """Whether some service of a space has journaled methods."""
    return any(is_journaled(type(service)) for service in space.services().values())


@dataclass
class Replayed:
    """What was done again at a start."""

    calls: int = 0
    edits: int = 0
    #: Calls that raised, as they had the first time.
    raised: int = 0
    #: Bytes of a write that a crash had cut off; nobody had been told that it was done.
    cut: int = 0
    #: The number of the last record that the space holds now.
    position: int = 0
    #: The sources under which that record was made, by module.
    texts: dict[str, str] = field(default_factory=dict)


class Journal:
    """Opened by `open_journal`."""

    def __init__(self, space: Space, path: Path, first: int, loop: asyncio.AbstractEventLoop, disk: Disk) -> None:
        self._space = space
        self.writer = Writer(path.parent, path.stem, space.uuid, first, loop, disk)
        self._path, self._loop, self._disk = path, loop, disk
        #: The sources under which the last record is replayed, as far as the files tell.
        self._texts: dict[str, str] = {}
        self._edited = True
        self._held_before = first - 1
        self._unsubscribe = rebuild.subscribe(self._note_edit)

    @property
    def position(self) -> int:
        """The number of the last call that took effect."""
        return self.writer.last

    @property
    def failed(self) -> str:
        """Why calls are refused; empty while all is well."""
        return self.writer.failed

    def call(
        self, service: Any, method: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]
    ) -> asyncio.Future[Any]:
        """Run a method and write it down; the answer comes when that is on disk.

        Raises:
            JournalError: the disk refused an earlier call, or this one is too long. The method was not run.
            TypeError: an argument is no plain value. The method was not run.
        """
        if self.writer.failed:
            raise JournalError(self.writer.failed)
        when, seed = time.time(), secrets.randbits(64)
        payload = self._packed(service, method, args, named, when, seed)
        # What a replay will see: the same types, and nothing that the caller changes later.
        args, named = unpack(payload)[3:5]
        self._write_edit()
        result, error = None, None
        with at_moment(when, seed):
            try:
                result = method(service, *args, **named)
            except Exception as raised:  # noqa: BLE001 - it goes to who awaits the call
                error = raised
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.writer.append(payload, lambda refused: settle(answer, result, error, refused))
        return answer

    def _packed(
        self,
        service: Any,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        named: dict[str, Any],
        when: float,
        seed: int,
    ) -> bytes:
        try:
            payload = pack([CALL, service._name, method.__name__, list(args), named, when, seed])
        except TypeError as error:
            raise TypeError(
                f"{method.__qualname__} is journaled: {error}; pass plain values, and the path of an object rather than the object"
            ) from None
        if len(payload) > LONGEST:
            raise JournalError(
                f"a call of {method.__qualname__} is {len(payload)} bytes long, the limit is {LONGEST} bytes"
            )
        return payload

    def _note_edit(self, report: rebuild.Report) -> None:
        if not report.refused:
            self._edited = True

    def _write_edit(self) -> None:
        """Before the first call under new code: the sources that it runs on."""
        if not self._edited:
            return
        self._edited = False
        texts = rebuild.texts()
        changed = {name: text for name, text in texts.items() if self._texts.get(name) != text}
        self._texts = texts
        if changed:
            self.writer.append(pack([EDIT, changed]), _report_refusal)

    def begin(self, held: int, texts: Mapping[str, str]) -> None:
        """What the last snapshot holds, and the sources that a replay would end with."""
        self._held_before, self._texts = held, dict(texts)

    def rotate(self, held: int) -> None:
        """Begin a new file, and remove those that no generation but the last needs: if that one gets damaged, the one
        before it and the rest of the journal lead to the same state."""
        self.writer.rotate(held)
        files = journal_files(self._path, self._disk)
        for (_, path), (following, _) in itertools.pairwise(files):
            if following <= self._held_before + 1:
                try:
                    self._disk.remove(path)
                except OSError as error:
                    log.warning("%s could not be removed (%s)", path.name, error.strerror)
        self._held_before = held

    def close(self) -> None:
        """Write what waits, then end."""
        self._unsubscribe()
        self.writer.close()
        _open.pop(self._space, None)


def _report_refusal(error: JournalError | None) -> None:
    if error is not None:
        log.error("%s", error)


def catch_up(
    space: Space,
    path: str | Path,
    held: int = 0,
    *,
    sources: Mapping[str, str] | None = None,
    disk: Disk = DISK,
) -> Replayed:
    """Replay what was confirmed since the snapshot, once; what runs afterwards are the sources of the last call.

    Args:
        path, held, sources: as for `open_journal`, which calls this where nobody did before.

    Raises:
        JournalCorrupt: damaged where it had confirmed; nothing was replayed.
        JournalError: a call cannot be made again, and which.
    """
    if space in _replayed:
        return _replayed[space]
    done = Replayed(position=held, texts=dict(sources if sources is not None else rebuild.texts()))
    found = list(_pending(Path(path).absolute(), space.uuid, held, disk, done))
    if found:
        _use(done.texts)
        done.position = replay(space, found, done)
        done.texts |= rebuild.texts()
    _replayed[space] = done
    return done


def open_journal(
    space: Space,
    path: str | Path,
    held: int = 0,
    *,
    sources: Mapping[str, str] | None = None,
    disk: Disk = DISK,
) -> Replayed:
    """Replay what was confirmed since the snapshot, and journal the calls from here on. On the loop that will run them.

    Args:
        path: the `.spl`.
        held: the number of the last record that the snapshot holds.
        sources: the sources the snapshot was running on; by default those that run now.

    Raises:
        JournalCorrupt: damaged where it had confirmed; nothing was replayed.
        JournalError: a call cannot be made again, and which.
    """
    path, running = Path(path).absolute(), rebuild.texts()
    done = catch_up(space, path, held, sources=sources, disk=disk)
    # What ran before is an edit like any other, after what was done under the sources of then.
    differing = [name for name, text in running.items() if rebuild.texts().get(name) != text]
    if differing:
        rebuild.rebuild(*differing, who="start")
    journal = Journal(space, path, done.position + 1, asyncio.get_running_loop(), disk)
    journal.begin(held, done.texts)
    _open[space] = journal
    del _replayed[space]
    return done


def close_journal(space: Space) -> None:
    """Write what waits, and journal no more."""
    journal = _open.get(space)
    if journal:
        journal.close()


def pending(path: str | Path, uuid: str, held: int, disk: Disk = DISK) -> int:
    """How many records a start would replay. Nothing is changed."""
    return len(list(_pending(Path(path).absolute(), uuid, held, disk, None)))


def journal_files(path: Path, disk: Disk) -> list[tuple[int, Path]]:
    """The journal's files with the number of the first record of each, oldest first."""
    pattern = re.compile(re.escape(path.stem) + r"\.([0-9]+)\.journal")
    names = disk.names(path.parent) if path.parent.is_dir() else []
    return sorted((int(found[1]), path.parent / name) for name in names if (found := pattern.fullmatch(name)))


def set_aside(path: Path, disk: Disk = DISK) -> None:
    """Rename the journal's files: the space goes on from before what they hold."""
    for _, file in journal_files(path, disk):
        aside = file.with_name(f"{file.name}.left-{int(time.time())}")
        log.warning(
            "%s is left behind, for the space was taken back to before it; it is kept as %s", file.name, aside.name
        )
        disk.rename(file, aside)


def _pending(path: Path, uuid: str, held: int, disk: Disk, done: Replayed | None) -> Iterator[Record]:
    """The records after number `held`. With `done`, a write that was cut off is taken away from the end."""
    files = journal_files(path, disk)
    expected = held + 1
    for at, (first, file) in enumerate(files):
        is_last = at == len(files) - 1
        if not is_last and files[at + 1][0] <= expected:
            continue
        with disk.open(file) as opened:
            data = opened.read()
        header = read_header(data)
        if header is None and is_last and confirmed_after(data, 0) < expected:
            _cut(file, data, 0, disk, done)
            continue
        if header is None or header[1] != first:
            raise JournalCorrupt(file.name, 0, expected, "its header is damaged")
        if header[0] != uuid:
            continue  # of another space under the same name
        end = HEADER
        for record in records(data):
            if record.number > expected:
                raise JournalCorrupt(
                    file.name, record.offset, expected, f"record {record.number} follows, so some are missing"
                )
            end = record.end
            if record.number == expected:
                expected += 1
                yield record
        if end < len(data) and (not is_last or confirmed_after(data, end) >= expected):
            if not is_last and files[at + 1][0] == expected:
                continue  # the disk refused that write, and a snapshot made good for it
            raise JournalCorrupt(file.name, end, expected, "the record is damaged, and it had been confirmed")
        if end < len(data):
            _cut(file, data, end, disk, done)
        elif end == HEADER and is_last and done is not None:
            disk.remove(file)  # the crash came before its first record


def _cut(file: Path, data: bytes, end: int, disk: Disk, done: Replayed | None) -> None:
    """Take the end of a write away that a crash cut off; it is kept beside the journal."""
    if done is None:
        return
    if not data:
        disk.remove(file)
        return
    done.cut = len(data) - end
    log.warning(
        "the last %d bytes of %s were cut off by a crash; nobody had been told that they were done", done.cut, file.name
    )
    scratch = file.with_name(f"{file.name}.cut")
    if disk.status(scratch) is not None:
        disk.remove(scratch)
    disk.rename(file, scratch)
    if end:
        descriptor = disk.create(file)
        try:
            write_all(disk, descriptor, data[:end])
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
    disk.sync_folder(file.parent)


def replay(space: Space, found: list[Record], done: Replayed) -> int:
    """Make the calls again, each on the sources that it had; the number of the last."""
    last = 0
    for record in found:
        kind, *rest = unpack(record.payload)
        if kind == EDIT:
            _use(rest[0])
            done.edits += 1
        elif kind == CALL:
            _call_again(space, record.number, rest, done)
        else:
            raise JournalError(f"record {record.number} is of kind {kind}, which this midair does not know")
        last = record.number
    return last


def _use(texts: Mapping[str, str]) -> None:
    running = rebuild.texts()
    differing = {name: text for name, text in texts.items() if name in running and running[name] != text}
    if differing:
        try:
            rebuild.rebuild(sources=differing, who="journal")
        except rebuild.RebuildError as error:
            raise JournalError(
                f"calls were confirmed under sources of {', '.join(differing)} that cannot be taken again: {error.reason}; "
                "they were not replayed"
            ) from error


def _call_again(space: Space, number: int, rest: list[Any], done: Replayed) -> None:
    name, method_name, args, named, when, seed = rest
    service = space.get(name)
    method = getattr(getattr(type(service), method_name, None), "__wrapped__", None)
    if method is None:
        raise JournalError(f"record {number} calls {name}.{method_name}, which is not there; replay stopped before it")
    with at_moment(when, seed):
        try:
            method(service, *args, **named)
        except Exception as error:  # noqa: BLE001 - it raised the first time too, and whoever called was told
            done.raised += 1
            log.debug("record %d, %s.%s: %s", number, name, method_name, error)
    done.calls += 1


@dataclass
class Status:
    """How the journal of a space stands."""

    position: int
    confirmed: int
    failed: str = ""

    def __str__(self) -> str:
        return self.failed or f"{self.position:,} calls, {self.confirmed:,} of them on disk"


def status(space: Space) -> Status | None:
    """How the journal of a space stands; None where nothing is journaled."""
    journal = _open.get(space)
    return Status(journal.position, journal.writer.confirmed, journal.failed) if journal else None
