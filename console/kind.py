"""The kind `telnet`: a space whose one service is its console over telnet, as `mktelnetserver` wrote it in 2001."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from getpass import getpass

from ..runtime.errors import ServiceError
from ..runtime.service import Service
from ..runtime.sockets import port
from .console import Console
from .users import MIN_PASSWORD, check_password, make_verifier, new_password


class TelnetConsole(Service):
    """A Python console over telnet, with login.

    Args:
        port: where it listens, on loopback; 0 for any that is free.
        user: may log in, while no other users were defined; they are `NAME.users` and `midair user` from then on.
        verifier: what is kept of that user's password.

    In a snapshot: the port, and the verifier; never a password.
    """

    __transient__ = ("_address", "_close")

    _address: tuple[str, int] | None = None
    _close: Callable[[], None] | None = None

    def __init__(self, port: int, user: str, verifier: str) -> None:
        self.port, self.user, self.verifier = port, user, verifier

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """What `midair make telnet` takes."""
        parser.add_argument("port", metavar="PORT", type=port, help="where it listens, on loopback")
        parser.add_argument("user", metavar="USER", help="who may log in; 'midair user' adds others")
        parser.add_argument(
            "password",
            metavar="PASSWORD",
            nargs="?",
            help="better left out: it is asked for, or made up, without a terminal",
        )

    @classmethod
    def make(cls, options: argparse.Namespace) -> TelnetConsole:
        """A console as asked for. A password that was not given is asked for, or made up and told."""
        password = options.password
        if password is None and sys.stdin.isatty():
            password = getpass(f"Password for {options.user}: ")
            if password:
                check_password(password)
        if not password:
            password = new_password()
            print(f"the password of {options.user} is {password} (shown once; 'midair user passwd' changes it)")
        elif len(password) < MIN_PASSWORD:
            # Not refused: who calls `mktelnetserver` with all three has done so for years.
            print(
                f"the password of {options.user} is shorter than {MIN_PASSWORD} characters; 'midair user passwd' changes it"
            )
        return cls(options.port, options.user, make_verifier(password))

    async def start(self) -> None:
        console = self._console()
        if console.users:
            console.users.begin_with(self.user, self.verifier)
        self._address, self._close = await console.listen_telnet("127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._close:
            self._close()
        self._address = self._close = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens now."""
        return ("{}:{}".format(*self._address),) if self._address else ()

    def _console(self) -> Console:
        companions = getattr(self.space.runner, "companions", ())
        found = next((one for one in companions if isinstance(one, Console)), None)
        if found is None:
            raise ServiceError("it is a way in to the server's console, and this server has none (--no-console)")
        return found
