"""Whose `.spl` is loaded: loading makes objects, so a file from a stranger could run anything.

A file loads when it is the user's own and lies where nobody else can write; or when it carries a signature made with
the user's key. Every file is signed when it is written, so one's own files load wherever they have travelled. One that
was imported is not: this user wrote the bytes, but what they say comes from a text that anybody may have written.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

from ..errors import NotTrusted
from .container import Container

log = logging.getLogger("midair.snapshot")

_SHORTEST_KEY = 16


def key_file() -> Path:
    """Where the user's key is: `$MIDAIR_KEY_FILE`, or `midair/key` in `$XDG_CONFIG_HOME`, which is `~/.config` unless set."""
    if chosen := os.environ.get("MIDAIR_KEY_FILE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "midair" / "key"


def signing_key() -> bytes | None:
    """The user's key, made when there is none yet. None, and a line in the log, when it can be neither had nor made."""
    path = key_file()
    try:
        return read_key(path) or _make(path)
    except OSError as error:
        log.warning("snapshots are not signed: no key at %s (%s); they load here, not elsewhere", path, error.strerror)
        return None


def read_key(path: Path) -> bytes | None:
    """The key in a file; None when there is no such file.

    Raises:
        OSError: others could read it, or it is too short.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(0, "others could read it: chmod 600")
        key = file.read().strip()
    if len(key) < _SHORTEST_KEY:
        raise OSError(0, f"it holds {len(key)} bytes, {_SHORTEST_KEY} are the least")
    return key


def _make(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_hex(32).encode()
    scratch = path.with_name(f"{path.name}.{os.getpid()}~")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(key + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(scratch, path)  # unlike a rename it leaves the key that another process made meanwhile
    except FileExistsError:
        return read_key(path) or key
    finally:
        scratch.unlink()
    return key


def insist(container: Container, descriptor: int, path: Path) -> None:
    """Refuse a file that may not be loaded. The container was verified.

    Raises:
        NotTrusted: says why, and what to do.
    """
    reason = "it was imported from text" if container.manifest.get("imported") else _not_ones_own(descriptor, path)
    if reason is None:
        return
    try:
        key = read_key(key_file())
    except OSError:
        key = None
    if key is not None and container.signed_by(key):
        return
    signature = "its signature is not by your key" if container.signed else "it has no signature"
    raise NotTrusted(
        f"{path.name} is not loaded: {reason}, and {signature} ({key_file()}); "
        "loading runs what is in it, so say --trust (trust=True) only if you know where it comes from"
    )


def _not_ones_own(descriptor: int, path: Path) -> str | None:
    found, folder = os.fstat(descriptor), os.stat(path.absolute().parent)
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, not to you"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others can write to it"
    if folder.st_uid not in (os.geteuid(), 0) or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write to its folder {path.absolute().parent}"
    return None
