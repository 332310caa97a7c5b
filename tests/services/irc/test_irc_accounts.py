"""Accounts: SASL, REGISTER, NickServ, ChanServ, capabilities."""

import base64
import hashlib
import hmac
import time

import pytest
from ircnet import Person, network, person

from midair.services.irc import accounts
from midair.services.irc.commands.account import make_account

PASSWORD = "sesame"
KEYS = accounts.make_both(PASSWORD)


def with_account(*names):
    net = network()
    for name in names or ("ann",):
        make_account(net, name, KEYS)
    return net


def codes(messages):
    return [message.command for message in messages]


def b64(data):
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def plain(name, password, authzid=""):
    return f"AUTHENTICATE {b64(f'{authzid}{chr(0)}{name}{chr(0)}{password}')}"


# --- hashing


def test_a_password_is_verified_and_not_kept():
    hashed, scram = KEYS
    assert accounts.verify(hashed, PASSWORD)
    assert not accounts.verify(hashed, "wrong")
    assert not accounts.verify(None, PASSWORD)
    assert PASSWORD not in repr(hashed) + repr(scram)
    assert accounts.make(PASSWORD).digest != hashed.digest


# --- CAP


def test_capabilities_are_listed_with_values_to_those_who_know_values():
    net = network()
    old, new = Person(net), Person(net)
    got = old.one("CAP LS")
    assert "=" not in got.params[-1]
    assert "sasl" in got.params[-1].split()
    listed = " ".join(m.params[-1] for m in new.say("CAP LS 302")).split()
    assert "sasl=PLAIN,SCRAM-SHA-256" in listed
    assert {"echo-message", "server-time", "draft/chathistory"} <= set(listed)
    assert new.one("CAP LIST").params == ["*", "LIST", "cap-notify"]
    assert old.one("CAP LIST").params == ["*", "LIST", ""]


def test_a_long_list_is_cut_into_lines_that_fit():
    net = network(sts_duration=1000, sts_port=6697)
    new = Person(net)
    new.say("NICK " + "n" * 30)
    lines = new.say("CAP LS 302")
    assert len(lines) == 2
    assert all(len(" ".join(m.params)) < 480 for m in lines)
    assert [m.params[2] == "*" for m in lines] == [True, False]


def test_capabilities_are_taken_as_a_whole_or_not_at_all():
    somebody = Person(network())
    somebody.say("CAP LS 302")
    for asked in ("foo multi-prefix bar", "multi-prefix foo", "foo", "sts"):
        assert somebody.one(f"CAP REQ :{asked}").params == ["*", "NAK", asked]
    assert "multi-prefix" not in somebody.client.caps
    assert somebody.one("CAP REQ :multi-prefix echo-message").params[1] == "ACK"
    assert somebody.one("CAP REQ :-echo-message").params == ["*", "ACK", "-echo-message"]
    assert somebody.one("CAP LIST").params[-1] == "cap-notify multi-prefix"
    assert somebody.commands("CAP FOO", "CAP") == ["410", "461"]


def test_registration_waits_for_the_end_of_the_negotiation():
    somebody = Person(network())
    assert "001" not in somebody.commands("CAP LS", "NICK ann", "USER a 0 * :A")
    assert "001" in somebody.commands("CAP END")
    assert somebody.commands("CAP END") == []
    assert somebody.one("CAP REQ :server-time").params[1] == "ACK"  # later is fine too


def test_sts_is_told_on_the_open_port_only():
    net = network(sts_duration=1000, sts_port=6697)
    text = " ".join(m.params[-1] for m in Person(net).say("CAP LS 302"))
    assert "sts=port=6697" in text
    text = " ".join(m.params[-1] for m in Person(net, secure=True).say("CAP LS 302"))
    assert "sts=duration=1000" in text


def test_what_an_edit_adds_or_takes_away_is_told(monkeypatch):
    from midair.services.irc.commands import capability

    net = network()
    capability.renew(net)
    new, old = person(net, "new", "setname echo-message"), person(net, "old")
    new.read()
    capability.renew(net)
    assert new.read() == []
    monkeypatch.setitem(capability.CAPABILITIES, "draft/tea", "")
    monkeypatch.delitem(capability.CAPABILITIES, "setname")
    capability.renew(net)
    assert [m.params[1:] for m in new.read()] == [["NEW", "draft/tea"], ["DEL", "setname"]]
    assert old.read() == []
    assert new.client.caps == {"cap-notify", "echo-message"}


