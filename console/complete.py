"""Completion that never runs anybody's code.

Names and attributes are looked up statically: no property, no `__getattr__`, no `__getitem__` of a live object is called, and the keys of a
mapping are read only when it is exactly a dict. At most 500 entries and 50 ms.
"""

import builtins
import inspect
import itertools
import keyword
import re
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from .display import summary

MAX_ENTRIES = 500
BUDGET = 0.05
"""Seconds."""

_DOTTED = re.compile(r"((?:[^\W\d]\w*\.)*)([^\W\d]\w*|)$")
_KEY = re.compile(r"""([^\W\d]\w*(?:\.[^\W\d]\w*)*)\[(["'])([^"'\]]*)$""")
_IMPORT = re.compile(r"^\s*(?:import|from)\s+([\w.]*)$")
_MISSING = object()


class StaticCompleter(Completer):
    """Completes names, attributes and keys of dicts.

    Args:
        private: the person's own names.
        visible: the names that everybody sees.
        look_up: the value of one of those.
    """

    def __init__(
        self, private: Mapping[str, Any], visible: Callable[[], Iterable[str]], look_up: Callable[[str], Any]
    ) -> None:
        self.private, self.visible, self.look_up = private, visible, look_up

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002 - the interface
        text = document.current_line_before_cursor
        if _in_string(text) and not _KEY.search(text):
            return
        entries = self.entries(text)
        deadline = time.monotonic() + BUDGET
        for start, word, meta in itertools.islice(entries, MAX_ENTRIES):
            yield Completion(word, start_position=-start, display_meta=meta)
            if time.monotonic() > deadline:
                return

    def entries(self, text: str) -> Iterator[tuple[int, str, str]]:
        """(characters to replace, replacement, what it is) for a line up to the cursor."""
        if found := _IMPORT.search(text):
            return self._modules(found[1])
        if found := _KEY.search(text):
            return self._keys(found[1], found[2], found[3])
        found = _DOTTED.search(text)
        if found is None:
            return iter(())
        path, prefix = found[1].rstrip("."), found[2]
        if found[1]:
            return self._attributes(path, prefix)
        before = text[: found.start()].rstrip()
        if before.endswith((".", ")", "]", '"', "'")) and text[: found.start()].endswith("."):
            return iter(())  # the attribute of a result: knowing it would mean to run the expression
        return self._names(prefix) if prefix else iter(())

    def _names(self, prefix: str) -> Iterator[tuple[int, str, str]]:
        seen: set[str] = set()
        sources: list[Iterable[str]] = [list(self.private), self.visible(), keyword.kwlist, vars(builtins)]
        for source in sources:
            for name in source:
                if (
                    name.startswith(prefix)
                    and name not in seen
                    and (prefix.startswith("_") or not name.startswith("_"))
                ):
                    seen.add(name)
                    yield len(prefix), name, self._meta(name)

    def _meta(self, name: str) -> str:
        value = self._value(name)
        return "" if value is _MISSING or isinstance(value, types.BuiltinFunctionType | type) else summary(value)

    def _attributes(self, path: str, prefix: str) -> Iterator[tuple[int, str, str]]:
        value = self._resolve(path)
        if value is _MISSING:
            return
        for name in sorted(static_dir(value)):
            if name.startswith(prefix) and (prefix.startswith("_") or not name.startswith("_")):
                yield len(prefix), name, ""

    def _keys(self, path: str, quote: str, prefix: str) -> Iterator[tuple[int, str, str]]:
        value = self._resolve(path)
        mapping = value if type(value) is dict else _objects_of_space(value)
        if mapping is None:
            return
        for key in list(itertools.islice(mapping, 10 * MAX_ENTRIES)):
            if type(key) is str and key.startswith(prefix) and quote not in key and key.isprintable():
                yield len(prefix), key, summary(mapping[key])

    def _modules(self, prefix: str) -> Iterator[tuple[int, str, str]]:
        dots = prefix.count(".")
        for name in sorted({*list(sys.modules), *sys.stdlib_module_names}):
            if name.startswith(prefix) and not name.startswith("_") and name.count(".") == dots:
                yield len(prefix), name, ""

    def _value(self, name: str) -> Any:
        if name in self.private:
            return self.private[name]
        try:
            return self.look_up(name)
        except KeyError:
            return _MISSING

    def _resolve(self, path: str) -> Any:
        """The value of a dotted path, looked up without running anything; `_MISSING` where that would be needed."""
        first, *rest = path.split(".")
        value = self._value(first)
        for name in rest:
            if value is _MISSING:
                return _MISSING
            value = inspect.getattr_static(value, name, _MISSING)
            if isinstance(value, property | types.MemberDescriptorType | types.GetSetDescriptorType):
                return _MISSING
            if isinstance(value, staticmethod | classmethod):
                value = value.__func__
        return value


def static_dir(value: object) -> set[str]:
    """The attribute names of a value, found without calling its `__dir__` or `__getattr__`."""
    names: set[str] = set()
    own = inspect.getattr_static(value, "__dict__", None)
    if isinstance(own, types.GetSetDescriptorType):
        try:
            own = object.__getattribute__(value, "__dict__")
        except AttributeError:
            own = None
    if isinstance(value, type | types.ModuleType):
        own = (
            type.__getattribute__(value, "__dict__")
            if isinstance(value, type)
            else object.__getattribute__(value, "__dict__")
        )
    if isinstance(own, dict | types.MappingProxyType):
        names.update(name for name in list(own) if type(name) is str)
    kind = value if isinstance(value, type) and type(value) is type else type(value)
    for base in type.mro(kind):
        names.update(type.__getattribute__(base, "__dict__"))
    return names


def _objects_of_space(value: object) -> dict[Any, Any] | None:
    from ..runtime.space import Space

    return value._objects if type(value) is Space else None


def _in_string(text: str) -> bool:
    """Whether the cursor is inside of a string on this line."""
    quote = ""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return True
    return bool(quote)
