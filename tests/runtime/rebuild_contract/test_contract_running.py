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
    live.start(
        "def helper(x):\n    return 'v1', x\ndef serve():\n    n = 0\n    while True:\n        yield helper(n)\n        n += 1\n"
    )
    from m import serve

    gen = serve()
    next(gen)
    live.edit("v1", "v2")
    assert next(gen) == ("v2", 1)


def test_a_generator_reads_a_changed_global_and_a_changed_method(live):
    live.start(
        "LIMIT = 1\nclass C:\n    def f(self):\n        return 'v1'\ndef serve(c):\n    while True:\n        yield LIMIT, c.f()\n"
    )
    from m import C, serve

    gen = serve(C())
    next(gen)
    live.become(live.on_disk["m.py"].replace("LIMIT = 1", "LIMIT = 2").replace("v1", "v2"))
    assert next(gen) == (2, "v2")


def test_yield_from_a_generator_that_was_edited(live):
    live.start(
        "def inner():\n    yield 'i1'\n    yield 'j1'\ndef outer():\n    while True:\n        yield from inner()\n"
    )
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
    live.start(
        "out = []\nasync def f(i):\n    return 'v1', i\ndef done(future):\n    out.append(('v1', future.result()))\n"
    )
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
    live.start(
        "import b\ndef one():\n    return 0\ndef both():\n    return one(), b.two()\n", b="def two():\n    return 0\n"
    )
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
        live.become(
            f"import b\ndef one():\n    return {i}\ndef both():\n    return one(), b.two()\n",
            b=f"def two():\n    return {i}\n",
        )
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
    live.write(
        "class U:\n    __schema__ = 1\n    def __upgrade__(self, schema, state):\n        self.n += 1000\n    def show(self):\n        return self.n\n"
    )
    await rebuild.apply()
    assert [u.show() for u in users] == [1000 + i for i in range(300)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert [u.n for u in users] == [1000 + i for i in range(300)]


async def test_apply_refuses_when_a_hook_raises(live):
    live.start(
        "class U:\n    def __init__(self, n):\n        self.n = n\n    def show(self):\n        return 'v1', self.n\n"
    )
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


def test_a_queue_consumer_and_a_task_group(live):
    live.start(
        """
        import asyncio
        out = []
        async def handle(item):
            out.append(("v1", item))
        async def consume(queue):
            while (item := await queue.get()) is not None:
                await handle(item)
                queue.task_done()
        """
    )
    import m

    async def play():
        queue = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(m.consume(queue))
            await queue.put(1)
            await queue.join()
            live.edit("v1", "v2")
            await queue.put(2)
            await queue.join()
            await queue.put(None)

    asyncio.run(play())
    assert m.out == [("v1", 1), ("v2", 2)]


def test_async_for_over_an_object_whose_anext_changes(live):
    live.start(
        """
        class Feed:
            def __init__(self):
                self.n = 0
            def __aiter__(self):
                return self
            async def __anext__(self):
                self.n += 1
                if self.n > 3:
                    raise StopAsyncIteration
                return ("v1", self.n)
        """
    )
    from m import Feed

    async def play():
        got = []
        async for item in Feed():
            got.append(item)
            if len(got) == 1:
                live.edit("v1", "v2")
        return got

    assert asyncio.run(play()) == [("v1", 1), ("v2", 2), ("v2", 3)]


def test_a_plain_iterator_object_in_a_for_loop(live):
    live.start(
        "class It:\n    def __init__(self):\n        self.n = 0\n    def __iter__(self):\n        return self\n    def __next__(self):\n        self.n += 1\n        return 'v1', self.n\n"
    )
    from m import It

    it = iter(It())
    assert next(it) == ("v1", 1)
    live.edit("v1", "v2")
    assert next(it) == ("v2", 2)


def test_thread_locals_and_a_thread_subclass_stay(live):
    live.start(
        "import threading\nlocal = threading.local()\nclass Worker(threading.Thread):\n    def run(self):\n        self.answer = work()\ndef work():\n    return 'v1'\n"
    )
    import m

    m.local.x = 1
    worker = m.Worker()
    live.edit("v1", "v2")
    worker.start()
    worker.join(10)
    assert worker.answer == "v2"
    assert m.local.x == 1


def test_run_in_executor_and_to_thread_with_held_functions(live):
    live.start("def work(x):\n    return 'v1', x\n")
    from m import work

    async def play():
        loop = asyncio.get_running_loop()
        live.edit("v1", "v2")
        return await loop.run_in_executor(None, work, 1), await asyncio.to_thread(work, 2)

    assert asyncio.run(play()) == (("v2", 1), ("v2", 2))


def test_a_lock_held_and_an_event_waited_for_across_an_edit(live):
    live.start(
        "import asyncio\nlock = asyncio.Lock()\nasync def guarded(log):\n    async with lock:\n        log.append('v1')\n"
    )
    import m

    async def play():
        log = []
        async with m.lock:
            waiting = asyncio.create_task(m.guarded(log))
            await asyncio.sleep(0)
            live.edit("v1", "v2")
        await waiting
        await m.guarded(log)
        return log

    assert asyncio.run(play()) == ["v1", "v2"]


def test_two_coroutines_of_one_function_before_and_after(live):
    live.start("async def f(gate):\n    await gate.wait()\n    return 'v1'\n")
    import m

    async def play():
        gate = asyncio.Event()
        old = asyncio.create_task(m.f(gate))
        await asyncio.sleep(0)
        live.edit("v1", "v2")
        new = asyncio.create_task(m.f(gate))
        await asyncio.sleep(0)
        gate.set()
        return await old, await new

    assert asyncio.run(play()) == ("v1", "v2")


def test_a_recursive_call_on_the_stack_goes_on_in_new_code(live):
    live.start(
        "def down(n, act):\n    if n == 0:\n        act()\n        return ['v1']\n    return [*down(n - 1, act), 'v1']\n"
    )
    from m import down

    assert down(2, lambda: live.edit("v1", "v2")) == ["v1", "v1", "v1"]
    assert down(1, lambda: None) == ["v2", "v2"]


def test_an_edit_from_a_signal_like_callback_inside_a_sort(live):
    live.start("def key(x):\n    return -x\n")
    from m import key

    done = []

    def keyed(x):
        if not done:
            done.append(live.edit("-x", "x"))
        return key(x)

    assert sorted([3, 1, 2], key=keyed) == [1, 2, 3]


def test_an_edit_from_inside_a_method_and_a_property_of_the_edited_class(live):
    live.start(
        "class C:\n    def f(self, act):\n        before = self.p\n        act()\n        return before, self.p, self.g()\n    @property\n    def p(self):\n        return 'p1'\n    def g(self):\n        return 'g1'\n"
    )
    from m import C

    assert C().f(lambda: live.edit("1'", "2'")) == ("p1", "p2", "g2")


async def test_a_hook_that_raises_only_in_the_commit_quarantines_its_instance(live):
    live.start("class U:\n    def __init__(self, n):\n        self.n = n\n")
    import os

    from m import U

    users = [U(i) for i in range(400)]
    # The hook needs longer than a slice for all, and fails for one instance outside of the rehearsal only.
    live.write(
        f"""
        import os, time
        class U:
            __schema__ = 1
            def __upgrade__(self, schema, state):
                time.sleep(0.0001)
                if self.n == 350 and os.getpid() == {os.getpid()}:
                    raise ValueError("only live")
                self.n += 1000
        """
    )
    await rebuild.apply()
    for _ in range(500):
        if all(object.__getattribute__(u, "n") >= 1000 for u in users if u is not users[350]):
            break
        await asyncio.sleep(0.001)
    assert users[8].n == 1008
    refused = False
    try:
        _ = users[350].n
    except rebuild.NotUpgraded:
        refused = True
    assert refused
    assert object.__getattribute__(users[350], "__dict__")["n"] == 350
