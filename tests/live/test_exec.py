"""`midair exec`: any Python program, unchanged, with live rebuild and a console."""

import re
import signal
import sys
from pathlib import Path

import pytest
from live_server import LiveServer

from midair.runtime.testing import edit

SCRIPT = """
import logging, sys, threading

logging.basicConfig(format="its own log: %(message)s", level="INFO")


def word():
    return "one"


def main():
    seen, pause = None, threading.Event()
    while seen != "stop":
        if word() != seen:
            seen = word()
            print(seen, flush=True)
            logging.info(seen)
        pause.wait(0.01)
    sys.exit(7)


if __name__ == "__main__":
    print(sys.argv, __name__, __file__, flush=True)
    main()
"""


class Run(LiveServer):
    """`midair exec ...`, ready when its program prints its first line."""

    command, is_ready = "exec", ""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_a_script_that_knows_nothing_of_midair_is_edited_while_its_main_loop_runs(folder):
    with Run(folder, "script.py", "--option", "-m") as program:
        program.wait_for("^one$", among="out")
        assert program.out[0] == f"{['script.py', '--option', '-m']} __main__ {folder / 'script.py'}"
        program.wait_for("^its own log: one$")
        edit(folder / "script.py", '"one"', '"two"')
        program.wait_for("^two$", among="out")
        edit(folder / "script.py", '"two"', '"two')
        program.wait_for("refused")
        assert program.midair("attach", "script", text="import __main__; __main__.word()\n").stdout == "'two'\n"
        assert program.midair("undo").returncode == 0
        edit(folder / "script.py", '"two', '"stop"')
        program.wait_for("^stop$", among="out")
        assert program.process.wait() == 7
        assert not list(folder.glob("*.pid")) + list(folder.glob("*.sock"))


def test_modules_of_the_project_are_edited_under_a_program_that_is_run_by_name(folder):
    (folder / "script.py").rename(folder / "words.py")
    (folder / "tool").mkdir()
    (folder / "tool" / "__main__.py").write_text("import sys, words\nprint(sys.argv[1:], flush=True)\nwords.main()\n")
    with Run(folder, "-m", "tool", "--loud") as program:
        program.wait_for("^one$", among="out")
        assert program.out[0] == "['--loud']"
        edit(folder / "words.py", '"one"', '"stop"')
        assert program.process.wait() == 7


def test_a_command_of_this_environment_is_run(folder):
    done = LiveServer(folder).midair("exec", str(Path(sys.executable).with_name("pygmentize")), "-V")
    assert done.returncode == 0
    assert done.stdout.startswith("Pygments version")


def test_an_error_of_the_program_is_told_as_python_tells_it(folder):
    (folder / "script.py").write_text("def f():\n    open('/nowhere')\nf()\n")
    done = LiveServer(folder).midair("exec", "script.py")
    assert done.returncode == 1
    assert re.search(r"Traceback .*\n  File \".*script.py\", line 3, in <module>\n", done.stderr)
    assert done.stderr.endswith("FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'\n")


def test_a_process_that_the_program_forks_is_named(folder):
    (folder / "script.py").write_text("import os\nif os.fork():\n    os.wait()\n")
    done = LiveServer(folder).midair("exec", "script.py")
    assert done.returncode == 0
    assert re.search(
        r"midair: process \d+ was forked from the program: edits and the console do not reach it", done.stderr
    )


RUN_AGAIN, AGAIN = "import subprocess, sys", "subprocess.run([sys.executable, '-c', ''])"
SPAWN = """
import multiprocessing
if __name__ == "__main__":
    one = multiprocessing.get_context("spawn").Process(target=print)
    one.start()
    one.join()
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (f"{RUN_AGAIN}; {AGAIN}", "the program starts Python again: edits"),
        (
            f"{RUN_AGAIN}; exec({AGAIN!r}, {{**globals(), '__name__': 'werkzeug._reloader'}})",
            "the program starts Python again, by the reloader of werkzeug: edits and .*; run it with --no-reload or",
        ),
        (SPAWN, r"process \d+ was started by the program: edits"),
        ("import os; os.execv('/bin/true', ['true'])", "the program replaces itself: edits"),
    ],
    ids=["run again", "a reloader", "a worker", "replaced"],
)
def test_reloaders_and_workers_of_the_programs_own_are_named(folder, program, said):
    (folder / "script.py").write_text(program + "\n")
    done = LiveServer(folder).midair("exec", "script.py")
    assert done.returncode == 0, done.stderr
    assert re.search(f"^midair: {said}", done.stderr, re.MULTILINE)


def test_what_a_reloader_starts_is_the_same_program_without_a_second_console(folder):
    (folder / "script.py").write_text(
        "import os, subprocess, sys\nif 'AGAIN' in os.environ:\n    print('served')\nelse:\n"
        "    os.environ['AGAIN'] = '1'\n    sys.exit(subprocess.call([sys.executable, *sys.orig_argv[1:]]))\n"
    )
    done = LiveServer(folder).midair("exec", "script.py")
    assert (done.returncode, done.stdout) == (0, "served\n")
    assert re.search(
        r"midair: process \d+ is script once more, as its reloader wants it: it runs without midair", done.stderr
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "exec what?"),
        (["nothing-of-that-name"], 1, "there is no file nothing-of-that-name, and no command"),
        (["bash"], 1, "is not a Python script"),
    ],
)
def test_what_is_no_python_program_is_one_line(folder, words, status, said):
    done = LiveServer(folder).midair("exec", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("stop",), None, "script has stopped\n"),
        (("stop", "script", "--discard"), None, "script has stopped\n"),
        (("attach",), "stop()\n", "stopping\n"),
    ],
)
def test_it_is_stopped_by_command_and_from_its_console(folder, words, text, said):
    with Run(folder, "script.py") as program:
        program.wait_for("^one$", among="out")
        done = program.midair(*words, text=text)
        assert (done.returncode, done.stdout) == (0, said), done.stderr
        assert program.process.wait() == -signal.SIGTERM
        assert not list(folder.glob("*.pid")) + list(folder.glob("*.sock"))


def test_the_names_of_the_program_are_at_its_prompt_and_help_promises_no_space(folder):
    with Run(folder, "script.py") as program:
        program.wait_for("^one$", among="out")
        assert program.midair("attach", text="word()\n__main__.word is word\n").stdout == "'one'\nTrue\n"
        shown = program.midair("attach", text="help\n").stdout
        assert "the program's names are there" in shown
        assert "rebuild" in shown
        assert not re.search(r"^(snapshots?|space|services|timers|handover) ", shown, re.MULTILINE)
        assert "by 'midair exec'" in program.midair("snapshot").stderr


def test_a_signal_ends_it_and_leaves_nothing_but_the_program(folder):
    with Run(folder, "script.py") as program:
        program.wait_for("^one$", among="out")
        assert (folder / "script.sock").exists()
        assert program.end(signal.SIGTERM) == -signal.SIGTERM
    assert [path.name for path in folder.glob("script.*")] == ["script.py"]
