"""Each `--help` ends with an example, and each example works as it is typed."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from live_server import PATIENCE, LiveServer, copy_example

from midair.console.cli.parser import build
from midair.runtime.testing import edit

TELNET = "8023"  # the port that examples name; a free one is put in its place here

# Examples that need a running chat server, in an order in which each of them makes sense, and what they print.
TALKED_TO = {
    "midair ps": r"chat  process \d+, started .*chat\.spl",
    "midair status": r"name +chat",
    "midair attach": r"^1$",
    "midair telnet": r"",
    "midair rebuild": r"chat\.Room",
    "midair undo": r"undoes edit 1",
    "midair hold": r"",
    "midair release": r"",
    "midair snapshot": r"saved chat\.spl generation \d+",
    "midair user": r"",
    "midair user add": r"anna",
    "midair user list": r"anna +operator",
    "midair user passwd": r"anna",
    "midair user role": r"anna is viewer",
    "midair user remove": r"anna",
    "midair stop": r"",
}
# Those that need nothing, or the files that the server has left behind.
ALONE = {
    "midair": r"midair \d",
    "midair demo": r"That was all",
    "midair new": r"guestbook/ is ready",
    "midair make": r"wrote console\.spl",
    "midair exec": r"--its-own-option",
}
# Those that look into what a server has saved, in this order.
SAVED = {
    "midair snapshots": r"^ +1  20.*chat\.1\.spl$",
    "midair inspect": r"^  chat:Room +1$",
    "midair verify": r"^chat\.spl is whole: generation 2, ",
    "midair cat": r"history",
    "midair diff": r"^! .*",
    "midair export": r"wrote chat\.jsonl: ",
    "midair import": r"wrote again\.spl, not signed",
    "midair backup": r"wrote chat\.backup: chat generation 2",
    "midair restore": r"midair run .*restored/chat\.spl",
}
STARTED = {"midair run"}

# Installed beside the interpreter that runs the tests.
BIN = Path(sys.executable).parent


def examples():
    return build()[1]


def typed(example, server, telnet=TELNET):
    """What a shell makes of an example; the completed process."""
    environment = {**server.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PORT": "0"}
    return subprocess.run(
        ["bash", "-c", example.replace(TELNET, str(telnet))],
        cwd=server.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def works(done, example, pattern):
    assert done.returncode == 0, f"{example}: {done.stdout}{done.stderr}"
    assert re.search(pattern, done.stdout, re.MULTILINE), f"{example}: {done.stdout}"


def test_no_example_is_left_out():
    assert {*TALKED_TO, *ALONE, *SAVED, *STARTED} == set(examples())


@pytest.mark.parametrize("name", ALONE)
def test_an_example_works_in_a_folder_with_a_script(tmp_path, name):
    (tmp_path / "script.py").write_text("import sys\nprint(sys.argv)\n")
    example = examples()[name]
    works(typed(example, LiveServer(tmp_path)), example, ALONE[name])


def test_the_examples_work_on_a_running_server(tmp_path):
    program = copy_example("chat/chat.py", tmp_path)
    with LiveServer(tmp_path, "chat.py", "--no-watch", "--telnet", "0", PORT="0") as server:
        telnet = re.search(r"telnet 127\.0\.0\.1 (\d+)", server.out[-1])[1]
        edit(program, '{who}: {text}"', '<{who}> {text}"')
        for name, pattern in TALKED_TO.items():
            example = examples()[name]
            works(typed(example, server, telnet), example, pattern)
        assert server.process.wait(PATIENCE) == 0


def test_the_examples_work_on_what_a_server_has_saved(tmp_path):
    copy_example("chat/chat.py", tmp_path)
    with LiveServer(tmp_path, "chat.py", "--no-watch", PORT="0") as server:
        assert server.midair("snapshot").returncode == 0
        assert server.midair("attach", text="chat.rooms['lobby'].tell('hello')\n").returncode == 0
        assert server.end() == 0
    for name, pattern in SAVED.items():
        example = examples()[name]
        works(typed(example, server), example, pattern)


@pytest.mark.parametrize("name", STARTED)
def test_the_example_that_starts_a_server_starts_it(tmp_path, name):
    copy_example("chat/chat.py", tmp_path)
    words = examples()[name].replace(TELNET, "0").split()
    assert words[:2] == ["midair", "run"]
    with LiveServer(tmp_path, *words[2:], PORT="0") as server:
        assert "telnet 127.0.0.1" in server.out[-1]
        assert server.end(signal.SIGINT) == 0
