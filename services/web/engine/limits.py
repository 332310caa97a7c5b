"""What a client may take of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Limits:
    """Limits of one web server; they may be changed while it runs and count from the next event on.

    Attributes:
        head: seconds for the header of a request to arrive whole.
        idle: seconds that a connection may wait for its next request (at the start of the server).
        body: seconds of grace for a body, beyond which it must have come at `rate`.
        rate: bytes a second that a body must come at, on the average.
        stall: seconds for which a client may take nothing of an answer.
        head_bytes: bytes of a request's header.
        headers: lines of it.
    """

    head: float = 10.0
    idle: float = 30.0
    body: float = 30.0
    rate: float = 500.0
    stall: float = 60.0
    head_bytes: int = 64 << 10
    headers: int = 100
