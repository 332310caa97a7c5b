"""`midair status` in words: what a person asks first, and what wants them to do something."""

import re
import time

from midair.console.cli.standing import standing

QUIET = {
    "name": "chat",
    "midair": "1.0",
    "pid": 17,
    "file": "/srv/chat.spl",
    "generation": 0,
    "saved": None,
    "snapshot": None,
    "snapshot_failed": None,
    "journal": None,
    "started": 1000.0,
    "services": {"chat": ["127.0.0.1:4000", "[::1]:4000"], "clock": []},
    "connections": 2,
    "timers": 1,
    "jobs": 0,
    "edits": 3,
    "held": [],
    "stragglers": 0,
    "not_upgraded": 0,
    "lag_ms": 0.4,
}


def told(**different):
    return dict(re.findall(r"(?m)^(.{16}) (.*)$", "\n".join(standing({**QUIET, **different}))))


def test_a_server_in_good_order_says_what_it_does_and_nothing_of_what_is_not_wrong():
    lines = list(standing(QUIET))
    assert [line[:16].strip() for line in lines] == [
        "name", "process", "midair", "services", "", "connections", "timers", "jobs", "saved", "edits", "code", "longest wait",
    ]  # fmt: skip
    assert lines[3:5] == ["services         chat 127.0.0.1:4000 [::1]:4000", " " * 17 + "clock"]
    assert "nothing yet; it will be in /srv/chat.spl" in lines[8]
    assert lines[10] == "code             as the files say"


def test_when_it_was_saved_is_told_of_this_run_and_of_an_earlier_one():
    saved = f"{'saved':16}"
    assert told(generation=4, saved=time.time() - 180)[saved] == "generation 4, 3 min ago, in /srv/chat.spl"
    assert told(generation=4)[saved] == "generation 4, not saved since the start, in /srv/chat.spl"
    assert told(file=None)[saved].startswith("nothing, ")


def test_what_wants_somebody_is_told_with_its_cure():
    lines = list(
        standing(
            {
                **QUIET,
                "snapshot_failed": "disk full",
                "held": ["a.py: refused: no; correct it"],
                "stragglers": 2,
                "not_upgraded": 5,
            }
        )
    )
    text = "\n".join(lines)
    assert "NOT SAVED        disk full" in lines
    assert re.search(r"code             NOT what the files say:\n {17}a\.py: refused: no; correct it\n", text)
    assert re.search(r"old code         2 .*stragglers\(\)", text)
    assert re.search(r"not upgraded     5 objects", text)


def test_a_program_under_exec_and_a_server_of_another_version_are_told_too():
    program = {
        "name": "app", "midair": "1.0", "pid": 17, "program": "app.py -v", "started": 1000.0, "threads": 3, "modules": 2,
        "edits": 0, "held": [], "stragglers": 0, "phase_of_the_moon": "full", "nothing_known": None,
    }  # fmt: skip
    lines = list(standing(program))
    assert "program          app.py -v" in lines
    assert lines[-1] == "phase of the moon full"
    assert not any("connections" in line or "saved" in line for line in lines)
