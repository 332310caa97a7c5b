"""The pause of an edit, beside the peers: the longest gap of a 1 ms heartbeat on the loop while a watched edit becomes
live, collector off, in a module of 300 functions and a class with live instances.

    .venv/bin/python benchmarks/rebuild.py
    .venv/bin/python benchmarks/rebuild.py --instances 1000 1000000 --edits 7
    .venv/bin/python benchmarks/rebuild.py --scans                    heap passes, in ns a tracked object
    .venv/bin/python benchmarks/rebuild.py --leak 10000               bytes an edit leaves behind, while a thread calls
    .venv/bin/python benchmarks/rebuild.py --calls                    what a call of a watched function costs

Each tool runs in a process of its own, and the file is saved by another one, as an editor does it. A tool without a
watcher of its own is called on the loop when the file has changed, which is the least that it can cost there. The
millisecond that the heartbeat sleeps is part of every gap.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# mypy: disable-error-code="misc, import-untyped, import-not-found, attr-defined, var-annotated, assignment"
# The peers measured here are not typed, or not as they are used.

import argparse
import asyncio
import gc
import importlib
import importlib.util
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit

SHAPE = "def f{0}(a, b=1):\n    'The {0}th.'\n    x = a + b * {0}\n    if x > 3:\n        return [y for y in range(x)]\n    return x\n\n\n"
MODULE = "".join(SHAPE.format(i) for i in range(300)) + (
    "class C:\n    def __init__(self, n):\n        self.n = n\n\n    def g(self):\n        return 1\n"
)
PEERS = {
    "superreload": "IPython",
    "twisted": "twisted",
    "jurigged": "jurigged",
    "xreload": "xreload",
    "reload": "sys",
    "midair": "midair",
}


def edited(n):
    """The module with one body changed, and a line more or less in it."""
    return MODULE.replace("a + b * 150\n", f"a + b * 150 + {n}\n" + "    # a line more\n" * (n % 2))


class Tool:
    """How a tool is told of the folder, and of an edit."""

    watches = False  # does it see by itself that the file was saved?

    def before(self, folder):
        """Nothing to prepare."""

    async def apply(self, module):
        self.call(module)


class Midair(Tool):
    watches = True

    def before(self, folder):
        from midair.runtime import rebuild

        self.rebuild, self.loop, self.done = rebuild, asyncio.get_running_loop(), asyncio.Event()
        rebuild.watch(folder, settle=0.02, dispatch=lambda: self.loop.call_soon_threadsafe(self.go))

    def go(self):
        self.task = self.loop.create_task(self.rebuild.apply())
        self.task.add_done_callback(lambda task: self.done.set() if task.result().number else None)

    async def apply(self, _module):
        await self.done.wait()
        self.done.clear()


class Reload(Tool):
    def call(self, module):
        importlib.reload(module)


class Xreload(Tool):
    def call(self, module):
        from xreload import xreload

        xreload(module)


class Twisted(Tool):
    def call(self, module):
        from twisted.python.rebuild import rebuild

        rebuild(module, doLog=False)


class Superreload(Tool):
    def before(self, _folder):
        self.old = {}

    def call(self, module):
        from IPython.extensions.autoreload import superreload

        superreload(module, importlib.reload, self.old)


class Jurigged(Tool):
    def before(self, folder):
        from jurigged.register import registry

        self.registry = registry
        registry.auto_register(filter=lambda name: name.startswith(folder))

    def call(self, module):
        self.registry.get(module.__file__).refresh()


TOOLS = {
    "superreload": Superreload,
    "twisted": Twisted,
    "jurigged": Jurigged,
    "xreload": Xreload,
    "reload": Reload,
    "midair": Midair,
}


class Heartbeat:
    """Wakes every millisecond and remembers the longest time between two beats."""

    def __init__(self):
        self.longest, self.last = 0.0, time.perf_counter()

    async def beat(self):
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.longest, self.last = max(self.longest, now - self.last), now

    def reset(self):
        self.longest, self.last = 0.0, time.perf_counter()


async def pauses(tool, instances, edits, folder):
    """(longest gap, time from save to live) of each edit, in ms."""
    path = pathlib.Path(folder) / "measured.py"
    path.write_text(MODULE)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    tool.before(folder)
    module = importlib.import_module("measured")
    held = [module.C(i) for i in range(instances)]
    heart = Heartbeat()
    task = asyncio.create_task(heart.beat())
    editor = start_editor(path)
    gc.collect()
    gc.disable()
    found = []
    for n in range(1, edits + 1):
        await asyncio.sleep(0.05)
        heart.reset()
        began = time.perf_counter()
        editor.stdin.write(b"%d\n" % n)
        editor.stdin.flush()
        if not tool.watches:
            await asyncio.to_thread(editor.stdout.readline)
        await tool.apply(module)
        live = time.perf_counter() - began
        await asyncio.sleep(0.005)
        if tool.watches:
            editor.stdout.readline()
        assert module.f150(1) == list(range(151 + n)), "the edit is not live"
        found.append((heart.longest * 1000, live * 1000))
    task.cancel()
    editor.stdin.close()
    editor.wait()
    assert len(held) == instances
    return found


def start_editor(path):
    """A process that saves edits of the file; it does not wake the loop that is measured."""
    return subprocess.Popen(
        [sys.executable, __file__, "--editor", str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def be_the_editor(path):
    """Save the edit of each number that comes in, and say so."""
    for line in sys.stdin:
        pathlib.Path(path).write_text(edited(int(line)))
        print(flush=True)


def measure(name, instances, edits):
    """In a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", name, str(instances), str(edits)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("[[")]
    return json.loads(lines[-1]) if lines else None


def one(name, instances, edits):
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(pauses(TOOLS[name](), instances, edits, str(pathlib.Path(folder).resolve())))
    print(json.dumps(found), flush=True)
    if name == "midair":
        importlib.import_module("midair.runtime.rebuild").unwatch()


def table(sizes, edits):
    print(f"| tool | {' | '.join(f'{n:,} instances' for n in sizes)} | save to live, {sizes[0]:,} |")
    print("|---|" + "--:|" * (len(sizes) + 1))
    for name, package in PEERS.items():
        if importlib.util.find_spec(package) is None:
            print(f"| {name} | not installed |" + " |" * len(sizes))
            continue
        results = [measure(name, size, edits) for size in sizes]
        cells = [f"{statistics.median(gap for gap, _ in r):.1f} ms" if r else "failed" for r in results]
        live = f"{statistics.median(t for _, t in results[0]):.1f} ms" if results[0] else ""
        print(f"| {name} | {' | '.join(cells)} | {live} |", flush=True)
    print(
        "\nThe longest gap of a 1 ms heartbeat, median of the edits; save to live includes 20 ms of settling for midair."
    )


def scans(objects):
    """A heap with many tracked objects: what a scan and a layout swap cost an object."""
    from midair.runtime import rebuild

    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as place:
        folder = str(pathlib.Path(place).resolve())
        path = pathlib.Path(folder) / "measured.py"
        text = "def outer():\n    def inner(): return {}\n    return inner\nclass P:\n    __slots__ = ({})\n"
        text += "    def __init__(self): self.x = 1\n"
        path.write_text(text.format(1, "'x',"))
        sys.path.insert(0, folder)
        rebuild.record(folder)
        module = importlib.import_module("measured")
        held = [[i] for i in range(objects)]
        inner = module.outer()
        gc.collect()
        gc.disable()
        path.write_text(text.format(2, "'x',"))
        report = rebuild.rebuild()
        assert inner() == 2
        print(
            f"a scan for functions: {report.scan_ms * 1e6 / report.scanned:.0f} ns an object ({report.scanned:,} tracked)"
        )
        for count in (10, objects):
            some = [module.P() for _ in range(count)]
            path.write_text(text.format(2, "'x', 'y'" if count == 10 else "'x', 'y', 'z'"))
            began = time.process_time()
            report = rebuild.rebuild()
            spent = (time.process_time() - began) * 1e9 / report.scanned
            print(
                f"a layout swap, {report.moved:,} instances: {spent:.0f} ns of CPU an object ({report.scanned:,} tracked)"
            )
            assert all(type(p) is module.P for p in some)
        assert len(held) == objects


def leak(edits):
    """Resident bytes that each edit leaves behind once the history is full, while a thread calls what is edited."""
    from midair.runtime import rebuild

    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as place:
        folder = str(pathlib.Path(place).resolve())
        path = pathlib.Path(folder) / "measured.py"
        path.write_text("def f(x):\n    return x\n\n\nclass C:\n    def g(self):\n        return 0\n")
        sys.path.insert(0, folder)
        rebuild.record(folder)
        module = importlib.import_module("measured")
        held = module.C()
        stop, calls = threading.Event(), [0]

        def load():
            while not stop.wait(0.0002):
                module.f(1)
                held.g()
                calls[0] += 2

        caller = threading.Thread(target=load)
        caller.start()

        def go(count):
            for n in range(count):
                path.write_text(f"def f(x):\n    return x + {n}\n\n\nclass C:\n    def g(self):\n        return {n}\n")
                rebuild.rebuild()
                assert (module.f(0), held.g()) == (n, n)

        go(min(1000, edits))
        gc.collect()
        before = resident()
        go(edits)
        gc.collect()
        stop.set()
        caller.join()
        print(f"{edits:,} edits: {(resident() - before) / edits:.0f} bytes each ({calls[0]:,} calls meanwhile)")


def calls(rounds=7):
    """A call in a process without midair, and in one that watches the module and has edited it: the shortest of each."""
    found = {"without": [], "with": []}
    for _ in range(rounds):
        for how, times in found.items():
            done = subprocess.run(
                [sys.executable, __file__, "--call", how], capture_output=True, text=True, timeout=60, check=True
            )
            times.append(json.loads(done.stdout))
    shortest = {how: min(ns for ns, _ in times) for how, times in found.items()}
    same = len({code for times in found.values() for _, code in times}) == 1
    print(
        f"a call of a watched and edited function: {shortest['with']:.1f} ns, without midair {shortest['without']:.1f} ns, "
        f"ratio {shortest['with'] / shortest['without']:.2f}; bytecode {'the same' if same else 'not the same'}"
    )


def call(how):
    """In a process of its own: (ns a call, what is called)."""
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as place:
        folder = str(pathlib.Path(place).resolve())
        path = pathlib.Path(folder) / "measured.py"
        path.write_text(edited(1) if how == "without" else MODULE)
        sys.path.insert(0, folder)
        if how == "with":
            from midair.runtime import rebuild

            rebuild.watch(folder, dispatch=lambda: None)
        module = importlib.import_module("measured")
        if how == "with":
            path.write_text(edited(1))
            assert rebuild.rebuild().number == 1
        function = module.f0
        gc.disable()
        shortest = min(timeit.repeat(lambda: function(1), number=20_000, repeat=20)) / 20_000 * 1e9
        code = function.__code__
        inner = [const.co_code.hex() for const in code.co_consts if hasattr(const, "co_code")]
        print(json.dumps([shortest, " ".join([type(function).__name__, code.co_code.hex(), *inner])]), flush=True)
        if how == "with":
            rebuild.unwatch()


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main():
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--instances", type=int, nargs="+", default=[1000, 1_000_000])
    cli.add_argument("--edits", type=int, default=5)
    cli.add_argument("--scans", type=int, nargs="?", const=1_000_000, metavar="OBJECTS")
    cli.add_argument("--leak", type=int, metavar="EDITS")
    cli.add_argument("--calls", action="store_true")
    cli.add_argument("--call", help=argparse.SUPPRESS)
    cli.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    cli.add_argument("--editor", help=argparse.SUPPRESS)
    options = cli.parse_args()
    if options.editor:
        be_the_editor(options.editor)
    elif options.one:
        one(options.one[0], int(options.one[1]), int(options.one[2]))
    elif options.scans:
        scans(options.scans)
    elif options.call:
        call(options.call)
    elif options.calls:
        calls()
    elif options.leak:
        leak(options.leak)
    else:
        print("`.venv/bin/python benchmarks/rebuild.py`\n")
        table(options.instances, options.edits)
        print()
        for more in (["--scans"], ["--calls"], ["--leak", "10000"]):
            subprocess.run([sys.executable, __file__, *more], check=False)


if __name__ == "__main__":
    main()
