"""Coming and going."""

import pytest
from ircnet import Person, network, person

from midair.services.irc import accounts
from midair.services.irc.network import Kline


def codes(messages):
    return [message.command for message in messages]


def test_registration_is_welcomed_in_order():
    net = network()
    net.motd = ["hello"]
    got = Person(net).say("NICK ann", "USER ann 0 * :Ann A.")
    order = [*["001", "002", "003", "004"], *["005"] * 3, "251", "252", "253", "254", "255", "265", "266"]
    assert codes(got) == [*order, "375", "372", "376"]
    assert all(message.params[0] == "ann" for message in got)
    assert all(len(message.params) <= 15 for message in got)


@pytest.mark.parametrize("lines", [("USER a 0 * :A", "NICK ann"), ("NICK ann", "USER a 0 * :A")])
def test_nick_and_user_come_in_any_order(lines):
    assert "001" in Person(network()).commands(*lines)


def test_the_token_of_a_ping_comes_back_before_and_after_registration():
    net = network()
    stranger = Person(net)
    for somebody in (stranger, person(net, "ann")):
        pong = somebody.one("PING :some token")
        assert (pong.command, pong.params) == ("PONG", ["My.Little.Server", "some token"])
    assert stranger.commands("PING") == ["409"]
    assert stranger.commands("PONG x") == []


def test_commands_wait_for_registration():
    somebody = Person(network())
    assert somebody.commands("JOIN #c", "PRIVMSG x :y", "FOO") == ["451", "451", "451"]


def test_an_unknown_command_is_named():
    somebody = person(network(), "ann")
    assert somebody.one("FOO bar").params == ["ann", "FOO", "Unknown command"]
    assert somebody.commands("CMD_JOIN x", "__CLASS__", "ÉÉ") == ["421", "421", "421"]


@pytest.mark.parametrize(
    ("line", "numeric"),
    [
        ("NICK", "431"),
        ("NICK :", "431"),
        ("NICK 1a", "432"),
        ("NICK :a b", "432"),
        ("NICK *", "432"),
        ("NICK " + "b" * 31, "432"),
        ("NICK NickServ", "433"),
        ("USER ann", "461"),
        ("USER ann 0 * :", "461"),
        ("USER !! 0 * :x", "468"),
        ("PASS", "461"),
    ],
)
def test_what_is_wrong_in_registering_is_said(line, numeric):
    assert Person(network()).commands(line) == [numeric]


def test_nobody_takes_a_nickname_that_is_in_use():
    net = network()
    person(net, "Ann")
    second = Person(net)
    assert second.commands("NICK aNN", "USER a 0 * :A") == ["433"]
    assert "001" in second.commands("NICK bob")


def test_of_two_who_register_together_one_gets_the_nickname():
    net = network()
    first, second = Person(net), Person(net)
    first.say("NICK ann")
    second.say("NICK ann")
    assert "001" in first.commands("USER a 0 * :A")
    assert second.commands("USER b 0 * :B") == ["433"]


def test_pass_and_user_come_once():
    ann = person(network(), "ann")
    assert ann.commands("PASS x", "USER a 0 * :A") == ["462", "462"]


def test_a_server_with_a_password_wants_it():
    net = network()
    net.password = accounts.make("sesame")
    assert "001" in Person(net).commands("PASS sesame", "NICK ann", "USER a 0 * :A")
    assert Person(net).commands("PASS wrong", "NICK bob", "USER a 0 * :A") == ["464", "ERROR"]
    assert Person(net).commands("NICK bob", "USER a 0 * :A") == ["464", "ERROR"]
    assert Person(net).commands("NICK bob", "USER a 0 * :A", "PASS sesame") == ["464", "ERROR"]


def test_changing_a_nickname_is_seen_by_those_around():
    net = network()
    ann, bob, eve = person(net, "ann", "", "#c"), person(net, "bob", "", "#c"), person(net, "eve")
    ann.read()
    got = ann.one("NICK Anna")
    assert (got.command, got.params, got.source.split("!")[0]) == ("NICK", ["Anna"], "ann")
    assert bob.read()[-1].params == ["Anna"]
    assert eve.read() == []
    assert ann.say("NICK Anna") == []  # nothing changes
    assert ann.one("NICK anna").command == "NICK"  # a change of case does
    assert ann.one("NICK bob").command == "433"
    bob.say("PRIVMSG anna :still me")
    assert ann.read()[-1].params == ["anna", "still me"]


def test_a_nickname_is_free_again_after_a_change_or_a_quit():
    net = network()
    ann = person(net, "ann")
    ann.say("NICK bob")
    again = person(net, "ANN")
    again.say("QUIT")
    person(net, "ann")


