"""How a person reaches a running space: sessions, their transports, commands, and the `midair` command line.

console.py      the console of one server: its thread, its listeners, who is there
transports/     the ways in: telnet, unix, ssh, terminal            frames.py  what the Unix socket speaks
session.py      one person: output, running statement, limits      users.py audit.py  who may, and what was done
editor.py plain.py script.py    how it looks: a terminal, lines, programs        complete.py  display.py
runner.py interrupt.py router.py namespace.py    running a statement: driven, stopped, heard, its names
commands/       what one finds at a prompt                         tracing.py top.py recording.py takeover.py questions.py
attach.py client.py             the other end, without any of the above
cli/            the command line
"""

if __name__ != "midair.console":
    raise ImportError(f"this is midair.console, imported as {__name__!r}; write 'import midair.console'")
