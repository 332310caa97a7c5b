"""The same as draw.py, written with Twisted: its perspective broker speaks to the same server.

python examples/whiteboard/draw_twisted.py [HOST:PORT]          (needs: pip install twisted)
"""

# mypy: disable-error-code="misc, no-untyped-call, attr-defined"
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# Twisted's own annotations do not fit what its reactor and its brokers are.

import sys
from typing import Any

from twisted.internet import reactor, stdio
from twisted.internet.defer import inlineCallbacks
from twisted.internet.endpoints import clientFromString
from twisted.protocols.basic import LineReceiver
from twisted.spread import pb


class Picture(pb.RemoteCache):
    """Our copy of the picture."""

    marks: dict[tuple[int, int], str]

    def observe_put(self, x: int, y: int, mark: str) -> None:
        self.marks[x, y] = mark
        self.show()

    def show(self) -> None:
        for y in range(8):
            print("".join(self.marks.get((x, y), ".") for x in range(40)))
        print(flush=True)


pb.setUnjellyableForClass("whiteboard.Picture", Picture)


class Lines(LineReceiver):
    """What is typed."""

    delimiter = b"\n"

    def __init__(self, board: pb.RemoteReference) -> None:
        self.board = board

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        x, y, mark = line.decode().split()
        drawn = self.board.callRemote("draw", int(x), int(y), mark)
        drawn.addErrback(lambda failure: print(f"not drawn: {failure.getErrorMessage()}", flush=True))

    def connectionLost(self, reason: object = None) -> None:  # noqa: N802 - likewise
        if reactor.running:
            reactor.stop()


def leave(_: pb.RemoteReference) -> None:
    print("the server is gone", flush=True)
    reactor.stop()


@inlineCallbacks
def main(address: str) -> Any:
    host, _, port = address.rpartition(":")
    factory = pb.PBClientFactory()
    yield clientFromString(reactor, f"tcp:{host}:{port}").connect(factory)
    board = yield factory.getRootObject()
    board.picture = yield board.callRemote("picture")
    board.picture.show()
    board.notifyOnDisconnect(leave)
    stdio.StandardIO(Lines(board))


if __name__ == "__main__":
    reactor.callWhenRunning(main, sys.argv[1] if len(sys.argv) > 1 else "localhost:8787")
    reactor.run()
