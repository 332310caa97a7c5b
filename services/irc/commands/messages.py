"""What people say: PRIVMSG, NOTICE, TAGMSG, REDACT, WALLOPS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import modes
from .. import numerics as n
from ..channel import Channel
from ..history import History
from ..isupport import TARGETS
from ..names import fold, is_channel, matches

if TYPE_CHECKING:
    from ..client import Client, Outgoing
    from ..message import Message
    from ..network import Network


def cmd_privmsg(net: Network, client: Client, message: Message) -> None:
    say(net, client, message, "PRIVMSG")


def cmd_notice(net: Network, client: Client, message: Message) -> None:
    if client.registered:
        say(net, client, message, "NOTICE")


def cmd_tagmsg(net: Network, client: Client, message: Message) -> None:
    tags = client_tags(client, message)
    if tags:
        for target in _targets(client, message, "TAGMSG"):
            say_to(net, client, target, "TAGMSG", None, tags)


def say(net: Network, client: Client, message: Message, command: str) -> None:
    """Deliver a message to each of its targets. Nothing is ever said about a NOTICE."""
    quiet = command == "NOTICE"
    if len(message.params) < 1 or not message.params[0]:
        if not quiet:
            client.reply(n.ERR_NORECIPIENT, text=f"No recipient given ({command})")
    elif not message.get(1):
        if not quiet:
            client.reply(n.ERR_NOTEXTTOSEND)
    else:
        client.last_spoke = net.now()
        tags = client_tags(client, message) if message.tags else None
        for target in _targets(client, message, command):
            say_to(net, client, target, command, message.params[1], tags)


def _targets(client: Client, message: Message, command: str) -> list[str]:
    if "," not in message.params[0]:
        return message.params[:1]
    targets = [target for target in dict.fromkeys(message.params[0].split(",")) if target]
    limit = TARGETS[command]
    if len(targets) > limit and command != "NOTICE":
        client.reply(n.ERR_TOOMANYTARGETS, targets[limit])
    return targets[:limit]


def client_tags(client: Client, message: Message) -> dict[str, str] | None:
    """Return the tags that travel from client to client."""
    if "message-tags" not in client.caps:
        return None
    return {name: value for name, value in message.tags.items() if name[0] == "+" and len(name) > 1} or None


@dataclass
class Route:
    """Where a message goes."""

    shown: str  # the target as receivers see it
    receivers: Iterable[Client]
    channel: Channel | None = None  # the whole of it
    person: Client | None = None


def resolve(net: Network, client: Client, target: str, command: str, text: str | None) -> Route | None:
    """Return where a message to a target goes, or None when it may not; the sender of all but a NOTICE hears why."""
    quiet = command == "NOTICE"
    name = target.lstrip(modes.MEMBER_SIGNS)
    if is_channel(target) and (target[0] != "&" or not is_channel(name)):
        return _to_channel(net, client, target, "", text, quiet=quiet)
    if is_channel(name):
        return _to_channel(net, client, name, target[: len(target) - len(name)], text, quiet=quiet)
    if target[:1] == "$" and client.is_oper and matches(target.lstrip("$"), net.name):
        return Route(target, net.users())
    return _to_person(net, client, target, text, quiet=quiet)


def _to_channel(net: Network, client: Client, name: str, status: str, text: str | None, *, quiet: bool) -> Route | None:
    channel = net.channels.get(fold(name))
    if channel is None:
        if not quiet:
            client.reply(n.ERR_NOSUCHCHANNEL, name)
        return None
    reason: str | None = None
    if text and text[0] == "\1" and "C" in channel.flags and not text.startswith("\1ACTION "):
        reason = "Cannot send to channel (+C)"
    elif channel.may_speak(client):
        if not status:
            return Route(channel.name, channel.members, channel)
        floor = min(modes.RANK[modes.MODE_OF[sign]] for sign in status)
        chosen = [member for member, held in channel.members.items() if modes.top_rank(held) >= floor]
        return Route(status[0] + channel.name, chosen)
    if not quiet:
        client.reply(n.ERR_CANNOTSENDTOCHAN, channel.name, text=reason)
    return None


def _to_person(net: Network, client: Client, target: str, text: str | None, *, quiet: bool) -> Route | None:
    nick, _, server = target.partition("@")
    person = net.clients.get(fold(nick))
    if person is None or (server and server.lower() != net.name.lower()):
        if not quiet:
            client.reply(n.ERR_NOSUCHNICK, target)
        return None
    if refusal := _unwelcome(client, person, text):
        if not quiet:
            client.reply(n.ERR_CANTSENDTOUSER, person.nick, text=refusal)
        return None
    return Route(person.nick, (person,), person=person)


def say_to(
    net: Network, client: Client, target: str, command: str, text: str | None, tags: dict[str, str] | None
) -> None:
    """Deliver to one target, keep it for later, and show it to the sender if that is what it asked for."""
    route = resolve(net, client, target, command, text)
    if route is None:
        return
    out = net.outgoing(client, command, route.shown, text=text, tags=tags, ident=True)
    if text is None:
        for receiver in route.receivers:
            if "message-tags" in receiver.caps and (receiver is not client or route.person):
                receiver.deliver_apart(out)
    else:
        net.fan_out(route.receivers, out, but=None if route.person else client)
    if text is not None or (tags and "+draft/persist" in tags):
        keep(net, client, route, command, out, text)
    if "echo-message" in client.caps and (text is not None or "message-tags" in client.caps):
        client.deliver(out)
    if route.person and route.person.away and command == "PRIVMSG":
        client.reply(n.RPL_AWAY, route.person.nick, text=route.person.away)


def keep(net: Network, client: Client, route: Route, command: str, out: Outgoing, text: str | None) -> None:
    """Put a message into the history of its channel or conversation."""
    if route.channel:
        net.record(route.channel, client, command, out=out, text=text)
    elif route.person:
        net.record_private(client, route.person, command, out, text)


def _unwelcome(client: Client, receiver: Client, text: str | None) -> str:
    if "R" in receiver.modes and not client.account and not client.is_oper:
        return "They take messages only from people who are logged in"
    if "T" in receiver.modes and text and text[0] == "\1" and not text.startswith("\1ACTION "):
        return "They take no CTCP"
    return ""


def cmd_redact(net: Network, client: Client, message: Message) -> None:
    """Take back a message (draft/message-redaction): one's own, or as an operator of the channel."""
    target, msgid, reason = message.params[0], message.params[1], message.get(2)
    found = _redactable(net, client, target)
    if found is None:
        client.fail("REDACT", "INVALID_TARGET", target, text="There is no such conversation, or you are not in it")
        return
    history, shown, receivers, may_all = found
    item = history.find(msgid)
    if item is None or item.command not in {"PRIVMSG", "NOTICE", "TAGMSG"}:
        client.fail("REDACT", "UNKNOWN_MSGID", target, msgid, text="This message does not exist or is too old")
        return
    own = item.account == client.account if item.account else item.source == client.prefix
    if not own and not may_all:
        client.fail("REDACT", "REDACT_FORBIDDEN", target, msgid, text="That is not yours to take back")
        return
    history.remove(msgid)
    out = net.outgoing(client, "REDACT", shown, msgid, text=reason or None)
    net.spread(receivers, out, cap="draft/message-redaction", but=client)
    if "echo-message" in client.caps:
        client.deliver(out)


def _redactable(net: Network, client: Client, target: str) -> tuple[History, str, Iterable[Client], bool] | None:
    """Return where to look, the target as others see it, who is told, and whether all of it is this client's."""
    if is_channel(target):
        channel = net.channel(target)
        if channel is None or (client not in channel.members and not client.is_oper):
            return None
        everything = client.is_oper or channel.rank(client) >= modes.HALFOP
        return channel.history, channel.name, channel.members, everything
    person = net.find(target)
    if person is None:
        return None
    return net.conversation(client, person.folded), person.nick, (person,), False


def cmd_wallops(net: Network, client: Client, message: Message) -> None:
    if not client.is_oper:
        client.reply(n.ERR_NOPRIVILEGES)
    elif not message.params[0]:
        client.reply(n.ERR_NEEDMOREPARAMS, "WALLOPS")
    else:
        out = net.outgoing(client, "WALLOPS", text=message.params[0])
        net.spread([user for user in net.users() if "w" in user.modes], out)
