"""Kinds of service, found by name: entry points of the group `midair.services`, ours and other packages'.

A kind is a `Service` class with two classmethods more:

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None: ...
    @classmethod
    def make(cls, options: argparse.Namespace) -> Service: ...

The first line of its docstring is its line in `midair make`.
"""

from __future__ import annotations

import argparse
from importlib import metadata
from typing import Protocol, cast

from .errors import ServerError
from .service import Service

GROUP = "midair.services"


class Kind(Protocol):
    """What an entry point of the group names."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def make(self, options: argparse.Namespace) -> Service: ...


class KindFailed(ServerError):
    """A kind is installed and cannot be used."""


def names() -> list[str]:
    """The kinds that are installed. None of them is imported."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def load(name: str) -> Kind:
    """The kind with this name.

    Raises:
        ServerError: there is none.
        KindFailed: its package cannot be imported, or it is not a kind.
    """
    found = [point for point in metadata.entry_points(group=GROUP) if point.name == name]
    if not found:
        raise ServerError(f"there is no kind of service called {name!r}; there are {', '.join(names()) or 'none'}")
    point = found[0]
    try:
        kind = point.load()
    except (ImportError, AttributeError, SyntaxError) as error:
        raise KindFailed(f"the kind {name!r} cannot be used: {point.value} does not import: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Service)):
        raise KindFailed(f"the kind {name!r} cannot be used: {point.value} is not a Service class")
    for method in ("add_arguments", "make"):
        if not callable(getattr(kind, method, None)):
            raise KindFailed(f"the kind {name!r} cannot be used: {point.value} has no classmethod {method}")
    return cast(Kind, kind)


def summary(kind: Kind) -> str:
    """The first line of its docstring."""
    return (kind.__doc__ or "").strip().partition("\n")[0]
