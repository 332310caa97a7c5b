"""Disks that fail: one that does so at the k-th operation, and one that forgets what was not synced."""

import errno
import io
import os
import random
import signal
from pathlib import Path
from typing import Any, BinaryIO

from midair.runtime.disk import Disk, Status

OPERATIONS = (
    "create",
    "write",
    "sync",
    "sync_data",
    "close",
    "rename",
    "link",
    "remove",
    "sync_folder",
    "names",
    "open",
    "empty",
)


class FaultyDisk(Disk):
    """The real disk, but at operation number `at` something happens.

    Args:
        fault: "kill before", "kill after", "short" (a write takes a third), or the name of an errno.
    """

    def __init__(self, at: int = 0, fault: str = "") -> None:
        self.at, self.fault, self.count = at, fault, 0

    def __getattribute__(self, name: str) -> Any:
        real = super().__getattribute__(name)
        if name not in OPERATIONS:
            return real

        def counted(*args: Any) -> Any:
            self.count += 1
            if self.count != self.at:
                return real(*args)
            if self.fault == "kill before":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "kill after":
                real(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "short":
                return real(args[0], args[1][: max(1, len(args[1]) // 3)]) if name == "write" else real(*args)
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number))

        return counted


class PowerCut(BaseException):
    """The machine is off."""


class ForgetfulDisk(Disk):
    """A disk in memory with a cache that a power cut empties.

    Bytes that were not synced are then absent, cut, zeroed, scrambled or there; names that were not synced with their
    folder have changed up to some point or not.

    Args:
        cut: the number of the operation at which the power goes.
        honest: whether the syncs do anything. Without them, saves must get lost: that is the control.
    """

    def __init__(self, dice: random.Random, *, honest: bool = True) -> None:
        self.dice, self.honest, self.cut, self.count = dice, honest, 0, 0
        self._files: dict[int, bytearray] = {}
        self._synced: dict[int, int] = {}
        self._names: dict[str, int] = {}
        self._durable: dict[str, int] = {}
        self._pending: list[tuple[str, str, int]] = []

    def _step(self) -> None:
        self.count += 1
        if self.cut and self.count >= self.cut:
            raise PowerCut

    def _bind(self, path: Path, number: int) -> None:
        self._names[path.name] = number
        self._pending.append(("bind", path.name, number))

    def _unbind(self, path: Path) -> int:
        number = self._names.pop(path.name)
        self._pending.append(("unbind", path.name, number))
        return number

    def create(self, path: Path) -> int:
        self._step()
        number = len(self._files) + 1
        self._files[number], self._synced[number] = bytearray(), 0
        self._bind(path, number)
        return number

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self._step()
        self._files[descriptor] += data
        return len(data)

    def empty(self, descriptor: int) -> None:
        self._files[descriptor].clear()

    def sync(self, descriptor: int) -> None:
        self._step()
        if self.honest:
            self._synced[descriptor] = len(self._files[descriptor])

    def sync_data(self, descriptor: int) -> None:
        self.sync(descriptor)

    def close(self, descriptor: int) -> None:
        self._step()

    def rename(self, old: Path, new: Path) -> None:
        self._step()
        self._bind(new, self._names[old.name])
        self._unbind(old)
        # One step for a journalling file system: both or neither.
        second, first = self._pending.pop(), self._pending.pop()
        self._pending.append(("rename", f"{second[1]}\0{first[1]}", first[2]))

    def link(self, old: Path, new: Path) -> None:
        self._step()
        self._bind(new, self._names[old.name])

    def remove(self, path: Path) -> None:
        self._step()
        self._unbind(path)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        if self.honest:
            self._durable = dict(self._names)
            self._pending.clear()

    def names(self, folder: Path) -> list[str]:
        return list(self._names)

    def open(self, path: Path) -> BinaryIO:
        if path.name not in self._names:
            raise FileNotFoundError(path)
        return io.BytesIO(bytes(self._files[self._names[path.name]]))

    def status(self, path: Path) -> Status | None:
        number = self._names.get(path.name)
        return None if number is None else Status(len(self._files[number]), list(self._names.values()).count(number))

    def power_on(self) -> None:
        """Come back with what was durable, and whatever luck left of the rest."""
        for kind, name, number in self._pending[: self.dice.randrange(len(self._pending) + 1)]:
            if kind == "bind":
                self._durable[name] = number
            elif kind == "unbind":
                self._durable.pop(name, None)
            else:
                old, new = name.split("\0")
                self._durable.pop(old, None)
                self._durable[new] = number
        self._names, self._pending, self.cut = dict(self._durable), [], 0
        for number, data in self._files.items():
            self._forget(data, self._synced[number])
            self._synced[number] = len(data)

    def _forget(self, data: bytearray, synced: int) -> None:
        tail = len(data) - synced
        if not tail:
            return
        at = synced + self.dice.randrange(tail)
        match self.dice.choice(("absent", "cut", "zero", "scramble", "there")):
            case "absent":
                del data[synced:]
            case "cut":
                del data[at:]
            case "zero":
                data[at:] = bytes(len(data) - at)
            case "scramble":
                end = min(len(data), at + 4096)
                data[at:end] = self.dice.randbytes(end - at)
            case _:
                pass
