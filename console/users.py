"""Who may log in, with which role, and how often somebody may try.

Users are kept in `NAME.users` beside the space's file: JSON, mode 0600, verifiers only (`scrypt$n$r$p$salt$hash`). They are not part of the
space, so that going back to an older snapshot does not bring back a password that was changed or a user who was removed. The file
is read again when it changed, so `midair user` works on a running server and on a stopped one alike.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

from ..runtime.errors import ConsoleError
from ..runtime.files import write_private

COST, BLOCK, LANES = 2**15, 8, 1
"""Parameters of scrypt: 32 MiB and about 0.15 s a try."""

MIN_PASSWORD, MAX_PASSWORD = 8, 1024
"""Shortest and longest password taken, in characters."""


class Role(IntEnum):
    """What a person may do. A Python prompt is full power; the roles below are for those without one."""

    VIEWER = 1
    """Commands that look."""

    OPERATOR = 2
    """Every command, by name; no Python."""

    ADMIN = 3
    """Python."""

    @classmethod
    def of(cls, name: str) -> "Role":
        """The role called `viewer`, `operator` or `admin`.

        Raises:
            UserError: there is no such role.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            raise UserError(f"there is no role {name!r}; there are viewer, operator, admin") from None

    def __str__(self) -> str:
        return self.name.lower()


class UserError(ConsoleError, ValueError):
    """A user cannot be made or changed like that."""


@dataclass(frozen=True)
class User:
    """One entry of the file."""

    name: str
    role: Role
    verifier: str

    def __repr__(self) -> str:
        return f"<user {self.name} ({self.role})>"


def check_password(password: str) -> None:
    """Accept a new password, or say why not.

    Raises:
        UserError: it is shorter than 8 or longer than 1024 characters.
    """
    if len(password) < MIN_PASSWORD:
        raise UserError(f"the password is shorter than {MIN_PASSWORD} characters; nothing was changed")
    if len(password) > MAX_PASSWORD:
        raise UserError(f"the password is longer than {MAX_PASSWORD} characters; nothing was changed")


def make_verifier(password: str) -> str:
    """Turn a password into what is kept of it. Takes about 0.15 s and 32 MiB."""
    salt = secrets.token_bytes(16)
    return _scrypt_text(COST, BLOCK, LANES, salt, _scrypt(password, salt, COST, BLOCK, LANES))


def verify(password: str, verifier: str) -> bool:
    """Whether the password is the one the verifier was made from. Constant time in the comparison."""
    scheme, n, r, p, salt, expected = verifier.split("$")
    if scheme != "scrypt":
        raise UserError(f"unknown kind of password entry {scheme!r}; set the password again")
    found = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(expected))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = password[:MAX_PASSWORD].encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r)


def _scrypt_text(n: int, r: int, p: int, salt: bytes, digest: bytes) -> str:
    return f"scrypt${n}${r}${p}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


_NOBODY = _scrypt_text(COST, BLOCK, LANES, bytes(16), bytes(64))
"""Checked for names that do not exist, so that the time of a refusal does not tell which names do."""


def new_password() -> str:
    """A password that can be read out on the telephone: 80 random bits in groups."""
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


