"""A server that died with calls in its journal, and whose program was changed before the next start."""

import re
import socket

import pytest
from live_server import LiveServer

PROGRAM = """
from midair import Service
from midair.runtime.journal import journaled
from midair.services.net import Lines


class Account:
    __schema__ = 1

    def __init__(self):
        self.cents = 0


def worth(amount):
    return amount * 10  # cents; a mistake


class Till(Lines):
    async def answer(self, text):
        word, *amounts = text.split()
        try:
            what = await self.service.pay(int(amounts[0])) if word == "pay" else vars(self.service.account)
        except Exception as error:
            what = error
        self.send(str(what))

    def line(self, text):
        self.service.spawn(self.answer, text)


class Shop(Service):
    def __init__(self):
        self.account = Account()

    async def start(self):
        await self.listen(0, Till)

    @journaled
    def pay(self, amount):
        self.account.cents += worth(amount)
        return self.account.cents


def build(space):
    space["shop"] = Shop()
"""

# Another schema, which the calls of before know nothing of, and the mistake mended.
MENDED = (
    PROGRAM.replace("__schema__ = 1", "__schema__ = 2")
    .replace("self.cents = 0", "self.euros = 0.0\n\n    def __upgrade__(self, schema, state):\n"
             "        self.__dict__.clear()\n        self.euros = state['cents'] / 100")
    .replace("self.account.cents += worth(amount)", "self.account.euros += worth(amount)")
    .replace("return self.account.cents", "return self.account.euros")
    .replace("return amount * 10  # cents; a mistake", "return amount")
)  # fmt: skip
UNMENDED = PROGRAM.replace("return amount * 10", "return amount *")
HOOK_FAILS = MENDED.replace("state['cents'] / 100", "state['coins'] / 100")


def say(server: LiveServer, *lines: str) -> list[str]:
    with socket.create_connection(("127.0.0.1", server.port("shop")), timeout=60) as sock:
        answers = sock.makefile("r")
        said = []
        for line in lines:
            sock.sendall(f"{line}\n".encode())
            said.append(answers.readline().strip())
        return said


@pytest.fixture
def crashed(tmp_path):
    """A server that was killed after it had confirmed two payments, not started again yet."""
    (tmp_path / "shop.py").write_text(PROGRAM)
    with LiveServer(tmp_path, "shop.py", "--settle", "0.01", "--snapshot-every", "0") as server:
        assert say(server, "pay 1", "pay 2") == ["10", "30"]
        server.kill()
        yield server


def test_the_journal_is_replayed_on_its_own_code_and_the_mended_program_goes_on(crashed):
    (crashed.folder / "shop.py").write_text(MENDED)
    crashed.start()
    assert crashed.out[0].startswith("resumed shop.spl generation 1,")
    assert "and 2 calls confirmed since" in crashed.out[0]
    assert say(crashed, "look", "pay 5", "look") == ["{'euros': 0.3}", "5.3", "{'euros': 5.3}"]
    assert re.search(
        r"^journal +(\d) calls, \1 of them on disk$", crashed.midair("status", "shop").stdout, re.MULTILINE
    )
    # The next crash finds the barrier: two calls on the old code, one on the new, though the snapshot is still the first.
    crashed.kill()
    crashed.start()
    assert "and 3 calls confirmed since" in crashed.out[0]
    assert say(crashed, "look") == ["{'euros': 5.3}"]
    assert crashed.end() == 0
    crashed.start()
    assert say(crashed, "look") == ["{'euros': 5.3}"]


@pytest.mark.parametrize(
    ("text", "problem"), [(UNMENDED, "invalid syntax"), (HOOK_FAILS, "KeyError: 'coins'")], ids=["syntax", "hook"]
)
def test_a_program_that_cannot_follow_refuses_the_start_and_the_last_good_one_runs(crashed, text, problem):
    (crashed.folder / "shop.py").write_text(text)
    refused = crashed.midair(*("run", *crashed.args))
    assert refused.returncode == 1
    assert problem in refused.stderr
    assert "nothing was started; --last-good starts on the sources of generation 1" in refused.stderr
    crashed.start(*crashed.args, "--last-good")
    assert say(crashed, "look", "pay 1") == ["{'cents': 30}", "40"]
    (crashed.folder / "shop.py").write_text(MENDED)
    crashed.wait_for("1 file, .*upgraded|edit 1")
    assert say(crashed, "look") == ["{'euros': 0.4}"]


