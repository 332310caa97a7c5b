"""Random programs are edited at random; what was rebuilt is compared with a process that imported the result afresh.

`REBUILD_EDITS=10000` makes the long run of it. A difference prints its seed.
"""

import itertools
import os
import random
import sys
import types

import pytest

from midair.runtime import rebuild

EDITS = int(os.environ.get("REBUILD_EDITS", "300"))
PER_PROGRAM = 25


class Program:
    """Two modules of functions, closures, constants, tables and classes; `b` imports from `a`."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.number = itertools.count()
        self.base = 1
        self.a = [
            self.item(kind)
            for kind in ("constant", "derived", "function", "class", "closure", "table", "lambda", "enum")
        ]
        self.b = [self.item(kind) for kind in ("use", "function", "subclass", "class")]

    def value(self):
        return self.random.randrange(100)

    def item(self, kind, name=None):
        name = name or f"{kind}{next(self.number)}"
        make = getattr(self, f"make_{kind}")
        return [kind, name, make(name)]

    def make_constant(self, name):
        return f"{name} = {self.value()}"

    def make_derived(self, name):
        return f"{name} = (BASE + {self.value()}) * 2"

    def make_function(self, name):
        deco = self.random.choice(["", "", "@wrapped\n", "@plain\n", "@functools.lru_cache\n"])
        args = self.random.choice(["", f"x={self.value()}", f"x={self.value()}, *, y={self.value()}"])
        body = self.random.choice([str(self.value()), f"sum(({args[:1] and 'x, '}{self.value()},))"])
        return f"{deco}def {name}({args}):\n    return {body}"

    def make_lambda(self, name):
        return f"{name} = lambda x={self.value()}: x + {self.value()}"

    def make_closure(self, name):
        return f"def {name}(n={self.value()}):\n    def inner(x={self.value()}):\n        return n + x + {self.value()}\n    return inner"

    def make_table(self, name):
        keys = self.random.sample("abcdef", self.random.randrange(1, 5))
        return f"{name} = {{{', '.join(f'{k!r}: {self.value()}' for k in sorted(keys))}}}"

    def make_enum(self, name):
        return f"class {name}(enum.Enum):\n" + "\n".join(
            f"    {k} = {i}" for i, k in enumerate(self.random.sample("ABCD", 2))
        )

    def make_class(self, name, base="object"):
        bases = self.random.choice([base, f"Mixin, {base}" if base != "object" else "Mixin", base])
        slots = (
            f"    __slots__ = ({self.random.choice(['', chr(39) + 's' + chr(39) + ','])})\n"
            if self.random.random() < 0.2
            else ""
        )
        methods = self.random.sample(["one", "two", "three"], self.random.randrange(1, 4))
        lines = [f"    def {m}(self, x={self.value()}): return x + {self.value()}" for m in sorted(methods)]
        if self.random.random() < 0.5:
            lines.append(f"    @property\n    def p(self): return {self.value()}")
        if self.random.random() < 0.5:
            lines.append(f"    k = {self.value()}")
        if self.random.random() < 0.3:
            lines.append("    def __repr__(self): return super().__repr__()[:1] + __class__.__name__")
        return f"class {name}({bases}):\n{slots}" + "\n".join(lines)

    def make_subclass(self, name):
        base = next((n for k, n, _ in self.a if k == "class"), "object")
        return self.make_class(name, f"a.{base}" if base != "object" else base)

    def make_use(self, name):
        taken = [n for k, n, _ in self.a if k in {"constant", "function", "class"}]
        return f"from a import {self.random.choice(taken)} as {name}" if taken else f"{name} = 0"

    def edit(self):
        items = self.random.choice([self.a, self.b])
        if self.random.random() < 0.2:
            self.base = self.value()
        for _ in range(self.random.randrange(1, 3)):
            choice = self.random.random()
            if choice < 0.65 and items:
                item = self.random.choice(items)
                item[2] = getattr(self, f"make_{item[0]}")(item[1])
            elif choice < 0.85:
                kinds = ["constant", "function", "class", "closure", "table", "lambda", "derived", "enum"]
                items.insert(self.random.randrange(len(items) + 1), self.item(self.random.choice(kinds)))
            elif len(items) > 3:
                items.remove(self.random.choice(items))
        used = {n for _, n, _ in self.a}
        self.b = [i for i in self.b if i[0] != "use" or i[2].split(" ")[3] in used]
        self.b = [[k, n, self.make_subclass(n)] if k == "subclass" else [k, n, t] for k, n, t in self.b]

    def texts(self):
        head = (
            "import enum, functools\ndef plain(fn):\n    def inner(*a, **k): return ('plain', fn(*a, **k))\n    return inner\n"
            "def wrapped(fn):\n    @functools.wraps(fn)\n    def inner(*a, **k): return ('wrapped', fn(*a, **k))\n    return inner\n"
            "class Mixin:\n    __slots__ = ()\n    def mixed(self): return 'mixed'\n"
        )
        return {
            "a": head + f"BASE = {self.base}\n" + "\n\n".join(t for _, _, t in self.a) + "\n",
            "b": "import a\nfrom a import BASE\n" + head + "\n\n".join(t for _, _, t in self.b) + "\n",
        }


def picture(module):
    """What a module does, as plain values."""
    return {name: look(value) for name, value in vars(module).items() if not name.startswith("__")}


def look(value):
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type):
        made = [b.__name__ for b in value.__mro__]
        names = {n: kind(v) for n, v in vars(value).items() if n not in {"__doc__", "__module__"}}
        if hasattr(value, "__members__"):
            return [(m.name, m.value) for m in value], made
        obj = value()
        return (
            made,
            sorted(names.items()),
            repr(obj).partition(" at ")[0],
            {m: call(getattr(obj, m, None)) for m in dir(obj) if m[0] != "_"},
        )
    if callable(value):
        return call(value)
    return value


def kind(value):
    return type(value).__name__ if not isinstance(value, (int, str, tuple)) else value


def call(value):
    if not callable(value):
        return value
    if getattr(value, "__name__", "") in {"plain", "wrapped"}:
        return "decorator"
    result = value()
    return ("calls", call(result)) if callable(result) else result


def fresh(texts, folder):
    """The same modules, imported anew under the same names without a trace."""
    made = {}
    kept = {name: sys.modules.pop(name, None) for name in texts}
    try:
        for name, text in texts.items():
            module = sys.modules[name] = types.ModuleType(name)
            exec(compile(text, str(folder / f"{name}.fresh"), "exec"), vars(module))
            made[name] = picture(module)
    finally:
        for name, module in kept.items():
            sys.modules[name] = module
    return made


@pytest.mark.parametrize("seed", range(max(1, EDITS // PER_PROGRAM)))
@pytest.mark.timeout(600)
def test_a_process_that_was_rebuilt_equals_a_fresh_one(project, seed):
    program = Program(seed)
    project.write(**program.texts())
    modules = {name: project.load(name) for name in ("a", "b")}
    for step in range(PER_PROGRAM):
        program.edit()
        texts = program.texts()
        project.write(**texts)
        rebuild.rebuild()
        expected = fresh(texts, project.folder)
        for name, module in modules.items():
            live = picture(module)
            assert live == expected[name], f"seed {seed}, edit {step}, module {name}\n{texts[name]}"
