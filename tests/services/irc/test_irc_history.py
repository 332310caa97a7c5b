"""What was said before: CHATHISTORY, MARKREAD."""

import itertools

import pytest
from ircnet import network, person

from midair.services.irc.history import History, Item, Point, parse_point, parse_timestamp, timestamp

CAPS = "message-tags server-time echo-message batch labeled-response draft/chathistory"


def said(count=10):
    history = History()
    for n in range(count):
        history.add(Item(f"m{n}", 1000.0 + n, "a!b@c", "", "TOPIC" if n % 5 == 4 else "PRIVMSG", "#c", f"text {n}"))
    return history


def ids(items):
    return [int(item.msgid[1:]) for item in items]


def test_pages_of_a_history():
    history = said()
    at = {n: (Point(msgid=f"m{n}"), Point(time=1000.0 + n)) for n in range(10)}
    assert ids(history.latest(3, events=True)) == [7, 8, 9]
    assert ids(history.latest(3)) == [6, 7, 8]
    for n in (0, 1):
        assert ids(history.latest(20, after=at[5][n], events=True)) == [6, 7, 8, 9]
        assert ids(history.before(at[6][n], 2, events=True)) == [4, 5]
        assert ids(history.after(at[3][n], 3, events=True)) == [4, 5, 6]
        assert ids(history.between(at[0][n], at[9][n], 3, events=True)) == [1, 2, 3]
        assert ids(history.between(at[9][n], at[0][n], 3, events=True)) == [6, 7, 8]
        assert ids(history.between(at[0][n], at[9][n], 20)) == [1, 2, 3, 5, 6, 7, 8]
        assert ids(history.around(at[7][n], 3, events=True)) == [6, 7, 8]
        assert ids(history.around(at[7][n], 1, events=True)) == [7]
    assert ids(history.before(Point(time=1000.5), 5, events=True)) == [0]
    assert ids(history.after(Point(time=5000.0), 5)) == []


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.0004, 0.0006, 0.0009999])
def test_a_moment_that_was_shown_finds_what_was_said_then(part):
    history, start = History(), 1_763_817_932.191
    for n in range(5):
        history.add(Item(f"m{n}", start + n * 0.003 + part, "", "", "PRIVMSG", "#c", ""))
    first, *_, last = (parse_point(f"timestamp={timestamp(item.time)}") for item in history)
    assert ids(history.between(first, last, 9)) == ids(history.between(last, first, 9)) == [1, 2, 3]
    assert ids(history.after(first, 9)) == [1, 2, 3, 4]
    assert ids(history.before(last, 9)) == [0, 1, 2, 3]


def test_only_so_much_is_kept():
    history = History(kept=3)
    for n in range(5):
        history.add(Item(f"m{n}", float(n), "", "", "PRIVMSG", "#c", ""))
    assert ids(history) == [2, 3, 4]
    assert history.remove("m3")
    assert not history.remove("m3")
    assert history.last_time == 4.0


def test_a_door_that_swings_pushes_no_word_out():
    history = History(kept=8)
    for n in range(40):
        history.add(Item(f"m{n}", float(n), "", "", "JOIN" if n % 10 else "PRIVMSG", "#c"))
    assert ids(history.latest(99)) == [0, 10, 20, 30]
    assert ids(history.latest(99, events=True)) == [0, 10, 20, 30, 38, 39]
    assert ids(history.before(Point(msgid="m38"), 2)) == [20, 30]
    assert ids(history.after(Point(msgid="gone"), 2)) == [0, 10]


def test_moments_are_written_and_read():
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"
    assert parse_timestamp("1970-01-01T00:00:01.500Z") == 1.5
    assert parse_timestamp("nonsense") is None
    assert parse_timestamp("2020-01-01T00:00:00") is None
    assert parse_point("msgid=x") == Point(msgid="x")
    assert parse_point("timestamp=1970-01-01T00:00:01.5Z") == Point(time=1.5)
    assert parse_point("timestamp=2026-11-22T13:25:32.191Z").time == parse_timestamp("2026-11-22T13:25:32.191Z")
    assert parse_point("msgid=") is parse_point("*") is parse_point("foo=1") is None


