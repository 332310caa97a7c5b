"""Pages that are Python programs: `.epy` files.

The file is run for each request with `request` and `__file__` in its names; what `request.write` gathers is the page. The code is compiled again when the file
changed, so an edit is live at the next request. A script may use `await` at its top level.
"""

from __future__ import annotations

import ast
import linecache
import os
from types import CodeType
from typing import Any

from .errors import NotFound
from .request import Request

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Scripts:
    """Runs `.epy` files. They run with the rights of the server: serve only folders that its own user writes.

    *In a snapshot:* nothing of a script; what should survive belongs in the session or in the space.
    """

    __transient__ = ("_compiled",)

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[tuple[int, int, int], CodeType]] = {}

    def __resume__(self, space: Any) -> None:
        self._compiled = {}

    def code(self, path: str) -> CodeType:
        """The compiled file.

        Raises:
            SyntaxError: as Python says it, with file and line.
        """
        try:
            with open(path, "rb") as file:
                found = os.fstat(file.fileno())
                sign = (found.st_mtime_ns, found.st_size, found.st_ino)
                known = self._compiled.get(path)
                if known is not None and known[0] == sign:
                    return known[1]
                source = file.read()
        except OSError:
            raise NotFound from None
        linecache.checkcache(path)  # tracebacks show the lines that ran
        code: CodeType = compile(source, path, "exec", flags=_FLAGS, dont_inherit=True)
        self._compiled[path] = sign, code
        return code

    async def respond(self, path: str, request: Request) -> None:
        code = self.code(path)
        names = {"__name__": "__epy__", "__file__": path, "__builtins__": __builtins__, "request": request}
        result = eval(code, names)  # noqa: S307 - to run the owner's file is what this is for
        if hasattr(result, "__await__"):
            await result
        if not request.finished:
            await request.finish()
