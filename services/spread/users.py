"""Who may log in, and the proof that they know their password. No I/O.

The password never crosses the wire and is stored nowhere. From it and a salt, scrypt makes a key; the client shows with
a fresh number of either side that it has that key, and the server shows in return that it knows the verifier (the scheme
of RFC 5802, with scrypt in the place of PBKDF2). The costly step is the client's, so a stranger cannot buy the
server's time with it. What is stored, `Verifier`, does not let anybody log in.

The login of the older peers hashes with MD5 and needs the MD5 of the password stored. It exists for those who ask.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import Unauthorized

N, R, P = 1 << 14, 8, 1
"""Cost of scrypt: 16 MiB and some 50 ms of the client."""

MOST_N = 1 << 17


@dataclass(frozen=True)
class Verifier:
    """What a server keeps of one password."""

    salt: bytes
    n: int
    r: int
    p: int
    stored: bytes
    server: bytes
    md5: bytes = b""

    def __repr__(self) -> str:
        return "<Verifier>"


class Users:
    """Names and verifiers, to give to a Portal.

    In a snapshot: as they are; no password can be read from them. With `md5=True` an MD5 can, and MD5s of short
    passwords are guessed quickly.
    """

    def __init__(self) -> None:
        self._verifiers: dict[str, Verifier] = {}
        self._secret = secrets.token_bytes(32)

    def add(self, name: str, password: str, *, md5: bool = False) -> None:
        """Add a user, or change the password.

        Args:
            md5: keep what the login of older peers needs too.

        Raises:
            ValueError: the password is empty.
        """
        if not password:
            raise ValueError(f"the password of {name!r} is empty; nothing was changed")
        salt = secrets.token_bytes(16)
        client, server = keys(password, salt, N, R, P)
        old = hashlib.md5(password.encode(), usedforsecurity=False).digest() if md5 else b""
        self._verifiers[name] = Verifier(salt, N, R, P, hashlib.sha256(client).digest(), server, old)

    def remove(self, name: str) -> None:
        """Remove a user; who is logged in stays so.

        Raises:
            KeyError: there is none of that name.
        """
        del self._verifiers[name]

    def __contains__(self, name: str) -> bool:
        return name in self._verifiers

    def __len__(self) -> int:
        return len(self._verifiers)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._verifiers))

    def verifier(self, name: str) -> Verifier:
        """The user's; for an unknown name one that nothing fits, always the same, so that names cannot be probed."""
        known = self._verifiers.get(name)
        if known is not None:
            return known
        salt = hmac.digest(self._secret, name.encode(), "sha256")[:16]
        return Verifier(salt, N, R, P, secrets.token_bytes(32), secrets.token_bytes(32))


def keys(password: str, salt: bytes, n: int, r: int, p: int) -> tuple[bytes, bytes]:
    """The client's and the server's key for a password. Slow on purpose: call it in a thread.

    Raises:
        Unauthorized: a cost that is suspicious: too low protects nothing, too high only eats memory.
    """
    if not (N <= n <= MOST_N and n & (n - 1) == 0 and R <= r <= 16 and 1 <= p <= 4):
        raise Unauthorized(
            f"the server asks for scrypt with n={n}, r={r}, p={p}, which is out of bounds; nothing was sent to it"
        )
    salted = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=128 * n * r + (16 << 20), dklen=32)
    return hmac.digest(salted, b"client", "sha256"), hmac.digest(salted, b"server", "sha256")


def transcript(*parts: bytes) -> bytes:
    """What both sides sign: every part with its length, so that none can flow into the next."""
    return b"".join(struct.pack("!I", len(part)) + part for part in parts)


def prove(client: bytes, said: bytes) -> bytes:
    """The client's proof for a conversation."""
    stored = hashlib.sha256(client).digest()
    return _mixed(client, hmac.digest(stored, said, "sha256"))


def proven(verifier: Verifier, said: bytes, proof: bytes) -> bool:
    """Whether a proof comes from somebody with the password."""
    if len(proof) != 32:
        return False
    client = _mixed(proof, hmac.digest(verifier.stored, said, "sha256"))
    return hmac.compare_digest(hashlib.sha256(client).digest(), verifier.stored)


def signature(server: bytes, said: bytes) -> bytes:
    """The server's proof in return."""
    return hmac.digest(server, said, "sha256")


def md5_response(password_md5: bytes, challenge: bytes) -> bytes:
    """What older peers answer to a challenge."""
    return hashlib.md5(password_md5 + challenge, usedforsecurity=False).digest()


def _mixed(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
