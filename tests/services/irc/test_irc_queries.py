"""Asking who is there and what the server is; MONITOR; operators; bots; metadata."""

import pytest
from ircnet import Person, network, person

from midair.services.irc import accounts, bots
from midair.services.irc.bots import Bot

HASHED = accounts.make("operpassword")


def codes(messages):
    return [message.command for message in messages]


def oper(net, nick="oper", *joins):
    net.opers["operuser"] = HASHED
    somebody = person(net, nick, "", *joins)
    assert somebody.commands("OPER operuser operpassword")[-2:] == ["381", "MODE"]
    return somebody


def test_who_by_nick_mask_channel_and_all():
    net = network()
    cool, other = person(net, "coolNick", "", "#chan"), person(net, "other", "", "#chan")
    other.read()
    for mask in ("coolNick", "coolnick", "coolni*", "*Real cool*", "~cool*"):
        got = other.say(f"WHO :{mask}")
        assert codes(got) == ["352", "315"], mask
        assert got[0].params[4:7] == ["My.Little.Server", "coolNick", "H"]
        assert got[0].params[7] == "0 Real coolNick"
    assert codes(other.say("WHO *")) == ["352", "352", "315"]
    assert codes(other.say("WHO")) == ["352", "352", "315"]
    assert other.one("WHO nobody").params[:2] == ["other", "nobody"]
    cool.say("AWAY :x", "MODE coolNick +B")
    got = other.say("WHO #CHAN")
    assert [m.params[1] for m in got[:-1]] == ["#chan", "#chan"]
    assert got[0].params[6] == "G@B"
    cool.client.modes.add("o")
    assert other.say("WHO coolNick")[0].params[6] == "G*B"
    assert codes(other.say("WHO * o")) == ["352", "315"]


def test_the_invisible_are_seen_by_those_around_them():
    net = network()
    ann, eve = person(net, "ann", "", "#c"), person(net, "eve")
    ann.say("MODE ann +i", "MODE #c +s")
    assert codes(eve.say("WHO *")) == ["352", "315"]
    assert codes(eve.say("WHO ann")) == ["352", "315"]
    assert codes(eve.say("WHO #c")) == ["315"]
    assert codes(eve.say("WHO #none")) == ["315"]
    assert "319" not in codes(eve.say("WHOIS ann"))


@pytest.mark.parametrize("fields", ["tcuihsnfdlaor", "roaldfnshiuct"])
def test_whox_gives_what_was_asked_in_its_own_order(fields):
    net = network()
    person(net, "cool", "", "#chan")
    other = person(net, "other", "", "#chan")
    other.read()
    got = other.say(f"WHO cool %{fields},123")[0]
    assert got.command == "354"
    assert got.params[1:4] == ["123", "*", "~cool"]
    assert got.params[6:9] == ["My.Little.Server", "cool", "H"]
    assert got.params[-1] == "Real cool"
    assert got.params[-3] == "0"
    assert other.say("WHO cool %tn,321")[0].params == ["other", "321", "cool"]
    assert other.say("WHO #chan %cf")[0].params == ["other", "#chan", "H@"]


def test_whois_tells_what_is_to_be_known():
    net = network()
    ann, bob = person(net, "ann", "", "#a", "#b"), person(net, "bob")
    ann.say("AWAY :out")
    ann.client.account = "annie"
    got = bob.say("WHOIS ANN")
    assert codes(got) == ["311", "319", "312", "301", "330", "317", "318"]
    assert got[0].params[1:3] == ["ann", "~ann"]
    assert set(got[1].params[-1].split()) == {"@#a", "@#b"}
    assert "378" in codes(ann.say("WHOIS ann"))
    assert codes(bob.say("WHOIS nobody")) == ["401", "318"]
    assert codes(bob.say("WHOIS")) == ["431"]
    assert codes(bob.say("WHOIS ann ann"))[0] == "311"
    assert codes(bob.say("WHOIS My.Little.Server ann"))[0] == "311"
    assert codes(bob.say("WHOIS other.server ann")) == ["402"]
    op = oper(net)
    assert {"313", "378"} <= set(codes(op.say("WHOIS oper")))
    secure = Person(net, secure=True, certfp="aa")
    secure.say("NICK sec", "USER s 0 * :S")
    assert {"671", "276"} <= set(codes(secure.say("WHOIS sec")))


