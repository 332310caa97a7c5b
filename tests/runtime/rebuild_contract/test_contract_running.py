"""What is under way during an edit: generators, coroutines, tasks, threads, timers."""

import asyncio
import concurrent.futures
import contextlib
import threading

from midair.runtime import rebuild


def test_a_suspended_generator_finishes_old_the_next_one_is_new(live):
    live.start("def steps():\n    yield 'a1'\n    yield 'b1'\n")
    from m import steps

    gen = steps()
    assert next(gen) == "a1"
    live.edit("1", "2")
    assert list(gen) == ["b1"]
    assert list(steps()) == ["a2", "b2"]


def test_a_generator_made_but_not_started_runs_whole(live):
    live.start("def steps():\n    yield 'a1'\n    yield 'b1'\n")
    from m import steps

    gen = steps()
    live.edit("1", "2")
    assert list(gen) in (["a1", "b1"], ["a2", "b2"])


def test_a_generator_that_sends_throws_and_closes(live):
    live.start(
        """
        log = []
        def talk():
            try:
                while True:
                    try:
                        got = yield "v1"
                        log.append(("v1", got))
                    except ValueError:
                        log.append("caught1")
            finally:
                log.append("closed1")
        """
    )
    import m

    gen = m.talk()
    next(gen)
    live.edit("1", "2")
    gen.send("x")
    gen.throw(ValueError())
    gen.close()
    assert m.log == [("v1", "x"), "caught1", "closed1"]


def test_an_endless_loop_in_old_code_calls_the_new_helper(live):
    live.start("def helper(x):\n    return 'v1', x\ndef serve():\n    n = 0\n    while True:\n        yield helper(n)\n        n += 1\n")
    from m import serve

    gen = serve()
    next(gen)
    live.edit("v1", "v2")
    assert next(gen) == ("v2", 1)


def test_a_generator_reads_a_changed_global_and_a_changed_method(live):
    live.start("LIMIT = 1\nclass C:\n    def f(self):\n        return 'v1'\ndef serve(c):\n    while True:\n        yield LIMIT, c.f()\n")
    from m import C, serve

    gen = serve(C())
    next(gen)
    live.become(live.on_disk["m.py"].replace("LIMIT = 1", "LIMIT = 2").replace("v1", "v2"))
    assert next(gen) == (2, "v2")


def test_yield_from_a_generator_that_was_edited(live):
    live.start("def inner():\n    yield 'i1'\n    yield 'j1'\ndef outer():\n    while True:\n        yield from inner()\n")
    from m import outer

    gen = outer()
    next(gen)
    live.edit("1", "2")
    assert [next(gen) for _ in range(3)] == ["j1", "i2", "j2"]


def test_a_coroutine_method_in_flight_finishes_old_on_the_same_self(live):
    live.start(
        """
        class Conn:
            def __init__(self):
                self.log = []
            async def handle(self, gate):
                self.log.append("in1")
                await gate.wait()
                self.log.append("out1")
                return self.tag()
            def tag(self):
                return "tag1"
        """
    )
    from m import Conn

    async def play():
        conn, gate = Conn(), asyncio.Event()
        task = asyncio.create_task(conn.handle(gate))
        await asyncio.sleep(0)
        live.edit("1", "2")
        gate.set()
        assert await task == "tag2"
        assert await conn.handle(gate) == "tag2"
        assert conn.log == ["in1", "out1", "in2", "out2"]

    asyncio.run(play())


def test_a_task_in_a_loop_awaits_the_new_helper_and_keeps_its_locals(live):
    live.start(
        """
        import asyncio
        out = []
        async def tick(n):
            out.append(("v1", n))
        async def serve(turn):
            n = 0
            while True:
                await turn.wait()
                turn.clear()
                await tick(n)
                n += 1
        """
    )
    import m

    async def play():
        turn = asyncio.Event()
        task = asyncio.create_task(m.serve(turn))
        for step in range(4):
            if step == 2:
                live.edit("v1", "v2")
            turn.set()
            while len(m.out) <= step:
                await asyncio.sleep(0)
        task.cancel()

    asyncio.run(play())
    assert m.out == [("v1", 0), ("v1", 1), ("v2", 2), ("v2", 3)]


