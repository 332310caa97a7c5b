"""What a person finds at a prompt besides Python: plain functions that describe themselves.

Each module here holds the commands of one subject; `table()` gathers them. A command written with `@command` has its help, its
completion, its words for operators and its JSON form from that one function.
"""

from .base import Command, Pending, command, table

__all__ = ["Command", "Pending", "command", "table"]
