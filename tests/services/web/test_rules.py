"""The rules of HTTP, one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midair.services.web import rules


def test_a_path_is_decoded_part_by_part():
    assert rules.segments(b"/") == [""]
    assert rules.segments(b"/a/b.html") == ["a", "b.html"]
    assert rules.segments(b"/a%20b/%C3%A9/") == ["a b", "é", ""]
    assert rules.segments(b"/a%2Fb") == ["a/b"]
    assert rules.segments(b"/.well-known/x") == [".well-known", "x"]
    assert rules.segments(b"/...") == ["..."]


@pytest.mark.parametrize(
    "path",
    [
        b"/..",
        b"/../etc/passwd",
        b"/a/../b",
        b"/a/./b",
        b"/%2e%2e/x",
        b"/%2E./x",
        b"/.%2e/x",
        b"/..%2fetc",
        b"/a%2f..%2fb",
        b"/%c0%ae%c0%ae/x",
        b"/%ff",
        b"/a%00b",
        b"/a\x00b",
        b"etc",
        b"*",
    ],
)
def test_dot_segments_are_refused_however_they_are_written(path):
    with pytest.raises(rules.BadPath):
        rules.segments(path)


def test_a_doubly_encoded_dot_is_only_a_name():
    assert rules.segments(b"/%252e%252e") == ["%2e%2e"]


@given(st.binary(max_size=60))
def test_no_path_yields_a_dot_segment(raw):
    try:
        parts = rules.segments(b"/" + raw)
    except rules.BadPath:
        return
    assert not {".", ".."} & {piece for part in parts for piece in part.split("/")}
    assert not any("\0" in part for part in parts)


def test_a_target_with_scheme_and_host_is_its_path():
    assert rules.path_of_target(b"http://h:80/a/b") == b"/a/b"
    assert rules.path_of_target(b"http://h") == b"/"
    assert rules.path_of_target(b"/a://b") == b"/a://b"


def test_preconditions_follow_their_order():
    def check(method="GET", **headers):
        return rules.precondition(method, {k.replace("_", "-").encode(): v for k, v in headers.items()}, b'"x"', 1000.4)

    before, at = rules.http_date(999), rules.http_date(1000)
    assert check() == 200
    assert check(if_none_match=b'"x"') == 304
    assert check(if_none_match=b'"y", W/"x"') == 304
    assert check(if_none_match=b"*") == 304
    assert check(if_none_match=b'"y"') == 200
    assert check("PUT", if_none_match=b'"x"') == 412
    assert check(if_modified_since=at) == 304
    assert check(if_modified_since=before) == 200
    assert check(if_modified_since=b"yesterday") == 200
    assert check("POST", if_modified_since=at) == 200
    assert check(if_none_match=b'"y"', if_modified_since=at) == 200, "a tag wins over a date"
    assert check(if_match=b'"x"') == 200
    assert check(if_match=b'W/"x"') == 412
    assert check(if_match=b'"y"') == 412
    assert check(if_unmodified_since=before) == 412
    assert check(if_unmodified_since=at) == 200
    assert check(if_match=b'"x"', if_unmodified_since=before) == 200


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        (b"bytes=0-0", [(0, 1)]),
        (b"bytes=10-20", [(10, 21)]),
        (b"bytes=90-", [(90, 100)]),
        (b"bytes=90-1000", [(90, 100)]),
        (b"bytes=-10", [(90, 100)]),
        (b"bytes=-1000", [(0, 100)]),
        (b"bytes=0-1, 4-5", [(0, 2), (4, 6)]),
        (b"bytes=100-", []),
        (b"bytes=-0", []),
        (b"bytes=200-300,400-500", []),
        (b"bytes=5-4", None),
        (b"bytes=-", None),
        (b"bytes=a-b", None),
        (b"bytes 1-2", None),
        (b"lines=1-2", None),
        (b"bytes=0-5,3-9", None),
        (b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(0, 60, 2)), None),
    ],
)
def test_ranges(value, spans):
    assert rules.parse_range(value, 100) == spans


@given(st.binary(max_size=40), st.integers(0, 200))
def test_no_range_leaves_the_file(value, size):
    for start, stop in rules.parse_range(b"bytes=" + value, size) or ():
        assert 0 <= start < stop <= size


def test_if_range_wants_the_same_strong_tag_or_date():
    assert rules.range_applies({}, b'"x"', 1000)
    assert rules.range_applies({b"if-range": b'"x"'}, b'"x"', 1000)
    assert not rules.range_applies({b"if-range": b'W/"x"'}, b'"x"', 1000)
    assert not rules.range_applies({b"if-range": b'"y"'}, b'"x"', 1000)
    assert rules.range_applies({b"if-range": rules.http_date(1000)}, b'"x"', 1000.2, now=2000)
    assert not rules.range_applies({b"if-range": rules.http_date(1000)}, b'"x"', 1000.2, now=1000.5)
    assert not rules.range_applies({b"if-range": rules.http_date(1001)}, b'"x"', 1000, now=2000)


def test_codings_are_weighed():
    offered = [b"br", b"gzip"]
    assert rules.choose_coding(None, offered) is None
    assert rules.choose_coding(b"", offered) is None
    assert rules.choose_coding(b"gzip", offered) == b"gzip"
    assert rules.choose_coding(b"gzip, br", offered) == b"br"
    assert rules.choose_coding(b"gzip;q=1, br;q=0.1", offered) == b"gzip"
    assert rules.choose_coding(b"gzip;q=0", offered) is None
    assert rules.choose_coding(b"*", offered) == b"br"
    assert rules.choose_coding(b"identity, *;q=0", offered) is None
    assert rules.choose_coding(b"gzip;q=x", offered) is None
    assert rules.choose_coding(b"identity;q=0.5, gzip;q=0.2", offered) is None


def test_headers_refuse_what_would_split_an_answer():
    assert rules.header("X-Thing", 3) == (b"x-thing", b"3")
    for name, value in [
        ("X", "a\r\nb: c"),
        ("X", "a\nb"),
        ("X", "a\0"),
        ("X y", "a"),
        ("", "a"),
        ("X\n", "a"),
        ("X", "\u20ac"),
    ]:
        with pytest.raises(ValueError, match="nothing was sent"):
            rules.header(name, value)


def test_log_text_cannot_move_a_terminal():
    assert rules.printable("a\x1b[2Jb\r\n") == "a\\x1b[2Jb\\r\\n"
