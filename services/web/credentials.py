"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct

_UCRED = "3i"


def peer_of(sock: socket.socket) -> int:
    """The user id of the process at the other end, by the kernel's word."""
    _, uid, _ = struct.unpack(_UCRED, sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_UCRED)))
    return int(uid)
