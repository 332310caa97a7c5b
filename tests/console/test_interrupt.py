"""Stopping code: what this session runs and nothing else, on every transport, also when it blocks."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from consoles import At, Client, converse

from midair.console.interrupt import Interrupted, Interrupter

Where = Callable[[Callable[[], None]], None]

STUBBORN = {
    "a loop": "while True: pass",
    "a loop that catches Exception": "while True:\n    try: [][0]\n    except Exception: pass\n",
    "a generator": "sum(1 for _ in iter(int, 1))",
    "sleep": "__import__('time').sleep(600)",
    "a lock": "l = __import__('threading').Lock(); l.acquire(); l.acquire()",
    "a queue": "__import__('queue').Queue().get()",
    "accept": "import socket\nwith socket.create_server(('127.0.0.1', 0)) as s:\n    print('again')\n    s.accept()",
    "a pipe": "import os; os.read(os.pipe()[0], 1)",
    "an await": "import asyncio; await asyncio.sleep(600)",
    "awaits in a circle": "import asyncio\nwhile True: await asyncio.sleep(0)\n",
    "a repr": "type('R', (), {'__repr__': lambda self: ''.join('' for _ in iter(int, 1))})()",
}


def begun(at: At) -> None:
    """Wait until the only statement there is has been on the CPU."""
    while not (at.console.sessions and at.console.sessions[0].statement and at.console.sessions[0].statement.begun):
        time.sleep(0.001)


def of_the_main_thread(work: Callable[[], None]) -> None:
    work()


def of_another_thread(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(work).result()


@pytest.mark.parametrize("source", STUBBORN.values(), ids=STUBBORN.keys())
def test_ctrl_c_stops(tmp_path: Path, source: str) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        json.send(id=1, code="print('begun')\n" + source)
        last = "again\n" if "again" in source else "begun\n"
        while not json.next()["out"].endswith(last):
            pass
        json.send(interrupt=1)
        reply = json.next()
        assert reply["kind"] == "interrupted", reply
        assert reply["error"].endswith("KeyboardInterrupt\n")
        assert json.ask(id=2, code="1 + 1")["result"] == "2"

    converse(tmp_path, scenario, limit=0)


def test_a_statement_that_swallows_the_first_press_is_stopped_by_the_second(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        json.ask(id=0, code="started, caught = [], []")
        json.send(
            id=1,
            # CPython 3.11 books an interrupt at the head of a loop to the instruction before it, so there is one in the try.
            code="try:\n    started.append(1)\n    while True: n = 1\n"
            "except BaseException: caught.append(1)\nwhile True: pass",
        )
        names = at.console.sessions[0].namespace
        while not names["started"]:
            time.sleep(0.001)
        json.send(interrupt=1)
        while not names["caught"]:
            time.sleep(0.001)
        json.send(interrupt=1)
        assert json.next()["kind"] == "interrupted"

    converse(tmp_path, scenario, limit=0)


def test_a_statement_that_keeps_the_loop_longer_than_its_limit_is_stopped_and_told_the_cure(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        reply = json.ask(id=1, code="while True: pass")
        assert reply["kind"] == "interrupted"
        assert "LimitReached: stopped after 0.2 s" in reply["error"]
        assert "limit(60)" in reply["error"]
        # Waiting in an await does not keep the loop, so it is not limited.
        assert json.ask(id=2, code="import asyncio; await asyncio.sleep(0.5, 'rested')")["result"] == "'rested'"
        # A C call that looks for signals is stopped too, though nobody else can run meanwhile.
        assert json.ask(id=3, code="import re; re.match('(a+)+$', 'a' * 40 + 'b')")["kind"] == "interrupted"
        json.ask(id=4, code="limit(0)")
        assert json.ask(id=5, code="import time; time.sleep(0.5); 'as long as it likes'")["result"]

    converse(tmp_path, scenario, limit=0.2)


@pytest.mark.parametrize("where", [of_the_main_thread, of_another_thread])
def test_a_press_never_hits_the_loop_or_anybody_elses_callback(tmp_path: Path, where: Where) -> None:
    """Presses rain down on a session whose statement is always just beginning or ending; a timer of the server's runs between."""
    ticks: list[int] = []
    problems: list[dict[str, Any]] = []

    def prepare(server: Any, _console: Any) -> None:
        server.loop.set_exception_handler(lambda _loop, context: problems.append(context))

        def tick() -> None:
            ticks.append(sum(range(2000)))
            server.loop.call_later(0.0005, tick)

        tick()

    def scenario(at: At) -> None:
        json = at.json()
        stop = threading.Event()

        def rain() -> None:
            while not stop.is_set():
                for session in tuple(at.console.sessions):
                    if session.statement is not None:
                        session.interrupt()
                time.sleep(0.0003)

        thread = threading.Thread(target=rain)
        thread.start()
        kinds = set()
        for number in range(300):
            json.send(
                id=number,
                code="import asyncio\nfor _ in range(50): await asyncio.sleep(0)\nx = sum(range(3000))\n'done'",
            )
            reply = json.next()
            kinds.add(reply.get("kind", "ok"))
        stop.set()
        thread.join()
        assert "interrupted" in kinds
        assert kinds <= {"ok", "interrupted"}
        before = len(ticks)
        while len(ticks) < before + 5:
            time.sleep(0.001)

    where(lambda: converse(tmp_path, scenario, prepare=prepare))
    assert problems == []


