"""`dumps` and `loads`: what a `.spl` file holds, in memory."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..errors import SnapshotError, UpgradeRefused
from .bare import BareReader
from .container import MAGIC, Container, Writer
from .filling import put_back
from .manifest import describe
from .pickling import dump
from .schema import steps
from .unpickling import Outcome, Problem, Reader, without_collector
from .walk import paths_to


def dumps(obj: object) -> bytes:
    """Everything that can be reached from an object, as the bytes of a `.spl`.

    Raises:
        NotStorable: something cannot be saved; named by its path from `obj`.
    """
    written: list[bytes] = []
    writer = Writer(written.append)

    def restart() -> None:
        written.clear()
        writer.begin()

    contents = dump(obj, writer.write, restart, name=_name_of(obj))
    writer.finish(describe(obj, contents, {"raw": writer.raw}), None)
    return b"".join(written)


def loads(data: bytes, *, space: object = None) -> Any:
    """The object that `dumps` was given, brought to the classes of today.

    A bare pickle, standard or zodbpickle's, is taken as schema 0 throughout. For one's own data: a pickle from a
    stranger can run anything.

    Args:
        space: what `__resume__(space)` gets.

    Raises:
        SnapshotCorrupt: the bytes are damaged.
        UpgradeRefused: some state does not fit its class of today.
    """
    if data[: len(MAGIC)] == MAGIC:
        container = Container(io.BytesIO(data), "the data")
        container.verify()
        obj, outcome = read(container, space=space)
    else:
        obj, outcome = _read_bare(io.BytesIO(data))
    refuse_problems(problems(obj, outcome), "the data")
    return obj


def _name_of(obj: object) -> str:
    from ..space import Space

    return "space" if isinstance(obj, Space) else "obj"


def read(container: Container, *, space: object = None) -> tuple[Any, Outcome]:
    """The root of a container that was verified, its hooks run, and what was met on the way."""
    from ..space import Space

    with without_collector(), container.stream() as stream, _as_snapshot_error(container.name):
        reader = Reader(stream, container.manifest)
        root = reader.read()
        reader.run_upgrades()
        reader.fill_weak()
        reader.run_resume(root if isinstance(root, Space) else space)
        reader.keep_quarantined()
    return root, reader.outcome


_STRANGE = (
    pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError, RecursionError,
)  # fmt: skip


@contextmanager
def _as_snapshot_error(name: str) -> Iterator[None]:
    try:
        yield
    except _STRANGE as error:
        # The checksums were right, so this is what some object's own making said, or a file that no midair wrote.
        raise SnapshotError(f"{name} cannot be loaded: {type(error).__name__}: {error}".removesuffix(": ")) from error


def _read_bare(file: BinaryIO) -> tuple[Any, Outcome]:
    with without_collector():
        reader = BareReader(file)
        root = reader.load()
        outcome = Outcome()
        for obj, state in reversed(reader.instances.values()):
            for hook, before in steps(type(obj), [], lambda name: name):
                try:
                    hook(obj, before, dict(state))
                except Exception as error:  # noqa: BLE001 - a user's hook may raise anything
                    put_back(obj, state)
                    outcome.quarantined.append((obj, "__upgrade__", error))
                    break
                outcome.upgraded += 1
    return root, outcome


def problems(root: object, outcome: Outcome) -> list[Problem]:
    """What a load left undone, by path."""
    places = paths_to(root, [obj for obj, _, _ in outcome.quarantined], _name_of(root))
    return [
        Problem(path, f"{type(obj).__module__}.{type(obj).__qualname__}", f"{stage}: {type(error).__name__}: {error}")
        for path, (obj, stage, error) in zip(places, outcome.quarantined, strict=True)
    ]


def refuse_problems(found: list[Problem], name: str) -> None:
    """The strict policy.

    Raises:
        UpgradeRefused: there are any.
    """
    if found:
        listed = "; ".join(map(str, found[:10])) + (f"; and {len(found) - 10} more" if len(found) > 10 else "")
        raise UpgradeRefused(f"{name} is not loaded, {len(found)} objects do not fit the code of today: {listed}")
