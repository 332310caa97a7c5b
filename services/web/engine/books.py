"""What was answered: numbers for Prometheus and the operator's page, and the access log."""

from __future__ import annotations

import logging
import os
import sys
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import IO

from ..asgi import Scope

log = logging.getLogger("midair.web")

#: Upper bounds of the latency histogram, in seconds.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts since the start of the server."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.latency = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.bytes = 0
        self.websockets = 0
        self.dropped = 0

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def add(self, status: int, size: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.latency[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        self.bytes += size

    def text(self, **gauges: float) -> str:
        """In Prometheus' text format; gauges are added by name."""
        lines = ["# TYPE midair_http_requests_total counter"]
        lines += [f'midair_http_requests_total{{status="{code}"}} {n}' for code, n in sorted(self.statuses.items())]
        lines += ["# TYPE midair_http_request_seconds histogram"]
        running = 0
        for bound, n in zip((*BUCKETS, "+Inf"), self.latency, strict=True):
            running += n
            lines.append(f'midair_http_request_seconds_bucket{{le="{bound}"}} {running}')
        lines += [f"midair_http_request_seconds_sum {self.seconds:.6f}", f"midair_http_request_seconds_count {running}"]
        for name, value in (
            ("response_bytes", self.bytes),
            ("websockets", self.websockets),
            ("dropped_connections", self.dropped),
        ):
            lines += [f"# TYPE midair_http_{name}_total counter", f"midair_http_{name}_total {value}"]
        for name, level in gauges.items():
            lines += [f"# TYPE midair_{name} gauge", f"midair_{name} {level:g}"]
        return "\n".join(lines) + "\n"


class AccessLog:
    """The access log in Apache's Combined format; lines are written once a second.

    When the file was renamed or removed since, a new one is begun: rotation needs no signal.

    Args:
        path: the file, or "-" for standard output.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._waiting: list[str] = []
        self._file: IO[str] | None = None
        self._stamp = (0, "")
        self._failed = False

    def add(self, scope: Scope, status: int, size: int) -> None:
        referer = agent = b"-"
        for name, value in scope["headers"]:
            if name == b"referer":
                referer = value
            elif name == b"user-agent":
                agent = value
        peer = scope.get("client")
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        user = scope.get("midair.user", "-")
        self._waiting.append(
            f"{peer[0] if peer else 'unix'} - {user} [{self._now()}] "
            f'"{scope["method"]} {_quoted(target)} HTTP/{scope["http_version"]}" {status or 500} {size or "-"} '
            f'"{_quoted(referer)}" "{_quoted(agent)}"\n'
        )
        if len(self._waiting) >= 10_000:
            self.flush()

    def _now(self) -> str:
        second = int(time.time())
        if self._stamp[0] != second:
            self._stamp = second, time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
        return self._stamp[1]

    def flush(self) -> None:
        """Write what waits. A file that cannot be written is named once in the server's log; the lines are dropped."""
        if not self._waiting:
            return
        text, self._waiting = "".join(self._waiting), []
        try:
            file = self._open()
            file.write(text)
            file.flush()
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("the access log %s cannot be written: %s; requests go on unlogged", self.path, error)  # noqa: TRY400
            self._failed = True

    def _open(self) -> IO[str]:
        if self.path == "-":
            return sys.stdout
        path = Path(self.path)
        if self._file is not None and not _is(path, self._file):
            self.close()
        if self._file is None:
            self._file = path.open("a", encoding="utf-8")
        return self._file

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _is(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except OSError:
        return False


def _quoted(value: bytes) -> str:
    """Text for between quotes: nothing that a client sends can end the field, the line, or reach a terminal."""
    text = value.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        f"\\x{ord(c):02x}" if not (c.isascii() and c.isprintable()) else f"\\{c}" if c in '"\\' else c for c in text
    )
