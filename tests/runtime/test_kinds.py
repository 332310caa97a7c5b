"""Kinds of service, by entry point."""

from importlib import metadata

import pytest

from midair import Service
from midair.runtime import kinds
from midair.runtime.errors import ServerError


class Whole(Service):
    """Whole: does everything.

    More.
    """

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--loud", action="store_true")

    @classmethod
    def make(cls, options):
        return cls()


class Half(Service):
    pass


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    here = __name__
    points = [
        metadata.EntryPoint(name, value, kinds.GROUP)
        for name, value in {
            "whole": f"{here}:Whole",
            "half": f"{here}:Half",
            "other": "json:dumps",
            "gone": "a_module_that_is_gone:Kind",
            "renamed": "json:a_name_that_is_gone",
        }.items()
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)


def test_names_are_listed_without_an_import():
    assert kinds.names() == ["gone", "half", "other", "renamed", "whole"]


def test_a_kind_is_loaded_and_told_by_its_first_line():
    assert kinds.load("whole") is Whole
    assert kinds.summary(kinds.load("whole")) == "Whole: does everything."


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("half", "has no classmethod add_arguments"),
        ("other", "is not a Service class"),
        ("gone", "does not import: No module named 'a_module_that_is_gone'"),
        ("renamed", "does not import"),
    ],
)
def test_what_cannot_be_used_says_why(name, why):
    with pytest.raises(kinds.KindFailed, match=f"the kind '{name}' cannot be used: .*{why}"):
        kinds.load(name)


def test_an_unknown_kind_is_named_beside_the_known():
    with pytest.raises(
        ServerError, match="no kind of service called 'gopher'; there are gone, half, other, renamed, whole"
    ):
        kinds.load("gopher")
