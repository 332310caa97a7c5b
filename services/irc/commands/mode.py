"""MODE, for channels and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import modes
from .. import numerics as n
from ..channel import Channel, Entry, clean_mask
from ..modes import Change
from ..names import fold, is_channel

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

_LIST_REPLIES = {
    "b": (n.RPL_BANLIST, n.RPL_ENDOFBANLIST),
    "e": (n.RPL_EXCEPTLIST, n.RPL_ENDOFEXCEPTLIST),
    "I": (n.RPL_INVEXLIST, n.RPL_ENDOFINVEXLIST),
}


def cmd_mode(net: Network, client: Client, message: Message) -> None:
    target = message.params[0]
    if is_channel(target):
        _channel_mode(net, client, target, message.params[1:])
    else:
        _user_mode(net, client, target, message.params[1:])


# --- channels


def _channel_mode(net: Network, client: Client, name: str, params: list[str]) -> None:
    channel = net.channel(name)
    if channel is None:
        client.reply(n.ERR_NOSUCHCHANNEL, name)
    elif not params:
        inside = client in channel.members or client.is_oper
        client.reply(n.RPL_CHANNELMODEIS, channel.name, *channel.mode_letters(with_key=inside))
        client.reply(n.RPL_CREATIONTIME, channel.name, str(channel.created))
    else:
        change_modes(net, client, channel, params[0], params[1:])


def change_modes(net: Network, client: Client, channel: Channel, letters: str, params: list[str]) -> None:
    """Do what a MODE line asks as far as the client may; tell the members what came of it."""
    done: list[Change] = []
    refused = False
    shown: set[str] = set()
    used = 0
    for change in modes.parse_changes(letters, params):
        if change.mode in modes.LIST_MODES and not change.param:
            if change.mode not in shown:
                shown.add(change.mode)
                show_list(client, channel, change.mode)
            continue
        if change.mode not in modes.MEMBER_MODES + modes.LIST_MODES + modes.FLAG_MODES + "kl":
            client.reply(n.ERR_UNKNOWNMODE, change.mode)
            continue
        used += bool(change.param)
        if used > modes.MODES_PER_LINE:
            break
        if not _may_change(channel, client, change):
            # Said once for the whole line, as every letter of it would get the same answer.
            if not refused:
                client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name)
            refused = True
        elif applied := _apply(net, client, channel, change):
            done.append(applied)
    if done:
        announce(net, client, channel, done)


def announce(net: Network, client: Client, channel: Channel, done: list[Change]) -> None:
    letters, *params = modes.format_changes(done)
    out = net.outgoing(client, "MODE", channel.name, letters, *params, ident=True)
    net.spread(channel.members, out)
    net.record(channel, client, "MODE", letters, *params, out=out)


def _may_change(channel: Channel, client: Client, change: Change) -> bool:
    rank = channel.rank(client)
    if change.mode in modes.MEMBER_MODES:
        # Everybody may lay down what he holds.
        own = not change.add and fold(change.param) == client.folded
        return own or rank >= modes.GRANTED_BY[change.mode]
    return rank >= modes.HALFOP


def _apply(net: Network, client: Client, channel: Channel, change: Change) -> Change | None:
    """Make one change; return it as it is to be shown, or None when nothing came of it."""
    if change.mode in modes.MEMBER_MODES:
        return _apply_member(net, client, channel, change)
    if change.mode in modes.LIST_MODES:
        return _apply_list(net, client, channel, change)
    if change.mode == "k":
        return _apply_key(client, channel, change)
    if change.mode == "l":
        return _apply_limit(client, channel, change)
    if change.mode == "r" or (change.mode == "P" and not client.is_oper):
        client.reply(n.ERR_NOPRIVILEGES, text=f"Mode {change.mode} is not yours to set")
        return None
    if change.add == (change.mode in channel.flags):
        return None
    if change.add:
        channel.flags.add(change.mode)
    else:
        channel.flags.discard(change.mode)
    return change


def _apply_member(net: Network, client: Client, channel: Channel, change: Change) -> Change | None:
    if not change.param:
        return None
    member = net.find(change.param)
    if member is None:
        client.reply(n.ERR_NOSUCHNICK, change.param)
        return None
    held = channel.members.get(member)
    if held is None:
        client.reply(n.ERR_USERNOTINCHANNEL, member.nick, channel.name)
        return None
    if not change.add and member is not client and modes.top_rank(held) > channel.rank(client):
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name, text="They outrank you")
        return None
    changed = modes.with_mode(held, change.mode, add=change.add)
    if changed == held:
        return None
    channel.members[member] = changed
    return Change(change.add, change.mode, member.nick)


def _apply_list(net: Network, client: Client, channel: Channel, change: Change) -> Change | None:
    if " " in change.param:
        client.reply(n.ERR_INVALIDMODEPARAM, channel.name, change.mode, "*", text="A mask holds no spaces")
        return None
    mask = clean_mask(change.param)
    there = channel.find_entry(change.mode, mask)
    if not change.add:
        if there is None:
            return None
        channel.lists[change.mode].remove(there)
        return Change(add=False, mode=change.mode, param=there.mask)
    if there:
        return None
    if len(channel.lists[change.mode]) >= modes.LIST_LIMIT:
        client.reply(n.ERR_BANLISTFULL, channel.name, mask)
        return None
    channel.lists[change.mode].append(Entry(mask, client.prefix, int(net.now())))
    return Change(add=True, mode=change.mode, param=mask)


def _apply_key(client: Client, channel: Channel, change: Change) -> Change | None:
    if not change.add:
        if not channel.key:
            return None
        channel.key, old = "", channel.key
        return Change(add=False, mode="k", param=old)
    key = change.param
    good = key and len(key.encode()) <= modes.KEY_LIMIT and not set(key) & set(" ,:") and key.isprintable()
    if not good:
        text = f"A key has 1 to {modes.KEY_LIMIT} bytes without space, comma or colon"
        client.reply(n.ERR_INVALIDMODEPARAM, channel.name, "k", "*", text=text)
        return None
    if key == channel.key:
        return None
    channel.key = key
    return change


def _apply_limit(client: Client, channel: Channel, change: Change) -> Change | None:
    if not change.add:
        if not channel.limit:
            return None
        channel.limit = 0
        return Change(add=False, mode="l")
    number = change.param
    if not (number.isascii() and number.isdigit() and int(number[:9]) > 0 and len(number) < 9):
        text = "A limit is a number from 1 to 99999999"
        client.reply(n.ERR_INVALIDMODEPARAM, channel.name, "l", number or "*", text=text)
        return None
    if int(number) == channel.limit:
        return None
    channel.limit = int(number)
    return Change(add=True, mode="l", param=str(channel.limit))


def show_list(client: Client, channel: Channel, mode: str) -> None:
    line, end = _LIST_REPLIES[mode]
    for entry in channel.lists[mode]:
        client.reply(line, channel.name, entry.mask, entry.setter, str(entry.time))
    client.reply(end, channel.name)


# --- people


def _user_mode(net: Network, client: Client, nick: str, params: list[str]) -> None:
    target = net.find(nick)
    if target is None:
        client.reply(n.ERR_NOSUCHNICK, nick)
    elif target is not client:
        client.reply(n.ERR_USERSDONTMATCH)
    elif not params:
        client.reply(n.RPL_UMODEIS, f"+{''.join(sorted(client.modes))}")
    else:
        change_user_modes(net, client, params[0])


def change_user_modes(net: Network, client: Client, letters: str) -> None:
    done: list[Change] = []
    unknown = False
    for change in modes.parse_user_changes(letters):
        if change.mode not in modes.USER_MODES:
            unknown = True
        elif change.add == (change.mode in client.modes):
            continue
        elif change.mode in modes.USER_MODES_OWN or (change.mode == "o" and not change.add):
            done.append(change)
    if unknown:
        client.reply(n.ERR_UMODEUNKNOWNFLAG)
    for change in done:
        set_user_mode(net, client, change.mode, on=change.add)
    if done:
        client.deliver(net.outgoing(client, "MODE", client.nick, text=modes.format_changes(done)[0]))


def set_user_mode(net: Network, client: Client, mode: str, *, on: bool) -> None:
    """Set one mode of a person, with what hangs on it."""
    if on:
        client.modes.add(mode)
    else:
        client.modes.discard(mode)
    if mode == "o" and not on:
        client.oper_name = ""
    if mode == "x":
        net.change_host(client, client.user, net.cloak(client.address) if on else client.real_host)
