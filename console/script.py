"""The console for programs: a script that is piped in, one command of the command line, lines of JSON.

What a script prints is all there is on its standard output: no prompts, no banners. The first statement that fails ends it.
"""

import ast
import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .plain import MAX_LINE, LineReader
from .users import Role

if TYPE_CHECKING:
    from .runner import Outcome
    from .session import Session

MAX_SCRIPT = 4 * 1024 * 1024
"""Longest script taken, in bytes."""

Emit = Callable[[str, str], None]
"""Called with (text, "out" or "err")."""


class Script:
    """Runs a script, or one command, statement by statement; `status` is its exit status afterwards.

    Args:
        emit: where output goes.
        call: the command and its words, for `midair status` and the like; None reads a script.
    """

    rich = False

    def __init__(self, session: "Session", emit: Emit, *, call: str | None = None) -> None:
        self.session, self.emit, self.call = session, emit, call
        self.status = 0
        self._source = bytearray()
        self._whole = asyncio.Event()
        self._given_up = False

    def feed(self, data: bytes) -> None:
        if len(self._source) + len(data) > MAX_SCRIPT:
            self.emit(f"the script is longer than {MAX_SCRIPT:,} bytes; nothing was run\n", "err")
            self.status, self._given_up = 1, True
            self._whole.set()
            return
        self._source += data

    def end_of_input(self) -> None:
        """The script is complete."""
        self._whole.set()

    def show(self, text: str, stream: str) -> None:
        self.emit(text, stream)

    def resized(self) -> None:
        return

    def cancel(self) -> None:
        self.status, self._given_up = 1, True
        self._whole.set()

    def end(self) -> None:
        self._given_up = True
        self._whole.set()

    async def run(self) -> None:
        if self.call is not None:
            await self._step(self.call, words=True)
            return
        await self._whole.wait()
        for source in self._statements(self._source.decode("utf-8", "replace")):
            if self._given_up or not await self._step(source):
                return

    def _statements(self, text: str) -> list[str]:
        """The script cut into its statements."""
        if self.session.person.role < Role.ADMIN:
            return [line for line in text.splitlines() if line.strip()]
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return [text]  # running it shows the error
        lines = text.splitlines(keepends=True)
        starts = [_first_line(node) - 1 for node in tree.body]
        if not starts:
            return []
        if len(set(starts)) != len(starts):
            return [text]  # several statements on one line: run as one
        return ["".join(lines[a:b]) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]

    async def _step(self, source: str, *, words: bool = False) -> bool:
        outcome = await self.session.evaluate(source, words=words)
        if outcome.text:
            self.emit(outcome.text + "\n", "out")
        if outcome.error:
            refused = "RebuildError: " if words else ""  # on a command line the sentence is what matters
            told = outcome.error.removeprefix(refused)
            self.emit(f"midair: {told}" if told != outcome.error else told, "err")
        if outcome.kind in {"error", "interrupted"}:
            self.status = 1
        return outcome.kind == "ok"


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


class JSONLines:
    """One JSON object a line. Requests: `{"id": 1, "code": "len(space)"}`, `{"id": 2, "command": "log --level warning"}`,
    `{"interrupt": 1}`, `{"describe": true}`. Replies carry the id: `{"id": 1, "result": "4", "ms": 0.3}`, `{"id": 1, "error": "..."}`;
    output comes as `{"id": 1, "out": "..."}`. Statements run one after another, in the order they came."""

    rich = False

    def __init__(self, session: "Session") -> None:
        self.session = session
        self._reader = LineReader(MAX_LINE)
        self._waiting: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(maxsize=1000)
        self._running: Any = None

    def feed(self, data: bytes) -> None:
        for line in self._reader.feed(data):
            if line.strip():
                self._request(line)

    def _request(self, line: str) -> None:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise TypeError("not an object")
        except (ValueError, TypeError, RecursionError) as error:
            self._reply({"error": f"not a request: {error}"})
            return
        if "interrupt" in request:
            self._interrupt(request["interrupt"])
        elif "describe" in request:
            commands = [command.describe() for command in self.session.console.commands.values()]
            self._reply({"id": request.get("id"), "commands": commands})
        elif isinstance(request.get("code"), str) or isinstance(request.get("command"), str):
            try:
                self._waiting.put_nowait(request)
            except asyncio.QueueFull:
                self._reply(
                    {"id": request.get("id"), "error": f"not run: {self._waiting.maxsize} requests are waiting"}
                )
        else:
            self._reply({"id": request.get("id"), "error": "a request has code, command, interrupt or describe"})

    def _interrupt(self, number: Any) -> None:
        if self._running is not None and self._running == number and self.session.statement is not None:
            self.session.statement.interrupt()
        else:
            self._reply({"id": number, "error": "nothing with this id is running"})

    def end_of_input(self) -> None:
        """The client sends nothing more: leave when all that is waiting is done."""
        asyncio.ensure_future(self._waiting.put(None))  # noqa: RUF006 - ends with the queue that it waits for

    def show(self, text: str, stream: str) -> None:
        self._reply({"id": self._running, stream: text})

    def resized(self) -> None:
        return

    def cancel(self) -> None:
        return

    def end(self) -> None:
        self.end_of_input()

    async def run(self) -> None:
        while self.session.alive and (request := await self._waiting.get()) is not None:
            self._running = request.get("id")
            words = "command" in request
            outcome = await self.session.evaluate(request["command" if words else "code"], words=words)
            self._answer(outcome)
            self._running = None
            if outcome.kind == "exit":
                return

    def _answer(self, outcome: "Outcome") -> None:
        reply: dict[str, Any] = {"id": self._running, "number": outcome.number, "ms": round(outcome.ms, 3)}
        if outcome.kind == "ok":
            reply["result"] = outcome.text or None
            if outcome.data is not None:
                reply["data"] = outcome.data
        else:
            reply["error"], reply["kind"] = outcome.error, outcome.kind
        self._reply(reply)

    def _reply(self, reply: dict[str, Any]) -> None:
        wire = self.session.wire
        if wire.unsent() < self.session.max_unsent:
            wire.send(json.dumps(reply, default=str).encode() + b"\n")
