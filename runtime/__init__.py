"""The space and its life.

errors.py      what can go wrong, as a tree
space.py       the tree of named objects, the root of everything
service.py     an object in the space that runs: listeners, connections, jobs, timers
connection.py  one peer: parse buffer, unsent bytes, limits
server.py      one running space: the loop, start and stop, signals, files
rebuild/       live code follows its sources (stands alone: works in any Python process)
snapshot/      the `.spl` file: write, check, load, upgrade
logs.py        readable lines on a terminal and in a file
testing.py     helpers for tests, ours and yours
"""

if __name__ != "midair.runtime":
    raise ImportError(
        f"this is midair.runtime, imported as {__name__!r}: a second copy would not be the one that runs; "
        "write 'import midair.runtime'"
    )
