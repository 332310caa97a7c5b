"""Clients that are hostile, broken or slow: they cost a bounded amount, and nobody else notices."""

import gc
import random
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from consoles import PASSWORD, At, converse

from midair.console import client, frames
from midair.console.session import MAX_UNSENT, Session

IAC, SB, WILL, DO = 255, 250, 251, 253


def alive(at: At) -> None:
    """Another person, who must not notice anything."""
    assert at.script("6 * 7").out == "42\n"


def test_a_client_that_never_reads_costs_a_bounded_amount_and_nobodys_time(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        deaf, other = at.telnet(term="xterm"), at.telnet("otto")
        deaf.prompt()
        other.prompt()
        deaf.line("for n in range(50): print('x' * 1_000_000)\r")
        other.line("who")
        other.until("anna")
        session = next(s for s in at.console.sessions if s.user == "anna")
        while session.statement is not None:
            time.sleep(0.001)
        assert session._size + session.wire.unsent() < 3 * MAX_UNSENT
        alive(at)
        # When it reads again it is told what it missed, and has a prompt.
        deaf.until("characters dropped")
        deaf.prompt()

    converse(tmp_path, scenario)


def test_one_huge_print_is_cut_before_it_is_encoded(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.prompt()
        one.line("print('y' * 50_000_000)")
        told = one.until("characters dropped")
        assert len(told) < 2 * MAX_UNSENT
        one.line("'still here'")
        one.until("'still here'")

    converse(tmp_path, scenario)


def test_a_client_that_says_nothing_holds_nothing_up(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        silent = [at.raw(), at.nc()]
        silent[1].prompt()
        alive(at)

    converse(tmp_path, scenario)


def test_a_reset_in_any_state_is_an_ordinary_goodbye(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def reset(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def scenario(at: At) -> None:
        at.raw().until("username: ")
        reset(at.clients[-1].sock)
        busy = at.telnet(term="xterm")
        busy.prompt()
        busy.line("while True: print('z' * 1000)\r")
        busy.until("zzz")
        reset(busy.sock)
        at.telnet().prompt()
        reset(at.clients[-1].sock)
        while at.console.sessions or at.console.strangers:
            time.sleep(0.001)
        alive(at)

    converse(tmp_path, scenario)
    assert "error of ours" not in caplog.text
    assert "Traceback" not in caplog.text


def test_a_flood_of_keys_is_bounded(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.attach()
        one.prompt()
        one.line("import asyncio; await asyncio.sleep(600)")
        while not (at.console.sessions and at.console.sessions[0].statement):
            time.sleep(0.001)
        for _ in range(300):
            one.send(b"x" * 1000)
        one.send(b"\x03")
        one.until("KeyboardInterrupt")
        one.prompt()
        one.line("'after the flood'")
        one.until("'after the flood'")
        line = at.nc()
        line.prompt()
        line.send(b"'" + b"x" * 300_000 + b"'\n")
        line.until("a line was cut after 65,536 characters")
        line.line("'and again'")
        line.until("'and again'")

    converse(tmp_path, scenario)


def test_an_option_storm_ends_the_connection(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.raw()
        storm = b"".join(bytes((IAC, verb, option)) for option in range(250) for verb in (WILL, DO)) * 10
        threading.Thread(target=_send, args=(one.sock, storm)).start()
        one.until("Too many telnet options.")
        one.rest()
        alive(at)

    converse(tmp_path, scenario)


def _send(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        return  # refused in the middle of it, as it should be


def test_a_subnegotiation_without_end_keeps_nothing(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.raw()
        one.until("username: ")
        one.send(bytes((IAC, SB, 24)))
        for _ in range(100):
            one.send(b"x" * 10_000)
        one.send(bytes((IAC, 240)))
        one.line("anna")
        one.until("password: ")
        one.line(PASSWORD)
        one.prompt()

    converse(tmp_path, scenario)


def test_a_login_split_at_every_byte(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.raw()
        dialogue = (
            bytes((IAC, WILL, 24, IAC, WILL, 31, IAC, SB, 31, 0, 80, 0, 24, IAC, 240))
            + b"anna\r\n"
            + bytes((IAC, DO, 1, IAC, SB, 24, 0))
            + b"XTERM"
            + bytes((IAC, 240))
            + PASSWORD.encode()
            + b"\r\x00"
        )
        one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in dialogue:
            one.send(bytes((byte,)))
        one.prompt()
        for byte in b"'to' 'gether'\r":
            one.send(bytes((byte,)))
        one.until("'together'")

    converse(tmp_path, scenario)


@pytest.mark.parametrize("seed", range(5))
def test_noise_on_every_way_in(tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(seed)
    parts = [
        bytes(noise.randrange(256) for _ in range(40)),
        b"\xff\xfa\x18\x00" + bytes(noise.randrange(256) for _ in range(9)),
        b"\xff\xf0",
        b"\x1b[" + bytes(noise.randrange(32, 64) for _ in range(20)),
        b"\x1b]0;" + b"a" * 30,
        b"\r\n\x00\x04\x03\x03",
        "🐍\u202e".encode()[:5],
        frames.hello("editor")[: noise.randrange(30)],
        frames.pack(b"D", b"x\r")[: noise.randrange(7)],
    ]

    def scenario(at: At) -> None:
        for one in (at.raw(), at.nc(), at.attach(), at.telnet(term="xterm")):
            noise.shuffle(parts)
            _send(one.sock, b"".join(parts) * 3)
        json = at.json()
        _send(json.sock, b"".join(parts) + b'\n[1]\n{}\n"\n{"id": 9, "code": 5}\n')
        alive(at)

    converse(tmp_path, scenario)
    assert "error of ours" not in caplog.text


def test_a_frame_that_announces_too_much_ends_that_client(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        with client.connect(at.console.socket_path) as sock:
            sock.sendall(frames.hello("run") + struct.pack("!cI", b"D", 2**31))
            sock.settimeout(20)
            assert b"".join(iter(lambda: sock.recv(1000), b"")).startswith(b"Q")
        with client.connect(at.console.socket_path) as sock:
            sock.sendall(b'MIDAIR 1 ["no mode"]\n')
            sock.settimeout(20)
            assert b"a hello line is a JSON object" in sock.recv(1000)
        alive(at)

    converse(tmp_path, scenario)


def test_a_statement_that_cannot_be_shown_is_said_so(tmp_path: Path) -> None:
    cases: dict[str, str] = {
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E": "E",
        "class R:\n    def __repr__(self): raise ValueError('no repr')\nR()": "ValueError: no repr",
        "def f(): f()\nf()": "RecursionError",
        "x = []\nx.append(x)\nx": "[[...]]",
        "compile('(' * 10000 + ')' * 10000, 'x', 'eval')": "Error",
        "raise SystemError('\\x1b[2J')": "\\x1b[2J",
    }

    def scenario(at: At) -> None:
        json: Any = at.json()
        for number, (source, expected) in enumerate(cases.items()):
            reply = json.ask(id=number, code=source)
            assert expected.encode().decode("unicode_escape") in str(reply.get("error") or reply.get("result"))
        one = at.nc()
        one.prompt()
        one.line("print('\\x1b[2J\\x1b[31mred\\x1b[0m')")
        one.until("red")
        assert b"\x1b[2J" not in one.raw
        assert b"\x1b[31mred" in one.raw

    converse(tmp_path, scenario)


def test_a_session_that_has_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        for number in range(3):
            one = at.attach()
            one.prompt()
            one.line(f"{number} + 1000")
            one.until(f"{number + 1000}")
            one.prompt()
            at.clients.remove(one)
            one.close()
            while at.console.connections or at.console.sessions:
                time.sleep(0.005)
        deadline = time.monotonic() + 20
        while left := [o for o in gc.get_objects() if type(o) is Session and o.console is at.console]:
            assert time.monotonic() < deadline, f"{len(left)} sessions are still held"
            del left
            gc.collect()
            time.sleep(0.05)

    converse(tmp_path, scenario)
