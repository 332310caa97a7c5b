"""What the commands do that no other file of tests looks at."""

import logging
import sys
import time
from pathlib import Path

import pytest
from consoles import PASSWORD, At, converse

from midair.runtime import logs
from midair.runtime.service import Service
from midair.runtime.timers import Timer


def test_history_is_kept_across_logins_and_is_each_persons_own(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet(term="xterm")
        one.prompt()
        one.line("6 * 7 + 1000")
        one.until("1042")
        one.send("\x04")
        one.rest()
        again = at.telnet(term="xterm")
        again.prompt()
        again.send("\x1b[A")
        again.until("6 * 7 + 1000")
        again.send("\r")
        again.until("1042")
        root = at.attach()
        root.prompt()
        root.send("\x1b[A")
        root.line("'no ' 'history'")
        root.until("'no history'")

    converse(tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "usage"),
    [("find", "find(cls, *, most=20)"), ("source", "source(what)"), ("stop", "stop(*, discard=False)")],
)
def test_the_bare_name_of_a_command_that_needs_an_argument_prints_its_usage(
    tmp_path: Path, name: str, usage: str
) -> None:
    def scenario(at: At) -> None:
        done = at.script(f"{name}\n")
        assert (done.status, done.out.startswith(usage)) == (0, True), done

    converse(tmp_path, scenario)


