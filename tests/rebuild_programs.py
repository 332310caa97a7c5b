"""Random programs of two modules, random edits of them, and what can be seen of a program from outside.

A program is a list of statements for each module. `Program.edited` changes one or a few of them; `observe` describes
everything public that a module offers: values, results of calls, signatures, MRO names. What the contract lets a
rebuilt process keep (results of users' calls, mutable values computed from changed ones) is not generated.
"""

import dataclasses
import enum
import inspect
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

PLAIN = ("1", "2", "30", "'s'", "'text'", "(1, 2)", "None", "True", "-4", "2.5")


@dataclasses.dataclass(frozen=True)
class Statement:
    """One top-level statement: what it binds, and a maker of its text out of its own choices."""

    kind: str
    name: str
    choices: tuple[tuple[str, Any], ...]

    def get(self, key: str, default: Any = None) -> Any:
        return dict(self.choices).get(key, default)

    def having(self, **changed: Any) -> "Statement":
        return dataclasses.replace(self, choices=tuple(sorted({**dict(self.choices), **changed}.items())))

    def text(self) -> str:
        return _RENDER[self.kind](self)


def _constant(s: Statement) -> str:
    return f"{s.name} = {s.get('value')}\n"


def _derived(s: Statement) -> str:
    return f"{s.name} = {s.get('form').format(s.get('of'))}\n"


def _display(s: Statement) -> str:
    return f"{s.name} = {s.get('value')}\n"


def _function(s: Statement) -> str:
    lines = [f"@{tag}\n" for tag in s.get("decorators", ())]
    kind, expression = s.get("flavour"), s.get("returns")
    lines.append(f"{'async ' if kind == 'async' else ''}def {s.name}({s.get('arguments')}){s.get('arrow', '')}:\n")
    if s.get("doc"):
        lines.append(f"    {s.get('doc')!r}\n")
    if s.get("nested"):
        lines.append(f"    def inner(z):\n        return ({s.get('nested')}, z, x)\n")
        expression = f"{expression}, inner(5)"
    lines.append(f"    {'yield' if kind == 'generator' else 'return'} ({expression}, x)\n")
    return "".join(lines)


def _decorator(s: Statement) -> str:
    wraps = "    @functools.wraps(fn)\n" if s.get("wraps") else ""
    return (
        f"def {s.name}(fn):\n{wraps}    def wrapper(*a, **k):\n"
        f"        return ({s.get('tag')}, fn(*a, **k))\n    return wrapper\n"
    )


def _factory(s: Statement) -> str:
    return f"def {s.name}(n):\n    def closure(x=1):\n        return ({s.get('returns')}, n, x)\n    return closure\n"


def _made(s: Statement) -> str:
    return f"{s.name} = {s.get('of')}({s.get('value')})\n"


def _class(s: Statement) -> str:
    bases = s.get("bases", ())
    lines = [f"class {s.name}{'(' + ', '.join(bases) + ')' if bases else ''}:\n"]
    lines += [f"    {name} = {value}\n" for name, value in s.get("attributes", ())]
    lines.append("    def __init__(self, v=1):\n        self.v = v\n")
    for name, kind, expression, up in s.get("methods", ()):
        head = {"static": "    @staticmethod\n", "class": "    @classmethod\n", "property": "    @property\n"}.get(
            kind, ""
        )
        first = {"static": "", "class": "cls"}.get(kind, "self")
        call = "super()" + (f".{name}" if kind == "property" else f".{name}()")
        rest = f", {call} if hasattr(super(), {name!r}) else 0" if up and kind != "static" else ""
        lines.append(f"{head}    def {name}({first}):\n        return ({expression}{rest})\n")
    return "".join(lines)


def _dataclass(s: Statement) -> str:
    options = s.get("options", "")
    lines = [f"@dataclasses.dataclass{options}\nclass {s.name}:\n"]
    lines += [f"    {name}: {type_} = {value}\n" for name, type_, value in s.get("fields")]
    return "".join(lines) + f"    def total(self):\n        return ({s.get('returns')}, {s.get('fields')[0][0]!r})\n"


def _enum(s: Statement) -> str:
    lines = [f"class {s.name}(enum.Enum):\n"] + [f"    {name} = {value}\n" for name, value in s.get("members")]
    return "".join(lines) + f"    def label(self):\n        return ({s.get('returns')}, self.name)\n"


