"""For those who run the server: OPER, KILL, KLINE, REHASH, CHGHOST, SAJOIN and their like."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .. import accounts, modes
from .. import numerics as n
from ..names import clip, fold, printable, valid_host
from ..network import Kline
from .channels import enter
from .mode import set_user_mode
from .who import by_mask

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

log = logging.getLogger("midair.irc")


def _denied(client: Client) -> bool:
    if client.is_oper:
        return False
    client.reply(n.ERR_NOPRIVILEGES)
    return True


def cmd_oper(net: Network, client: Client, message: Message) -> None:
    name, password = message.params[0], message.params[1]
    if net.throttled(client):
        client.reply(n.ERR_PASSWDMISMATCH, text="Too many failed attempts from your address; try again later")
    else:
        net.offload(client, accounts.verify, (net.opers.get(name), password), "then_oper", name)


def then_oper(net: Network, client: Client, right: bool, name: str) -> None:
    if not right:
        net.failed(client)
        log.warning("OPER %s refused for %s", printable(name), client.prefix)
        client.reply(n.ERR_PASSWDMISMATCH)
        return
    client.oper_name = name
    set_user_mode(net, client, "o", on=True)
    log.info("%s is now an operator (%s)", client.prefix, name)
    client.reply(n.RPL_YOUREOPER)
    client.deliver(net.outgoing(client, "MODE", client.nick, text="+o"))


def cmd_kill(net: Network, client: Client, message: Message) -> None:
    if _denied(client):
        return
    target, reason = message.params[0], clip(message.get(1), 300) or "no reason given"
    victim = net.find(target)
    if fold(target) == fold(net.name) or (victim and victim.is_bot):
        client.reply(n.ERR_CANTKILLSERVER, target)
        return
    if victim is None:
        client.reply(n.ERR_NOSUCHNICK, target)
        return
    log.info("%s killed %s: %s", client.nick, victim.prefix, printable(reason))
    victim.deliver(net.outgoing(client, "KILL", victim.nick, text=reason))
    net.drop(victim, f"Killed ({client.nick} ({reason}))")


def cmd_kline(net: Network, client: Client, message: Message) -> None:
    """KLINE [minutes] user@host|address|network [reason]"""
    if _denied(client):
        return
    words = list(message.params)
    minutes = int(words.pop(0)) if len(words) > 1 and words[0].isdigit() and len(words[0]) < 8 else 0
    mask = words[0] if "@" in words[0] else f"*@{words[0]}"
    reason = words[1] if len(words) > 1 else "no reason given"
    if not mask.replace("*", "").replace("?", "").strip("@."):
        client.notice(f"K-line not set: {mask} would cover everybody")
        return
    if any(person is client for person in by_mask(net, mask)):
        client.notice(f"K-line not set: {mask} covers yourself")
        return
    now = net.now()
    net.klines = [kline for kline in net.klines if kline.mask != mask]
    net.klines.append(Kline(mask, clip(reason, 300), client.prefix, now, now + minutes * 60 if minutes else 0.0))
    log.info("%s set K-line %s: %s", client.nick, mask, printable(reason))
    victims = by_mask(net, mask)
    for victim in victims:
        victim.reply(n.ERR_YOUREBANNEDCREEP, text=f"You are banned from this server: {reason}")
        net.drop(victim, f"K-lined: {reason}")
    client.notice(f"K-line set: {mask}, {f'{minutes} minutes' if minutes else 'for good'}, {len(victims)} dropped")


def cmd_unkline(net: Network, client: Client, message: Message) -> None:
    if _denied(client):
        return
    mask = message.params[0] if "@" in message.params[0] else f"*@{message.params[0]}"
    before = len(net.klines)
    net.klines = [kline for kline in net.klines if kline.mask != mask]
    client.notice(f"K-line removed: {mask}" if len(net.klines) < before else f"There is no K-line {mask}")


def cmd_rehash(net: Network, client: Client, message: Message) -> None:
    """Bring code, message of the day and certificates to what the files say; every client stays."""
    if _denied(client):
        return
    client.reply(n.RPL_REHASHING, net.name, text="Rehashing")
    if net.carrier is not None:
        net.carrier.rehash(client)


def cmd_chghost(net: Network, client: Client, message: Message) -> None:
    """CHGHOST nick user host"""
    if _denied(client):
        return
    person = net.find(message.params[0])
    user, host = message.params[1], message.params[2]
    if person is None:
        client.reply(n.ERR_NOSUCHNICK, message.params[0])
    elif not valid_host(host) or not valid_host(user.lstrip("~")):
        client.notice(f"{user}@{host} is not a user and a host; nothing was changed")
    else:
        net.change_host(person, user, host)


def cmd_sajoin(net: Network, client: Client, message: Message) -> None:
    """SAJOIN nick #channel: put somebody into a channel, whatever its modes."""
    if _denied(client):
        return
    person, channel = net.find(message.get(0)), net.channel(message.get(1))
    if person is None:
        client.reply(n.ERR_NOSUCHNICK, message.get(0))
    elif channel is None:
        client.reply(n.ERR_NOSUCHCHANNEL, message.get(1))
    elif person not in channel.members:
        enter(net, person, channel, "")


def cmd_samode(net: Network, client: Client, message: Message) -> None:
    """SAMODE #channel changes: change modes as if one had founded the channel."""
    from .mode import change_modes

    if _denied(client):
        return
    channel = net.channel(message.get(0))
    if channel is None:
        client.reply(n.ERR_NOSUCHCHANNEL, message.get(0))
        return
    held = channel.members.get(client)
    channel.members[client] = modes.with_mode(held or "", "q", add=True)
    try:
        change_modes(net, client, channel, message.get(1), message.params[2:])
    finally:
        if held is None:
            del channel.members[client]
        elif "q" in channel.members[client] and "q" not in held:
            channel.members[client] = modes.with_mode(channel.members[client], "q", add=False)