def test_async_generator_and_context_manager_under_way(live):
    live.start(
        """
        import contextlib
        async def feed():
            yield "a1"
            yield "b1"
        @contextlib.asynccontextmanager
        async def link(log):
            log.append("open1")
            yield
            log.append("close1")
        """
    )
    from m import feed, link

    async def play():
        log, gen = [], feed()
        assert await gen.__anext__() == "a1"
        async with link(log):
            live.edit("1", "2")
        async with link(log):
            pass
        assert [x async for x in gen] == ["b1"]
        assert [x async for x in feed()] == ["a2", "b2"]
        assert log == ["open1", "close1", "open2", "close2"]

    asyncio.run(play())


def test_gathered_coroutines_and_a_callback_of_a_future(live):
    live.start("out = []\nasync def f(i):\n    return 'v1', i\ndef done(future):\n    out.append(('v1', future.result()))\n")
    import m

    async def play():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(m.done)
        waiting = asyncio.gather(*(asyncio.create_task(m.f(i)) for i in range(2)))
        live.edit("v1", "v2")
        future.set_result(5)
        await asyncio.sleep(0)
        assert [r[1] for r in await waiting] == [0, 1]
        assert await m.f(9) == ("v2", 9)

    asyncio.run(play())
    assert m.out == [("v2", 5)]


def test_timers_and_executors_with_a_job_queued_before(live):
    live.start("def job():\n    return 'v1'\n")
    from m import job

    gate, out = threading.Event(), []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait, 10)
        queued = pool.submit(job)
        timer = threading.Timer(0.01, lambda: (gate.wait(10), out.append(job())))
        timer.start()
        live.edit("v1", "v2")
        gate.set()
        timer.join(10)
        assert queued.result(10) == "v2"
    assert out == ["v2"]


def test_a_thread_in_a_loop_calls_new_code_from_its_next_turn(live):
    live.start("def step(x):\n    return 'v1', x\n")
    import m

    turn, answer = threading.Semaphore(0), []
    came = threading.Semaphore(0)

    def loop():
        for i in range(2):
            turn.acquire(timeout=10)
            answer.append(m.step(i))
            came.release()

    thread = threading.Thread(target=loop)
    thread.start()
    turn.release()
    came.acquire(timeout=10)
    live.edit("v1", "v2")
    turn.release()
    thread.join(10)
    assert answer == [("v1", 0), ("v2", 1)]


def test_no_thread_sees_a_body_with_other_defaults(live):
    live.start("def f(a=0, *, b=0):\n    return a, b, 0\n")
    from m import f

    torn, calls, stop = [], [0], threading.Event()

    def hammer():
        while not stop.is_set():
            got = f()
            calls[0] += 1
            if len(set(got)) != 1:
                torn.append(got)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(1, 25):
        live.become(f"def f(a={i}, *, b={i}):\n    return a, b, {i}\n")
    stop.set()
    for thread in threads:
        thread.join(10)
    assert torn == []
    assert calls[0] > 0


def test_no_thread_sees_half_of_an_edit_of_two_functions_in_two_files(live):
    live.start("import b\ndef one():\n    return 0\ndef both():\n    return one(), b.two()\n", b="def two():\n    return 0\n")
    import b
    from m import one

    two = b.two
    torn, stop = [], threading.Event()

    def hammer():
        # One expression, read twice on each side: an edit that came between shows as second != first.
        while not stop.is_set():
            first = two()
            got = one()
            if got < first:
                torn.append((first, got))

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(1, 15):
        live.become(f"import b\ndef one():\n    return {i}\ndef both():\n    return one(), b.two()\n", b=f"def two():\n    return {i}\n")
    stop.set()
    for thread in threads:
        thread.join(10)
    assert torn == []


def test_edits_from_several_threads_queue(live):
    live.start("def f():\n    return 0\n")
    import m

    errors = []

    def edit(i):
        try:
            rebuild.rebuild(sources={"m": f"def f():\n    return {i}\n"})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=edit, args=(i,)) for i in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert m.f() in range(1, 6)
    assert len(rebuild.history) == 5


def test_an_edit_inside_an_edit_raises(live):
    live.start("X = 1\n")
    import m

    error = live.refused("from midair.runtime import rebuild\nX = 2\nrebuild.rebuild()\n")
    assert m.X == 1
    assert error is not None


