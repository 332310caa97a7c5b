"""Whether a file may be run: only the server's own user, or root, could have put it there."""

from __future__ import annotations

import os
import stat


def stranger_of(path: str, root: str) -> str | None:
    """Why a file below a folder is not to be run, or None when it may be.

    The file and each folder down from `root` must belong to the server's user or to root, and nobody else may write to
    them, but for the user's own group (people whose umask is 002 have one to themselves).
    """
    path, root = os.path.realpath(path), os.path.realpath(root)
    while True:
        found = os.stat(path)
        if found.st_uid not in {0, os.geteuid()}:
            return f"{path} belongs to another user ({found.st_uid})"
        if found.st_mode & stat.S_IWOTH:
            return f"anybody may write to {path}"
        if found.st_mode & stat.S_IWGRP and found.st_gid not in {0, os.getegid()}:
            return f"the group {found.st_gid} may write to {path}"
        above = os.path.dirname(path)
        if path == root or not above.startswith(root):
            return None
        path = above
