"""The web server beside its peers: hello, small and large files, a relay, and requests while code is edited.

    python benchmarks/web.py [--rounds 3] [--seconds 2] [--only hello,small,large,relay,edits]

Needs wrk; nginx is measured where it is installed. In each round every server is asked once, so a slow minute of the machine hits all alike;
printed are medians. "/cpu s" is requests per second of the server's own CPU time, the one to compare on a machine that is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import pwd
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

HELLO = b"hello, world\n"
SERVERS = ("midair", "uvicorn", "starlette", "aiohttp", "twisted", "nginx")
TICKS = os.sysconf("SC_CLK_TCK")
PORT = "--port"


# --- the servers, each in a process of its own


def serve(kind: str, port: int, root: str) -> None:
    if kind == "twisted":
        serve_twisted(port, root)
        return
    import uvloop

    make = {
        "midair": midair,
        "offered": offered,
        "spread": spread,
        "http": http,
        "uvicorn": uvicorn,
        "starlette": starlette,
        "aiohttp": aiohttp,
    }[kind]
    uvloop.run(make(port, root))


def midair_site(root: str) -> Any:
    from midair.services.web import Request, Resource, Static

    class Hello(Resource):
        isLeaf = True  # noqa: N815 - the name that resources have

        def render(self, request: Request) -> bytes:
            request.setHeader("Content-Type", "text/plain")
            return HELLO

    site = Resource()
    site.putChild("", Hello())
    site.putChild("files", Static(root))
    return site


async def run_midair(resource: Any, port: int, rendezvous: str = "") -> None:
    from midair.runtime.book import Book
    from midair.runtime.space import Space
    from midair.services.web import Web
    from midair.services.web.service import Personal

    space = Space()
    space["web"] = web = Web(resource, port=port)
    if rendezvous:
        web.addresses_wanted.append(Personal(rendezvous))
    web._book = Book(web, touch=lambda: None)
    await web.start()
    await asyncio.Event().wait()


async def midair(port: int, root: str) -> None:
    await run_midair(midair_site(root), port)


async def offered(port: int, root: str) -> None:
    """The site on a port, and for a relay in the folder beside its files."""
    await run_midair(midair_site(root), port, f"{root}.meet")


async def spread(port: int, root: str) -> None:
    """A relay to it over services/spread, as for people's own servers."""
    from midair.services.web import FarSite

    user = pwd.getpwuid(os.getuid())
    await run_midair(FarSite(f"midair+unix://{root}.meet/{user.pw_name}.sock", owner=user.pw_uid), port)


async def http(port: int, root: str) -> None:
    """A relay by HTTP to the port that `root` names."""
    from midair.services.web import Upstream

    await run_midair(Upstream(f"http://127.0.0.1:{root}/"), port)


async def run_uvicorn(app: Any, port: int) -> None:
    from uvicorn import Config, Server

    config = Config(app, port=port, access_log=False, log_level="warning", lifespan="off", http="httptools")
    await Server(config).serve()


async def uvicorn(port: int, root: str) -> None:  # noqa: ARG001 - it has no files
    async def hello(scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG001 - as ASGI has it
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(HELLO))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": HELLO})

    await run_uvicorn(hello, port)


async def starlette(port: int, root: str) -> None:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    async def hello(request: Any) -> Any:  # noqa: ARG001 - as Starlette has it
        return Response(HELLO, media_type="text/plain")

    await run_uvicorn(Starlette(routes=[Route("/", hello), Mount("/files", StaticFiles(directory=root))]), port)


async def aiohttp(port: int, root: str) -> None:
    from aiohttp import web

    async def hello(request: Any) -> Any:  # noqa: ARG001 - as aiohttp has it
        return web.Response(body=HELLO, content_type="text/plain")

    app = web.Application()
    app.router.add_get("/", hello)
    app.router.add_static("/files", root)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def serve_twisted(port: int, root: str) -> None:
    # Whether twisted's types are seen depends on whether it is installed; here they are not asked for.
    load: Callable[[str], Any] = import_module
    reactor, resource = load("twisted.internet.reactor"), load("twisted.web.resource")

    def render(_page: Any, request: Any) -> bytes:
        request.setHeader(b"content-type", b"text/plain")
        return HELLO

    site = type("Root", (resource.Resource,), {"render_GET": render})()
    site.putChild(b"", site)
    site.putChild(b"files", load("twisted.web.static").File(root))
    reactor.listenTCP(port, load("twisted.web.server").Site(site), interface="127.0.0.1")
    reactor.run()


NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/err;
events {{ worker_connections 2048; }}
http {{ access_log off; sendfile on; keepalive_requests 100000000; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
 fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
 server {{ listen 127.0.0.1:{port}; location = / {{ default_type text/plain; return 200 "hello, world\\n"; }}
  location /files/ {{ alias {root}/; }} }} }}"""


# --- starting and measuring them


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(kind: str, root: str, folder: str) -> Iterator[tuple[int, int]]:
    """A server of a kind; its process and port."""
    port = free_port()
    if kind == "nginx":
        conf = Path(folder) / f"nginx{port}.conf"
        conf.write_text(NGINX.format(folder=folder, port=port, root=root))
        command = ["nginx", "-c", str(conf)]
    else:
        command = [sys.executable, __file__, "--serve", kind, PORT, str(port), "--root", root]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None:
                raise RuntimeError(f"{kind} ended at once")
            time.sleep(0.05)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its children so far."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if str(pid) in {fields[1], stat.parent.name}:
                total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pid: int) -> float:
    """MB of memory at its highest."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


class Measured(NamedTuple):
    rate: float
    per_cpu: float
    p99: float


def wrk(pid: int, port: int, path: str, seconds: float, connections: int = 32) -> Measured:
    before = cpu_seconds(pid)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = max(cpu_seconds(pid) - before, 0.01)
    if "Non-2xx" in said:
        raise RuntimeError(f"{path} was not answered with 200")
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if not (rate and count and p99):
        raise RuntimeError(f"wrk said something else: {said}")
    return Measured(float(rate[1]), int(count[1]) / used, float(p99[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]])


Results = dict[str, list[Measured]]


def show(title: str, results: Results, base: str) -> None:
    print(f"\n| {title} | /s | /cpu s | p99 ms | ratio by CPU to {base} |\n|---|---|---|---|---|")
    medians = {kind: Measured(*map(statistics.median, zip(*rows, strict=True))) for kind, rows in results.items()}
    for kind, m in medians.items():
        ratio = m.per_cpu / medians[base].per_cpu
        print(f"| {kind} | {m.rate:.0f} | {m.per_cpu:.0f} | {m.p99:.2f} | {ratio:.2f} |")


def compare(options: argparse.Namespace, what: str, path: str, kinds: tuple[str, ...], root: str, folder: str) -> None:
    results: Results = {}
    peaks: dict[str, float] = {}
    for _ in range(options.rounds):
        for kind in kinds:
            if kind == "nginx" and not shutil.which("nginx"):
                continue
            with running(kind, root, folder) as (pid, port):
                results.setdefault(kind, []).append(wrk(pid, port, path, options.seconds))
                peaks[kind] = max(peaks.get(kind, 0.0), resident(pid))
    show(what, results, "midair")
    if "large" in what:
        print("\nMemory at its highest, MB: " + ", ".join(f"{kind} {peak:.0f}" for kind, peak in peaks.items()))


def relayed(options: argparse.Namespace, root: str, folder: str) -> None:
    """1 MB from the server itself, and through a relay before it."""
    for connections in (1, 4):
        results: Results = {}
        for _ in range(options.rounds):
            with (
                running("offered", root, folder) as (behind, port),
                running("spread", root, folder) as (front, spread_port),
                running("http", str(port), folder) as (other, http_port),
            ):
                for kind, pid, at in (
                    ("direct", behind, port),
                    ("spread", front, spread_port),
                    ("http", other, http_port),
                ):
                    measured = wrk(pid, at, "/files/1mb", options.seconds, connections)
                    results.setdefault(kind, []).append(measured)
        show(f"1 MB, connections: {connections}", results, "direct")


