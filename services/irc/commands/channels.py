"""Channels: JOIN, PART, TOPIC, NAMES, INVITE, KICK, LIST, RENAME."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from .. import modes
from .. import numerics as n
from ..channel import Channel, Topic
from ..isupport import KICK_LIMIT, TARGETS, TOPIC_LIMIT
from ..names import clip, fold, is_channel, matches, valid_channel
from . import metadata

if TYPE_CHECKING:
    from ..client import Client, Outgoing
    from ..message import Message
    from ..network import Network


#: Channels in one LIST: more would fill what a client may leave unread.
LISTED = 2000
#: Channels in one NAMES without a target, for the same reason.
NAMES_AT_ONCE = 50


def split(targets: str, limit: int = 0) -> list[str]:
    """Return the targets of a comma list, each once, at most limit of them."""
    found = [target for target in dict.fromkeys(targets.split(",")) if target]
    return found[:limit] if limit else found


# --- JOIN


def cmd_join(net: Network, client: Client, message: Message) -> None:
    if message.params[0] == "0":
        for channel in list(client.channels):
            part(net, client, channel, "Left all channels")
        return
    keys = message.get(1).split(",")
    for place, name in enumerate(message.params[0].split(",")):
        if name:
            join(net, client, name, keys[place] if place < len(keys) else "")


def join(net: Network, client: Client, name: str, key: str = "") -> None:
    """Let a client into a channel if it may, or say why not."""
    channel = net.channel(name)
    if channel and client in channel.members:
        return
    if not is_channel(name) or not (channel or valid_channel(name)):
        client.reply(n.ERR_NOSUCHCHANNEL, name)
        return
    if len(client.channels) >= net.settings.max_channels and not client.is_oper:
        client.reply(n.ERR_TOOMANYCHANNELS, name)
        return
    if channel is None:
        channel = net.channels[fold(name)] = Channel(name, net.now())
        channel.flags.update("nt")
        first = True
    else:
        if refusal := _refusal(channel, client, key):
            client.reply(refusal, channel.name)
            return
        first = not channel.members and not channel.registered
    client.invited.pop(channel, None)
    granted = channel.access.get(client.folded_account, "") if client.account else ""
    if first:
        granted = modes.with_mode(granted, "o", add=True)
    enter(net, client, channel, granted)


def _refusal(channel: Channel, client: Client, key: str) -> str:
    """Return the numeric that says why a client may not join, or ""."""
    if channel in client.invited or client.folded_account == channel.founder != "":
        return ""
    if channel.banned(client):
        return n.ERR_BANNEDFROMCHAN
    # After a restart nobody is in to invite or to make room; a ban and a key still hold.
    waiting = not channel.members and not channel.registered
    if "i" in channel.flags and not waiting and not channel.covered("I", client):
        return n.ERR_INVITEONLYCHAN
    if channel.key and key != channel.key:
        return n.ERR_BADCHANNELKEY
    if channel.limit and len(channel.members) >= channel.limit and not waiting:
        return n.ERR_CHANNELISFULL
    if "R" in channel.flags and not client.account:
        return n.ERR_NEEDREGGEDNICK
    return ""


def enter(net: Network, client: Client, channel: Channel, member_modes: str) -> None:
    """Put a client into a channel and tell everybody."""
    channel.members[client] = member_modes
    client.channels[channel] = None
    out = net.outgoing(client, "JOIN", channel.name, ident=True)
    extended = net.outgoing(client, "JOIN", channel.name, client.account or "*", text=client.realname)
    extended.msgid = out.msgid
    for member in channel.members:
        member.deliver(extended if "extended-join" in member.caps else out)
    if client.away:
        net.spread(channel.members, net.outgoing(client, "AWAY", text=client.away), cap="away-notify", but=client)
    if member_modes:
        params = modes.format_changes([modes.Change(True, mode, client.nick) for mode in member_modes])
        granted = net.server_line("MODE", channel.name, *params)
        net.spread(channel.members, granted, but=client)
        if channel.registered:
            client.deliver(granted)
    net.record(channel, client, "JOIN", out=out)
    if channel.topic.text:
        send_topic(client, channel)
    if "draft/read-marker" in client.caps:
        from .chathistory import send_marker

        send_marker(net, client, channel.name)
    if "draft/no-implicit-names" not in client.caps:
        send_names(client, channel)
        client.reply(n.RPL_ENDOFNAMES, channel.name)
    metadata.joined(net, client, channel)


# --- PART


def cmd_part(net: Network, client: Client, message: Message) -> None:
    for name in split(message.params[0]):
        if channel := member_of(net, client, name):
            part(net, client, channel, clip(message.get(1), KICK_LIMIT))


def part(net: Network, client: Client, channel: Channel, reason: str) -> None:
    out = net.outgoing(client, "PART", channel.name, text=reason or None, ident=True)
    net.spread(channel.members, out)
    net.record(channel, client, "PART", out=out, text=reason or None)
    net.leave(channel, client)


def member_of(net: Network, client: Client, name: str) -> Channel | None:
    """Return the channel of that name if the client is in it; otherwise say why not."""
    channel = net.channel(name)
    if channel is None:
        client.reply(n.ERR_NOSUCHCHANNEL, name)
    elif client not in channel.members:
        client.reply(n.ERR_NOTONCHANNEL, channel.name)
    else:
        return channel
    return None


# --- TOPIC


def cmd_topic(net: Network, client: Client, message: Message) -> None:
    channel = net.channel(message.params[0])
    if channel is None:
        client.reply(n.ERR_NOSUCHCHANNEL, message.params[0])
    elif client not in channel.members and (len(message.params) > 1 or not channel.visible_to(client)):
        client.reply(n.ERR_NOTONCHANNEL, channel.name)
    elif len(message.params) == 1:
        if channel.topic.text:
            send_topic(client, channel)
        else:
            client.reply(n.RPL_NOTOPIC, channel.name)
    elif "t" in channel.flags and channel.rank(client) < modes.HALFOP:
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name)
    else:
        set_topic(net, client, channel, clip(message.params[1], TOPIC_LIMIT))


def set_topic(net: Network, client: Client, channel: Channel, text: str) -> None:
    channel.topic = Topic(text, client.prefix, int(net.now())) if text else Topic()
    out = net.outgoing(client, "TOPIC", channel.name, text=text, ident=True)
    net.spread(channel.members, out)
    net.record(channel, client, "TOPIC", out=out, text=text)


def send_topic(client: Client, channel: Channel) -> None:
    client.reply(n.RPL_TOPIC, channel.name, text=channel.topic.text)
    client.reply(n.RPL_TOPICWHOTIME, channel.name, channel.topic.setter, str(channel.topic.time))


# --- NAMES


def cmd_names(net: Network, client: Client, message: Message) -> None:
    if not message.get(0):
        for visible in islice((each for each in net.channels.values() if each.visible_to(client)), NAMES_AT_ONCE):
            send_names(client, visible)
        client.reply(n.RPL_ENDOFNAMES, "*")
        return
    for name in split(message.params[0], TARGETS["NAMES"]):
        channel = net.channel(name)
        if channel and channel.visible_to(client):
            send_names(client, channel)
    client.reply(n.RPL_ENDOFNAMES, message.params[0])


def send_names(client: Client, channel: Channel) -> None:
    """Send RPL_NAMREPLY lines; the invisible are shown to members only."""
    every, full = "multi-prefix" in client.caps, "userhost-in-names" in client.caps
    inside = client in channel.members
    kind = "@" if "s" in channel.flags else "*" if "p" in channel.flags else "="
    line: list[str] = []
    size, room = 0, 440 - len(channel.name.encode()) - len(client.network.name)
    for member, held in channel.members.items():
        if not inside and "i" in member.modes:
            continue
        word = modes.signs(held, every=every) + (member.prefix if full else member.nick)
        if line and size + len(word) > room:
            client.reply(n.RPL_NAMREPLY, kind, channel.name, text=" ".join(line))
            line, size = [], 0
        line.append(word)
        size += len(word) + 1
    if line:
        client.reply(n.RPL_NAMREPLY, kind, channel.name, text=" ".join(line))


# --- INVITE


def cmd_invite(net: Network, client: Client, message: Message) -> None:
    if not message.params:
        for channel in client.invited:
            client.reply(n.RPL_INVITELIST, channel.name)
        client.reply(n.RPL_ENDOFINVITELIST)
        return
    if len(message.params) < 2:
        client.reply(n.ERR_NEEDMOREPARAMS, "INVITE")
        return
    guest = net.find(message.params[0])
    if guest is None:
        client.reply(n.ERR_NOSUCHNICK, message.params[0])
    elif found := member_of(net, client, message.params[1]):
        invite(net, client, found, guest)


def invite(net: Network, client: Client, channel: Channel, guest: Client) -> None:
    rank = channel.rank(client)
    if guest in channel.members:
        client.reply(n.ERR_USERONCHANNEL, guest.nick, channel.name)
        return
    if "i" in channel.flags and rank < modes.HALFOP:
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name)
        return
    # Only an invitation by somebody with a say opens +i, +k, +l and bans.
    if rank >= modes.HALFOP and len(guest.invited) < net.settings.invite_limit:
        guest.invited[channel] = None
    client.reply(n.RPL_INVITING, guest.nick, channel.name)
    if guest.away:
        client.reply(n.RPL_AWAY, guest.nick, text=guest.away)
    out = net.outgoing(client, "INVITE", guest.nick, channel.name)
    guest.deliver(out)
    told = [member for member, held in channel.members.items() if modes.top_rank(held) >= modes.HALFOP]
    net.spread(told, out, cap="invite-notify", but=client)


# --- KICK


def cmd_kick(net: Network, client: Client, message: Message) -> None:
    names, nicks = message.params[0].split(","), split(message.params[1], TARGETS["KICK"])
    if len(names) > 1 and len(names) != len(message.params[1].split(",")):
        client.reply(n.ERR_NEEDMOREPARAMS, "KICK")
        return
    reason = clip(message.get(2), KICK_LIMIT) or client.nick
    for place, nick in enumerate(nicks):
        kick(net, client, names[place] if len(names) > 1 else names[0], nick, reason)


def kick(net: Network, client: Client, name: str, nick: str, reason: str) -> None:
    channel = member_of(net, client, name)
    if channel is None:
        return
    rank = channel.rank(client)
    if rank < modes.HALFOP:
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name)
        return
    victim = net.find(nick)
    if victim is None:
        client.reply(n.ERR_NOSUCHNICK, nick)
    elif victim not in channel.members:
        client.reply(n.ERR_USERNOTINCHANNEL, victim.nick, channel.name)
    elif channel.rank(victim) > rank or (rank == modes.HALFOP and channel.rank(victim) >= modes.HALFOP):
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name, text="They outrank you")
    else:
        throw_out(net, channel, victim, net.outgoing(client, "KICK", channel.name, victim.nick, text=reason), client)


def throw_out(net: Network, channel: Channel, victim: Client, out: Outgoing, by: Client) -> None:
    out.msgid = net.new_id()
    net.spread(channel.members, out)
    net.record(channel, by, "KICK", victim.nick, out=out, text=out.line.partition(" :")[2])
    net.leave(channel, victim)


# --- LIST


def cmd_list(net: Network, client: Client, message: Message) -> None:
    conditions = split(message.get(0))
    client.reply(n.RPL_LISTSTART, "Channel", text="Users  Name")
    shown = (c for c in net.channels.values() if c.visible_to(client) and _listed(net, c, conditions))
    for channel in islice(shown, LISTED):
        client.reply(n.RPL_LIST, channel.name, str(len(channel.members)), text=channel.topic.text)
    if next(shown, None):
        client.notice(f"Only the first {LISTED} channels are shown: ask for fewer, e.g. LIST >10 or LIST #a*")
    client.reply(n.RPL_LISTEND)


def _listed(net: Network, channel: Channel, conditions: list[str]) -> bool:
    """Tell whether a channel meets what was asked: any of the names, and all of the other conditions."""
    plain = [word for word in conditions if word[0] not in "<>!" and word[:2] not in {"C<", "C>", "T<", "T>"}]
    if plain and not any(matches(word, channel.name) for word in plain):
        return False
    return all(_meets(net, channel, word) for word in conditions if word not in plain)


def _meets(net: Network, channel: Channel, word: str) -> bool:
    if word[0] == "!":
        return not matches(word[1:], channel.name)
    kind, sign, number = ("", word[0], word[1:]) if word[0] in "<>" else (word[0], word[1], word[2:])
    if not number.isascii() or not number.isdigit():
        return True
    if not kind:
        value: float = len(channel.members)
    elif kind == "C":
        value = (net.now() - channel.created) / 60
    elif channel.topic.text:
        value = (net.now() - channel.topic.time) / 60
    else:
        return False
    return value < int(number) if sign == "<" else value > int(number)


# --- RENAME (draft/channel-rename)


def cmd_rename(net: Network, client: Client, message: Message) -> None:
    old, new, reason = message.params[0], message.params[1], clip(message.get(2), KICK_LIMIT)
    channel = member_of(net, client, old)
    if channel is None:
        return
    if channel.rank(client) < modes.OP:
        client.reply(n.ERR_CHANOPRIVSNEEDED, channel.name)
    elif not is_channel(new) or not valid_channel(new) or new[0] != channel.name[0]:
        client.fail("RENAME", "CANNOT_RENAME", channel.name, new, text="That is not a channel name of the same kind")
    elif (there := net.channel(new)) and there is not channel:
        client.fail("RENAME", "CHANNEL_NAME_IN_USE", channel.name, new, text="A channel of that name exists")
    else:
        rename(net, client, channel, new, reason)


def rename(net: Network, client: Client, channel: Channel, new: str, reason: str) -> None:
    """Give a channel another name; those who do not know RENAME see a PART and a JOIN."""
    old = channel.name
    del net.channels[fold(old)]
    channel.name = new
    net.channels[fold(new)] = channel
    out = net.outgoing(client, "RENAME", old, new, text=reason)
    for member in channel.members:
        if "draft/channel-rename" in member.caps:
            member.deliver(out)
            continue
        member.deliver(net.outgoing(member, "PART", old, text=f"Renamed to {new}: {reason}".removesuffix(": ")))
        if "extended-join" in member.caps:
            member.deliver(net.outgoing(member, "JOIN", new, member.account or "*", text=member.realname))
        else:
            member.deliver(net.outgoing(member, "JOIN", new))
        if channel.topic.text:
            send_topic(member, channel)
        send_names(member, channel)
        member.reply(n.RPL_ENDOFNAMES, new)
