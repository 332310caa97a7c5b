"""The `midair` command as people use it: whole processes, real files, real sockets."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from live_server import PATIENCE, LiveServer

from midair.console.__main__ import main
from midair.runtime.files import is_alive
from midair.runtime.testing import edit

PROGRAM = """
from midair import Service, Space
from midair.services.net import Lines


class Line(Lines):
    def line(self, text):
        self.send(self.service.answer(text))


class Parrot(Service):
    port = 0
    said = 0

    async def start(self):
        await self.listen(self.port, Line)

    def answer(self, text):
        self.said += 1
        return f"{text}, the {self.said}. time"


def build(space):
    space["parrot"] = Parrot()
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "parrot.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def shell(tmp_path):
    """A folder in which `midair` commands are typed, and no server runs."""
    return LiveServer(tmp_path)


class Client:
    """A connection that asks and hears."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.lines = self.socket.makefile("r")

    def ask(self, text):
        self.socket.sendall(f"{text}\n".encode())
        return self.lines.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()


class Terminal:
    """A `midair` command on a terminal of its own."""

    def __init__(self, *words):
        self.heard = ""
        self.fd, far = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "midair", *words],
            env={**os.environ, "TERM": "xterm"},
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def hear(self, pattern):
        while not (found := re.search(pattern, self.heard)):
            assert select.select([self.fd], [], [], PATIENCE)[0], f"no {pattern!r} in {self.heard[-500:]!r}"
            self.heard += os.read(self.fd, 65536).decode(errors="replace")
        self.heard = self.heard[found.end() :]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


def one_line(done):
    """The one line of a command that failed."""
    assert done.stdout == ""
    assert done.stderr.startswith("midair: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


# --- run


def test_the_first_lines_say_what_happened_and_what_there_is(folder):
    with LiveServer(folder, "parrot.py", "--telnet", "0") as server:
        new, password, ready = server.out
        assert new == "new space from parrot.py"
        assert password.startswith("first user for telnet: admin, password ")
        assert re.fullmatch(
            r"ready in \d+\.\d s: parrot 127\.0\.0\.1:\d+; console: midair attach parrot, telnet 127\.0\.0\.1 \d+; "
            r"watching 1 module in \.",
            ready,
        )
        assert server.end() == 0
        server.start()
        assert re.fullmatch(
            r"resumed parrot\.spl generation 1, saved \d+ s ago; build\(\) not run "
            r"\(--fresh starts anew, the old file is set aside\)",
            server.out[0],
        )


def test_a_space_resumes_from_its_file_alone_from_another_folder(folder, tmp_path_factory):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
        assert server.end() == 0
        server.folder = tmp_path_factory.mktemp("elsewhere")
        for words in ([folder / "parrot.spl"], ["-f", folder / "parrot.spl"]):
            server.start(*words, "--no-watch")
            assert server.out[0].startswith("resumed parrot.spl generation ")
            assert "build()" not in server.out[0]
            with Client(server.port("parrot")) as client:
                assert client.ask("again").startswith("again, the ")
            assert server.end() == 0
        assert not list(server.folder.glob("*.spl"))


def test_fresh_starts_anew_and_the_old_file_can_still_be_run(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
        assert server.end() == 0
        server.start("parrot.py", "--fresh", "--no-watch")
        aside = re.fullmatch(r"new space from parrot\.py; the old file is in (parrot\.aside-[\d-]+)/", server.out[0])
        assert aside
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 1. time"
        assert server.end() == 0
        server.start(f"{aside[1]}/parrot.spl", "--no-watch")
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 2. time"


def test_an_older_generation_can_be_resumed(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
            assert server.midair("snapshot").returncode == 0
            client.ask("hello")
        assert server.end() == 0
        server.start("parrot.py", "--generation", "1", "--no-watch")
        assert server.out[0].startswith("resumed parrot.spl generation 1, ")
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 2. time"
        assert server.end() == 0
        refused = server.midair("run", "parrot.py", "--generation", "99")
        assert refused.returncode == 1
        assert "generation 99" in one_line(refused)


def test_a_space_is_run_by_one_server_only(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        for more in ([], ["--daemon"], ["--fresh"]):
            second = server.midair("run", "parrot.py", *more)
            assert second.returncode == 1
            assert one_line(second) == (
                f"midair: parrot is already running in process {server.process.pid}; try 'midair attach parrot'\n"
            )
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 1. time"


def test_after_kill_9_the_next_start_is_not_refused(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        server.process.kill()
        server.process.wait()
        assert (folder / "parrot.pid").exists()
        assert server.midair("ps").stdout == "no server of yours is running\n"
        server.start()


@pytest.mark.parametrize("more", [[], ["--daemon"]])
def test_a_port_that_is_taken_is_one_line_and_status_1(shell, more):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (shell.folder / "parrot.py").write_text(PROGRAM.replace("port = 0", f"port = {port}"))
        done = shell.midair("run", "parrot.py", *more, "--log", "log")
    assert done.returncode == 1
    assert done.stdout == "new space from parrot.py\n"
    assert done.stderr == (
        f"midair: parrot did not start: 127.0.0.1:{port} is in use by another program; nothing was started there\n"
    )
    assert shell.midair("ps").stdout == "no server of yours is running\n"


@pytest.mark.parametrize("more", [[], ["--daemon"]])
def test_a_kind_s_own_options_are_checked(shell, more):
    done = shell.midair("run", *more, "telnet", "8023")
    assert done.returncode == 2
    assert one_line(done) == "midair: the following arguments are required: USER; see 'midair run telnet --help'\n"


@pytest.mark.parametrize(
    "words",
    [
        ["make", "telnet", "99999", "anna"],
        ["make", "irc", "--port", "99999"],
        ["make", "irc", "--tls", "cert", "key", "99999"],
        ["make", "irc", "--ws", ":99999"],
        ["make", "web", "-p", "99999"],
        ["make", "spread", "--port", "99999"],
        ["run", "app.py", "--telnet", "99999"],
        ["telnet", "127.0.0.1", "99999"],
        ["make", "telnet", "-1", "anna"],
        ["make", "telnet", "abc", "anna"],
        ["telnet", "127.0.0.1", "abc"],
        ["run", "app.py", "--telnet", "abc"],
    ],
)
def test_what_is_not_a_port_is_said_and_nothing_written(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    written = capsys.readouterr()
    wrong = next(word.strip(":") for word in words if word in {"99999", ":99999", "-1", "abc"})
    assert f"{wrong} is not a port; ports go from 0 to 65535" in written.err
    assert (status in {1, 2}, written.out, written.err.count("\n")) == (True, "", 1)
    assert not list(tmp_path.glob("*.spl"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["app.py"], "there is no file app.py"),
        (["app.spl"], r"there is no file .*app\.spl"),
        (["nothing.of.it"], "'nothing.of.it' is neither a .spl or .py file, nor a module"),
        (["my-app.py"], "cannot be imported: 'my-app' is not a Python name"),
        (["broken.spl"], "broken"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--daemon"]])
def test_what_cannot_be_run_is_one_line_and_status_1(shell, words, said, more):
    (shell.folder / "my-app.py").touch()
    (shell.folder / "broken.spl").write_bytes(b"nothing that was saved")
    done = shell.midair("run", *words, *more)
    assert done.returncode == 1
    assert re.search(said, one_line(done))
    assert not list(shell.folder.glob("*.pid"))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("def build(space:\n", r"app\.py line 1: SyntaxError: .*; nothing was started"),
        ("import nowhere\n", r"app\.py line 1: ModuleNotFoundError: No module named 'nowhere'; nothing was started"),
        ("def build(space):\n    1 / 0\n", r"app\.py line 2: ZeroDivisionError: division by zero; nothing was started"),
        (
            "import sys\nsys.exit(3)\n",
            r"app\.py line 2: the program ended itself \(SystemExit: 3\) .*; nothing was started",
        ),
        ("x = 'a\0b'\n", r"app\.py line 1: SyntaxError: source code cannot contain null bytes; nothing was started"),
        ("x = 1\n", r"app has no build\(space\); .*"),
        ("build = 1\n", r"app has no build\(space\); .*"),
        (
            "def build():\n    pass\n",
            r"build in app\.py cannot be called with the space alone; .*; nothing was started",
        ),
        ("async def build(space):\n    pass\n", r"build in app\.py is async, .*; nothing was started"),
    ],
)
def test_a_program_that_fails_is_named_with_its_line(shell, program, said):
    (shell.folder / "app.py").write_text(program)
    done = shell.midair("run", "app.py")
    assert done.returncode == 1
    *traceback, last = done.stderr.splitlines()
    assert re.fullmatch(f"midair: {said}", last)
    assert bool(traceback) == ("ZeroDivisionError" in said)  # of the others the sentence tells all
    files = {line.split('"')[1] for line in traceback if line.startswith("  File")}
    assert files <= {str(shell.folder / "app.py")}
    assert not list(shell.folder.glob("*.spl"))
    assert not (shell.folder / "app.pid").exists()


def test_of_a_failure_one_s_own_part_is_shown_and_all_of_it_logged(shell):
    (shell.folder / "app.py").write_text(
        "import json\ndef build(space):\n    load('{')\ndef load(text):\n    json.loads(text)\n"
    )
    done = shell.midair("run", "app.py", "--log", "log")
    *shown, last = done.stderr.splitlines()
    assert re.match(r"midair: app\.py line 5: JSONDecodeError: Expecting .*; nothing was started", last)
    assert [line.split(", ")[1] for line in shown if line.startswith("  File")] == ["line 3", "line 5"]
    assert "json/decoder.py" not in done.stderr
    assert "json/decoder.py" in (shell.folder / "log").read_text()


def test_a_service_that_cannot_start_is_named_with_its_line(shell):
    program = "from midair import Service\nclass S(Service):\n    async def start(self):\n        1 / 0\ndef build(space): space['s'] = S()\n"
    (shell.folder / "app.py").write_text(program)
    done = shell.midair("run", "app.py")
    assert done.returncode == 1
    assert done.stderr.endswith("midair: s did not start: ZeroDivisionError: division by zero (app.py line 4)\n")
    assert re.findall(r'File "(.*)"', done.stderr) == [str(shell.folder / "app.py")]


def test_status_says_when_a_newer_midair_is_installed_than_the_one_that_runs(folder, monkeypatch, capsys):
    from midair.console.cli import remote

    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        monkeypatch.setenv("MIDAIR_RUNTIME_DIR", server.environment["MIDAIR_RUNTIME_DIR"])
        asked = Namespace(server="parrot", json=False)
        assert remote.status(asked) == 0
        assert "is installed" not in capsys.readouterr().out
        monkeypatch.setattr(
            remote, "__version__", "99.0"
        )  # as after `pip install --upgrade`, which runs in another process
        assert remote.status(asked) == 0
        said = capsys.readouterr().out.splitlines()
    running = re.match(r"midair +(\S+)", next(line for line in said if line.startswith("midair ")))
    assert running
    assert said[-1] == f"midair 99.0 is installed; the server goes on with {running[1]} until it is started again"


def test_sources_that_do_not_import_any_more_are_named_and_the_last_good_ones_run(folder):
    with LiveServer(folder, "parrot.py", "--settle", "0.01") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
        assert server.end() == 0
        edit(folder / "parrot.py", "{text}, the", '{text}", the')
        refused = server.midair("run", "parrot.py")
        assert refused.returncode == 1
        assert re.fullmatch(
            r"midair: parrot\.py line \d+: SyntaxError: .*; nothing was started; "
            r"--last-good starts on the sources of generation 1",
            refused.stderr.splitlines()[-1],
        )
        server.start("parrot.py", "--last-good", "--settle", "0.01")
        assert server.out[1].startswith("  parrot.py is not what runs: ")
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 2. time"
            assert "parrot.py" in server.midair("status").stdout
            edit(folder / "parrot.py", '{text}", the', "{text}!, the")
            server.wait_for(r"edit 1\b")
            assert client.ask("hello") == "hello!, the 3. time"


def test_a_program_that_is_gone_is_named_and_the_last_good_sources_run(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        assert server.end() == 0
        (folder / "parrot.py").unlink()
        refused = server.midair("run", "parrot.spl")
        assert re.fullmatch(
            r"midair: there is no module 'parrot' in .*; nothing was started; --last-good starts on the sources of generation 1\n",
            one_line(refused),
        )
        server.start("parrot.spl", "--last-good", "--no-watch")
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 1. time"


def test_a_module_is_run_by_its_name_and_keeps_its_space_here(folder):
    (folder / "game").mkdir()
    (folder / "game" / "__init__.py").touch()
    (folder / "parrot.py").rename(folder / "game" / "birds.py")
    with LiveServer(folder, "game.birds", "--no-watch") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
        assert server.end() == 0
    assert (folder / "birds.spl").exists()


def test_without_a_console_nothing_listens_and_stop_goes_by_signal(folder):
    with LiveServer(folder, "parrot.py", "--no-watch", "--no-console") as server:
        assert "console" not in server.out[-1]
        assert not (folder / "parrot.sock").exists()
        refused = server.midair("status")
        assert refused.returncode == 1
        assert "without a console" in one_line(refused)
        assert server.midair("stop").returncode == 0
        assert server.process.wait() == 0
        assert (folder / "parrot.spl").exists()


# --- the background, the log


def test_a_daemon_is_found_looked_at_and_stopped(shell):
    (shell.folder / "parrot.py").write_text(PROGRAM + "\nprint('imported')\n")
    started = shell.midair("run", "parrot.py", "--daemon", "--no-watch")
    assert (started.returncode, started.stderr) == (0, "")
    lines = started.stdout.splitlines()
    assert lines[:2] == ["imported", "new space from parrot.py"]
    assert lines[2].startswith("ready in ")
    try:
        facts = json.loads(shell.midair("status", "--json").stdout)
        assert facts["name"] == "parrot"
        assert facts["pid"] == int((shell.folder / "parrot.pid").read_text())
        assert re.search(r"INFO +parrot +listening on 127\.0\.0\.1:", (shell.folder / "parrot.log").read_text())
        (entry,) = json.loads(shell.midair("ps", "--json").stdout)
        assert (entry["pid"], entry["spl"]) == (facts["pid"], str(shell.folder / "parrot.spl"))
        for name in ("parrot", str(facts["pid"]), "parrot.sock", "parrot.spl"):
            assert shell.midair("status", name).returncode == 0
    finally:
        done = shell.midair("stop")
        assert (done.returncode, done.stdout, done.stderr) == (0, "parrot has stopped; saved in parrot.spl\n", "")
    assert not is_alive(facts["pid"])
    assert (shell.folder / "parrot.spl").exists()
    assert not (shell.folder / "parrot.sock").exists()


def test_the_log_goes_where_it_is_told_one_json_object_a_line(folder):
    with LiveServer(folder, "parrot.py", "--no-watch", "--log", "here.log", "--log-json") as server:
        assert server.end() == 0
        assert server.err == []
    records = [json.loads(line) for line in (folder / "here.log").read_text().splitlines()]
    assert "stopping: SIGTERM" in [record["message"] for record in records]


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_status_0(folder, number):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        with Client(server.port("parrot")) as client:
            client.ask("hello")
            assert server.end(number) == 0
        server.start()
        with Client(server.port("parrot")) as client:
            assert client.ask("hello") == "hello, the 2. time"


def test_what_cannot_be_saved_refuses_the_stop_and_is_named(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        assert server.midair("attach", text="parrot.secret = open('/dev/null')\n").returncode == 0
        refused = server.midair("stop")
        assert refused.returncode == 1
        assert "space['parrot'].secret" in refused.stderr
        assert server.midair("status").returncode == 0
        assert server.end() == 4
        server.wait_for(r"space\['parrot'\]\.secret")
        assert (folder / "parrot.rescue.spl").exists()


def test_discard_stops_without_a_last_snapshot(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        assert server.midair("snapshot").returncode == 0
        assert server.midair("attach", text="parrot.secret = open('/dev/null')\n").returncode == 0
        done = server.midair("stop", "--discard")
        assert (done.returncode, done.stdout) == (0, "parrot has stopped; parrot.spl stays as it was\n")
        assert server.process.wait() == 0
    assert not (folder / "parrot.2.spl").exists()


# --- asking a running server


def test_attach_runs_a_pipe_with_clean_output_and_an_exit_status(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        done = server.midair("attach", text="len(space)\n")
        assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
        done = server.midair("attach", "parrot", text="1/0\n")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_without_a_server_and_among_several_the_statuses_are_3_and_2(folder, tmp_path_factory):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        (folder / "other.py").write_text(PROGRAM)
        with LiveServer(folder, "other.py", "--no-watch") as other:
            for command in ("status", "rebuild", "undo", "snapshot", "stop", "attach"):
                refused = server.midair(command, text="")
                assert refused.returncode == 2
                assert "parrot (process" in one_line(refused)
                assert "other (process" in refused.stderr
            refused = server.midair("user", "list")
            assert (refused.returncode, "-s NAME" in one_line(refused)) == (2, True)
            assert server.midair("status", "other").returncode == 0
            assert other.end() == 0
        refused = server.midair("status", "nobody")
        assert refused.returncode == 3
        assert one_line(refused) == "midair: no running server is called 'nobody'; running now: parrot\n"
        assert server.end() == 0
        assert server.midair("stop").returncode == 3


def test_an_edit_a_refusal_and_an_undo_reach_a_connection_that_stays(folder):
    with LiveServer(folder, "parrot.py", "--settle", "0.05") as server, Client(server.port("parrot")) as client:
        assert client.ask("a") == "a, the 1. time"
        edit(folder / "parrot.py", "{text}, the", "{text}!, the")
        assert "parrot.py" in server.wait_for(r"edit 1\b")
        assert client.ask("b") == "b!, the 2. time"
        edit(folder / "parrot.py", "{text}!, the", '{text}", the')
        assert "parrot.py" in server.wait_for("refused")
        assert client.ask("c") == "c!, the 3. time"
        edit(folder / "parrot.py", '{text}", the', "{text}!, the")
        undone = server.midair("undo", "--write")
        assert undone.returncode == 0, undone.stderr
        assert client.ask("d") == "d, the 4. time"
        assert '"{text}, the' in (folder / "parrot.py").read_text()


def test_without_watching_an_edit_waits_for_rebuild(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server, Client(server.port("parrot")) as client:
        edit(folder / "parrot.py", "{text}, the", "{text}!, the")
        assert client.ask("a") == "a, the 1. time"
        assert "parrot.py: changed, and not rebuilt since; " in server.midair("status").stdout
        done = server.midair("rebuild")
        assert done.returncode == 0
        assert re.search(r"^edit 1 .*parrot\.py", done.stdout)
        assert client.ask("b") == "b!, the 2. time"
        edit(folder / "parrot.py", "{text}!, the", '{text}", the')
        refused = server.midair("rebuild", "parrot")
        assert refused.returncode == 1
        assert "parrot.py" in refused.stderr
        assert client.ask("c") == "c!, the 3. time"


def test_sighup_brings_the_code_up_to_date(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server, Client(server.port("parrot")) as client:
        edit(folder / "parrot.py", "{text}, the", "{text}!, the")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for(r"edit 1\b")
        assert client.ask("a") == "a!, the 1. time"


def test_many_files_that_are_saved_between_hold_and_release_arrive_as_one_edit(folder):
    (folder / "words.py").write_text("the = 'the'\n")
    (folder / "parrot.py").write_text("import words\n" + PROGRAM.replace("{text}, the", "{text}, {words.the}"))
    with LiveServer(folder, "parrot.py", "--settle", "0.01") as server, Client(server.port("parrot")) as client:
        assert server.midair("hold").returncode == 0
        edit(folder / "words.py", "article = 'die'\n")
        edit(folder / "parrot.py", "{words.the}", "{words.article}")
        assert client.ask("a") == "a, the 1. time"
        released = server.midair("release")
        assert released.returncode == 0, released.stderr
        assert released.stdout.startswith("edit 1 ")
        assert client.ask("b") == "b, die 2. time"
        server.wait_for(r"edit 1\b.*(parrot.*words|words.*parrot)")
        assert server.end() == 0
        assert not any("edit 2" in line or "refused" in line for line in server.err)


def test_the_telnet_client_gives_its_terminal_to_the_server(folder):
    with LiveServer(folder, "parrot.py", "--no-watch", "--telnet", "0") as server:
        port = re.search(r"telnet 127\.0\.0\.1 (\d+)", server.out[-1])[1]
        password = re.search(r"password (\S+) ", server.out[1])[1]
        with Terminal("telnet", "127.0.0.1", port) as terminal:
            terminal.hear(r"(?i)user")
            terminal.type("admin\r")
            terminal.hear(r"(?i)password")
            terminal.type(f"{password}\r")
            terminal.hear(">>>")
            terminal.type("6*7\r")
            terminal.hear("42")
            terminal.type("exec('print(1234 * 2)\\nwhile True: pass')\r")
            terminal.hear("2468")
            terminal.type("\x03")
            terminal.hear("KeyboardInterrupt")
            terminal.type("\x1d")
            assert terminal.process.wait(PATIENCE) == 0
        assert password not in "".join(server.err)
        refused = server.midair("telnet", "127.0.0.1", "1")
        assert refused.returncode == 1
        assert "nobody answers at 127.0.0.1 port 1" in one_line(refused)


# --- make, and the telnet kind


def test_make_writes_a_file_that_runs_and_refuses_to_write_it_again(shell):
    made = shell.midair("make", "telnet", "0", "anna", "a-long-passphrase")
    assert made.returncode == 0
    assert made.stdout.splitlines()[0].startswith("wrote telnet.spl: ")
    assert b"a-long-passphrase" not in (shell.folder / "telnet.spl").read_bytes()
    refused = shell.midair("make", "telnet", "0", "anna", "secret")
    assert refused.returncode == 1
    assert "telnet.spl exists already" in one_line(refused)
    with LiveServer(shell.folder, "telnet") as server:
        with socket.create_connection(("127.0.0.1", server.port("telnet"))) as sock:
            sock.sendall(b"anna\r\na-long-passphrase\r\nlen(space)\r\nexit()\r\n")
            heard = b"".join(iter(lambda: sock.recv(4096), b""))
        assert re.search(rb"\b1\r\n", heard)
        assert server.midair("user", "list").stdout.split() == ["anna", "admin"]
        assert server.end() == 0


@pytest.mark.parametrize("kind", ["irc", "spread", "telnet", "web"])
def test_the_help_of_a_kind_is_for_who_types_it(capsys, kind):
    with pytest.raises(SystemExit):
        main(["make", kind, "--help"])
    shown = capsys.readouterr().out
    assert not re.search(r"Args:|Attributes:|rebuild:|\[KEY", shown)
    assert "--output" in shown


def process_list() -> bytes:
    """What any user of the machine sees of all processes, and what only their owner does: arguments and environments."""
    seen = b""
    for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
        with contextlib.suppress(OSError):  # it ended, or is somebody else's
            seen += path.read_bytes()
    return seen


@pytest.mark.skipif(sys.platform != "linux", reason="the process list is read from /proc")
def test_no_password_is_in_the_process_list(folder):
    with LiveServer(folder, "parrot.py", "--no-watch", "--telnet", "0") as server:
        first = re.search(r"password (\S+) ", server.out[1])[1]
        adding = subprocess.Popen(
            [sys.executable, "-m", "midair", "user", "add", "bob"],
            cwd=folder,
            env=server.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while b"user\0add\0bob" not in (seen := process_list()):  # where it waits for the password
            assert adding.poll() is None
        assert adding.communicate("a secret of bob's\n", timeout=PATIENCE)[0].startswith("bob can log in")
        seen += process_list()
        assert b"parrot.py\0--no-watch" in seen
        for secret in (first, "a secret of bob's"):
            assert secret.encode() not in seen


def test_a_password_that_is_not_given_is_made_up_and_told_once(shell):
    made = shell.midair("make", "telnet", "0", "anna")
    assert re.search(r"^the password of anna is (\S+) \(shown once; ", made.stdout)


def test_a_kind_or_a_file_that_does_not_exist_is_named(shell):
    refused = shell.midair("make", "gopher")
    assert refused.returncode == 1
    assert re.search(r"no kind of service called 'gopher'; there are .*telnet", one_line(refused))
    assert shell.midair("make", "telnet", "much").returncode == 2
    refused = shell.midair("make", "irc", "--motd", "nofile")
    assert refused.returncode == 2
    assert one_line(refused) == "midair: --motd nofile: there is no such file; nothing was made\n"
    kinds = shell.midair("make")
    assert re.search(r"^telnet +A Python console over telnet", kinds.stdout, re.MULTILINE)


# --- users


def test_users_are_managed_at_rest_and_live(folder):
    with LiveServer(folder, "parrot.py", "--no-watch") as server:
        assert server.end() == 0
        assert server.midair("user", "list").stdout == ""
        assert server.midair("user", "add", "anna", text="secret words\n").returncode == 0
        assert "secret words" not in (folder / "parrot.users").read_text()
        server.start("parrot.py", "--no-watch", "--telnet", "0")
        assert not any("first user" in line for line in server.out)
        assert server.midair("user", "role", "anna", "viewer").returncode == 0
        assert server.midair("user", "list").stdout.split() == ["anna", "viewer"]
        assert server.midair("user", "passwd", "anna", text="other words\n").returncode == 0
        refused = server.midair("user", "add", "anna", text="third\n")
        assert refused.returncode == 1
        assert "anna" in one_line(refused)
        assert server.midair("user", "remove", "anna").returncode == 0
        assert server.midair("user", "remove", "anna").returncode == 1
        short = server.midair("user", "add", "bob", text="seven77\n")
        assert short.returncode == 1
        assert one_line(short) == "midair: the password is shorter than 8 characters; nothing was changed\n"