def test_whowas_remembers_the_latest_first():
    net = network()
    ann = person(net, "ann")
    for user in ("one", "two"):
        bob = Person(net)
        bob.say("NICK bob", f"USER {user} 0 * :B", "QUIT")
    got = ann.say("WHOWAS Bob")
    assert codes(got) == ["314", "312", "314", "312", "369"]
    assert [m.params[2] for m in got if m.command == "314"] == ["~two", "~one"]
    for count, results in (("1", 1), ("2", 2), ("0", 2), ("-1", 2), ("x", 2)):
        assert codes(ann.say(f"WHOWAS bob {count}")).count("314") == results
    assert codes(ann.say("WHOWAS *ob")).count("314") == 2
    assert codes(ann.say("WHOWAS nobody")) == ["406", "369"]
    assert codes(ann.say("WHOWAS")) == ["431"]
    assert codes(ann.say("WHOWAS bob,nobody")).count("314") == 2
    ann.say("NICK anna")
    assert "314" in codes(ann.say("WHOWAS ann"))


def test_userhost_and_ison():
    net = network()
    ann = person(net, "ann")
    bob = person(net, "bob")
    bob.say("AWAY :x")
    bob.client.modes.add("o")
    assert ann.one("USERHOST ann nobody BOB").params[-1].split()[0].startswith("ann=+~ann@")
    assert ann.one("USERHOST bob").params[-1].startswith("bob*=-~bob@")
    assert ann.one("ISON :ann nobody BOB").params[-1] == "ann bob"
    assert ann.one("ISON nobody").params[-1] == ""


def test_lusers_counts():
    net = network()
    ann = person(net, "ann")
    Person(net).say("NICK half")
    by_code = {m.command: m for m in ann.say("LUSERS")}
    assert by_code["251"].params[-1] == "There are 1 users and 0 invisible on 1 servers"
    assert by_code["253"].params[1] == "1"
    bob = person(net, "bob")
    bob.say("MODE bob +i")
    by_code = {m.command: m for m in ann.say("LUSERS")}
    assert by_code["251"].params[-1] == "There are 1 users and 1 invisible on 1 servers"
    bob.say("QUIT")
    assert {m.command: m for m in ann.say("LUSERS")}["265"].params[1:3] == ["1", "2"]


def test_the_server_tells_of_itself():
    net = network()
    ann = person(net, "ann")
    assert codes(ann.say("MOTD")) == ["422"]
    net.motd = ["one", "two"]
    assert codes(ann.say("MOTD")) == ["375", "372", "372", "376"]
    assert codes(ann.say("ADMIN")) == ["256", "257", "258", "259"]
    assert codes(ann.say("INFO"))[-1] == "374"
    assert codes(ann.say("VERSION"))[:2] == ["351", "005"]
    assert codes(ann.say("TIME")) == ["391"]
    assert codes(ann.say("LINKS")) == ["365"]
    for command in ("MOTD", "ADMIN", "INFO", "VERSION", "TIME"):
        assert codes(ann.say(f"{command} other.server")) == ["402"]
        assert codes(ann.say(f"{command} My.Little.*"))[0] != "402"
        assert codes(ann.say(f"{command} ann"))[0] != "402"


@pytest.mark.parametrize("command", ["HELP", "HELPOP"])
def test_help(command):
    ann = person(network(), "ann")
    for subject in ("", "privmsg"):
        got = ann.say(f"{command} {subject}")
        assert codes(got) == ["704", "705", "706"]
        assert len({m.params[1] for m in got}) == 1
    assert ann.one(f"{command} NONSENSE").params[:2] == ["ann", "NONSENSE"]


def test_stats():
    net = network()
    ann = person(net, "ann")
    assert codes(ann.say("STATS u")) == ["242", "219"]
    assert codes(ann.say("STATS k")) == ["481", "219"]
    assert codes(ann.say("STATS")) == ["219"]
    op = oper(net)
    op.say("KLINE 10 bad@host :spam")
    assert codes(op.say("STATS k")) == ["216", "219"]
    assert codes(op.say("STATS o")) == ["243", "219"]
    assert codes(op.say("STATS l")) == ["211", "211", "219"]
    assert codes(op.say("LINKS")) == ["364", "365"]


# --- MONITOR


