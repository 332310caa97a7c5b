"""A headless Chromium, driven over its debugging socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        #: Errors that pages reported.
        self.errors: list[str] = []
        self._loads = 0

    async def call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            self._note(message)
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]

    def _note(self, message: Any) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(message["params"]["exceptionDetails"].get("text")))
        elif message.get("method") == "Page.loadEventFired":
            self._loads += 1

    async def go(self, url: str) -> None:
        self._loads = 0
        await self.call("Page.navigate", url=url)
        while not self._loads:
            self._note(json.loads(await self._socket.recv()))

    async def evaluate(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return result["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until an expression is true on the page."""
        while True:
            with contextlib.suppress(RuntimeError):  # the page is being replaced
                if value := await self.evaluate(script):
                    return value
            await asyncio.sleep(0.02)

    async def screenshot(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.asynccontextmanager
async def browser(width: int = 1200, height: int = 900) -> Any:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            while not (found := re.search(rb"ws://[^/]+", line := await process.stderr.readline())):
                assert line, "Chromium ended at once"
            draining = asyncio.ensure_future(process.stderr.read())
            address = found[0].decode().removeprefix("ws://")
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(f"GET /json HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: *(\d+)", head)
            assert length
            tabs = json.loads(await reader.readexactly(int(length[1])))
            writer.close()
            tab = next(tab for tab in tabs if tab["type"] == "page")
            async with connect(tab["webSocketDebuggerUrl"], max_size=1 << 26, ping_interval=None) as socket:
                made = Browser(socket)
                await made.call("Page.enable")
                await made.call("Runtime.enable")
                yield made
        finally:
            process.kill()
            await process.wait()
            draining.cancel()
