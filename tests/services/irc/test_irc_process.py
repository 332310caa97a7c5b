"""A real server process, as a person starts it: edited, told to rebuild, stopped and started under real clients."""

import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import pytest
from live_server import PATIENCE, LiveServer

import midair.console.cli.make
import midair.runtime
import midair.services
from midair.runtime.space import Space

NUMBER = 5

#: File, text before and after, and what a PING of x is answered then.
EDITS = [
    ("commands/session.py", "net.name, text=token)", 'net.name, text=f"{token}!")', "x!"),
    ("connection.py", '"""Bytes of one client:', '"""The bytes of one client:', "x!"),
    ("client.py", "self.out.append(out.encoded(self.tagset))", "self.out += [out.encoded(self.tagset)]", "x!"),
    ("commands/session.py", 'text=f"{token}!")', "text=token)", "x"),
]


class Talker:
    """A raw client that blocks until it has heard what it waits for."""

    def __init__(self, port, nick):
        self.nick = nick
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.sock.makefile("r", encoding="utf-8", newline="\r\n")
        self.say(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        self.hear(" 422 ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def say(self, *lines):
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, part):
        for line in self.file:
            if part in line:
                return line.rstrip("\r\n")
        raise AssertionError(f"the server closed before {part!r}")

    def ask(self, line, part):
        self.say(line)
        return self.hear(part)

    def pong(self, token):
        return self.ask(f"PING {token}", " PONG ").rpartition(":")[2]


@pytest.fixture
def tree(tmp_path):
    """A copy of the whole package, whose files may be edited; the path of the IRC service in it."""
    package = tmp_path / "lib" / "midair"
    rooms = Path(midair.runtime.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "_top")
    shutil.copytree(Path(midair.__file__).parent, package, ignore=ignored)
    for name, folder in (("runtime", rooms), ("services", Path(midair.services.__file__).parent)):
        shutil.copytree(folder, package / name, ignore=ignored, dirs_exist_ok=True)
    shutil.copytree(Path(midair.console.__file__).parent, package / "console", ignore=ignored, dirs_exist_ok=True)
    return package / "services" / "irc"


def edit(path, before, after):
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    fresh = path.with_suffix(".new")
    fresh.write_text(text.replace(before, after), encoding="utf-8")
    fresh.replace(path)


def by_watching(server, boss):
    """Nothing to do: the file has been saved."""


def by_sighup(server, boss):
    server.process.send_signal(signal.SIGHUP)


def by_rehash(server, boss):
    boss.ask("REHASH", " 382 ")


@pytest.mark.parametrize("way", [by_watching, by_sighup, by_rehash])
def test_every_client_stays_when_the_servers_own_modules_are_edited(tree, tmp_path, way):
    words = ["irc", "--port", "0", "--watch", tree, "--settle", "0.01"]
    words += [] if way is by_watching else ["--no-watch"]
    environment = {"PYTHONPATH": str(tree.parents[2]), "MIDAIR_IRC_OPER": "boss:secret"}
    with LiveServer(tmp_path, *words, **environment) as server:
        talkers = [Talker(server.port("irc"), f"t{n}") for n in range(NUMBER)]
        boss = talkers[0]
        boss.ask("OPER boss secret", " 381 ")
        for talker in talkers:
            talker.ask("JOIN #c", " 366 ")
        assert boss.pong("x") == "x"
        for number, (file, before, after, answer) in enumerate(EDITS, start=1):
            edit(tree / file, before, after)
            way(server, boss)
            server.wait_for(rf"edit {number}\b")
            assert [talker.pong("x") for talker in talkers] == [answer] * NUMBER
        boss.say("PRIVMSG #c :all still here")
        for talker in talkers[1:]:
            assert talker.hear("all still here").startswith(":t0!")
        assert not any("rror" in line for line in server.err)
        for talker in talkers:
            talker.__exit__()


def test_a_server_that_is_stopped_comes_back_with_everything_but_its_guests(tmp_path):
    with LiveServer(tmp_path, "irc", "--port", "0") as server:
        with Talker(server.port("irc"), "ann") as ann:
            ann.ask("PRIVMSG NickServ :REGISTER sesame", "logged in")
            ann.ask("JOIN #tea,#dry", " 366 ")
            ann.ask("PRIVMSG ChanServ :REGISTER #tea", "yours, and stays")
            ann.say("TOPIC #tea :a good cup", "MODE #tea +bil bad!*@* 7", "PRIVMSG #tea :remember me")
            ann.pong("done")
            assert server.end() == 0
        server.start("irc.spl")
        assert any("resumed irc.spl" in line for line in server.out)
        with Talker(server.port("irc"), "guest") as guest:
            assert guest.ask("ISON ann guest", " 303 ").endswith(":guest")
            assert guest.ask("JOIN #tea", " 473 ")
            guest.say("NICK ann")
            guest.hear(" 433 ")
            assert guest.ask("PRIVMSG NickServ :IDENTIFY ann sesame", "logged in as ann")
            guest.ask("NICK ann", " NICK ")
            guest.say("PRIVMSG ChanServ :OP #tea", "CAP REQ :draft/chathistory batch", "INVITE ann #tea")
            guest.say("MODE #tea", "MODE #tea b", "TOPIC #tea", "PRIVMSG ChanServ :INFO #tea")
            assert " +" in guest.hear(" 324 ")
            assert "bad!*@*" in guest.hear(" 367 ")
            assert guest.hear("registered by ann")


def test_the_name_of_2001_makes_a_server_and_needs_no_options(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIDAIR_IRC_NAME", raising=False)
    monkeypatch.setattr(sys, "argv", ["mkircserver"])
    assert midair.console.cli.make.mkircserver() == 0
    assert "wrote irc.spl" in capsys.readouterr().out
    irc = Space.load(tmp_path / "irc.spl")["irc"]
    assert (irc.port, irc.host, irc.network.bots.keys()) == (6667, "127.0.0.1", {"nickserv", "chanserv"})


def test_a_server_made_with_telnet_has_a_console_too(tmp_path):
    server = LiveServer(tmp_path, "irc.spl")
    made = server.midair("make", "irc", "--port", "0", "--telnet", "0")
    assert made.returncode == 0, made.stderr
    assert "password" in made.stdout
    with server:
        assert "irc-telnet" in server.out[-1]
        assert server.end() == 0
    with server:
        assert re.search(r"\birc-telnet 127\.0\.0\.1:[1-9]", server.out[-1]), server.out
        with Talker(server.port("irc"), "ann") as ann:
            assert ann.pong("x") == "x"


BOT = '''\
from midair.services.irc import Bot, Irc


class Counter(Bot):
    """Counts what it hears."""

    nick = "counter"
    channels = ("#c",)

    def __init__(self):
        self.lines = 0

    def heard(self, said):
        self.lines += 1
        if said.text == "!count":
            said.reply(f"{self.lines} so far")


def build(space):
    space["irc"] = Irc(0)
    space["irc"].add_bot(Counter())
'''


def test_a_bot_of_twenty_lines_is_edited_while_it_talks_and_remembers_after_a_restart(tmp_path):
    (tmp_path / "chat.py").write_text(BOT)
    with LiveServer(tmp_path, "chat.py", "--settle", "0.01") as server:
        with Talker(server.port("irc"), "ann") as ann:
            ann.ask("JOIN #c", " 366 ")
            assert ann.ask("PRIVMSG #c :!count", ":counter!").endswith("#c :1 so far")
            edit(tmp_path / "chat.py", "so far", "and counting")
            server.wait_for(r"edit 1\b")
            assert ann.ask("PRIVMSG #c :!count", ":counter!").endswith("#c :2 and counting")
            assert server.end() == 0
        server.start("chat.py")
        with Talker(server.port("irc"), "ann") as ann:
            ann.ask("JOIN #c", " 366 ")
            assert ann.ask("PRIVMSG #c :!count", ":counter!").endswith("#c :3 and counting")
