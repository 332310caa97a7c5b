"""The client's end of telnet: bytes in, text and answers out."""

import pytest

from midair.console.cli.telnet import Client
from midair.services.telnet.protocol import DO, DONT, ECHO, IAC, NAWS, SB, SE, SGA, TTYPE, WILL, WONT

LINEMODE = 34

TALK = (
    b"login: "
    + bytes((IAC, WILL, ECHO, IAC, WILL, SGA, IAC, DO, TTYPE, IAC, DO, NAWS, IAC, DO, LINEMODE))
    + bytes((IAC, SB, TTYPE, 1, IAC, SE))
    + b"a\r\nb\r\0c"
    + bytes((IAC, IAC, IAC, WILL, ECHO, IAC, WONT, ECHO))
    + b"end"
)
TEXT = b"login: a\r\nb\rc\xffend"
ANSWERS = (
    bytes((IAC, DO, ECHO, IAC, DO, SGA, IAC, WILL, TTYPE, IAC, WILL, NAWS))
    + bytes((IAC, SB, NAWS, 0, 100, 0, IAC, IAC, IAC, SE, IAC, WONT, LINEMODE))
    + bytes((IAC, SB, TTYPE, 0))
    + b"xterm"
    + bytes((IAC, SE))
    + bytes((IAC, DONT, ECHO))
)


def client():
    return Client("xterm", lambda: (100, 255))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_however_it_is_cut_the_text_and_the_answers_are_the_same(size):
    one = client()
    text = b"".join(one.receive(TALK[i : i + size]) for i in range(0, len(TALK), size))
    assert text == TEXT
    assert bytes(one.output) == ANSWERS
    assert not one.echoes


def test_the_server_s_echo_is_noticed():
    one = client()
    one.receive(bytes((IAC, WILL, ECHO)))
    assert one.echoes


def test_line_ends_become_cr_lf_and_a_byte_255_is_doubled():
    one = client()
    one.send(b"a\nb\r\nc\rd\xff")
    assert bytes(one.output) == b"a\r\nb\r\nc\r\nd\xff\xff"


def test_a_subnegotiation_without_end_is_not_kept_for_ever():
    one = client()
    for _ in range(100):
        one.receive(bytes((IAC, SB)) + b"x" * 1000)
    assert len(one._rest) < 5000
