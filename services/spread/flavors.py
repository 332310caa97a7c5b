"""The ways an object can cross a connection, one base class each.

Referenceable   by reference: the peer calls its methods        remote_name, or any method marked @remote
Avatar          likewise, what one user sees after a login      perspective_name, @remote
Viewable        by reference, and each method is told who calls view_name(perspective, ...), @remote
Copyable        by value: its public attributes, made anew there, if the class is registered there
Cacheable       by value once, then kept current                the peer's RemoteCache: observe_name
RemoteCopy, RemoteCache   what the receiving side makes for the two above, where it has another class

Across a rebuild: everything goes by the identity of the object. References and caches that peers hold go on, and
the next call runs the new code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar, overload

from .errors import BadMessage, NoSuchMethod, dotted

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def remote(function: F) -> F:
    """Offer a method to peers under its own name, without a prefix. Names that begin with "_" are never offered."""
    function.__remote__ = True  # type: ignore[attr-defined] # the mark that `find` looks for
    return function


def find(target: Any, prefix: str, name: str) -> Callable[..., Any]:
    """The method of `target` that peers may call by this name.

    Raises:
        NoSuchMethod: there is none, or it is not offered.
    """
    method = getattr(target, prefix + name, None)
    if method is not None:
        return method  # type: ignore[no-any-return] # what is not callable says so when called
    if not name.startswith("_") and getattr(getattr(type(target), name, None), "__remote__", False) is True:
        return getattr(target, name)  # type: ignore[no-any-return] # a method of the class, as was just seen
    raise NoSuchMethod(f"{type(target).__name__} offers no method {name!r}")


class Referenceable:
    """An object that peers call: a method `remote_echo`, or `@remote def echo`, answers `ref.echo()`.

    A method may be `async`. One that is a generator, or returns one, gives the caller a stream.
    """

    #: What the names of methods that peers may call begin with.
    remote_prefix: ClassVar[str] = "remote_"
    #: Who sees what the methods return; None for everyone.
    perspective: Any = None

    def find_remote(self, name: str) -> Callable[..., Any]:
        """The method for a call from outside; override to answer any name.

        Raises:
            NoSuchMethod: it is not offered.
        """
        return find(self, self.remote_prefix, name)

    def released(self) -> None:
        """A peer holds this no longer: it said so, or its connection is gone. Once for each peer that held it."""


class Avatar(Referenceable):
    """What one user sees: a realm makes it at the login. Its methods are `perspective_name`, or marked `@remote`.

    What they return is made for this user: views carry it, copies and caches are asked for their state with it.
    """

    remote_prefix = "perspective_"

    @property
    def perspective(self) -> Any:  # read-only here: an avatar sees as itself
        return self

    def released(self) -> None:
        self.logout()

    def logout(self) -> None:
        """The user is gone: the last reference to this was dropped, or the connection lost. Called once."""


class Viewable:
    """Sent by reference, together with who it was sent to: each method is told that perspective first."""


class ViewPoint(Referenceable):
    """One perspective's reference to a Viewable. Made when a Viewable is sent; make one to hand it on."""

    def __init__(self, perspective: Any, target: Any) -> None:
        self.perspective, self.target = perspective, target

    def find_remote(self, name: str) -> Callable[..., Any]:
        method = find(self.target, "view_", name)
        return lambda *args, **kw: method(self.perspective, *args, **kw)


class Copyable:
    """Sent by value. The receiving side makes an instance of the class it registered for the name.

    Both sides often share one class: `@register class Point(Copyable)`.
    """

    #: What it is called on the wire; by default the module and the class, `shapes.Point`.
    wire_name: ClassVar[str] = ""

    def copy_state(self, perspective: Any) -> Any:  # noqa: ARG002 - for those who override it
        """What travels: by default the attributes whose names do not begin with "_".

        Args:
            perspective: the avatar or other party it is made for; None when anyone may see it.
        """
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def set_copy_state(self, state: Any) -> None:
        """Become what arrived; `__init__` is not called. By default the attributes, refusing names with "_" in front."""
        vars(self).update(checked_state(state))


class RemoteCopy(Copyable):
    """What the receiving side makes of a Copyable, where it has a class of its own for it."""


