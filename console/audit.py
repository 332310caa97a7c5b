"""What was done at the consoles: one JSON line a statement, written before it runs, and one when it ended.

`NAME.audit` is opened for appending, mode 0600, and never read or changed by the server. What is typed at a password question is not a
statement and is never written.
"""

import json
import os
import time
from pathlib import Path
from typing import Any


class Audit:
    """An append-only file.

    Args:
        path: the file; None keeps no audit (a server without files).
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._descriptor: int | None = None

    def write(self, **entry: Any) -> None:
        """Append one entry.

        Raises:
            OSError: it could not be written, all of it.
        """
        if self.path is None:
            return
        if self._descriptor is None or not self._still_there():
            self.close()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
        stamp = time.time()
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + f".{int(stamp % 1 * 1000):03d}Z"
        line = json.dumps({"time": when, **entry}, ensure_ascii=True, default=str).encode() + b"\n"
        if (written := os.write(self._descriptor, line)) != len(line):
            raise OSError(f"only {written} of {len(line)} bytes of an audit entry could be written to {self.path}")

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _still_there(self) -> bool:
        # An administrator may move the file away; the next entry then begins a new one.
        assert self._descriptor is not None
        assert self.path is not None
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False
