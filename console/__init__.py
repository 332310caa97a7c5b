"""How a person reaches a running space: sessions, their transports, commands, and the `midair` command line."""

if __name__ != "midair.console":
    raise ImportError(f"this is midair.console, imported as {__name__!r}; write 'import midair.console'")
