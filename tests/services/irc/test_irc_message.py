"""Lines in and out: what parses, what is refused, what is never sent."""

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midair.services.irc.message import (
    MAX_BODY,
    BadLine,
    format_line,
    format_tags,
    parse,
    parse_tags,
    unescape,
)


def test_a_line_is_taken_apart():
    message = parse(b"@a=b;+c=d\\:e;f :nick!user@host PRIVMSG  #chan :hello :there ")
    assert message.tags == {"a": "b", "+c": "d;e", "f": ""}
    assert message.source == "nick!user@host"
    assert message.command == "PRIVMSG"
    assert message.params == ["#chan", "hello :there "]


@pytest.mark.parametrize(
    ("line", "params"),
    [
        (b"PING", []),
        (b"ping x", ["x"]),
        (b"PING :", [""]),
        (b"PING :x", ["x"]),
        (b"PING a b  c", ["a", "b", "c"]),
        (b"  PING a  ", ["a"]),
        (b"PING a:b :c", ["a:b", "c"]),
        (b"PING a : b", ["a", " b"]),
        (b"PING ::", [":"]),
    ],
)
def test_spaces_and_colons_divide_as_the_grammar_says(line, params):
    message = parse(line)
    assert (message.command, message.params) == ("PING", params)


@pytest.mark.parametrize("line", [b"", b" ", b":source", b":source ", b"@tag", b"@tag ", b"@t :s "])
def test_a_line_without_a_command_is_nothing(line):
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "kind", "command"),
    [
        (b"PRIVMSG #c :" + b"x" * 500, "too-long", "PRIVMSG"),
        (b"@" + b"a" * 4095 + b" PRIVMSG #c :x", "too-long", "PRIVMSG"),
        (b"PRIVMSG #c :\xff", "not-utf8", "PRIVMSG"),
        (b"@a=\xff PRIVMSG #c :x", "not-utf8", "PRIVMSG"),
        (b"\xff\xfe", "not-utf8", "*"),
        (b"PRIVMSG #c :a\0b", "bad-character", "PRIVMSG"),
        (b"PRIVMSG #c :a\rb", "bad-character", "PRIVMSG"),
    ],
)
def test_what_cannot_be_a_message_is_refused_by_name(line, kind, command):
    with pytest.raises(BadLine) as refused:
        parse(line)
    assert (refused.value.kind, refused.value.command) == (kind, command)


def test_a_line_and_its_tags_may_be_as_long_as_the_limits():
    assert parse(b"@" + b"a" * 4094 + b" " + b"PING " + b"x" * (MAX_BODY - 5)).command == "PING"


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [(r"a\:b\sc\\d\re\nf", "a;b c\\d\re\nf"), ("a\\", "a"), (r"\b", "b"), (r"\\\\", r"\\"), (r"\\:", r"\:"), ("", "")],
)
def test_tag_values_are_unescaped(escaped, plain):
    assert unescape(escaped) == plain


@given(st.text())
def test_a_tag_value_comes_back_as_it_was(value):
    text = format_tags({"k": value})
    assert parse_tags(text[1:-1])["k"] == value


def test_the_last_of_repeated_tags_wins():
    assert parse_tags("a=1;a=2;;=3") == {"a": "2"}


@given(st.binary(max_size=600))
@example(b"@;;;=== :: ::")
def test_no_bytes_break_the_parser(line):
    try:
        message = parse(line)
    except BadLine:
        return
    if message is not None:
        assert message.command
        assert all("\0" not in param and "\r" not in param for param in message.params)


def test_good_lines_cut_anywhere_parse_or_are_refused_as_not_utf8():
    good = "@label=1;+x=é\\s :n!u@h PRIVMSG #chän :höllo wörld".encode()
    refused = set()
    for end in range(len(good) + 1):
        try:
            parse(good[:end])
        except BadLine as bad:
            refused.add(bad.kind)
    assert refused == {"not-utf8"}


_WORD = st.text(st.characters(blacklist_characters="\r\n\0 ", blacklist_categories=["Cs"]), min_size=1).filter(
    lambda word: word[0] != ":"
)


@given(st.lists(_WORD, max_size=5), st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"])))
def test_what_is_formatted_parses_to_the_same(middle, last):
    line = format_line("server", "CMD", [*middle, last])
    if len(line.encode()) < MAX_BODY:
        message = parse(line.encode())
        assert message.params == [*middle, last]


def test_the_text_gets_a_colon_even_when_it_needs_none():
    assert format_line("s", "PRIVMSG", ("#c",), "hi") == ":s PRIVMSG #c :hi"
    assert format_line("", "PING", ("x",)) == "PING x"
    assert format_line("s", "X", ("",)) == ":s X :"


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b"])
def test_nobody_injects_a_second_line(bad):
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        format_line("s", "PRIVMSG", ("#c",), bad)


@pytest.mark.parametrize("bad", ["", "a b", ":a"])
def test_a_middle_parameter_cannot_become_two(bad):
    with pytest.raises(ValueError, match="can only stand last"):
        format_line("s", "PRIVMSG", (bad,), "text")


def test_a_long_line_is_cut_between_characters():
    line = format_line("s", "PRIVMSG", ("#c",), "é" * 400)
    raw = line.encode()
    assert MAX_BODY - 1 <= len(raw) <= MAX_BODY
    assert line.endswith("é")


def test_random_noise_never_makes_a_line_longer_than_the_limit():
    random.seed(7)
    for _ in range(200):
        text = "".join(chr(random.choice([97, 233, 0x1F603])) for _ in range(random.randrange(600)))
        assert len(format_line("server.name", "NOTICE", ("nick",), text).encode()) <= MAX_BODY