# --- SASL


def test_plain_logs_in_and_the_nickname_is_ones_own():
    net = with_account()
    ann = Person(net)
    got = ann.say("CAP REQ :sasl", "AUTHENTICATE PLAIN", plain("ann", PASSWORD), "NICK ann", "USER a 0 * :A")
    assert codes(got) == ["CAP", "AUTHENTICATE", "900", "903"]
    assert got[1].params == ["+"]
    assert got[2].params[2] == "ann"
    assert "001" in ann.commands("CAP END")
    assert "r" in ann.client.modes


@pytest.mark.parametrize(
    "line",
    [
        plain("ann", "wrong"),
        plain("nobody", PASSWORD),
        plain("ann", PASSWORD, "bob"),
        plain("", ""),
        "AUTHENTICATE !!!",
        "AUTHENTICATE " + b64("no zeros"),
        "AUTHENTICATE " + b64(b"\xff\0\xff\0\xff"),
        "AUTHENTICATE +",
    ],
)
def test_plain_fails_alike_whatever_is_wrong(line):
    ann = Person(with_account())
    assert codes(ann.say("CAP REQ :sasl", "AUTHENTICATE PLAIN", line))[2:] == ["904"]
    assert ann.client.account == ""
    assert codes(ann.say("AUTHENTICATE PLAIN", plain("ANN", PASSWORD))) == ["AUTHENTICATE", "900", "903"]


@pytest.mark.parametrize("password", ["bar" * 97, "bar" * 100, "é" * 100])
def test_long_payloads_come_in_pieces(password):
    net = network()
    make_account(net, "foo", accounts.make_both(password))
    payload = b64(f"foo\0foo\0{password}")
    pieces = [payload[at : at + 400] for at in range(0, len(payload), 400)]
    if len(pieces[-1]) == 400:
        pieces.append("+")
    ann = Person(net)
    got = ann.say("CAP REQ :sasl", "AUTHENTICATE PLAIN", *(f"AUTHENTICATE {piece}" for piece in pieces))
    assert codes(got)[-2:] == ["900", "903"]


def test_what_is_too_long_aborted_or_unknown():
    ann = Person(with_account())
    ann.say("CAP REQ :sasl")
    assert ann.commands("AUTHENTICATE FOO") == ["908", "904"]
    assert ann.commands("AUTHENTICATE PLAIN", *["AUTHENTICATE " + "A" * 400] * 5)[1:] == ["905"]
    assert ann.commands("AUTHENTICATE PLAIN", "AUTHENTICATE " + "A" * 401)[1:] == ["905"]
    assert ann.commands("AUTHENTICATE PLAIN", "AUTHENTICATE *")[1:] == ["906"]
    assert ann.commands("AUTHENTICATE EXTERNAL", "AUTHENTICATE +")[1:] == ["904"]


def scram(somebody, name, password):
    """Log in as a SCRAM client does; the codes of the last answer."""
    somebody.say("CAP REQ :sasl", "AUTHENTICATE SCRAM-SHA-256")
    bare = f"n={name},r=clientnonce"
    got = somebody.one(f"AUTHENTICATE {b64(f'n,,{bare}')}")
    first = base64.b64decode(got.params[0]).decode()
    fields = dict(part.split("=", 1) for part in first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={b64('n,,')},r={fields['r']}"
    auth = f"{bare},{first},{without}".encode()
    signature = hmac.digest(hashlib.sha256(client_key).digest(), auth, "sha256")
    proof = b64(bytes(a ^ b for a, b in zip(client_key, signature, strict=True)))
    got = somebody.one(f"AUTHENTICATE {b64(f'{without},p={proof}')}")
    if got.command != "AUTHENTICATE":
        return [got.command]
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), auth, "sha256")
    assert base64.b64decode(got.params[0]) == b"v=" + base64.b64encode(server)
    return somebody.commands("AUTHENTICATE +")


