"""NickServ: accounts, by talking to somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import accounts
from .bots import Bot, Said
from .names import fold

if TYPE_CHECKING:
    from .accounts import Hashed, Scram
    from .client import Client
    from .network import Network

_HELP = """\
REGISTER password [email] - make an account of your nickname
IDENTIFY [account] password - log in
LOGOUT - log out
PASSWD new-password - change your password
GHOST nick - disconnect somebody who uses your nickname or is logged in as you
CERT ADD | CERT DEL fingerprint | CERT LIST - log in by TLS certificate (SASL EXTERNAL)
INFO [account] - what is known of an account
DROP account - remove your account for good"""


class NickServ(Bot):
    """Makes accounts and logs people in. What people say to it is never relayed or kept."""

    nick = "NickServ"
    user = "services"
    realname = "Nickname service"
    confidential = True

    def heard(self, said: Said) -> None:
        client = said.who
        if not said.private or said.notice or client is None:
            return
        word, _, rest = said.text.strip().partition(" ")
        method = getattr(self, f"on_{word.lower()}", None) if word.isalpha() else None
        if method is None:
            self.notice(client.nick, f"I do not know {word[:30]}; say HELP")
        else:
            method(client, rest.split())

    def answer(self, client: Client, text: str) -> None:
        self.notice(client.nick, text)

    def on_help(self, client: Client, words: list[str]) -> None:
        self.answer(client, _HELP)

    def on_register(self, client: Client, words: list[str]) -> None:
        from .commands.account import refuse_registration

        if not words:
            self.answer(client, "REGISTER password [email]")
        elif refusal := refuse_registration(self.network, client, client.nick, words[0]):
            self.answer(client, f"{refusal[1]}.")
        else:
            self.network.offload(client, accounts.make_both, (words[0],), "then_service", self.nick, "registered")

    def registered(self, client: Client, keys: tuple[Hashed, Scram]) -> None:
        from .commands.account import make_account

        if client.nick in self.network.accounts:
            self.answer(client, "That name is taken.")
            return
        make_account(self.network, client.nick, keys, client.address)
        self.network.set_account(client, client.nick)
        self.answer(client, f"Account {client.nick} made; you are logged in. Your nickname is yours from now on.")

    def on_identify(self, client: Client, words: list[str]) -> None:
        if not words:
            self.answer(client, "IDENTIFY [account] password")
            return
        name, password = (client.nick, words[0]) if len(words) == 1 else (words[0], words[1])
        if self.network.throttled(client):
            self.answer(client, "Too many failed attempts from your address; try again later.")
            return
        account = self.network.accounts.get(name)
        job = (account.password if account else None, password)
        self.network.offload(client, accounts.verify, job, "then_service", self.nick, "identified", name)

    def identified(self, client: Client, right: bool, name: str) -> None:
        account = self.network.accounts.get(name)
        if right and account:
            self.network.set_account(client, account.name)
            self.answer(client, f"You are now logged in as {account.name}.")
        else:
            self.network.failed(client)
            self.answer(client, "Wrong password, or no such account.")

    def on_logout(self, client: Client, words: list[str]) -> None:
        if client.account:
            self.network.set_account(client, "")
        else:
            self.answer(client, "You are not logged in.")

    def on_passwd(self, client: Client, words: list[str]) -> None:
        from .commands.account import PASSWORD_LEAST

        if not client.account:
            self.answer(client, "Log in first.")
        elif not words or not len(words[0]) >= PASSWORD_LEAST or len(words[0].encode()) > accounts.PASSWORD_LIMIT:
            self.answer(client, f"A password has {PASSWORD_LEAST} characters to {accounts.PASSWORD_LIMIT} bytes.")
        else:
            self.network.offload(client, accounts.make_both, (words[0],), "then_service", self.nick, "changed")

    def changed(self, client: Client, keys: tuple[Hashed, Scram]) -> None:
        if account := self.network.accounts.get(client.account):
            account.password, account.scram = keys
            self.answer(client, "Password changed.")

    def on_ghost(self, client: Client, words: list[str]) -> None:
        other = self.network.find(words[0]) if words else None
        if other is None or other is client or not client.account:
            self.answer(client, "GHOST nick, for somebody else, when you are logged in.")
        elif client.folded_account in {other.folded, other.folded_account}:
            self.network.drop(other, f"GHOST by {client.nick}")
            self.answer(client, f"{other.nick} is disconnected.")
        else:
            self.answer(client, f"{other.nick} is not yours.")

    def on_cert(self, client: Client, words: list[str]) -> None:
        account = self.network.accounts.get(client.account) if client.account else None
        action = words[0].upper() if words else "LIST"
        if account is None:
            self.answer(client, "Log in first.")
        elif action == "ADD" and client.certfp:
            if client.certfp not in account.certfps:
                account.certfps.append(client.certfp)
            self.answer(client, f"Certificate {client.certfp} logs you in.")
        elif action == "ADD":
            self.answer(client, "You have connected without a certificate.")
        elif action == "DEL" and len(words) > 1 and words[1] in account.certfps:
            account.certfps.remove(words[1])
            self.answer(client, "Certificate removed.")
        else:
            self.answer(client, "\n".join(account.certfps) or "No certificates.")

    def on_info(self, client: Client, words: list[str]) -> None:
        name = words[0] if words else client.account or client.nick
        account = self.network.accounts.get(name)
        if account is None:
            self.answer(client, f"There is no account {name}.")
            return
        self.answer(client, f"{account.name}: made {self.network.readable(account.created)}")
        own = client.is_oper or client.folded_account == fold(account.name)
        if own and account.last_seen:
            self.answer(client, f"last login {self.network.readable(account.last_seen)}")

    def on_drop(self, client: Client, words: list[str]) -> None:
        name = words[0] if words else ""
        if not client.account or (fold(name) != client.folded_account and not client.is_oper):
            self.answer(client, "DROP account: say its name, to be sure, when you are logged in to it.")
        elif name not in self.network.accounts:
            self.answer(client, f"There is no account {name}.")
        else:
            self._drop(name)
            self.answer(client, f"Account {name} is gone.")

    def _drop(self, name: str) -> None:
        network: Network = self.network
        network.accounts.remove(name)
        for channel in list(network.channels.values()):
            channel.access.pop(fold(name), None)
            if channel.founder == fold(name):
                channel.founder = ""
                channel.flags.discard("r")
                if not channel.members:
                    del network.channels[fold(channel.name)]
        for session in network.logged_in(name):
            network.set_account(session, "")
