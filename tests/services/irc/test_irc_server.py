"""Real sockets: conversations, floods, slow readers, half-open peers, restarts, TLS, websockets."""

import argparse
import asyncio
import pickle
import socket
import ssl
import subprocess

import pytest
from ircnet import person
from ircwire import PATIENCE, running

from midair.runtime.space import Space
from midair.runtime.testing import connected, resaved
from midair.services.irc import Bot, Irc
from midair.services.irc.connection import IrcConnection


async def test_two_people_talk():
    async with running() as here:
        ann, bob = await here.person("ann", "#c"), await here.person("bob", "#c")
        await ann.sync()
        ann.send("PRIVMSG #c :hello")
        got = await bob.next()
        assert got.params == ["#c", "hello"]
        bob.send("QUIT :bye")
        assert (await bob.at_end())[-1].command == "ERROR"
        assert (await ann.next()).command == "QUIT"


async def test_lines_may_come_in_any_pieces():
    async with running() as here:
        wire = await here.wire()
        for byte in b"NICK ann\nUSER ann 0 * :Ann\r\nPING caf\xc3\xa9\r\n":
            wire.writer.write(bytes([byte]))
            await wire.writer.drain()
        assert (await wire.until("PONG"))[-1].params[-1] == "café"


async def test_a_lost_connection_is_a_quit_and_frees_the_nickname():
    async with running() as here:
        ann, bob = await here.person("ann", "#c"), await here.person("bob", "#c")
        await ann.sync()
        bob.writer.transport.abort()
        assert (await ann.next()).command == "QUIT"
        await here.person("bob")


async def test_a_line_without_end_is_thrown_away_as_it_comes():
    async with running() as here:
        ann = await here.person("ann")
        for _ in range(40):
            ann.writer.write(b"x" * 10_000)
            await ann.writer.drain()
        ann.send("", "PING after")
        got = await ann.until("PONG")
        assert [m.command for m in got] == ["417", "PONG"]
        (connection,) = here.irc.connections
        assert len(connection.inbox) == 0


async def test_a_flood_is_slowed_and_hurts_nobody_else():
    async with running() as here:
        here.net.settings.burst, here.net.settings.rate = 20, 500.0
        ann, bob, flood = (
            await here.person("ann", "#c"),
            await here.person("bob", "#c"),
            await here.person("flood", "#c"),
        )
        for wire in (ann, bob):
            await wire.sync()
        flood.writer.write(b"".join(b"PRIVMSG #c :%d\r\n" % n for n in range(300)))
        ann.send("PRIVMSG #c :calm")
        got = await bob.until(lambda m: m.params[-1] == "calm")
        assert len(got) < 300  # it did not wait for the flood
        rest = await bob.until(lambda m: m.params[-1] == "299")
        heard = [m.params[-1] for m in got + rest if m.source.startswith("flood!")]
        assert heard == [str(n) for n in range(300)]  # and none of it is lost


async def test_a_reader_who_does_not_read_is_dropped_alone():
    async with running() as here:
        here.net.settings.burst, here.net.settings.rate = 10_000, 1e9
        ann, bob, slow = await here.person("ann", "#c"), await here.person("bob", "#c"), await here.person("slow", "#c")
        slow.writer.transport.pause_reading()
        connection = here.net.find("slow").connection
        connection.max_unsent = 50_000
        # What the kernel would take for it is megabytes; here it is little, so that the test is short.
        slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        await ann.sync()
        text, count, seen = "x" * 400, 0, []
        while not any(m.command == "QUIT" for m in seen):
            for _ in range(100):
                bob.send(f"PRIVMSG #c :{text}")
            count += 100
            await bob.sync(str(count))
            seen += await ann.sync(str(count))
        assert sum(m.command == "PRIVMSG" for m in seen) == count
        assert [m.source.split("!")[0] for m in seen if m.command == "QUIT"] == ["slow"]
        assert here.net.find("slow") is None


async def test_who_says_nothing_is_asked_and_then_dropped():
    async with running() as here:
        ann, half = await here.person("ann"), await here.wire()
        half.send("NICK half")
        await half.sync()
        here.net.find("ann").last_heard -= here.net.settings.ping_after + 1
        here.irc.sweep()
        assert (await ann.next()).command == "PING"
        here.irc.sweep()
        ann.send("PONG x")
        assert await ann.sync() == []
        here.net.find("ann").last_heard -= here.net.settings.drop_after + 1
        for client in here.net.connections:
            client.connected -= here.net.settings.register_within + 1
        here.irc.sweep()
        assert "Ping timeout" in (await ann.at_end())[-1].params[0]
        assert "timed out" in (await half.at_end())[-1].params[0]