def test_stragglers_name_file_line_and_owner(live):
    live.start("def serve():\n    while True:\n        yield 'v1'\n")
    from m import serve

    gen = serve()
    next(gen)
    report = live.edit("v1", "v2")
    shown = str(report) + " ".join(str(s) for s in rebuild.stragglers())
    assert "serve" in shown
    assert "m.py" in shown
    assert len(rebuild.stragglers()) == 1
    gen.close()
    assert len(rebuild.stragglers()) == 0


def test_a_task_still_in_old_code_is_a_straggler_until_it_ends(live):
    live.start("async def serve(gate):\n    await gate.wait()\n    return 'v1'\n")
    import m

    async def play():
        gate = asyncio.Event()
        task = asyncio.create_task(m.serve(gate), name="the-server")
        await asyncio.sleep(0)
        live.edit("v1", "v2")
        assert "serve" in " ".join(str(s) for s in rebuild.stragglers())
        gate.set()
        assert await task == "v1"
        del task
        await asyncio.sleep(0)
        assert list(rebuild.stragglers()) == []

    asyncio.run(play())


def test_a_thread_still_in_old_code_is_a_straggler(live):
    live.start("def serve(entered, gate):\n    entered.set()\n    gate.wait(20)\n    return 'v1'\n")
    import m

    entered, gate = threading.Event(), threading.Event()
    thread = threading.Thread(target=m.serve, args=(entered, gate), name="worker-7")
    thread.start()
    entered.wait(10)
    live.edit("v1", "v2")
    shown = " ".join(str(s) for s in rebuild.stragglers())
    gate.set()
    thread.join(10)
    assert "serve" in shown


def test_nothing_is_a_straggler_when_nothing_runs(live):
    live.start("def f():\n    return 'v1'\n")
    import m

    m.f()
    report = live.edit("v1", "v2")
    assert list(rebuild.stragglers()) == []
    assert not report.stragglers


async def test_apply_edits_a_running_loop(live):
    live.start("def f():\n    return 'v1'\n")
    from m import f

    live.replace("v1", "v2")
    report = await rebuild.apply()
    assert f() == "v2"
    assert report.number == 1


async def test_apply_refuses_a_broken_edit_and_the_loop_goes_on(live):
    live.start("def f():\n    return 'v1'\n")
    from m import f

    live.write("def f(:\n")
    with contextlib.suppress(rebuild.RebuildError):
        await rebuild.apply()
        raise AssertionError("a file that does not compile was applied")
    assert f() == "v1"
    live.write("def f():\n    return 'v3'\n")
    await rebuild.apply()
    assert f() == "v3"


async def test_apply_upgrades_instances_before_anybody_sees_them(live):
    live.start("class U:\n    def __init__(self, n):\n        self.n = n\n")
    from m import U

    users = [U(i) for i in range(300)]
    live.write("class U:\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.n += 1000\n    def show(self):\n        return self.n\n")
    await rebuild.apply()
    assert [u.show() for u in users] == [1000 + i for i in range(300)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert [u.n for u in users] == [1000 + i for i in range(300)]


async def test_apply_refuses_when_a_hook_raises(live):
    live.start("class U:\n    def __init__(self, n):\n        self.n = n\n    def show(self):\n        return 'v1', self.n\n")
    from m import U

    users = [U(i) for i in range(10)]
    live.write(
        "class U:\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.n = 10 // (self.n - 5)\n    def show(self):\n        return 'v2', self.n\n"
    )
    refused = False
    try:
        await rebuild.apply()
    except rebuild.RebuildError:
        refused = True
    assert refused
    assert [u.show() for u in users] == [("v1", i) for i in range(10)]


async def test_slow_upgrades_are_sliced_and_guarded(live):
    live.start("class U:\n    def __init__(self, n):\n        self.n = n\n")
    from m import U

    users = [U(i) for i in range(400)]
    live.write(
        """
        import time
        class U:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                time.sleep(0.0002)
                self.n += 1000
            def show(self):
                return self.n
        """
    )
    await rebuild.apply()
    assert users[399].show() == 1399  # the guard upgrades at the first access
    assert users[7].n == 1007
    for _ in range(2000):
        if "__getattribute__" not in vars(type(users[0])):
            break
        await asyncio.sleep(0)
    assert [object.__getattribute__(u, "n") for u in users] == [1000 + i for i in range(400)]
