"""Showing and completing: bounded, and without touching what is shown."""

import re
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from midair.console.complete import MAX_ENTRIES, StaticCompleter, static_dir
from midair.console.display import MAX_TEXT, Facts, Table, Text, Tree, children, folded, safe, shown, summary
from midair.runtime.space import Space

touched: list[str] = []


class Shy:
    """Notices whenever somebody runs any of its code."""

    kind = "shy"
    __slots__ = ("__dict__", "slot")

    def __init__(self) -> None:
        self.plain = 1

    @property
    def balance(self) -> int:
        touched.append("property")
        return 1

    def __getattr__(self, name: str) -> Any:
        touched.append(f"getattr {name}")
        raise AttributeError(name)

    def __getitem__(self, key: Any) -> Any:
        touched.append("getitem")
        return 1

    def __len__(self) -> int:
        touched.append("len")
        return 1

    def __iter__(self) -> Any:
        touched.append("iter")
        return iter(())

    def __dir__(self) -> Any:
        touched.append("dir")
        return []

    def __repr__(self) -> str:
        touched.append("repr")
        return "shy"

    def __eq__(self, other: object) -> bool:
        touched.append("eq")
        return self is other

    __hash__ = None  # type: ignore[assignment]  # a value that cannot be hashed


@pytest.fixture(autouse=True)
def _untouched() -> Any:
    touched.clear()
    yield
    assert touched == []


def completer(**names: Any) -> StaticCompleter:
    space = Space()
    space["chat"] = {"hall": 1, "it's": 2}
    world = {"space": space, "chat": space["chat"]}

    def look_up(name: str) -> Any:
        return world[name]

    return StaticCompleter(names, lambda: list(world), look_up)


def completions(text: str, **names: Any) -> list[str]:
    return [c.text for c in completer(**names).get_completions(Document(text), CompleteEvent())]


def test_completing_an_object_runs_none_of_its_code() -> None:
    shy = Shy()
    assert {"balance", "plain", "kind", "slot"} <= set(completions("shy.", shy=shy))
    assert completions("shy.balance.", shy=shy) == []
    assert completions("shy.bal", shy=shy) == ["balance"]
    assert completions("shy[", shy=shy) == []
    assert completions("shy['", shy=shy) == []
    assert completions("f().", f=lambda: touched.append("called")) == []
    assert completions("sh", shy=shy) == ["shy"]


def test_names_attributes_keys_and_modules_are_completed() -> None:
    assert completions("spa") == ["space"]
    assert "len" in completions("le")
    assert completions("wor", world=1) == ["world"]
    assert completions("x = wor", world=1) == ["world"]
    assert completions("chat['") == ["hall"]
    assert completions('chat["') == ["hall", "it's"]
    assert completions("space['ch") == ["chat"]
    assert completions("import collect") == ["collections"]
    assert "path" in completions("os.pa", os=__import__("os"))
    assert completions("'in a str", a=1) == []
    assert completions("# in a comment spa") == []
    assert completions("_", _hidden=1, visible=1)[0] == "_hidden"


def test_completion_is_bounded_in_entries() -> None:
    many = {f"n{number}": number for number in range(20_000)}
    assert len(completions("n", **many)) == MAX_ENTRIES


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("shy.['\"]()_ =\\#"), max_size=12))
def test_nothing_that_is_typed_runs_code_by_completion(text: str) -> None:
    completions(text, shy=Shy(), s=[Shy()], h={"y": Shy()})
    assert touched == []


def test_the_tree_of_a_space_touches_nothing_in_it() -> None:
    space = Space()
    space["shy"] = Shy()
    space["rooms"] = {"hall": [Shy(), "bell"], 3: Shy}
    tree = Tree(space, "space", depth=3)
    assert tree.text(80).splitlines() == [
        "space  midair.runtime.space.Space",
        f"  ['shy']  {Shy.__module__}.Shy",
        "    .plain  1",
        "  ['rooms']  dict of 2",
        "    ['hall']  list of 2",
        f"      [0]  {Shy.__module__}.Shy",
        "      [1]  'bell'",
        f"    [3]  class {Shy.__module__}.Shy",
    ]
    assert all(len(line) <= 20 for line in tree.text(20).splitlines())
    assert re.sub(r"\x1b\[\d+m", "", tree.rich(80)) == tree.text(80)


