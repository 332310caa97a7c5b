"""Every numeric of the table: what makes the server say it."""

import base64

import pytest
from ircnet import Person, network, person

from midair.services.irc import accounts, numerics
from midair.services.irc.commands.account import make_account

KEYS = accounts.make_both("sesame")
METADATA = "draft/metadata-3 batch"


def plain(name, password):
    return "AUTHENTICATE " + base64.b64encode(f"\0{name}\0{password}".encode()).decode()


#: Numerics, and who says what to get them: ann founds #c and is an operator of the server, bob is in it, eve is not.
TABLE = [
    ("001 002 003 004 005 251 252 253 254 255 265 266", "new", "NICK new|USER n 0 * :N"),
    ("211 219", "ann", "STATS l"),
    ("216", "ann", "KLINE bad.example.org spam|STATS k"),
    ("221", "bob", "MODE bob"),
    ("242", "bob", "STATS u"),
    ("243", "ann", "STATS o"),
    ("256 257 258 259", "bob", "ADMIN"),
    ("276 378 671", "sec", "WHOIS sec"),
    ("302 303", "bob", "USERHOST ann|ISON ann"),
    ("301 305 306", "bob", "AWAY :tea|PRIVMSG bob :me|AWAY"),
    ("311 312 313 317 318 319", "bob", "WHOIS ann"),
    ("330 335", "bob", "MODE bob +B|REGISTER * * sesame|WHOIS bob"),
    ("314 338 369", "ann", "NICK anna|NICK ann|WHOWAS anna"),
    ("315 352", "bob", "WHO #c"),
    ("354", "bob", "WHO #c %n"),
    ("321 322 323", "bob", "LIST"),
    ("324 329", "bob", "MODE #c"),
    (
        "331 332 333 353 366",
        "bob",
        "TOPIC #c|JOIN #mine|TOPIC #mine :new|PART #mine|JOIN #mine|TOPIC #mine :x|TOPIC #mine",
    ),
    ("336 337", "eve", "ann INVITE eve #c|INVITE"),
    ("341 443", "ann", "INVITE eve #c|INVITE bob #c"),
    ("346 347 348 349 367 368", "ann", "MODE #c +beI a!*@* b!*@* c!*@*|MODE #c b|MODE #c e|MODE #c I"),
    ("351 371 374 391", "bob", "VERSION|INFO|TIME"),
    ("364 365", "ann", "LINKS"),
    ("372 375 376", "bob", "MOTD"),
    ("381 464", "bob", "OPER boss wrong|OPER boss secret"),
    ("382", "ann", "REHASH"),
    ("396", "bob", "MODE bob -x"),
    ("401 403 404", "eve", "PRIVMSG nobody :x|JOIN :bad|PRIVMSG #c :x"),
    ("402", "bob", "MOTD elsewhere.example.org"),
    ("405", "bob", "JOIN " + ",".join(f"#{n}" for n in range(101))),
    ("406", "bob", "WHOWAS nobody"),
    ("407 409 411 412", "bob", "PRIVMSG a,b,c,d,e :x|PING|PRIVMSG|PRIVMSG #c :"),
    ("410", "bob", "CAP FROB"),
    ("417", "bob", "PRIVMSG #c :" + "x" * 600),
    ("421", "bob", "FROB"),
    ("431 432 433", "bob", "NICK|NICK 1|NICK ann"),
    ("437", "eve", "ann MODE #c +b ~m:eve!*@*|JOIN #c|NICK evelyn"),
    ("441 442 482", "bob", "MODE #c +o bob|eve JOIN #eve|PART #eve|ann MODE #c +o bob|MODE #c +o eve"),
    ("451 461 462 468", "new", "JOIN #c|USER x|USER $ 0 * :x|USER n 0 * :N|NICK new|USER n 0 * :N"),
    ("465", "new", "ann KLINE 192.0.2.7|NICK new|USER n 0 * :N"),
    ("471", "eve", "ann MODE #c +l 1|JOIN #c"),
    ("472 501 502", "ann", "MODE #c +X|MODE ann +X|MODE bob +i"),
    ("473", "eve", "ann MODE #c +i|JOIN #c"),
    ("474", "eve", "ann MODE #c +b eve!*@*|JOIN #c"),
    ("475", "eve", "ann MODE #c +k key|JOIN #c"),
    ("477", "eve", "ann MODE #c +R|JOIN #c"),
    ("478", "ann", "|".join(f"MODE #c +b {n}!*@*" for n in range(101))),
    ("481", "bob", "KILL ann :x"),
    ("483", "ann", "KILL My.Little.Server :x"),
    ("524 704 705 706", "bob", "HELP|HELP FROB"),
    ("531", "bob", "ann MODE ann +T|PRIVMSG ann :\1VERSION\1"),
    ("696", "ann", "MODE #c +k :a b"),
    ("730 731 732 733 734", "bob", "MONITOR + ann,nobody|MONITOR L|MONITOR + " + ",".join(f"n{n}" for n in range(101))),
    ("760", "bob", f"CAP REQ :{METADATA}|METADATA * SET color :red|WHOIS bob"),
    ("761 762 766", "bob", f"CAP REQ :{METADATA}|METADATA * SET color :red|METADATA * GET shape|METADATA * SYNC"),
    ("770 771 772", "bob", f"CAP REQ :{METADATA}|METADATA * SUB color|METADATA * SUBS|METADATA * UNSUB color"),
    ("900 901 903", "bob", f"CAP REQ sasl|AUTHENTICATE PLAIN|{plain('known', 'sesame')}|PRIVMSG NickServ :LOGOUT"),
    (
        "904 905 906 908",
        "bob",
        f"CAP REQ sasl|AUTHENTICATE FROB|AUTHENTICATE PLAIN|AUTHENTICATE *|AUTHENTICATE PLAIN|AUTHENTICATE {'A' * 401}",
    ),
]


def cast():
    """The people of the table; the one called new is not registered yet."""
    net = network()
    net.motd = ["hello"]
    net.opers["boss"] = accounts.make("secret")
    make_account(net, "known", KEYS)
    ann, bob, eve = person(net, "ann", "", "#c"), person(net, "bob", "", "#c"), person(net, "eve")
    ann.say("OPER boss secret")
    sec = Person(net, secure=True, certfp="aa")
    sec.say("NICK sec", "USER s 0 * :S")
    return {"ann": ann, "bob": bob, "eve": eve, "sec": sec, "new": Person(net, "192.0.2.7")}


def heard_by(who, script):
    people = cast()
    people[who].read()
    heard = []
    for line in script.split("|"):
        speaker, _, rest = line.partition(" ")
        if speaker in people:
            people[speaker].say(rest)
        else:
            heard += people[who].say(line)
    return {message.command for message in heard + people[who].read()}


@pytest.mark.parametrize(("wanted", "who", "script"), TABLE, ids=[row[0].replace(" ", "-") for row in TABLE])
def test_what_is_said_brings_the_numerics(wanted, who, script):
    assert set(wanted.split()) <= heard_by(who, script)


def test_the_table_holds_every_numeric_that_there_is():
    there_are = {value for name, value in vars(numerics).items() if name.startswith(("RPL_", "ERR_"))}
    tested = {code for wanted, _, _ in TABLE for code in wanted.split()}
    # An error of ours and a missing message of the day are made in tests of their own.
    elsewhere = {numerics.ERR_UNKNOWNERROR, numerics.ERR_NOMOTD}
    assert there_are == tested | elsewhere
