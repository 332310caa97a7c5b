"""The network: everybody and everything on this server, and what befalls them. No I/O.

What lasts (accounts, channels, bans, history) is saved with the space; who is connected is not. The commands in
`commands/` change it, `server.py` carries the bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from midair.version import __version__

from . import modes, numerics
from .accounts import Accounts
from .channel import Channel
from .client import Client, Outgoing
from .history import History, Item
from .message import format_line
from .names import address_matches, fold, matches

if TYPE_CHECKING:
    from .accounts import Hashed
    from .bots import Bot, BotClient

#: The capability, and its name while it was a draft.
EXTENDED_MONITOR = {"extended-monitor", "draft/extended-monitor"}

WHOWAS_KEPT = 1000
CONVERSATIONS_KEPT = 5000
BOT_EVENTS, BOT_ANSWERS = 1000, 100  # lines that bots hear in one go, and of those in answer to one another
FAILURES_ALLOWED, FAILURES_WITHIN = 10, 600.0  # wrong passwords from one address, in so many seconds
ACCOUNTS_ALLOWED, ACCOUNTS_WITHIN = 5, 3600.0  # new accounts likewise


@dataclass
class Settings:
    """What an administrator may change while the server runs; each takes effect at once."""

    max_channels: int = 100  # that one client may join
    max_per_address: int = 50  # connections; loopback and operators' exempt addresses excepted
    max_clients: int = 20_000
    register_within: float = 60.0  # seconds to complete NICK and USER
    ping_after: float = 120.0  # seconds of silence before a PING
    drop_after: float = 240.0  # seconds of silence before the end
    burst: int = 200  # lines at once before flood control begins to hold a client back
    rate: float = 20.0  # lines a second then
    monitor_limit: int = 100
    invite_limit: int = 100
    empty_for: float = 3600.0  # seconds that an unregistered channel waits empty after a restart
    cloak: bool = True
    sts_port: int = 0
    sts_duration: int = 0  # seconds; 0: STS is not announced
    exempt: list[str] = field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])


#: Before the nickname of somebody without an account, in the name of a conversation; no nickname holds it.
STRANGER = "?"


class Tally:
    """Counts what each address did within a while, and forgets.

    Args:
        allowed: how often is still fine.
        within: seconds after which an address starts anew.
    """

    def __init__(self, allowed: int, within: float) -> None:
        self._allowed, self._within = allowed, within
        self._seen: dict[str, tuple[int, float]] = {}

    def add(self, address: str, now: float) -> None:
        count, since = self._seen.pop(address, (0, now))
        self._seen[address] = (1, now) if now - since > self._within else (count + 1, since)
        if len(self._seen) > 10_000:
            del self._seen[next(iter(self._seen))]

    def full(self, address: str, now: float) -> bool:
        count, since = self._seen.get(address, (0, 0.0))
        return count >= self._allowed and now - since < self._within


@dataclass
class Was:
    """Somebody who had a nickname before."""

    nick: str
    user: str
    host: str
    realname: str
    account: str
    time: float
    address: str = ""


@dataclass
class Kline:
    """A ban from the server."""

    mask: str
    reason: str
    setter: str
    time: float
    expires: float = 0.0  # seconds since 1970; 0: never


class Network:
    """All that this server knows.

    In a snapshot: everything but those who are connected. After a restart channels, topics, modes, lists, accounts
    and history are there; every nickname that is not registered is free.
    """

    __transient__ = (
        "acting",
        "carrier",
        "clients",
        "connections",
        "dirty",
        "failures",
        "made",
        "monitors",
        "offered",
        "peak",
        "pending",
        "started",
        "worker",
    )

    #: Registered clients and bots by folded nick.
    clients: dict[str, Client]
    #: Everybody connected, registered or not.
    connections: set[Client]
    #: Clients with lines to write.
    dirty: list[Client]
    #: Whose command runs now.
    acting: Client | None
    #: Runs slow work elsewhere: called with client, job, args, then, context. None: at once, here.
    worker: Callable[..., None] | None
    #: The service that carries all this; None in tests without one.
    carrier: Any
    #: Who wants to hear of a nickname, by folded nick.
    monitors: dict[str, set[Client]]
    #: The capabilities that clients have been told of.
    offered: set[str]
    #: Wrong passwords, and accounts made, by address.
    failures: Tally
    made: Tally
    #: What bots have been sent and not looked at yet.
    pending: deque[tuple[BotClient, Outgoing]]

    def __init__(self, name: str = "irc.localhost", title: str = "midair") -> None:
        self.name, self.title = name, title
        self.created = time.time()
        self.motd: list[str] = []
        self.admin = ["An administrator has not been named", "", ""]
        self.password: Hashed | None = None  # of the server: clients give it by PASS
        self.opers: dict[str, Hashed] = {}
        self.settings = Settings()
        self.accounts = Accounts()
        self.channels: dict[str, Channel] = {}
        self.bots: dict[str, Bot] = {}
        self.whowas: deque[Was] = deque(maxlen=WHOWAS_KEPT)
        self.klines: list[Kline] = []
        self.conversations: dict[str, History] = {}
        self.cloak_key = secrets.token_bytes(16)
        self._begin()

    def _begin(self) -> None:
        self.clients, self.connections, self.dirty, self.monitors = {}, set(), [], {}
        self.pending = deque()
        self.failures = Tally(FAILURES_ALLOWED, FAILURES_WITHIN)
        self.made = Tally(ACCOUNTS_ALLOWED, ACCOUNTS_WITHIN)
        self.acting = self.worker = self.carrier = None
        self.peak = 0
        self.offered = set()
        self.started = self.now()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __repr__(self) -> str:
        return f"<Network {self.title} ({self.name}), {len(self.clients)} clients, {len(self.channels)} channels>"

    @staticmethod
    def now() -> float:
        """The wall clock, in seconds since 1970."""
        return time.time()

    @staticmethod
    def new_id() -> str:
        """Return a name for a message or a batch that nobody had before."""
        return f"{_stamp}{next(_ids):x}"

    # --- what it says of itself

    @property
    def version(self) -> str:
        return f"midair-{__version__}"

    @property
    def created_text(self) -> str:
        return self.readable(self.created)

    @property
    def user_modes(self) -> str:
        return modes.USER_MODES

    @property
    def channel_modes(self) -> str:
        return modes.LIST_MODES + modes.KEY_MODES + modes.LIMIT_MODES + modes.FLAG_MODES + modes.MEMBER_MODES

    @property
    def modes_with_parameter(self) -> str:
        return modes.LIST_MODES + modes.KEY_MODES + modes.LIMIT_MODES + modes.MEMBER_MODES

    @staticmethod
    def readable(at: float) -> str:
        """Return a moment for people: Sun 2026-01-04 13:14:15 UTC."""
        return time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(at))

    def server_line(self, command: str, *params: str, text: str | None = None) -> Outgoing:
        """Return a line that the server says, ready for many receivers."""
        return Outgoing(format_line(self.name, command, params, text), at=self.now())

    # --- finding

    def find(self, nick: str) -> Client | None:
        return self.clients.get(fold(nick))

    def channel(self, name: str) -> Channel | None:
        return self.channels.get(fold(name))

    def users(self) -> list[Client]:
        """Everybody registered, bots excepted."""
        return [client for client in self.clients.values() if not client.is_bot]

    def logged_in(self, account: str) -> list[Client]:
        wanted = fold(account)
        return [client for client in self.connections if client.account and client.folded_account == wanted]

    def peers(self, client: Client) -> set[Client]:
        """Everybody who shares a channel with a client, the client excepted."""
        found: set[Client] = set()
        for channel in client.channels:
            found.update(channel.members)
        found.discard(client)
        return found

    # --- coming

    def connect(self, address: str, *, secure: bool = False, certfp: str = "") -> Client:
        """Take in a connection; the client is not registered yet."""
        client = Client(self, address, secure=secure, certfp=certfp)
        client.host = self.cloak(address) if self.settings.cloak else address
        self.connections.add(client)
        return client

    def refusal(self, address: str) -> str:
        """Return why a connection from this address is not taken, or ""."""
        settings = self.settings
        if len(self.connections) >= settings.max_clients:
            return f"the server is full ({settings.max_clients} connections)"
        if kline := self.kline_for(f"*@{address}", address):
            return f"you are banned from this server: {kline.reason}"
        if self.exempt(address):
            return ""
        held = sum(client.address == address for client in self.connections)
        if held >= settings.max_per_address:
            return f"too many connections from your address ({held}, at most {settings.max_per_address})"
        return ""

    def exempt(self, address: str) -> bool:
        """Tell whether limits by address are not for this one."""
        return any(address_matches(mask, address) for mask in self.settings.exempt)

    def cloak(self, address: str) -> str:
        """Return a host that hides an address; one network shares the end of it, so that bans can be wide."""
        try:
            packed = ip_address(address).packed
        except ValueError:
            return "local.user"
        widths = (4, 3, 2) if len(packed) == 4 else (16, 8, 6)
        parts = (
            hmac.new(self.cloak_key, packed[:width] + bytes([width]), hashlib.sha256).hexdigest()[:8]
            for width in widths
        )
        return f"{'.'.join(parts)}.ip"

    def kline_for(self, mask: str, address: str) -> Kline | None:
        """Return the server ban that covers user@host or the address; those that ran out are dropped."""
        now = self.now()
        self.klines = [kline for kline in self.klines if not kline.expires or kline.expires > now]
        for kline in self.klines:
            _, _, host = kline.mask.rpartition("@")
            if matches(kline.mask, mask) or (kline.mask.startswith("*@") and address_matches(host, address)):
                return kline
        return None

    # --- going

    def drop(self, client: Client, reason: str, *, farewell: bool = True) -> None:
        """End a client: tell it, tell the others, forget it. A second call does nothing."""
        if client.closing:
            return
        if farewell:
            client.captured = None
            client.label = ""
            client.send("", "ERROR", text=f"Closing link: {client.address} ({reason})")
        client.closing = reason or "closed"
        if client.registered:
            self._leave_all(client, reason)
            self.remember(client)
            self._gone(client)
        self.connections.discard(client)
        for folded in client.monitoring:
            self.monitors.get(folded, set()).discard(client)
        if client.connection is not None:
            client.connection.end(client)

    def _leave_all(self, client: Client, reason: str) -> None:
        out = self.outgoing(client, "QUIT", text=reason)
        for peer in self.peers(client):
            peer.deliver(out)
        for channel in list(client.channels):
            self.record(channel, client, "QUIT", text=reason, out=out)
            self.leave(channel, client)

    def _gone(self, client: Client) -> None:
        if self.clients.get(client.folded) is client:
            del self.clients[client.folded]
            self.tell_monitors(client.folded, online=None, shown=client.nick)

    def leave(self, channel: Channel, client: Client) -> None:
        """Take a client out of a channel without telling anybody; an empty channel ends unless it stays."""
        channel.members.pop(client, None)
        client.channels.pop(channel, None)
        if not channel.members and not channel.stays:
            self.channels.pop(fold(channel.name), None)

    def remember(self, client: Client) -> None:
        """Keep a nickname for WHOWAS."""
        self.whowas.appendleft(
            Was(client.nick, client.user, client.host, client.realname, client.account, self.now(), client.address)
        )

    # --- between processes

    def take_over(self, address: str, state: dict[str, Any], *, secure: bool, certfp: str) -> Client:
        """Put a client back that was packed in another process, where it was; nobody is told, for nothing happened."""
        client = Client(self, address, secure=secure, certfp=certfp)
        client.unpack(state)
        self.connections.add(client)
        if client.registered:
            self.clients[client.folded] = client
            self.peak = max(self.peak, len(self.clients) - len(self.bots))
        for name, held in state["channels"].items():
            channel = self.channels.get(fold(name)) or Channel(name, self.now())
            self.channels[fold(name)] = channel
            channel.members[client] = held
            client.channels[channel] = None
        for name in state["invited"]:
            if inviting := self.channels.get(fold(name)):
                client.invited[inviting] = None
        for folded in client.monitoring:
            self.monitors.setdefault(folded, set()).add(client)
        return client

    # --- changes that others see

    def outgoing(
        self,
        client: Client,
        command: str,
        *params: str,
        text: str | None = None,
        tags: dict[str, str] | None = None,
        ident: bool = False,
    ) -> Outgoing:
        """Return a line that a client says, ready for many receivers; ident gives it a message id."""
        return Outgoing(
            format_line(client.prefix, command, params, text),
            account=client.account,
            msgid=self.new_id() if ident else "",
            tags=tags,
            bot="B" in client.modes,
            at=self.now(),
        )

    @staticmethod
    def spread(receivers: Iterable[Client], out: Outgoing, *, cap: str = "", but: Client | None = None) -> None:
        """Deliver a line to all receivers, only those with the capability if one is named."""
        for receiver in receivers:
            if receiver is not but and (not cap or cap in receiver.caps):
                receiver.deliver(out)

    def fan_out(self, receivers: Iterable[Client], out: Outgoing, *, but: Client | None = None) -> None:
        """Deliver a line to many at once: what `deliver_apart` does for one, with as little as can be for each."""
        dirty = self.dirty
        idle = not dirty
        for receiver in receivers:
            if receiver is but:
                continue
            if receiver.is_bot:
                receiver.deliver_apart(out)
                continue
            lines = receiver.out
            if not lines:
                dirty.append(receiver)
            lines.append(out.encoded(receiver.tagset))
        if idle and dirty and self.carrier is not None:
            self.carrier.wake()

    def tell_peers(self, client: Client, out: Outgoing, cap: str) -> None:
        """Tell everybody with the capability who shares a channel, or monitors with extended-monitor."""
        receivers = self.peers(client)
        watching = self.monitors.get(client.folded, set())
        receivers.update(watcher for watcher in watching if not EXTENDED_MONITOR.isdisjoint(watcher.caps))
        receivers.discard(client)
        self.spread(receivers, out, cap=cap)

    def rename(self, client: Client, nick: str) -> None:
        """Give a registered client another nickname and tell everybody concerned."""
        out = self.outgoing(client, "NICK", text=nick)
        self.remember(client)
        receivers = self.peers(client) | {client}
        before, shown = client.folded, client.nick
        del self.clients[before]
        client.nick, client.folded = nick, fold(nick)
        self.clients[client.folded] = client
        self.spread(receivers, out)
        for channel in client.channels:
            self.record(channel, client, "NICK", text=nick, out=out)
        if before != client.folded:
            self.tell_monitors(before, online=None, shown=shown)
            self.tell_monitors(client.folded, online=client, shown=nick)

    def tell_monitors(self, folded: str, *, online: Client | None, shown: str) -> None:
        for watcher in list(self.monitors.get(folded, ())):
            if online:
                watcher.reply(numerics.RPL_MONONLINE, text=online.prefix)
            else:
                watcher.reply(numerics.RPL_MONOFFLINE, text=shown)

    def change_host(self, client: Client, user: str, host: str) -> None:
        """Show a client under another user@host."""
        if (user, host) == (client.user, client.host):
            return
        out = self.outgoing(client, "CHGHOST", user, host)
        client.user, client.host = user, host
        if client.registered:
            self.tell_peers(client, out, "chghost")
            if "chghost" in client.caps:
                client.deliver(out)
            client.reply(numerics.RPL_VISIBLEHOST, host, text="is now your displayed host")

    def set_account(self, client: Client, account: str) -> None:
        """Log a client in, or out with ""; the reply that says so is sent too."""
        client.account = account
        if account:
            client.modes.add("r")
            self.accounts.seen(account, self.now())
            who = client.prefix if client.nick else "*"
            client.reply(
                numerics.RPL_LOGGEDIN,
                who if client.user else f"{client.nick or '*'}!*@{client.host}",
                account,
                text=f"You are now logged in as {account}",
            )
        else:
            client.modes.discard("r")
            client.reply(numerics.RPL_LOGGEDOUT, client.prefix if client.user else "*!*@*")
        if client.registered:
            out = self.outgoing(client, "ACCOUNT", account or "*")
            self.tell_peers(client, out, "account-notify")
            if "account-notify" in client.caps:
                client.deliver(out)

    # --- history

    def record(
        self,
        channel: Channel,
        client: Client,
        command: str,
        *params: str,
        out: Outgoing,
        text: str | None = None,
    ) -> None:
        """Keep a message or an event of a channel."""
        channel.history.add(_item(client, command, channel.name, params, out, text))

    def record_private(self, client: Client, target: Client, command: str, out: Outgoing, text: str | None) -> None:
        """Keep a private message when at least one side has an account to come back to.

        What is said to those who take passwords is kept nowhere, and neither are their answers.
        """
        if not (client.account or target.account) or client.confidential or target.confidential:
            return
        key = self.conversation_key(client, target.folded)
        history = self.conversations.pop(key, None) or History()
        history.add(_item(client, command, target.nick, (), out, text))
        self.conversations[key] = history  # now the youngest
        if len(self.conversations) > CONVERSATIONS_KEPT:
            del self.conversations[next(iter(self.conversations))]

    def conversation_key(self, client: Client, other: str) -> str:
        """Return under what name the talk of two is kept.

        Somebody without an account is kept under a mark and the nickname, so that whoever makes an account of that
        name later does not read what was said to another.
        """
        there = self.clients.get(other)
        if there is not None:
            theirs = there.folded_account or f"{STRANGER}{other}"
        else:
            theirs = other if other in self.accounts else f"{STRANGER}{other}"
        mine = client.folded_account or f"{STRANGER}{client.folded}"
        return " ".join(sorted((mine, theirs)))

    def conversation(self, client: Client, other: str) -> History:
        """Return what this client and somebody else said to each other; empty when there is nothing to tell."""
        if not client.account:
            return History()
        found = self.conversations.get(self.conversation_key(client, other))
        if found is None:  # they may have been without an account then
            key = " ".join(sorted((client.folded_account, f"{STRANGER}{other}")))
            found = self.conversations.get(key)
        return History() if found is None else found

    # --- guessing

    def throttled(self, client: Client) -> bool:
        """Tell whether an address has guessed wrong too often of late."""
        return self.failures.full(client.address, self.now())

    def failed(self, client: Client) -> None:
        """Count a wrong password against an address."""
        self.failures.add(client.address, self.now())

    # --- bots

    def settle(self) -> None:
        """Let the bots hear what they have been sent: so much at a time, for they may answer one another."""
        for _ in range(min(len(self.pending) + BOT_ANSWERS, BOT_EVENTS)):
            if not self.pending:
                return
            bot, out = self.pending.popleft()
            bot.hear(out)
        if self.pending and self.carrier is not None:
            self.carrier.wake()

    # --- slow work

    def offload(self, client: Client, job: Callable[..., Any], args: tuple[Any, ...], then: str, *context: Any) -> None:
        """Run job(*args) where it blocks nobody; then the function named `then` gets its result.

        Until that has returned the client's next line waits. The function is looked up by name when its time comes,
        so an edit in between is what runs.
        """
        if self.worker is None:
            self.finish(client, job(*args), then, context)
        else:
            client.busy = True
            self.worker(client, job, args, then, context)

    def finish(self, client: Client, result: Any, then: str, context: tuple[Any, ...]) -> None:
        """Go on with what slow work was done for."""
        from .dispatch import follow_up  # the commands import this module

        client.busy = False
        if not client.closing:
            follow_up(self, client, then, result, context)


def _item(client: Client, command: str, target: str, params: tuple[str, ...], out: Outgoing, text: str | None) -> Item:
    return Item(
        out.msgid, out.at, client.prefix, client.account, command, target, text, params, dict(out.tags or {}), out.bot
    )


# Message ids are the start of this process and a count: short, ordered, never given twice.
_stamp = f"{time.time_ns() // 1_000_000:x}{secrets.token_hex(2)}-"
_ids = itertools.count(1)
