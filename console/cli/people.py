"""`midair user`: who may log in to a console, on a running server and on a stopped one alike."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .faults import UsageError
from .parser import Commands

if TYPE_CHECKING:
    from ..users import Users

ROLES = ("admin", "operator", "viewer")


def add(commands: Commands) -> None:
    parser = commands.add(
        "user",
        None,
        "who may log in to a server's console over telnet or ssh",
        example="midair user list",
        more="Changes hold at once, also for a server that runs. 'midair attach' needs no user: the socket is yours alone.",
    )
    users = Commands(parser, dest="user_command")
    common: list[argparse.ArgumentParser] = []

    listing = users.add("list", list_users, "the users and their roles", example="midair user list")
    common.append(listing)

    adding = users.add(
        "add",
        add_user,
        "make a user",
        example="echo 'a long passphrase' | midair user add anna --role operator",
        more="The password is asked for, or read from standard input when that is not a terminal; it is kept as a hash.",
    )
    adding.add_argument("name", metavar="USER")
    adding.add_argument("--role", choices=ROLES, default="admin", help="default: admin, who has Python")
    common.append(adding)

    changing = users.add(
        "passwd", change_password, "change a password", example="echo 'a longer passphrase' | midair user passwd anna"
    )
    changing.add_argument("name", metavar="USER")
    common.append(changing)

    role = users.add("role", change_role, "change a role", example="midair user role anna viewer")
    role.add_argument("name", metavar="USER")
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=" or ".join(ROLES))
    common.append(role)

    removing = users.add("remove", remove_user, "remove a user", example="midair user remove anna")
    removing.add_argument("name", metavar="USER")
    common.append(removing)

    for command in common:
        command.add_argument(
            "-s",
            "--server",
            metavar="NAME|PID|FILE.spl",
            help="whose users; not needed when only one server runs, or one .spl file is in this folder",
        )
    commands.examples.update(users.examples)


def list_users(options: argparse.Namespace) -> int:
    users = _users(options.server)
    for user in users.all():
        print(f"{user.name:20} {user.role}")
    return 0


def add_user(options: argparse.Namespace) -> int:
    from ..users import Role

    user = _users(options.server).add(options.name, _read_password(), Role.of(options.role))
    print(f"{user.name} can log in now ({user.role})")
    return 0


def change_password(options: argparse.Namespace) -> int:
    _users(options.server).set_password(options.name, _read_password())
    print(f"the password of {options.name} is changed")
    return 0


def change_role(options: argparse.Namespace) -> int:
    from ..users import Role

    _users(options.server).set_role(options.name, Role.of(options.role))
    print(f"{options.name} is {options.role} from the next login on")
    return 0


def remove_user(options: argparse.Namespace) -> int:
    _users(options.server).remove(options.name)
    print(f"{options.name} can log in no more")
    return 0


def _users(server: str | None) -> Users:
    """The users of a server that runs, or of a space at rest."""
    from ...runtime.files import Files, NoSuchServer, SeveralServers, find
    from ..users import Users

    if server and server.endswith(".spl"):
        spl = Path(server)
    else:
        try:
            spl = Path(find(server).spl)
        except NoSuchServer:
            spl = _at_rest(server)
        except SeveralServers as error:
            raise UsageError(f"{error}; 'midair user ... -s NAME' says it") from error
    files = Files.of(spl)
    if not files.spl.exists() and not files.pid.exists():
        raise UsageError(f"there is no {files.spl}, and no server runs there")
    return Users(files.folder / f"{files.name}.users")


def _at_rest(name: str | None) -> Path:
    if name:
        return Path(f"{name}.spl")
    # NAME.spl, but neither its older generations, NAME.<n>.spl, nor a rescue
    found = sorted(path for path in Path().glob("*.spl") if "." not in path.stem)
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise UsageError(f"whose users? No server runs, and the .spl files here are: {listed}; say which with --server")
    return found[0]


def _read_password() -> str:
    """From the terminal, without an echo and twice; or the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    from ..users import check_password

    password = getpass.getpass("Password: ")
    check_password(password)
    if getpass.getpass("Again: ") != password:
        raise UsageError("the two passwords differ; nothing was changed")
    return password