async def test_a_refused_connection_is_told_why():
    async with running() as here:
        here.net.settings.max_clients = 0
        assert "full" in (await (await here.wire()).at_end())[-1].params[0]


async def test_a_wrong_password_blocks_nobody_while_it_is_hashed():
    async with running() as here:
        here.irc.add_oper("operuser", "operpassword")
        ann, bob = await here.person("ann"), await here.person("bob")
        ann.send("OPER operuser wrong", "OPER operuser operpassword", "PING after")
        got = await ann.until("PONG")
        assert [m.command for m in got] == ["464", "381", "MODE", "PONG"]  # in the order of the questions
        assert await bob.sync() == []


async def test_who_leaves_while_a_password_is_hashed_leaves_no_trace():
    async with running() as here:
        here.irc.add_oper("operuser", "operpassword")
        ann = await here.person("ann")
        ann.send("OPER operuser operpassword")
        await ann.writer.drain()
        ann.writer.transport.abort()
        await here.person("ann2")
        bob = await here.person("bob")
        assert await bob.sync() == []
        assert here.net.find("ann") is None


# --- restarts


def settled():
    """A space in which people have talked."""
    space = Space()
    irc = space["irc"] = Irc(0, name="My.Little.Server", title="testnet")
    net = irc.network
    ann = person(net, "ann", "", "#kept", "#empty")
    ann.say("TOPIC #kept :tea", "MODE #kept +ib-t bad!*@*", "PRIVMSG #kept :remember", "MODE #kept +k key")
    from midair.services.irc import accounts
    from midair.services.irc.commands.account import make_account

    make_account(net, "ann", accounts.make_both("sesame"))
    net.channel("#kept").founder, net.channel("#kept").access = "ann", {"ann": "q"}
    return space


async def test_after_a_restart_all_is_back_and_no_ghost_is():
    again = resaved(settled())
    net = again["irc"].network
    channel = net.channel("#kept")
    assert (channel.topic.text, channel.key, channel.members) == ("tea", "key", {})
    assert channel.flags == {"n", "i"}
    assert [entry.mask for entry in channel.lists["b"]] == ["bad!*@*"]
    assert net.clients == {}
    async with running(again) as here:
        ann = await here.wire()
        ann.send("PASS ann:sesame", "CAP REQ :batch draft/chathistory")
        await ann.register("ann", caps="server-time")
        ann.send("JOIN #kept", "CHATHISTORY LATEST #kept * 10")
        got = await ann.until(lambda m: m.command == "BATCH" and m.params[0].startswith("-"))
        assert [m.params[-1] for m in got if m.command in {"332", "353", "PRIVMSG"}] == ["tea", "~ann", "remember"]
        assert "#empty" in net.channels  # waits for a while
        net.started -= net.settings.empty_for + 1
        here.irc.sweep()
        assert "#empty" not in net.channels
        assert "#kept" in net.channels


async def test_a_server_with_people_on_it_can_be_saved_at_any_time():
    async with running() as here:
        ann = await here.person("ann", "#c", caps="batch labeled-response")
        here.irc.add_oper("o", "p")
        ann.send("MONITOR + bob", "OPER o wrong")
        await ann.sync()
        again = resaved(here.server.space)
        assert again["irc"].network.clients == {}
        assert "#c" in again["irc"].network.channels
        assert not here.server.space.check().problems


async def test_a_connection_is_handed_to_another_process_with_everything_in_it():
    async with running() as here:
        ann, bob = await here.person("ann", "#c", caps="server-time"), await here.person("bob", "#c")
        ann.send("MONITOR + bob", "AWAY :x", "INVITE bob #c")
        await ann.sync()
        ann.writer.write(b"PRIVMSG #c :half a ")
        bob.send("TOPIC #c :t", "PRIVMSG ann :last words")
        await bob.sync()
        connections = {c.client.nick: c for c in here.irc.connections}
        while not connections["ann"].inbox:
            await asyncio.sleep(0)
        frozen = {nick: pickle.loads(pickle.dumps(c.freeze())) for nick, c in connections.items()}
        there = resaved(here.server.space)["irc"]
    transports = {}
    for nick in ("ann", "bob"):
        connection = IrcConnection()
        connection.service = there
        connection.thaw(frozen[nick])
        connection, transports[nick] = connected(connection)
    net = there.network
    channel = net.channel("#c")
    assert {client.nick: held for client, held in channel.members.items()} == {"ann": "o", "bob": ""}
    client = net.find("ann")
    assert (client.away, client.caps, client.monitoring) == ("x", {"cap-notify", "server-time"}, {"bob": "bob"})
    client.connection.data_received(b"sentence\r\n")
    there.flush()
    assert transports["bob"].sent.endswith(b"PRIVMSG #c :half a sentence\r\n")
    assert b"JOIN" not in transports["bob"].sent


