"""The server's own modules are edited while people talk; and the clients that people really use."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ircwire import PATIENCE, running
from live_server import LiveServer

import midair.services.irc
from midair.runtime import rebuild

FOLDER = Path(midair.services.irc.__file__).parent
PEOPLE = 20


@pytest.fixture
def editable():
    """The modules of the service, editable; afterwards they are as their files say."""
    rebuild.record(FOLDER)
    before = len(rebuild.history)
    yield
    if len(rebuild.history) > before:
        rebuild.rebuild(*(f"midair.services.irc.{name}" for name in edited_modules()))


def edited_modules():
    names = (".".join(path.relative_to(FOLDER).with_suffix("").parts) for path in editable_files())
    return [name for name in names if f"midair.services.irc.{name}" in sys.modules]


def editable_files():
    return sorted(path for path in FOLDER.rglob("*.py") if path.name != "__init__.py")


def text_of(module):
    return (FOLDER / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


async def edit(module, *change):
    text = text_of(module)
    if change:
        assert text.count(change[0]) == 1
        text = text.replace(*change)
    else:
        text += f"# edit {len(rebuild.history)}\n"
    return await rebuild.apply(sources={f"midair.services.irc.{module}": text})


async def test_people_talk_through_edits_of_every_module(editable):
    async with running() as here:
        people = [await here.person(f"p{n}", "#c") for n in range(PEOPLE)]
        for wire in people:
            await wire.sync("begin")
        modules = edited_modules()
        for number, module in enumerate(modules):
            for place, wire in enumerate(people):
                wire.send(f"PRIVMSG #c :{number} {place}")
            await edit(module)
        for number in range(PEOPLE):
            people[number].send("PING done")
        for place, wire in enumerate(people):
            got = await wire.until(lambda m: m.command == "PONG")
            got += await wire.sync("end")
            heard = [m.params[-1] for m in got if m.command == "PRIVMSG"]
            due = {f"{n} {p}" for n in range(len(modules)) for p in range(PEOPLE) if p != place}
            assert len(heard) == len(due)
            assert set(heard) == due
        assert len(here.net.users()) == PEOPLE
        assert len(modules) > 20


async def test_a_changed_command_works_at_once_and_a_new_one_too(editable):
    async with running() as here:
        ann = await here.person("ann", "#c")
        ann.send("FROB")
        assert (await ann.next()).command == "421"
        before = "def cmd_pong("
        after = 'def cmd_frob(net, client, message):\n    client.notice("frobbed")\n\n\ndef cmd_pong('
        await edit("commands.session", before, after)
        ann.send("FROB")
        assert (await ann.next()).params[-1] == "frobbed"
        await edit("commands.session", '"PONG", net.name, text=token', '"PONG", net.name, text=token + "!"')
        ann.send("PING x")
        assert (await ann.next()).params[-1] == "x!"
        ann.send("FROB")
        assert (await ann.next()).command == "421"


async def test_a_broken_edit_changes_nothing(editable):
    async with running() as here:
        ann = await here.person("ann", "#c")
        with pytest.raises(rebuild.RebuildError):
            await rebuild.apply(sources={"midair.services.irc.dispatch": "def handle(:\n"})
        assert await ann.sync() == []


async def test_rehash_is_a_rebuild_and_keeps_everybody(editable):
    async with running() as here:
        here.irc.add_oper("operuser", "operpassword")
        ann, bob = await here.person("ann", "#c"), await here.person("bob", "#c")
        await ann.sync()
        ann.send("OPER operuser operpassword", "REHASH")
        got = await ann.until("NOTICE")
        assert "382" in [m.command for m in got]
        assert got[-1].params[-1]
        await ann.sync()
        bob.send("PRIVMSG #c :still here")
        assert (await ann.until("PRIVMSG"))[-1].params[-1] == "still here"


# --- clients of the world


@pytest.fixture
def server(tmp_path):
    with LiveServer(tmp_path, "irc", "--port", "0", "--name", "irc.test.example") as running_server:
        yield running_server


class Listener:
    """Somebody in the channel with whom the client under test talks."""

    def __enter__(self):
        try:
            self.say("NICK listener", "USER l 0 * :L", "JOIN #bar")
            self.hear(" 366 ")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.file = self.sock.makefile("r", encoding="utf-8", newline="\r\n")

    def say(self, *lines):
        self.sock.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, part):
        for line in self.file:
            if line.startswith("PING"):
                self.say("PONG :x")
            if part in line:
                return line
        raise AssertionError(f"the server closed before {part!r}")


@pytest.fixture
def listener(server):
    with Listener(server.port("irc")) as somebody:
        yield somebody


def wait_for_text(path, text, process):
    """Wait until a client has written something to its log; inotify is not everywhere, so it is looked at."""
    poll = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        if path.exists() and text in path.read_text(encoding="utf-8", errors="replace"):
            return
        assert process.poll() is None, f"the client ended with {process.returncode}"
        poll.wait(0.05)
    raise AssertionError(f"{text!r} did not appear in {path.name}")


def needs(program):
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed here")
    return found


def stop(process):
    process.kill()
    process.wait(PATIENCE)


def test_ii_joins_talks_and_reads_back(server, listener, tmp_path):
    program, port = needs("ii"), server.port("irc")
    process = subprocess.Popen(
        [program, "-s", "127.0.0.1", "-p", str(port), "-n", "iiuser", "-i", str(tmp_path / "ii")]
    )
    try:
        home = tmp_path / "ii" / "127.0.0.1"
        wait_for_text(home / "out", "Welcome", process)
        (home / "in").write_text("/j #bar\n")
        listener.hear("iiuser!")
        wait_for_text(home / "#bar" / "out", "iiuser", process)
        (home / "#bar" / "in").write_text("hello from ii\n")
        assert "PRIVMSG #bar :hello from ii" in listener.hear("hello from ii")
        listener.say("PRIVMSG #bar :hello back")
        wait_for_text(home / "#bar" / "out", "hello back", process)
    finally:
        stop(process)


def test_irssi_joins_talks_and_reads_back(server, listener, tmp_path):
    program, port = needs("irssi"), server.port("irc")
    script = needs("script")
    home = tmp_path / "irssi"
    home.mkdir()
    (home / "config").write_text(f"""