def test_scram_proves_both_sides():
    net = with_account()
    assert scram(Person(net), "Ann", PASSWORD) == ["900", "903"]
    assert scram(Person(net), "ann", "wrong") == ["904"]
    assert scram(Person(net), "nobody", PASSWORD) == ["904"]


@pytest.mark.parametrize("first", ["p=tls-unique,,n=ann,r=x", "n,,n=ann", "n,,", "", "n", "\xff"])
def test_scram_refuses_what_it_cannot_read(first):
    ann = Person(with_account())
    ann.say("CAP REQ :sasl", "AUTHENTICATE SCRAM-SHA-256")
    assert ann.commands(f"AUTHENTICATE {b64(first) or '+'}") == ["904"]


def test_scram_says_nothing_of_who_has_an_account():
    net = with_account()

    def salt(name):
        somebody = Person(net)
        somebody.say("CAP REQ :sasl", "AUTHENTICATE SCRAM-SHA-256")
        got = somebody.one(f"AUTHENTICATE {b64(f'n,,n={name},r=x')}")
        return dict(part.split("=", 1) for part in base64.b64decode(got.params[0]).decode().split(","))["s"]

    assert salt("nobody") == salt("nobody")
    assert salt("nobody") != salt("somebody")


def test_a_certificate_logs_in():
    net = with_account()
    net.accounts.get("ann").certfps.append("abc123")
    ann = Person(net, secure=True, certfp="abc123")
    assert "EXTERNAL" in " ".join(m.params[-1] for m in ann.say("CAP LS 302"))
    assert ann.commands("CAP REQ :sasl", "AUTHENTICATE EXTERNAL", "AUTHENTICATE +")[1:] == [
        "AUTHENTICATE",
        "900",
        "903",
    ]
    other = Person(net, secure=True, certfp="other")
    assert other.commands("CAP REQ :sasl", "AUTHENTICATE EXTERNAL", "AUTHENTICATE +")[-1] == "904"


def test_guessing_ends_after_some_tries():
    net = with_account()
    for _ in range(10):
        ann = Person(net, "10.0.0.1")
        ann.say("CAP REQ :sasl", "AUTHENTICATE PLAIN", plain("ann", "wrong"))
    assert ann.commands("AUTHENTICATE PLAIN") == ["904"]
    elsewhere = Person(net, "10.0.0.2")
    elsewhere.say("CAP REQ :sasl", "AUTHENTICATE PLAIN")
    assert elsewhere.commands(plain("ann", PASSWORD)) == ["900", "903"]


def test_one_address_makes_only_so_many_accounts_in_an_hour():
    net = network()
    for number in range(5):
        somebody = person(net, f"n{number}", address="10.0.0.1")
        assert somebody.say(f"REGISTER * * {PASSWORD}")[0].params[0] == "SUCCESS"
    late = person(net, "late", address="10.0.0.1")
    assert late.one(f"REGISTER * * {PASSWORD}").params[1] == "TEMPORARILY_UNAVAILABLE"
    assert "try again later" in ask(late, f"REGISTER {PASSWORD}")[0]
    assert person(net, "other", address="10.0.0.2").say(f"REGISTER * * {PASSWORD}")[0].params[0] == "SUCCESS"
    net.now = lambda: time.time() + 3700
    assert late.say(f"REGISTER * * {PASSWORD}")[0].params[0] == "SUCCESS"


# --- who may use a name


def test_a_registered_nickname_is_its_owners():
    net = with_account()
    thief = Person(net)
    assert thief.commands("NICK ann", "USER a 0 * :A") == ["433"]
    thief.say("NICK other")
    assert thief.commands("NICK Ann") == ["433"]
    thief.say(f"PRIVMSG NickServ :IDENTIFY ann {PASSWORD}")
    assert thief.commands("NICK Ann") == ["NICK"]


def test_pass_logs_in_who_knows_no_sasl():
    net = with_account()
    assert Person(net).commands("PASS ann:wrong", "NICK ann", "USER a 0 * :A") == ["464", "433"]
    got = Person(net).commands(f"PASS ann:{PASSWORD}", "NICK ann", "USER a 0 * :A")
    assert got[:2] == ["900", "001"]


