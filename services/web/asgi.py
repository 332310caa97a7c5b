"""The shapes that ASGI applications and servers hand each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
#: An application that may have answered when it returns, which it says by None.
Begin: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None] | None]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]