class Echo(Bot):
    nick = "echo"
    channels = ("#c",)

    def __init__(self):
        self.count = 0

    def heard(self, said):
        self.count += 1
        said.reply(f"{self.count} {said.text}")


async def test_a_bot_is_back_after_a_restart_with_what_it_remembers():
    space = Space()
    irc = space["irc"] = Irc(0, name="My.Little.Server")
    irc.add_bot(Echo())
    async with running(space) as here:
        ann = await here.person("ann", "#c")
        ann.send("PRIVMSG #c :hi")
        assert (await ann.until("PRIVMSG"))[-1].params[-1] == "1 hi"
        saved = resaved(space)
    async with running(saved) as here:
        ann = await here.person("ann", "#c")
        ann.send("PRIVMSG echo :again")
        assert (await ann.until("PRIVMSG"))[-1].params[-1] == "2 again"
        here.irc.add_bot(Echo())  # a new one makes the old one leave
        ann.send("PRIVMSG echo :new")
        assert (await ann.until("PRIVMSG"))[-1].params[-1] == "1 new"
        here.irc.remove_bot("ECHO")
        with pytest.raises(KeyError):
            here.irc.remove_bot("echo")


# --- the message of the day, TLS, websockets


async def test_the_message_of_the_day_follows_its_file(tmp_path, caplog):
    motd = tmp_path / "motd"
    motd.write_text("one\ntwo\n")
    async with running(motd=str(motd)) as here:
        assert here.net.motd == ["one", "two"]
        motd.write_text("three, and longer")
        here.irc.sweep()
        assert here.net.motd == ["three, and longer"]
        motd.unlink()
        here.irc.sweep()
        assert here.net.motd == ["three, and longer"]
        assert "the old one stays" in caplog.text


def make_certificate(folder, name, *, client=False):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", "extendedKeyUsage=clientAuth,serverAuth"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "9", "-keyout", key, "-out", cert, *subject], check=True, capture_output=True)
    return str(cert), str(key)


def trusting():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_tls_and_a_new_certificate_under_open_connections(tmp_path):
    cert, key = make_certificate(tmp_path, "one")
    async with running(cert=cert, key=key, tls_port=0) as here:
        ann = await here.wire(0, trusting())
        await ann.register("ann")
        first = ann.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert here.net.find("ann").secure
        plain = await here.wire(1)
        await plain.register("plain")
        assert not here.net.find("plain").secure
        for source, target in zip(make_certificate(tmp_path, "two"), (cert, key), strict=True):
            (tmp_path / source).replace(target)
        here.irc.sweep()
        bob = await here.wire(0, trusting())
        await bob.register("bob")
        assert bob.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) != first
        assert await ann.sync() == []
        (tmp_path / "one.pem").write_text("damaged, and so not taken up")
        here.irc.sweep()
        await (await here.wire(0, trusting())).register("eve")


async def test_a_client_certificate_logs_in(tmp_path):
    cert, key = make_certificate(tmp_path, "server")
    own, own_key = make_certificate(tmp_path, "ann", client=True)
    async with running(cert=cert, key=key, tls_port=0, client_ca=own) as here:
        context = trusting()
        context.load_cert_chain(own, own_key)
        ann = await here.wire(0, context)
        await ann.register("ann")
        fingerprint = here.net.find("ann").certfp
        assert len(fingerprint) == 64
        ann.send("PRIVMSG NickServ :REGISTER sesame")
        await ann.until("NOTICE")
        ann.send("PRIVMSG NickServ :CERT ADD")
        await ann.until("NOTICE")
        again = await here.wire(0, context)
        again.send("CAP REQ :sasl", "AUTHENTICATE EXTERNAL", "AUTHENTICATE +")
        assert (await again.until("903"))[-2].command == "900"
        await (await here.wire(0, trusting())).register("nobody")  # without a certificate too


