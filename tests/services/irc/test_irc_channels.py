"""Channels: entering, leaving, topics, names, invitations, lists."""

import pytest
from ircnet import network, person


def codes(messages):
    return [message.command for message in messages]


def clear(*people):
    for each in people:
        each.read()


def test_joining_shows_oneself_topic_and_names():
    net = network()
    ann = person(net, "ann")
    got = ann.say("JOIN #Chan")
    assert codes(got) == ["JOIN", "353", "366"]
    assert got[0].params == ["#Chan"]
    assert got[1].params == ["ann", "=", "#Chan", "@ann"]
    ann.say("TOPIC #chan :tea")
    bob = person(net, "bob")
    got = bob.say("JOIN #chan")
    assert codes(got) == ["JOIN", "332", "333", "353", "366"]
    assert got[0].params == ["#Chan"]
    assert ann.read()[-1].source.startswith("bob!~bob@")


def test_joining_twice_is_nothing():
    ann = person(network(), "ann", "", "#c")
    assert ann.say("JOIN #C") == []


def test_several_channels_with_keys():
    net = network()
    op = person(net, "op", "", "#a", "#b", "#c")
    op.say("MODE #a +k one", "MODE #c +k three")
    bob = person(net, "bob")
    got = bob.say("JOIN #a,#b,#c one,,three")
    assert [m.params[0] for m in got if m.command == "JOIN"] == ["#a", "#b", "#c"]
    eve = person(net, "eve")
    assert "475" in eve.commands("JOIN #a two")


def test_join_0_leaves_all():
    ann = person(network(), "ann", "", "#a", "#b")
    assert codes(ann.say("JOIN 0")) == ["PART", "PART"]


@pytest.mark.parametrize("name", ["chan", "#", "#a:b", "#" + "b" * 64, ":#a b"])
def test_a_bad_channel_name_is_refused(name):
    assert person(network(), "ann").commands(f"JOIN {name}") == ["403"]


def test_so_many_channels_and_no_more():
    ann = person(network(max_channels=2), "ann", "", "#a", "#b")
    assert ann.one("JOIN #c").params[:2] == ["ann", "#c"]
    assert ann.commands("PART #a", "JOIN #c")[1] == "JOIN"


@pytest.mark.parametrize(
    ("setting", "numeric"),
    [("+i", "473"), ("+k key", "475"), ("+l 1", "471"), ("+b ann", "474"), ("+b ~r:Real*", "474"), ("+R", "477")],
)
def test_a_closed_channel_says_why_and_opens_by_invitation(setting, numeric):
    net = network()
    op, ann = person(net, "op", "", "#c"), person(net, "ann")
    op.say(f"MODE #c {setting}")
    assert ann.one("JOIN #c").command == numeric
    op.say("INVITE ann #c")
    assert "JOIN" in ann.commands("JOIN #c")
    # an invitation is used up
    ann.say("PART #c")
    assert ann.one("JOIN #c").command == numeric


def test_exceptions_open_bans_and_invite_only():
    net = network()
    op, ann = person(net, "op", "", "#c"), person(net, "ann")
    op.say("MODE #c +b *!*@*", "MODE #c +e ann!*@*")
    assert "JOIN" in ann.commands("JOIN #c")
    ann.say("PART #c")
    op.say("MODE #c -b *!*@*", "MODE #c +iI ann!*@*")
    assert "JOIN" in ann.commands("JOIN #c")


def test_bans_know_cloak_address_and_network():
    net = network()
    op = person(net, "op", "", "#c")
    for nick, mask in (("a1", "*!*@10.1.2.3"), ("a2", "*!*@10.1.0.0/16"), ("a3", f"*!*@*{net.cloak('10.1.2.3')[9:]}")):
        op.say(f"MODE #c +b {mask}")
        assert person(net, nick, address="10.1.2.3").commands("JOIN #c") == ["474"]
        op.say(f"MODE #c -b {mask}")


def test_parting_is_seen_with_its_reason():
    net = network()
    ann, bob = person(net, "ann", "", "#c"), person(net, "bob", "", "#c")
    clear(ann, bob)
    assert ann.one("PART #c :bye now").params == ["#c", "bye now"]
    assert bob.one().params == ["#c", "bye now"]
    assert ann.commands("PART #c", "PART #none", "PART") == ["442", "403", "461"]
    assert "#c" in net.channels
    bob.say("PART #c")
    assert "#c" not in net.channels


