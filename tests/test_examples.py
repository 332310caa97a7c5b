"""Every example opens with what to type and what one then sees; here it is typed, and seen."""

import re
import shutil
import subprocess
import urllib.request

import pytest
from live_server import EXAMPLES, LiveServer
from talk import Telnet

from midair.runtime.testing import edit

# They listen on the ports that their texts name, so they take turns.
pytestmark = pytest.mark.xdist_group("the ports of the examples")


@pytest.fixture
def folder(tmp_path):
    """A copy of the examples, where a reader's commands work as written."""
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__", "*.spl*"))
    return tmp_path


def commands(folder, name):
    """The commands at the top of an example, without the remarks beside them."""
    text = (folder / "examples" / name).read_text()
    head = text[: text.index("\n\n", text.index("\n    ")) + 1]
    return [re.sub(r" {3,}\(.*", "", line.strip()) for line in head.splitlines()[1:] if line.startswith("    ")]


def run(folder, command, **environment):
    """`[PORT=n] midair run ...` as the text has it."""
    words = command.split()
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    assert words[:2] == ["midair", "run"], command
    return LiveServer(folder, *words[2:], "--settle", "0.05", **environment)


def test_echo_answers_and_an_edit_reaches_the_open_connection(folder):
    start, talk = commands(folder, "echo.py")
    assert talk == "telnet localhost 7000"
    with run(folder, start) as server, Telnet(7000) as person:
        person.say("hello")
        person.hear(r"hello\r\n(?s:.*)hello\r\n" if person._pid else r"hello\r\n")
        edit(folder / "examples/echo.py", "self.send(text)", "self.send(text.upper())")
        server.wait_for(r"edit 1\b")
        person.say("quietly")
        person.hear("QUIETLY")


def test_counter_counts_on_after_a_restart_and_its_page_is_edited_live(folder):
    start, ask, again = commands(folder, "counter/counter.py")
    assert ask == "curl http://localhost:8000/"

    def page():
        with urllib.request.urlopen("http://localhost:8000/", timeout=30) as answer:
            return answer.read().decode()

    with run(folder, start) as server:
        assert page() == "You are visitor 1.\n"
        edit(folder / "examples/counter/counter.py", "You are visitor", "Welcome, visitor")
        server.wait_for(r"edit 1\b")
        assert page() == "Welcome, visitor 2.\n"
        assert again.startswith("midair stop counter; midair run")
        assert server.midair("stop", "counter").returncode == 0
        assert server.process.wait() == 0
        server.start()
        assert page() == "Welcome, visitor 3.\n"


def test_chat_keeps_its_people_through_an_edit_and_its_history_through_a_restart(folder):
    start, talk = commands(folder, "chat/chat.py")
    assert talk == "telnet localhost 4000"
    with run(folder, start) as server, Telnet(4000) as anna, Telnet(4000) as bob:
        for person, name in ((anna, "anna"), (bob, "bob")):
            person.hear("name")
            person.say(name)
            person.hear(rf"\* {name} is in lobby")
        anna.say("hello")
        bob.hear("anna: hello")
        edit(folder / "examples/chat/chat.py", '{who}: {text}"', '<{who}> {text}"')
        server.wait_for(r"edit 1\b")
        bob.say("hi")
        anna.hear("<bob> hi")
        anna.say("/who")
        anna.hear("anna, bob")
        anna.say("/join garden")
        anna.hear("anna is in garden")
        bob.hear("anna left")
        bob.say("/nick robert")
        bob.hear("bob is now robert")
        bob.say("/quit")
        bob.hear("Goodbye")
        bob.hear_end()
        assert server.end() == 0
        server.start()
        with Telnet(4000) as carl:
            carl.hear("name")
            carl.say("carl")
            carl.hear(r"anna: hello(?s:.*)<bob> hi(?s:.*)carl is in lobby")
            carl.say("/rooms")
            carl.hear(r"lobby\s+1(?s:.*)garden\s+0")


def test_every_command_of_the_chat_is_listed_in_its_help(folder):
    names = re.findall(r"def do_(\w+)", (folder / "examples/chat/chat.py").read_text())
    with run(folder, commands(folder, "chat/chat.py")[0]), Telnet(4000) as person:
        person.hear("name")
        person.say("anna")
        person.hear("is in lobby")
        person.say("/help")
        for name in sorted(names):
            person.hear(rf"/{name} +\S")


def test_the_bridge_joins_two_chats_and_comes_back_when_one_of_them_does(folder):
    first, second, bridge, talk = commands(folder, "bridge/bridge.py")
    assert talk == "telnet localhost 4000; telnet localhost 4001"
    with run(folder, first), run(folder, second) as other, run(folder, bridge) as middle:
        for port in (4000, 4001):
            middle.wait_for(rf"connected to 127\.0\.0\.1:{port}")
        with Telnet(4000) as anna:
            anna.hear("name")
            anna.say("anna")
            anna.hear("is in lobby")
            with Telnet(4001) as bob:
                bob.hear("name")
                bob.say("bob")
                bob.hear("is in lobby")
                bob.say("hello over there")
                anna.hear("bridge: <bob> hello over there")
            seen = len(middle.err)
            assert other.end() == 0
            other.start()
            middle.wait_for(r"connected to 127\.0\.0\.1:4001", after=seen)
            with Telnet(4001) as bob:
                bob.hear("name")
                bob.say("bob")
                bob.hear("is in lobby")
                anna.say("and back")
                bob.hear("bridge: <anna> and back")


def test_the_echo_example_is_a_protocol_in_ten_lines():
    text = (EXAMPLES / "echo.py").read_text()
    body = text[text.index("class Echo") : text.index("def build")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 10


def test_examples_compile_without_warnings(folder):
    for path in (folder / "examples").rglob("*.py"):
        subprocess.run(["python3", "-W", "error", "-m", "py_compile", str(path)], check=True)
