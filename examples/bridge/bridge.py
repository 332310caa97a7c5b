"""A bridge: joins two chats, so that what is said in the lobby of one is heard in the other.

    midair run examples/chat/chat.py                                 (on port 4000)
    PORT=4001 midair run examples/chat/chat.py -f other.spl          (a second one, on port 4001)
    midair run examples/bridge/bridge.py
    telnet localhost 4000; telnet localhost 4001

Either chat may be stopped and started again: the bridge connects again by itself.
"""

from midair import Service, Space
from midair.services.net import Lines


class End(Lines):
    """Our side in one of the two chats."""

    service: "Bridge"

    def opened(self) -> None:
        self.send(self.service.nick)
        self.service.ends.append(self)

    def closed(self, reason: BaseException | None) -> None:
        self.service.ends.remove(self)

    def line(self, text: str) -> None:
        who, colon, said = text.partition(": ")
        if colon and who != self.service.nick and who.isidentifier():
            self.service.carry(self, f"<{who}> {said}")


class Bridge(Service):
    """Carries lines between the chats at `sides`."""

    __transient__ = ("ends",)
    nick = "bridge"

    def __init__(self, *sides: tuple[str, int]) -> None:
        self.sides = sides

    async def start(self) -> None:
        self.ends: list[End] = []
        for host, port in self.sides:
            await self.connect(host, port, End)

    def carry(self, source: End, text: str) -> None:
        for end in self.ends:
            if end is not source:
                end.send(text)


def build(space: Space) -> None:
    space["bridge"] = Bridge(("127.0.0.1", 4000), ("127.0.0.1", 4001))
