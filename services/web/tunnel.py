"""A websocket relayed to another server: messages both ways, at the speed of the slower side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from .asgi import RawHeaders
from .request import Request

MAX_MESSAGE = 1 << 20  # bytes


async def relay(request: Request, url: str, headers: RawHeaders, sock: socket.socket | None, patience: float) -> None:
    """Connect to the other server, then to the client, and pass on what either says until one of them closes.

    Args:
        headers: what the other server is told of the client; those of the handshake itself are left out.
        sock: a connection that is there already; without one it is made from the URL.

    Raises:
        OSError: the other server does not answer, or takes no websocket.
    """
    await request.receive()
    passed = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if not name.startswith(b"sec-websocket-") and name not in {b"host", b"content-length", b"transfer-encoding"}
    ]
    offered = [Subprotocol(name) for name in request.scope.get("subprotocols", ())]
    try:
        far = await connect(
            url,
            sock=sock,
            additional_headers=passed,
            subprotocols=offered or None,
            compression=None,
            max_size=MAX_MESSAGE,
            open_timeout=patience,
            user_agent_header=None,
            proxy=None,
        )
    except (InvalidHandshake, TimeoutError) as error:
        raise OSError(str(error)) from error
    try:
        await request.send({"type": "websocket.accept", "subprotocol": far.subprotocol})
        both = {asyncio.ensure_future(_there(request, far)), asyncio.ensure_future(_back(request, far))}
        _, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    finally:
        await far.close()


async def _there(request: Request, far: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await request.receive())["type"] == "websocket.receive":
            text: Any = message.get("text")
            await far.send(text if text is not None else message["bytes"])
        code = message.get("code", 1000)
        # Codes such as "lost without a word" are never sent.
        await far.close(code if code not in {1004, 1005, 1006, 1015} else 1001)


async def _back(request: Request, far: ClientConnection) -> None:
    try:
        while True:
            message = await far.recv()
            kind = "text" if isinstance(message, str) else "bytes"
            await request.send({"type": "websocket.send", kind: message})
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd else 1011
        await request.send({"type": "websocket.close", "code": code if code != 1005 else 1000})
