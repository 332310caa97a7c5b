"""From a line to what it does. Handlers are looked up by name for each line, so an edit of one is what runs next.

A command FOO is the function `cmd_foo(net, client, message)` in a module of `commands/`; a follow-up of slow work is
`then_foo(net, client, result, ...)`. Adding a function there adds the command, to a running server too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import numerics as n
from .commands import (
    account,
    capability,
    channels,
    chathistory,
    messages,
    metadata,
    mode,
    multiline,
    opers,
    queries,
    session,
    watch,
    who,
)
from .message import BadLine, Message, parse

if TYPE_CHECKING:
    from .client import Client
    from .network import Network

Handler = Callable[["Network", "Client", Message], None]

#: Where commands are looked for; the busiest first.
MODULES = (
    messages,
    session,
    channels,
    mode,
    who,
    queries,
    capability,
    account,
    chathistory,
    watch,
    metadata,
    multiline,
    opers,
)

#: Commands that make sense before NICK and USER are done.
EARLY = {
    "PASS",
    "NICK",
    "USER",
    "QUIT",
    "PING",
    "PONG",
    "CAP",
    "AUTHENTICATE",
    "REGISTER",
    "VERIFY",
    "NOTICE",
    "METADATA",
    "BATCH",
}

#: How many parameters a command needs; where it is not named: none.
NEEDS = {
    "AUTHENTICATE": 1,
    "CAP": 1,
    "CHATHISTORY": 1,
    "CHGHOST": 3,
    "ISON": 1,
    "JOIN": 1,
    "KICK": 2,
    "KILL": 1,
    "KLINE": 1,
    "METADATA": 2,
    "MODE": 1,
    "MONITOR": 1,
    "OPER": 2,
    "PART": 1,
    "PASS": 1,
    "REDACT": 2,
    "REGISTER": 3,
    "RENAME": 2,
    "SETNAME": 1,
    "TAGMSG": 1,
    "TOPIC": 1,
    "UNKLINE": 1,
    "USER": 4,
    "USERHOST": 1,
    "WALLOPS": 1,
}

# A browser that was lured into posting to this port speaks HTTP first.
_HTTP = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "PATCH", "TRACE"}


def find(name: str) -> Handler | None:
    """Return what handles a command now, or None."""
    wanted = f"cmd_{name.lower()}"
    for module in MODULES:
        handler: Handler | None = vars(module).get(wanted)
        if handler:
            return handler
    return None


def handle(net: Network, client: Client, line: bytes) -> None:
    """Do what one line from a client asks."""
    client.last_heard = net.now()
    client.pinged = False
    if client.closing:
        return
    message, bad = None, None
    try:
        message = parse(line)
    except BadLine as error:
        bad = error
    known: BadLine | Message | None = bad or message
    if known is None:
        return
    label = known.tags.get("label", "") if known.tags and "labeled-response" in client.caps else ""
    if label and len(label) <= 64:
        client.begin_label(label)
    net.acting = client
    try:
        if message:
            run(net, client, message)
        elif bad:
            _refuse(client, bad)
    except Exception:
        client.reply(n.ERR_UNKNOWNERROR, known.command, text="An error in the server; it has been logged")
        raise
    finally:
        _done(net, client)


def run(net: Network, client: Client, message: Message) -> None:
    """Find the handler and call it, or say why not."""
    name = message.command
    handler = find(name) if name.isascii() else None
    if not client.registered and name not in EARLY:
        if name in _HTTP:
            net.drop(client, "this is not a web server", farewell=False)
        else:
            client.reply(n.ERR_NOTREGISTERED)
    elif handler is None:
        client.reply(n.ERR_UNKNOWNCOMMAND, name)
    elif len(message.params) < NEEDS.get(name, 0):
        client.reply(n.ERR_NEEDMOREPARAMS, name)
    elif "batch" in message.tags and multiline.collects(client, message):
        multiline.collect(client, message)
    else:
        handler(net, client, message)


def follow_up(net: Network, client: Client, then: str, result: Any, context: tuple[Any, ...]) -> None:
    """Call the function named `then` with the result of slow work."""
    net.acting = client
    try:
        for module in MODULES:
            handler = vars(module).get(then)
            if handler:
                handler(net, client, result, *context)
                return
        raise LookupError(f"{then} is in no module of commands/; what {client!r} waited for is not done")
    finally:
        _done(net, client)


def _done(net: Network, client: Client) -> None:
    """Close the reply to a label, and let the bots see what they were sent."""
    net.acting = None
    if client.captured is not None and not client.busy:
        client.end_label()
    net.settle()


def _refuse(client: Client, bad: BadLine) -> None:
    if bad.kind == "too-long":
        client.reply(n.ERR_INPUTTOOLONG)
    elif bad.kind == "not-utf8":
        client.fail(bad.command, "INVALID_UTF8", text="Message rejected: your client must send UTF-8")
    else:
        client.fail(bad.command, "INVALID_CHARACTER", text="Message rejected: it holds NUL or CR")