def conversation():
    net = network()
    clock = itertools.count(1_700_000_000)
    net.now = lambda: float(next(clock))  # no two moments alike
    ann = person(net, "ann", CAPS, "#c")
    ann.read()
    echoes = [ann.one(f"PRIVMSG #c :message {n}") for n in range(5)]
    return net, ann, echoes


def inner(messages, target="#c"):
    assert messages[0].command == messages[-1].command == "BATCH"
    assert messages[0].params[1:] == ["chathistory", target]
    name = messages[0].params[0][1:]
    assert messages[-1].params == [f"-{name}"]
    assert all(message.tags["batch"] == name for message in messages[1:-1])
    return messages[1:-1]


def test_history_comes_back_as_it_was_said():
    net, ann, echoes = conversation()
    got = inner(ann.say("CHATHISTORY LATEST #c * 100"))
    same = [(m.source, m.params, m.tags["msgid"], m.tags["time"]) for m in echoes]
    assert [(m.source, m.params, m.tags["msgid"], m.tags["time"]) for m in got] == same
    bob = person(net, "bob", CAPS, "#c")
    bob.read()
    assert len(inner(bob.say("CHATHISTORY LATEST #C * 2"), "#C")) == 2


@pytest.mark.parametrize("kind", ["msgid", "timestamp"])
def test_history_by_points(kind):
    _, ann, echoes = conversation()

    def point(n):
        return f"{kind}={echoes[n].tags['msgid' if kind == 'msgid' else 'time']}"

    def texts(line):
        return [m.params[1][-1] for m in inner(ann.say(line))]

    assert texts(f"CHATHISTORY BEFORE #c {point(3)} 2") == ["1", "2"]
    assert texts(f"CHATHISTORY AFTER #c {point(1)} 2") == ["2", "3"]
    assert texts(f"CHATHISTORY BETWEEN #c {point(0)} {point(4)} 10") == ["1", "2", "3"]
    assert texts(f"CHATHISTORY AROUND #c {point(2)} 3") == ["1", "2", "3"]
    assert texts(f"CHATHISTORY LATEST #c {point(2)} 10") == ["3", "4"]


def test_events_come_to_those_who_asked():
    net, ann, _ = conversation()
    ann.say("TOPIC #c :news")
    assert {m.command for m in inner(ann.say("CHATHISTORY LATEST #c * 100"))} == {"PRIVMSG"}
    bob = person(net, "bob", f"{CAPS} draft/event-playback", "#c")
    bob.read()
    assert {"PRIVMSG", "TOPIC", "JOIN"} <= {m.command for m in inner(bob.say("CHATHISTORY LATEST #c * 100"))}
    ann.read()
    ann.say("@+x=1;+draft/persist TAGMSG #c")
    bob.read()
    assert inner(bob.say("CHATHISTORY LATEST #c * 1"))[0].command == "TAGMSG"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("CHATHISTORY LATEST #none * 10", "INVALID_TARGET"),
        ("CHATHISTORY LATEST #other * 10", "INVALID_TARGET"),
        ("CHATHISTORY LATEST #c *", "NEED_MORE_PARAMS"),
        ("CHATHISTORY FOO #c * 10", "INVALID_PARAMS"),
        ("CHATHISTORY LATEST #c nonsense 10", "INVALID_PARAMS"),
        ("CHATHISTORY BEFORE #c timestamp=x 10", "INVALID_PARAMS"),
        ("CHATHISTORY LATEST #c * x", "INVALID_PARAMS"),
        ("CHATHISTORY TARGETS x y 10", "INVALID_PARAMS"),
    ],
)
def test_what_cannot_be_had_is_said(line, code):
    net, ann, _ = conversation()
    person(net, "eve", "", "#other")
    got = ann.one(line)
    assert (got.command, got.params[:2]) == ("FAIL", ["CHATHISTORY", code])


