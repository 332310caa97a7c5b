"""Bytes of one client: lines out of the inbox, flood control, the way back."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Any

from ...runtime.connection import Connection, Frozen
from ...runtime.errors import ProtocolError
from . import dispatch
from . import numerics as n
from .message import MAX_RECEIVED, format_line

if TYPE_CHECKING:
    from .client import Client
    from .network import Network


class IrcConnection(Connection):
    """One client's socket. What it says is done by `dispatch`, what it hears is collected by its `Client`.

    Across a rebuild: stays, with everything unparsed and unsent.
    """

    #: What a client may leave unread before it is dropped; the history of a busy channel fits many times.
    max_unsent = 512 * 1024

    client: Client | None = None
    _tokens = 0.0
    _refilled = 0.0
    _skipping = False

    @property
    def network(self) -> Network:
        network: Network = self.service.network
        return network

    def opened(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Make the peer a client, or say why not."""
        peer = self.transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else "localhost"
        if refusal := self.network.refusal(address):
            self.send_lines([f"{format_line('', 'ERROR', (), f'Closing link: {address} ({refusal})')}\r\n".encode()])
            self.close()
            return
        tls: Any = self.transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls else None
        fingerprint = hashlib.sha256(certificate).hexdigest() if certificate else ""
        self.client = self.network.connect(address, secure=tls is not None, certfp=fingerprint)
        self.client.connection = self
        self._tokens, self._refilled = float(self.network.settings.burst), time.monotonic()

    def received(self) -> None:
        inbox = self.inbox
        while (end := inbox.find(b"\n")) >= 0:
            if self.client is None or self.client.closing:
                inbox.clear()
                return
            if self.client.busy or not self._allowed(self.client):
                self.pause()
                return
            line = bytes(inbox[:end]).removesuffix(b"\r")
            del inbox[: end + 1]
            if self._skipping:
                self._skipping = False
            else:
                dispatch.handle(self.network, self.client, line)
        if len(inbox) > MAX_RECEIVED + 2:
            # Nobody may fill memory with a line that never ends: what comes of it is thrown away as it comes.
            if not self._skipping and self.client:
                self.client.reply(n.ERR_INPUTTOOLONG)
            self._skipping = True
            inbox.clear()

    def _allowed(self, client: Client) -> bool:
        """Take one token from the bucket; when it is empty, look again once one is in it."""
        if self._tokens < 1.0:
            settings, now = self.network.settings, time.monotonic()
            self._tokens = min(settings.burst, self._tokens + (now - self._refilled) * settings.rate)
            self._refilled = now
            if self._tokens < 1.0 and not client.is_oper:
                asyncio.get_running_loop().call_later((1.0 - self._tokens) / settings.rate, self.resume)
                return False
        self._tokens -= 1.0
        return True

    def closed(self, reason: BaseException | None) -> None:
        if self.client is not None:
            text = f"Read error: {type(reason).__name__}" if reason else "Connection closed"
            self.network.drop(self.client, text, farewell=False)

    def failed(self, error: ProtocolError) -> None:
        self.log.info("dropped: %s", error)
        if self.client is not None:
            self.network.drop(self.client, str(error))
        self.close()

    # --- to another process

    def freeze(self) -> Frozen:
        """This connection and its client as plain values; what the client has been sent counts as unsent."""
        self.flush()
        frozen = super().freeze()
        client = self.client
        if client is None:
            return Frozen(frozen.inbox, frozen.unsent)
        state = {"packed": client.packed(), "address": client.address, "certfp": client.certfp}
        return Frozen(frozen.inbox, frozen.unsent, {**state, "secure": client.secure, "_skipping": self._skipping})

    def thaw(self, frozen: Frozen) -> None:
        state = dict(frozen.state)
        if packed := state.pop("packed", None):
            where, secure, certfp = state.pop("address"), state.pop("secure"), state.pop("certfp")
            self.client = self.network.take_over(where, packed, secure=secure, certfp=certfp)
            self.client.connection = self
            self._tokens, self._refilled = float(self.network.settings.burst), time.monotonic()
        super().thaw(Frozen(frozen.inbox, frozen.unsent, state))

    # --- the way back

    def flush(self) -> None:
        """Write what the client has been sent since the last time."""
        client = self.client
        if client is not None and client.out:
            lines, client.out = client.out, []
            self.send_lines(lines)

    def send_lines(self, lines: list[bytes]) -> None:
        self.write(lines[0] if len(lines) == 1 else b"".join(lines))

    def end(self, client: Client) -> None:
        """Write the last lines and close: the network has dropped the client."""
        self.flush()
        client.connection = None
        self.close()
