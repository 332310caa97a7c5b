"""The clients that people have, each in a terminal with a screen: what they see, and how they find their terminal afterwards."""

import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from consoles import PASSWORD, At, Terminal, converse

from midair.runtime import rebuild

pytest.importorskip("pyte", reason="the screen model is not installed")

ATTACH = "import sys; from midair.console import attach; sys.exit(attach.main(sys.argv[1]))"


def _needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def _log_in(one: Terminal) -> Terminal:
    one.until("username:")
    one.line("anna")
    one.until("password:")
    one.line(PASSWORD)
    return one


def by_attach(at: At, **options: Any) -> Terminal:
    return at.terminal([sys.executable, "-c", ATTACH, str(at.console.socket_path)], **options)


def by_telnet(at: At, **options: Any) -> Terminal:
    assert at.console.telnet_address
    host, port = at.console.telnet_address
    return _log_in(at.terminal([_needs("telnet"), host, str(port)], **options))


def by_plink(at: At, **options: Any) -> Terminal:
    assert at.console.telnet_address
    host, port = at.console.telnet_address
    return _log_in(at.terminal([_needs("plink"), "-telnet", "-P", str(port), host], **options))


def by_ssh(at: At, **options: Any) -> Terminal:
    return at.terminal(ssh(at), **options)


def by_tmux(at: At, **options: Any) -> Terminal:
    command = f"exec {sys.executable} -c '{ATTACH}' {at.console.socket_path}"
    return at.terminal(
        [_needs("tmux"), "-L", at.folder.name[-20:], "-f", "/dev/null", "new-session", command], **options
    )


def ssh(at: At, *command: str) -> list[str]:
    """OpenSSH with a fresh key that the server knows as anna's."""
    program, keygen = _needs("ssh"), _needs("ssh-keygen")
    pytest.importorskip("asyncssh", reason="the extra midair[ssh] is not installed")
    import subprocess

    key = at.folder / "id_test"
    if not key.exists():
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL)
        (at.folder / "demo.keys").write_text("anna " + key.with_suffix(".pub").read_text())
    assert at.console.ssh_address
    host, port = at.console.ssh_address
    options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={at.folder / 'known'}"]
    options += ["-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-i", str(key)]
    return [program, *options, "-p", str(port), f"anna@{host}", *command]


def has_asyncssh() -> bool:
    try:
        import asyncssh  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True


WAYS = [by_attach, by_telnet, by_plink, by_ssh, by_tmux]


def talk(tmp_path: Path, scenario: Callable[[At], None]) -> None:
    def with_ssh(_server: Any, console: Any) -> None:
        console.ssh = ("127.0.0.1", 0) if has_asyncssh() else None

    converse(tmp_path, scenario, prepare=with_ssh, limit=0)


@pytest.mark.parametrize("way", WAYS)
def test_a_person_with_their_own_client(tmp_path: Path, way: Callable[..., Terminal]) -> None:
    def scenario(at: At) -> None:
        one = way(at)
        one.until(r"^\[1\] >>>")
        assert PASSWORD not in one.text
        one.line("6 * 7")
        one.until(r"^42$")
        # Colour, and a completion menu from the names that are there.
        one.type("sna")
        one.until("snapshots")
        one.type("\x03")
        one.until(r">>> sna\n\[2\] >>>")
        # What a timer prints comes above the prompt and leaves the line alone.
        one.line("import asyncio; h = asyncio.get_running_loop().call_later(0.2, print, 'ding')")
        one.until(r"^\[3\] >>>")
        one.type("half a line")
        one.until(r"^ding\n\[3\] >>> half a line")
        one.type("\x15")
        # Ctrl-C stops what runs.
        one.line("while True: pass\r")
        while at.console.interrupter.current is None:
            time.sleep(0.001)
        one.type("\x03")
        one.until("^KeyboardInterrupt\n")
        one.until(r"^\[4\] >>>")
        # Several lines pasted at once are one statement.
        one.type("\x1b[200~for n in range(2):\n    print('pasted', n)\x1b[201~")
        one.until(r"\.\.\. +print")
        one.type("\r\r")
        one.until(r"^pasted 0\npasted 1\n(.*\n)*\[5\] >>>")
        one.resize(50, 20)
        while at.console.sessions[0].columns != 50:  # the size has its own way to the server
            time.sleep(0.001)
        one.line("console.sessions[0].columns")
        one.until("^50$")
        one.type("\x04")
        one.ends()

    talk(tmp_path, scenario)