def test_a_large_tree_is_cut() -> None:
    assert len(Tree(list(range(10_000)), "x", depth=1, entries=50).text(80).splitlines()) == 51


def test_a_tree_that_holds_itself_ends() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert len(Tree(ring, "ring", depth=50).text(80).splitlines()) == 2


@pytest.mark.parametrize(
    "value",
    [
        1,
        "x",
        b"x",
        None,
        (),
        (1,),
        (1, 2),
        [],
        [1, "a"],
        {},
        {"a": [1]},
        set(),
        {1},
        frozenset(),
        frozenset({1}),
        deque(),
        deque([1]),
        1.5,
    ],
)
def test_small_values_are_shown_as_python_does(value: object) -> None:
    assert shown(value) == repr(value)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4) | st.tuples(inner, inner)
    ),
    max_leaves=15,
)


@settings(max_examples=200, deadline=None)
@given(json_like)
def test_any_small_value_is_shown_as_python_does(value: object) -> None:
    assert shown(value) == repr(value)


def test_large_values_are_cut_and_say_how_much_is_missing() -> None:
    assert shown(list(range(100_000))).endswith("999, … 99000 more]")
    assert shown("x" * 50_000).endswith("… [40000 more]")
    assert shown(1 << 1_000_000) == "<int of 1000001 bits>"
    nested: list[Any] = []
    for _ in range(100):
        nested = [nested]
    assert "<list of 1>" in shown(nested)
    assert len(shown([["x" * 9_000] * 100] * 100)) < 2 * MAX_TEXT
    ring: list[Any] = [1]
    ring.append(ring)
    assert shown(ring) == "[1, [...]]"


def test_a_table_fits_its_width_and_has_three_forms() -> None:
    table = Table(("name", "size"), [("hall", 3), ("a very long name that has to give way", 12345)])
    assert table.text(80).splitlines()[1] == "hall                                       3"
    assert all(len(line) <= 24 for line in table.text(24).splitlines())
    assert "12345" in table.text(24)
    assert table.json()[0] == {"name": "hall", "size": 3}
    assert table[0]["size"] == 3
    assert len(table[:1]) == 1
    assert table.rich(80).startswith("\x1b[1m")
    assert Table(("a",), [], empty="no such thing").text(80) == "no such thing"


def test_facts_are_one_a_line() -> None:
    facts = Facts({"file": None, "held": ["a", "b"], "services": {"chat": ["127.0.0.1:1"]}})
    assert facts.text(80) == "file      -\nheld      a; b\nservices  chat 127.0.0.1:1"


def test_what_a_stranger_wrote_cannot_act_on_a_terminal() -> None:
    assert safe("a\x1b[2Jb\x1b]0;title\x07\x9b3m\x08") == "a\\x1b[2Jb\\x1b]0;title\\x07\\x9b3m\\x08"
    assert safe("\x1b[1;31mred\x1b[0m\ttab\n") == "\x1b[1;31mred\x1b[0m\ttab\n"
    assert summary("\x1b[2J") == "'\\x1b[2J'"
    assert "\x1b" not in Table(("name",), [("\x1b[2J",)]).text(80)
    assert Text("x").json() == "x"


def test_children_and_attributes_are_found_without_asking_the_object() -> None:
    assert list(children(Shy())) == [(".plain", 1)]
    assert {"plain", "balance", "kind", "slot"} <= static_dir(Shy())
    assert {"balance", "kind"} <= static_dir(Shy)


def test_a_table_that_wraps_keeps_every_word() -> None:
    cure = "rebuild('game.world') makes it live; saving another text does too"
    row = ("game/world.py", "overridden from memory by edit 12", cure)
    table = Table(("file", "why it does not run", "cure"), [row], wrap=True)
    lines = table.text(80).splitlines()
    assert max(map(len, lines)) <= 80
    start = lines[0].index("cure")
    assert " ".join(line[start:].strip() for line in lines[1:]) == cure
    assert table[:1].text(80) == table.text(80)


def test_sentences_are_broken_between_words_and_code_is_not() -> None:
    text = "a sentence that is longer than this screen\n    code = 'that is longer than this screen'\n! a warning that is longer\n"
    assert folded(text, 22) == (
        "a sentence that is\nlonger than this\nscreen\n"
        "    code = 'that is longer than this screen'\n"
        "! a warning that is\n!   longer\n"
    )
    path = "/a/path/without/any/blank/in/it.py"
    assert folded(path, 22) == path
