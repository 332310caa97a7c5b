"""What CPython allows in memory though not in Python: the few words that are written directly, and nothing else.

Each offset is found at import by looking for a known value in an object made for that purpose, and must be unique;
where that fails, this module refuses to load rather than guess. Reference counts are kept exact.

    closure of a function     read-only in Python; a body that needs another cell can then be had in place
    first line of a code      lines move without replacing a code object, so nobody has to be found
    base of a type            lets `__bases__ =` pass when we have compared the layouts ourselves
    type of an object         the same for `__class__ =`
    item of a tuple, …        a reference inside an object that Python cannot write to
"""

from __future__ import annotations

import collections
import ctypes
import gc
import itertools
import operator
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Self

from .kinds import isa

Write = tuple[Any, ...]  # a callable implemented in C, and its arguments

_WORD = ctypes.sizeof(ctypes.c_void_p)
_TYPE_SIZE: int = vars(type)["__basicsize__"].__get__(type)
_set_value: Callable[[Any, int], None] = next(
    vars(base)["value"] for base in ctypes.c_void_p.__mro__ if "value" in vars(base)
).__set__
_incref, _decref = ctypes.pythonapi.Py_IncRef, ctypes.pythonapi.Py_DecRef
_incref.argtypes = _decref.argtypes = [ctypes.py_object]
_incref.restype = _decref.restype = None