@pytest.mark.parametrize("way", WAYS)
def test_each_client_can_leave_its_session_behind_and_see_top(tmp_path: Path, way: Callable[..., Terminal]) -> None:
    def scenario(at: At) -> None:
        one = way(at)
        one.until(r"^\[1\] >>>")
        one.line("top")
        one.until("q leaves")
        one.until("no task was seen|% cpu")
        one.screen.reset()  # it knows of no second screen to come back from
        one.type("q")
        one.until(r"\[2\] >>>")
        one.line("import asyncio; await asyncio.Event().wait()")
        while at.console.sessions[0].statement is None or not at.console.sessions[0].statement.begun:
            time.sleep(0.001)
        one.type("\x1c")
        one.ends()
        assert at.console.sessions[0].detached
        again = way(at)
        again.until("You left session")
        again.until(">>>")
        again.line("join()")
        while at.console.sessions[0].detached:
            time.sleep(0.001)
        again.type("\x03")
        again.until("^KeyboardInterrupt")
        again.type("\x1c")
        again.until("left session")

    talk(tmp_path, scenario)


def test_attach_leaves_the_terminal_as_it_found_it(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        code = (
            "import sys, termios; from midair.console import attach; before = termios.tcgetattr(0);"
            "status = attach.main(sys.argv[1]); print('SAME', termios.tcgetattr(0) == before, status)"
        )
        for leave in ("\x04", "exit\r", "\x1d"):
            one = at.terminal([sys.executable, "-c", code, str(at.console.socket_path)])
            one.until(">>>")
            one.type(leave)
            one.until("SAME True 0")
            assert one.ends() == 0

    talk(tmp_path, scenario)


def test_attach_reaches_a_statement_that_keeps_pythons_lock(tmp_path: Path) -> None:
    """Nobody inside of the server can run while a C call holds the lock, so the client's own signal has to do it."""

    def scenario(at: At) -> None:
        import subprocess

        # The server has to be a process of its own: the screen here needs the lock that the statement keeps.
        code = (
            "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import consoles, threading\n"
            "def scenario(at): print('ready', flush=True); threading.Event().wait()\n"
            "consoles.converse(pathlib.Path(sys.argv[2]), scenario, limit=0)"
        )
        folder = at.folder / "inner"
        folder.mkdir()
        tests = str(Path(__file__).parent.parent)
        server = subprocess.Popen([sys.executable, "-c", code, tests, str(folder)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            one = at.terminal([sys.executable, "-c", ATTACH, str(folder / "demo.sock")])
            one.until(">>>")
            one.line("import re; re.match('(a+)+$', 'a' * 60 + 'b')")
            one.until(r"'b'\)")
            used = processor_time(server.pid)
            while processor_time(server.pid) < used + 0.5:
                time.sleep(0.01)  # it can tell us nothing while it holds the lock, so we look from outside
            one.type("\x03")
            one.until("^KeyboardInterrupt\n")
            one.line("'back'")
            one.until("^'back'$")
        finally:
            server.kill()
            server.communicate()

    talk(tmp_path, scenario)


def processor_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ssh_runs_one_statement_or_a_script_and_gives_its_status(tmp_path: Path) -> None:
    import subprocess

    def run(argv: list[str], source: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run(argv, input=source or "", capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def scenario(at: At) -> None:
        assert run(ssh(at, "6 * 7")) == (0, "42\n", "")
        status, out, err = run(ssh(at, "1/0"))
        assert (status, out) == (1, "")
        assert err.endswith("ZeroDivisionError: division by zero\n")
        assert run(ssh(at), "x = 2\nprint(x)\nx * 2\n") == (0, "2\n4\n", "")
        assert (tmp_path / "demo.ssh_key").stat().st_mode & 0o777 == 0o600
        # The same key under another name, and a user who is gone: nobody.
        assert run([word.replace("anna@", "otto@") for word in ssh(at, "1")])[0] == 255
        at.console.users.remove("anna") if at.console.users else None
        assert run(ssh(at, "1"))[0] == 255
        assert any(entry["event"] == "refused" and entry["transport"] == "ssh" for entry in at.audit())

    talk(tmp_path, scenario)


def test_netcat_gets_plain_lines(tmp_path: Path) -> None:
    def scenario(at: At) -> None:
        assert at.console.telnet_address
        host, port = at.console.telnet_address
        one = at.terminal([_needs("nc"), host, str(port)])
        _log_in(one)
        one.until(">>>")
        one.line("6 * 7")
        one.until("^42$")
        one.line("exit")
        while at.console.sessions:
            time.sleep(0.001)
        one.type("\x04")  # this netcat waits for the end of its own input too
        one.ends()

    talk(tmp_path, scenario)


EDITORS = {
    "vim": (["vim", "-u", "NONE", "-n"], ":%s/rain/snow/\r:wq\r", ":%s/return/((/\r:wq\r", ":q\r"),
    # Ctrl-\\ is nano's search and replace: what has the screen has every key.
    "nano": (["nano", "-I"], "\x1crain\rsnow\ra\x0f\r\x18", "\x1creturn\r((\ra\x0f\r\x18", "\x18"),
}


@pytest.mark.parametrize("editor", EDITORS)
def test_the_source_of_a_live_function_is_edited_in_the_persons_own_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, editor: str
) -> None:
    argv, change, break_it, leave = EDITORS[editor]
    _needs(argv[0])
    monkeypatch.setenv("EDITOR", " ".join(argv))
    monkeypatch.delenv("VISUAL", raising=False)
    folder = tmp_path / "project"
    folder.mkdir()
    name = f"weather_in_{editor}"
    (folder / f"{name}.py").write_text("def outside():\n    return 'rain'\n")
    monkeypatch.syspath_prepend(str(folder))
    rebuild.record(folder)
    module = importlib.import_module(name)
    outside = module.outside

    def scenario(at: At) -> None:
        one = by_attach(at)
        one.until(r"^\[1\] >>>")
        one.line(f"import {name} as w; edit(w.outside)")
        one.until(r"edit\.py")
        one.until("return 'rain'")
        one.type(change)
        one.until(r"^\[2\] >>>")
        assert outside() == "snow"
        one.screen.reset()
        one.line("edit(w.outside)")
        one.until(r"edit\.py")
        one.until("return 'snow'")
        one.type(break_it)
        one.until("refused, nothing was changed")
        one.type(leave)
        one.until("given up; nothing changed")
        one.line("w.outside()")
        one.until("^'snow'$")

    try:
        talk(tmp_path, scenario)
    finally:
        del sys.modules[name]
    assert (folder / f"{name}.py").read_text() == "def outside():\n    return 'snow'\n"


def test_screen_opens_the_terminal_link(tmp_path: Path) -> None:
    def with_link(_server: Any, console: Any) -> None:
        console.pty = True

    def scenario(at: At) -> None:
        link = tmp_path / "demo.tty"
        while not link.is_symlink():
            time.sleep(0.005)
        (tmp_path / "screens").mkdir(mode=0o700)
        one = at.terminal(
            [_needs("screen"), "-c", "/dev/null", str(link)], SCREENDIR=str(tmp_path / "screens"), TERM="xterm"
        )
        one.until(r"^\[1\] >>>")
        one.line("6 * 7")
        one.until("^42$")
        one.line("while True: pass\r")
        while at.console.interrupter.current is None:
            time.sleep(0.001)
        one.type("\x03")
        one.until("^KeyboardInterrupt")
        one.type("\x01ky")  # screen's own: kill this window
        one.ends()
        while at.console.sessions:
            time.sleep(0.005)

    converse(tmp_path, scenario, prepare=with_link, limit=0)