def test_private_talk_is_kept_for_those_with_accounts():
    net = network()
    ann, bob, eve = (person(net, nick, CAPS) for nick in ("ann", "bob", "eve"))
    ann.client.account, bob.client.account = "ann", "bob"
    ann.say("PRIVMSG bob :one")
    bob.say("PRIVMSG ANN :two")
    ann.say("PRIVMSG eve :apart")
    for each in (ann, bob, eve):
        each.read()
    assert [m.params[1] for m in inner(ann.say("CHATHISTORY LATEST bob * 10"), "bob")] == ["one", "two"]
    assert [m.params[1] for m in inner(bob.say("CHATHISTORY LATEST Ann * 10"), "Ann")] == ["one", "two"]
    assert [m.params[1] for m in inner(ann.say("CHATHISTORY LATEST eve * 10"), "eve")] == ["apart"]
    assert inner(eve.say("CHATHISTORY LATEST ann * 10"), "ann") == []
    got = ann.say("CHATHISTORY TARGETS timestamp=2000-01-01T00:00:00Z timestamp=2999-01-01T00:00:00Z 10")
    assert [m.params[1] for m in got[1:-1]] == ["bob", "eve"]


def test_what_is_said_to_those_who_take_passwords_is_kept_nowhere():
    net = network()
    ann = person(net, "ann", CAPS)
    ann.client.account = "ann"
    ann.say("PRIVMSG NickServ :IDENTIFY ann a-password", "PRIVMSG ChanServ :HELP", "NOTICE NickServ :a-password")
    assert not net.conversations
    got = ann.say("CHATHISTORY TARGETS timestamp=2000-01-01T00:00:00Z timestamp=2999-01-01T00:00:00Z 10")
    assert [m.command for m in got[-2:]] == ["BATCH", "BATCH"]


def test_who_takes_a_name_later_does_not_read_what_was_said_before():
    net = network()
    ann, eve = person(net, "ann", CAPS), person(net, "eve", CAPS)
    ann.client.account = "ann"
    ann.say("PRIVMSG eve :a secret")
    eve.say("PRIVMSG ann :noted", "REGISTER * * sesame")
    eve.read()
    assert inner(eve.say("CHATHISTORY LATEST ann * 10"), "ann") == []
    ann.read()
    assert [m.params[1] for m in inner(ann.say("CHATHISTORY LATEST eve * 10"), "eve")] == ["a secret", "noted"]
    eve.say("PRIVMSG ann :now with an account")
    assert [m.params[1] for m in inner(eve.say("CHATHISTORY LATEST ann * 10"), "ann")] == ["now with an account"]


# --- read markers


def test_a_marker_only_moves_forward():
    ann = person(network(), "ann", "draft/read-marker", "#c")
    early, late = "2019-01-01T00:00:00.000Z", "2020-01-01T00:00:00.000Z"
    ann.read()
    assert ann.one("MARKREAD ::x y").params == ["x", "*"]
    assert ann.one("MARKREAD #c").params == ["#c", "*"]
    assert ann.one(f"MARKREAD #c timestamp={late}").params == ["#c", f"timestamp={late}"]
    assert ann.one(f"MARKREAD #c timestamp={early}").params == ["#c", f"timestamp={late}"]
    got = ann.say("PART #c", "JOIN #c")
    commands = [m.command for m in got]
    assert commands.index("MARKREAD") < commands.index("366")
    for line, code in (
        ("MARKREAD", "NEED_MORE_PARAMS"),
        ("MARKREAD #c x", "INVALID_PARAMS"),
        ("MARKREAD #c *", "INVALID_PARAMS"),
    ):
        assert ann.one(line).params[:2] == ["MARKREAD", code]


def test_markers_are_shared_by_those_of_one_account():
    from midair.services.irc import accounts
    from midair.services.irc.commands.account import make_account

    net = network()
    make_account(net, "ann", accounts.make_both("sesame"))
    one, two = person(net, "one", "draft/read-marker"), person(net, "two", "draft/read-marker")
    one.client.account = two.client.account = "ann"
    at = "2020-01-01T00:00:00.000Z"
    one.say(f"MARKREAD #c timestamp={at}")
    assert two.one().params == ["#c", f"timestamp={at}"]
    assert net.accounts.get("ann").read == {"#c": at}
