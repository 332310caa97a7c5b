"""ChanServ: channels that belong to somebody, and stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import modes
from .bots import Bot, Said
from .modes import Change
from .names import fold

if TYPE_CHECKING:
    from .channel import Channel
    from .client import Client

_HELP = """\
REGISTER #channel - keep a channel of which you are operator; it stays when everybody has left
DROP #channel - let it go
ACCESS #channel LIST - who gets what on joining
ACCESS #channel ADD account mode - one of v h o a
ACCESS #channel DEL account
OP | DEOP | VOICE | DEVOICE #channel [nick]
INFO #channel"""


class ChanServ(Bot):
    """Keeps channels for their founders."""

    nick = "ChanServ"
    user = "services"
    realname = "Channel service"
    confidential = True

    def heard(self, said: Said) -> None:
        client = said.who
        if not said.private or said.notice or client is None:
            return
        word, *words = said.text.split() or [""]
        method = getattr(self, f"on_{word.lower()}", None) if word.isalpha() else None
        if method is None:
            self.notice(client.nick, f"I do not know {word[:30]}; say HELP")
        elif word.lower() == "help":
            self.on_help(client)
        elif not words or (channel := self.network.channel(words[0])) is None:
            self.notice(client.nick, "Name a channel that exists.")
        else:
            method(client, channel, words[1:])

    def answer(self, client: Client, text: str) -> None:
        self.notice(client.nick, text)

    def on_help(self, client: Client) -> None:
        self.answer(client, _HELP)

    def _owns(self, client: Client, channel: Channel) -> bool:
        if channel.founder and (client.folded_account == channel.founder or client.is_oper):
            return True
        self.answer(client, f"{channel.name} is not yours.")
        return False

    def on_register(self, client: Client, channel: Channel, words: list[str]) -> None:
        if not client.account:
            self.answer(client, "Log in first: a channel belongs to an account.")
        elif channel.founder:
            self.answer(client, f"{channel.name} is registered already.")
        elif channel.rank(client) < modes.OP:
            self.answer(client, f"Only an operator of {channel.name} may register it.")
        else:
            channel.founder = client.folded_account
            channel.access[client.folded_account] = "q"
            channel.flags.add("r")
            self._give(channel, client, "q", add=True)
            self._announce(channel, [Change(add=True, mode="r")])
            self.answer(client, f"{channel.name} is yours, and stays.")

    def on_drop(self, client: Client, channel: Channel, words: list[str]) -> None:
        if self._owns(client, channel):
            channel.founder = ""
            channel.access.clear()
            channel.flags.discard("r")
            self._announce(channel, [Change(add=False, mode="r")])
            if not channel.members:
                self.network.channels.pop(fold(channel.name), None)
            self.answer(client, f"{channel.name} is nobody's now.")

    def on_access(self, client: Client, channel: Channel, words: list[str]) -> None:
        action = words[0].upper() if words else "LIST"
        if not self._owns(client, channel):
            return
        if action == "ADD" and len(words) == 3 and words[2] in {"v", "h", "o", "a"}:
            account = self.network.accounts.get(words[1])
            if account is None:
                self.answer(client, f"There is no account {words[1]}.")
                return
            channel.access[fold(account.name)] = words[2]
            self.answer(client, f"{account.name} gets +{words[2]} on joining {channel.name}.")
        elif action == "DEL" and len(words) == 2 and fold(words[1]) in channel.access:
            del channel.access[fold(words[1])]
            self.answer(client, f"{words[1]} is off the list of {channel.name}.")
        elif action == "LIST":
            self.answer(client, "\n".join(f"{name} +{held}" for name, held in channel.access.items()) or "Nobody.")
        else:
            self.answer(client, "ACCESS #channel LIST | ADD account v|h|o|a | DEL account")

    def on_info(self, client: Client, channel: Channel, words: list[str]) -> None:
        founder = self.network.accounts.get(channel.founder) if channel.founder else None
        whose = f"registered by {founder.name}" if founder else "not registered"
        self.answer(client, f"{channel.name}: {whose}, made {self.network.readable(channel.created)}")

    def on_op(self, client: Client, channel: Channel, words: list[str]) -> None:
        self._change(client, channel, words, "o", add=True)

    def on_deop(self, client: Client, channel: Channel, words: list[str]) -> None:
        self._change(client, channel, words, "o", add=False)

    def on_voice(self, client: Client, channel: Channel, words: list[str]) -> None:
        self._change(client, channel, words, "v", add=True)

    def on_devoice(self, client: Client, channel: Channel, words: list[str]) -> None:
        self._change(client, channel, words, "v", add=False)

    def _change(self, client: Client, channel: Channel, words: list[str], mode: str, *, add: bool) -> None:
        rank = modes.top_rank(channel.access.get(client.folded_account, "")) if client.account else 0
        person = self.network.find(words[0]) if words else client
        if rank < modes.OP and not client.is_oper:
            self.answer(client, f"You are not an operator on the list of {channel.name}.")
        elif person is None or person not in channel.members:
            self.answer(client, "They are not in the channel.")
        else:
            self._give(channel, person, mode, add=add)

    def _give(self, channel: Channel, person: Client, mode: str, *, add: bool) -> None:
        held = channel.members[person]
        changed = modes.with_mode(held, mode, add=add)
        if changed != held:
            channel.members[person] = changed
            self._announce(channel, [Change(add, mode, person.nick)])

    def _announce(self, channel: Channel, changes: list[Change]) -> None:
        if self.client:
            out = self.network.outgoing(self.client, "MODE", channel.name, *modes.format_changes(changes))
            self.network.spread(channel.members, out)
