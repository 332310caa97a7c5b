"""A new protocol in ten lines.

    midair run examples/echo.py
    telnet localhost 7000

Each line comes back. Change `text` to `text.upper()` below and save: the connection that is open answers in capitals.
"""

from midair import Service, Space
from midair.services.net import Lines


class Echo(Lines):
    def line(self, text: str) -> None:
        self.send(text)


class Echoes(Service):
    port = 7000

    async def start(self) -> None:
        await self.listen(self.port, Echo)


def build(space: Space) -> None:
    space["echo"] = Echoes()
