"""What people say, to whom it goes, and the tags that go with it."""

import pytest
from ircnet import network, person

MODERN = "message-tags echo-message batch labeled-response server-time account-tag"


def codes(messages):
    return [message.command for message in messages]


def clear(*people):
    for each in people:
        each.read()


def three(caps=""):
    net = network()
    people = [person(net, nick, caps, "#c") for nick in ("op", "ann", "bob")]
    clear(*people)
    return net, *people


@pytest.mark.parametrize("command", ["PRIVMSG", "NOTICE"])
def test_a_channel_hears_it_and_the_speaker_does_not(command):
    _, op, ann, bob = three()
    assert ann.say(f"{command} #C :hello :there") == []
    for each in (op, bob):
        got = each.one()
        assert (got.command, got.params, got.source.split("!")[0]) == (command, ["#c", "hello :there"], "ann")


def test_a_person_hears_it_alone():
    _, op, ann, bob = three()
    ann.say("PRIVMSG BOB :psst")
    assert bob.one().params == ["bob", "psst"]
    assert op.read() == []
    ann.say("PRIVMSG bob@My.Little.Server :psst")
    assert bob.one().params == ["bob", "psst"]


def test_what_cannot_be_delivered_is_said_except_of_a_notice():
    _, _, ann, _ = three()
    lines = ["PRIVMSG", "PRIVMSG #c", "PRIVMSG #c :", "PRIVMSG nobody :x", "PRIVMSG #none :x", "PRIVMSG bob@else :x"]
    assert ann.commands(*lines) == ["411", "412", "412", "401", "403", "401"]
    assert ann.commands(*(line.replace("PRIVMSG", "NOTICE") for line in lines)) == []
    assert ann.commands("TAGMSG") == ["461"]


def test_several_targets_up_to_the_limit():
    _, op, ann, bob = three()
    ann.say("PRIVMSG op,bob,op,#c :hi")
    assert [m.params[0] for m in op.read()] == ["op", "#c"]
    assert [m.params[0] for m in bob.read()] == ["bob", "#c"]
    assert ann.commands("PRIVMSG a,b,c,d,e :hi") == ["407", "401", "401", "401", "401"]


def test_who_may_speak():
    net, op, ann, bob = three()
    eve = person(net, "eve")
    assert eve.commands("PRIVMSG #c :x") == ["404"]  # n
    op.say("MODE #c -n")
    assert eve.commands("PRIVMSG #c :x") == []
    op.say("MODE #c +m")
    clear(ann)
    assert ann.commands("PRIVMSG #c :x") == ["404"]
    assert ann.commands("NOTICE #c :x") == []
    op.say("MODE #c +v ann")
    clear(ann, bob)
    assert ann.commands("PRIVMSG #c :x") == []
    assert bob.one().command == "PRIVMSG"
    op.say("MODE #c -m+b bob")
    clear(bob)
    assert bob.commands("PRIVMSG #c :x", "NICK rob") == ["404", "437"]
    op.say("MODE #c -b+M bob")
    clear(bob)
    assert bob.commands("PRIVMSG #c :x") == ["404"]
    bob.client.account = "bob"
    assert bob.commands("PRIVMSG #c :x") == []


@pytest.mark.parametrize("lift", ["MODE #c +v ann", "MODE #c +e ~m:*!~ann@*", "MODE #c -b ~m:ANN!*@*"])
def test_a_mute_lets_in_and_keeps_silent(lift):
    net = network()
    op = person(net, "op", "", "#c")
    op.say("MODE #c +b ~m:ann")
    ann = person(net, "ann", "", "#c")
    ann.read()
    assert ann.commands("PRIVMSG #c :x") == ["404"]
    op.say(lift)
    ann.read()
    assert ann.commands("PRIVMSG #c :x") == []


def test_ctcp_can_be_kept_out():
    _, op, ann, bob = three()
    op.say("MODE #c +C")
    bob.say("MODE bob +T")
    clear(ann, bob)
    assert ann.commands("PRIVMSG #c :\1VERSION\1", "PRIVMSG bob :\1VERSION\1") == ["404", "531"]
    assert ann.commands("PRIVMSG #c :\1ACTION waves\1", "PRIVMSG bob :\1ACTION waves\1") == []
    assert len(bob.read()) == 2


def test_strangers_can_be_kept_from_writing():
    _, _, ann, bob = three()
    bob.say("MODE bob +R")
    assert ann.commands("PRIVMSG bob :x", "NOTICE bob :x") == ["531"]
    ann.client.account = "ann"
    assert ann.commands("PRIVMSG bob :x") == []


