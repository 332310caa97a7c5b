"""The listing of a folder, as a page."""

from __future__ import annotations

import html
import os
import time
from urllib.parse import quote

MOST = 10_000  # entries shown

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:2em auto;max-width:56em;padding:0 1em;color:#222}}
table{{border-collapse:collapse;width:100%}}th{{text-align:left;border-bottom:1px solid #aaa}}
td,th{{padding:.15em .6em}}td+td,th+th{{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}}
tr:hover td{{background:#8882}}a{{text-decoration:none}}
@media(prefers-color-scheme:dark){{body{{background:#1b1b1b;color:#ddd}}a{{color:#8bf}}}}</style></head>
<body><h1>{title}</h1>
<table><thead><tr><th>Name</th><th>Size</th><th>Changed (UTC)</th></tr></thead><tbody>
{rows}
</tbody></table>{note}
</body></html>
"""


def listing(path: str, shown: str, *, hidden: bool, top: bool) -> str:
    """The page for a folder; folders first, then by name.

    Args:
        shown: its address, as the title has it.
        top: whether there is nothing above it to go to.
    """
    with os.scandir(path) as entries:
        found = sorted(
            (entry for entry in entries if hidden or not entry.name.startswith(".")),
            key=lambda entry: (not entry.is_dir(), entry.name.casefold(), entry.name),
        )
    rows = [] if top else [_row("..", "..", "", "")]
    for entry in found[:MOST]:
        try:
            known = entry.stat()
        except OSError:
            continue  # gone since, or a link to nowhere
        slash = "/" if entry.is_dir() else ""
        size = "" if slash else human(known.st_size)
        changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(known.st_mtime))
        name = os.fsencode(entry.name)
        rows.append(_row(quote(name) + slash, entry.name + slash, size, changed))
    note = f"<p>The first {MOST:,} of {len(found):,}.</p>" if len(found) > MOST else ""
    title = html.escape(f"Index of {shown.rstrip('/')}/")
    return PAGE.format(title=title, rows="\n".join(rows), note=note)


def _row(link: str, name: str, size: str, changed: str) -> str:
    # "./" keeps a name such as `javascript:x` from being an address of its own.
    text = html.escape(name.encode("utf-8", "replace").decode())
    return f'<tr><td><a href="./{html.escape(link)}">{text}</a></td><td>{size}</td><td>{changed}</td></tr>'


def human(size: float) -> str:
    """A size as people read it: `812`, `1.2 kB`, `3.4 MB`."""
    if size < 1000:
        return f"{size:.0f}"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
