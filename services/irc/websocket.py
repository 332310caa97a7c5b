"""IRC over websockets, as IRCv3 has it: one line a message, without its line ending."""

from __future__ import annotations

import logging

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from . import dispatch
from .connection import IrcConnection
from .message import MAX_RECEIVED

TEXT, BINARY = Subprotocol("text.ircv3.net"), Subprotocol("binary.ircv3.net")

log = logging.getLogger("midair.irc.websocket")
log.setLevel(logging.WARNING)


class WebSocketConnection(IrcConnection):
    """A client that speaks IRC in websocket messages. Lines and limits are those of any other client."""

    _protocol: ServerProtocol
    _text = True

    def opened(self) -> None:
        self._protocol = ServerProtocol(
            subprotocols=[TEXT, BINARY], select_subprotocol=_choose, max_size=MAX_RECEIVED, logger=log
        )
        self._lines: list[bytes] = []

    def received(self) -> None:
        if self._lines:
            self._work_off()
        if self.inbox and not self._held:
            data = bytes(self.inbox)
            self.inbox.clear()
            self._protocol.receive_data(data)
            for event in self._protocol.events_received():
                if isinstance(event, Request):
                    self._shake_hands(event)
                elif isinstance(event, Frame):
                    self._take(event)
            self._pump()
            self._work_off()

    def resume(self) -> None:
        super().resume()
        if self._lines and not self._held:
            self._guarded(self._work_off)

    def _shake_hands(self, request: Request) -> None:
        response = self._protocol.accept(request)
        if not _same_site(request.headers, self.service.websocket_origins):
            response = self._protocol.reject(403, "This page may not use this server\n")
        self._protocol.send_response(response)
        if self._protocol.state is State.OPEN:
            self._text = self._protocol.subprotocol != BINARY
            self._pump()
            self.begin()

    def _take(self, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            # A message is a line; a sender that leaves its ending on is forgiven.
            self._lines += [line for line in bytes(frame.data).splitlines() if line]

    def _work_off(self) -> None:
        while self._lines and self.client and not self.client.closing:
            if self.client.busy or not self._allowed(self.client):
                self.pause()
                return
            dispatch.handle(self.network, self.client, self._lines.pop(0))

    def send_lines(self, lines: list[bytes]) -> None:
        if self._protocol.state is not State.OPEN:
            return
        for line in lines:
            if self._text:
                self._protocol.send_text(line.removesuffix(b"\r\n"))
            else:
                self._protocol.send_binary(line.removesuffix(b"\r\n"))
        self._pump()

    def _pump(self) -> None:
        """Write what the protocol has to say; an empty piece is its end of the stream."""
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            else:
                self.close()

    def close(self) -> None:
        if not self._gone and self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            for data in self._protocol.data_to_send():
                self.write(data)
        super().close()


def _choose(_: ServerProtocol, offered: object) -> Subprotocol | None:
    """Take the first of ours that the client names; none is fine, and means text."""
    names = list(offered) if isinstance(offered, list | tuple) else []
    return next((name for name in names if name in {TEXT, BINARY}), None)


def _same_site(headers: Headers, allowed: tuple[str, ...]) -> bool:
    """Tell whether a page may connect: with no Origin it is no page; one's own host and named origins may."""
    origin = headers.get("Origin")
    if origin is None or origin in allowed or "*" in allowed:
        return True
    return origin.partition("://")[2] == headers.get("Host", "")
