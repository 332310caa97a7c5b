"""People: logging in, what each role may do, what is written down about them."""

import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from consoles import PASSWORD, At, converse

from midair.console.console import Console
from midair.console.users import Doorkeeper, Users
from midair.runtime import rebuild
from midair.runtime.errors import AddressInUse


def test_the_password_is_not_echoed_and_a_wrong_one_is_refused_and_slowed_down(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        wrong = at.telnet(password="guess")
        wrong.until("Login incorrect.")
        assert b"\xff\xfb\x01" in wrong.raw, "WILL ECHO: the client stops echoing"
        assert b"\xff\xfc\x01" in wrong.raw, "and WONT ECHO: it echoes again"
        again = at.raw()
        again.until("username: ")
        again.line("anna")
        again.until("Try again in 1 s.")
        # The local socket has no password, so nobody is locked out of it, and it lifts the rest.
        assert at.command("unlock").out == "all failed logins are forgotten\n"
        at.telnet().prompt()

    converse(tmp_path, scenario)


def test_who_mistypes_a_password_has_three_tries_before_the_door_is_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def no_wait(_door: Doorkeeper, *keys: str) -> float:
        asked.append(keys)
        return 0.0

    monkeypatch.setattr(Doorkeeper, "wait", no_wait)

    def scenario(at: At) -> None:
        one = at.telnet(password="mistyped")
        for _ in range(2):
            one.until("Login incorrect.")
            one.until("username: ")
            one.line("anna")
            one.until("password: ")
            one.line("mistyped again")
        one.until("Login incorrect.")
        assert one.rest().strip() == "", "hung up"
        assert len([entry for entry in at.audit() if entry.get("event") == "refused"]) == 3
        at.command("unlock")
        one = at.telnet(password="mistyped")
        one.until("username: ")
        one.line("anna")
        one.until("password: ")
        one.line(PASSWORD)
        one.prompt()
        one.line("6 * 7")
        one.until("42")

    converse(tmp_path, scenario)
    assert asked.count(("address 127.0.0.1", "name anna")) > 6, "before each try, and after each failure"


def test_unlock_is_for_the_unix_socket(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet()
        one.prompt()
        one.line("unlock()")
        one.until("NotAuthorised: unlock works over the Unix socket only")

    converse(tmp_path, scenario)


def test_an_operator_has_every_command_by_name_and_no_python(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        otto = at.telnet("otto")
        otto.prompt()
        otto.line("who")
        otto.until("otto")
        otto.line("rebuild game.world")
        otto.until("edit 1 by otto: game.world")
        otto.prompt()
        for attempt in ("1 + 1", "__import__('os')", "who().__class__", "limit 0", "bg print", "print hello"):
            otto.line(attempt)
            answer = otto.until("\n" + ">>>")
            assert "there is no command" in answer or "needs the role admin" in answer, answer
        otto.line("help")
        assert "Anything else is Python" not in otto.until("quit ")

    converse(tmp_path, scenario)


def test_a_viewer_looks_and_changes_nothing(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        vera = at.telnet("vera", term="xterm")
        vera.prompt()
        vera.line("tasks")
        vera.until("waits at")
        for attempt in ("rebuild", "stop", "kick anna", "undo", "snapshot", "interrupt", "wall hi"):
            vera.prompt()
            vera.line(attempt)
            vera.until("needs the role operator; you are viewer")
        assert at.server.stopped == ""

    converse(tmp_path, scenario)


def test_every_statement_is_written_down_before_it_runs(tmp_path: Path) -> None:
    seen: list[Any] = []

    def scenario(at: At) -> None:
        at.server.space["look"] = lambda: seen.append(at.audit()[-1])
        at.script("look()")
        entry = seen[0]
        assert (entry["event"], entry["statement"], entry["transport"]) == ("statement", "look()", "unix")
        assert {"time", "user", "role", "peer", "number", "session"} <= entry.keys()
        at.script("1/0")
        outcome = at.audit()[-2]
        assert (outcome["event"], outcome["outcome"]) == ("outcome", "error")
        assert outcome["error"] == "ZeroDivisionError: division by zero"
        otto = at.telnet("otto")
        otto.prompt()
        otto.line("who")
        otto.until("otto")
        assert [e["statement"] for e in at.audit() if e.get("user") == "otto" and e["event"] == "statement"] == ["who"]

    converse(tmp_path, scenario)
    assert (tmp_path / "demo.audit").stat().st_mode & 0o777 == 0o600


def test_when_the_audit_cannot_be_written_only_the_local_socket_still_runs_statements(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet()
        one.prompt()
        at.console.audit.close()
        at.console.audit.path = tmp_path / "no such folder" / "audit"
        one.line("ran = True")
        one.until("AuditError: not run, because it could not be written to the audit")
        result = at.script("'ran'")
        assert result.out == "'ran'\n"
        assert "not in the audit" in result.err

    converse(tmp_path, scenario)


def test_the_password_appears_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def scenario(at: At) -> None:
        one = at.telnet(term="xterm")
        one.prompt()
        one.line("1 + 1")
        one.until("2")
        one.line("exit")
        one.rest()
        at.telnet(password="guessed secret").until("Login incorrect.")
        at.script("space['x'] = 1")
        at.server.space.save(tmp_path / "demo.spl")

    converse(tmp_path, scenario)
    assert "login: anna (admin) by telnet" in caplog.text
    for secret in (PASSWORD, "guessed secret"):
        assert secret not in caplog.text
        for file in tmp_path.rglob("*"):
            if file.is_file():
                assert secret.encode() not in file.read_bytes(), file
    assert (tmp_path / "demo.history" / "anna").stat().st_mode & 0o777 == 0o600
    assert "1 + 1" in (tmp_path / "demo.history" / "anna").read_text()


def test_the_first_start_with_telnet_makes_a_user_and_says_the_password_once(tmp_path: Path) -> None:
    said: list[str] = []

    def scenario(at: At) -> None:
        assert len(said) == 1
        password = said[0].partition("password ")[2].partition(" ")[0]
        at.telnet("admin", password=password).prompt()

    def without_users(_server: Any, console: Console) -> None:
        console.users = Users(tmp_path / "fresh.users")

    converse(tmp_path, scenario, prepare=without_users, say=said.append)
    converse(tmp_path, lambda _at: None, prepare=without_users, say=said.append)
    assert len(said) == 1


def test_a_first_start_whose_port_is_taken_makes_no_user_and_says_no_password(tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:

        def without_users(_server: Any, console: Console) -> None:
            console.users = Users(tmp_path / "fresh.users")
            console.telnet = taken.getsockname()[:2]

        with pytest.raises(AddressInUse):
            converse(tmp_path, lambda _at: None, prepare=without_users, say=said.append)
    assert said == []
    assert not (tmp_path / "fresh.users").exists(), "so that the next start makes one, and says the password"


def test_telnet_beyond_this_machine_needs_somebody_to_insist(tmp_path: Path) -> None:
    def elsewhere(_server: Any, console: Console) -> None:
        console.telnet = ("0.0.0.0", 0)

    with pytest.raises(Exception, match="insist with --insecure-network"):
        converse(tmp_path, lambda _at: None, prepare=elsewhere)


def test_each_login_begins_with_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [rebuild.Held("game/world.py", "game.world", "refused: SyntaxError in line 3", "correct it and save")]
    monkeypatch.setattr(rebuild, "held", lambda: held)

    def scenario(at: At) -> None:
        at.server.state |= {"snapshot_failed": "disk full\x1b[2J", "stragglers": 2, "lag_ms": 1500.0}
        greeting = at.telnet().prompt()
        assert "game/world.py: refused: SyntaxError in line 3; correct it and save" in greeting
        assert "The last snapshot failed: disk full\\x1b[2J" in greeting
        assert "2 still on old code" in greeting
        assert "1.5 s late" in greeting
        assert "you are anna (admin)" in greeting

    converse(tmp_path, scenario)


def test_who_wall_and_kick(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        anna, otto = at.telnet("anna"), at.telnet("otto")
        anna.prompt()
        otto.prompt()
        anna.line("wall('tea is ready')")
        otto.until("[anna] tea is ready")
        anna.until("said to 1 other session")
        anna.line("kick('otto')")
        otto.until("anna ended this session.")
        otto.rest()
        anna.until("ended 1 session")
        while len(at.console.sessions) > 1:
            time.sleep(0.001)
        anna.line("kick('otto')")
        anna.until("nobody else here is 'otto'")

    converse(tmp_path, scenario)


def test_strangers_are_few_and_slow_ones_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from midair.console.transports import telnet

    monkeypatch.setattr(telnet, "LOGIN_TIMEOUT", 0.5)

    def scenario(at: At) -> None:
        strangers = [at.raw() for _ in range(telnet.MAX_STRANGERS)]
        for one in strangers:
            one.until("username: ")
        at.raw().until("Too many people are logging in; try again later.")
        for one in strangers:
            one.until("Too slow; goodbye.")
        monkeypatch.undo()
        at.telnet().prompt()

    converse(tmp_path, scenario)


def test_a_browser_is_hung_up_on(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.raw()
        one.send(
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nanna\r\n" + PASSWORD.encode() + b"\r\nopen('pwned', 'w')\r\n"
        )
        assert "password" not in one.rest()
        assert all(
            entry["event"] != "statement" for entry in (at.audit() if (tmp_path / "demo.audit").exists() else [])
        )

    converse(tmp_path, scenario)
