"""Asking a person something while their statement runs: `answer = await ask("Really? ")`, and passwords with nothing shown."""

import asyncio
from typing import TYPE_CHECKING

from ..runtime.errors import ConsoleError
from .plain import LineReader
from .takeover import take_over

if TYPE_CHECKING:
    from .session import Session

MAX_ANSWER = 4096
"""Characters."""


class Question:
    """Has the keys until Enter. Ctrl-C and Ctrl-D give no answer."""

    def __init__(self, session: "Session", text: str, *, hidden: bool) -> None:
        self.session, self.text, self.hidden = session, text, hidden
        self.answer: str | None = None
        self._typed = ""
        self._lines = LineReader(MAX_ANSWER)
        self._done = asyncio.Event()

    async def run(self) -> int:
        wire = self.session.wire
        if self.hidden:
            wire.hide(True)
        self._say(self.text)
        try:
            await self._done.wait()
        finally:
            if self.hidden:
                wire.hide(False)
        return 0

    def feed(self, data: bytes) -> None:
        if self._done.is_set():
            return
        if b"\x03" in data or b"\x04" in data:
            self._finish(None)
        elif self.session.rich:
            self._edit(data)
        elif lines := self._lines.feed(data):
            self._finish(lines[0])

    def _edit(self, data: bytes) -> None:
        for character in data.decode("utf-8", "replace"):
            if character in "\r\n":
                self._finish(self._typed)
                return
            if character in "\b\x7f":
                if self._typed and not self.hidden:
                    self._say("\b \b")
                self._typed = self._typed[:-1]
            elif character.isprintable() and len(self._typed) < MAX_ANSWER:
                self._typed += character
                if not self.hidden:
                    self._say(character)

    def _finish(self, answer: str | None) -> None:
        self.answer = answer
        if self.session.rich or self.hidden:
            self._say("\r\n")
        self._done.set()

    def _say(self, text: str) -> None:
        self.session.wire.send(text.encode("utf-8", "replace"))

    def resized(self) -> None:
        return

    def end(self) -> None:
        self._finish(None)


async def ask(session: "Session", text: str, *, hidden: bool = False) -> str:
    """What the person answers. With `hidden`, it is not shown, and it is written down nowhere.

    Raises:
        ConsoleError: they gave no answer, or nobody is there to be asked.
    """
    question = Question(session, text, hidden=hidden)
    await take_over(session, question, terminal=False)
    if question.answer is None:
        raise ConsoleError("no answer")
    return question.answer