def test_a_message_to_the_ranks_reaches_the_ranks():
    _, op, ann, bob = three()
    op.say("MODE #c +v ann")
    clear(op, ann, bob)
    bob.say("PRIVMSG @#c :ops only", "PRIVMSG +#c :and voices")
    assert [m.params for m in op.read()] == [["@#c", "ops only"], ["+#c", "and voices"]]
    assert [m.params for m in ann.read()] == [["+#c", "and voices"]]


def test_an_operator_writes_to_everybody():
    net, op, ann, _ = three()
    assert ann.commands("NOTICE $* :x", "PRIVMSG $* :x") == ["401"]
    op.client.modes.add("o")
    op.say("NOTICE $*.Server :maintenance")
    assert ann.one().params[-1] == "maintenance"
    assert op.read() == []
    assert net.users()


def test_one_sees_ones_own_words_when_one_asked_to():
    _, _, ann, bob = three("echo-message")
    assert ann.one("PRIVMSG #c :x").params == ["#c", "x"]
    assert ann.one("PRIVMSG bob :x").params == ["bob", "x"]
    assert len(bob.read()) == 2
    assert codes(ann.say("PRIVMSG ann :me")) == ["PRIVMSG", "PRIVMSG"]


def test_tags_go_to_those_who_asked_and_only_client_tags_travel():
    net = network()
    ann, bob = person(net, "ann", MODERN, "#c"), person(net, "bob", "message-tags", "#c")
    plain, timed = person(net, "plain", "", "#c"), person(net, "timed", "server-time", "#c")
    clear(ann, bob, plain, timed)
    ann.client.account = "ann"
    echo = ann.one("@+x=y\\s1;z=w;label=l1 PRIVMSG #c :hi")
    got = bob.one()
    assert got.tags["+x"] == "y 1"
    assert "z" not in got.tags
    assert "label" not in got.tags
    assert "account" not in got.tags
    assert (echo.tags["label"], echo.tags["msgid"], echo.tags["account"]) == ("l1", got.tags["msgid"], "ann")
    assert plain.one().tags == {}
    timed_message = timed.one()
    assert set(timed_message.tags) == {"time"}
    assert timed_message.tags["time"].endswith("Z")
    assert len(timed_message.tags["time"]) == 24


def test_tagmsg_reaches_those_who_know_tags():
    net = network()
    ann, bob, plain = (
        person(net, "ann", MODERN, "#c"),
        person(net, "bob", "message-tags", "#c"),
        person(net, "plain", "", "#c"),
    )
    clear(ann, bob, plain)
    ann.say("@+typing=active TAGMSG #c")
    assert bob.one().tags["+typing"] == "active"
    assert plain.read() == []
    assert codes(ann.say("@+typing=active TAGMSG ann")) == ["TAGMSG", "TAGMSG"]
    assert plain.commands("@+typing=done TAGMSG bob") == []


def test_the_longest_tags_come_through_whole():
    _, _, ann, bob = three("message-tags echo-message")
    line = f"@foo=bar;+baz={'a' * 4081} PRIVMSG #c {'b' * 497}"
    assert ann.one(line).tags["+baz"] == "a" * 4081
    got = bob.one()
    assert got.tags["+baz"] == "a" * 4081
    assert got.params[1] == "b" * len(got.params[1])
    assert ann.commands(f"@foo=bar;+baz={'a' * 4082} TAGMSG #c") == ["417"]
    assert bob.read() == []


# --- labels


def test_one_answer_carries_its_label():
    ann = person(network(), "ann", MODERN)
    got = ann.one("@label=7 PING x")
    assert (got.command, got.tags["label"]) == ("PONG", "7")
    assert ann.one("@label=8 FOO").tags["label"] == "8"
    assert ann.one("@label=9 NICK ann").command == "ACK"
    assert ann.one(b"@label=10 PRIVMSG ann :\xff").tags["label"] == "10"


def test_several_answers_come_as_a_batch():
    ann = person(network(), "ann", MODERN)
    got = ann.say("@label=7 JOIN #xyz")
    assert (got[0].command, got[0].params[1], got[0].tags["label"]) == ("BATCH", "labeled-response", "7")
    name = got[0].params[0][1:]
    assert (got[-1].command, got[-1].params) == ("BATCH", [f"-{name}"])
    assert {message.tags["batch"] for message in got[1:-1]} == {name}
    assert all("label" not in message.tags for message in got[1:])


def test_a_message_to_oneself_has_one_label():
    ann = person(network(), "ann", MODERN)
    got = ann.say("@label=7 PRIVMSG ann :x")
    assert codes(got) == ["PRIVMSG", "PRIVMSG"]
    assert sum("label" in message.tags for message in got) == 1


def test_a_label_means_nothing_without_the_capability():
    ann = person(network(), "ann", "message-tags")
    assert "label" not in ann.one("@label=7 PING x").tags


