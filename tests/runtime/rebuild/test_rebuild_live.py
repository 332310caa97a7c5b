"""A running server: planned aside, rehearsed, guarded, upgraded in slices; and threads that call all the while."""

import asyncio
import gc
import os
import sys
import threading

import pytest

from midair.runtime import rebuild
from midair.runtime.rebuild import RebuildError, engine, live, native

MANY = 3000


def text(schema, body, extra=""):
    return f"""
calls = []
class C:
    __schema__ = {schema}
    def __init__(self, n): self.n = n
    def __upgrade__(self, schema, state):
        {body}
    def show(self): return self.n
{extra}
"""


async def test_an_edit_is_applied_on_the_loop(project):
    project.write(m="def f(): return 1\n")
    m = project.load()
    project.write(m="def f(): return 2\n")
    report = await rebuild.apply(who="anna")
    assert m.f() == 2
    assert report.who == "anna"
    assert (await rebuild.apply()).number == 0
    project.write(m="def f(: return 2\n")
    with pytest.raises(RebuildError):
        await rebuild.apply()
    report = await rebuild.apply(undo=True, write=True)
    assert m.f() == 1
    assert project.path("m").read_text() == "def f(): return 1\n"


async def test_many_upgrades_are_rehearsed_and_nobody_sees_an_instance_before_its_own(project):
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    callback = everyone[-1].show
    project.write(m=text(2, "self.n = state['n'] * 10; calls.append(1)", "def fresh(): return C(7)"))
    job = asyncio.create_task(rebuild.apply())
    while not rebuild.busy() and not job.done():
        await asyncio.sleep(0)
    assert rebuild.busy()
    assert (everyone[-1].n, everyone[-2].show(), callback()) == ((MANY - 1) * 10, (MANY - 2) * 10, (MANY - 1) * 10)
    assert m.fresh().n == 7, "made by the new code: nothing to upgrade"
    everyone[-3].n = 5
    assert "__getattribute__" in vars(m.C)
    report = await job
    assert [c.n for c in everyone[:-3]] == [i * 10 for i in range(MANY - 3)]
    assert everyone[-3].n == 5
    assert len(m.calls) == MANY == report.upgraded
    assert not rebuild.busy()
    assert not {"__getattribute__", "__setattr__", "__delattr__"} & vars(m.C).keys()


async def test_a_hook_that_raises_in_the_rehearsal_refuses_the_edit(project):
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    project.write(m=text(2, f"assert self.n != {MANY - 1}, 'the last one'; self.n = -1; calls.append(1)"))
    with pytest.raises(RebuildError, match="the last one") as caught:
        await rebuild.apply()
    assert caught.value.stage == "rehearsal"
    assert caught.value.file == str(project.path("m"))
    assert m.calls == []
    assert [c.n for c in everyone] == list(range(MANY))
    assert m.C.__schema__ == 1


async def test_a_rehearsal_is_nothing_that_a_debugger_sees(project, tmp_path):
    """It would wait there at a breakpoint, or talk to its person through a connection that is the server's."""
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    seen = tmp_path / "seen"

    def tracer(frame, _event, _arg):
        if frame.f_code.co_name == "__upgrade__":
            with seen.open("a") as file:
                file.write(f"{os.getpid()}\n")

    project.write(m=text(2, "self.n = -1"))
    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        await rebuild.apply()
    finally:
        sys.settrace(before)
    assert {c.n for c in everyone} == {-1}
    assert seen.read_text().split() == [str(os.getpid())] * MANY


