"""Accounts: who may call himself what, and how that is proved. No I/O; hashing is slow on purpose.

A password is kept as scrypt (for those who send it: PLAIN, IDENTIFY, OPER) and as the keys of SCRAM-SHA-256 (for
those who prove that they know it). Neither gives the password back. `make` and `verify` take tens of milliseconds:
call them through `Network.offload`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from .names import fold

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
SCRAM_ITERATIONS = 10_000
PASSWORD_LIMIT = 300  # bytes


@dataclass(frozen=True)
class Hashed:
    """A password, hashed."""

    salt: bytes
    digest: bytes
    n: int = SCRYPT_N
    r: int = SCRYPT_R
    p: int = SCRYPT_P


@dataclass(frozen=True)
class Scram:
    """What SCRAM-SHA-256 needs to recognise somebody who knows the password."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)


def make(password: str) -> Hashed:
    """Hash a password. Slow."""
    salt = secrets.token_bytes(16)
    cost = SCRYPT_N, SCRYPT_R, SCRYPT_P
    return Hashed(salt, _scrypt(password, salt, *cost), *cost)


def verify(hashed: Hashed | None, password: str) -> bool:
    """Tell whether a password is the one. Slow, and as slow where there is nothing to compare with."""
    known = hashed or _NOBODY
    digest = _scrypt(password, known.salt, known.n, known.r, known.p)
    return hmac.compare_digest(digest, known.digest) and hashed is not None


def make_scram(password: str) -> Scram:
    """Derive SCRAM keys from a password. Slow."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return Scram(
        salt, SCRAM_ITERATIONS, hashlib.sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256")
    )


def make_both(password: str) -> tuple[Hashed, Scram]:
    """Hash a password in both ways. Slow."""
    return make(password), make_scram(password)


# Compared with where there is no such account, so that the time does not tell.
_NOBODY = Hashed(b"nobody at all...", b"\0" * 32)


@dataclass
class Account:
    """A registered person.

    In a snapshot: saved, the password hashed.
    """

    name: str
    password: Hashed
    scram: Scram
    created: float
    last_seen: float = 0.0
    certfps: list[str] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)  # folded target -> timestamp, for MARKREAD
    metadata: dict[str, str] = field(default_factory=dict)


class Accounts:
    """All accounts, by folded name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Account] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return fold(name) in self._by_name

    def get(self, name: str) -> Account | None:
        return self._by_name.get(fold(name))

    def add(self, account: Account) -> None:
        self._by_name[fold(account.name)] = account

    def remove(self, name: str) -> None:
        del self._by_name[fold(name)]

    def seen(self, name: str, now: float) -> None:
        if account := self.get(name):
            account.last_seen = now

    def by_certificate(self, fingerprint: str) -> Account | None:
        """Return the account that has registered this certificate (SHA-256, hex)."""
        return next((account for account in self._by_name.values() if fingerprint in account.certfps), None)
