"""A session as a person meets it, by each way in."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from consoles import At, Client, converse

from midair.console import client


def by_telnet_terminal(at: At) -> Client:
    return at.telnet(term="XTERM")


def by_telnet_lines(at: At) -> Client:
    return at.telnet()


def by_socket_terminal(at: At) -> Client:
    return at.attach()


def by_socket_lines(at: At) -> Client:
    return at.nc()


EVERY_WAY = [by_telnet_terminal, by_telnet_lines, by_socket_terminal, by_socket_lines]
TERMINALS = [by_telnet_terminal, by_socket_terminal]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_person_types_python_and_sees_the_value(tmp_path: Path, way) -> None:
    def scenario(at: At) -> None:
        one = way(at)
        one.prompt()
        one.line("6 * 7")
        one.until("42")
        one.prompt()
        one.line("answer = 42")
        one.prompt()
        one.line("print('it is', answer)")
        one.until("it is 42")
        one.prompt()
        one.line("1/0")
        one.until("ZeroDivisionError: division by zero")
        one.prompt()

    converse(tmp_path, scenario)


@pytest.mark.parametrize("way", EVERY_WAY)
def test_ctrl_c_stops_an_endless_loop_of_this_session_and_leaves_the_session(tmp_path: Path, way) -> None:
    def scenario(at: At) -> None:
        one = way(at)
        one.prompt()
        one.line("n = 0")
        one.prompt()
        if way in TERMINALS:
            one.line("while True: n += 1\r")
        else:
            one.send("while True: n += 1\n\n")
        while not (at.console.interrupter.current and at.console.sessions[0].namespace["n"]):
            pass
        one.send(b"\x03" if way is not by_telnet_lines else b"\xff\xf4")
        one.until("KeyboardInterrupt")
        one.prompt()
        one.line("n > 0")
        one.until("True")

    converse(tmp_path, scenario, limit=0)


@pytest.mark.parametrize("leaving", ["exit", "exit()", "quit()", "import sys; sys.exit()", "\x04"])
def test_each_way_to_leave_ends_this_session_only(tmp_path: Path, leaving: str) -> None:
    def scenario(at: At) -> None:
        other = at.nc()
        other.prompt()
        one = at.attach()
        one.prompt()
        one.line(leaving) if leaving != "\x04" else one.send(leaving)
        one.rest()
        assert one.exit == 0
        other.line("'still ' + 'here'")
        other.until("still here")

    converse(tmp_path, scenario)


def test_await_works_at_the_prompt_and_ctrl_c_ends_the_waiting(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.prompt()
        one.line("import asyncio")
        one.prompt()
        one.line("await asyncio.sleep(0, 'slept')")
        one.until("'slept'")
        one.prompt()
        one.line("await asyncio.Event().wait()")
        while at.console.sessions[0].statement is None or not at.console.sessions[0].statement.begun:
            pass
        one.send(b"\x03")
        one.until("KeyboardInterrupt")
        one.prompt()

    converse(tmp_path, scenario)


def test_what_one_session_prints_is_seen_by_it_alone_also_from_timers_tasks_and_threads(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one, other = at.nc(), at.nc()
        one.prompt()
        other.prompt()
        for number, statement in enumerate(
            (
                "asyncio.get_running_loop().call_later(0, print, 'sound', 0)",
                "x = asyncio.create_task(asyncio.to_thread(print, 'sound', 1))",
                "x = asyncio.get_running_loop().run_in_executor(None, print, 'sound', 2)",
                "threading.Thread(target=print, args=('sound', 3)).start()",
                "threading.Timer(0, print, ('sound', 4)).start()",
                "print('sound', 5, file=sys.stderr)",
                "help(len)",
            )
        ):
            one.line("import asyncio, threading, sys; " + statement)
            one.until(f"sound {number}" if number < 6 else "Return the number of items")
        other.line("'quiet'")
        assert "sound" not in other.until("'quiet'")

    converse(tmp_path, scenario)


def test_output_from_elsewhere_comes_above_the_prompt_of_a_terminal(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach()
        one.prompt()
        one.line("import asyncio; h = asyncio.get_running_loop().call_later(0.2, print, 'ding')")
        one.prompt()
        one.send("half a li")
        one.until("ding\r\n")
        one.prompt()
        one.until("half a li")

    converse(tmp_path, scenario)


def test_a_paste_of_fifty_lines_is_run_as_fifty_lines(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.send("total = 0\n" + "".join(f"total += {n}\n" for n in range(48)) + "total\n")
        one.until("1128")
        tty = at.attach()
        tty.prompt()
        tty.send("\x1b[200~" + "seen = 0\n" + "\n".join(f"seen += {n}" for n in range(48)) + "\nseen\x1b[201~")
        tty.send("\r\r")
        tty.until("1128")

    converse(tmp_path, scenario)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r\x00", b"\r"])
def test_a_line_ends_as_the_client_likes(tmp_path: Path, ending: bytes) -> None:
    def scenario(at: At) -> None:
        one = at.telnet()
        one.prompt()
        one.send(b"'one' 'two'" + ending + b"'three' 'four'" + ending)
        one.until("onetwo")
        one.until("threefour")

    converse(tmp_path, scenario)


def test_blocks_are_read_until_they_are_complete(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.send("def double(n):\n    return 2 * n\n\ndouble(21)\n")
        one.until("42")
        one.send("import inspect\ninspect.getsource(double)\n")
        one.until("return 2 * n")

    converse(tmp_path, scenario)


def test_a_script_prints_only_its_results_and_a_failing_statement_ends_it_with_status_1(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.server.space["a"] = 1
        assert at.script("len(space)\n") == (0, "1\n", "")
        assert at.script("x = 2\n\n\nfor i in range(x):\n    print(i)\n\nx") == (0, "0\n1\n2\n", "")
        failed = at.script("'before'\nraise KeyError('lost')\n'after'")
        assert (failed.status, failed.out) == (1, "'before'\n")
        assert failed.err.startswith("Traceback (most recent call last):\n")
        assert failed.err.endswith("KeyError: 'lost'\n")
        assert "console/" not in failed.err, "frames of ours are of no use to anybody"
        assert at.script("def f(:").err.endswith("SyntaxError: invalid syntax\n")
        assert at.script("import sys\nprint('oh', file=sys.stderr)") == (0, "", "oh\n")
        assert at.script("") == (0, "", "")

    converse(tmp_path, scenario)


def test_one_shot_attach_from_a_shell(tmp_path: Path) -> None:
    run = "import sys; from midair.console import attach; sys.exit(attach.main(sys.argv[1]))"

    def attach(path: Path, source: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", run, str(path)], input=source, capture_output=True, text=True, check=False
        )

    def scenario(at: At) -> None:
        good = attach(at.console.socket_path, "len(space)\n")
        assert (good.returncode, good.stdout, good.stderr) == (0, "0\n", "")
        bad = attach(at.console.socket_path, "1/0\n")
        assert (bad.returncode, bad.stdout) == (1, "")
        assert bad.stderr.endswith("ZeroDivisionError: division by zero\n")

    converse(tmp_path, scenario)
    gone = attach(tmp_path / "demo.sock", "1")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert gone.stderr.count("\n") == 1
    assert "no server answers" in gone.stderr


def test_a_command_by_name_gives_its_text_and_status(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        result = at.command("rebuild", "game.world")
        assert (result.status, result.err) == (0, "")
        assert result.out.startswith("edit 1 by ")
        assert result.out.endswith(": game.world\n")
        wrong = at.command("nonsense")
        assert (wrong.status, wrong.out) == (1, "")
        assert "there is no command 'nonsense'" in wrong.err
        assert "log: lines is a number" in at.command("log", "--lines", "zero").err

    converse(tmp_path, scenario)
    assert client.call(tmp_path / "demo.sock", "who").status == 3


def test_the_socket_is_private_and_is_gone_afterwards(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        assert stat.S_IMODE(os.stat(at.console.socket_path).st_mode) == 0o600

    converse(tmp_path, scenario)
    assert not (tmp_path / "demo.sock").exists()


def test_each_persons_names_are_their_own_until_they_share_them(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        root, anna = at.nc(), at.telnet("anna")
        root.prompt()
        anna.prompt()
        root.line("mine = 'roots'")
        root.prompt()
        anna.line("mine")
        anna.until("NameError: name 'mine' is not defined")
        root.line("share('mine')")
        root.until("mine is seen by everybody")
        anna.line("[mine for _ in range(1)]")
        anna.until("['roots']")
        anna.line("mine = 'annas'")
        anna.prompt()
        root.line("mine")
        root.until("'roots'")

    converse(tmp_path, scenario)


def test_the_terminal_is_drawn_for_the_size_it_has_now(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach(columns=100, rows=30)
        one.prompt()
        one.resize(40, 12)
        while at.console.sessions[0].columns != 40:
            pass
        one.line("who")
        one.until("who\r\n")
        head, row, *_ = one.until(">>>").splitlines()
        assert head.startswith("session")
        assert "unix" in row
        assert max(len(head), len(row)) <= 40

    converse(tmp_path, scenario)


def test_a_function_typed_at_the_prompt_can_be_read_back(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        at.script("def greet(name):\n    # say it\n    return 'hello ' + name\n")
        source = at.script("source(greet)").out
        assert source == "def greet(name):\n    # say it\n    return 'hello ' + name\n"

    converse(tmp_path, scenario)


def test_a_class_typed_at_the_prompt_can_be_read_back_by_python_itself(tmp_path: Path) -> None:
    rooms = "class Room:\n    'A room.'\n    doors = 4\n    class Wall:\n        # plain\n        pass\n"
    typed = f"x = 1\n{rooms}class Empty: pass\n"

    def scenario(at: At) -> None:
        json = at.json()
        json.ask(id=1, code=typed)
        json.ask(id=2, code="import inspect, dataclasses, sys")
        assert json.ask(id=3, code="inspect.getsource(Room)")["result"] == repr(rooms)
        assert json.ask(id=4, code="inspect.getsource(Room.Wall)")["result"] == repr(rooms[rooms.index("    class") :])
        assert json.ask(id=5, code="inspect.getsource(Empty)")["result"] == repr("class Empty: pass\n")
        assert json.ask(id=6, code="Room.__doc__, Room.doors, Room.__qualname__")["result"] == "('A room.', 4, 'Room')"
        # A class of the same name, typed later, has its own; the earlier keeps its.
        json.ask(id=7, code="Old = Room\nclass Room:\n    doors = 5")
        assert "doors = 5" in json.ask(id=8, code="inspect.getsource(Room)")["result"]
        assert "doors = 4" in json.ask(id=9, code="inspect.getsource(Old)")["result"]
        json.ask(id=10, code="@dataclasses.dataclass\nclass Point:\n    x: int = 3\n    y: 'int' = 4")
        assert json.ask(id=11, code="Point().y, source(Point).count('@')")["result"] == "(4, 1)"
        assert json.ask(id=12, code="Room in vars(sys.modules[Room.__module__]).values()")["result"] == "False"

    converse(tmp_path, scenario)
    assert not [name for name in sys.modules if name.startswith("<console")]
