"""What looks into `.spl` files, and moves them. Nothing from a file is executed by those that look."""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict
from pathlib import Path

from .faults import FAILED, FINE
from .parser import Commands, Parser

_NOTHING_RUNS = "Nothing from the file is executed, so it may be anybody's."


def add(commands: Commands) -> None:
    _add_looking(commands)
    _add_moving(commands)


def _add_looking(commands: Commands) -> None:
    parser = commands.add(
        "snapshots", list_generations, "the generations of a space on disk", example="midair snapshots chat"
    )
    _file(parser)
    parser = commands.add(
        "inspect", inspect, "what is in a .spl file", example="midair inspect chat.spl", more=_NOTHING_RUNS
    )
    _file(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, with the whole manifest")
    parser = commands.add(
        "verify",
        verify,
        "check every byte of a .spl file",
        example="midair verify chat.spl",
        more=f"Exit status 1 when it is damaged. {_NOTHING_RUNS}",
    )
    _file(parser)
    parser = commands.add(
        "diff",
        diff,
        "what differs between two .spl files, object by object",
        example="midair diff chat.1.spl chat.spl",
        more=_NOTHING_RUNS,
    )
    _file(parser, "before")
    _file(parser, "after")
    parser = commands.add(
        "cat",
        cat,
        "one object of a .spl file, as text",
        example="midair cat chat.spl \"space['chat'].rooms['lobby']\"",
        more=_NOTHING_RUNS,
    )
    _file(parser)
    parser.add_argument("path", metavar="PATH", help="where it is: space['chat'].rooms, or chat.rooms")


def _add_moving(commands: Commands) -> None:
    parser = commands.add(
        "export",
        export,
        "write a .spl file as readable text, JSON lines",
        example="midair export chat.spl chat.jsonl",
        more=_NOTHING_RUNS,
    )
    _file(parser)
    parser.add_argument("to", metavar="FILE.jsonl", type=Path)
    parser = commands.add(
        "import",
        import_,
        "make a .spl file from such text",
        example="midair import chat.jsonl again.spl",
        more="It prints the classes and functions that loading the file will call; to run it takes --trust.",
    )
    parser.add_argument("source", metavar="FILE.jsonl", type=Path)
    parser.add_argument("to", metavar="FILE.spl", type=Path)
    parser = commands.add(
        "backup",
        backup,
        "put a space's newest snapshot, sources and users into one file",
        example="midair backup chat chat.backup",
        more="It is made from what is on disk: 'midair snapshot NAME' first, when the server runs. No private key is in it.",
    )
    _file(parser)
    parser.add_argument("to", metavar="DEST", type=Path, help="a file that does not exist yet")
    parser = commands.add(
        "restore", restore, "unpack a backup into a folder", example="midair restore chat.backup restored"
    )
    parser.add_argument("archive", metavar="BACKUP", type=Path)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where NAME.spl goes")


def _file(parser: Parser, name: str = "file") -> None:
    parser.add_argument(
        name, metavar="FILE.spl|NAME", help="a file, or the name of a space here or of a running server"
    )


def _path(named: str) -> Path:
    """The file that is meant by a path, by the name of a space in this folder, or by that of a running server.

    Raises:
        FileNotFoundError: there is none.
    """
    from ...runtime.files import NoSuchServer, find

    path = Path(named)
    for candidate in (path, path.with_name(f"{path.name}.spl")):
        if candidate.is_file():
            return candidate
    try:
        found = Path(find(named).spl)
    except NoSuchServer:
        raise FileNotFoundError(
            _gone(path) or f"there is no file {named}, and no running server is called that"
        ) from None
    if not found.is_file():
        raise FileNotFoundError(f"{named} runs and has not been saved yet; 'midair snapshot {named}' saves it")
    return found


def _gone(path: Path) -> str:
    """What became of a generation that was there once; "" for any other name."""
    from ...runtime import snapshot

    named = re.fullmatch(r"(.+)\.([1-9][0-9]*)\.spl", path.name)
    if named is None or not path.parent.is_dir():
        return ""
    name, number = named[1], int(named[2])
    if number > max(snapshot.Store(path.with_name(f"{name}.spl")).numbers(), default=0):
        return ""
    return f"generation {number} of {name} is not kept any more; 'midair snapshots {path.with_name(name)}' lists those that are"


def list_generations(options: argparse.Namespace) -> int:
    """A line for each generation, oldest first."""
    from ...runtime import snapshot

    for one in snapshot.generations(_path(options.file)):
        print(f"{one.number:6}  {_when(one.time)}  {one.size:12,} bytes  {one.objects:10,} objects  {one.path.name}")
    return FINE


def inspect(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    found = snapshot.inspect(_path(options.file))
    if options.json:
        print(json.dumps(asdict(found), default=str))
        return FINE
    manifest = found.manifest
    application = manifest.get("application") or {}
    for name, value in {
        "generation": f"{manifest.get('generation', 0)}, after {manifest.get('parent', 0)}",
        "saved": _when(manifest["time"]),
        "by": f"midair {manifest.get('midair')}, Python {manifest.get('python')}",
        "application": f"{application['module']} in {application['folder']}" if application else "none",
        "sources": ", ".join(manifest.get("sources") or ()) or "none",
        "size": f"{found.size:,} bytes, {found.raw:,} unpacked",
        "objects": f"{manifest.get('objects', 0):,}",
    }.items():
        print(f"{name:12} {value}")
    print("\nroots")
    for name, cls, count in found.roots:
        print(f"  {name:20} {cls:40} {count:10,} objects")
    print("\nclasses")
    for cls, count in found.classes:
        print(f"  {cls:61} {count:10,}")
    return FINE


def verify(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    path = _path(options.file)
    found = snapshot.verify(path)
    if not found.whole:
        print(found.problem)
        return FAILED
    signed = (
        "signed with your key" if found.signed_by_me else "signed with another key" if found.signed else "not signed"
    )
    print(f"{path.name} is whole: generation {found.generation}, {found.objects:,} objects, {signed}")
    return FINE


def diff(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    changes = snapshot.diff(_path(options.before), _path(options.after))
    marks = {"added": "+", "removed": "-", "changed": "!"}
    for change in changes:
        print(f"{marks[change.kind]} {change.path}  {change.cls}")
        for part, before, after in change.parts:
            print(f"    {part}: {before} -> {after}")
    return FINE


def cat(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    print(snapshot.cat(_path(options.file), options.path).rstrip("\n"))
    return FINE


def export(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    count = snapshot.export(_path(options.file), options.to)
    print(f"wrote {options.to}: {count:,} lines")
    return FINE


def import_(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    called = snapshot.import_(options.source, options.to)
    print(f"wrote {options.to}, not signed: 'midair run {options.to} --trust' loads it; that will call")
    for name in called:
        print(f"  {name}")
    return FINE


def backup(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    done = snapshot.backup(_path(options.file), options.to)
    print(f"wrote {options.to}: {done.name} generation {done.generation}")
    for name in done.files:
        print(f"  {name}")
    return FINE


def restore(options: argparse.Namespace) -> int:
    from ...runtime import snapshot

    spl = snapshot.restore(options.archive, options.folder)
    print(f"restored; 'midair run {spl}' starts it")
    return FINE


def _when(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(then))
