"""Who somebody is: WHO and WHOX, WHOIS, WHOWAS, USERHOST, ISON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import modes
from .. import numerics as n
from ..isupport import TARGETS
from ..names import address_matches, fold, is_channel, matches
from . import metadata

if TYPE_CHECKING:
    from ..channel import Channel
    from ..client import Client
    from ..message import Message
    from ..network import Network

#: People in one WHO: more would fill what a client may leave unread.
FOUND = 1000

# The order of WHOX fields is fixed, whatever the order in which they were asked for.
_WHOX_ORDER = "tcuihsnfdlaor"


def cmd_who(net: Network, client: Client, message: Message) -> None:
    mask, options = message.get(0), message.get(1)
    fields, _, token = options.partition("%")[2].partition(",")
    whox = fields if "%" in options else None
    opers_only = "o" in options.partition("%")[0]
    if is_channel(mask):
        _who_channel(net, client, mask, whox, token, opers_only=opers_only)
    else:
        for person in _who_matches(net, client, mask or "*"):
            if not opers_only or person.is_oper:
                _who_line(net, client, None, person, whox, token)
    client.reply(n.RPL_ENDOFWHO, mask or "*")


def _who_channel(net: Network, client: Client, name: str, whox: str | None, token: str, *, opers_only: bool) -> None:
    channel = net.channel(name)
    if channel is None or not channel.visible_to(client):
        return
    inside = client in channel.members or client.is_oper
    for member in channel.members:
        if (inside or "i" not in member.modes) and (not opers_only or member.is_oper):
            _who_line(net, client, channel, member, whox, token)


def _who_matches(net: Network, client: Client, mask: str) -> list[Client]:
    """Return those that a mask covers; a nickname finds even the invisible."""
    if exact := net.find(mask):
        return [exact]
    wanted = "*" if mask == "0" else mask
    known = net.peers(client) | {client}
    found = []
    for person in net.users():
        if "i" in person.modes and person not in known and not client.is_oper:
            continue
        names = [person.nick, person.user, person.host, person.realname, net.name]
        if client.is_oper:
            names += [person.real_host, person.address]
        if any(matches(wanted, name) for name in names):
            found.append(person)
        if len(found) == FOUND:
            client.notice(f"Only the first {FOUND} are shown: ask for fewer")
            break
    return found


def _flags(client: Client, channel: Channel | None, person: Client) -> str:
    flags = "G" if person.away else "H"
    if person.is_oper:
        flags += "*"
    if channel:
        flags += modes.signs(channel.members[person], every="multi-prefix" in client.caps)
    return flags + ("B" if "B" in person.modes else "")


def _who_line(
    net: Network, client: Client, channel: Channel | None, person: Client, whox: str | None, token: str
) -> None:
    where = channel.name if channel else "*"
    flags = _flags(client, channel, person)
    if whox is None:
        text = f"0 {person.realname}"
        client.reply(n.RPL_WHOREPLY, where, person.user, person.host, net.name, person.nick, flags, text=text)
        return
    seen = person.address if client.is_oper or client is person else "255.255.255.255"
    values = {
        "t": token or "0",
        "c": where,
        "u": person.user,
        "i": seen,
        "h": person.host,
        "s": net.name,
        "n": person.nick,
        "f": flags,
        "d": "0",
        "l": "0" if person.is_bot else str(int(net.now() - person.last_spoke)),
        "a": person.account or "0",
        "o": "n/a",
    }
    asked = [values[field] for field in _WHOX_ORDER if field in whox and field in values]
    client.reply(n.RPL_WHOSPCRPL, *asked, text=person.realname if "r" in whox else None)


# --- WHOIS


def cmd_whois(net: Network, client: Client, message: Message) -> None:
    if not message.params or not message.params[-1]:
        client.reply(n.ERR_NONICKNAMEGIVEN)
        return
    if len(message.params) > 1 and not (matches(message.params[0], net.name) or net.find(message.params[0])):
        client.reply(n.ERR_NOSUCHSERVER, message.params[0])
        return
    nick = message.params[1 if len(message.params) > 1 else 0].split(",")[0]
    person = net.find(nick)
    if person is None:
        client.reply(n.ERR_NOSUCHNICK, nick)
    else:
        whois(net, client, person)
    client.reply(n.RPL_ENDOFWHOIS, person.nick if person else nick)


def whois(net: Network, client: Client, person: Client) -> None:
    nick = person.nick
    client.reply(n.RPL_WHOISUSER, nick, person.user, person.host, "*", text=person.realname)
    if channels := _shown_channels(client, person):
        for line in _wrap(channels, 350):
            client.reply(n.RPL_WHOISCHANNELS, nick, text=line)
    client.reply(n.RPL_WHOISSERVER, nick, net.name, text=net.title)
    if person.away:
        client.reply(n.RPL_AWAY, nick, text=person.away)
    if person.is_oper:
        client.reply(n.RPL_WHOISOPERATOR, nick, text="is an IRC operator")
    if person.account:
        client.reply(n.RPL_WHOISACCOUNT, nick, person.account, text="is logged in as")
    if "B" in person.modes:
        client.reply(n.RPL_WHOISBOT, nick, text=f"is a bot on {net.title}")
    if person.secure:
        client.reply(n.RPL_WHOISSECURE, nick)
    if client is person or client.is_oper:
        client.reply(
            n.RPL_WHOISHOST, nick, text=f"is connecting from {person.user}@{person.real_host} {person.address}"
        )
        if person.certfp:
            client.reply(n.RPL_WHOISCERTFP, nick, text=f"has client certificate fingerprint {person.certfp}")
    if metadata.has(client):
        for key, value in metadata.values_of(net, person).items():
            client.reply(n.RPL_WHOISKEYVALUE, nick, key, "*", text=value)
    idle = str(int(net.now() - person.last_spoke))
    client.reply(n.RPL_WHOISIDLE, nick, idle, str(int(person.connected)), text="seconds idle, signon time")


def _shown_channels(client: Client, person: Client) -> list[str]:
    shown = []
    for channel in person.channels:
        common = client in channel.members or client.is_oper or client is person
        if common or not (channel.hidden or "i" in person.modes):
            shown.append(modes.signs(channel.members[person], every="multi-prefix" in client.caps) + channel.name)
    return shown


def _wrap(words: list[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1].encode()) + len(word.encode()) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


# --- WHOWAS


def cmd_whowas(net: Network, client: Client, message: Message) -> None:
    if not message.get(0):
        client.reply(n.ERR_NONICKNAMEGIVEN)
        return
    wanted = message.params[0]
    try:
        limit = int(message.get(1, "0"))
    except ValueError:
        limit = 0
    nicks = wanted.split(",")[: TARGETS["WHOWAS"]]
    found = [was for was in net.whowas if any(matches(nick, was.nick) for nick in nicks)]
    for was in found[:limit] if limit > 0 else found:
        client.reply(n.RPL_WHOWASUSER, was.nick, was.user, was.host, "*", text=was.realname)
        when = f"{net.readable(was.time)}"
        client.reply(n.RPL_WHOISSERVER, was.nick, net.name, text=when)
        if client.is_oper:
            client.reply(n.RPL_WHOISACTUALLY, was.nick, was.address, text="was connecting from")
    if not found:
        client.reply(n.ERR_WASNOSUCHNICK, wanted)
    client.reply(n.RPL_ENDOFWHOWAS, wanted)


# --- USERHOST, ISON


def cmd_userhost(net: Network, client: Client, message: Message) -> None:
    replies = []
    for nick in message.params[:5]:
        if person := net.find(nick):
            host = person.real_host if person is client or client.is_oper else person.host
            oper, away = "*" if person.is_oper else "", "-" if person.away else "+"
            replies.append(f"{person.nick}{oper}={away}{person.user}@{host}")
    client.reply(n.RPL_USERHOST, text=" ".join(replies))


def cmd_ison(net: Network, client: Client, message: Message) -> None:
    nicks = [nick for param in message.params for nick in param.split()]
    there = [person.nick for nick in nicks if (person := net.find(nick))]
    client.reply(n.RPL_ISON, text=" ".join(there))


def by_mask(net: Network, mask: str) -> list[Client]:
    """Return the users whose user@host or address a mask covers, as KLINE means it."""
    _, _, host = mask.rpartition("@")
    found = []
    for person in net.connections:
        if person.is_bot:
            continue
        names = (f"{person.user}@{each}" for each in person.hosts)
        if any(matches(mask, name) for name in names) or (
            mask.startswith("*@") and address_matches(fold(host), person.address)
        ):
            found.append(person)
    return found
