"""Talk to a server as a person does: through Debian's telnet in a terminal where it is installed, else a socket."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import socket
import time
from typing import Self

PATIENCE = 60.0


class Telnet:
    """One conversation. Use as a context manager; `say` a line, `hear` until a pattern comes."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.heard = ""
        self._at = 0
        self._pid = 0
        if program := shutil.which("telnet"):
            self._pid, self._fd = pty.fork()
            if self._pid == 0:
                os.environ["TERM"] = "dumb"
                os.execv(program, [program, host, str(port)])
        else:
            self._socket = socket.create_connection((host, port))
            self._fd = self._socket.fileno()

    def say(self, line: str) -> None:
        os.write(self._fd, f"{line}\n".encode())

    def hear(self, pattern: str) -> str:
        """Wait until the pattern is heard after what was heard before; the text that matched."""
        until = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.heard[self._at :])):
            if time.monotonic() > until or not select.select([self._fd], [], [], PATIENCE)[0]:
                raise AssertionError(f"did not hear {pattern!r} in {self.heard[self._at :]!r}")
            if not (data := self._read()):
                raise AssertionError(f"the other side ended before {pattern!r}: {self.heard[self._at :]!r}")
            self.heard += data.decode(errors="replace")
        self._at += found.end()
        return found[0]

    def hear_end(self) -> None:
        """Wait until the other side closes."""
        while data := self._read():
            self.heard += data.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, 65536)
        except OSError:  # a terminal whose program ended
            return b""

    def close(self) -> None:
        if self._pid:
            os.close(self._fd)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        elif hasattr(self, "_socket"):
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
