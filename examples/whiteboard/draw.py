"""Draw on the whiteboard: each line of input is `X Y MARK`; the picture is shown whenever somebody has drawn.

python examples/whiteboard/draw.py [HOST:PORT]
"""

import asyncio
import sys
from collections.abc import Callable

from midair.services import spread


@spread.register("whiteboard.Picture")
class Picture(spread.RemoteCache):
    """Our copy of the picture. Its owner, the server, calls `observe_put` for each mark."""

    marks: dict[tuple[int, int], str]
    changed: Callable[[], None] | None = None

    def observe_put(self, x: int, y: int, mark: str) -> None:
        self.marks[x, y] = mark
        if self.changed:
            self.changed()

    def show(self, width: int, height: int) -> None:
        for y in range(height):
            print("".join(self.marks.get((x, y), ".") for x in range(width)))
        print(flush=True)


@spread.register("whiteboard.Outside")
class Outside(spread.Error):
    """What the server raises for a mark beside the board."""


async def main(address: str) -> None:
    async with await spread.connect(address, reconnect=True) as peer:
        picture: Picture

        async def look(peer: spread.Peer) -> None:
            """Get the picture, now and after each reconnection."""
            nonlocal picture
            picture = await peer.root.picture()
            width, height = await peer.root.size()
            picture.changed = lambda: picture.show(width, height)
            picture.changed()

        await look(peer)
        peer.on_connect(look)
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                x, y, mark = line.split()
                await peer.root.draw(int(x), int(y), mark)
            except Outside as error:
                print(f"not drawn: {error}", flush=True)
            except ValueError:
                print("not drawn: type X Y MARK, such as 3 1 #", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:8787"))