def _slotted(s: Statement) -> str:
    names = s.get("slots")
    lines = [f"class {s.name}:\n    __slots__ = {tuple(names)!r}\n    def __init__(self):\n"]
    lines += [f"        self.{name} = {i}\n" for i, name in enumerate(names)] or ["        pass\n"]
    return "".join(lines) + f"    def look(self):\n        return ({s.get('returns')}, 'slotted')\n"


def _import(s: Statement) -> str:
    return f"{s.get('line')}\n"


def _comment(s: Statement) -> str:
    return f"# {s.name}\n\n"


_RENDER: dict[str, Callable[[Statement], str]] = {
    "constant": _constant,
    "derived": _derived,
    "display": _display,
    "function": _function,
    "decorator": _decorator,
    "factory": _factory,
    "made": _made,
    "class": _class,
    "dataclass": _dataclass,
    "enum": _enum,
    "slotted": _slotted,
    "table": _display,
    "import": _import,
    "comment": _comment,
}
HEAD = "import dataclasses, enum, functools\n"
FORMS = ("{0}", "({0}, 1)", "str({0})", "f'<{{{0}}}>'", "[{0}, 2][0]", "({0} if {0} else 'no')", "repr({0}).upper()")
_VALUES = ("constant", "derived")
_DEFINITIONS = ("function", "class", "dataclass", "enum", "slotted")
_KINDS = (*_VALUES, *_DEFINITIONS, "display", "function", "class", "table")
ARGUMENTS = ("x=1", "x, y=2", "x=3, *, k='kw'", "x=(), *rest, **named", "x=None, /, y=5", "x='d', y: int = 0")