def test_quit_is_acknowledged_and_seen_once():
    net = network()
    ann, bob = person(net, "ann", "", "#a", "#b"), person(net, "bob", "", "#a", "#b")
    bob.read()
    ann.read()
    got = ann.say("QUIT :so long", "PING x")
    assert codes(got) == ["ERROR"]
    assert "so long" in got[0].params[0]
    seen = bob.read()
    assert [(m.command, m.params) for m in seen] == [("QUIT", ["Quit: so long"])]
    assert net.find("ann") is None
    assert ann.client not in net.connections


def test_quit_works_before_registration_and_says_what_was_said():
    got = Person(network()).say("QUIT :chkport")
    assert codes(got) == ["ERROR"]
    assert "chkport" in got[0].params[0]


def test_away_is_told_to_those_who_write_and_those_who_asked():
    net = network()
    ann, bob = person(net, "ann", "", "#c"), person(net, "bob", "away-notify", "#c")
    assert ann.commands("AWAY :lunch")[-1] == "306"
    assert bob.read()[-1].params == ["lunch"]
    assert [m.params for m in bob.say("PRIVMSG ann :there?")] == [["bob", "ann", "lunch"]]
    assert bob.say("NOTICE ann :there?") == []
    ann.read()
    assert ann.commands("AWAY") == ["305"]
    assert bob.read()[-1].params == []
    late = person(net, "late")
    late.say("AWAY :asleep", "JOIN #c")
    assert [m.params for m in bob.read() if m.command == "AWAY"] == [["asleep"]]


def test_setname_is_told_to_those_who_asked():
    net = network()
    ann, bob, eve = (
        person(net, nick, caps, "#c") for nick, caps in (("ann", "setname"), ("bob", "setname"), ("eve", ""))
    )
    for each in (ann, bob, eve):
        each.read()
    assert ann.one("SETNAME :Ann Other").params == ["Ann Other"]
    assert bob.one().params == ["Ann Other"]
    assert eve.read() == []
    assert ann.one("SETNAME :" + "x" * 300).params[:2] == ["SETNAME", "INVALID_REALNAME"]


def test_a_kline_keeps_people_out():
    net = network()
    net.klines.append(Kline("*@10.*", "spam", "oper", 0.0))
    assert Person(net, "10.1.2.3").commands("NICK a", "USER a 0 * :A") == ["465", "ERROR"]
    assert "banned" in net.refusal("10.1.2.3")
    net.klines.append(Kline("*@11.0.0.0/8", "old", "oper", 0.0, expires=1.0))
    assert net.refusal("11.1.1.1") == ""
    assert len(net.klines) == 1


def test_one_address_holds_so_many_connections():
    net = network(max_per_address=2)
    for _ in range(2):
        assert net.refusal("10.0.0.1") == ""
        Person(net, "10.0.0.1")
    assert "too many connections" in net.refusal("10.0.0.1")
    assert net.refusal("10.0.0.2") == ""
    for _ in range(5):
        Person(net, "127.0.0.1")
    assert net.refusal("127.0.0.1") == ""  # exempt


def test_addresses_are_cloaked_alike_within_a_network():
    net = network()
    one, two, far = net.cloak("10.1.2.3"), net.cloak("10.1.2.4"), net.cloak("10.9.2.3")
    assert one != two
    assert one.split(".", 1)[1] == two.split(".", 1)[1]
    assert one.split(".", 1)[1] != far.split(".", 1)[1]
    assert net.cloak("2001:db8::1").endswith(".ip")
    assert "10" not in one.split(".")


def test_a_browser_gets_nothing():
    somebody = Person(network())
    assert somebody.say("GET / HTTP/1.1", "NICK ann", "USER a 0 * :A") == []
    assert somebody.client.closing


def test_a_bad_line_is_answered_and_the_next_one_works():
    ann = person(network(), "ann")
    assert ann.one(b"PRIVMSG ann :\xff").params[:2] == ["PRIVMSG", "INVALID_UTF8"]
    assert ann.commands("PING " + "x" * 600) == ["417"]
    assert ann.one("PING " + "x" * 505).params[-1].startswith("x" * 450)
    assert ann.one(b"PING a\0b").params[:2] == ["PING", "INVALID_CHARACTER"]
    assert ann.commands("PING y") == ["PONG"]


def test_an_error_in_a_command_is_said_and_logged(monkeypatch):
    from midair.services.irc.commands import session

    ann = person(network(), "ann")

    def broken(net, client, message):
        raise RuntimeError("oops")

    monkeypatch.setattr(session, "cmd_ping", broken)
    with pytest.raises(RuntimeError):
        ann.say("PING x")
    assert ann.one().command == "400"
    monkeypatch.undo()
    assert ann.commands("PING x") == ["PONG"]
