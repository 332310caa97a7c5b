"""A space in one file to carry away: its newest snapshot, its journal, its users and its sources. Never a private key.

The file is a gzipped tar, so that any tool can look into it:

    NAME.spl            the newest whole generation
    NAME.<n>.journal    what was confirmed since, one file or more
    NAME.users          who may log in (verifiers, no passwords)
    sources/MODULE.py   what was running, as the snapshot has it; a module of a package with its dots
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..disk import DISK, write_all
from ..errors import SnapshotError
from .container import Container
from .store import Store, free_name


@dataclass
class Contents:
    """What a backup holds, by the names inside it."""

    name: str
    generation: int
    files: list[str] = field(default_factory=list)


def backup(path: str | Path, to: str | Path) -> Contents:
    """Write a backup of the space whose newest snapshot is at `path`; what is in it.

    Raises:
        FileExistsError: there is a file under this name.
        SnapshotError: no generation is whole.
    """
    store, to = Store(path), Path(to).absolute()
    if to.exists():
        raise FileExistsError(f"{to} is there already; nothing was written")
    newest = next(
        (file for file in [store.newest, *map(store.of, reversed(store.numbers()))] if store.is_whole(file)), None
    )
    if newest is None:
        raise SnapshotError(f"no generation of {store.newest.name} is whole; nothing was written")
    manifest = store.manifest(newest) or {}
    done = Contents(store.name, manifest.get("generation", 0))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        _add(archive, done, f"{store.name}.spl", newest.read_bytes())
        for file in sorted(store.folder.glob(f"{store.name}.*.journal")):
            _add(archive, done, file.name, file.read_bytes())
        users = store.folder / f"{store.name}.users"
        if users.exists():
            _add(archive, done, users.name, users.read_bytes())
        for module, text in sorted(manifest.get("sources", {}).items()):
            _add(archive, done, f"sources/{module}.py", text.encode())
    scratch = free_name(to, "tmp")
    descriptor = DISK.create(scratch)
    try:
        write_all(DISK, descriptor, packed.getvalue())
        DISK.sync(descriptor)
    finally:
        DISK.close(descriptor)
    DISK.rename(scratch, to)
    DISK.sync_folder(to.parent)
    return done


def _add(archive: tarfile.TarFile, done: Contents, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))
    done.files.append(name)


def restore(archive: str | Path, folder: str | Path) -> Path:
    """Put a backup's files into a folder; the `.spl` to run. The sources go to `NAME.sources`, from where they run when the
    program is not where it was.

    Raises:
        FileExistsError: the folder has files of that name; nothing was written.
        FileNotFoundError: there is no such backup.
        SnapshotError: the file is no backup, or its snapshot is damaged.
    """
    folder = Path(folder).absolute()
    try:
        with tarfile.open(archive) as packed:
            files = {member.name: _data(packed, member) for member in packed.getmembers()}
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {archive}; nothing was restored") from None
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SnapshotError(f"{Path(archive).name} is no backup of midair; nothing was restored") from error
    except OSError as error:
        raise SnapshotError(f"{archive} cannot be read ({error.strerror or error}); nothing was restored") from error
    snapshots = [name for name in files if re.fullmatch(r"[^/]+\.spl", name)]
    if len(snapshots) != 1:
        raise SnapshotError(
            f"{Path(archive).name} is no backup of midair: it holds {len(snapshots)} snapshots; nothing was restored"
        )
    name = snapshots[0].removesuffix(".spl")
    Container(io.BytesIO(files[snapshots[0]]), snapshots[0]).verify()
    places = {_place(folder, name, inner, files): data for inner, data in files.items()}
    taken = [place for place in places if place.exists()] or list(folder.glob(f"{name}.*spl"))
    if taken:
        raise FileExistsError(f"{taken[0]} is there already; nothing was restored")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place, data in places.items():
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = DISK.create(place)
        try:
            write_all(DISK, descriptor, data)
            DISK.sync(descriptor)
        finally:
            DISK.close(descriptor)
    DISK.sync_folder(folder)
    return folder / snapshots[0]


def _data(packed: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = packed.extractfile(member)
    if file is None:
        raise SnapshotError(f"a backup holds plain files only, not {member.name!r}; nothing was restored")
    return file.read()


def _place(folder: Path, name: str, inner: str, all_names: Iterable[str]) -> Path:
    """Where a file of a backup goes. Names decide, so that none leads out of the folder."""
    if re.fullmatch(re.escape(name) + r"\.(spl|users|[0-9]+\.journal)", inner):
        return folder / inner
    if re.fullmatch(r"sources/\w+(\.\w+)*\.py", inner):
        module = inner.removeprefix("sources/").removesuffix(".py")
        place = folder.joinpath(f"{name}.sources", *module.split("."))
        is_package = any(other.startswith(f"sources/{module}.") and other != inner for other in all_names)
        return place / "__init__.py" if is_package else place.with_name(f"{place.name}.py")
    raise SnapshotError(f"a backup of {name} holds no file {inner!r}; nothing was restored")