def test_a_module_that_was_taken_away_since_still_replays_its_calls(tmp_path):
    """The clean-up after the crash went further than the mistake: what counted the money is in the program itself now."""
    (tmp_path / "sums.py").write_text("def worth(amount):\n    return amount * 10\n")
    (tmp_path / "shop.py").write_text(
        PROGRAM.replace("def worth(amount):\n    return amount * 10  # cents; a mistake\n", "from sums import worth\n")
    )
    with LiveServer(tmp_path, "shop.py", "--settle", "0.01", "--snapshot-every", "0") as server:
        assert say(server, "pay 1", "pay 2") == ["10", "30"]
        server.kill()
        (tmp_path / "sums.py").unlink()
        (tmp_path / "shop.py").write_text(MENDED)
        server.start()
        assert say(server, "look", "pay 5") == ["{'euros': 0.3}", "5.3"]
        (tmp_path / "shop.py").write_text(MENDED.replace("return amount\n", "return amount + 1\n"))
        server.wait_for(r"edit 2\b")
        assert say(server, "pay 5") == ["11.3"]
        assert "sums" not in server.midair("status", "shop").stdout


def test_what_a_fresh_start_sets_aside_still_has_its_journal(crashed):
    crashed.start(*crashed.args, "--fresh")
    aside = crashed.out[0].rpartition("the old file is in ")[2]
    assert say(crashed, "look", "pay 5") == ["{'cents': 0}", "50"]
    crashed.kill()
    crashed.start()
    assert say(crashed, "look") == ["{'cents': 50}"]
    crashed.kill()
    crashed.start(f"{aside}shop.spl")
    assert say(crashed, "look") == ["{'cents': 30}"]


def test_a_method_that_is_journaled_no_more_loses_nothing_that_it_confirmed(crashed):
    (crashed.folder / "shop.py").write_text(PROGRAM.replace("    @journaled\n", ""))
    crashed.start()
    assert say(crashed, "look") == ["{'cents': 30}"]
    assert crashed.end() == 0
    (crashed.folder / "shop.py").write_text(PROGRAM)
    crashed.start()
    assert say(crashed, "look", "pay 1") == ["{'cents': 30}", "40"]
    crashed.kill()
    crashed.start()
    assert say(crashed, "look") == ["{'cents': 40}"]


def test_a_stranger_s_file_with_a_journal_runs_nothing_before_it_is_trusted(crashed):
    """The sources in a snapshot are code, so they are under the same rule as what is pickled in it."""
    crashed.folder.chmod(0o777)
    crashed.environment["XDG_CONFIG_HOME"] = str(crashed.folder / "elsewhere")
    (crashed.folder / "shop.py").unlink()
    refused = crashed.midair("run", "shop.spl", "--last-good")
    crashed.folder.chmod(0o700)
    assert refused.returncode == 1
    assert "--trust" in refused.stderr


def test_a_service_that_could_not_be_upgraded_is_said_when_it_is_to_start(tmp_path):
    (tmp_path / "shop.py").write_text(PROGRAM)
    with LiveServer(tmp_path, "shop.py", "--no-watch") as server:
        assert server.end() == 0
        (tmp_path / "shop.py").write_text(
            PROGRAM.replace(
                "class Shop(Service):\n",
                "class Shop(Service):\n    __schema__ = 1\n    def __upgrade__(self, schema, state): 1 / 0\n\n",
            )
        )
        refused = server.midair("run", "shop.py", "--lenient", "--no-watch")
    assert refused.returncode == 1
    assert re.fullmatch(
        r"midair: shop cannot be started: shop\.Shop at 0x\w+ could not be upgraded \(ZeroDivisionError: division by zero\); "
        r"nothing was started; --last-good starts on the sources of generation \d+",
        refused.stderr.splitlines()[-1],
    )