@dataclasses.dataclass
class Program:
    """Two modules, `b` importing from `a`, as statements."""

    a: list[Statement]
    b: list[Statement]

    def files(self) -> dict[str, str | None]:
        return {f"{name}.py": HEAD + "".join(s.text() for s in getattr(self, name)) for name in ("a", "b")}

    def without(self, module: str, name: str, kind: str) -> "Program":
        copy = Program(list(self.a), list(self.b))
        setattr(copy, module, [s for s in getattr(copy, module) if (s.name, s.kind) != (name, kind)])
        return copy

    def edited(self, rng: random.Random) -> "Program":
        """One to three random edits; the result need not import."""
        copy = Program(list(self.a), list(self.b))
        for _ in range(rng.choice((1, 1, 2, 3))):
            module = rng.choice("ab")
            statements = getattr(copy, module)
            act = rng.random()
            if act > 0.97:  # a name comes to mean something else
                i = rng.randrange(len(statements))
                kinds = next((kinds for kinds in (_DEFINITIONS, _VALUES) if statements[i].kind in kinds), ())
                if kinds:
                    other = _changed(rng, copy, module, _statement(rng.choice(kinds), statements[i].name), i)
                    statements[i] = other if other.choices else statements[i]
                continue
            if act < 0.25 or len(statements) < 4:
                statements.insert(rng.randrange(len(statements) // 2, len(statements) + 1), _new(rng, copy, module))
            elif act < 0.35:
                del statements[rng.randrange(len(statements))]
            elif act < 0.42:
                i = rng.randrange(len(statements) - 1)
                statements[i], statements[i + 1] = statements[i + 1], statements[i]
            else:
                i = rng.randrange(len(statements))
                statements[i] = _changed(rng, copy, module, statements[i], i)
        return copy


def made(rng: random.Random) -> Program:
    program = Program([], [])
    program.b.append(_statement("import", "imports", line="import a"))
    for _ in range(rng.randrange(6, 12)):
        program.a.append(_new(rng, program, "a"))
    for _ in range(rng.randrange(4, 9)):
        program.b.append(_new(rng, program, "b"))
    return program


def _statement(kind: str, name: str, **choices: Any) -> Statement:
    return Statement(kind, name, tuple(sorted(choices.items())))


def _names(program: Program, module: str, *kinds: str, until: int | None = None) -> list[str]:
    """Names of these kinds that a new statement of the module can use."""
    own = [s.name for s in getattr(program, module)[:until] if s.kind in kinds]
    if module == "b":
        own += [f"a.{s.name}" for s in program.a if s.kind in kinds]
    return own


def _expression(rng: random.Random, program: Program, module: str) -> str:
    """A value that a body may return; it may name what is defined later, or nowhere any more."""
    names = _names(program, module, "constant", "derived")
    calls = _names(program, module, "function", "made")
    pick = rng.random()
    if pick < 0.3 and names:
        return rng.choice(names)
    if pick < 0.45 and calls:
        return f"{rng.choice(calls)}.__name__"
    if pick < 0.55:
        return "[i for i in range(3)]"
    if pick < 0.65:
        return "(lambda q: (q, 'lam'))(1)"
    return rng.choice(PLAIN)


def _methods(rng: random.Random, program: Program, module: str) -> tuple[tuple[str, str, str, bool], ...]:
    picked = rng.sample(("run", "look", "say", "size", "__call__", "__len__"), rng.randrange(1, 4))
    return tuple(_method(rng, program, module, name) for name in picked)


def _method(rng: random.Random, program: Program, module: str, name: str) -> tuple[str, str, str, bool]:
    if name == "__len__":
        return name, "method", str(rng.randrange(5)), False
    if name == "__call__":
        return name, "method", _expression(rng, program, module), False
    kind = {"size": "property"}.get(name) or rng.choice(("method", "method", "static", "class"))
    return name, kind, _expression(rng, program, module), rng.random() < 0.4


def _attributes(rng: random.Random, program: Program, module: str, until: int | None) -> tuple[tuple[str, str], ...]:
    names = _names(program, module, "constant", "derived", until=until)
    values = [*PLAIN, *names, *names, *_names(program, module, "function", until=until)[:2]]
    return tuple((name, rng.choice(values)) for name in rng.sample(("level", "colour", "rank"), rng.randrange(3)))


def _new(rng: random.Random, program: Program, module: str) -> Statement:
    taken = {s.name for s in [*program.a, *program.b]}
    fresh = next(
        n for n in (f"{{}}_{rng.randrange(100)}" for _ in range(1000)) if not any(t.endswith(n[2:]) for t in taken)
    )
    kind = rng.choice((*_KINDS, *_KINDS, "decorator", "factory", "made", "import", "comment"))
    name = fresh.format("C" if kind in {"class", "dataclass", "enum", "slotted"} else kind[0])
    if kind == "import":
        if module == "a":
            return _statement("import", name, line=f"from os.path import join as {name}")
        offered = [s.name for s in program.a if s.kind not in {"import", "comment"}]
        wanted = ", ".join(rng.sample(offered, min(len(offered), rng.randrange(1, 4)))) or "__name__ as nothing"
        return _statement("import", name, line=rng.choice((f"from a import {wanted}", f"import a as {name}")))
    return _changed(rng, program, module, _statement(kind, name), len(getattr(program, module)))


def _changed(rng: random.Random, program: Program, module: str, old: Statement, at: int) -> Statement:
    """The statement with other choices: all of them for a bare one, else one of them."""
    options = _options(rng, program, module, old, at)
    if not options:
        return _statement("constant", old.name, value=rng.choice(PLAIN)) if not old.choices else old
    if not old.choices:
        return old.having(**{key: make() for key, make in options.items()})
    key = rng.choice(sorted(options))
    return old.having(**{key: options[key]()})


def _options(
    rng: random.Random, program: Program, module: str, old: Statement, at: int
) -> dict[str, Callable[[], Any]]:
    def value() -> str:
        return _expression(rng, program, module)

    def earlier(*kinds: str) -> list[str]:
        return _names(program, module, *kinds, until=at)

    match old.kind:
        case "constant":
            return {"value": lambda: rng.choice(PLAIN)}
        case "derived":
            sources = earlier("constant", "derived")
            return {"of": lambda: rng.choice(sources), "form": lambda: rng.choice(FORMS)} if sources else {}
        case "display":
            return {"value": lambda: _literal(rng)}
        case "table":
            known = earlier("function")
            return {"value": lambda: _table(rng, known)} if known else {}
        case "slotted":
            return {
                "slots": lambda: tuple(rng.sample(("p", "q", "r", "s"), rng.randrange(5))),
                "returns": value,
            }
        case "function":
            defaults = [a.replace("=1", f"={n}") for a in ARGUMENTS for n in earlier("constant", "derived")[:2]]
            tags = earlier("decorator")
            return {
                "arguments": lambda: rng.choice([*ARGUMENTS, *defaults]),
                "returns": value,
                "nested": lambda: value() if rng.random() < 0.3 else "",
                "flavour": lambda: rng.choice(("plain", "plain", "plain", "generator", "async")),
                "decorators": lambda: tuple(rng.sample(tags, min(len(tags), rng.choice((0, 0, 1, 2))))),
                "doc": lambda: rng.choice(("", "", "some words", "other words")),
                "arrow": lambda: rng.choice(("", "", " -> int", " -> 'Later'")),
            }
        case "decorator":
            return {
                "tag": lambda: repr(f"t{rng.randrange(9)}"),
                **({} if old.choices else {"wraps": lambda: rng.random() < 0.7}),
            }
        case "factory":
            return {"returns": value}
        case "made":
            makers = earlier("factory")
            if old.choices:
                return {"value": lambda: rng.choice(PLAIN)}
            return {"of": lambda: rng.choice(makers), "value": lambda: rng.choice(PLAIN)} if makers else {}
        case "class":
            bases = [n for n in earlier("class") if n != old.name]
            return {
                "bases": lambda: tuple(rng.sample(bases, min(len(bases), rng.choice((0, 0, 1, 1, 2))))),
                "attributes": lambda: _attributes(rng, program, module, at),
                "methods": lambda: _methods(rng, program, module),
            }
        case "dataclass":
            return {
                "fields": lambda: tuple(
                    (name, "int", rng.choice(PLAIN)) for name in rng.sample("uvwxyz", rng.randrange(1, 4))
                ),
                "options": lambda: rng.choice(("", "", "(order=True)", "(frozen=True)", "(repr=False)")),
                "returns": value,
            }
        case "enum":
            return {
                "members": lambda: tuple(
                    (name, str(i * 10 + rng.randrange(9)))
                    for i, name in enumerate(rng.sample(("RED", "BLUE", "GREEN", "GREY"), rng.randrange(1, 5)))
                ),
                "returns": value,
            }
    return {}


def _table(rng: random.Random, known: list[str]) -> str:
    return "{" + ", ".join(f"{k!r}: {rng.choice(known)}" for k in rng.sample("klmn", rng.randrange(1, 4))) + "}"


def _literal(rng: random.Random) -> str:
    keys = rng.sample("abcdef", rng.randrange(5))
    match rng.randrange(3):
        case 0:
            return "{" + ", ".join(f"{k!r}: {rng.choice(PLAIN)}" for k in keys) + "}"
        case 1:
            return "[" + ", ".join(repr(k) for k in keys) + "]"
        case _:
            return "{" + ", ".join(repr(k) for k in keys) + "}" if keys else "set()"


# -- what can be seen


def observe(module: types.ModuleType) -> dict[str, Any]:
    """Everything public that the module offers, as plain data that two processes' modules can be compared by."""
    seen = {name: describe(value) for name, value in vars(module).items() if not name.startswith("__")}
    return {**seen, "__annotations__": repr(vars(module).get("__annotations__")), "__doc__": module.__doc__}


def describe(value: Any, depth: int = 3) -> Any:
    """One value: data by its repr, a function by its calls, a class by its members, an instance by both."""
    if isinstance(value, types.ModuleType):
        return "module", value.__name__
    if inspect.iscoroutine(value):
        value.close()
        return "coroutine", value.__name__
    if inspect.isgenerator(value):
        return "generator", value.__name__
    if isinstance(value, type):
        return _class_seen(value, depth) if value.__module__ in {"a", "b"} else ("type", value.__qualname__)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [describe(v, depth) for v in value]
    if isinstance(value, dict):
        return "dict", sorted((repr(k), describe(v, depth)) for k, v in value.items())
    if isinstance(value, (set, frozenset)):
        return "set", sorted(map(repr, value))
    if isinstance(value, types.FunctionType):
        return _function_seen(value, depth) if value.__module__ in {"a", "b"} else ("function", value.__qualname__)
    if type(value).__module__ in {"a", "b"}:
        return _instance_seen(value, depth)
    return repr(value)


def _function_seen(function: types.FunctionType, depth: int) -> Any:
    if depth <= 0:
        return "function", function.__name__
    facts = (
        str(inspect.signature(function)),
        function.__doc__,
        function.__name__,
        sorted((k, repr(v)) for k, v in function.__annotations__.items()),
        inspect.iscoroutinefunction(function),
    )
    return "function", facts, [_called(function, arguments, depth) for arguments in ((), (7,), (8, 9))]


def _called(call: Callable[..., Any], arguments: tuple[Any, ...], depth: int) -> Any:
    try:
        result = call(*arguments)
        if inspect.iscoroutine(result):
            try:
                result.send(None)
            except StopIteration as stop:
                return "awaited", describe(stop.value, depth - 1)
        if inspect.isgenerator(result):
            return "yielded", describe(list(result), depth - 1)
        return describe(result, depth - 1)
    except Exception as error:
        # Python's own advice ("Did you mean") depends on everything in sight; the type is what a caller acts on.
        return "raised", type(error).__name__


def _class_seen(cls: type, depth: int) -> Any:
    if depth <= 0:
        return "class", cls.__qualname__
    own = {
        name: describe(_plain(value), depth - 1)
        for name, value in vars(cls).items()
        if not name.startswith("_") or name in {"__doc__", "__len__", "__call__"}
    }
    own["__annotations__"] = repr(vars(cls).get("__annotations__") or None)  # an empty one comes of being asked for
    facts = [c.__qualname__ for c in cls.__mro__], [c.__qualname__ for c in cls.__bases__], type(cls).__name__
    if isinstance(cls, enum.EnumMeta):
        members = [(m.name, repr(m.value), _called(m.label, (), depth)) for m in cls]  # type: ignore[attr-defined]  # ours
        return "enum", facts, members
    try:
        instance = cls()
    except Exception as error:
        return "class", facts, own, type(error).__name__
    return "class", facts, own, _instance_seen(instance, depth)


def _plain(value: Any) -> Any:
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _instance_seen(value: Any, depth: int) -> Any:
    if isinstance(value, enum.Enum):
        return "member", value.name, repr(value.value)
    if depth <= 0:
        return "instance", type(value).__qualname__
    state = sorted((k, describe(v, depth - 1)) for k, v in getattr(value, "__dict__", {}).items())
    state += [(k, describe(getattr(value, k, "unset"), 1)) for k in getattr(type(value), "__slots__", ())]
    calls = []
    for name in ("run", "look", "say", "size", "level", "colour", "rank", "total", "__call__", "__len__"):
        found = _called(lambda name=name: getattr(value, name), (), 1)
        calls.append((name, _called(getattr(value, name), (), depth) if _callable(value, name) else found))
    shown = repr(value) if dataclasses.is_dataclass(value) else ""
    return "instance", type(value).__qualname__, state, calls, shown if " object at " not in shown else ""


def _callable(value: Any, name: str) -> bool:
    try:
        return callable(getattr(value, name))
    except Exception:
        return False


def freshly(files: dict[str, str | None]) -> dict[str, dict[str, Any]]:
    """What a new process would see; the modules made for it are dropped again.

    Raises: whatever importing them raises.
    """
    kept = {name: sys.modules.pop(name) for name in ("a", "b") if name in sys.modules}
    try:
        seen = {}
        for name in ("a", "b"):
            module = types.ModuleType(name)
            module.__file__ = f"{name}.py"
            sys.modules[name] = module
            exec(compile(str(files[f"{name}.py"]), f"{name}.py", "exec"), vars(module))
        for name in ("a", "b"):
            seen[name] = observe(sys.modules[name])
        return seen
    finally:
        for name in ("a", "b"):
            sys.modules.pop(name, None)
        sys.modules.update(kept)


def differences(seen: Any, expected: Any, path: str = "") -> Iterator[str]:
    """Where two descriptions part, as short lines."""
    if isinstance(seen, dict) and isinstance(expected, dict):
        for key in sorted({*seen, *expected}):
            if key not in seen or key not in expected:
                yield f"{path}.{key}: {'missing' if key not in seen else 'should be gone'}"
            else:
                yield from differences(seen[key], expected[key], f"{path}.{key}")
    elif isinstance(seen, (list, tuple)) and isinstance(expected, (list, tuple)) and len(seen) == len(expected):
        for index, (one, other) in enumerate(zip(seen, expected, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif seen != expected:
        yield f"{path}: {seen!r} instead of {expected!r}"