def test_topics():
    net = network()
    ann, bob, eve = person(net, "ann", "", "#c"), person(net, "bob", "", "#c"), person(net, "eve")
    clear(ann, bob)
    assert ann.commands("TOPIC #c") == ["331"]
    assert ann.one("TOPIC #c :tea :time").params == ["#c", "tea :time"]
    assert bob.one().params == ["#c", "tea :time"]
    assert codes(bob.say("TOPIC #c")) == ["332", "333"]
    assert bob.commands("TOPIC #c :mine") == ["482"]
    assert eve.commands("TOPIC #c :mine", "TOPIC #none", "TOPIC") == ["442", "403", "461"]
    ann.say("MODE #c -t")
    clear(bob)
    assert bob.one("TOPIC #c :").params == ["#c", ""]
    assert ann.read()[-1].params == ["#c", ""]
    ann.say("MODE #c +s")
    assert eve.commands("TOPIC #c") == ["442"]
    ann.say("TOPIC #c :" + "é" * 240)
    assert net.channel("#c").topic.text == "é" * 195


def test_names():
    net = network()
    ann, bob, eve = person(net, "ann", "", "#c"), person(net, "bob", "multi-prefix", "#c"), person(net, "eve")
    ann.say("MODE #c +v ann", "MODE #c +v bob")
    clear(ann, bob)
    assert ann.say("NAMES #c")[0].params[-1] == "@ann +bob"
    assert bob.say("NAMES #c")[0].params[-1] == "@+ann +bob"
    assert eve.one("NAMES #none").params[:2] == ["eve", "#none"]
    assert [m.params[1:3] for m in eve.say("NAMES")[:-1]] == [["=", "#c"]]
    bob.say("MODE bob +i")
    assert eve.say("NAMES #c")[0].params[-1] == "@ann"
    ann.say("MODE #c +s")
    assert ann.say("NAMES #c")[0].params[1] == "@"
    assert codes(eve.say("NAMES #c", "NAMES")) == ["366", "366"]
    assert eve.one("NAMES #a,#b").params[1] == "#a,#b"


def test_names_of_a_crowd_take_several_lines():
    net = network()
    crowd = [person(net, f"somebody{n:020}", "userhost-in-names", "#c") for n in range(30)]
    clear(*crowd)
    got = crowd[0].say("NAMES #c")
    words = [word for message in got if message.command == "353" for word in message.params[-1].split()]
    assert len(words) == 30
    assert all("!" in word and "@" in word for word in words)


def test_kicking():
    net = network()
    op, ann, bob, eve = (
        person(net, "op", "", "#c"),
        person(net, "ann", "", "#c"),
        person(net, "bob", "", "#c"),
        person(net, "eve"),
    )
    clear(op, ann, bob)
    assert ann.commands("KICK #c bob") == ["482"]
    assert eve.commands("KICK #c bob", "KICK #none bob", "KICK #c") == ["442", "403", "461"]
    assert op.commands("KICK #c nobody", "KICK #c eve") == ["401", "441"]
    got = op.one("KICK #c ann")
    assert got.params == ["#c", "ann", "op"]
    assert ann.one().params == ["#c", "ann", "op"]
    assert ann.client not in net.channel("#c").members
    clear(bob)
    ann.say("JOIN #c")
    clear(op, ann, bob)
    got = op.say("KICK #c ann,bob :both of you")
    assert [m.params for m in got] == [["#c", "ann", "both of you"], ["#c", "bob", "both of you"]]


def test_kicks_of_several_channels_pair_up():
    net = network()
    op, ann = person(net, "op", "", "#a", "#b"), person(net, "ann", "", "#a", "#b")
    clear(op, ann)
    op.say("KICK #a,#b ann,ann")
    assert len(net.channel("#a").members) == 1
    op.say("KICK #a,#a ann,ann :bye")
    assert op.commands("KICK #a,#b ann") == ["461"]


def test_nobody_kicks_above_his_rank():
    net = network()
    op, half, other = person(net, "op", "", "#c"), person(net, "half", "", "#c"), person(net, "other", "", "#c")
    op.say("MODE #c +h half", "MODE #c +h other")
    clear(op, half, other)
    assert half.commands("KICK #c op", "KICK #c other") == ["482", "482"]
    op.say("MODE #c -h+v other other")
    clear(half)
    assert half.commands("KICK #c other") == ["KICK"]


