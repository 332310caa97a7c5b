"""SASL mechanisms, from the server's side. No I/O, nothing slow."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING

from . import accounts

if TYPE_CHECKING:
    from .accounts import Accounts, Scram

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "EXTERNAL")
CHUNK = 400
TOTAL_LIMIT = 4 * CHUNK


class Refused(Exception):
    """The exchange ends without a login; why is for the log, the client hears only that it failed."""


def decode(text: str) -> bytes:
    """Return the bytes of a complete AUTHENTICATE payload.

    Raises:
        Refused: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True) if text != "+" else b""
    except (binascii.Error, ValueError) as error:
        raise Refused(f"not base64: {error}") from None


def parse_plain(data: bytes) -> tuple[str, str]:
    """Return account and password of a PLAIN message.

    Raises:
        Refused: not three parts, not UTF-8, or one account asking to be another.
    """
    try:
        authzid, authcid, password = data.decode().split("\0")
    except ValueError as error:
        raise Refused(f"malformed PLAIN message: {error}") from None
    if not authcid or not password or (authzid and authzid != authcid):
        raise Refused("PLAIN without an account or a password, or for somebody else")
    return authcid, password


class ScramExchange:
    """One SCRAM-SHA-256 exchange: client first, server first, client final, server final."""

    def __init__(self, known: Accounts, secret: bytes) -> None:
        self._accounts, self._secret = known, secret
        self.account = ""
        self._known: Scram | None = None
        self._bare = self._server_first = self._nonce = self._gs2 = ""
        self.started = self.proved = False

    def first(self, data: bytes) -> bytes:
        """Take the client's first message; return the server's.

        Raises:
            Refused: it is malformed or asks for channel binding.
        """
        text = _text(data)
        flag, _, rest = text.partition(",")
        authzid, _, bare = rest.partition(",")
        if flag not in {"n", "y"}:
            raise Refused(f"SCRAM with channel binding {flag!r}, which is not offered")
        fields = _fields(bare)
        name, nonce = fields.get("n", ""), fields.get("r", "")
        if not name or not nonce:
            raise Refused("SCRAM first message without name or nonce")
        name = name.replace("=2C", ",").replace("=3D", "=")
        self._gs2, self._bare = f"{flag},{authzid},", bare
        account = self._accounts.get(name)
        if account:
            self.account, self._known = account.name, account.scram
        # An unknown name gets a salt too, the same each time, so that nobody can ask who has an account.
        salt = account.scram.salt if account else hmac.digest(self._secret, name.encode(), "sha256")[:16]
        iterations = account.scram.iterations if account else accounts.SCRAM_ITERATIONS
        self._nonce = nonce + secrets.token_urlsafe(18)
        self._server_first = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}"
        self.started = True
        return self._server_first.encode()

    def final(self, data: bytes) -> bytes:
        """Take the client's proof; return the server's.

        Raises:
            Refused: the proof is wrong, or there is no such account.
        """
        text = _text(data)
        without_proof, _, proof_text = text.rpartition(",p=")
        fields = _fields(without_proof)
        if fields.get("r") != self._nonce or decode(fields.get("c", "")) != self._gs2.encode():
            raise Refused("SCRAM final message of another exchange")
        if self._known is None:
            raise Refused("no such account")
        auth = f"{self._bare},{self._server_first},{without_proof}".encode()
        signature = hmac.digest(self._known.stored_key, auth, "sha256")
        proof = decode(proof_text)
        if len(proof) != len(signature):
            raise Refused("SCRAM proof of the wrong length")
        client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), self._known.stored_key):
            raise Refused("wrong password")
        self.proved = True
        return b"v=" + base64.b64encode(hmac.digest(self._known.server_key, auth, "sha256"))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8: {error}") from None


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (part.partition("=") for part in text.split(","))}
