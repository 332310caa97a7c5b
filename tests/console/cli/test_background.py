"""--daemon: the parent shows what the child says until it is ready, and passes on how it ended."""

import os
import signal
import subprocess
import sys
import time

from live_server import PATIENCE

from midair.runtime.files import is_alive

SCRIPT = """
import asyncio, os, signal, sys, time
from pathlib import Path
from midair.console.cli.background import divert, in_background

class Server:
    ready = None

async def serve(parent, until):
    server = Server()
    server.ready = asyncio.Event()
    await parent.start(server)
    server.ready.set()
    while not until.exists():
        await asyncio.sleep(0.01)
    await parent.stop(server)

def work(parent):
    here = Path(sys.argv[1])
    (here / "pid").write_text(str(os.getpid()))
    divert(here / "log")
    {body}

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job that a shell runs with & starts without it
print("before")
sys.exit(in_background(work))
"""

SERVES = """parent.say("resumed")
    print("printed by the program")
    async def main():
        await serve(parent, here / "end")
        print("printed later")
        os.write(2, b"from C\\n")
    asyncio.run(main())
    return 0"""


def start(tmp_path, body):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("{body}", body), tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(pid):
    """Wait until a process that is not our child has ended."""
    while is_alive(pid):
        time.sleep(0.01)


def test_the_parent_returns_when_the_child_is_ready_and_the_child_goes_on(tmp_path):
    parent = start(tmp_path, SERVES)
    out, err = parent.communicate(timeout=PATIENCE)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert (parent.returncode, err) == (0, "")
        assert out == "before\nresumed\nprinted by the program\n"
        assert pid != parent.pid
        assert os.getsid(pid) == pid
    finally:
        (tmp_path / "end").touch()
        ends(pid)
    assert (tmp_path / "log").read_text() == "printed later\nfrom C\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_child_that_does_not_get_ready_gives_its_line_and_its_status(tmp_path):
    parent = start(tmp_path, "parent.complain('127.0.0.1:80 is in use')\n    return 4")
    out, err = parent.communicate(timeout=PATIENCE)
    assert (parent.returncode, out, err) == (4, "before\n", "midair: 127.0.0.1:80 is in use\n")


def test_an_error_of_ours_is_one_line_and_any_other_comes_with_its_traceback(tmp_path):
    body = "from midair.runtime.errors import ServerError\n    raise ServerError('no such thing')"
    _, err = (parent := start(tmp_path, body)).communicate(timeout=PATIENCE)
    assert (parent.returncode, err) == (1, "midair: no such thing\n")
    _, err = (parent := start(tmp_path, "raise RuntimeError('a bug')")).communicate(timeout=PATIENCE)
    assert parent.returncode == 1
    assert err.startswith("Traceback")
    assert err.endswith("RuntimeError: a bug\n")


def test_ctrl_c_while_waiting_stops_the_child(tmp_path):
    body = "parent.say('slow')\n    signal.pause()"
    parent = start(tmp_path, body)
    assert parent.stdout.readline() == "before\n"
    assert parent.stdout.readline() == "slow\n"
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=PATIENCE)
    assert parent.returncode == 128 + signal.SIGTERM
    ends(int((tmp_path / "pid").read_text()))
