"""The tour: told to the end, or what did not happen is said."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys

from live_server import PATIENCE

from midair.console.cli import tour

COMMAND = [sys.executable, "-m", "midair", "demo"]


def environment(folder):
    return {**os.environ, "MIDAIR_RUNTIME_DIR": str(folder / "run"), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}


def test_without_a_terminal_it_tells_everything_and_cleans_up(tmp_path):
    done = subprocess.run(
        COMMAND,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    steps = [
        r"^1\. ",
        r"server: ready in ",
        r"bob sees:   anna: hello",
        r"server: .*edit 1\b.*chat.*ms",
        r"bob sees:   <anna> does this look different\?",
        r"server: .*refused.*SyntaxError",
        r"bob sees:   <anna> and now\?",
        r"\$ midair undo chat --write",
        r"edit 2 .*undoes edit 1",
        r"anna sees:   bob: as it was\?",
        r"\$ midair stop chat",
        r"server: resumed chat\.spl generation \d+, saved",
        r"carl sees:   anna: hello",
    ]
    at = 0
    for step in steps:
        found = re.compile(step, re.MULTILINE).search(done.stdout, at)
        assert found, f"{step} is not in {done.stdout[at:]}"
        at = found.end()
    assert os.listdir(tmp_path) == ["run"]


def test_on_a_terminal_the_server_is_left_to_play_with_until_ctrl_c(tmp_path):
    fd, far = pty.openpty()
    process = subprocess.Popen(
        COMMAND, cwd=tmp_path, env=environment(tmp_path), stdin=far, stdout=far, stderr=far, start_new_session=True
    )
    os.close(far)
    heard = ""
    try:
        while "end:" not in heard:
            assert select.select([fd], [], [], PATIENCE)[0], heard
            heard += os.read(fd, 65536).decode()
        port = int(re.search(r"telnet 127\.0\.0\.1 (\d+)\r\n", heard[heard.index("It is yours now") :])[1])
        with socket.create_connection(("127.0.0.1", port)) as person:
            assert person.recv(1000)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the tour and to its server
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(fd)
    assert os.listdir(tmp_path) == ["run"]


def test_what_does_not_happen_is_said_in_one_line_with_status_1(monkeypatch, capsys):
    """The example was changed, and the line that the tour edits is gone."""
    monkeypatch.setattr(tour, "_EDIT", ("a line that is not there", "another"))
    assert tour.give(end=True) == 1
    assert capsys.readouterr().err == (
        "midair: the tour did not go as it should: chat.py has no 'a line that is not there' to edit\n"
    )


def test_the_tour_edits_lines_that_the_example_has():
    text = tour._example("chat/chat.py")
    assert text.count(tour._EDIT[0]) == 1
    assert text.replace(*tour._EDIT).count(tour._TYPO[0]) == 1
