"""What the command line understands, and what it says when it does not."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from midair.console.__main__ import main
from midair.console.cli.parser import build
from midair.runtime import snapshot
from midair.runtime.space import Space


def refusal(capsys, *words):
    """The exit status and the one line of a command that is refused."""
    try:
        status = main(list(words))
    except SystemExit as end:
        status = end.code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert written.err.startswith("midair: ")
    return status, written.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "app.py", "--telnet", "telnet"],
        ["run", "app.py", "--telnet", "65536"],
        ["run", "app.py", "--drain", "-1"],
        ["run", "app.py", "--drain", "nan"],
        ["run", "app.py", "--generation", "0"],
        ["stop", "--now"],
        ["status", "one", "two"],
        ["user"],
        ["user", "role", "anna", "king"],
        ["new", "not-a-name"],
        ["new", "class"],
        ["new", "json"],
        ["new", "midair"],
    ],
)
def test_what_makes_no_sense_is_one_line_and_status_2(capsys, words):
    assert refusal(capsys, *words)[0] == 2


def test_who_does_not_say_what_to_run_is_shown_what_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, "run", "--fresh")[1].startswith("midair: run what? A FILE.spl, an APP.py, ")
    for name in ("chat.spl", "chat.3.spl", "chat.rescue.spl", "chat.py", "bank.py"):
        (tmp_path / name).write_text("def build(space): pass\n")
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "folder.py").mkdir()
    said = "midair: run what? For example 'midair run bank.py' or 'midair run chat.spl'; see 'midair run --help'\n"
    assert refusal(capsys, "run", "--fresh") == (2, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "app.py", "--no-console", "--telnet", "8023"], "--no-console and --telnet exclude each other"),
        (["run", "app.py", "--fresh", "--last-good"], "--fresh and --last-good exclude each other"),
        (["run", "app.py", "-i", "--daemon"], "--daemon and --interactive exclude each other"),
        (["run", "-f", "app.py"], "-f app.py: that is no FILE.spl"),
        (["run", "app.py", "-f", "."], "-f .: that is no FILE.spl"),
        (["make", "spread", "-o", "."], "-o .: that is a folder; name a FILE.spl in it"),
    ],
)
def test_options_of_which_one_would_do_nothing_are_refused(capsys, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    status, line = refusal(capsys, *words)
    assert (status, line.startswith(f"midair: {said}")) == (2, True), line
    assert not list(tmp_path.parent.glob("*.spl"))


@pytest.mark.parametrize("module", ["nowhere", "nowhere.at_all", "__main__"])
def test_a_module_that_is_not_there_is_named_before_a_console_opens(capsys, tmp_path, monkeypatch, module):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, "exec", "-m", module) == (1, f"midair: there is no module {module}; nothing was started\n")


def test_make_says_how_to_run_what_it_wrote(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDAIR_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert main(["make", "spread", "--port", "0", "-o", "things"]) == 0
    assert capsys.readouterr().out.endswith("\n'midair run things.spl' starts it\n")


def test_a_project_that_does_not_fit_on_the_disk_leaves_nothing(capsys, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    assert refusal(capsys, "new", "guests") == (1, "midair: guests was not made: No space left on device\n")
    assert not list(tmp_path.iterdir())


def test_options_are_not_abbreviated(capsys):
    status, line = refusal(capsys, "run", "app.py", "--fres")
    assert status == 2
    assert "--fres" in line


def test_an_unknown_option_of_run_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "app.py").touch()
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, "run", "app.py", "--frech")[1].startswith("midair: not understood: --frech")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--bogus"], "not understood: --bogus; see 'midair run --help'"),
        (["user", "list", "telnet"], "not understood: telnet; see 'midair user list --help'"),
        (["stop", "--now"], "not understood: --now; see 'midair stop --help'"),
    ],
)
def test_what_is_not_understood_is_named_with_the_help_to_see(capsys, words, said):
    assert refusal(capsys, *words) == (2, f"midair: {said}\n")


def test_every_command_has_an_example_and_its_help_ends_with_it():
    parser, examples = build()
    for name, example in examples.items():
        sub = parser
        for word in name.split()[1:]:
            (group,) = (action for action in sub._actions if hasattr(action, "_name_parser_map"))
            sub = group._name_parser_map[word]
        assert sub.format_help().endswith("example:\n" + "".join(f"    {line}\n" for line in example.splitlines()))
    assert len(examples) > 20


@pytest.mark.parametrize("words", [["--version"], ["status"], ["ps"], ["--help"]])
def test_quick_commands_import_nothing_heavy(tmp_path, words):
    code = (
        "import sys\nfrom midair.console.__main__ import main\n"
        f"try:\n    main({words})\nexcept SystemExit:\n    pass\n"
        "heavy = {'asyncio', 'subprocess', 'ptpython', 'prompt_toolkit', 'uvicorn', 'zodbpickle', 'watchdog', 'midair.services'}\n"
        "sys.exit(f'imported: {found}' if (found := heavy & set(sys.modules)) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MIDAIR_RUNTIME_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_damaged_file_is_called_so_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIDAIR_KEY_FILE", str(tmp_path / "key"))
    spl = tmp_path / "app.spl"
    snapshot.save(Space(), spl)
    spl.write_bytes(spl.read_bytes()[:-1])
    assert main(["verify", str(spl)]) == 1
    said = capsys.readouterr().out
    assert (said.count("is damaged"), said.count("\n")) == (1, 1)
    assert said.startswith("app.spl is damaged at byte ")


def test_a_generation_that_is_no_longer_kept_is_called_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIDAIR_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.chdir(tmp_path)
    space = Space()
    for _ in range(3):
        snapshot.save(space, "app.spl")
    (tmp_path / "app.1.spl").unlink()
    assert refusal(capsys, "diff", "app.1.spl", "app.spl") == (
        1,
        "midair: generation 1 of app is not kept any more; 'midair snapshots app' lists those that are\n",
    )
    assert "there is no file app.4.spl" in refusal(capsys, "inspect", "app.4.spl")[1]
