"""Listening sockets: bound to an address or a path, or inherited from who started us."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from .errors import AddressInUse, NotAPort, ServiceError

BACKLOG = 1024
_FIRST_INHERITED = 3


def port(value: int | str) -> int:
    """The number of a port, 0 for any that is free; also the `type` of a command line's argument.

    Raises:
        NotAPort: it is none.
    """
    if not str(value).isdecimal() or int(value) > 65535:
        raise NotAPort(value)
    return int(value)


def bind_tcp(host: str, number: int | str) -> list[socket.socket]:
    """Sockets that listen on each address of the host, one that was inherited where it fits.

    Raises:
        NotAPort: the port is none.
        AddressInUse: somebody listens there already.
        OSError: the host is not one of this machine's, or the port needs more rights than we have.
    """
    wanted = port(number)
    infos = socket.getaddrinfo(host or None, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(infos):
            if wanted == 0 and bound:
                address = (address[0], bound[0].getsockname()[1], *address[2:])  # noqa: PLW2901 - one port for all
            bound.append(_inherited(family, address) or _bind(family, kind, proto, address))
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind(family: int, kind: int, proto: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        written = f"[{address[0]}]:{address[1]}" if family == socket.AF_INET6 else f"{address[0]}:{address[1]}"
        raise cannot_listen(written, error) from error
    return sock


def cannot_listen(address: str, error: OSError) -> ServiceError:
    """What to raise when an address, as people write it, could not be bound."""
    if error.errno == errno.EADDRINUSE:
        return AddressInUse(address)
    return ServiceError(f"cannot listen on {address}: {error.strerror or error}")


def bind_unix(path: str | Path, *, mode: int = 0o600) -> socket.socket:
    """A socket that listens at a path, which only its owner may use unless `mode` says otherwise.

    A socket file that nobody answers at is left over from a process that died, and is replaced.

    Raises:
        AddressInUse: somebody answers there.
        ServiceError: the path is too long for a socket, or holds something that is not one.
    """
    path = Path(path)
    if len(os.fsencode(path)) > 107:
        raise ServiceError(f"{path} is {len(os.fsencode(path))} bytes long; a socket's path has at most 107")
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ServiceError(f"{path} is in the way: it is not a socket, and was left alone")
        if answers(path):
            raise AddressInUse(str(path))
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode is right from the first moment: a chmod after the bind would leave a gap.
    before = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise ServiceError(f"cannot listen at {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def answers(path: str | Path) -> bool:
    """Whether somebody listens at this socket path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except (TimeoutError, BlockingIOError, PermissionError):
            return True
    return True


def _inherited(family: int, address: tuple[object, ...]) -> socket.socket | None:
    """The socket that our parent bound for us (the LISTEN_FDS protocol), if it is for this very address."""
    if os.environ.get("LISTEN_PID") not in (None, str(os.getpid())):
        return None
    for number in range(int(os.environ.get("LISTEN_FDS", "0"))):
        sock = socket.socket(fileno=os.dup(_FIRST_INHERITED + number))
        if sock.family == family and sock.getsockname()[:2] == address[:2]:
            sock.setblocking(False)
            return sock
        sock.close()
    return None


def written(sock: socket.socket) -> str:
    """A listening address as people write it: `127.0.0.1:4000`, `[::1]:4000`, `/run/x.sock`."""
    name = sock.getsockname()
    if sock.family == socket.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    return f"{name[0]}:{name[1]}" if sock.family == socket.AF_INET else str(name)


def remove(path: str | Path) -> None:
    """Remove a socket's file, if it is still there."""
    Path(path).unlink(missing_ok=True)
