"""Twisted's own perspective broker, in memory, as a peer of ours: its Broker drives ours through two transports.

Nothing of Twisted's reactor runs: what one side writes is handed to the other, in turns of asyncio's loop.
"""

import asyncio
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.spread import pb

from midair.runtime.testing import MemoryTransport
from midair.services.spread.broker import Broker
from midair.services.spread.limits import FRIEND, Limits
from midair.services.spread.link import Link
from midair.services.spread.portal import Portal


class TwistedPair:
    """A link of ours to a Twisted peer.

    Args:
        portal: what our side serves; without it Twisted is the server.
        factory: Twisted's side.
    """

    def __init__(self, factory: Any, portal: Portal | None = None, *, limits: Limits = FRIEND) -> None:
        self.link = portal.link() if portal is not None else Link(server=False, limits=limits)
        self.factory = factory
        self.twisted = factory.buildProtocol(None)
        self.theirs = StringTransport()
        self.twisted_lost: Any = None
        self.link.connection_made(MemoryTransport(self.link))
        self.ours: Any = self.link.transport
        self.twisted.makeConnection(self.theirs)
        self.pump()

    @property
    def broker(self) -> Broker:
        assert self.link.broker is not None
        return self.link.broker

    @property
    def root(self) -> Any:
        """Our reference to Twisted's root object."""
        return self.broker.proxy("root")

    def pump(self) -> None:
        """Carry over what there is, until both are silent."""
        while True:
            to_us, to_them = self.theirs.value(), bytes(self.ours.sent)
            if not to_us and not to_them:
                break
            self.theirs.clear()
            self.ours.sent.clear()
            if to_us and not self.link.is_closing:
                self.link.data_received(to_us)
            if to_them:
                self.twisted.dataReceived(to_them)
        if self.theirs.disconnecting and not self.link.is_closing:
            self.ours._lose(None)
        if self.link.is_closing and not self.twisted.disconnected:
            self.lose()

    def lose(self) -> None:
        """The connection is lost."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.ours._lose(None)
        self.twisted.connectionLost(Failure(ConnectionDone("gone")))

    async def settle(self) -> None:
        """Let everything happen that is ready."""
        for _ in range(12):
            self.pump()
            await asyncio.sleep(0)

    async def wait(self, work: Any) -> Any:
        """The result of a promise of ours, or of a Deferred of Twisted's, whose failure is raised as TwistedFailure."""
        future: asyncio.Future[Any] = work
        if isinstance(work, Deferred):
            future = asyncio.get_running_loop().create_future()
            work.addCallbacks(future.set_result, lambda failure: future.set_exception(TwistedFailure(failure)))
        async with asyncio.timeout(20):
            while not future.done():
                self.pump()
                await asyncio.sleep(0)
        return future.result()


class TwistedFailure(Exception):
    """What Twisted's side was told."""

    def __init__(self, failure: Any) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.type = failure.type.decode() if isinstance(failure.type, bytes) else str(failure.type)


async def twisted_root(pair: TwistedPair) -> Any:
    """Twisted's reference to our root object."""
    pair.factory.clientConnectionMade(pair.twisted)
    return await pair.wait(pair.factory.getRootObject())


__all__ = ["TwistedFailure", "TwistedPair", "pb", "twisted_root"]
