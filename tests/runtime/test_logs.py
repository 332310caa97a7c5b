"""Log lines are read by people: who, when, what; and by programs when asked for."""

import io
import json
import logging
import os
import re
from pathlib import Path

import pytest

from midair.runtime import logs


@pytest.fixture
def log(tmp_path):
    """A log in a file, and its lines."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logger = logging.getLogger("midair.snapshot")

    def begin(**options):
        logs.set_up(**{"file": tmp_path / "x.log", **options})
        return logger, lambda: (tmp_path / "x.log").read_text().splitlines()

    yield begin
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


def test_a_line_in_a_file_has_iso_time_level_owner_and_text(log):
    logger, lines = log()
    logger.info("saved %s", "chat.spl")
    (line,) = lines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO    snapshot       saved chat\.spl", line
    )


def test_a_file_that_cannot_be_written_is_known_at_once(log, tmp_path):
    with pytest.raises(FileNotFoundError):
        log(file=tmp_path / "nowhere" / "x.log")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this platform has no /dev/full")
def test_a_full_disk_is_one_line_however_much_is_lost_to_it(log, capsys):
    logger, _ = log(file=Path("/dev/full"))
    logger.info("one")
    logger.info("two")
    assert capsys.readouterr().err == "midair: the log /dev/full cannot be written: No space left on device\n"
    with open(os.devnull, "wb") as there_is_room:  # else its closing fails as its writing did
        handler = next(h for h in logging.getLogger().handlers if getattr(h, "baseFilename", "") == "/dev/full")
        os.dup2(there_is_room.fileno(), handler.stream.fileno())


def test_the_owner_is_the_one_on_whose_behalf_it_was_written(log):
    logger, lines = log()
    token = logs.owner.set("console:anna")
    logger.warning("from the context")
    logs.owner.reset(token)
    logging.LoggerAdapter(logger, {"owner": "conn 12"}).warning("from an adapter")
    assert [line.split()[2:4] for line in lines()] == [["console:anna", "from"], ["conn", "12"]]


def test_json_lines(log):
    logger, lines = log(as_json=True)
    try:
        raise ZeroDivisionError("x")
    except ZeroDivisionError:
        logger.exception("it\nfailed")
    (line,) = lines()
    found = json.loads(line)
    assert (found["level"], found["owner"], found["logger"]) == ("ERROR", "snapshot", "midair.snapshot")
    assert found["message"].startswith("it\nfailed\nTraceback")


def test_what_a_stranger_sent_cannot_act_on_the_terminal(log):
    logger, lines = log()
    logger.info("nick is %s", "\x1b[2J\x07evil\x9b")
    assert lines()[0].endswith(r"nick is \x1b[2J\x07evil\x9b")


def test_a_terminal_gets_short_aligned_lines_with_colour(log):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    logger, _ = log(file=None, stream=screen)
    logger.warning("careful")
    assert re.fullmatch(
        "\x1b\\[2m\\d\\d:\\d\\d:\\d\\d\x1b\\[0m snapshot       \x1b\\[33mcareful\x1b\\[0m\n", screen.getvalue()
    )


def test_a_file_is_turned_over_and_the_old_ones_are_bounded(log, tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_BYTES", 1000)
    monkeypatch.setattr(logs, "KEPT_FILES", 2)
    logger, _ = log()
    for _ in range(100):
        logger.info("x" * 100)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.iterdir())


def test_the_tail_can_be_followed(log):
    logger, _ = log()
    seen = []
    stop = logs.tail.follow(lambda level, line: seen.append((level, line.split()[-1])))
    logger.info("one")
    stop()
    logger.info("two")
    assert seen == [(logging.INFO, "one")]
    assert [line.split()[-1] for _, line in logs.tail.lines][-2:] == ["one", "two"]


def test_set_up_again_replaces_what_was_there(log, tmp_path):
    logger, lines = log()
    log(file=tmp_path / "y.log")
    logger.info("here")
    assert (tmp_path / "x.log").read_text() == ""
    assert len((tmp_path / "y.log").read_text().splitlines()) == 1
