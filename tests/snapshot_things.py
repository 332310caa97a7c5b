"""Classes and graphs for the snapshot tests: importable by name, as an application's are."""

import dataclasses
import enum
import random
import threading
from typing import Any, NamedTuple

import attrs


class Thing:
    """An ordinary object with whatever attributes it is given."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def greet(self) -> str:
        return f"hello from {self.name}"

    @classmethod
    def kind(cls) -> str:
        return cls.__name__

    @staticmethod
    def double(number: int) -> int:
        return 2 * number

    class Inner:
        """A nested class."""

        value = 1

        class Color(enum.Enum):
            RED = 1
            BLUE = 2

        def shout(self) -> str:
            return "inner"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Link:
    next: "Link | None" = None


class Person:
    def __init__(self, number: int) -> None:
        self.number, self.friends = number, []


@dataclasses.dataclass(frozen=True)
class Key:
    """Its hash needs its state."""

    name: str
    owner: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass
class Plain:
    x: int
    y: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int
    y: Any = None


@attrs.define
class Attrs:
    x: int
    y: list[int] = attrs.field(factory=list)


class Bare:
    """Holds nothing at all."""

    __slots__ = ()


class Private:
    __slots__ = ("__hidden", "__weakref__", "left_empty")

    def __init__(self) -> None:
        self.__hidden = 7

    def hidden(self) -> int:
        return self.__hidden


class Point(NamedTuple):
    x: int
    y: int


class Bag(dict[str, Any]):
    """A dict that needs an attribute to take an item."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 10

    def __setitem__(self, key: str, value: Any) -> None:
        if len(self) >= self.limit:
            raise ValueError("full")
        super().__setitem__(key, value)


class Stack(list[Any]):
    label = ""


class Name(str):  # noqa: SLOT000 - it is here for its attribute
    """A str with an attribute."""

    note = ""


class Caching:
    """Says itself what its state is."""

    def __init__(self, value: int) -> None:
        self.value, self.cache = value, "big"

    def __getstate__(self) -> Any:
        return ("v1", self.value)

    def __setstate__(self, state: Any) -> None:
        _, self.value = state
        self.cache = "made again"


class Eager:
    """Its own reduction calls it with an object whose state it reads at once."""

    def __init__(self, thing: Thing) -> None:
        self.thing, self.seen = thing, thing.name

    def __reduce__(self) -> Any:
        return Eager, (self.thing,)


class Child:
    """Its own reduction names its parent, which holds it."""

    def __init__(self, parent: Thing) -> None:
        self.parent = parent

    def __reduce__(self) -> Any:
        return Child, (self.parent,)


class Unusual(Exception):
    """Its arguments are not those of its `__init__`."""

    def __init__(self, what: str, *, limit: int) -> None:
        super().__init__(f"{what} over {limit}")
        self.what, self.limit = what, limit


class Leaving:
    """Keeps something that belongs to the process."""

    __transient__ = ("lock", "thread")

    def __init__(self) -> None:
        self.lock, self.thread, self.kept = threading.Lock(), threading.current_thread(), [1]

    def __resume__(self, space: Any) -> None:
        self.lock, self.space = threading.Lock(), space


class LeavingMore(Leaving):
    __transient__ = ("more",)

    def __init__(self) -> None:
        super().__init__()
        self.more = lambda: 0


class Meta(type):
    """Keeps a list of the classes that are made with it."""

    made: list[str] = []

    def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
        super().__init__(name, bases, body)
        Meta.made.append(name)


class Made(metaclass=Meta):
    subclasses: list[str] = []

    def __init__(self, name: str = "") -> None:
        self.name = name

    def __init_subclass__(cls) -> None:
        Made.subclasses.append(cls.__name__)

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and self.name == other.name

    class Nested:
        """A nested class of a class with a metaclass."""


def a_function(number: int) -> int:
    return number + 1


def chain(length: int) -> Link:
    head = here = Link()
    for _ in range(length - 1):
        here.next = Link()
        here = here.next
    return head


def people(count: int) -> list[Person]:
    """Everybody has two friends, anywhere."""
    dice, everybody = random.Random(7), [Person(number) for number in range(count)]
    for person in everybody:
        person.friends += [everybody[dice.randrange(count)], everybody[dice.randrange(count)]]
    return everybody


def nested(kind: type, depth: int) -> Any:
    """A list, tuple, dict or deque that many levels deep."""
    value: Any = kind()
    for _ in range(depth - 1):
        value = {"in": value} if kind is dict else kind([value])
    return value


def depth_of(value: Any) -> int:
    levels = 1
    while value:
        value = value["in"] if isinstance(value, dict) else next(iter(value))
        levels += 1
    return levels


class Book:
    """A root with something in it, to be saved and changed."""

    def __init__(self, pages: int = 3) -> None:
        self.pages = [Thing(number=number, text="page " * 20) for number in range(pages)]
        self.reads = 0
