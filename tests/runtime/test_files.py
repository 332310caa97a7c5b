"""The files beside a `.spl`, who holds them, and how a running space is found."""

import json
import os
import socket
import subprocess
import sys

import pytest

from midair.runtime import files
from midair.runtime.errors import AlreadyRunning, ServerError
from midair.runtime.files import Files, Hold, NoSuchServer, SeveralServers

DEAD = 2**22 + 1  # above the largest process number


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setenv("MIDAIR_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def held(tmp_path):
    hold = Hold(Files.of(tmp_path / "chat.spl"))
    hold.take()
    hold.announce()
    yield hold
    hold.release()


def test_several_servers_live_in_one_folder(tmp_path, held):
    other = Hold(Files.of(tmp_path / "web.spl"))
    other.take()
    other.announce()
    assert [entry.name for entry in files.running()] == ["chat", "web"]
    with pytest.raises(SeveralServers, match=f"chat \\(process {os.getpid()}\\), web"):
        files.find(None)
    other.release()
    assert files.find(None).name == "chat"


def test_one_space_is_run_once(tmp_path, held):
    program = (
        "import sys; from midair.runtime.files import *\n"
        "try: Hold(Files.of(sys.argv[1])).take()\n"
        "except ServerError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "chat.spl"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == f"chat is already running in process {os.getpid()}; try 'midair attach chat'\n"
    with pytest.raises(AlreadyRunning):
        Hold(Files.of(tmp_path / "chat.spl")).take()


def test_the_lock_goes_with_its_holder_when_there_is_no_file_and_a_removed_one_locks_nobody_out_or_in(
    tmp_path, monkeypatch
):
    here = Files.of(tmp_path / "chat.spl")
    first, wait_for = Hold(here), Hold._wait_for
    first.take()

    def removed_meanwhile(hold, lock):
        monkeypatch.undo()
        first.release()
        assert not here.lock.exists()
        wait_for(hold, lock)

    monkeypatch.setattr(Hold, "_wait_for", removed_meanwhile)
    second = Hold(here)
    second.take()
    with pytest.raises(AlreadyRunning):
        Hold(here).take()
    here.spl.touch()
    second.release()
    assert here.lock.exists()


def test_a_pid_file_left_by_a_process_that_died_is_replaced(tmp_path):
    (tmp_path / "chat.pid").write_text(f"{DEAD}\n")
    hold = Hold(Files.of(tmp_path / "chat.spl"))
    hold.take()
    assert (tmp_path / "chat.pid").read_text() == f"{os.getpid()}\n"
    hold.release()
    assert not (tmp_path / "chat.pid").exists()


def test_the_files_are_private(tmp_path, held, runtime_folder):
    for path in (held.files.lock, held.files.pid, *runtime_folder.glob("*.json")):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("what", ["name", "pid", "socket", "spl"])
def test_a_server_is_found_by_name_process_socket_or_file(held, what):
    known = {
        "name": "chat",
        "pid": str(os.getpid()),
        "socket": str(held.files.sock),
        "spl": str(held.files.spl),
    }
    assert files.find(known[what]).name == "chat"


def test_who_is_not_there_is_said_with_who_is(held):
    with pytest.raises(NoSuchServer, match="no running server is called 'web'; running now: chat"):
        files.find("web")


def test_none_at_all_is_said_with_what_to_do():
    with pytest.raises(NoSuchServer, match="midair run"):
        files.find(None)


def test_entries_of_processes_that_died_are_removed(tmp_path, runtime_folder):
    runtime_folder.mkdir(mode=0o700)
    (tmp_path / "old.pid").write_text(str(DEAD))
    entry = {"name": "old", "pid": DEAD, "socket": "", "spl": str(tmp_path / "old.spl"), "started": 0.0}
    (runtime_folder / "old.json").write_text(json.dumps(entry))
    (runtime_folder / "junk.json").write_text("{")
    assert files.running() == []
    assert list(runtime_folder.iterdir()) == []


def test_a_runtime_folder_that_others_can_write_to_is_refused(runtime_folder):
    runtime_folder.mkdir()
    runtime_folder.chmod(0o777)
    with pytest.raises(ServerError, match="others can write"):
        files.runtime_folder()


def test_a_path_too_long_for_a_socket_gets_a_place_in_the_runtime_folder(tmp_path, runtime_folder):
    deep = tmp_path / ("d" * 100)
    path = Files.of(deep / "chat.spl").sock
    assert path.parent == runtime_folder
    assert path == Files.of(deep / "chat.spl").sock != Files.of(deep / "web.spl").sock


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ServerError, match=r"cannot write .*chat\.spl\.lock: .*; nothing was done"):
        Hold(Files.of(tmp_path / "nowhere" / "chat.spl")).take()


def test_a_process_that_ended_and_was_not_waited_for_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not files.is_alive(child.pid)
    child.wait()
    assert files.is_alive(os.getpid())


def test_a_socket_by_its_path_is_enough(tmp_path):
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        assert files.find(path).socket == path