def test_what_others_say_meanwhile_is_no_part_of_the_answer():
    net = network()
    ann, bob = person(net, "ann", MODERN), person(net, "bob")
    ann.client.begin_label("1")
    bob.say("PRIVMSG ann :hi")
    assert "batch" not in ann.one().tags
    ann.client.end_label()
    assert ann.one().command == "ACK"


# --- redaction


def test_taking_back_what_was_said():
    caps = f"{MODERN} draft/message-redaction"
    net = network()
    op, ann, bob = (person(net, nick, caps, "#c") for nick in ("op", "ann", "bob"))
    plain = person(net, "plain", "message-tags", "#c")
    clear(op, ann, bob, plain)
    msgid = ann.one("PRIVMSG #c :oops").tags["msgid"]
    clear(op, bob, plain)
    assert bob.one(f"REDACT #c {msgid}").params[:3] == ["REDACT", "REDACT_FORBIDDEN", "#c"]
    assert ann.one(f"REDACT #c {msgid} :wrong window").params == ["#c", msgid, "wrong window"]
    assert bob.one().params == ["#c", msgid, "wrong window"]
    assert plain.read() == []
    assert ann.one(f"REDACT #c {msgid}").params[1] == "UNKNOWN_MSGID"
    msgid = ann.one("PRIVMSG #c :again").tags["msgid"]
    clear(op)
    assert op.one(f"REDACT #c {msgid}").params == ["#c", msgid]
    clear(ann)
    assert ann.one("REDACT #none x").params[1] == "INVALID_TARGET"


def test_taking_back_a_private_message():
    net = network()
    ann, bob = (person(net, nick, f"{MODERN} draft/message-redaction") for nick in ("ann", "bob"))
    ann.client.account, bob.client.account = "ann", "bob"
    msgid = ann.one("PRIVMSG bob :oops").tags["msgid"]
    bob.read()
    assert bob.one(f"REDACT ann {msgid}").params[1] == "REDACT_FORBIDDEN"
    assert ann.one(f"REDACT bob {msgid}").params == ["bob", msgid]
    assert bob.one().params == ["bob", msgid]
    assert ann.one("REDACT nobody x").params[1] == "INVALID_TARGET"


# --- several lines as one


def test_a_message_of_several_lines():
    caps = f"{MODERN} draft/multiline"
    net = network()
    ann, bob, plain = person(net, "ann", caps, "#c"), person(net, "bob", caps, "#c"), person(net, "plain", MODERN, "#c")
    clear(ann, bob, plain)
    echo = ann.say(
        "@label=xyz;+t=1 BATCH +1 draft/multiline #c",
        "@batch=1 PRIVMSG #c hello",
        "@batch=1 PRIVMSG #c :",
        "@batch=1 PRIVMSG #c :how is ",
        "@batch=1;draft/multiline-concat PRIVMSG #c :everyone?",
        "BATCH -1",
    )
    assert codes(echo) == ["BATCH", *["PRIVMSG"] * 4, "BATCH"]
    assert (echo[0].tags["label"], echo[0].tags["+t"]) == ("xyz", "1")
    relay = bob.read()
    assert relay[0].params[1:] == ["draft/multiline", "#c"]
    assert relay[0].tags["msgid"] == echo[0].tags["msgid"]
    assert [m.params[1] for m in relay[1:-1]] == ["hello", "", "how is ", "everyone?"]
    assert "draft/multiline-concat" in relay[4].tags
    assert all(set(m.tags) <= {"batch", "draft/multiline-concat"} for m in relay[1:-1])
    fallback = plain.read()
    assert [m.params[1] for m in fallback] == ["hello", "how is ", "everyone?"]
    assert [m.tags.get("msgid") for m in fallback] == [echo[0].tags["msgid"], None, None]
    assert {m.tags["time"] for m in fallback} == {echo[0].tags["time"]}


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["@batch=2 PRIVMSG #c x"], "MULTILINE_INVALID"),
        (["@batch=1 PRIVMSG #other x"], "MULTILINE_INVALID"),
        (["@batch=1 PRIVMSG #c x", "@batch=1;draft/multiline-concat PRIVMSG #c :"], "MULTILINE_INVALID"),
        (["@batch=1 PRIVMSG #c x"] * 33, "MULTILINE_MAX_LINES"),
        ([f"@batch=1 PRIVMSG #c {'x' * 400}"] * 11, "MULTILINE_MAX_BYTES"),
        (["BATCH -1"], "MULTILINE_INVALID"),
    ],
)
def test_a_bad_batch_is_refused(lines, code):
    ann = person(network(), "ann", f"{MODERN} draft/multiline", "#c")
    ann.read()
    got = ann.say("BATCH +1 draft/multiline #c", *lines)
    assert got[0].params[:2] == ["BATCH", code]
    assert ann.client.batches == {}
