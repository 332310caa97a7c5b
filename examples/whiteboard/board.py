"""A picture that several programs draw on at once, and all of them see.

    midair run examples/whiteboard/board.py
    python examples/whiteboard/draw.py              (in as many terminals as you like; type: 3 1 #)
    python examples/whiteboard/draw_twisted.py      (the same, written with Twisted)

Now change `Picture.draw` below, for instance to draw each mark on both sides of the board (the middle is at WIDTH / 2),
and save. Nobody is disconnected, and the next mark appears twice everywhere. Stop the server and start it again: the
picture is still there, and draw.py connects again by itself.
"""

import os

from midair import Space
from midair.services import spread

WIDTH, HEIGHT = 40, 8


class Picture(spread.Cacheable):
    """Marks by place. Each program that asks for it has a copy, which `tell` keeps current."""

    wire_name = "whiteboard.Picture"

    def __init__(self) -> None:
        self.marks: dict[tuple[int, int], str] = {}

    def draw(self, x: int, y: int, mark: str) -> None:
        self.put(x, y, mark)

    def put(self, x: int, y: int, mark: str) -> None:
        if not (0 <= x < WIDTH and 0 <= y < HEIGHT):
            raise Outside(f"({x}, {y}) is outside of the board, which is {WIDTH} by {HEIGHT}")
        self.marks[x, y] = mark[:1]
        self.tell("put", x, y, mark[:1])


@spread.register("whiteboard.Outside")
class Outside(spread.Error):
    """A mark beside the board."""

    wire_name = "whiteboard.Outside"


class Board(spread.Referenceable):
    """What the programs call."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    @spread.remote
    def picture(self) -> Picture:
        return self._picture

    @spread.remote
    def size(self) -> tuple[int, int]:
        return WIDTH, HEIGHT

    @spread.remote
    def draw(self, x: int, y: int, mark: str) -> None:
        self._picture.draw(x, y, mark)


def build(space: Space) -> None:
    space["picture"] = Picture()
    space["board"] = spread.Spread(Board(space["picture"]), port=int(os.environ.get("PORT", "8787")))
