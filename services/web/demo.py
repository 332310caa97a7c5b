"""The page that a web server shows when it was given nothing to serve: what it can do, to try at once.

Its counters are in the space, so they go on after a restart; its text is a global, so a person at the console can change it.
"""

# ruff: noqa: N802  (the camelCase names are the API that resources were written against)

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from typing import Any

from .request import Request
from .resource import Resource

GREETING = "Hello from a server that is changed while it runs"

STYLE = """:root{color-scheme:light dark}body{font:17px/1.55 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1.2em}
h1{font-size:1.6em;line-height:1.2}h2{font-size:1.05em;margin:2em 0 .4em}code,pre{font:.88em ui-monospace,monospace}
pre{background:#8881;padding:.8em 1em;border-radius:.5em;overflow:auto}form{display:grid;gap:.6em;grid-template-columns:8em 1fr;align-items:center}
input,select,textarea,button{font:inherit;padding:.35em .5em}button,[type=checkbox]{grid-column:2;justify-self:start}b{font-variant-numeric:tabular-nums}"""

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>midair</title>
<style>{style}</style></head><body>
<h1>{greeting}</h1>
<p>This page was shown <b id="hits">{hits}</b> times since its server was made. You have seen it <b id="mine">{mine}</b> times.
Stop the server and start it again: both numbers go on.</p>

<h2>Change it now</h2>
<p>Open <code>midair attach</code> in a terminal and type</p>
<pre>from midair.services.web import demo
demo.GREETING = "It is mine now"</pre>
<p>and load this page again. Nothing was restarted, and nobody was disconnected. To serve your own pages:
<code>midair make web --static FOLDER</code>, or <code>--module FILE.py:CLASS</code>; an edit of the file is live at the next request.</p>

<h2>A form</h2>
<form method="post" action="./form" enctype="multipart/form-data">
<label for="text">Text</label><input id="text" name="text" value="some &lt;text&gt;">
<label for="color">Colour</label><input id="color" type="color" name="colour" value="#2563eb">
<label for="date">Date</label><input id="date" type="date" name="date">
<label for="range">Range</label><input id="range" type="range" name="range">
<label for="check">Check</label><input id="check" type="checkbox" name="check" value="checked">
<label for="pick">Pick</label><select id="pick" name="pick"><option>one<option>two</select>
<label for="area">Lines</label><textarea id="area" name="lines">one
two</textarea>
<label for="file">File</label><input id="file" type="file" name="file">
<button>Send</button></form>

<h2>And when something goes wrong</h2>
<p><a href="./error">This page fails.</a> You see the traceback because you are on the machine it runs on; anybody else sees a number that finds it in the log.</p>
<p><a href="./stream">This one</a> is sent bit by bit.</p>
</body></html>
"""


class Demo(Resource):
    """A counter that survives, a form, a stream and a traceback."""

    def __init__(self) -> None:
        self.hits = 0
        self.putChild("form", Form())
        self.putChild("error", Fails())
        self.putChild("stream", Stream())

    def render_GET(self, request: Request) -> str:
        self.hits += 1
        session = request.getSession()
        session["seen"] = session.get("seen", 0) + 1
        return PAGE.format(style=STYLE, greeting=html.escape(GREETING), hits=self.hits, mine=session["seen"])


class Form(Resource):
    """Shows what a form brought."""

    def render_GET(self, request: Request) -> None:
        request.redirect("./", 303)

    async def render_POST(self, request: Request) -> str:
        form = await request.form()
        rows = [(name, ", ".join(values)) for name, values in form.fields.items()]
        rows += [(file.name, f"{file.filename or 'no file'}, {file.size:,} bytes") for file in form.files]
        cells = "".join(f"<dt>{html.escape(name)}<dd>{html.escape(text)}" for name, text in rows)
        return f"<!DOCTYPE html><title>midair</title><style>{STYLE}</style><h1>It came to this</h1><dl>{cells}</dl><a href='./'>back</a>"


class Fails(Resource):
    """Has a bug."""

    def render_GET(self, request: Request) -> Any:
        return self.whatever_that_was(request)  # type: ignore[attr-defined]  # that is the bug


class Stream(Resource):
    """Sends its page bit by bit."""

    def render_GET(self, request: Request) -> AsyncIterator[str]:
        request.setHeader("Content-Type", "text/plain; charset=utf-8")
        return self.lines()

    async def lines(self) -> AsyncIterator[str]:
        for number in range(1, 11):
            yield f"line {number}\n"
            await asyncio.sleep(0.3)