def stick(at: At) -> threading.Event:
    """Make the server's loop run a callback that does not end."""
    entered = threading.Event()

    def callback_that_never_ends() -> None:
        entered.set()
        while True:
            pass

    at.server.loop.call_soon_threadsafe(callback_that_never_ends)
    entered.wait()
    return entered


def test_while_the_loop_is_stuck_a_person_gets_in_sees_where_and_frees_it(tmp_path: Path) -> None:
    problems: list[dict[str, Any]] = []

    def prepare(server: Any, _console: Any) -> None:
        server.loop.set_exception_handler(lambda _loop, context: problems.append(context))

    def scenario(at: At) -> None:
        stick(at)
        one: Client = at.telnet()
        assert "The server's loop has not answered for 0.3 s" in one.prompt()
        one.line("ran = True")
        told = one.until("interrupt() frees the loop")
        assert "callback_that_never_ends" in told
        one.send(b"\xff\xf4")
        one.until("given up before it began")
        one.line("stacks")
        one.until("callback_that_never_ends")
        one.prompt()
        one.line("who")
        one.until("anna")
        one.line("interrupt()")
        one.until("interrupted ")
        one.line("6 * 7, 'ran' in globals()")
        one.until("(42, False)")

    converse(tmp_path, scenario, prepare=prepare)
    assert [type(p["exception"]) for p in problems] == [Interrupted]


def test_all_this_holds_on_uvloop_too(tmp_path: Path) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")

    def scenario(at: At) -> None:
        assert "nothing to interrupt" in at.command("interrupt").out
        json = at.json()
        for number, source in enumerate(
            ("while True: n = 1", "import time; time.sleep(600)", "import asyncio; await asyncio.sleep(600)")
        ):
            json.send(id=number, code="print('begun')\n" + source)
            assert json.next()["out"] == "begun\n"
            json.send(interrupt=number)
            assert json.next()["kind"] == "interrupted"
        stick(at)
        assert "callback_that_never_ends" in at.command("interrupt").out
        assert json.ask(id=9, code="6 * 7")["result"] == "42"

    converse(tmp_path, scenario, limit=0, loop_factory=uvloop.new_event_loop)


def test_interrupt_leaves_a_loop_alone_that_only_waits(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        assert "nothing to interrupt" in at.command("interrupt").out

    converse(tmp_path, scenario)


def test_a_statement_whose_client_went_away_is_stopped(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        one = at.nc()
        one.prompt()
        one.line("while True: pass\n")
        begun(at)
        one.close()
        assert at.script("'free'").out == "'free'\n"

    converse(tmp_path, scenario, limit=0)


def test_signal_handlers_are_put_back_and_those_of_others_are_called(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _frame: heard.append(number))
    try:

        def scenario(at: At) -> None:
            assert at.script("import signal; signal.setitimer(signal.ITIMER_REAL, 0.05); x = 1").status == 0
            while not heard:
                time.sleep(0.001)

        converse(tmp_path, scenario)
        assert heard == [signal.SIGALRM]
        assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_loop_outside_of_the_main_thread_is_interrupted_by_an_exception(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        json = at.json()
        json.send(id=1, code="while True: pass")
        begun(at)
        json.send(interrupt=1)
        assert json.next()["kind"] == "interrupted"

    of_another_thread(lambda: converse(tmp_path, scenario))


@pytest.mark.parametrize("code", ["1 + 1", "while True: pass"])
def test_a_debugger_goes_on_working_after_a_statement(tmp_path: Path, code: str) -> None:
    """CPython 3.11 stays at the first instruction of a traced function while it believes that an exception waits for a thread."""

    def scenario(at: At) -> None:
        json = at.json()
        json.send(id=1, code=code)
        if "while" in code:
            begun(at)
            json.send(interrupt=1)
        while "ms" not in json.next():
            pass

    def traced() -> None: ...

    of_another_thread(lambda: converse(tmp_path, scenario))
    child = os.fork()
    if not child:  # the standstill is one of the whole process, which only an alarm that Python does not see ends
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        sys.settrace(lambda *_: None)
        traced()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


class Work:
    wanted = False
    limit = 0.0


def test_only_code_below_the_slice_is_hit() -> None:
    """The handler, called as a signal would call it, from a frame of the statement and from one beside it."""
    interrupter = Interrupter()
    work = Work()
    seen: list[str] = []

    async def statement() -> None:
        work.wanted = True
        try:
            interrupter._on_press(signal.SIGURG, __import__("sys")._getframe())
        except KeyboardInterrupt:
            seen.append("hit")

    async def main() -> None:
        coroutine = statement()
        interrupter.current = work
        with pytest.raises(StopIteration):
            interrupter.slice(work, coroutine, None)
        work.wanted = True
        interrupter._knocks = 1
        interrupter._on_press(signal.SIGURG, __import__("sys")._getframe())
        seen.append("not hit")

    asyncio.run(main())
    assert seen == ["hit", "not hit"]
