"""CGI programs (RFC 3875): run for one request, killed when they take too long or the client has gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal

from .errors import Disconnected, WebError
from .request import Request

log = logging.getLogger("midair.web")

MAX_HEAD = 64 << 10  # bytes of a program's header
MAX_SAID = 8 << 10  # bytes of its standard error that are logged
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH")


class CGI:
    """Runs executable files as CGI programs, in their own folder and process group.

    Args:
        timeout: seconds for the whole answer; the program and its children are killed then.
    """

    def __init__(self, *, timeout: float = 30.0) -> None:
        self.timeout = timeout

    async def respond(self, path: str, request: Request) -> None:
        if not os.access(path, os.X_OK):
            raise WebError(403, "the program may not be run: it is not executable")
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=os.path.dirname(path),
                env=environment(path, request),
                limit=MAX_HEAD,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeError(f"{path} could not be run: {error.strerror} (is its first line right?)") from error
        assert process.stderr is not None
        said = asyncio.ensure_future(process.stderr.read(MAX_SAID))
        feeding = asyncio.ensure_future(_feed(process, request))
        try:
            async with asyncio.timeout(self.timeout):
                await _relay(process, request, said)
                await process.wait()
        except TimeoutError:
            log.warning("%s was killed after %g seconds", path, self.timeout)
            if request.started:
                raise Disconnected("the program did not end in time") from None
            raise WebError(504, f"the program did not answer within {self.timeout:g} seconds") from None
        finally:
            feeding.cancel()
            _kill(process)
            await process.wait()
            text = await said
            if text:
                log.info("%s said: %s", path, text.decode(errors="backslashreplace").rstrip())


def environment(path: str, request: Request) -> dict[str, str]:
    """What RFC 3875 has a program be told."""
    scope = request.scope
    server = scope.get("server") or ("localhost", None)
    given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    given |= {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "midair",
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": request.host or str(server[0]),
        "SERVER_PORT": str(server[1] or ""),
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "/" + "/".join([*request.prepath, *request.postpath]),
        "SCRIPT_FILENAME": path,
        "PATH_INFO": "",
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "REQUEST_URI": request.uri,
        "REMOTE_ADDR": request.client,
        "CONTENT_TYPE": request.getHeader("content-type") or "",
        "CONTENT_LENGTH": request.getHeader("content-length") or "",
    }
    if request.secure:
        given["HTTPS"] = "on"
    for name, value in request.headers.items():
        key = name.decode("latin-1").upper().replace("-", "_")
        # `Proxy` would be taken for a setting by programs that make requests; credentials are not theirs by the RFC.
        if b"_" in name or key in {"PROXY", "AUTHORIZATION", "CONTENT_TYPE", "CONTENT_LENGTH"}:
            continue
        given[f"HTTP_{key}"] = value.decode("latin-1").replace("\0", "")
    return given


async def _feed(process: asyncio.subprocess.Process, request: Request) -> None:
    """The request's body to the program, at the speed at which it reads. A client that leaves kills it."""
    assert process.stdin is not None
    try:
        async for piece in request.stream():
            process.stdin.write(piece)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError) as error:
        if isinstance(error, Disconnected):
            _kill(process)
            return
    finally:
        process.stdin.close()
    # Nothing more comes but the news that the client has gone.
    message = await request.receive()
    if message["type"] == "http.disconnect":
        _kill(process)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Its children as well, which may hold its output open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


async def _relay(process: asyncio.subprocess.Process, request: Request, said: asyncio.Future[bytes]) -> None:
    assert process.stdout is not None
    if not await _head(process.stdout, request):
        await process.wait()
        text = (await said).decode(errors="backslashreplace")
        raise RuntimeError(f"a CGI program begins with header lines and an empty one; this one said: {text.strip()}")
    while piece := await process.stdout.read(64 << 10):
        request.write(piece)
        await request.flush()
    await request.finish()


async def _head(stdout: asyncio.StreamReader, request: Request) -> bool:
    """The program's header lines; whether they were whole."""
    status, count = 0, 0
    while True:
        try:
            line = await stdout.readline()
        except ValueError:
            return False
        count += len(line)
        if not line.endswith(b"\n") or count > MAX_HEAD:
            return False
        text = line.decode("latin-1").rstrip("\r\n")
        if not text:
            break
        name, colon, value = text.partition(":")
        if not colon:
            return False
        name, value = name.strip(), value.strip()
        if name.lower() == "status":
            status = int(value[:3]) if value[:3].isdigit() else 500
        elif name.lower() not in {"content-length", "transfer-encoding", "connection"}:
            request.addHeader(name, value)
            if name.lower() == "location" and not status:
                status = 302
    if count > 2 or status:
        request.setResponseCode(status or 200)
        return True
    return False
