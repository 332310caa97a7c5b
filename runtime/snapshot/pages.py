"""Huge pages under the heap, so that a fork copies fewer page tables.

A fork stops the process for the time that copying its page tables takes: 12 to 17 ms for each GB in pages of 4 kB, a
fifth of that in pages of 2 MB. Linux 6.1 and later can gather pages in place. A write under a living child splits
them again, so they are gathered before each fork; what is still in one piece costs next to nothing.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_HUGE = 2 << 20
# Gathered in one call: the kernel holds its lock on the address space for the length of it.
_STEP = 32 * _HUGE
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
#: Below this many resident bytes a fork is short anyway.
WORTH_IT = 200 << 20


@dataclass(frozen=True)
class Collapsed:
    """What came of gathering pages."""

    #: Bytes that were asked for, and bytes that the kernel refused: no memory in one piece, or not allowed.
    tried: int
    refused: int


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0


def collapse() -> Collapsed:
    """Gather the heap into huge pages, as far as the kernel does it. Takes a while: for a thread of its own."""
    if not sys.platform.startswith("linux"):
        return Collapsed(0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    tried = refused = 0
    for start, end in _heap():
        libc.madvise(start, end - start, _MADV_HUGEPAGE)
        for at in range(start, end, _STEP):
            length = min(_STEP, end - at)
            tried += length
            if libc.madvise(at, length, _MADV_COLLAPSE):
                refused += length
    return Collapsed(tried, refused)


def _heap() -> Iterator[tuple[int, int]]:
    """The private memory of this process that is no file's, cut to whole huge pages."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    for line in lines:
        fields = line.split()
        ours = len(fields) < 6 or fields[5] == "[heap]" or fields[5].startswith("[anon")
        if fields[1] == "rw-p" and ours:
            low, high = (int(part, 16) for part in fields[0].split("-"))
            start, end = -(-low // _HUGE) * _HUGE, high // _HUGE * _HUGE
            if start < end:
                yield start, end