def test_register_makes_an_account_of_ones_nickname():
    net = network()
    ann = person(net, "ann")
    got = ann.say(f"REGISTER * * {PASSWORD}")
    assert (got[0].command, got[0].params[:2], got[1].command) == ("REGISTER", ["SUCCESS", "ann"], "900")
    assert "ann" in net.accounts
    assert ann.one(f"REGISTER * * {PASSWORD}").params[1] == "ALREADY_AUTHENTICATED"
    early = Person(net)
    assert early.one(f"REGISTER * * {PASSWORD}").params[1] == "NEED_NICK"
    early.say("NICK early")
    assert early.say(f"REGISTER early a@b.c {PASSWORD}")[0].params[0] == "SUCCESS"
    for line, code in (
        (f"REGISTER ann * {PASSWORD}", "ACCOUNT_NAME_MUST_BE_NICK"),
        ("REGISTER * * abc", "WEAK_PASSWORD"),
        (f"REGISTER a!b * {PASSWORD}", "BAD_ACCOUNT_NAME"),
    ):
        assert person(net, f"x{code[0]}").one(line).params[1] == code
    land = Person(net)
    land.say("NICK ANN")
    ann.say("NICK other")
    assert land.say("NICK ann", f"REGISTER * * {PASSWORD}")[-1].params[1] == "ACCOUNT_EXISTS"
    assert ann.one("VERIFY x y").params[1] == "INVALID_CODE"
    assert ann.commands("REGISTER x") == ["461"]


def test_logging_in_and_out_is_told_to_those_who_asked():
    net = with_account()
    ann, bob = person(net, "other", "account-notify", "#c"), person(net, "bob", "account-notify extended-join", "#c")
    ann.read()
    ann.say(f"PRIVMSG NickServ :IDENTIFY ann {PASSWORD}")
    assert bob.one().params == ["ann"]
    ann.say("PRIVMSG NickServ :LOGOUT")
    assert bob.one().params == ["*"]
    ann.say("PART #c", "JOIN #c")
    assert bob.read()[-1].params == ["#c", "*", "Real other"]


# --- NickServ


def ask(somebody, text, service="NickServ"):
    return [m.params[-1] for m in somebody.say(f"PRIVMSG {service} :{text}") if m.command == "NOTICE"]


def test_nickserv_registers_identifies_and_forgets():
    net = network()
    ann = person(net, "ann")
    assert "made" in ask(ann, f"REGISTER {PASSWORD} a@b.c")[0]
    assert ann.client.account == "ann"
    assert "logged in as ann" in ask(ann, f"REGISTER {PASSWORD}")[0]
    ask(ann, "LOGOUT")
    assert ask(ann, "IDENTIFY wrong") == ["Wrong password, or no such account."]
    assert ask(ann, f"identify {PASSWORD}") == ["You are now logged in as ann."]
    assert ask(ann, "PASSWD longer-one") == ["Password changed."]
    ask(ann, "LOGOUT")
    assert ask(ann, f"IDENTIFY {PASSWORD}") == ["Wrong password, or no such account."]
    ask(ann, "IDENTIFY ann longer-one")
    assert ask(ann, "INFO")[0].startswith("ann: made")
    assert "no account" in ask(ann, "INFO nobody")[0]
    assert "gone" in ask(ann, "DROP ann")[0]
    assert "ann" not in net.accounts
    assert ann.client.account == ""


def test_nickserv_answers_everything_and_runs_nothing_else():
    ann = person(network(), "ann")
    assert len(ask(ann, "HELP")) > 5
    for text in ("FOO", "__class__", "heard x", "REGISTER", "IDENTIFY", "PASSWD x", "GHOST", "DROP", "CERT"):
        assert ask(ann, text), text
    assert ann.say("NOTICE NickServ :HELP") == []


def test_nickserv_frees_a_nickname():
    net = with_account()
    thief = person(net, "thief")
    thief.client.account = "ann"
    net.rename(thief.client, "ann")
    ann = person(net, "ann2")
    assert "when you are logged in" in ask(ann, "GHOST ann")[0]
    ask(ann, f"IDENTIFY ann {PASSWORD}")
    assert ask(ann, "GHOST ann") == ["ann is disconnected."]
    assert ann.commands("NICK ann") == ["NICK"]
    assert "ERROR" in [m.command for m in thief.read()]


