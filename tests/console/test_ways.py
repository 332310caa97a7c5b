"""The smaller ways in and out: the terminal link, the starting terminal, questions, the start-up file, idle sessions."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from consoles import PASSWORD, At, Terminal, converse

from midair.console.users import Users
from midair.runtime.testing import edit

pytest.importorskip("pyte", reason="the screen model is not installed")

COPY = (
    "import os, select, sys, tty\n"
    "fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)\n"
    "tty.setraw(0)\n"
    "while True:\n"
    "    for ready in select.select([0, fd], [], [])[0]:\n"
    "        os.write(fd if ready == 0 else 1, os.read(ready, 4096))\n"
)
"""As little of `screen` as it takes to open a terminal and copy both ways."""


def test_a_terminal_link_has_a_session_for_whoever_opens_it_one_after_another(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        link = tmp_path / "demo.tty"
        while not link.is_symlink():
            time.sleep(0.005)
        for number in (1, 2):
            one = at.terminal([sys.executable, "-c", COPY, str(link)])
            one.until(">>>")
            one.line(f"'visit {number}'")
            one.until(f"^'visit {number}'")
            at.clients.remove(one)
            one.close()
            while at.console.sessions:
                time.sleep(0.005)

    def with_link(_server: Any, console: Any) -> None:
        console.pty = True

    converse(tmp_path, scenario, prepare=with_link)
    assert not (tmp_path / "demo.tty").is_symlink()


def test_the_terminal_that_a_server_was_started_on_can_be_its_console(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, termios, threading; sys.path.insert(0, sys.argv[1]); import consoles\n"
        "before = termios.tcgetattr(0)\n"
        "left = threading.Event()\n"
        "def prepare(server, console):\n"
        "    console.stdin = True\n"
        "    old = console.left\n"
        "    console.left = lambda session: (old(session), left.set())\n"
        "consoles.converse(pathlib.Path(sys.argv[2]), lambda at: left.wait(), prepare=prepare)\n"
        "print('SAME', termios.tcgetattr(0) == before)\n"
    )
    one = Terminal([sys.executable, "-c", code, str(Path(__file__).parent.parent), str(tmp_path)])
    try:
        one.until(">>>")
        one.line("print('log'); 6 * 7")
        one.until("^log\n42")
        one.type("\x04")
        one.until("SAME True")
        assert one.ends() == 0
    finally:
        one.close()


CLOCK = """
from midair import Service

class Clock(Service):
    def face(self):
        return "round"

def build(space):
    space["clock"] = Clock()
"""


def test_on_the_starting_terminal_the_log_comes_above_the_prompt_and_an_edit_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "clock.py").write_text(CLOCK)
    command = [sys.executable, "-m", "midair", "run", "-i", "clock.py", "--settle", "0.05"]
    place = {"MIDAIR_RUNTIME_DIR": str(tmp_path / "run"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    one = Terminal(["sh", "-c", 'cd "$1"; shift; exec "$@"', "sh", str(tmp_path), *command], columns=160, **place)
    try:
        one.until(r"^ready in .*\n(.*\n)*\[1\] >>>")
        one.type("li")
        one.until(r"li$")
        edit(tmp_path / "clock.py", "round", "square")
        one.until(r"edit 1.*\n(.*\n)*\[1\] >>> li$")
        one.line("ne = clock.face()")
        one.until(r"^\[2\] >>>")
        assert one.text.count("edit 1") == 1, one.text
        one.line("stop()")
        assert one.ends() == 0
    finally:
        one.close()


@pytest.mark.parametrize("term", ["", "xterm"])
def test_a_person_changes_their_password_and_it_is_written_nowhere(tmp_path: Path, term: str) -> None:
    new = "battery staple"

    def scenario(at: At) -> None:
        one = at.telnet("vera", term=term)
        one.prompt()
        one.line("passwd")
        one.until("New password: ")
        one.line(new)
        one.until("Again: ")
        one.line(new)
        one.until("changed")
        one.prompt()
        assert new.encode() not in one.raw

    converse(tmp_path, scenario)
    assert Users(tmp_path / "demo.users").check("vera", new)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert new.encode() not in file.read_bytes(), file


def test_a_statement_may_ask_and_input_is_refused_with_the_way_to(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        for one in (at.nc(), at.attach()):
            one.prompt()
            one.line("name = await ask('Na' 'me: ')")
            one.until("Name: ")
            one.line("hall")
            one.prompt()
            one.line("name.upper()")
            one.until("'HALL'")
            one.prompt()
            one.line("await ask('An' 'd? ')")
            one.until("And? ")
            one.send("\x03")
            one.until("ConsoleError: no answer")
            one.prompt()
            one.line("input('Name: ')")
            one.until("use: await ask('Name: ')")
        assert "ConsoleError" in at.script("await ask('anybody there? ')").err

    converse(tmp_path, scenario)


def test_a_start_up_file_beside_the_space_runs_once_for_each_person(tmp_path: Path) -> None:
    rc = tmp_path / ".midairrc.py"
    rc.write_text("import json\nruns = globals().get('runs', 0) + 1\n")

    def scenario(at: At) -> None:
        for user in ("anna", "anna"):
            one = at.telnet(user)
            one.prompt()
            one.line("runs, json.dumps(1)")
            one.until("(1, '1')")
        otto = at.telnet("otto")
        otto.prompt()
        otto.line("runs")
        otto.until("there is no command 'runs'")

    converse(tmp_path, scenario)
    rc.write_text("1/0")

    def broken(at: At) -> None:
        assert ".midairrc.py: Traceback" in at.telnet().prompt()

    converse(tmp_path, broken)
    rc.chmod(0o666)

    def written_by_others(at: At) -> None:
        assert "Traceback" not in at.telnet().prompt()

    converse(tmp_path, written_by_others)


def test_who_types_nothing_over_a_network_is_sent_away_and_the_local_socket_is_not(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        local, remote, busy = at.nc(), at.telnet("anna"), at.telnet("vera")
        local.prompt()
        remote.prompt()
        remote.until("Nothing was typed for")
        remote.rest()
        busy.rest()
        local.line("'still here'")
        local.until("'still here'")

    converse(tmp_path, scenario, idle=1.0)


def test_a_breakpoint_does_not_stop_the_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def scenario(at: At) -> None:
        assert at.script("def f():\n    breakpoint()\n    return 'went on'\n\nf()").out == "'went on'\n"

    before = sys.breakpointhook
    converse(tmp_path, scenario)
    assert sys.breakpointhook is before
    assert "passed over: it would stop the server" in caplog.text


def test_the_names_of_the_files_of_a_console(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet(term="xterm")
        one.prompt()
        one.line("1")
        one.until("1")

    converse(tmp_path, scenario)
    assert sorted(os.listdir(tmp_path)) == ["demo.audit", "demo.history", "demo.users"]
    assert PASSWORD not in (tmp_path / "demo.audit").read_text()
