"""Two brokers in memory, joined by what each has in its outbox: for tests of the object layer, without a socket."""

import asyncio
from typing import Any

from midair.services.spread.broker import Broker
from midair.services.spread.flavors import Cacheable
from midair.services.spread.limits import FRIEND, Limits
from midair.services.spread.negotiation import DIALECTS


class Pair:
    """A client and a server side. `root` is the client's reference to the server's root.

    Args:
        dialect: the encoding they speak.
        chop: how many bytes go over at a time; 0 for all there is.
    """

    def __init__(
        self,
        root: Any = None,
        *,
        dialect: str = "midair-1",
        limits: Limits = FRIEND,
        chop: int = 0,
        tracebacks: bool = False,
    ) -> None:
        make = DIALECTS[dialect]
        self.server = Broker(make, lookup={"root": root}.get, limits=limits, tracebacks=tracebacks, peer="client")
        self.client = Broker(make, peer="server")
        self.chop = chop
        self.inboxes = {self.server: bytearray(), self.client: bytearray()}
        self.bytes_to_client = bytearray()
        for broker in (self.server, self.client):
            broker.on_output = self._soon
            if broker.outbox:
                self._soon()
        self.root = self.client.proxy("root")

    def _soon(self, alone: bool = False) -> None:
        asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Carry over what each side has to say."""
        for source, target in ((self.client, self.server), (self.server, self.client)):
            data = source.take()
            source.answering = 0  # all of it is taken
            if target is self.client:
                self.bytes_to_client += data
            step = self.chop or len(data) or 1
            for at in range(0, len(data), step):
                self.inboxes[target] += data[at : at + step]
                target.received(self.inboxes[target])

    def cut(self) -> None:
        """Lose the connection."""
        self.client.lost(None)
        self.server.lost(None)


class Picture(Cacheable):
    """Dots that observers are told of; it counts those that stopped observing. Subclasses have the name on the wire."""

    def __init__(self, *dots: int) -> None:
        self.dots = list(dots)
        self.stopped = 0

    def add(self, dot: int) -> None:
        self.dots.append(dot)
        self.tell("add", dot)

    def copy_state(self, perspective: Any) -> Any:
        return {"dots": list(self.dots)}

    def stopped_observing(self, perspective: Any, observer: Any) -> None:
        super().stopped_observing(perspective, observer)
        self.stopped += 1


async def settled() -> None:
    """Let everything that is ready happen."""
    for _ in range(20):
        await asyncio.sleep(0)
