"""Calls an ASGI application without a socket, and keeps what it sent."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    messages: list[Any] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key == name.lower())

    @property
    def text(self) -> str:
        return self.body.decode()


async def ask(
    app: Any,
    target: str | bytes,
    method: str = "GET",
    *,
    body: bytes | list[bytes] = b"",
    client: str = "127.0.0.1",
    version: str = "1.1",
    extensions: dict[str, Any] | None = None,
    host: str = "localhost",
    raw: list[tuple[bytes, bytes]] | None = None,
    scheme: str = "http",
    **headers: str,
) -> Answer:
    """One request; header names are keywords, with _ for -."""
    path, _, query = (target.encode() if isinstance(target, str) else target).partition(b"?")
    pieces = [body] if isinstance(body, bytes) else list(body)
    given = [(b"host", host.encode())] if host else []
    given += [(name.replace("_", "-").lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer, done = Answer(), asyncio.Event()

    async def receive() -> Any:
        if not pieces:
            await done.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        answer.messages.append(message)
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in message["headers"]]
        elif message["type"] == "http.response.zerocopysend":
            answer.body += os.pread(message["file"], message["count"], message["offset"])
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "method": method,
        "scheme": scheme,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": given + (raw or []),
        "client": (client, 1234),
        "server": ("127.0.0.1", 80),
        "extensions": extensions or {},
        "state": {},
    }
    try:
        await app(scope, receive, send)
    finally:
        done.set()
    return answer
