"""The input line: what its keys do, on a screen; and how little each session adds to the process."""

import gc
import re
import sys
import threading
import time
from pathlib import Path

import pytest
from consoles import At, Client, Terminal, converse

from midair.console.session import Session

pytest.importorskip("pyte", reason="the screen model is not installed")

ATTACH = "import sys; from midair.console import attach; sys.exit(attach.main(sys.argv[1]))"
MENU = "Editing mode"


def at_a_prompt(at: At) -> Terminal:
    one = at.terminal([sys.executable, "-c", ATTACH, str(at.console.socket_path)])
    one.until(r"^\[1\] >>>")
    return one


def test_f2_shows_options_that_have_an_effect_and_hides_them_again(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.type("\x1bOQ")
        shown = one.until(MENU)
        assert "Emacs" in shown
        for title in ("Confirm on exit", "Dictionary completion", "Enable pager", "Show signature", "status bar"):
            assert title not in shown
        one.type("\x1b[C")  # right: the next value of the first option
        one.until(f"{MENU} +Vi")
        one.type("\x1b[D")
        one.until(f"{MENU} +Emacs")
        one.type("\r")
        while MENU in one.text:
            one._more()
        one.line("6 * 7")
        one.until("^42$")
        one.type("\x1bOQ")
        one.until(MENU)

    converse(tmp_path, scenario)


def test_each_session_has_options_of_its_own(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        first, second = at_a_prompt(at), at_a_prompt(at)
        first.type("\x1bOS")  # F4: vi
        first.type("\x1bOQ")
        first.until(f"{MENU} +Vi")
        second.type("\x1bOQ")
        second.until(f"{MENU} +Emacs")

    converse(tmp_path, scenario)


def test_f3_chooses_lines_of_the_history(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.line("chosen = 40 + 2")
        one.until(r"^\[2\] >>>")
        one.type("\x1bOR")
        one.until("History browser")
        one.type(" \r")
        one.until(r"^\[2\] >>> chosen = 40 \+ 2$")

    converse(tmp_path, scenario)


def test_ctrl_r_searches_what_was_typed(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.line("first = 1")
        one.until(r"^\[2\] >>>")
        one.line("second = 2")
        one.until(r"^\[3\] >>>")
        one.type("\x12irs")
        one.until("I-search backward: irs")
        one.until(r"^\[3\] >>> first = 1")
        one.type("\x07")  # Ctrl-G gives up
        one.until(r"^\[3\] >>>$")

    converse(tmp_path, scenario)


def test_lines_are_indented_and_sent_after_an_empty_one_or_by_escape_enter(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.line("def f():")
        one.until(r"^ +\.\.\.$")
        one.line("return 40 + 2")
        one.type("\r")
        one.until(r"^\[2\] >>>")
        one.line("f()")
        one.until("^42$")
        one.line("if True:")
        one.line("print('twice')")
        one.type("\x1b[A\x1b[A")  # up: not at the end any more
        one.until(r"\[Meta\+Enter\] Execute")
        one.type("\x1b\r")
        one.until("^twice$")

    converse(tmp_path, scenario)


def test_a_block_pasted_by_a_terminal_that_does_not_say_so_keeps_its_indentation(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.type(
            "def twice(x):\r    y = x * 2\r    return y\r\rfor n in (1, 2):\r    if n:\r        print(twice(n) * 10)\r\r"
        )
        one.until(r"^20\n40\n\[3\] >>>")

    converse(tmp_path, scenario)


def test_a_mistake_is_shown_where_it_is_and_can_be_mended(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.line("6 * * 7")
        one.until("Syntax Error")
        assert re.search(r"^\[1\] >>> 6 \* \* 7$", one.text, re.MULTILINE)
        one.line("\x7f\x7f\x7f7")
        one.until("^42$")

    converse(tmp_path, scenario)


@pytest.mark.parametrize("keys", ["\x1b!", "\x1a", "\x18\x05"], ids=["M-!", "C-z", "C-x C-e"])
def test_no_key_runs_a_program_on_the_server_or_stops_it(tmp_path: Path, keys: str) -> None:
    """prompt_toolkit has keys for a shell command, for the editor of whoever started the process, and for suspending it."""

    def scenario(at: At) -> None:
        one = at_a_prompt(at)
        one.type(keys)
        one.type("x = 1")
        one.until(r"^\[1\] >>> .*1$")
        assert "Shell command" not in one.text
        one.type("\x15\x0b")
        one.line("6 * 7")
        one.until("^42$")

    converse(tmp_path, scenario)


def test_a_session_adds_little_for_the_garbage_collector_and_takes_it_along(tmp_path: Path) -> None:
    """A full collection visits every object of the process and stops it meanwhile: 50 sessions must not be felt in it."""
    count = 10

    def open_one(at: At) -> Client:
        one = at.attach()
        one.prompt()
        return one

    def ended(at: At) -> None:
        while at.console.sessions or at.console.connections:
            time.sleep(0.001)
        settled = threading.Event()
        at.console.call(lambda: at.console.call(settled.set))
        settled.wait()

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    def scenario(at: At) -> None:
        open_one(at).close()
        ended(at)
        empty = objects()
        clients = [open_one(at) for _ in range(count)]
        added = (objects() - empty) / count
        assert added < 1200, added
        for one in clients:
            one.close()
        ended(at)
        del clients[:], at.clients[:], one
        left = (objects() - empty) / count
        assert not [o for o in gc.get_objects() if type(o) is Session and o.console is at.console]
        assert left < 20, left

    converse(tmp_path, scenario)
