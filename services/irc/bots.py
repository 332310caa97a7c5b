"""Bots: people made of Python. A bot is a class with a nickname and a method that hears; edit it while it talks.

    class Dice(Bot):
        "Throws dice for those who say !roll."
        nick = "dice"
        channels = ("#games",)

        def heard(self, said):
            if said.text == "!roll":
                said.reply(f"{said.nick} throws {random.randint(1, 6)}")

    space["irc"].add_bot(Dice())

A bot is saved with the space, what it remembers in its attributes too. An error in it is logged and hurts nobody else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client import Client, Outgoing
from .message import parse
from .names import clip, fold, is_channel, printable

if TYPE_CHECKING:
    from .network import Network

log = logging.getLogger("midair.irc")

TEXT_LIMIT = 400  # bytes of one line that a bot says


@dataclass(frozen=True)
class Said:
    """Something that a bot heard.

    Args:
        nick: who said it.
        text: what.
        where: the channel, or the bot's own nickname when it was said to it alone.
        notice: whether nothing may answer it by itself.
    """

    bot: Bot
    nick: str
    text: str
    where: str
    notice: bool = False

    @property
    def private(self) -> bool:
        return not is_channel(self.where)

    @property
    def who(self) -> Client | None:
        """The person, or None when it has gone meanwhile."""
        return self.bot.network.find(self.nick)

    def reply(self, text: str) -> None:
        """Answer where it was said, line by line."""
        self.bot.say(self.nick if self.private else self.where, text)


class Bot:
    """The base class of bots. Override `heard`, and `saw_join` or `saw_part` where wanted.

    Across a rebuild: goes on as it is, with the new methods.
    In a snapshot: its attributes, without those named in `__transient__`.
    """

    __transient__: tuple[str, ...] = ("client",)

    nick = "bot"
    user = "bot"
    realname = "A bot of this server"
    #: Channels that it enters when it starts.
    channels: tuple[str, ...] = ()
    #: Whether it hears other bots too. Two that answer each other talk without end, so mind what you say.
    hears_bots = False
    #: Whether what is said between it and somebody alone stays out of the history: it takes passwords.
    confidential = False
    #: What it is on the network, while it is there.
    client: BotClient | None = None

    def heard(self, said: Said) -> None:
        """Somebody said something in one of its channels or to it."""

    def saw_join(self, nick: str, channel: str) -> None:
        """Somebody came in."""

    def saw_part(self, nick: str, channel: str) -> None:
        """Somebody left, or was put out."""

    @property
    def network(self) -> Network:
        if self.client is None:
            raise RuntimeError(f"bot {self.nick} is not on a network; add it with Irc.add_bot")
        return self.client.network

    def say(self, where: str, text: str) -> None:
        """Say something to a channel or a person, line by line."""
        self._speak("PRIVMSG", where, text)

    def notice(self, where: str, text: str) -> None:
        """Say something that nothing answers by itself."""
        self._speak("NOTICE", where, text)

    def _speak(self, command: str, where: str, text: str) -> None:
        from .commands.messages import say_to  # it imports the client, which bots are

        client = self.client
        if client is None:
            return
        for line in text.splitlines():
            if line.strip():
                say_to(client.network, client, where, command, clip(line.replace("\0", ""), TEXT_LIMIT), None)

    def hear(self, line: Outgoing) -> None:
        """Take a line from the network and call the method for it; an error there is logged."""
        message = parse(line.line.encode())
        if message is None:
            return
        nick = message.source.partition("!")[0]
        speaker = self.network.find(nick)
        if fold(nick) == fold(self.nick) or (speaker and speaker.is_bot and not self.hears_bots):
            return
        try:
            if message.command in {"PRIVMSG", "NOTICE"}:
                self.heard(Said(self, nick, message.get(1), message.get(0), message.command == "NOTICE"))
            elif message.command == "JOIN":
                self.saw_join(nick, message.get(0))
            elif message.command == "PART":
                self.saw_part(nick, message.get(0))
            elif message.command == "KICK":
                self.saw_part(message.get(1), message.get(0))
        except Exception:
            log.exception("bot %s failed on %s from %s", self.nick, message.command, printable(nick))


class BotClient(Client):
    """A bot as the network knows it: lines to it are heard, not written."""

    is_bot = True

    def __init__(self, network: Network, bot: Bot) -> None:
        super().__init__(network, "127.0.0.1", host=network.name)
        self.bot = bot
        self.nick, self.folded = bot.nick, fold(bot.nick)
        self.user, self.realname = bot.user, bot.realname
        self.registered = True
        self.modes = {"B"}

    @property
    def confidential(self) -> bool:  # type: ignore[override]  # the bot's own attribute decides, edited live too
        return self.bot.confidential

    def deliver(self, out: Outgoing) -> None:
        self.deliver_apart(out)

    def deliver_apart(self, out: Outgoing) -> None:
        pending = self.network.pending
        pending.append((self, out))
        if len(pending) == 1 and self.network.carrier is not None:
            self.network.carrier.wake()

    def reply(self, numeric: str, *params: str, text: str | None = None, **tags: str) -> None:
        """A bot does not read numerics."""

    def hear(self, out: Outgoing) -> None:
        if self.bot.client is self:
            self.bot.hear(out)


def enter(network: Network, bot: Bot) -> None:
    """Put a bot on the network and into its channels; whoever has its nickname must give it up."""
    from .commands.channels import join

    holder = network.find(bot.nick)
    if holder is not None and not holder.is_bot:
        network.drop(holder, f"{bot.nick} is a bot of this server")
    bot.client = BotClient(network, bot)
    network.clients[bot.client.folded] = bot.client
    for name in bot.channels:
        join(network, bot.client, name)


def leave(network: Network, bot: Bot, reason: str) -> None:
    """Take a bot off the network."""
    client: Any = bot.client
    if client is not None:
        network.drop(client, reason, farewell=False)
        bot.client = None
