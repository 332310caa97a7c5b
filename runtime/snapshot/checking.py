"""`check`: what a snapshot would say, before there is one."""

from __future__ import annotations

from dataclasses import dataclass

from .. import rebuild
from .pickling import dump, ignore
from .unpickling import Problem
from .walk import Map

#: How many of the biggest parts are named.
_BIGGEST = 10


@dataclass(frozen=True)
class Check:
    """What a look through everything that a snapshot would save found."""

    #: What could not be saved, by path.
    problems: list[Problem]
    #: What would come back, but not with all that it holds: a queue with items, a weak reference with a callback.
    notes: list[Problem]
    objects: int
    #: The path with the most steps, and how many.
    deepest: str
    depth: int
    #: (path, objects below it) of the parts that hold most, biggest first; each object counts on its shortest path only.
    biggest: list[tuple[str, int]]

    def __str__(self) -> str:
        lines = [f"{self.objects:,} objects; the deepest is {self.depth} steps down: {self.deepest}"]
        lines += [f"{count:>12,}  {path}" for path, count in self.biggest]
        lines += [f"cannot be saved: {problem}" for problem in self.problems] or ["everything can be saved"]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def check(root: object, name: str = "space") -> Check:
    """Try to save everything and write nothing; also measure the graph. It takes about as long as a snapshot.

    Args:
        name: what paths begin with.
    """
    contents = dump(root, ignore, ignore, name=name, leave_out=True)
    chart = Map(root, name)
    with rebuild.look_through():
        chart.walk()
    depths, weights = chart.depths(), chart.weights()
    deepest = max(range(len(depths)), key=depths.__getitem__)
    # A chain of parents with one big child each would fill the list; the parts directly below the root tell more.
    order = sorted((n for n in range(1, len(weights)) if depths[n] <= 2), key=weights.__getitem__, reverse=True)
    return Check(
        [Problem(*one) for one in contents.dropped],
        [Problem(*one) for one in contents.notes],
        len(chart.objects),
        chart.path(deepest),
        depths[deepest],
        [(chart.path(number), weights[number]) for number in order[:_BIGGEST]],
    )
