"""Timers hold wall-clock due times, coalesce what was missed, and are set anew before they call."""

import asyncio

import pytest

from midair import Service, Space
from midair.runtime.testing import FakeClock
from midair.runtime.timers import Clockwork


class Clocked(Service):
    def __init__(self):
        self.calls = []

    def tick(self, *args):
        self.calls.append((self.space.runner.now(), *args))

    async def later(self):
        await asyncio.sleep(0)
        self.calls.append("later")

    def look(self):
        self.calls.append([timer.due for timer in self.space.timers])

    def broken(self):
        raise ZeroDivisionError


class Runner:
    """The part of a server that timers need."""

    def __init__(self, space, clock):
        self.clock = clock
        self.clockwork = Clockwork(space, clock)
        space.runner = self
        self.now, self.arm = clock.now, self.clockwork.arm
        self.placed = self.removed = lambda service: None


@pytest.fixture
def space():
    return Space()


@pytest.fixture
def clock():
    return FakeClock(start=1000.0)


@pytest.fixture
def service(space, clock):
    space["clocked"] = Clocked()
    Runner(space, clock).clockwork.start()
    return space["clocked"]


def test_every_calls_on_the_beat(service, clock):
    service.every(5, service.tick, "a")
    clock.advance(16)
    assert service.calls == [(1005.0, "a"), (1010.0, "a"), (1015.0, "a")]


def test_every_with_the_same_method_takes_over_the_timer_that_is_there(service, clock, space):
    first = service.every(10, service.tick, "a")
    clock.advance(4)
    assert service.every(10, service.tick, "b") is first
    clock.advance(6)
    assert service.calls == [(1010.0, "b")]
    assert len(space.timers) == 1


def test_call_later_always_adds_and_calls_once(service, clock, space):
    service.call_later(2, service.tick, 1)
    service.call_later(2, service.tick, 2)
    clock.advance(100)
    assert service.calls == [(1002.0, 1), (1002.0, 2)]
    assert space.timers == []


def test_missed_ticks_coalesce_into_one(service, clock):
    service.every(5, service.tick)
    clock.jump(23)
    clock.advance(0)
    assert service.calls == [(1023.0,)]
    clock.advance(2)
    assert service.calls == [(1023.0,), (1025.0,)]


def test_the_next_due_time_is_set_before_the_call(service, clock, space):
    service.every(5, service.look)
    clock.advance(5)
    assert service.calls == [[1010.0]]


def test_an_error_in_a_call_is_logged_and_the_timer_goes_on(service, clock, caplog):
    service.every(5, service.broken)
    clock.advance(10)
    assert [r.exc_info[0] for r in caplog.records] == [ZeroDivisionError] * 2


def test_a_cancelled_timer_does_not_call(service, clock):
    service.every(5, service.tick).cancel()
    service.call_later(1, service.tick).cancel()
    clock.advance(20)
    assert service.calls == []


async def test_an_async_method_is_run(service, clock):
    service.call_later(1, service.later)
    clock.advance(1)
    for _ in range(3):
        await asyncio.sleep(0)
    assert service.calls == ["later"]


@pytest.mark.parametrize("method", [lambda: None, len, print])
def test_what_could_not_be_saved_is_refused_at_once(service, method):
    with pytest.raises(TypeError, match="method of an object"):
        service.call_later(1, method)


@pytest.mark.parametrize("period", [0, -1, float("nan")])
def test_a_period_is_above_zero(service, period):
    with pytest.raises(ValueError, match="above 0"):
        service.every(period, service.tick)


def test_timers_of_a_service_go_with_it(service, clock, space):
    service.every(5, service.tick)
    del space["clocked"]
    clock.advance(20)
    assert service.calls == []
    assert space.timers == []
