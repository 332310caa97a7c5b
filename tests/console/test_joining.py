"""Leaving a session behind, taking it back, and two people in one."""

import time
from pathlib import Path

from consoles import At, Client, converse

LEAVE = "\x1c"


def gone(at: At, one: Client) -> None:
    """The client has been sent away, and the session goes on."""
    one.rest()
    while not any(session.detached for session in at.console.sessions):
        time.sleep(0.001)


def test_a_session_is_left_while_its_statement_runs_and_taken_back_with_what_it_printed(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.telnet(term="xterm")
        one.prompt()
        one.line("import asyncio; go = asyncio.Event(); share('go')")
        one.prompt()
        one.line("await go.wait(); print('printed', 'meanwhile'); 6 * 7")
        while not (at.console.sessions[0].statement and at.console.sessions[0].statement.begun):
            time.sleep(0.001)
        one.send(LEAVE)
        one.until("session ")
        one.until("goes on; join() takes it back")
        gone(at, one)
        assert "(detached)" in at.command("who").out
        (left,) = at.console.sessions
        at.script("go.set()")
        while left.statement is not None:
            time.sleep(0.001)
        again = at.telnet(term="xterm")
        assert f"You left session {left.number} behind, which is at its prompt" in again.prompt()
        again.line("join()")
        again.until("printed meanwhile")
        again.until("42")
        again.prompt()
        again.line("'in the ' + 'old one', console.sessions[0].columns")
        again.until("('in the old one', 80)")
        again.prompt()
        again.send(LEAVE)
        again.until(f"[left session {left.number}]")
        again.prompt()
        again.line(f"join({left.number})")
        while left.detached:
            time.sleep(0.001)
        again.prompt()
        again.send("\x04")
        again.until("[left session")
        again.prompt()
        assert left not in at.console.sessions
        again.line("join()")
        again.until("no session of yours is detached")
        assert [entry["event"] for entry in at.audit() if entry["event"] in {"detach", "join"}] == [
            "detach",
            "join",
            "join",
        ]

    converse(tmp_path, scenario)


def test_a_detached_statement_is_interrupted_by_whoever_takes_it_back(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach()
        one.prompt()
        one.line("import asyncio; await asyncio.Event().wait()")
        while not (at.console.sessions[0].statement and at.console.sessions[0].statement.begun):
            time.sleep(0.001)
        one.send(LEAVE)
        gone(at, one)
        assert one.exit == 0
        again = at.attach(columns=70, rows=20)
        assert "which runs import asyncio; await" in again.prompt()
        again.line("join()")
        again.until("runs import asyncio; await")
        again.send("\x03")
        again.until("KeyboardInterrupt")
        again.prompt()
        again.line("detach()")
        again.until("[left session")
        again.prompt()

    converse(tmp_path, scenario)


def test_two_people_are_in_one_session_when_both_agree(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        anna, root = at.telnet(term="xterm"), at.attach(columns=60)
        anna.prompt()
        root.prompt()
        of_anna, of_root = sorted(at.console.sessions, key=lambda session: session.user)
        number = of_anna.number
        root.line(f"join({number})")
        root.until("who would have to type: invite(")
        root.prompt()
        anna.line(f"invite({of_root.user!r})")
        root.until(f"[anna] invites you: join({number})")
        root.line(f"join({number})")
        anna.until("has joined this session")
        root.line("shown = 'to ' + 'both'; shown")
        anna.until("'to both'")
        root.until("'to both'")
        anna.line("min(s.columns for s in console.sessions), 'drawn for the smaller'")
        root.until("(60, 'drawn for the smaller')")
        # The host's end is the guest's way back to their own prompt.
        anna.send("\x04")
        anna.rest()
        root.until("[left session")
        root.prompt()

    converse(tmp_path, scenario)


def test_an_invitation_gives_no_role_that_one_has_not(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        anna, vera = at.telnet(term="xterm"), at.telnet("vera", term="xterm")
        anna.prompt()
        vera.prompt()
        anna.line("invite('vera')")
        anna.until("vera may join")
        number = next(session.number for session in at.console.sessions if session.user == "anna")
        vera.line(f"join {number}")
        vera.until("has the role admin; you are viewer")
        line = at.nc()
        line.prompt()
        line.line("detach()")
        line.until("this needs a terminal")

    converse(tmp_path, scenario)


def test_detached_sessions_are_few_and_end_with_the_server(tmp_path: Path) -> None:
    from midair.console.joining import MAX_DETACHED

    def scenario(at: At) -> None:
        for _ in range(MAX_DETACHED):
            one = at.attach()
            one.prompt()
            one.send(LEAVE)
            one.rest()
        last = at.attach()
        last.prompt()
        last.send(LEAVE)
        last.until(f"{MAX_DETACHED} sessions are detached already")
        last.prompt()
        kept = [session for session in at.console.sessions if session.detached]
        last.line(f"kick('{kept[0].number}')")
        last.until("ended 1 session")
        while kept[0] in at.console.sessions:
            time.sleep(0.001)

    converse(tmp_path, scenario)