class Users:
    """The users of one space, in a file.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._users: dict[str, User] = {}

    def all(self) -> list[User]:
        """Every user, by name.

        Raises:
            UserError: the file is damaged or others can write to it.
        """
        self._read()
        return sorted(self._users.values(), key=lambda user: user.name)

    def get(self, name: str) -> User | None:
        self._read()
        return self._users.get(name)

    def add(self, name: str, password: str, role: Role = Role.ADMIN) -> User:
        """Make a user.

        Raises:
            UserError: the name is taken or unusable, or the password is too short or too long.
        """
        self._read()
        if name in self._users:
            raise UserError(f"user {name} exists; 'midair user passwd {name}' changes the password")
        if not name or len(name) > 64 or not all(c.isalnum() or c in "-_.@" for c in name):
            raise UserError(f"{name!r} is no user name: up to 64 letters, digits and -_.@")
        check_password(password)
        self._users[name] = User(name, role, make_verifier(password))
        self._write()
        return self._users[name]

    def begin_with(self, name: str, verifier: str) -> bool:
        """Make the first user, by what is kept of their password, when there never was any; whether that was so.

        Once there is a file, it is the truth, so that somebody who was removed does not come back.
        """
        if self.path.exists():
            return False
        self._users[name] = User(name, Role.ADMIN, verifier)
        self._write()
        return True

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password.

        Raises:
            UserError: there is no such user, or the password is too short or too long.
        """
        user = self._existing(name)
        check_password(password)
        self._users[name] = User(name, user.role, make_verifier(password))
        self._write()

    def set_role(self, name: str, role: Role) -> None:
        """Give a user another role; it holds from their next login."""
        user = self._existing(name)
        self._users[name] = User(name, role, user.verifier)
        self._write()

    def remove(self, name: str) -> None:
        """Remove a user; who is logged in stays until they leave or are sent away with `kick`."""
        self._existing(name)
        del self._users[name]
        self._write()

    def check(self, name: str, password: str) -> User | None:
        """The user, if the password is theirs. Takes as long for a name that does not exist."""
        user = self.get(name)
        right = verify(password, user.verifier if user else _NOBODY)
        return user if right and user else None

    def _existing(self, name: str) -> User:
        self._read()
        if name not in self._users:
            raise UserError(f"there is no user {name!r}")
        return self._users[name]

    def _read(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._users, self._seen = {}, None
            return
        if found.st_mode & 0o022 or found.st_uid not in {os.geteuid(), 0}:
            raise UserError(f"{self.path} can be written by others; nobody is let in until its mode is 0600")
        if (stamp := (found.st_mtime_ns, found.st_ino)) == self._seen:
            return
        try:
            entries = json.loads(self.path.read_text(encoding="utf-8"))
            self._users = {e["name"]: User(e["name"], Role.of(e["role"]), e["verifier"]) for e in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path} is damaged ({error}); nobody is let in until it is repaired or removed"
            ) from error
        self._seen = stamp

    def _write(self) -> None:
        entries = [asdict(user) | {"role": str(user.role)} for user in self._users.values()]
        write_private(self.path, json.dumps(entries, indent=1) + "\n")
        self._seen = None


class Doorkeeper:
    """Counts failed logins by address and by name, and makes the next try wait.

    Failures 1 and 2 cost 1 and 2 s; from the third on the door stays shut for 30 s each, and who is at it is hung up on. A Unix socket never comes here.

    Args:
        now: a clock in seconds; the monotonic one unless a test has another.
    """

    TRIES = 3
    LOCKED = 30.0
    REMEMBERED = 10_000
    """Addresses and names that are remembered; beyond that the oldest are forgotten."""

    def __init__(self, users: Users, *, now: Callable[[], float] = time.monotonic) -> None:
        self.users = users
        self._now = now
        self._failed: dict[str, tuple[int, float]] = {}
        # One thread: it bounds the memory of scrypt to one try at a time, and the rate for everybody together.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="midair-login")

    def wait(self, *keys: str) -> float:
        """Seconds until somebody from this address, or by this name, may try again."""
        return max(0.0, *(self._failed[key][1] - self._now() for key in keys if key in self._failed), 0.0)

    def shut(self, *keys: str) -> bool:
        """Whether this address or this name has failed so often that it has to wait long."""
        return any(self._failed.get(key, (0, 0.0))[0] >= self.TRIES for key in keys)

    async def login(self, name: str, password: str, address: str) -> User | None:
        """The user, if the password is right and neither address nor name is shut out. Never blocks the loop."""
        keys = (f"address {address}", f"name {name}")
        if self.wait(*keys):
            return None
        user = await asyncio.get_running_loop().run_in_executor(self._pool, self.users.check, name, password)
        for key in keys:
            if user:
                self._failed.pop(key, None)
            else:
                self._fail(key)
        return user

    def forgive(self) -> None:
        """Forget all failures: `unlock()` over the Unix socket."""
        self._failed.clear()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fail(self, key: str) -> None:
        count = self._failed.pop(key, (0, 0.0))[0] + 1
        self._failed[key] = (count, self._now() + (self.LOCKED if count >= self.TRIES else float(count)))
        while len(self._failed) > self.REMEMBERED:
            del self._failed[next(iter(self._failed))]
