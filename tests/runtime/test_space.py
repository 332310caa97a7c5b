"""The space is a mapping of names to objects, with paths into it."""

import pytest

from midair import Service, Space
from midair.runtime.errors import NoSuchObject, SpaceError


class Thing:
    def __init__(self):
        self.parts = {"a": [1, 2, 3], 7: "seven"}


@pytest.fixture
def space():
    space = Space()
    space["web"] = Thing()
    space["my-chat"] = [Thing()]
    return space


def test_it_is_a_mapping_in_order_of_insertion(space):
    assert list(space) == ["web", "my-chat"]
    assert len(space) == 2
    del space["web"]
    assert "web" not in space


def test_what_is_not_there_is_a_key_error_that_names_it(space):
    with pytest.raises(KeyError) as caught:
        space["nobody"]
    assert str(caught.value) == "nothing at space['nobody']; the path exists up to space"


@pytest.mark.parametrize("name", ["", 1, None])
def test_a_name_is_a_string_that_is_not_empty(space, name):
    with pytest.raises(TypeError, match="string that is not empty"):
        space[name] = 1


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("space['web'].parts['a'][1]", 2),
        ("web.parts[7]", "seven"),
        ("space['my-chat'][0].parts['a'][-1]", 3),
        ("web.parts['a']", [1, 2, 3]),
    ],
)
def test_paths_are_written_as_errors_write_them(space, path, expected):
    assert space.resolve(path) == expected


def test_a_path_that_leads_nowhere_says_how_far_it_leads(space):
    with pytest.raises(NoSuchObject) as caught:
        space.resolve("web.parts['a'][9].x")
    assert str(caught.value) == "nothing at web.parts['a'][9].x; the path exists up to space['web'].parts['a']"


@pytest.mark.parametrize("path", ["web.parts[x]", "f()", "1 +", "web[print()]", ""])
def test_what_is_no_path_is_refused_and_runs_nothing(space, path):
    with pytest.raises(SpaceError, match="not a path"):
        space.resolve(path)


def test_a_service_knows_its_name_and_space_while_it_is_there(space):
    service = space["s"] = Service()
    assert (service.name, service.space) == ("s", space)
    assert space.services() == {"s": service}
    space["s"] = service
    with pytest.raises(SpaceError, match="in a space already"):
        space["t"] = service
    space["t"] = space.pop("s")
    assert service.name == "t"


def test_the_same_value_again_changes_nothing(space):
    before = space["web"]
    space["web"] = before
    assert list(space) == ["web", "my-chat"]


def test_a_space_without_a_file_says_how_to_give_it_one(space):
    with pytest.raises(SpaceError, match=r"space\.save\('app\.spl'\)"):
        space.save()