# --- requests while code is edited


EDITED = """
from midair.services.web import Resource

class Root(Resource):
    isLeaf = True

    def render(self, request):
        return b"edit 0"
"""


async def edits(options: argparse.Namespace) -> None:
    """1,000 keep-alive connections, each asking once a second, while a file is edited 100 times.

    A second without edits and one with ten of them alternate, so that both see the same machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edited_site.py"
        file.write_text(EDITED)
        port = free_port()
        midair_command = [sys.executable, "-m", "midair"]
        made = [*midair_command, "make", "web", "--module", f"{file}:Root", PORT, str(port)]
        making = await asyncio.create_subprocess_exec(*made, cwd=folder, stdout=asyncio.subprocess.DEVNULL)
        await making.wait()
        silent: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.DEVNULL}
        command = [*midair_command, "run", "web.spl", "--settle", "0.01"]
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, **silent)
        try:
            while process.stdout and b"ready in" not in await process.stdout.readline():
                pass
            asked = await Asked(port, options.connections).during(file)
        finally:
            process.terminate()
            await process.wait()
    print(
        f"\n| {options.connections} keep-alive connections | requests | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|"
    )
    for title, times in (("seconds without edits", asked.quiet), ("seconds with ten edits", asked.editing)):
        ordered = sorted(times)
        p50, p99 = ordered[len(ordered) // 2] * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3
        print(f"| {title} | {len(times)} | {p50:.1f} | {p99:.1f} | {ordered[-1] * 1e3:.1f} |")
    print(f"\nFailed requests: {asked.failed}; answers of {len(asked.seen)} different codes.")


class Asked:
    """Clients that ask, and what became of it."""

    def __init__(self, port: int, connections: int) -> None:
        self.port, self.connections = port, connections
        self.quiet: list[float] = []
        self.editing: list[float] = []
        self.seen: set[bytes] = set()
        self.failed = 0
        self._times: list[float] | None = None
        self._done = False

    async def during(self, file: Path) -> Asked:
        clients = [asyncio.create_task(self._client(number)) for number in range(self.connections)]
        await asyncio.sleep(3.0)  # until all are connected
        for turn in range(10):
            self._times = self.quiet
            await asyncio.sleep(1.0)
            self._times = self.editing
            for number in range(10):
                scratch = file.with_suffix(".new")
                scratch.write_text(EDITED.replace("edit 0", f"edit {turn * 10 + number + 1}"))
                scratch.replace(file)
                await asyncio.sleep(0.1)
        self._done = True
        await asyncio.gather(*clients)
        return self

    async def _client(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2.0 * number / self.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while not self._done:
                began = loop.time()
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                if not length or not head.startswith(b"HTTP/1.1 200 "):
                    raise OSError(f"not answered with 200: {head!r}")
                self.seen.add(await reader.readexactly(int(length[1])))
                if self._times is not None:
                    self._times.append(loop.time() - began)
                await asyncio.sleep(1.0)
        except (OSError, EOFError):
            self.failed += 1
        finally:
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The web server beside its peers.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--only", default="hello,small,large,relay,edits")
    parser.add_argument("--servers", default=",".join(SERVERS), help="those of them to measure")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument(PORT, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port, options.root)
        return
    only, servers = options.only.split(","), tuple(options.servers.split(","))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # nginx's worker is another user
        root = Path(folder) / "root"
        root.mkdir()
        for name, size in (("10kb", 10_000), ("1mb", 1_000_000), ("10mb", 10_000_000)):
            (root / name).write_bytes(os.urandom(size))
        if "hello" in only:
            compare(options, "hello, 13 bytes", "/", servers, str(root), folder)
        files = tuple(kind for kind in servers if kind != "uvicorn")
        if "small" in only:
            compare(options, "small file, 10 kB", "/files/10kb", files, str(root), folder)
        if "large" in only:
            compare(options, "large file, 10 MB", "/files/10mb", files, str(root), folder)
        if "relay" in only:
            relayed(options, str(root), folder)
    if "edits" in only:
        asyncio.run(edits(options))


if __name__ == "__main__":
    main()
