"""What a space can run: net (protocols to build on), telnet, web, irc, spread, reality."""

if __name__ != "midair.services":
    raise ImportError(f"this is midair.services, imported as {__name__!r}; write 'import midair.services'")