def words(thing: object, size: int) -> list[int]:
    """The first `size` bytes of an object, as pointers."""
    return list((ctypes.c_size_t * (size // _WORD)).from_address(id(thing)))


def _only(found: list[int], what: str) -> int:
    if len(found) != 1:
        raise ImportError(f"the place of {what} was found {len(found)} times in this Python; rebuild cannot work on it")
    return found[0]


def _find_closure() -> int:
    cell = 1

    def made() -> int:
        return cell

    size = object.__sizeof__(made)
    return _only([i * _WORD for i, w in enumerate(words(made, size)) if w == id(made.__closure__)], "a closure")


def _find_globals() -> int:
    space = {"__builtins__": __builtins__}
    made = types.FunctionType(_find_globals.__code__, space)
    size = object.__sizeof__(made)
    return _only([i * _WORD for i, w in enumerate(words(made, size)) if w == id(space)], "the globals of a function")


def _find_first_line() -> int:
    mark = 0x5EED123
    code = _find_closure.__code__.replace(co_firstlineno=mark)
    ints = (ctypes.c_int * (object.__sizeof__(code) // 4)).from_address(id(code))
    return _only([i * 4 for i, value in enumerate(ints) if value == mark], "the first line of a code object")


def _find_base() -> int:
    class Above: ...

    class Below(Above): ...

    found = [i * _WORD for i, w in enumerate(words(Below, object.__sizeof__(Below))) if w == id(Above)]
    return _only(found, "the base of a type")


def _find_type() -> int:
    class Probe: ...

    made = Probe()
    return _only([i * _WORD for i, w in enumerate(words(made, object.__basicsize__)) if w == id(Probe)], "a type")


_CLOSURE, _GLOBALS, _FIRST_LINE, _BASE, _TYPE = (
    _find_closure(),
    _find_globals(),
    _find_first_line(),
    _find_base(),
    _find_type(),
)

# The setters of a function's fields: called from C, they run no Python.
_fields = vars(types.FunctionType)
SET_CODE = _fields["__code__"].__set__
SET_DEFAULTS = _fields["__defaults__"].__set__
SET_KWDEFAULTS = _fields["__kwdefaults__"].__set__
SET_ANNOTATIONS = _fields["__annotations__"].__set__
SET_DOC = _fields["__doc__"].__set__
SET_NAME = _fields["__name__"].__set__
SET_QUALNAME = _fields["__qualname__"].__set__
SET_MODULE = _fields["__module__"].__set__
EMPTY_CELL = vars(types.CellType)["cell_contents"].__delete__
SET_CELL = vars(types.CellType)["cell_contents"].__set__


def perform(writes: Iterable[Write]) -> None:
    """Make all writes in one call that runs no Python, so that no other thread sees some without the rest."""
    collecting = gc.isenabled()
    gc.disable()  # a collection may run finalizers, which are Python
    try:
        collections.deque(itertools.starmap(operator.call, writes), maxlen=0)
    finally:
        if collecting:
            gc.enable()


def write_word(address: int, value: int) -> Write:
    return (_set_value, ctypes.c_size_t.from_address(address), value)


def write_closure(function: types.FunctionType, closure: tuple[Any, ...] | None) -> Write:
    """Point a function at another closure. The caller owns a reference to each of the two for as long as it may undo."""
    return write_word(id(function) + _CLOSURE, id(closure) if closure is not None else 0)


def write_globals(function: types.FunctionType, space: dict[str, Any]) -> Write:
    """Point a function at another module's globals; references as in `write_closure`."""
    return write_word(id(function) + _GLOBALS, id(space))


def first_line(code: types.CodeType) -> Any:
    """The place of a code object's first line, to which its table of lines is relative. The caller keeps the code."""
    return ctypes.c_int.from_address(id(code) + _FIRST_LINE)


def move_lines(places: list[Any], lines: int) -> tuple[Iterable[Write], Iterable[Write]]:
    """What moves code objects by so many lines, and what moves them back."""
    known = [place.value for place in places]
    every = itertools.repeat(_set_value)
    return zip(every, places, [line + lines for line in known]), zip(every, places, known)  # noqa: B905 -- endless


def incref(thing: object) -> None:
    _incref(thing)


def decref(thing: object) -> None:
    _decref(thing)


def layout(cls: type) -> tuple[Any, ...]:
    """What decides whether memory made for one class can serve another: equal means yes."""
    slots: list[str] = []
    solid: type = cls
    while solid.__flags__ & (1 << 9):  # made by a class statement
        slots[:0] = sorted(name for name, value in vars(solid).items() if isa(value, types.MemberDescriptorType))
        above = solid.__base__
        if above is None:
            break
        solid = above
    while issubclass(solid, Exception) and solid.__base__ and _sizes(solid.__base__) == _sizes(solid):
        solid = solid.__base__  # most exceptions are the same in memory
    # managed dict, garbage collected, and the built-in families
    flags = cls.__flags__ & ((1 << 4) | (1 << 14) | (0xFF << 24))
    return solid, cls.__basicsize__, cls.__itemsize__, cls.__dictoffset__, cls.__weakrefoffset__, flags, tuple(slots)


def subclasses(cls: type) -> list[type]:
    """The direct subclasses, for metaclasses too."""
    return type.__subclasses__(cls)


def subclass_book(base: type, cls: type) -> dict[int, Any] | None:
    """Where a class keeps its direct subclasses, if cls is one: weak references by address."""
    for reference in weakref.getweakrefs(cls)[:1]:
        for holder in gc.get_referrers(reference):
            if type(holder) is dict and holder.get(id(cls)) is reference and id(holder) in words(base, _TYPE_SIZE):
                return holder
    return None


def _sizes(cls: type) -> tuple[int, ...]:
    return cls.__basicsize__, cls.__itemsize__, cls.__dictoffset__, cls.__weakrefoffset__


def set_bases(cls: type, bases: tuple[type, ...], base: type) -> None:
    """`cls.__bases__ = bases`, where the caller has seen that the layout stays; base is the one that gives it."""
    old = cls.__base__
    _incref(base)
    _set_value(ctypes.c_size_t.from_address(id(cls) + _BASE), id(base))
    try:
        cls.__bases__ = bases
    except BaseException:
        _set_value(ctypes.c_size_t.from_address(id(cls) + _BASE), id(old))
        _decref(base)
        raise
    _decref(old)


def set_type(thing: object, cls: type) -> None:
    """`thing.__class__ = cls`, where the caller has compared the layouts."""
    old = type(thing)
    if old.__flags__ & (1 << 4):  # attributes kept inline share the names of the old class: make the dict first
        object.__getattribute__(thing, "__dict__")
    if cls.__flags__ & (1 << 9):
        _incref(cls)
    _set_value(ctypes.c_size_t.from_address(id(thing) + _TYPE), id(cls))
    if old.__flags__ & (1 << 9):
        _decref(old)
    if isa(thing, type):
        modified(thing)


def set_types(things: list[Any], old: type, new: type) -> None:
    """The same for many instances of one class, in a few calls for all."""
    if issubclass(old, type):
        for thing in things:
            set_type(thing, new)
        return
    if old.__flags__ & (1 << 4):
        collections.deque(map(object.__getattribute__, things, itertools.repeat("__dict__")), maxlen=0)
    places = map(ctypes.c_size_t.from_address, map(operator.add, map(id, things), itertools.repeat(_TYPE)))
    counted = (new,) * len(things)  # as many references to the new class; those to the old one go with the tuple
    collections.deque(map(_set_value, places, itertools.repeat(id(new))), maxlen=0)
    word = id(old).to_bytes(_WORD, sys.byteorder)
    ctypes.memmove(id(counted) + tuple.__basicsize__, word * len(things), _WORD * len(things))


def _find_new() -> int:
    class Plain: ...

    class One:
        def __new__(cls) -> Self:
            raise NotImplementedError

    class Two:
        def __new__(cls) -> Self:
            raise NotImplementedError

    rows = zip(*(words(cls, _TYPE_SIZE) for cls in (object, Plain, One, Two)), strict=True)
    found = [i * _WORD for i, (top, plain, one, two) in enumerate(rows) if 0 != top == plain != one == two != 0]
    return _only(found, "what makes instances of a type")


_NEW = _find_new()


def inherit_new(cls: type) -> None:
    """After `__new__` left a class: make instances as its base does, which CPython alone does not go back to.

    When `__new__` comes again, CPython sees to the class and those below by itself.
    """
    above = cls.__base__
    if above is not None and not any(isa(vars(each).get("__new__"), staticmethod) for each in cls.__mro__):
        now, wanted = (ctypes.c_size_t.from_address(id(each) + _NEW) for each in (cls, above))
        now.value = wanted.value
    for each in subclasses(cls):
        inherit_new(each)


def replace_words(holder: object, old: object, new: object, size: int, start: int = 0, limit: int | None = None) -> int:
    """Make the words of `holder` from byte `start` on that point at `old` point at `new`; returns how many.

    Args:
        limit: only so many, the first ones.
    """
    found = [i for i, word in enumerate(words(holder, size)) if word == id(old) and i * _WORD >= start][:limit]
    for i in found:
        _incref(new)
        _set_value(ctypes.c_size_t.from_address(id(holder) + i * _WORD), id(new))
        _decref(old)
    return len(found)


def refill_frozenset(holder: frozenset[Any], items: list[Any]) -> None:
    """Let a frozenset hold these items, filed by the hashes that they have now."""
    made = frozenset(items)
    if len(made) == len(holder):
        _swap_sets(holder, made)


def _swap_sets(one: frozenset[Any], other: frozenset[Any]) -> None:
    size = frozenset.__basicsize__ // _WORD - 1  # all but the weak references, which are to the object itself
    first, second = ((ctypes.c_size_t * size).from_address(id(each)) for each in (one, other))
    for i in range(2, size):
        first[i], second[i] = second[i], first[i]
    for words_of, owner, former in ((first, one, other), (second, other, one)):
        if words_of[_TABLE] == id(former) + _SMALL * _WORD:
            words_of[_TABLE] = id(owner) + _SMALL * _WORD
        words_of[_TABLE + 1] = ctypes.c_size_t(-1).value  # the hash, computed again


def _find_table() -> tuple[int, int]:
    """A small set keeps its table inside itself: the word that points into the object, and where to."""
    probe = frozenset([1, 2])
    inside = words(probe, frozenset.__basicsize__)
    found = [(i, (w - id(probe)) // _WORD) for i, w in enumerate(inside) if 0 < w - id(probe) < frozenset.__basicsize__]
    return found[_only(list(range(len(found))), "the table of a set")]


_TABLE, _SMALL = _find_table()


def mark_finalized(thing: object) -> None:
    """Its `__del__` is not to run: another object has taken its place."""
    head = ctypes.c_size_t.from_address(id(thing) - _WORD)
    head.value |= 1
    assert gc.is_finalized(thing)


def move_weak_references(references: list[Any], new: object) -> list[Any]:
    """Let weak references to one object be references to another; both kinds have room for them.

    Returns:
        Those that had been asked for their hash, and answer with that of the other object from now on.
    """
    hashed = []
    for each in references:
        at = id(each)
        before, after = _word(at + _PREVIOUS), _word(at + _NEXT)
        referent, kept = _word(at + _REFERENT), _word(at + _HASH)
        if before.value:
            _word(before.value + _NEXT).value = after.value
        else:
            _word(referent.value + type(each()).__weakrefoffset__).value = after.value
        if after.value:
            _word(after.value + _PREVIOUS).value = before.value
        place, last = _word(id(new) + type(new).__weakrefoffset__), 0
        while place.value:  # behind those that are there: CPython looks for the plain one at the head
            last = place.value
            place = _word(last + _NEXT)
        place.value, before.value, after.value = at, last, 0
        referent.value = id(new)
        if kept.value != _NO_HASH:
            hashed.append(each)
            kept.value = _NO_HASH
    return hashed


_word = ctypes.c_size_t.from_address
_NO_HASH = ctypes.c_size_t(-1).value


def _find_reference() -> list[int]:
    """In a weak reference: what it refers to, its hash, the one before and the one after."""

    class Probe:
        def __hash__(self) -> int:
            return 0x5EED123

    probe = Probe()
    first, last = weakref.ref(probe), weakref.ref(probe, repr)
    middle = weakref.ref(probe, id)  # one with a callback is put next to the first
    hash(middle)
    found = words(middle, object.__sizeof__(middle))
    wanted = (id(probe), hash(probe), id(first), id(last))
    return [_only([i * _WORD for i, w in enumerate(found) if w == each], "a field of a reference") for each in wanted]


_REFERENT, _HASH, _PREVIOUS, _NEXT = _find_reference()


def class_dict(cls: type) -> dict[str, Any]:
    """The dict behind `vars(cls)`, for the few names that assignment to the class would take as its own."""
    found = gc.get_referents(vars(cls))[0]
    assert type(found) is dict
    return found


modified: Callable[[type], None] = ctypes.pythonapi.PyType_Modified
modified.argtypes, modified.restype = [ctypes.py_object], None  # type: ignore[attr-defined]  # a foreign function


def getset(cls: type, like: Any) -> Any:
    """A `__dict__` or `__weakref__` descriptor for cls, made from another class's."""
    definition = words(like, object.__sizeof__(like))[_GETSET // _WORD]
    make = ctypes.pythonapi.PyDescr_NewGetSet
    make.argtypes, make.restype = [ctypes.py_object, ctypes.c_void_p], ctypes.py_object
    return make(cls, definition)


def _find_getset() -> int:
    class One: ...

    class Two: ...

    first, second = vars(One)["__dict__"], vars(Two)["__dict__"]
    size = object.__sizeof__(first)
    shared = [
        i * _WORD
        for i, (a, b) in enumerate(zip(words(first, size), words(second, size), strict=True))
        if a == b != 0 and i >= 4  # after the count, the type, the owner and the name
    ]
    return _only(shared[:1], "the definition in a descriptor")


_GETSET = _find_getset()
