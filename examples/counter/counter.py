"""A web counter that never forgets, with a timer, on bare streams.

    midair run examples/counter/counter.py
    curl http://localhost:8000/
    midair stop counter; midair run examples/counter/counter.py; curl http://localhost:8000/

The number goes on where it stopped. Change the text in `page` and save: the next request has it.
"""

from midair import Service, Space
from midair.runtime.streams import Reader, Writer


class Counter(Service):
    """Counts what it is asked, and every minute logs how often that was."""

    port = 8000

    def __init__(self) -> None:
        self.hits = 0

    async def start(self) -> None:
        await self.listen(self.port, self.on_connect)
        self.every(60.0, self.report)

    async def on_connect(self, reader: Reader, writer: Writer) -> None:
        while (await reader.readline()).strip():
            pass  # the request and its headers, up to the empty line
        self.hits += 1
        body = self.page().encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()

    def page(self) -> str:
        return f"You are visitor {self.hits}.\n"

    def report(self) -> None:
        self.log.info("%d hits so far", self.hits)


def build(space: Space) -> None:
    space["counter"] = Counter()