def test_the_editor_colours_what_is_typed(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach()
        one.prompt()
        one.line("for n in 'ab': pass\r")
        one.prompt()
        keyword = one.raw.find(b"for")
        assert b"\x1b[0;32" in one.raw[keyword - 12 : keyword], "a keyword is green"

    converse(tmp_path, scenario)


def test_long_work_in_a_thread_leaves_the_server_free_and_prints_where_it_was_begun(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.prompt()
        one.line("import threading; go = threading.Event()")
        one.prompt()
        one.line("task = bg(lambda: (go.wait(), print('done in a thread'), 42)[-1])")
        one.prompt()
        assert at.script("'free'").out == "'free'\n"
        one.line("task")
        one.until("running; 'await' gives its result")
        one.line("go.set()")
        one.until("done in a thread")
        one.line("await task")
        one.until("42")

    converse(tmp_path, scenario)


def test_tasks_are_listed_and_cancelled_by_name(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.script("import asyncio\nt = asyncio.create_task(asyncio.sleep(600), name='sleeper')")
        assert "sleeper" in at.command("tasks").out
        assert at.command("cancel", "sleeper").out == "cancelled sleeper\n"
        assert at.script("await asyncio.wait({t}); t.cancelled()").out == "True\n"
        assert "there is no task 'sleeper'" in at.command("cancel", "sleeper").err

    converse(tmp_path, scenario)


def test_timers_are_listed_and_cancelled_by_what_they_call(tmp_path: Path) -> None:
    class Clock(Service):
        def strike(self) -> None:
            """Bong."""

    def scenario(at: At) -> None:
        clock = at.server.space["clock"] = Clock()
        at.server.space.add_timer(Timer(clock, "strike", (), due=time.time() + 600, period=60))
        assert "Clock.strike" in at.command("timers").out
        assert at.command("cancel", "Clock.strike").out == "cancelled Clock.strike\n"
        assert at.command("timers").out == "no timers\n"

    converse(tmp_path, scenario)


def test_stacks_shows_threads_and_where_tasks_wait(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.script(
            "import asyncio\nasync def inner(): await asyncio.sleep(600)\n"
            "async def outer(): await inner()\nt = asyncio.create_task(outer(), name='sleeper')"
        )
        shown = at.command("stacks").out
        assert shown.startswith("-- server's loop: ")
        assert "-- midair-console: " in shown
        task = shown[shown.index("-- task sleeper waits at") :]
        assert task.index("in outer") < task.index("in inner") < task.index("in sleep")
        assert "server's loop" not in at.command("stacks", "sleeper").out
        at.script("t.cancel()")

    converse(tmp_path, scenario)


def test_the_log_is_tailed_and_followed_and_a_statements_own_records_stay_in_it(tmp_path: Path) -> None:
    root = logging.getLogger()
    root.addHandler(logs.tail)
    before = root.level
    root.setLevel(logging.INFO)
    try:

        def scenario(at: At) -> None:
            log = logging.getLogger("midair.test")
            log.warning("the well is dry")
            log.info("all is well")
            assert "the well is dry" in at.command("log").out
            assert "all is well" not in at.command("log", "--level", "warning").out
            assert at.command("log", "--grep", "dry", "1").out.count("\n") == 1
            one = at.nc()
            one.prompt()
            one.line("log(0, follow=True)")
            one.prompt()
            log.warning("the roof leaks\x1b[2J")
            one.until("the roof leaks\\x1b[2J")
            one.line("import logging; logging.getLogger('midair.test').error('my own doing')")
            one.until("console:")
            one.until("my own doing")

        converse(tmp_path, scenario)
    finally:
        root.removeHandler(logs.tail)
        root.setLevel(before)


def test_a_log_handler_made_while_a_console_is_open_still_writes_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def scenario(at: At) -> None:
        source = (
            "import logging, sys\nlog = logging.getLogger('late'); log.propagate = False\n"
            "log.addHandler(logging.StreamHandler(sys.stderr)); log.warning('to the log')\nprint('to me')"
        )
        assert at.script(source) == (0, "to me\n", "")

    converse(tmp_path, scenario)
    assert "to the log" in capsys.readouterr().err
    logging.getLogger("late").handlers.clear()


def test_what_acts_shows_its_usage_until_it_is_called(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        assert at.script("stop").out.startswith("stop(*, discard=False)\nStop the server in good order")
        assert at.server.stopped == ""
        assert at.script("[who]").out.startswith("[<command who: ")
        assert at.script("stop()").out == "stopping\n"
        assert at.server.stopped.startswith("asked by ")
        assert "Return the number of items" in at.script("help(len)").out
        assert at.script("help('undo')").out.startswith("undo(number=None, *, write=False)")
        assert at.script("help(undo)").out == at.script("help('undo')").out

    converse(tmp_path, scenario)


def test_help_keeps_words_whole_on_a_narrow_terminal(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach(columns=40)
        one.prompt()
        one.line("help")
        shown = one.until("help(obj) is Python's help.")
        lines = shown[shown.index("space ") :].splitlines()
        assert max(len(line) for line in lines[:20]) <= 40
        assert any(line.startswith("           ") for line in lines[:20])

    converse(tmp_path, scenario)


def test_a_shell_command_shows_its_output_and_its_status(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        assert at.script("sh('echo out; echo err >&2; exit 3')").out == "out\nerr\n[exit status 3]\n"

    converse(tmp_path, scenario)


def test_a_session_is_recorded_and_shown_again_without_what_was_typed_unseen(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet(term="xterm")
        one.prompt()
        one.line("record()")
        one.until("recording to anna-")
        one.prompt()
        one.line("print('first', 'performance')")
        one.until("first performance")
        one.prompt()
        one.line("secret = await ask('Se' 'cret: ', hidden=True)")
        one.until("Secret: ")
        one.line("never shown")
        one.prompt()
        one.line("record(False)")
        one.until("kept in anna-")
        one.prompt()
        name = at.json().ask(id=1, command="replay")["data"][0]["name"]
        one.line(f"replay({name!r}, speed=1000)")
        one.until("first performance")
        one.until("[the recording ends]")
        one.prompt()
        assert "there is no recording" in at.command("replay", "other").err

    converse(tmp_path, scenario)
    (file,) = (tmp_path / "demo.recordings").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert "never shown" not in file.read_text()
    assert PASSWORD not in file.read_text()


def test_statements_of_several_people_take_turns_at_their_awaits(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one, other = at.json(), at.json()
        one.send(
            id=1,
            code="import asyncio\nshared = []\nshare('shared')\nwhile len(shared) < 3: await asyncio.sleep(0.001)\n'seen'",
        )
        while "shared" not in at.console.shared.names:
            time.sleep(0.001)
        assert other.ask(id=1, code="shared += [1, 2, 3]\nlen(shared)")["result"] == "3"
        assert one.next()["result"] == "'seen'"

    converse(tmp_path, scenario)


def test_streams_and_hooks_are_as_before_when_a_console_has_closed(tmp_path: Path) -> None:
    import threading

    before = (sys.stdout, sys.stderr, sys.breakpointhook, threading.Thread.start)
    converse(tmp_path, lambda at: at.script("print(1)") and None)
    assert (sys.stdout, sys.stderr, sys.breakpointhook, threading.Thread.start) == before