def test_coming_and_going_is_told_to_those_who_watch():
    net = network()
    ann = person(net, "ann")
    assert ann.one("MONITOR + bob").params[-1] == "bob"
    bob = person(net, "Bob")
    got = ann.one()
    assert (got.command, got.params[-1].split("!")[0]) == ("730", "Bob")
    bob.say("NICK BOB")
    assert ann.read() == []
    bob.say("NICK rob")
    assert ann.one().params == ["ann", "BOB"]
    bob.say("NICK bob", "QUIT")
    assert codes(ann.read()) == ["730", "731"]


def test_the_monitor_list_is_shown_cleared_and_limited():
    net = network(monitor_limit=3)
    ann = person(net, "ann")
    person(net, "bob")
    assert sorted(ann.commands("MONITOR + bob,eve,*!x@y")) == ["730", "731"]
    assert sorted(ann.commands("MONITOR S")) == ["730", "731"]
    got = ann.say("MONITOR L")
    assert codes(got) == ["732", "733"]
    assert got[0].params[-1] == "bob,eve"
    assert "734" in ann.commands("MONITOR + a,b")
    assert ann.say("MONITOR - BOB,nobody") == []
    assert ann.say("MONITOR L")[0].params[-1] == "eve,a"
    assert ann.say("MONITOR C") == []
    assert codes(ann.say("MONITOR L")) == ["733"]
    assert net.monitors == {}
    assert ann.commands("MONITOR") == ["461"]


@pytest.mark.parametrize("name", ["extended-monitor", "draft/extended-monitor"])
def test_extended_monitor_tells_of_changes_too(name):
    net = network()
    ann = person(net, "ann", f"{name} away-notify account-notify setname chghost")
    plain = person(net, "plain", "away-notify")
    bob = person(net, "bob")
    ann.say("MONITOR + bob")
    plain.say("MONITOR + bob")
    bob.say("AWAY :x", "SETNAME :New", "MODE bob -x")
    assert codes(ann.read()) == ["AWAY", "SETNAME", "CHGHOST"]
    assert plain.read() == []


def test_who_leaves_watches_no_more():
    net = network()
    ann = person(net, "ann")
    ann.say("MONITOR + bob", "QUIT")
    assert not net.monitors.get("bob")
    person(net, "bob")


# --- operators


def test_oper_needs_the_right_password():
    net = network()
    net.opers["operuser"] = HASHED
    ann = person(net, "ann")
    assert ann.commands("OPER operuser wrong", "OPER nobody operpassword", "OPER x") == ["464", "464", "461"]
    assert not ann.client.is_oper
    for _ in range(8):
        ann.say("OPER operuser wrong")
    assert ann.commands("OPER operuser operpassword") == ["464"]  # too many


def test_only_operators_do_what_operators_do():
    ann = person(network(), "ann")
    lines = [
        "KILL ann x",
        "KLINE x@y",
        "UNKLINE x@y",
        "REHASH",
        "WALLOPS x",
        "CHGHOST ann a b",
        "SAJOIN ann #c",
        "SAMODE #c +m",
    ]
    assert ann.commands(*lines) == ["481"] * len(lines)


def test_kill():
    net = network()
    op, ann = oper(net, "oper", "#c"), person(net, "ann", "", "#c")
    op.read()
    op.say("KILL ann :enough")
    assert codes(ann.read())[-2:] == ["KILL", "ERROR"]
    assert op.commands("KILL nobody x", "KILL NickServ x") == ["401", "483"]
    assert net.find("ann") is None


def test_klines_drop_those_they_cover_and_never_everybody():
    net = network()
    op = oper(net)
    ann = person(net, "ann", address="10.0.0.9")
    op.say("KLINE 10.0.0.0/24 :spam")
    assert ann.read()[-1].command == "ERROR"
    assert "would cover everybody" in op.one("KLINE *@*").params[-1]
    assert "covers yourself" in op.one("KLINE *@127.0.0.1").params[-1]
    assert Person(net, "10.0.0.77").commands("NICK a", "USER a 0 * :A") == ["465", "ERROR"]
    assert "removed" in op.one("UNKLINE 10.0.0.0/24").params[-1]
    assert "no K-line" in op.one("UNKLINE 10.0.0.0/24").params[-1]
    assert "001" in Person(net, "10.0.0.77").commands("NICK a", "USER a 0 * :A")


