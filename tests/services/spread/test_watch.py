"""Staying awake for an answer: when it is tried, when it ends, when it is given up. No loop, no time."""

from collections.abc import Callable

from midair.services.spread.watch import FIRST, LOOKING, MOST, Watch


class Loop:
    """Turns and time, by hand."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.now = 1.0
        self.watch = Watch(self.soon.append, lambda: self.now)

    def turn(self) -> None:
        due = self.soon[:]
        self.soon.clear()
        for call in due:
            call()

    def slept_through(self) -> int:
        """How many messages are sent until one is watched for."""
        for count in range(MOST + 2):
            self.watch.sent()
            if self.soon:
                return count
        raise AssertionError("it never watches")

    def answer(self, looks: int = 2) -> None:
        """Let something come after so many looks."""
        for _ in range(looks):
            self.turn()
        self.watch.heard()
        self.turn()

    def fail(self) -> None:
        """Let a watch that has begun end without an answer."""
        self.now += LOOKING
        self.turn()


def test_a_few_turns_are_slept_through_before_the_first_try() -> None:
    assert Loop().slept_through() == FIRST


def test_the_loop_stays_awake_until_something_comes() -> None:
    loop = Loop()
    loop.slept_through()
    for _ in range(5):
        loop.turn()
        assert loop.soon
    loop.watch.heard()
    loop.turn()
    assert not loop.soon


def test_it_goes_to_sleep_when_nothing_comes_in_time() -> None:
    loop = Loop()
    loop.slept_through()
    loop.fail()
    assert not loop.soon


def test_as_long_as_answers_come_it_watches_more_and_more_often_until_always() -> None:
    loop = Loop()
    counts = []
    for _ in range(8):
        counts.append(loop.slept_through())
        loop.answer()
    assert counts == [15, 7, 3, 1, 0, 0, 0, 0]


def test_an_answer_that_is_there_at_the_first_look_is_no_reason_to_watch() -> None:
    """So it is when both programs share a core: the peer has run while we were sending."""
    loop = Loop()
    counts = []
    for _ in range(4):
        counts.append(loop.slept_through())
        loop.answer(looks=1)
    assert counts == [15, 31, 63, 127]


def test_each_failure_doubles_the_turns_until_the_next_try() -> None:
    loop = Loop()
    counts = []
    for _ in range(9):
        counts.append(loop.slept_through())
        loop.fail()
    assert counts == [15, 31, 63, 127, 255, 511, 1023, MOST, MOST]


def test_a_message_sent_while_it_watches_prolongs_the_watch_and_does_not_begin_a_second() -> None:
    loop = Loop()
    for _ in range(5):
        loop.slept_through()
        loop.answer()
    loop.watch.sent()
    loop.now += LOOKING / 2
    loop.watch.sent()
    loop.now += LOOKING / 2
    loop.turn()
    assert len(loop.soon) == 1
    loop.fail()
    assert not loop.soon


def test_what_comes_unasked_changes_nothing() -> None:
    loop = Loop()
    loop.watch.heard()
    assert loop.slept_through() == FIRST
