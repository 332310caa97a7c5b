"""MODE, for channels and people."""

import pytest
from ircnet import network, person


def codes(messages):
    return [message.command for message in messages]


def pair():
    net = network()
    op, ann = person(net, "op", "", "#c"), person(net, "ann", "", "#c")
    op.read()
    ann.read()
    return net, op, ann


def test_what_is_set_is_shown():
    _, op, _ = pair()
    assert op.say("MODE #c +int") != []
    got = op.say("MODE #C")
    assert codes(got) == ["324", "329"]
    assert got[0].params == ["op", "#c", "+int"]
    assert op.one("MODE #c -int").params == ["#c", "-int"]
    assert op.say("MODE #c")[0].params == ["op", "#c", "+"]


def test_keys_are_shown_to_members():
    net, op, ann = pair()
    op.say("MODE #c +kl sesame 5")
    eve = person(net, "eve")
    assert ann.say("MODE #c")[-2].params[2:] == ["+ntkl", "sesame", "5"]
    assert eve.say("MODE #c")[0].params[2:] == ["+ntkl", "*", "5"]


@pytest.mark.parametrize("mode", list("imstCMRp"))
def test_flags_are_set_and_unset_and_seen(mode):
    net, op, ann = pair()
    before = mode in net.channel("#c").flags
    sign, back = ("-", "+") if before else ("+", "-")
    for each in (sign, back):
        assert op.one(f"MODE #c {each}{mode}").params == ["#c", f"{each}{mode}"]
        assert ann.one().params == ["#c", f"{each}{mode}"]
    assert op.say(f"MODE #c {back}{mode}") == []  # no change, no line


def test_only_those_with_a_say_change_modes():
    net, _, ann = pair()
    eve = person(net, "eve")
    assert ann.commands("MODE #c +m-i+k x", "MODE #c +o ann", "MODE #c +b x") == ["482", "482", "482"]
    assert eve.commands("MODE #c +m", "MODE #c +o eve") == ["482", "482"]
    assert net.channel("#c").members[ann.client] == ""


def test_who_does_not_exist_or_is_not_here_gets_nothing():
    net, op, _ = pair()
    person(net, "eve")
    assert op.commands("MODE #c +o nobody", "MODE #c +o eve", "MODE #none +o ann", "MODE #c +Y") == [
        "401",
        "441",
        "403",
        "472",
    ]


@pytest.mark.parametrize("mode", list("vho"))
def test_members_are_raised_and_lowered(mode):
    net, op, ann = pair()
    assert op.one(f"MODE #c +{mode} ANN").params == ["#c", f"+{mode}", "ann"]
    assert net.channel("#c").members[ann.client] == mode
    assert ann.read()[-1].params == ["#c", f"+{mode}", "ann"]
    assert op.say(f"MODE #c +{mode} ann") == []
    assert op.one(f"MODE #c -{mode} ann").params == ["#c", f"-{mode}", "ann"]


def test_ranks_hold():
    net, op, ann = pair()
    assert op.commands("MODE #c +q op", "MODE #c +a op") == ["482", "482"]
    channel = net.channel("#c")
    channel.members[op.client] = "q"
    op.say("MODE #c +a op", "MODE #c +o ann")
    ann.read()
    assert ann.commands("MODE #c -q op", "MODE #c -a op") == ["482", "482"]
    assert channel.members[op.client] == "qa"
    assert ann.commands("MODE #c -o ann") == ["MODE"]  # everybody may lay down his own


def test_lists_are_kept_shown_and_limited(monkeypatch):
    from midair.services.irc import modes

    _, op, ann = pair()
    assert op.one("MODE #c +b bad").params == ["#c", "+b", "bad!*@*"]
    assert op.say("MODE #c +b BAD!*@*") == []
    assert op.one("MODE #c +eI *@good ~a:ann").params == ["#c", "+eI", "*!*@good", "~a:ann"]
    ann.read()
    got = ann.say("MODE #c b")
    assert codes(got) == ["367", "368"]
    assert got[0].params[1:3] == ["#c", "bad!*@*"]
    assert got[0].params[3].startswith("op!")
    assert codes(ann.say("MODE #c +e")) == ["348", "349"]
    assert codes(ann.say("MODE #c I")) == ["346", "347"]
    assert op.one("MODE #c -b BAD").params == ["#c", "-b", "bad!*@*"]
    assert op.say("MODE #c -b bad") == []
    assert op.commands("MODE #c +b :a b") == ["696"]
    monkeypatch.setattr(modes, "LIST_LIMIT", 1)
    op.say("MODE #c +b one")
    assert op.commands("MODE #c +b two") == ["478"]