async def test_websocket_clients_speak_a_line_a_message():
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.typing import Subprotocol

    async with running(ws_port=0) as here:
        ann = await here.person("ann", "#c")
        url = f"ws://{here.irc.addresses[1]}"
        for kind in ("text.ircv3.net", "binary.ircv3.net"):
            async with connect(url, subprotocols=[Subprotocol(kind)], compression=None) as ws:
                assert ws.subprotocol == kind
                await ws.send("NICK web")
                await ws.send("USER web 0 * :Web\r\n")
                await ws.send("JOIN #c")
                lines = []
                while " 366 " not in (lines or [""])[-1]:
                    data = await asyncio.wait_for(ws.recv(), PATIENCE)
                    lines.append(data if isinstance(data, str) else data.decode())
                    assert isinstance(data, str) == (kind[0] == "t")
                assert not any("\n" in line or "\r" in line for line in lines)
                await ws.send("PRIVMSG #c :from the web")
                assert (await ann.until("PRIVMSG"))[-1].params == ["#c", "from the web"]
                await ws.send("QUIT")
                with pytest.raises(ConnectionClosed):
                    while True:
                        await asyncio.wait_for(ws.recv(), PATIENCE)
        with pytest.raises(InvalidStatus):
            async with connect(url, origin="http://elsewhere.example"):
                pass
        raw = await here.wire(1)
        raw.send("NICK notweb", "", "")
        await asyncio.wait_for(raw.reader.read(), PATIENCE)  # no websocket: closed, whatever it was told


async def test_a_flood_over_a_websocket_is_slowed_too():
    from websockets.asyncio.client import connect

    async with running(ws_port=0) as here:
        here.net.settings.burst, here.net.settings.rate = 10, 500.0
        async with connect(f"ws://{here.irc.addresses[1]}", compression=None) as ws:
            await ws.send("NICK web\nUSER web 0 * :Web")
            for n in range(100):
                await ws.send(f"PING {n}")
            pongs = []
            while len(pongs) < 100:
                line = await asyncio.wait_for(ws.recv(), PATIENCE)
                if " PONG " in line:
                    pongs.append(line.rpartition(":")[2])
            assert pongs == [str(n) for n in range(100)]


# --- the kind


def made(*words):
    parser = argparse.ArgumentParser()
    Irc.add_arguments(parser)
    return Irc.make(parser.parse_args(words))


def test_the_options_make_a_server(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MIDAIR_IRC_OPER", raising=False)
    monkeypatch.delenv("MIDAIR_IRC_NAME", raising=False)
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    irc = made(
        "--port", "7000", "--name", "My Net", "--oper", "op", "--password-file", str(secret), "--ws", "0.0.0.0:8097"
    )
    assert (irc.port, irc.network.title, irc.network.name) == (7000, "My Net", "irc.localhost")
    assert (irc.ws_host, irc.ws_port) == ("0.0.0.0", 8097)
    assert set(irc.network.opers) == {"op"}
    assert irc.network.password is None
    irc = made(
        "--name", "irc.example.org", "--password-file", str(secret), "--tls", str(secret), str(secret), "7001",
        "--sts", "60",
    )  # fmt: skip
    assert irc.network.name == irc.network.title == "irc.example.org"
    assert irc.network.password
    assert (irc.tls_port, irc.network.settings.sts_port) == (7001, 7001)
    made("--oper", "op")
    assert "shown once" in capsys.readouterr().out


def test_the_environment_names_server_and_operator(tmp_path, monkeypatch):
    monkeypatch.setenv("MIDAIR_IRC_OPER", "operuser:operpassword")
    monkeypatch.setenv("MIDAIR_IRC_NAME", "My.Little.Server")
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    irc = made("--password-file", str(secret))
    assert irc.network.name == "My.Little.Server"
    assert set(irc.network.opers) == {"operuser"}
    assert irc.network.password


@pytest.mark.parametrize(
    "words",
    [
        ["--tls", "only-one"],
        ["--tls", "c", "k", "port"],
        ["--ws", "nonsense"],
        ["--sts", "60"],
        ["--server-name", "nodot"],
        ["--server-name", "a b.c"],
    ],
)
def test_options_that_make_no_sense_are_refused(words, monkeypatch):
    monkeypatch.delenv("MIDAIR_IRC_NAME", raising=False)
    with pytest.raises(ValueError, match=r"\S"):
        made(*words)


@pytest.mark.parametrize("option", ["--motd", "--client-ca", "--password-file", "--tls"])
def test_a_file_that_is_not_there_is_named_with_its_option(option):
    with pytest.raises(ValueError, match=rf"^{option} nofile: there is no such file; nothing was made$"):
        made(option, "nofile", *["nokey"] * (option == "--tls"))


def test_an_empty_password_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("\n")
    with pytest.raises(ValueError, match="no password"):
        made("--password-file", str(secret))
