"""The telnet machine: bytes in, events out, however they are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midair.runtime.errors import LimitExceeded
from midair.services.telnet import protocol as t
from midair.services.telnet.protocol import (
    AreYouThere,
    Data,
    Interrupt,
    OptionChanged,
    Telnet,
    TerminalType,
    WindowSize,
)


def iac(*numbers: int) -> bytes:
    return bytes((t.IAC, *numbers))


def sub(option: int, payload: bytes) -> bytes:
    return iac(t.SB, option) + payload.replace(b"\xff", b"\xff\xff") + iac(t.SE)


@pytest.mark.parametrize("ending", [b"\r\n", b"\r\x00", b"\r"])
def test_each_way_to_say_enter_is_one_carriage_return(ending: bytes) -> None:
    assert Telnet().receive(b"1+1" + ending + b"x") == [Data(b"1+1\rx")]


def test_what_follows_an_enter_is_not_swallowed_with_it() -> None:
    assert Telnet().receive(b"\r\n\x00\r\x00\n") == [Data(b"\r\x00\r\n")]


def test_a_bare_line_feed_stays_one() -> None:
    assert Telnet().receive(b"1+1\n2\n") == [Data(b"1+1\n2\n")]


def test_enter_is_not_held_back_until_the_next_byte() -> None:
    telnet = Telnet()
    assert telnet.receive(b"a\r") == [Data(b"a\r")]
    assert telnet.receive(b"\x00") == []
    assert telnet.receive(b"\n") == [Data(b"\n")]


def test_a_doubled_iac_is_one_byte_of_data() -> None:
    assert Telnet().receive(b"a" + iac(255) + b"b") == [Data(b"a\xffb")]


def test_data_sent_has_its_iac_doubled_and_its_line_feeds_completed() -> None:
    telnet = Telnet()
    telnet.send(b"a\xff\nb\r\n")
    assert telnet.take_output() == b"a\xff\xff\r\nb\r\n"
    assert telnet.take_output() == b""


@pytest.mark.parametrize("command", [t.IP, t.BRK])
def test_interrupt_process_and_break_are_interrupts(command: int) -> None:
    assert Telnet().receive(b"x" + iac(command) + b"y") == [Data(b"x"), Interrupt(), Data(b"y")]


def test_are_you_there_is_told() -> None:
    assert Telnet().receive(iac(t.AYT)) == [AreYouThere()]


def test_erase_character_and_line_are_the_keys_that_do_so() -> None:
    assert Telnet().receive(b"ab" + iac(t.EC) + iac(t.EL)) == [Data(b"ab\x7f\x15")]


def test_the_window_size_is_asked_for_and_told() -> None:
    telnet = Telnet()
    telnet.do(t.NAWS)
    assert telnet.take_output() == iac(t.DO, t.NAWS)
    assert telnet.receive(iac(t.WILL, t.NAWS)) == [OptionChanged(t.NAWS, ours=False, on=True)]
    assert telnet.take_output() == b"", "an answer to our own request is not answered again"
    assert telnet.receive(sub(t.NAWS, b"\x00\xff\x00\x28")) == [WindowSize(255, 40)]


def test_a_window_of_nothing_is_eighty_by_twenty_four_and_a_huge_one_is_cut() -> None:
    assert Telnet().receive(sub(t.NAWS, bytes(4))) == [WindowSize(80, 24)]
    assert Telnet().receive(sub(t.NAWS, b"\xfe\xfe\xfe\xfe")) == [WindowSize(500, 500)]


def test_the_terminal_type_is_asked_for_only_after_the_client_offers_it() -> None:
    telnet = Telnet()
    telnet.do(t.TTYPE)
    assert telnet.take_output() == iac(t.DO, t.TTYPE)
    telnet.receive(iac(t.WILL, t.TTYPE))
    assert telnet.take_output() == iac(t.SB, t.TTYPE, 1) + iac(t.SE)
    assert telnet.receive(sub(t.TTYPE, b"\x00XTERM-256color")) == [TerminalType("xterm-256color")]


def test_a_terminal_name_cannot_carry_control_characters() -> None:
    assert Telnet().receive(sub(t.TTYPE, b"\x00vt\x1b[2J100/../..")) == [TerminalType("vt2j100....")]


def test_what_we_do_not_know_is_refused_once_each_time_it_is_asked() -> None:
    telnet = Telnet()
    assert telnet.receive(iac(t.DO, 99) + iac(t.WILL, 98)) == []
    assert telnet.take_output() == iac(t.WONT, 99) + iac(t.DONT, 98)


def test_echo_goes_on_and_off_as_a_password_is_asked_for() -> None:
    telnet = Telnet()
    telnet.will(t.ECHO)
    assert telnet.take_output() == iac(t.WILL, t.ECHO)
    telnet.will(t.ECHO)
    assert telnet.take_output() == b""
    assert telnet.receive(iac(t.DO, t.ECHO)) == [OptionChanged(t.ECHO, ours=True, on=True)]
    assert telnet.active(t.ECHO, ours=True)
    telnet.wont(t.ECHO)
    assert telnet.take_output() == iac(t.WONT, t.ECHO)
    telnet.will(t.ECHO)
    assert telnet.take_output() == b"", "the wish waits for the answer to the one before"
    telnet.receive(iac(t.DONT, t.ECHO))
    assert telnet.take_output() == iac(t.WILL, t.ECHO)


def test_an_unanswered_offer_can_be_withdrawn_from_a_peer_that_does_not_negotiate() -> None:
    telnet = Telnet()
    telnet.will(t.ECHO)
    telnet.withdraw(t.ECHO)
    assert telnet.take_output() == iac(t.WILL, t.ECHO) + iac(t.WONT, t.ECHO)
    telnet.will(t.ECHO)
    telnet.receive(iac(t.DO, t.ECHO))
    telnet.take_output()
    telnet.withdraw(t.ECHO)
    assert telnet.take_output() == iac(t.WONT, t.ECHO)


def test_two_machines_that_want_different_things_come_to_rest() -> None:
    one, other = Telnet(ours=frozenset({t.ECHO})), Telnet(theirs=frozenset({t.ECHO}))
    for number in range(20):
        (one.will if number % 2 else one.wont)(t.ECHO)
        (other.do if number % 3 else other.dont)(t.ECHO)
    exchanged = 0
    while (a := one.take_output()) or (b := other.take_output()):
        other.receive(a)
        one.receive(other.take_output() if a else b)
        exchanged += 1
        assert exchanged < 50
    assert one.active(t.ECHO, ours=True) == other.active(t.ECHO, ours=False)


def test_a_timing_mark_is_answered() -> None:
    telnet = Telnet()
    telnet.receive(iac(t.DO, t.TIMING_MARK))
    assert telnet.take_output() == iac(t.WILL, t.TIMING_MARK)


def test_a_subnegotiation_without_end_keeps_a_bounded_part_and_the_machine_goes_on() -> None:
    telnet = Telnet(max_subnegotiation=64)
    for _ in range(1000):
        assert telnet.receive((iac(t.SB, t.TTYPE) if _ == 0 else b"") + b"x" * 1000) == []
    assert len(telnet._sub) == 64
    assert telnet.receive(iac(t.SE) + b"hello")[-1] == Data(b"hello")


def test_a_client_that_forgets_to_end_a_subnegotiation_is_understood_at_its_next_command() -> None:
    assert Telnet().receive(iac(t.SB, t.NAWS, 0, 80) + iac(t.IP) + b"x") == [Interrupt(), Data(b"x")]


def test_an_option_storm_is_refused_with_the_limit_and_leaves_no_state() -> None:
    telnet = Telnet(max_negotiations=1000)
    storm = b"".join(iac(verb, option) for option in range(250) for verb in (t.DO, t.WILL, t.DONT, t.WONT))
    telnet.receive(storm)
    assert len(telnet._ours.states) + len(telnet._theirs.states) == 0
    with pytest.raises(LimitExceeded, match="telnet option negotiation is over the limit of 1000 requests"):
        telnet.receive(iac(t.DO, 1))


tokens = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"\r\n", b"\r\x00", b"\r", b"\n", b"\x00", b"\xff", b"\xff\xff"]),
    st.builds(iac, st.sampled_from([t.IP, t.BRK, t.AYT, t.NOP, t.EC, t.EL, t.SE, t.SB])),
    st.builds(iac, st.sampled_from([t.WILL, t.WONT, t.DO, t.DONT]), st.sampled_from([0, 1, 3, 6, 24, 31, 99])),
    st.builds(sub, st.sampled_from([t.TTYPE, t.NAWS, 99]), st.binary(max_size=8)),
)


def run(chunks: list[bytes]) -> tuple[list[object], bytes]:
    telnet = Telnet(ours=frozenset({t.ECHO, t.SGA}))
    events: list[object] = []
    for chunk in chunks:
        for event in telnet.receive(chunk):
            if isinstance(event, Data) and events and isinstance(events[-1], Data):
                events[-1] = Data(events[-1].data + event.data)
            else:
                events.append(event)
    return events, telnet.take_output()


@settings(max_examples=300, deadline=None)
@given(st.lists(tokens, max_size=30), st.data())
def test_the_same_bytes_mean_the_same_however_they_are_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    whole = run([stream])
    assert run([stream[i : i + 1] for i in range(len(stream))]) == whole
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert run(pieces) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(tokens, max_size=40))
def test_any_stream_gives_a_bounded_answer_to_each_request_and_leaves_a_machine_that_works(parts: list[bytes]) -> None:
    telnet = Telnet()
    telnet.receive(b"".join(parts))
    assert len(telnet.take_output()) <= 9 * telnet.negotiations
    telnet.receive(iac(t.SE))  # leave whatever was unfinished: a subnegotiation, or an option's number
    telnet.receive(iac(t.SE))
    assert Data(b"still here") in telnet.receive(iac(t.NOP) + b"still here")