def test_inviting():
    net = network()
    op, ann, bob = person(net, "op", "", "#c"), person(net, "ann", "", "#c"), person(net, "bob")
    watch = person(net, "watch", "invite-notify", "#c")
    clear(op, ann, watch)
    got = op.one("INVITE bob #C")
    assert (got.command, got.params) == ("341", ["op", "bob", "#c"])
    assert bob.one().params == ["bob", "#c"]
    assert watch.read() == []  # not an operator
    op.say("MODE #c +o watch")
    clear(op, watch, ann)
    assert [m.params for m in bob.say("INVITE")] == [["bob", "#c"], ["bob", "End of /INVITE list"]]
    assert op.commands("INVITE ann #c", "INVITE none #c", "INVITE bob #none", "INVITE bob") == [
        "443",
        "401",
        "403",
        "461",
    ]
    assert bob.commands("INVITE op #c") == ["442"]
    clear(op)
    op.say("INVITE bob #c")
    assert watch.one().command == "INVITE"
    assert ann.commands("INVITE bob #c") == ["341"]
    op.say("MODE #c +i")
    clear(ann)
    assert ann.commands("INVITE bob #c") == ["482"]


def test_a_members_invitation_opens_no_ban():
    net = network()
    op, ann, bob = person(net, "op", "", "#c"), person(net, "ann", "", "#c"), person(net, "bob")
    op.say("MODE #c +b bob")
    ann.say("INVITE bob #c")
    clear(bob)
    assert bob.commands("JOIN #c") == ["474"]


def test_listing_with_conditions():
    net = network()
    ann, bob = person(net, "ann", "", "#one", "#two"), person(net, "bob", "", "#two")
    ann.say("JOIN #hid", "MODE #hid +s", "TOPIC #two :second")
    net.channel("#one").created -= 600
    net.channel("#two").topic.time -= 600

    def listed(condition):
        got = bob.say(f"LIST {condition}")
        assert got[0].command == "321"
        assert got[-1].command == "323"
        return {m.params[1] for m in got[1:-1]}

    bob.read()
    assert listed("") == {"#one", "#two"}
    assert listed("#one") == listed("*ne") == listed("!*wo") == listed("C>5") == listed("<2") == {"#one"}
    assert listed(">1") == listed("C<5") == listed("T>5") == {"#two"}
    assert listed("T<5") == listed("#none") == listed("#hid") == set()
    assert listed(">0,*o*") == {"#one", "#two"}
    assert listed("C>x") == {"#one", "#two"}
    ann.read()
    assert ["ann", "#two", "2", "second"] in [m.params for m in ann.say("LIST")]


def test_a_list_is_never_longer_than_a_client_can_take(monkeypatch):
    from midair.services.irc.commands import channels, who

    monkeypatch.setattr(channels, "LISTED", 2)
    monkeypatch.setattr(who, "FOUND", 1)
    net = network()
    ann = person(net, "ann", "", "#a", "#b", "#c")
    person(net, "bob")
    ann.read()
    assert codes(ann.say("LIST")) == ["321", "322", "322", "NOTICE", "323"]
    assert codes(ann.say("LIST #a,#b")) == ["321", "322", "322", "323"]
    assert codes(ann.say("WHO *")) == ["NOTICE", "352", "315"]


def test_renaming_a_channel():
    net = network()
    ann, bob = person(net, "ann", "draft/channel-rename", "#old"), person(net, "bob", "extended-join", "#old")
    ann.say("TOPIC #old :t")
    clear(ann, bob)
    assert bob.commands("RENAME #old #new") == ["482"]
    assert ann.one("RENAME #old #new :tidier").params == ["#old", "#new", "tidier"]
    got = bob.read()
    assert codes(got) == ["PART", "JOIN", "332", "333", "353", "366"]
    assert got[1].params == ["#new", "*", "Real bob"]
    assert net.channel("#old") is None
    bob.say("PRIVMSG #new :here")
    assert ann.read()[-1].params == ["#new", "here"]
    ann.say("JOIN #taken")
    clear(ann)
    assert ann.one("RENAME #new #taken").params[:2] == ["RENAME", "CHANNEL_NAME_IN_USE"]
    assert ann.one("RENAME #new bad").params[:2] == ["RENAME", "CANNOT_RENAME"]


def test_who_comes_first_to_an_empty_channel_after_a_restart_is_its_operator():
    net = network()
    ann = person(net, "ann", "", "#c")
    ann.say("MODE #c +ik key", "TOPIC #c :kept")
    channel = net.channel("#c")
    channel.members.clear()  # as a load leaves it
    net.channels["#c"] = channel
    bob = person(net, "bob")
    assert bob.commands("JOIN #c") == ["475"]
    assert [m.params[-1] for m in bob.say("JOIN #c key") if m.command in {"332", "353"}] == ["kept", "@bob"]