def test_nickserv_keeps_certificates():
    net = with_account()
    ann = Person(net, secure=True, certfp="f00d")
    ann.say("NICK a2", "USER a 0 * :A", f"PRIVMSG NickServ :IDENTIFY ann {PASSWORD}")
    assert "f00d" in ask(ann, "CERT ADD")[0]
    assert ask(ann, "CERT LIST") == ["f00d"]
    assert ask(ann, "CERT DEL f00d") == ["Certificate removed."]
    assert ask(ann, "CERT") == ["No certificates."]


def test_services_are_not_counted_among_people():
    net = network()
    ann = person(net, "ann")
    assert "There are 1 users" in next(m.params[-1] for m in ann.say("LUSERS") if m.command == "251")
    assert len(ann.say("WHO *")) == 2
    assert "311" in ann.commands("WHOIS NickServ")


# --- ChanServ


def test_chanserv_keeps_a_channel_for_its_founder():
    net = with_account("ann", "bob")
    ann, bob = person(net, "a2", "", "#c"), person(net, "b2", "", "#c")
    assert "Log in" in ask(ann, "REGISTER #c", "ChanServ")[0]
    ask(ann, f"IDENTIFY ann {PASSWORD}")
    ask(bob, f"IDENTIFY bob {PASSWORD}")
    assert "Only an operator" in ask(bob, "REGISTER #c", "ChanServ")[0]
    assert "yours" in ask(ann, "REGISTER #c", "ChanServ")[0]
    assert net.channel("#c").members[ann.client] == "qo"
    assert "already" in ask(ann, "REGISTER #c", "ChanServ")[0]
    assert "not yours" in ask(bob, "DROP #c", "ChanServ")[0]
    ann.say("PART #c")
    bob.say("PART #c")
    assert "#c" in net.channels
    eve = person(net, "eve", "", "#c")
    assert net.channel("#c").members[eve.client] == ""  # first in, and no operator
    ann.say("JOIN #c")
    assert net.channel("#c").members[ann.client] == "q"


def test_chanserv_gives_access():
    net = with_account("ann", "bob")
    ann, bob = person(net, "a2", "", "#c"), person(net, "b2")
    ask(ann, f"IDENTIFY ann {PASSWORD}")
    ask(bob, f"IDENTIFY bob {PASSWORD}")
    ask(ann, "REGISTER #c", "ChanServ")
    assert "bob gets +o" in ask(ann, "ACCESS #c ADD BOB o", "ChanServ")[0]
    assert ask(ann, "ACCESS #c LIST", "ChanServ") == ["ann +q", "bob +o"]
    bob.say("JOIN #c")
    assert net.channel("#c").members[bob.client] == "o"
    ask(bob, "DEOP #c", "ChanServ")
    assert net.channel("#c").members[bob.client] == ""
    ask(bob, "OP #c", "ChanServ")
    ask(bob, "VOICE #c a2", "ChanServ")
    assert net.channel("#c").members[ann.client] == "qov"
    ask(bob, "DEVOICE #c a2", "ChanServ")
    assert "off the list" in ask(ann, "ACCESS #c DEL bob", "ChanServ")[0]
    assert "not an operator" in ask(bob, "OP #c", "ChanServ")[0]
    for text in (
        "HELP",
        "INFO #c",
        "FOO",
        "OP",
        "OP #none",
        "ACCESS #c ADD x",
        "ACCESS #c ADD nobody o",
        "OP #c nobody",
    ):
        assert ask(ann, text, "ChanServ"), text
    assert "nobody's" in ask(ann, "DROP #c", "ChanServ")[0]


def test_dropping_an_account_frees_its_channels():
    net = with_account()
    ann = person(net, "a2", "", "#c")
    ask(ann, f"IDENTIFY ann {PASSWORD}")
    ask(ann, "REGISTER #c", "ChanServ")
    ann.say("PART #c")
    ask(ann, "DROP ann")
    assert "#c" not in net.channels
