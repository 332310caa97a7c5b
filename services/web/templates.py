"""Pages made from templates, by whatever engines are installed.

An engine is an entry point of the group `midair.web.templates`. Its name is the ending of its files without the dot, and what it names is
called as `render(path, names) -> str`. Ours is `tmpl`, Python's own `string.Template`, with what is filled in escaped for HTML.
"""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias, cast

from .errors import NotFound
from .request import Request

GROUP = "midair.web.templates"

Render: TypeAlias = Callable[[str, Mapping[str, Any]], str]


@lru_cache(1)
def engines() -> dict[str, metadata.EntryPoint]:
    """The installed engines by ending; none is imported."""
    return {f".{point.name}": point for point in metadata.entry_points(group=GROUP)}


def render(path: str, **names: Any) -> str:
    """A template filled in, by the engine of its ending.

    Raises:
        LookupError: no engine for this ending is installed.
    """
    ending = Path(path).suffix.lower()
    point = engines().get(ending)
    if point is None:
        known = ", ".join(sorted(engines())) or "none"
        raise LookupError(f"no template engine for {ending!r} is installed ({path}); there are {known}")
    return cast("Render", point.load())(path, names)


def plain(path: str, names: Mapping[str, Any]) -> str:
    """Our own engine: `$name` is filled in and escaped, `$$` is a dollar."""
    text = Path(path).read_text(encoding="utf-8")
    return string.Template(text).substitute({name: html.escape(str(value)) for name, value in names.items()})


class Templates:
    """Answers template files of a folder: they are given `request`, and each argument of the query by its name."""

    async def respond(self, path: str, request: Request) -> None:
        names = {name: values[0] for name, values in request.args.items()}
        try:
            page = render(path, **{**names, "request": request})
        except FileNotFoundError:
            raise NotFound from None
        await request.finish(page)
