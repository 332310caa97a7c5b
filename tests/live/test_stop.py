"""How a server ends: in good order, in a hurry, at once; and what it says of what could not be saved."""

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from live_server import LiveServer

from midair import Space

PROGRAM = """
from midair import Service
from midair.services.net import Lines


class Talk(Lines):
    max_unsent = 10**9

    def line(self, text):
        getattr(self.service, text)(self)


class Thing(Service):
    number = 0

    async def start(self):
        await self.listen(0, Talk)

    def count(self, talk):
        self.number += 1
        talk.send(str(self.number))

    def spoil(self, talk):
        self.good, self.bad = [1, 2], {"deep": open("/dev/null")}
        talk.send("spoilt")

    def hang(self, talk):
        talk.write(b"hanging")
        while True:
            pass

    def flood(self, talk):
        talk.write(b"x" * 50_000_000)


def build(space):
    space["thing"] = Thing()
"""


@pytest.fixture
def server(tmp_path):
    (tmp_path / "thing.py").write_text(PROGRAM)
    with LiveServer(tmp_path, "thing.py", "--snapshot-every", "0") as server:
        yield server


def ask(server, word):
    with socket.create_connection(("127.0.0.1", server.port("thing"))) as sock:
        sock.sendall(f"{word}\n".encode())
        return sock.makefile().readline().strip()


def flooded(server):
    """A client that asked for much and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port("thing")))
    sock.sendall(b"flood\n")
    assert sock.recv(1) == b"x"
    return sock


def saved(server):
    """What its file holds, by a look from another process."""
    sys.path.insert(0, str(server.folder))
    try:
        return Space.load(server.folder / "thing.spl")["thing"]
    finally:
        sys.path.remove(str(server.folder))
        del sys.modules["thing"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_0(server, number):
    assert [ask(server, "count"), ask(server, "count")] == ["1", "2"]
    assert server.end(number) == 0
    assert saved(server).number == 2
    assert not (server.folder / "thing.pid").exists()
    assert not (server.folder / "thing.sock").exists()


def test_a_second_signal_does_not_wait_for_connections_and_still_saves(tmp_path):
    (tmp_path / "thing.py").write_text(PROGRAM)
    with LiveServer(tmp_path, "thing.py", "--drain", "1000") as server:
        assert ask(server, "count") == "1"
        with flooded(server):
            server.process.terminate()
            server.wait_for("stopping")
            server.process.terminate()
            assert server.process.wait(60) == 0
        server.wait_for("SIGTERM again", among="out")
        assert saved(server).number == 1


def test_a_third_signal_ends_at_once_even_when_the_loop_is_stuck_and_says_what_is_lost(server):
    with socket.create_connection(("127.0.0.1", server.port("thing"))) as sock:
        sock.sendall(b"hang\n")
        assert sock.recv(100) == b"hanging"
        while server.process.poll() is None:
            server.process.terminate()
            time.sleep(0.05)  # signals of one kind that come together count as one
    assert server.process.returncode == 4
    server.wait_for("a third time: ended at once; lost: all since the last snapshot")


def test_what_cannot_be_saved_is_named_and_the_rest_is_rescued(server):
    assert ask(server, "count") == "1"
    assert server.midair("snapshot").returncode == 0
    before = (server.folder / "thing.spl").read_bytes()
    assert ask(server, "spoil") == "spoilt"

    refused = server.midair("stop")
    assert refused.returncode == 1
    assert "space['thing'].bad['deep']" in refused.stderr
    assert ask(server, "count") == "2"

    assert server.end() == 4
    assert "space['thing'].bad['deep']" in server.wait_for("not all was saved")
    assert (server.folder / "thing.spl").read_bytes() == before
    (server.folder / "thing.rescue.spl").rename(server.folder / "thing.spl")
    assert (saved(server).number, saved(server).good) == (2, [1, 2])


def test_a_stop_is_refused_while_the_disk_refuses(server):
    assert ask(server, "count") == "1"
    assert server.midair("snapshot").returncode == 0
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (%s, resource.RLIM_INFINITY))\n"
    assert server.midair("attach", text=limit % 100).returncode == 0  # as on a full disk
    refused = server.midair("stop")
    assert refused.returncode == 1
    assert re.search(
        r"not stopped, for nothing could be saved: .* cannot be written \(File too large\)", refused.stderr
    )
    assert ask(server, "count") == "2"
    assert not list(server.folder.glob("*.tmp"))
    assert server.end() == 4
    assert server.wait_for("^midair: not saved: ").count("not saved") == 1
    assert saved(server).number == 1


def test_a_snapshot_that_fails_leaves_the_old_file_and_the_server_as_they_were(server):
    assert ask(server, "count") == "1"
    assert server.midair("snapshot").returncode == 0
    ask(server, "spoil")
    failed = server.midair("snapshot")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert re.search(r"space\['thing'\]\.bad\['deep'\] cannot be saved", failed.stderr)
    assert ask(server, "count") == "2"
    assert saved(server).number == 1
    assert "cannot be saved" in server.midair("status").stdout


def test_a_snapshot_comes_by_itself_when_anything_ran_and_only_then(tmp_path):
    (tmp_path / "thing.py").write_text(PROGRAM)
    with LiveServer(tmp_path, "thing.py", "--snapshot-every", "0.2", "--no-console") as server:
        server.wait_for("saved thing.spl generation 1")
        ask(server, "count")
        server.wait_for("saved thing.spl generation 2")
        # Nothing runs any more, so nothing is saved until the end, whose generation is the next number.
        assert server.end() == 0
        server.wait_for("saved thing.spl generation 3")


def test_a_terminal_that_hangs_up_stops_its_server_in_good_order(tmp_path):
    (tmp_path / "thing.py").write_text(PROGRAM)
    server = LiveServer(tmp_path, "thing.py")
    master, slave = pty.openpty()
    take_terminal = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    run = "os.execv(sys.executable, [sys.executable, '-m', 'midair', 'run', 'thing.py'])"
    process = subprocess.Popen(
        [sys.executable, "-c", take_terminal + run],
        cwd=tmp_path,
        env=server.environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    screen = b""
    while b"ready in" not in screen:
        screen += os.read(master, 1024)
    os.close(master)
    assert process.wait(60) == 0
    assert saved(server).number == 0
