"""What still runs old code is named: what it is, whose it is, in which function, at which line of which file."""

import asyncio
import contextlib
import gc
import textwrap
import threading

from midair.runtime import rebuild
from midair.runtime.rebuild import Straggler, native

WAITING = """
def serve(entered, gate):
    entered.set()
    gate.wait(20)
    return 'v1'
"""


@contextlib.contextmanager
def thread_inside(serve, name):
    """A thread that has called serve(entered, gate), and is in it."""
    entered, gate = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(entered, gate), name=name)
    thread.start()
    assert entered.wait(10)
    try:
        yield
    finally:
        gate.set()
        thread.join(10)


def test_a_thread(live):
    live.start(WAITING)
    from m import serve

    with thread_inside(serve, "worker-7"):
        report = live.edit("v1", "v2")
        (found,) = report.stragglers
        assert (found.kind, found.owner, found.name, found.file) == (
            "thread",
            "worker-7",
            "serve",
            str(live.root / "m.py"),
        )
        assert found.line in {2, 3}, "where it is, not where the function begins"
        assert rebuild.stragglers() == [found]
        assert str(found) == f"thread worker-7: serve ({live.root / 'm.py'}:{found.line})"
    assert rebuild.stragglers() == []


async def test_a_task_by_what_it_awaits(live):
    live.start(
        """
        async def inner(gate):
            await gate.wait()
            return 'v1'

        async def outer(gate):
            return 'same', await inner(gate)
        """
    )
    import m

    gate = asyncio.Event()
    task = asyncio.create_task(m.outer(gate), name="the-server")
    await asyncio.sleep(0)
    report = live.edit("v1", "v2")
    wanted = Straggler("task", "the-server", "inner", str(live.root / "m.py"), 2)
    assert report.stragglers == [wanted]
    assert wanted in rebuild.stragglers()
    assert rebuild.is_stale_task(task)
    gate.set()
    assert await task == ("same", "v1")
    del task
    await asyncio.sleep(0)
    assert rebuild.stragglers() == []


def test_generators_of_both_kinds(live):
    live.start(
        """
        def plain():
            yield 1
            yield 'v1'

        async def asynchronous():
            yield 'v1'
        """
    )
    import m

    one, two = m.plain(), m.asynchronous()
    next(one)
    with contextlib.suppress(StopIteration):
        two.__anext__().send(None)
    report = live.edit("v1", "v2")
    file = str(live.root / "m.py")
    wanted = {
        Straggler("generator", f"at {id(one):#x}", "plain", file, 2),
        Straggler("generator", f"at {id(two):#x}", "asynchronous", file, 6),
    }
    assert set(report.stragglers) == set(rebuild.stragglers()) == wanted
    assert list(one) == ["v1"]
    del one, two
    gc.collect()
    assert rebuild.stragglers() == []


def test_a_module_whose_body_still_runs(live):
    live.start(
        """
        import threading
        entered, gate = threading.Event(), threading.Event()
        def f():
            return 'v1'
        entered.set()
        gate.wait(20)
        """,
        way="import sys\ndef enter():\n    import m\n",
    )
    import sys

    import way

    thread = threading.Thread(target=way.enter, name="importer")
    thread.start()
    while "m" not in sys.modules or not hasattr(sys.modules["m"], "gate"):
        pass
    m = sys.modules["m"]
    assert m.entered.wait(10)
    try:
        for text in ("v2", "v3"):
            report = live.edit("v1" if text == "v2" else "v2", text)
            assert m.f() == text
            assert [(s.kind, s.owner, s.name, s.file) for s in report.stragglers] == [
                ("thread", "importer", "<module>", str(live.root / "m.py"))
            ]
            assert report.stragglers[0].line in {5, 6}
    finally:
        m.gate.set()
        thread.join(10)


def test_an_instance_that_stays_on_its_old_layout(live):
    first = """
    import m2
    class P:
        __slots__ = ('a',)
    class Outer:
        class Q(m2.Base):
            __slots__ = ('a',)
    """
    live.start(first, m2="class Base:\n    __slots__ = ('b',)\n")
    import m

    things = [m.P(), m.Outer.Q()]
    for each in things:
        native.incref(each)  # as a structure of C does that nobody can look into
    addresses = [id(each) for each in things]
    things.clear()
    del each
    report = live.become("# moves the line\n" + textwrap.dedent(first[1:]).replace("('a',)", "('a', 'c')"))
    file = str(live.root / "m.py")
    assert sorted(report.stragglers, key=str) == [
        Straggler("instance", "Outer.Q", f"at {addresses[1]:#x}", file, 6),
        Straggler("instance", "P", f"at {addresses[0]:#x}", file, 3),
    ]


def test_an_instance_of_a_subclass_in_a_module_that_was_not_edited(live):
    live.start("import m2\n\nclass Q(m2.Base):\n    __slots__ = ('a',)\n", m2="class Base:\n    __slots__ = ('b',)\n")
    import m

    one = m.Q()
    native.incref(one)
    address = id(one)
    del one
    report = live.become(m2="class Base:\n    __slots__ = ('b', 'c')\n")
    assert report.stragglers == [Straggler("instance", "Q", f"at {address:#x}", str(live.root / "m.py"), 3)]


def test_a_refused_edit_leaves_none(live):
    live.start(WAITING)
    from m import serve

    with thread_inside(serve, "worker"):
        live.refused(WAITING.replace("v1", "v2") + "1 / 0\n")
        assert rebuild.stragglers() == []
        assert live.become(WAITING.replace("v1", "v2")).stragglers == rebuild.stragglers() != []


def test_each_is_a_line_of_the_report_with_file_and_line(live):
    live.start(WAITING)
    from m import serve

    with thread_inside(serve, "worker-7"):
        report = live.edit("v1", "v2")
        lines = str(report).splitlines()
        (line,) = lines[lines.index("still in old code:") + 1 :]
        assert line.split("  ")[1] == "thread worker-7: serve"
        assert line.endswith(f"m.py:{report.stragglers[0].line}")
        assert report.to_dict()["stragglers"] == [
            {
                "kind": "thread",
                "owner": "worker-7",
                "name": "serve",
                "file": str(live.root / "m.py"),
                "line": report.stragglers[0].line,
            }
        ]


async def test_a_supervised_task_starts_again_with_the_new_code_and_the_others_go_on(live):
    live.start(
        """
        import asyncio
        from midair import Service

        class Worker(Service):
            async def start(self):
                self.seen, self.others = [], []
                self.spawn(self.work)
                self.spawn(self.other)

            async def work(self):
                await self.deeper()

            async def deeper(self):
                self.seen.append('v1')
                await asyncio.Event().wait()

            async def other(self):
                self.others.append(1)
                await asyncio.Event().wait()
        """
    )
    from m import Worker

    from midair import Space
    from midair.runtime.server import Server

    space = Space()
    space["worker"] = worker = Worker()
    server = Server(space, say=lambda _: None, complain=lambda _: None, drain=1.0)
    main = asyncio.create_task(server.main())
    await server.ready.wait()
    try:
        for _ in range(100):
            await asyncio.sleep(0)
        live.replace("v1", "v2")
        await rebuild.apply()
        for _ in range(100):
            await asyncio.sleep(0)
        assert worker.seen == ["v1", "v2"]
        assert worker.others == [1]
        assert rebuild.stragglers() == []
    finally:
        server.stop_soon("the test is over")
        await main