def test_wallops_reach_those_who_want_them():
    net = network()
    op, ann, bob = oper(net), person(net, "ann"), person(net, "bob")
    ann.say("MODE ann +w")
    op.say("WALLOPS :hear ye")
    assert (ann.read()[-1].command, bob.read()) == ("WALLOPS", [])
    assert op.commands("WALLOPS") == ["461"]


def test_forcing_hosts_joins_and_modes():
    net = network()
    op, ann = oper(net), person(net, "ann", "chghost", "#c")
    ann.say("MODE #c +i")
    op.say("CHGHOST ann user a.vhost.example")
    assert ann.client.host == "a.vhost.example"
    assert codes(ann.read()) == ["CHGHOST", "396"]
    assert "nothing was changed" in op.one("CHGHOST ann user b@d").params[-1]
    op.say("SAJOIN oper #c")
    assert op.client in net.channel("#c").members
    op.read()
    op.say("SAMODE #c +o oper")
    assert net.channel("#c").members[op.client] == "o"
    op.say("PART #c", "SAMODE #c -i")
    assert "i" not in net.channel("#c").flags
    assert op.client not in net.channel("#c").members
    op.read()
    assert op.commands("SAJOIN nobody #c", "SAJOIN ann #none", "SAMODE #none +i", "CHGHOST nobody a b") == [
        "401",
        "403",
        "403",
        "401",
    ]


# --- bots


class Parrot(Bot):
    """Says it again."""

    nick = "parrot"
    channels = ("#c",)

    def heard(self, said):
        if said.text == "fail":
            raise RuntimeError("on purpose")
        if not said.notice:
            said.reply(f"{said.nick}: {said.text}")

    def saw_join(self, nick, channel):
        self.say(channel, f"hello {nick}")

    def saw_part(self, nick, channel):
        self.notice(channel, f"bye {nick}")


def test_a_bot_hears_and_speaks(caplog):
    net = network()
    parrot = Parrot()
    net.bots["parrot"] = parrot
    bots.enter(net, parrot)
    ann = person(net, "ann")
    got = ann.say("JOIN #c")
    assert got[-1].params == ["#c", "hello ann"]
    assert ann.one("PRIVMSG #c :ahoy").params == ["#c", "ann: ahoy"]
    assert ann.one("PRIVMSG parrot :psst").params == ["ann", "ann: psst"]
    assert ann.say("NOTICE parrot :psst") == []
    assert ann.say("PRIVMSG #c :fail") == []
    assert "parrot failed" in caplog.text
    bob = person(net, "bob", "", "#c")
    bob.say("PART #c")
    assert ann.read()[-1].params == ["#c", "bye bob"]
    bots.leave(net, parrot, "enough")
    assert ann.read()[-1].command == "QUIT"
    with pytest.raises(RuntimeError, match="not on a network"):
        _ = parrot.network


def test_two_bots_that_answer_each_other_do_not_stop_the_server():
    class Chatty(Parrot):
        hears_bots = True
        heard_so_far = 0

        def heard(self, said):
            self.heard_so_far += 1
            said.reply("and you?")

    class Other(Chatty):
        nick = "other"

    net = network()
    for bot in (Chatty(), Other(), Parrot()):
        if type(bot) is Parrot:
            bot.nick = "quiet"
        net.bots[bot.nick] = bot
        bots.enter(net, bot)
    ann = person(net, "ann", "", "#c")
    ann.read()
    ann.say("PRIVMSG #c :hello")
    assert 2 < net.bots["other"].heard_so_far < 1000
    assert net.pending  # they go on later, between other things
    assert "PONG" in ann.commands("PING x")


def test_a_bot_takes_its_nickname_from_whoever_has_it():
    net = network()
    ann = person(net, "parrot")
    bots.enter(net, Parrot())
    assert ann.read()[-1].command == "ERROR"
    assert net.find("parrot").is_bot


# --- metadata


def meta(net, nick, *joins):
    return person(net, nick, "draft/metadata-3 batch", *joins)


def values(messages):
    assert messages[0].params[1] == "metadata"
    assert messages[-1].params[0][0] == "-"
    return [m.params[2:] for m in messages[1:-1]]


