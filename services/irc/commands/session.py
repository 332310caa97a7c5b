"""Coming and going: PASS, NICK, USER, QUIT, PING, PONG, AWAY, SETNAME."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import accounts
from .. import numerics as n
from ..isupport import AWAY_LIMIT, REALNAME_LIMIT, tokens
from ..names import clean_user, clip, fold, valid_nick

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network


def cmd_pass(net: Network, client: Client, message: Message) -> None:
    if client.registered:
        client.reply(n.ERR_ALREADYREGISTERED)
    else:
        client.password = message.params[0]


def cmd_nick(net: Network, client: Client, message: Message) -> None:
    nick = message.get(0)
    if not nick:
        client.reply(n.ERR_NONICKNAMEGIVEN)
    elif not valid_nick(nick):
        client.reply(n.ERR_ERRONEUSNICKNAME, nick.replace(" ", "_").lstrip(":") or "*")
    elif (holder := net.find(nick)) and holder is not client:
        client.reply(n.ERR_NICKNAMEINUSE, nick)
    elif not client.registered:
        client.nick, client.folded = nick, fold(nick)
        try_register(net, client)
    elif reserved(net, client, nick):
        client.reply(n.ERR_NICKNAMEINUSE, nick, text="Nickname belongs to an account: log in to it first")
    elif nick != client.nick and _free_to_rename(client):
        net.rename(client, nick)


def _free_to_rename(client: Client) -> bool:
    # A ban that keeps somebody silent would be worth little if a new name got round it.
    for channel in client.channels:
        if not channel.members[client] and channel.lists["b"] and channel.muted(client):
            client.reply(
                n.ERR_UNAVAILRESOURCE, channel.name, text="Cannot change nickname while banned or muted on channel"
            )
            return False
    return True


def reserved(net: Network, client: Client, nick: str) -> bool:
    """Tell whether a nickname belongs to an account that is not this client's."""
    return nick in net.accounts and client.folded_account != fold(nick)


def cmd_user(net: Network, client: Client, message: Message) -> None:
    if client.registered or client.user:
        client.reply(n.ERR_ALREADYREGISTERED)
        return
    if not message.params[0] or not message.params[3]:
        client.reply(n.ERR_NEEDMOREPARAMS, "USER")
        return
    user = clean_user(message.params[0])
    if not user:
        client.reply(n.ERR_INVALIDUSERNAME, text="Your username is not valid: use letters, digits, - _ and .")
        return
    # The tilde says that nobody has checked the name.
    client.user = f"~{user}"
    client.realname = clip(message.params[3], REALNAME_LIMIT)
    try_register(net, client)


def try_register(net: Network, client: Client) -> None:
    """Finish the registration of a connection once all of it is there; say what is wrong otherwise."""
    if client.registered or client.negotiating or client.busy or not (client.nick and client.user):
        return
    if not client.admitted and not _admit(net, client):
        return
    if (holder := net.find(client.nick)) and holder is not client:
        client.reply(n.ERR_NICKNAMEINUSE, client.nick)
        client.nick = client.folded = ""
    elif reserved(net, client, client.nick):
        text = "Nickname belongs to an account: log in by SASL, or send PASS account:password, or take another"
        client.reply(n.ERR_NICKNAMEINUSE, client.nick, text=text)
        client.nick = client.folded = ""
    elif kline := net.kline_for(f"{client.user}@{client.address}", client.address):
        client.reply(n.ERR_YOUREBANNEDCREEP, text=f"You are banned from this server: {kline.reason}")
        net.drop(client, f"K-lined: {kline.reason}")
    else:
        welcome(net, client)


def _admit(net: Network, client: Client) -> bool:
    """Tell whether the password of the server, or of an account given by PASS, is settled."""
    name, colon, password = client.password.partition(":")
    if net.password:
        if client.password:
            net.offload(client, accounts.verify, (net.password, client.password), "then_admitted")
        else:
            then_admitted(net, client, False)
        return False
    if colon and not client.account and (account := net.accounts.get(name)):
        net.offload(client, accounts.verify, (account.password, password), "then_passed", account.name)
        return False
    client.admitted = True
    return True


def then_admitted(net: Network, client: Client, right: bool) -> None:
    if right:
        client.admitted, client.password = True, ""
        try_register(net, client)
    else:
        client.reply(n.ERR_PASSWDMISMATCH)
        net.drop(client, "Bad password")


def then_passed(net: Network, client: Client, right: bool, name: str) -> None:
    client.admitted, client.password = True, ""
    if right:
        net.set_account(client, name)
    else:
        client.reply(n.ERR_PASSWDMISMATCH)
    try_register(net, client)


def welcome(net: Network, client: Client) -> None:
    """Make a client a user and tell it where it is."""
    from . import metadata
    from .queries import send_lusers, send_motd

    client.registered = True
    if net.settings.cloak:
        client.modes.add("x")
    net.clients[client.folded] = client
    net.peak = max(net.peak, len(net.clients) - len(net.bots))
    client.reply(n.RPL_WELCOME, text=f"Welcome to the {net.title} Internet Relay Chat Network {client.nick}")
    client.reply(n.RPL_YOURHOST, text=f"Your host is {net.name}, running version {net.version}")
    client.reply(n.RPL_CREATED, text=f"This server was created {net.created_text}")
    client.reply(n.RPL_MYINFO, net.name, net.version, net.user_modes, net.channel_modes, net.modes_with_parameter)
    send_isupport(net, client)
    send_lusers(net, client)
    send_motd(net, client)
    metadata.welcome(net, client)
    net.tell_monitors(client.folded, online=client, shown=client.nick)


def send_isupport(net: Network, client: Client) -> None:
    words = tokens(net)
    for start in range(0, len(words), 12):
        client.reply(n.RPL_ISUPPORT, *words[start : start + 12], text="are supported by this server")


def cmd_quit(net: Network, client: Client, message: Message) -> None:
    reason = clip(message.get(0), AWAY_LIMIT)
    net.drop(client, f"Quit: {reason}" if reason else "Client quit")


def cmd_ping(net: Network, client: Client, message: Message) -> None:
    token = message.get(0)
    if token:
        client.send(net.name, "PONG", net.name, text=token)
    else:
        client.reply(n.ERR_NOORIGIN)


def cmd_pong(net: Network, client: Client, message: Message) -> None:
    """Being heard is all that a PONG is for; the dispatcher has noted it."""


def cmd_away(net: Network, client: Client, message: Message) -> None:
    away = clip(message.get(0), AWAY_LIMIT)
    changed = away != client.away
    client.away = away
    client.reply(n.RPL_NOWAWAY if away else n.RPL_UNAWAY)
    if changed:
        out = net.outgoing(client, "AWAY", text=away or None)
        net.tell_peers(client, out, "away-notify")


def cmd_setname(net: Network, client: Client, message: Message) -> None:
    realname = message.params[0]
    if not realname or len(realname.encode()) > REALNAME_LIMIT:
        text = f"A real name has 1 to {REALNAME_LIMIT} bytes; yours was kept as it is"
        client.fail("SETNAME", "INVALID_REALNAME", text=text)
        return
    client.realname = realname
    out = net.outgoing(client, "SETNAME", text=realname)
    net.tell_peers(client, out, "setname")
    if "setname" in client.caps:
        client.deliver(out)
