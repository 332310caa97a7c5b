"""Names, masks and modes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midair.services.irc import modes
from midair.services.irc.modes import Change
from midair.services.irc.names import (
    address_matches,
    clean_user,
    clip,
    fold,
    full_mask,
    matches,
    printable,
    valid_channel,
    valid_host,
    valid_nick,
)


def test_braces_are_small_brackets():
    assert fold("Ann[]\\^") == fold("aNN{}|~")
    assert fold("Ä") == "Ä"


@pytest.mark.parametrize("name", ["a", "Ann", "[x]", "a-1", "`^{}|\\", "a" * 30])
def test_good_nicknames(name):
    assert valid_nick(name)


@pytest.mark.parametrize("name", ["", "1a", "-a", "a b", "a!b", "a@b", "é", "#a", "*", "a" * 31, "a.b", ":a", "a,b"])
def test_bad_nicknames(name):
    assert not valid_nick(name)


@pytest.mark.parametrize("name", ["#a", "&a", "##", "#é", "#" + "a" * 63])
def test_good_channels(name):
    assert valid_channel(name)


@pytest.mark.parametrize(
    "name", ["", "#", "a", "#a b", "#a,b", "#a:b", "#a\x07", "#a*", "#" + "a" * 64, "#" + "é" * 32]
)
def test_bad_channels(name):
    assert not valid_channel(name)


@pytest.mark.parametrize(
    ("mask", "text", "yes"),
    [
        ("*", "", True),
        ("*", "x", True),
        ("a*b", "ab", True),
        ("a*b", "axxb", True),
        ("a*b", "axxbc", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*x*y*", "1x2y3", True),
        ("**a", "a", True),
        ("[a]", "{A}", True),
        ("", "", True),
        ("", "a", False),
        ("a", "", False),
    ],
)
def test_masks(mask, text, yes):
    assert matches(mask, text) is yes


def test_a_hostile_mask_takes_no_time_to_speak_of():
    assert not matches("*a" * 40 + "b", "a" * 400)


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_masks_agree_with_the_standard_library(mask, text):
    import fnmatch

    assert matches(mask, text) == fnmatch.fnmatchcase(text, mask)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("ann", "ann!*@*"),
        ("*@host", "*!*@host"),
        ("ann!u", "ann!u@*"),
        ("a!b@c", "a!b@c"),
        ("1.2.3.4", "*!*@1.2.3.4"),
        ("!@", "*!*@*"),
        ("host.example", "*!*@host.example"),
    ],
)
def test_short_masks_are_completed(short, full):
    assert full_mask(short) == full


def test_addresses_match_networks_and_masks():
    assert address_matches("10.0.0.0/8", "10.2.3.4")
    assert not address_matches("10.0.0.0/8", "11.2.3.4")
    assert address_matches("10.*", "10.2.3.4")
    assert address_matches("2001:db8::/32", "2001:db8::1")
    assert not address_matches("10.0.0.0/8", "2001:db8::1")
    assert not address_matches("nonsense/8", "10.0.0.1")


def test_usernames_lose_what_could_confuse():
    assert clean_user("a!b@c d\x1b[31m") == "abcd31m"
    assert clean_user("@!") == ""


def test_hosts_are_hosts():
    assert valid_host("user/ann")
    assert not valid_host("a b")
    assert not valid_host("-a")


def test_what_goes_to_a_log_cannot_paint_a_terminal():
    assert printable("a\x1b[31m\r\nb\x9b") == "a\\x1b[31m\\x0d\\x0ab\\x9b"


def test_clipping_leaves_whole_characters():
    assert clip("ééé", 5) == "éé"
    assert clip("abc", 5) == "abc"


# --- modes


def test_a_mode_line_is_taken_apart():
    changes = list(modes.parse_changes("+ov-lk+b", ["ann", "bob", "key"]))
    assert changes == [
        Change(True, "o", "ann"),
        Change(True, "v", "bob"),
        Change(False, "l"),
        Change(False, "k", "key"),
        Change(True, "b"),
    ]


def test_a_mode_line_is_put_together():
    done = [Change(True, "o", "ann"), Change(True, "n"), Change(False, "l"), Change(False, "b", "x!*@*")]
    assert modes.format_changes(done) == ["+on-lb", "ann", "x!*@*"]


def test_of_one_user_mode_twice_the_last_counts():
    assert [(c.add, c.mode) for c in modes.parse_user_changes("+i-i+w")] == [(False, "i"), (True, "w")]


def test_members_show_their_highest_sign_or_all():
    held = modes.with_mode("v", "o", add=True)
    assert held == "ov"
    assert modes.signs(held, every=False) == "@"
    assert modes.signs(held, every=True) == "@+"
    assert modes.with_mode(held, "o", add=False) == "v"
    assert modes.signs("", every=True) == ""


@given(st.text("+-bovlkimnstIeqah!x", max_size=20), st.lists(st.text("ab", max_size=3), max_size=6))
def test_any_mode_line_parses(letters, params):
    changes = list(modes.parse_changes(letters, params))
    assert len(changes) == sum(letter not in "+-" for letter in letters)
