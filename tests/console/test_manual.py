"""The manual's transcript, typed."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

from consoles import Client
from live_server import EXAMPLES, LiveServer

from midair.console import client

MANUAL = Path(__file__).parent.parent.parent / "console" / "README.md"
_COLUMN_GAP = re.compile(r"\s{2,}")


def transcript() -> list[str]:
    found = re.search(r"```console\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    assert found
    return found[1].splitlines()


def steps(lines: list[str]) -> list[tuple[str, list[str]]]:
    """(what is typed, what is seen)."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith((">>> ", "... ", "$ ", "^C")):
            found.append((line, []))
        else:
            found[-1][1].append(line)
    return found


def pattern(seen: list[str]) -> str:
    """What is seen, with … for anything and with gaps of any width: columns are as wide as their content."""
    parts = []
    for line in seen:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
            continue
        words = [".*".join(re.escape(piece) for piece in word.split("…")) for word in _COLUMN_GAP.split(line)]
        parts.append(r"\s+".join(words) + r"\n")
    return "".join(parts)


def test_the_manual_tells_the_truth(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    source = (EXAMPLES / "counter" / "counter.py").read_text().replace("port = 8000", f"port = {port}")
    (tmp_path / "counter.py").write_text(source)
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    with LiveServer(tmp_path, "counter.py", "--settle", "0.05"):
        one = Client(client.connect(tmp_path / "counter.sock"))
        try:
            for typed, seen in steps(transcript()):
                play(one, tmp_path, typed, [line.replace("8000", port) for line in seen])
        finally:
            one.close()


def play(one: Client, folder: Path, typed: str, seen: list[str]) -> None:
    kind, _, text = typed.partition(" ")
    if kind == "$" and not text.startswith("midair attach"):
        subprocess.run(["sh", "-c", text], cwd=folder, check=True)
    elif kind == "^C":
        while "<console " not in client.call(folder / "counter.sock", "stacks").out:
            pass  # a person sees that nothing comes back; we look whether it runs already
        one.send("\x03")
    elif kind != "$":
        one.send(text + "\n")
    expected = pattern(seen)
    got = ""
    while seen and not re.search(expected, got, re.MULTILINE):
        got += one.until("\n")
    if typed == ">>> exit":
        one.rest()
