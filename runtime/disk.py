"""The file operations that snapshots and journals are made of: one object, so that a test can stand in for the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

#: What a file system says that has no hard links, or has none left.
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS})


class Status(NamedTuple):
    """What `Disk.status` tells of a file."""

    size: int
    #: How many names it has.
    links: int


class Disk:
    """The real one."""

    def create(self, path: Path) -> int:
        """A descriptor of a new file that only its owner may read."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        return os.write(descriptor, data)

    def empty(self, descriptor: int) -> None:
        """Begin a file anew."""
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        """The same for a file that only grew."""
        getattr(os, "fdatasync", os.fsync)(descriptor)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def rename(self, old: Path, new: Path) -> None:
        os.rename(old, new)

    def link(self, old: Path, new: Path) -> None:
        os.link(old, new)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder last: a rename is on disk only after this."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self, folder: Path) -> list[str]:
        return os.listdir(folder)

    def open(self, path: Path) -> BinaryIO:
        return open(path, "rb")

    def status(self, path: Path) -> Status | None:
        """What is known of a file; None when there is none."""
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return Status(found.st_size, found.st_nlink)


DISK = Disk()


def write_all(disk: Disk, descriptor: int, data: bytes) -> None:
    """Write everything, however little the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[disk.write(descriptor, view) :]
