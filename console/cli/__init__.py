"""The `midair` command: one file for each group of commands, imported light, so that `midair status` is quick.

parser.py     commands, their options, and the example that each help ends with
faults.py     what goes wrong, as one line and an exit status
run.py        run: opens a space and serves it               background.py  the same with --daemon
make.py       make KIND, and the mk... names of 2001
remote.py     what is asked of a running server: attach, status, rebuild, stop, ...
people.py     user list|add|passwd|remove|role
snapshots.py  what looks into `.spl` files: inspect, verify, diff, ...
new.py        a project to start from (project/)             demo.py, tour.py   the tour
program.py    exec: any Python program, with live rebuild and a console
telnet.py     a telnet client
"""