class Error(Copyable, Exception):
    """An exception that crosses as itself: a peer that registered the class catches it as that class.

    It travels with its arguments and public attributes, and is not logged: raising it is an answer like any other.
    To and from Twisted's peers it travels as its name and text.
    """

    def copy_state(self, perspective: Any) -> Any:
        return {**super().copy_state(perspective), "args": self.args}

    def set_copy_state(self, state: Any) -> None:
        attributes = checked_state(state)
        args = attributes.pop("args", ())
        self.args = args if type(args) is tuple else (args,)
        vars(self).update(attributes)


class Cacheable(Copyable):
    """Sent by value the first time, and by number afterwards; peers that hold it are told of changes.

    Change it through methods that also say `self.tell("moved", x, y)`: each holder runs `observe_moved(x, y)`.

    In a snapshot: without its observers; a peer that connects again gets it again.
    """

    __transient__ = ("_observers",)

    _observers: dict[Observer, None]

    def cache_state(self, perspective: Any, observer: Observer) -> Any:
        """What travels the first time; from here on `observer` is told. By default the `copy_state`."""
        self.__dict__.setdefault("_observers", {})[observer] = None
        return self.copy_state(perspective)

    def stopped_observing(self, perspective: Any, observer: Observer) -> None:  # noqa: ARG002 - as above
        """The peer dropped its copy, or its connection is lost."""
        self.observers.pop(observer, None)

    @property
    def observers(self) -> dict[Observer, None]:
        """Who is told of changes, in the order they came."""
        return vars(self).get("_observers", {})  # type: ignore[no-any-return] # only `cache_state` fills it

    def tell(self, name: str, /, *args: Any, **kw: Any) -> None:
        """Call `observe_name` on every copy that peers hold. Nothing is waited for; order is kept."""
        for observer in tuple(self.observers):
            observer.send(name, *args, **kw)


class RemoteCache:
    """A copy of a peer's Cacheable, kept current by its owner through `observe_name` methods.

    Dropping the last reference to it tells the owner. Passed back to the owner, it arrives there as the original.

    In a snapshot: as a plain object with its last state; nobody updates it any more.
    """

    def set_cache_state(self, state: Any) -> None:
        """Become what arrived; `__init__` is not called."""
        vars(self).update(checked_state(state))


class Observer(Protocol):
    """A peer's copy of a Cacheable, as its owner sees it."""

    perspective: Any

    def send(self, name: str, /, *args: Any, **kw: Any) -> None:
        """Run `observe_name` on the copy, without waiting."""

    def call(self, name: str, /, *args: Any, **kw: Any) -> Any:
        """Run `observe_name` on the copy; awaited, its result."""


_registered: dict[str, type] = {}


@overload
def register(kind: C) -> C: ...
@overload
def register(kind: str) -> Callable[[C], C]: ...
@overload
def register(kind: C, name: str) -> C: ...


def register(kind: Any, name: str = "") -> Any:
    """Allow peers to have instances of a class made here: `@register`, `@register("shapes.Point")` or `register(kind, name)`.

    Without a name it is the class's own `wire_name`, else its module and qualified name. Registered again, the later
    class counts.

    Raises:
        TypeError: not a Copyable, RemoteCopy or RemoteCache.
    """
    if isinstance(kind, str):
        return lambda actual: register(actual, kind)
    if not isinstance(kind, type) or not issubclass(kind, Copyable | RemoteCache):
        raise TypeError(f"{kind!r} is not a Copyable, RemoteCopy or RemoteCache, so it cannot be registered")
    _registered[name or wire_name(kind)] = kind
    return kind


def registered(name: str) -> type | None:
    """The class that peers may have made under this name."""
    return _registered.get(name)


def wire_name(kind: type) -> str:
    return getattr(kind, "wire_name", "") or dotted(kind)


def checked_state(state: Any) -> dict[str, Any]:
    """Attributes from a message: a dictionary with names, none of them private."""
    if state is None:
        return {}
    if type(state) is not dict:
        raise BadMessage(f"the state of an object is a dictionary of attributes, not {type(state).__name__}")
    checked = {}
    for key, value in state.items():
        name = key.decode() if type(key) is bytes else key
        if type(name) is not str or name.startswith("_"):
            raise BadMessage(f"{name!r} is not a public attribute")
        checked[name] = value
    return checked