servers = ( {{ address = "127.0.0.1"; chatnet = "t"; port = "{port}"; use_tls = "no"; autoconnect = "yes"; }} );
chatnets = {{ t = {{ type = "IRC"; cmd_queue_speed = "0msec"; }}; }};
channels = ( {{ name = "#bar"; chatnet = "t"; autojoin = "yes"; }} );
settings = {{ core = {{ real_name = "r"; user_name = "irssi"; nick = "irssiuser"; }}; }};
logs = {{ "{home}/bar.log" = {{ auto_open = "yes"; level = "ALL"; items = ( {{ type = "target"; name = "#bar"; }} ); }}; }};
""")
    environment = {**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [script, "-qc", f"{program} --home={home}", "/dev/null"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        listener.hear("irssiuser!")
        listener.say("PRIVMSG #bar :hello back")
        wait_for_text(home / "bar.log", "hello back", process)
        assert process.stdin
        process.stdin.write(b"/msg #bar hello from irssi\n")
        process.stdin.flush()
        assert "hello from irssi" in listener.hear("hello from irssi")
    finally:
        os.killpg(process.pid, 9)
        process.wait(PATIENCE)
        assert process.stdin
        process.stdin.close()


def test_weechat_joins_talks_and_reads_back(server, listener, tmp_path):
    program, port = needs("weechat-headless"), server.port("irc")
    home = tmp_path / "weechat"
    commands = [
        "/set logger.file.flush_delay 0",
        f"/server add t 127.0.0.1/{port} -notls -nicks=weeuser -autojoin=#bar",
        "/connect t",
        "/wait 3 /command -buffer irc.server.t irc /msg #bar hello from weechat",
    ]
    process = subprocess.Popen(
        [program, "--dir", str(home), *(word for command in commands for word in ("-r", command))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        listener.hear("weeuser!")
        assert "hello from weechat" in listener.hear("hello from weechat")
        listener.say("PRIVMSG #bar :hello back")
        wait_for_text(home / "logs" / "irc.t.#bar.weechatlog", "hello back", process)
    finally:
        stop(process)


async def test_a_thousand_lines_of_noise_hurt_nobody():
    async with running() as here:
        ann = await here.person("ann", "#c")
        here.net.settings.rate = 1e9
        noise = await here.wire()
        noise.writer.write(os.urandom(200_000) + b"\r\n")
        for line in (b"@" * 500, b":" * 500, b"@a=b :c", b" " * 500, b"\0" * 10, b"JOIN " + b"," * 500):
            noise.send(line)
        noise.send("NICK noisy", "USER n 0 * :N")
        await noise.until("422")
        for command in ("JOIN", "MODE", "WHO", "KICK", "LIST", "CAP", "MONITOR", "METADATA", "CHATHISTORY", "BATCH"):
            for rest in (":", "::", " , ", "* * * * *", "#c " * 10, "+++---", ":\x01\x02", "é" * 100, "%%%,,,", "@#c"):
                noise.send(f"{command} {rest}")
        await asyncio.wait_for(noise.sync("alive"), PATIENCE)
        assert {m.command for m in await ann.sync()} <= {"JOIN"}  # of the noise, only its coming in concerns her