@pytest.mark.parametrize("key", [":with space", "x" * 33, ":", "a,b"])
def test_a_bad_key_is_refused(key):
    net, op, _ = pair()
    assert op.one(f"MODE #c +k {key}").params[:4] == ["op", "#c", "k", "*"]
    assert net.channel("#c").key == ""


def test_keys_come_and_go():
    net, op, _ = pair()
    assert op.one("MODE #c +k beer").params == ["#c", "+k", "beer"]
    assert op.say("MODE #c +k beer") == []
    assert op.one("MODE #c -k whatever").params == ["#c", "-k", "beer"]
    assert op.say("MODE #c -k") == []
    assert net.channel("#c").key == ""


@pytest.mark.parametrize("limit", ["0", "-1", "abc", ":", "99999999999", "\uff11"])
def test_a_bad_limit_is_refused(limit):
    net, op, _ = pair()
    got = op.one(f"MODE #c +l {limit}")
    assert (got.command, got.params[:3]) == ("696", ["op", "#c", "l"])
    assert net.channel("#c").limit == 0


def test_limits_come_and_go():
    net, op, ann = pair()
    assert op.one("MODE #c +l 02").params == ["#c", "+l", "2"]
    assert op.say("MODE #c +l 2") == []
    eve = person(net, "eve")
    assert eve.commands("JOIN #c") == ["471"]
    ann.say("PART #c")
    op.read()
    assert op.one("MODE #c -l").params == ["#c", "-l"]
    assert op.say("MODE #c -l") == []


def test_one_line_holds_so_many_parameters():
    net, op, _ = pair()
    got = op.say("MODE #c +" + "b" * 14 + " " + " ".join(f"m{n}" for n in range(14)))
    assert len(got) == 1
    assert len(net.channel("#c").lists["b"]) == 12


def test_some_modes_are_the_servers():
    net, op, _ = pair()
    assert op.commands("MODE #c +r", "MODE #c +P") == ["481", "481"]
    op.client.modes.add("o")
    assert op.commands("MODE #c +P") == ["MODE"]
    op.say("PART #c")
    assert "#c" in net.channels  # it stays
    eve = person(net, "eve")
    assert eve.say("JOIN #c", "PART #c")
    assert "#c" in net.channels


# --- people


def test_ones_own_modes():
    net, op, _ = pair()
    assert op.one("MODE op").params == ["op", "+x"]
    assert op.one("MODE OP +iw").params == ["op", "+iw"]
    assert {"i", "w"} <= op.client.modes
    op.read()
    assert op.say("MODE op +i") == []
    assert op.one("MODE op -i").params == ["op", "-i"]
    assert op.commands("MODE op +Y") == ["501"]
    assert op.commands("MODE ann", "MODE ann +i", "MODE nobody", "MODE") == ["502", "502", "401", "461"]
    assert net.find("op")


def test_nobody_makes_himself_operator_or_registered():
    _, op, _ = pair()
    assert op.say("MODE op +orZ") == []
    assert not {"o", "r", "Z"} & op.client.modes
    op.client.modes.add("o")
    assert op.one("MODE op -o").params == ["op", "-o"]


def test_a_cloak_comes_off_and_on():
    net, op, ann = pair()
    watch = person(net, "watch", "chghost", "#c")
    for each in (op, ann, watch):
        each.read()
    got = op.say("MODE op -x")
    assert codes(got) == ["396", "MODE"]
    assert op.client.host == "127.0.0.1"
    assert watch.one().params == ["~op", "127.0.0.1"]
    assert ann.read() == []
    op.say("MODE op +x")
    assert op.client.host == net.cloak("127.0.0.1")


def test_a_bot_is_marked():
    net, op, _ = pair()
    assert op.one("MODE op +B").params == ["op", "+B"]
    tagged = person(net, "tagged", "message-tags", "#c")
    assert [m.params for m in tagged.say("WHOIS op") if m.command == "335"]
    assert any("B" in m.params[6] for m in tagged.say("WHO op") if m.command == "352")
    op.say("PRIVMSG #c :beep")
    assert "bot" in tagged.read()[-1].tags
