"""A channel: who is in it, what is set on it, who may do what. No I/O.

The members are connections and end with the process; the rest is saved with the space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import modes
from .history import History
from .names import address_matches, fold, full_mask, matches

if TYPE_CHECKING:
    from .client import Client

EXTBAN_PREFIX = "~"
EXTBANS = "amr"  # account, mute, real name


@dataclass
class Entry:
    """One line of a ban, exception or invite list."""

    mask: str
    setter: str
    time: int


@dataclass
class Topic:
    text: str = ""
    setter: str = ""
    time: int = 0


class Channel:
    """One channel.

    Across a rebuild: the same object, members and all.
    In a snapshot: everything but the members, who are connections.
    """

    __transient__ = ("members",)

    #: Who is here, with their member modes, highest first ("o", "ov", "").
    members: dict[Client, str]

    def __init__(self, name: str, created: float) -> None:
        self.name = name
        self.created = int(created)
        self.topic = Topic()
        self.flags: set[str] = set()
        self.key = ""
        self.limit = 0
        self.lists: dict[str, list[Entry]] = {mode: [] for mode in modes.LIST_MODES}
        self.history = History()
        self.founder = ""  # folded account name; with it, the channel is registered
        self.access: dict[str, str] = {}  # folded account name -> member modes given on joining
        self.metadata: dict[str, str] = {}
        self.members = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.members = {}

    def __repr__(self) -> str:
        return f"<Channel {self.name}, {len(self.members)} members, +{''.join(sorted(self.flags))}>"

    @property
    def registered(self) -> bool:
        return bool(self.founder)

    @property
    def stays(self) -> bool:
        """Whether it goes on without members."""
        return self.registered or "P" in self.flags

    @property
    def hidden(self) -> bool:
        """Whether those outside are not told of it."""
        return "s" in self.flags or "p" in self.flags

    def rank(self, client: Client) -> int:
        return modes.top_rank(self.members.get(client, ""))

    def visible_to(self, client: Client) -> bool:
        return not self.hidden or client in self.members or "o" in client.modes

    # --- lists

    def covered(self, mode: str, client: Client) -> bool:
        """Tell whether an entry of a list applies to a client; mutes do not keep anybody out."""
        return any(covers(entry.mask, client) for entry in self.lists[mode])

    def banned(self, client: Client) -> bool:
        return self.covered("b", client) and not self.covered("e", client)

    def muted(self, client: Client) -> bool:
        """Tell whether a ban or a mute keeps a client from speaking here."""
        for entry in self.lists["b"]:
            kind, value = split_extban(entry.mask)
            if covers(full_mask(value) if kind == "m" else entry.mask, client):
                return not self._excepted(client)
        return False

    def _excepted(self, client: Client) -> bool:
        for entry in self.lists["e"]:
            kind, value = split_extban(entry.mask)
            if covers(full_mask(value) if kind == "m" else entry.mask, client):
                return True
        return False

    def find_entry(self, mode: str, mask: str) -> Entry | None:
        wanted = fold(mask)
        return next((entry for entry in self.lists[mode] if fold(entry.mask) == wanted), None)

    # --- what somebody may do

    def may_speak(self, client: Client) -> bool:
        member_modes = self.members.get(client)
        if member_modes:
            return True
        if member_modes is None and "n" in self.flags:
            return False
        if "m" in self.flags or ("M" in self.flags and not client.account):
            return False
        return not (self.lists["b"] and self.muted(client))

    def mode_letters(self, *, with_key: bool) -> list[str]:
        """Return letters and parameters as RPL_CHANNELMODEIS shows them."""
        letters = "".join(sorted(self.flags))
        params = []
        if self.key:
            letters += "k"
            params.append(self.key if with_key else "*")
        if self.limit:
            letters += "l"
            params.append(str(self.limit))
        return [f"+{letters}", *params]


def split_extban(mask: str) -> tuple[str, str]:
    """Return ("a", "ann") for "~a:ann", and ("", mask) for an ordinary mask."""
    if len(mask) > 2 and mask[0] == EXTBAN_PREFIX and mask[2] == ":" and mask[1] in EXTBANS:
        return mask[1], mask[3:]
    return "", mask


def clean_mask(mask: str) -> str:
    """Return the mask as it is stored: short ones completed, extended ones as they are."""
    kind, value = split_extban(mask)
    if kind == "m":
        return f"{EXTBAN_PREFIX}m:{full_mask(value)}"
    return mask if kind else full_mask(mask)


def covers(mask: str, client: Client) -> bool:
    """Tell whether a stored mask applies to a client, by cloak, real host or address."""
    kind, value = split_extban(mask)
    if kind == "a":
        return bool(client.account) and matches(value, client.account)
    if kind == "r":
        return matches(value, client.realname)
    if kind == "m":
        return False
    if any(matches(mask, f"{client.nick}!{client.user}@{host}") for host in client.hosts):
        return True
    who, _, network = mask.rpartition("@")
    return "/" in network and matches(who, f"{client.nick}!{client.user}") and address_matches(network, client.address)
