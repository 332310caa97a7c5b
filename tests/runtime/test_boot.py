"""From what was named to a space that is ready: found, resumed, built, set aside."""

import os
import re
import sys

import pytest

from midair import Service, Space
from midair.runtime import snapshot
from midair.runtime.boot import How, Target, make_file, open_space, set_aside
from midair.runtime.errors import AlreadyRunning, NotTrusted, ServerError
from midair.runtime.files import Files
from midair.runtime.words import ago, near


class Bell(Service):
    rung = 0


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDAIR_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def kind(name="bell"):
    return Target(name, Files.of(f"{name}.spl"), make=Bell)


def opened(target, **how):
    """Open a space, and give it up again so that the next one can."""
    one = open_space(target, How(**how))
    one.hold.release()
    return one


def test_a_kind_is_made_when_there_is_no_file_and_resumed_when_there_is(here):
    first = opened(kind())
    assert first.line == "new space of one bell"
    first.space["bell"].rung = 3
    first.space.save("bell.spl")
    again = opened(kind())
    assert re.fullmatch(
        r"resumed bell\.spl generation 1, saved \d+ s ago; its options are those it was made with .*", again.line
    )
    assert again.space["bell"].rung == 3
    assert again.space.uuid == first.space.uuid


def test_a_file_is_found_by_its_path_and_a_program_keeps_its_space_here(here):
    (here / "sub").mkdir()
    (here / "sub" / "game.py").touch()
    assert Target.of("sub/game.py").files == Files(here, "game")
    assert Target.of("sub/game.py", file="other.spl").files == Files(here, "other")
    with pytest.raises(ServerError, match=r"there is no file nothing\.spl"):
        Target.of("nothing.spl")
    with pytest.raises(ServerError, match=r"'nothing' is neither"):
        Target.of("nothing")


def test_who_holds_a_space_holds_it_alone_until_released(here):
    one = open_space(kind())
    with pytest.raises(AlreadyRunning):
        open_space(kind(), How(fresh=True))
    one.hold.release()
    opened(kind())


def test_an_open_that_fails_gives_the_space_up_again(here):
    def fail():
        raise ServerError("it does not want to")

    with pytest.raises(ServerError, match="does not want"):
        open_space(Target("bell", Files.of("bell.spl"), make=fail))
    assert not list(here.glob("bell*"))
    opened(kind())


def test_fresh_moves_every_generation_and_nothing_else(here):
    one = opened(kind()).space
    one.save("bell.spl")
    one.save("bell.spl")
    for name in ("bell.rescue.spl", "bellows.spl", "bell.users"):
        (here / name).touch()
    fresh = opened(kind(), fresh=True)
    (folder,) = here.glob("bell.aside-*")
    assert fresh.line == f"new space of one bell; the old file is in {folder.name}/"
    assert sorted(os.listdir(folder)) == ["bell.1.spl", "bell.2.spl", "bell.spl"]
    assert {"bell.rescue.spl", "bellows.spl", "bell.users"} <= set(os.listdir(here))
    assert Space.load(folder / "bell.spl").uuid == one.uuid


def test_fresh_leaves_everything_where_it_is_when_the_program_fails(here):
    opened(kind()).space.save("bell.spl")

    def fail():
        raise ServerError("it does not want to")

    with pytest.raises(ServerError):
        open_space(Target("bell", Files.of("bell.spl"), make=fail), How(fresh=True))
    assert (here / "bell.spl").exists()
    assert set_aside(Files.of("nothing.spl")) is None


def test_a_generation_that_is_not_there_is_named(here):
    with pytest.raises(ServerError, match="nothing was started"):
        opened(kind(), generation=3)
    opened(kind()).space.save("bell.spl")
    with pytest.raises(ServerError, match="no generation 3 of bell.spl"):
        opened(kind(), generation=3)


def test_make_file_refuses_what_is_there(here):
    make_file(Files.of("bell.spl"), Bell)
    assert list(Space.load("bell.spl")) == ["bell"]
    with pytest.raises(ServerError, match=r"bell\.spl exists already and was left alone"):
        make_file(Files.of("bell.spl"), Bell)
    (here / "other.spl").touch()
    with pytest.raises(ServerError, match=r"other\.spl exists already"):
        make_file(Files.of("other.spl"), Bell)
    assert not (here / "other.spl.lock").exists()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s ago"), (99, "99 s ago"), (180, "3 min ago"), (7200, "2 h ago"), (864_000, "10 days ago")],
)
def test_times_are_told_as_people_say_them(seconds, said):
    assert ago(1_000_000, 1_000_000 + seconds) == said


def test_a_path_is_told_as_seen_from_here(here):
    assert near(here / "game" / "world.py") == "game/world.py"
    assert near("/etc/hosts") == "/etc/hosts"


def test_the_program_of_a_file_that_may_not_be_loaded_is_not_imported(here):
    (here / "game.py").write_text("open('ran', 'w').close()\ndef build(space): pass\n")
    snapshot.save(Space(), "game.spl", application={"module": "game", "folder": str(here)})
    (here / "game.spl").chmod(0o666)
    (here / "config" / "midair" / "key").unlink()
    for how in ({}, {"fresh": True}):
        with pytest.raises(NotTrusted, match=r"game\.spl is not loaded"):
            opened(Target.of("game.spl"), **how)
        assert not (here / "ran").exists()


def test_a_restored_backup_says_which_sources_run(here):
    (here / "home").mkdir()
    (here / "game.sources").mkdir()
    for folder in ("home", "game.sources"):
        (here / folder / "boot_game.py").write_text("def build(space): pass\n")
    snapshot.save(Space(), "game.spl", application={"module": "boot_game", "folder": str(here / "home")})
    assert opened(Target.of("game.spl")).warnings == [
        f"runs the program in {here / 'home'}; the backup's own sources are in game.sources"
    ]
    (here / "home" / "boot_game.py").unlink()
    del sys.modules["boot_game"]
    assert opened(Target.of("game.spl")).warnings == ["runs the sources of the backup, in game.sources"]
