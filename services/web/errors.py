"""What a resource raises to answer with an error page.

WebError            any status, with what to say and headers to add
├ NotFound          404
└ TooLarge          413; the connection is closed, since the rest of the body will not be read
    Disconnected        nobody is left to answer; nobody's mistake
"""

from __future__ import annotations

from .rules import phrase


class WebError(Exception):
    """Raise it anywhere under a request: the client gets the status, the reason as text, and the headers."""

    def __init__(self, code: int, reason: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason or phrase(code)
        self.headers = headers or {}

    def __str__(self) -> str:
        return f"{self.code} {self.reason}"


class NotFound(WebError):
    """Nothing has this address."""

    def __init__(self, reason: str = "nothing has this address") -> None:
        super().__init__(404, reason)


class Disconnected(ConnectionResetError):
    """The client went away before its request was read or its answer was written, or what was relayed to it broke off."""


class TooLarge(WebError):
    """The body of a request went over a limit."""

    def __init__(self, what: str, limit: int, unit: str = "bytes") -> None:
        super().__init__(
            413, f"{what} is limited to {limit:,} {unit}; the request was dropped", {"connection": "close"}
        )
