"""The whiteboard example: two programs of ours and one of Twisted's draw on one picture, through an edit and a restart."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from live_server import EXAMPLES, PATIENCE, LiveServer, copy_example

from midair.runtime.testing import edit

pytestmark = pytest.mark.xdist_group("whiteboard")


class Drawing:
    """One of the drawing programs, with its terminal."""

    def __init__(self, name, port):
        self.process = subprocess.Popen(
            [sys.executable, EXAMPLES / "whiteboard" / name, f"127.0.0.1:{port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines = []
        self.news = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with self.process.stdout:
            for line in self.process.stdout:
                with self.news:
                    self.lines.append(line.rstrip("\n"))
                    self.news.notify_all()
        with self.news:
            self.lines.append("(ended)")
            self.news.notify_all()

    def draws(self, x, y, mark):
        self.process.stdin.write(f"{x} {y} {mark}\n")
        self.process.stdin.flush()

    def sees(self, pattern):
        """Wait for a line."""
        with self.news:
            found = self.news.wait_for(lambda: any(re.search(pattern, line) for line in self.lines), PATIENCE)
        assert found, self.lines[-20:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(PATIENCE)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_three_programs_draw_on_one_picture_through_an_edit_and_a_restart(tmp_path):
    program = copy_example("whiteboard/board.py", tmp_path)
    port = free_port()  # the same after the restart, so that the programs find it again
    with LiveServer(tmp_path, Path(program).name, "--settle", "0.05", "--no-console", PORT=str(port)) as server:
        with (
            Drawing("draw.py", port) as anna,
            Drawing("draw.py", port) as bob,
            Drawing("draw_twisted.py", port) as carl,
        ):
            everyone = (anna, bob, carl)
            for number, person in enumerate(everyone):
                person.sees(r"^\.{40}$")
                person.draws(number, 0, "ABC"[number])
            for person in everyone:
                person.sees(r"^ABC\.")
                person.draws(99, 0, "x")
                person.sees(r"not drawn: \(99, 0\) is outside of the board, which is 40 by 8")
            edit(
                program,
                "        self.put(x, y, mark)\n\n",
                "        self.put(x, y, mark)\n        self.put(WIDTH - 1 - x, y, mark)\n\n",
            )
            server.wait_for(r"edit 1\b")
            carl.draws(0, 1, "t")
            for person in everyone:
                person.sees(r"^t\.{38}t$")
            assert server.end() == 0
            carl.sees("the server is gone")
            server.start()
            anna.draws(0, 2, "u")
            for person in (anna, bob):
                person.sees(r"^u\.{38}u$")
                assert "ABC" + "." * 37 in person.lines[-30:]
