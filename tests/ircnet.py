"""A network in memory and people on it, for the tests of the IRC service."""

from __future__ import annotations

from midair.services.irc import accounts, bots, dispatch
from midair.services.irc.chanserv import ChanServ
from midair.services.irc.client import Client
from midair.services.irc.message import Message, parse, parse_tags
from midair.services.irc.names import fold
from midair.services.irc.network import Network
from midair.services.irc.nickserv import NickServ

# Hashing is slow on purpose; what is tested is what comes of it.
accounts.SCRYPT_N, accounts.SCRAM_ITERATIONS = 2**6, 100


class Person:
    """Somebody connected: says lines, reads what came back."""

    def __init__(self, net: Network, address: str = "127.0.0.1", *, secure: bool = False, certfp: str = "") -> None:
        self.net = net
        self.client: Client = net.connect(address, secure=secure, certfp=certfp)

    def say(self, *lines: str | bytes) -> list[Message]:
        """Send lines, and return everything received since the last look."""
        for line in lines:
            dispatch.handle(self.net, self.client, line if isinstance(line, bytes) else line.encode())
        return self.read()

    def read(self) -> list[Message]:
        messages = (read_line(line) for line in self.client.take().split(b"\r\n") if line)
        return [message for message in messages if message]

    def raw(self) -> list[str]:
        return [line.decode() for line in self.client.take().split(b"\r\n") if line]

    def commands(self, *lines: str | bytes) -> list[str]:
        return [message.command for message in self.say(*lines)]

    def one(self, *lines: str | bytes) -> Message:
        """Say something that has exactly one answer."""
        messages = self.say(*lines)
        assert len(messages) == 1, messages
        return messages[0]


def read_line(line: bytes) -> Message | None:
    """Parse a line from the server; its tags may be longer than what a client may send."""
    tags = ""
    if line.startswith(b"@"):
        raw, _, line = line.partition(b" ")
        tags = raw[1:].decode()
    message = parse(line)
    if message and tags:
        message.tags = parse_tags(tags)
    return message


def network(**settings: object) -> Network:
    """A network with NickServ and ChanServ; keyword arguments are its settings."""
    net = Network("My.Little.Server", "testnet")
    for name, value in settings.items():
        setattr(net.settings, name, value)
    for bot in (NickServ(), ChanServ()):
        net.bots[fold(bot.nick)] = bot
        bots.enter(net, bot)
    return net


def person(net: Network, nick: str, caps: str = "", *joins: str, address: str = "127.0.0.1") -> Person:
    """Somebody registered, with capabilities, in channels, who has read everything so far."""
    somebody = Person(net, address)
    if caps:
        assert somebody.say("CAP LS 302", f"CAP REQ :{caps}")[-1].params[1] == "ACK"
    somebody.say(f"NICK {nick}", f"USER {nick} 0 * :Real {nick}", *(["CAP END"] if caps else []))
    assert somebody.client.registered
    for name in joins:
        somebody.say(f"JOIN {name}")
    return somebody