def test_metadata_is_set_read_unset_and_cleared():
    ann = meta(network(), "ann")
    assert ann.one("METADATA * SET display-name :Ann Other").params == ["ann", "ann", "display-name", "*", "Ann Other"]
    assert values(ann.say("METADATA ann GET display-name avatar")) == [
        ["display-name", "*", "Ann Other"],
        ["avatar", "key not set"],
    ]
    ann.say("METADATA * SET url x")
    assert len(values(ann.say("METADATA * LIST"))) == 2
    assert ann.one("METADATA * SET url").command == "766"
    assert [v[0] for v in values(ann.say("METADATA * CLEAR"))] == ["display-name"]
    assert values(ann.say("METADATA * LIST")) == []


def test_metadata_is_told_to_those_who_follow_it():
    net = network()
    ann, bob = meta(net, "ann", "#c"), meta(net, "bob")
    assert bob.one("METADATA * SUB avatar display-name").params == ["bob", "avatar", "display-name"]
    ann.say("METADATA * SET display-name :One", "METADATA #c SET avatar :pic")
    assert bob.read() == []
    got = [m.params[1:] for m in bob.say("JOIN #c") if m.command == "761"]
    assert sorted(got) == [["#c", "avatar", "*", "pic"], ["ann", "display-name", "*", "One"]]
    ann.say("METADATA * SET display-name :Two", "METADATA * SET other :x", "METADATA * SET display-name")
    assert codes(bob.read()) == ["761", "766"]
    assert bob.one("METADATA * SUBS").params[1:] == ["avatar", "display-name"]
    assert bob.one("METADATA * UNSUB avatar").command == "771"
    ann.say("METADATA #c CLEAR")
    assert bob.read() == []
    assert [m.params[2:] for m in bob.say("WHOIS ann") if m.command == "760"] == [["other", "*", "x"]]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("METADATA nobody LIST", "INVALID_TARGET"),
        ("METADATA bob SET x y", "KEY_NO_PERMISSION"),
        ("METADATA bob CLEAR", "KEY_NO_PERMISSION"),
        ("METADATA #c SET x y", "KEY_NO_PERMISSION"),
        ("METADATA * SET BAD! y", "KEY_INVALID"),
        ("METADATA * SET", "KEY_INVALID"),
        (f"METADATA * SET x :{'é' * 200}", "INVALID_VALUE"),
        ("METADATA * FOO", "SUBCOMMAND_INVALID"),
        ("METADATA #closed LIST", "INVALID_TARGET"),
    ],
)
def test_metadata_refuses(line, code):
    net = network()
    person(net, "op", "", "#c", "#closed").say("MODE #closed +i")
    person(net, "bob")
    ann = meta(net, "ann", "#c")
    ann.read()
    got = ann.one(line)
    assert (got.command, got.params[:2]) == ("FAIL", ["METADATA", code])


def test_metadata_set_before_registration_is_repeated_after_it():
    net = network()
    ann = Person(net)
    ann.say("CAP REQ :draft/metadata-3 batch", "METADATA * SET display-name :Ann", "NICK ann", "USER a 0 * :A")
    got = ann.say("CAP END")
    assert ["ann", "ann", "display-name", "*", "Ann"] in [m.params for m in got if m.command == "761"]


def test_metadata_is_for_those_who_asked_with_or_without_batches():
    net = network()
    ann, plain = person(net, "ann", "draft/metadata-2", "#c"), person(net, "plain", "", "#c")
    assert plain.commands("METADATA * LIST", "METADATA") == ["421", "461"]
    ann.read()
    ann.say("METADATA * SET a 1", "METADATA #c SET a 2")
    assert codes(ann.say("METADATA * LIST")) == ["761"]
    ann.say("METADATA * SUB a BAD")
    assert codes(ann.say("METADATA #c SYNC")) == ["761", "762"]
    assert ann.one("METADATA * GET BAD!").params[1] == "KEY_INVALID"
    assert codes(ann.say("METADATA * SUB " + " ".join(f"k{n}" for n in range(29)))) == ["770"]
    assert codes(ann.say("METADATA * SUB " + " ".join(f"j{n}" for n in range(29)))) == ["FAIL", "770"]
    assert len(ann.client.subscribed) == 50
    for number in range(19):
        ann.say(f"METADATA * SET k{number} x")
    assert ann.one("METADATA * SET more x").params[1] == "LIMIT_REACHED"