async def test_an_instance_that_fails_after_all_is_quarantined_until_the_next_edit(project):
    project.write(m="import os\nparent = os.getpid()\n" + text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    project.write(
        m="import os\nparent = os.getpid()\n"
        + text(2, "if self.n == 5 and os.getpid() == parent: raise ValueError('only here')\n        self.n = -1")
    )
    report = await rebuild.apply()
    assert m.parent == os.getpid()
    assert report.upgraded == MANY - 1
    assert len(report.not_upgraded) == 1
    assert "only here" in report.not_upgraded[0]
    with pytest.raises(rebuild.NotUpgraded, match="keeps its old state"):
        assert everyone[5].n
    assert everyone[6].n == -1
    project.replace("m", ("raise ValueError('only here')", "self.n = 500"))
    assert everyone[5].n == -1
    assert not {"__getattribute__", "__setattr__", "__delattr__"} & vars(m.C).keys()


async def test_whatever_is_done_to_an_instance_that_waits_its_upgrade_comes_first(project):
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    project.write(m=text(2, "self.before = vars(self).copy()"))
    job = asyncio.create_task(rebuild.apply())
    while not rebuild.busy():
        await asyncio.sleep(0)
    last = everyone[-4:]
    del last[0].n
    last[1].n = "written"
    last[2].__dict__["n"] = "written too"
    assert last[3].n == MANY - 1
    await job
    assert [vars(each) for each in last] == [
        {"before": {"n": MANY - 4}},
        {"n": "written", "before": {"n": MANY - 3}},
        {"n": "written too", "before": {"n": MANY - 2}},
        {"n": MANY - 1, "before": {"n": MANY - 1}},
    ]


async def test_an_instance_that_c_code_looks_into_does_not_wait(project):
    """`len` and `list.append` ask no guard."""
    lists = "class L(list):\n    __schema__ = {}\n    def __upgrade__(self, schema, state): self.append(schema)\n"
    project.write(m=text(1, "pass") + lists.format(1))
    m = project.load()
    everyone, held = [m.C(i) for i in range(MANY)], [m.L() for _ in range(5)]
    project.write(m=text(2, "self.n = -1") + lists.format(2))
    job = asyncio.create_task(rebuild.apply())
    while not rebuild.busy():
        await asyncio.sleep(0)
    assert list(map(list, held)) == [[1]] * 5
    assert (await job).upgraded == len(everyone) + 5


async def test_what_a_failed_upgrade_did_to_its_instance_is_taken_back(project):
    project.write(m="import os\nparent = os.getpid()\n" + text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    hook = "n, self.n = self.n, -1\n        self.more = 1\n        if n == 5 and os.getpid() == parent: raise ValueError('here')"
    project.write(m="import os\nparent = os.getpid()\n" + text(2, hook))
    await rebuild.apply()
    ((thing, schemas),) = rebuild.not_upgraded()
    assert thing is everyone[5]
    assert schemas == {m.C: 1}
    with rebuild.look_through():
        assert vars(thing) == {"n": 5}
    project.replace("m", ("raise ValueError('here')", "self.n = 500"))
    assert (thing.n, thing.more) == (500, 1)


async def test_an_edit_that_is_made_while_another_is_planned_is_not_lost_on_it(project, monkeypatch):
    project.write(m="def f(): return 1\n")
    m = project.load()
    wait = live._after_next_timer

    async def meanwhile(loop):
        monkeypatch.setattr(live, "_after_next_timer", wait)
        rebuild.rebuild(sources={"m": "def f(): return 2\ndef g(): return 2\n"})
        await wait(loop)

    monkeypatch.setattr(live, "_after_next_timer", meanwhile)
    report = await rebuild.apply(sources={"m": "def f(): return 3\n"})
    assert report.number == 2
    assert m.f() == 3
    assert not hasattr(m, "g")


async def test_a_rehearsal_waits_for_no_other_thread(project, monkeypatch):
    """The thread that makes another edit meanwhile does not exist in the copy of the process."""
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    project.write(m=text(2, "self.n = -1"))
    inside, gate, read = threading.Event(), threading.Event(), live._read

    def edit():
        with engine.exclusively():
            inside.set()
            gate.wait(60)

    async def read_and_go_on(reading):
        try:
            return await read(reading)
        finally:
            gate.set()

    monkeypatch.setattr(live, "_read", read_and_go_on)
    monkeypatch.setattr(live, "REHEARSAL", 20.0)
    other = threading.Thread(target=edit)
    other.start()
    inside.wait()
    await rebuild.apply()
    other.join()
    assert {c.n for c in everyone} == {-1}


async def test_another_edit_first_finishes_what_waits(project):
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(MANY)]
    project.write(m=text(2, "self.n = state['n'] + 1"))
    job = asyncio.create_task(rebuild.apply())
    while not rebuild.busy():
        await asyncio.sleep(0)
    project.edit(m=text(3, "self.n = state['n'] + 100"))
    assert [c.n for c in everyone] == [i + 101 for i in range(MANY)]
    assert not rebuild.busy()
    await job


def test_threads_never_see_code_with_other_defaults_or_half_of_an_edit(project):
    both = "def low(a={0}, *, b={0}): return a, b, {0}\ndef high(a={0}): return (a, {0}, *low())\n"
    project.write(m=both.format(1))
    m = project.load()
    torn, stop, calls = [], threading.Event(), [0, 0]

    def call(slot):
        low, high = m.low, m.high
        while not stop.is_set():
            seen, outer = low(), high()
            calls[slot] += 1
            if len(set(seen)) != 1 or len(set(outer[:2])) != 1 or len(set(outer[2:])) != 1:
                torn.append((seen, outer))
            if outer[2] < outer[0]:  # a new caller that reaches an old callee would be half of an edit
                torn.append(outer)

    threads = [threading.Thread(target=call, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    between = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # wherever a thread may take its turn, one does
    try:
        for n in range(2, 60):
            project.edit(m=both.format(n))
    finally:
        sys.setswitchinterval(between)
        stop.set()
        for thread in threads:
            thread.join()
    assert torn == []
    assert min(calls) > 100


def test_no_collection_runs_inside_the_one_call(project):
    """It could run a finalizer, which is Python, and lets other threads take their turn."""
    seen, inside, kept = [], [], []

    def collected(*_):
        seen.append(1)

    before = gc.get_threshold()
    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        native.perform([(seen.clear,), (kept.extend, map(set, [()] * 1000)), (inside.extend, seen)])
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(collected)
    assert (inside, len(kept)) == ([], 1000)
    assert gc.isenabled()


def test_calls_from_several_threads_queue(project):
    project.write(a="order, x = [], 0\n", b="x = 0\n")
    a, b = project.load("a"), project.load("b")
    a.entered, a.gate = threading.Event(), threading.Event()
    project.write(
        a="order, x = [], 1\norder.append('a begins'); entered.set(); gate.wait(20); order.append('a ends')\n",
        b="import a\nx = 1\na.order.append('b')\n",
    )
    first, second = (threading.Thread(target=rebuild.rebuild, args=(name,)) for name in ("a", "b"))
    first.start()
    assert a.entered.wait(20)
    second.start()
    while second.is_alive() and not _is_in(second, "exclusively"):
        pass
    a.gate.set()
    first.join()
    second.join()
    assert a.order == ["a begins", "a ends", "b"]
    assert (a.x, b.x) == (1, 1)


def _is_in(thread, name):
    frame = sys._current_frames().get(thread.ident)
    return frame is not None and frame.f_code.co_name == name


async def test_few_upgrades_that_take_longer_than_a_slice_are_rehearsed_and_sliced_too(project, monkeypatch):
    monkeypatch.setattr(live, "SLICE", 0.0)  # whatever there is to do takes longer
    project.write(m=text(1, "pass"))
    m = project.load()
    everyone = [m.C(i) for i in range(20)]
    calls = m.calls
    project.write(m=text(2, "self.n = state['n'] * 10; calls.append(self.n)"))
    job = asyncio.create_task(rebuild.apply())
    seen = set()
    while not job.done():
        seen.add(len(calls))
        assert not seen & {1, 2} or rebuild.busy() or len(calls) == 20, "what was tried at once is put back"
        await asyncio.sleep(0)
    report = await job
    assert len(seen) > 10, "the loop went on between the upgrades"
    assert report.upgraded == 20
    assert sorted(calls) == [i * 10 for i in range(20)], "once for each"
    assert m.calls is calls
    assert [c.n for c in everyone] == [i * 10 for i in range(20)]
    assert not rebuild.busy()
    assert not {"__getattribute__", "__setattr__", "__delattr__"} & vars(m.C).keys()


async def test_few_upgrades_that_fit_a_slice_are_made_in_the_commit(project):
    project.write(m=text(1, "pass"))
    m = project.load()
    one = m.C(3)
    project.write(m=text(2, "self.n = -1"))
    job = asyncio.create_task(rebuild.apply())
    while not job.done():
        assert not rebuild.busy()
        await asyncio.sleep(0)
    assert (await job).upgraded == 1
    assert one.n == -1


class Loop:
    """The time and the timers of a loop."""

    def __init__(self, *due):
        self._scheduled = [asyncio.TimerHandle(when, print, (), asyncio.get_running_loop()) for when in due]

    def time(self):
        return 100.0


async def test_only_a_timer_that_is_due_within_a_millisecond_is_waited_for():
    assert live._soon(Loop(100.0005, 100.9)) == pytest.approx(0.0005)
    assert live._soon(Loop(100.5)) == 0.0
    assert live._soon(Loop(99.5)) == 0.0
    assert live._soon(Loop()) == 0.0
    assert live._soon(object()) == 0.0, "a loop that keeps its timers elsewhere"
