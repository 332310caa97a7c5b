"""About the server: MOTD, LUSERS, ADMIN, INFO, VERSION, TIME, STATS, LINKS, HELP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import numerics as n
from ..names import matches
from .session import send_isupport

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network


def _elsewhere(net: Network, client: Client, target: str) -> bool:
    """Tell whether another server was asked for, which there is none of."""
    if not target or matches(target, net.name) or net.find(target):
        return False
    client.reply(n.ERR_NOSUCHSERVER, target)
    return True


def cmd_motd(net: Network, client: Client, message: Message) -> None:
    if not _elsewhere(net, client, message.get(0)):
        send_motd(net, client)


def send_motd(net: Network, client: Client) -> None:
    if not net.motd:
        client.reply(n.ERR_NOMOTD)
        return
    client.reply(n.RPL_MOTDSTART, text=f"- {net.name} Message of the day - ")
    for line in net.motd:
        client.reply(n.RPL_MOTD, text=f"- {line}")
    client.reply(n.RPL_ENDOFMOTD)


def cmd_lusers(net: Network, client: Client, message: Message) -> None:
    if not _elsewhere(net, client, message.get(1)):
        send_lusers(net, client)


def send_lusers(net: Network, client: Client) -> None:
    users = net.users()
    total, hidden = len(users), sum("i" in user.modes for user in users)
    unknown = sum(not person.registered for person in net.connections)
    text = f"There are {total - hidden} users and {hidden} invisible on 1 servers"
    client.reply(n.RPL_LUSERCLIENT, text=text)
    client.reply(n.RPL_LUSEROP, str(sum(user.is_oper for user in users)), text="operator(s) online")
    client.reply(n.RPL_LUSERUNKNOWN, str(unknown), text="unknown connection(s)")
    client.reply(n.RPL_LUSERCHANNELS, str(len(net.channels)), text="channels formed")
    client.reply(n.RPL_LUSERME, text=f"I have {total} clients and 0 servers")
    for numeric, kind in ((n.RPL_LOCALUSERS, "local"), (n.RPL_GLOBALUSERS, "global")):
        client.reply(numeric, str(total), str(net.peak), text=f"Current {kind} users {total}, max {net.peak}")


def cmd_admin(net: Network, client: Client, message: Message) -> None:
    if _elsewhere(net, client, message.get(0)):
        return
    client.reply(n.RPL_ADMINME, net.name, text=f"Administrative info about {net.name}")
    for numeric, line in zip((n.RPL_ADMINLOC1, n.RPL_ADMINLOC2, n.RPL_ADMINEMAIL), net.admin, strict=False):
        client.reply(numeric, text=line)


def cmd_info(net: Network, client: Client, message: Message) -> None:
    if _elsewhere(net, client, message.get(0)):
        return
    for line in (
        f"{net.version}: an IRC server that is changed while it runs.",
        f"This network was made {net.created_text}; this process started {net.readable(net.started)}.",
    ):
        client.reply(n.RPL_INFO, text=line)
    client.reply(n.RPL_ENDOFINFO)


def cmd_version(net: Network, client: Client, message: Message) -> None:
    if not _elsewhere(net, client, message.get(0)):
        client.reply(n.RPL_VERSION, net.version, net.name, text="UTF-8 only")
        send_isupport(net, client)


def cmd_time(net: Network, client: Client, message: Message) -> None:
    if not _elsewhere(net, client, message.get(0)):
        client.reply(n.RPL_TIME, net.name, text=net.readable(net.now()))


def cmd_links(net: Network, client: Client, message: Message) -> None:
    mask = message.get(1) or message.get(0) or "*"
    # One server has no links; who runs it may see that it stands alone.
    if client.is_oper and matches(mask, net.name):
        client.reply(n.RPL_LINKS, net.name, net.name, text=f"0 {net.title}")
    client.reply(n.RPL_ENDOFLINKS, mask)


def cmd_stats(net: Network, client: Client, message: Message) -> None:
    query = message.get(0)[:1]
    if query == "u":
        seconds = int(net.now() - net.started)
        days, rest = divmod(seconds, 86400)
        text = f"Server Up {days} days {rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
        client.reply(n.RPL_STATSUPTIME, text=text)
    elif query in {"k", "o", "l"} and not client.is_oper:
        client.reply(n.ERR_NOPRIVILEGES)
    elif query == "k":
        for kline in net.klines:
            user, _, host = kline.mask.rpartition("@")
            client.reply(n.RPL_STATSKLINE, "K", host, "*", user, text=kline.reason)
    elif query == "o":
        for name in net.opers:
            client.reply(n.RPL_STATSOLINE, "O", "*", "*", text=name)
    elif query == "l":
        for person in net.users():
            age = str(int(net.now() - person.connected))
            client.reply(n.RPL_STATSLINKINFO, person.prefix, str(sum(map(len, person.out))), age)
    client.reply(n.RPL_ENDOFSTATS, query or "*")


_HELP = {
    "": "Commands: ADMIN AWAY CAP CHATHISTORY HELP INFO INVITE ISON JOIN KICK LIST LUSERS MARKREAD MODE MONITOR MOTD "
    "NAMES NICK NOTICE OPER PART PING PRIVMSG QUIT REGISTER SETNAME STATS TAGMSG TIME TOPIC USERHOST VERSION WHO "
    "WHOIS WHOWAS. HELP and a command tells more.",
    "AWAY": "AWAY [message]: say that you are away, or back without a message.",
    "CHATHISTORY": "CHATHISTORY LATEST|BEFORE|AFTER|AROUND|BETWEEN|TARGETS ...: what was said before.",
    "INVITE": "INVITE nick #channel: ask somebody in. Without parameters: your own invitations.",
    "JOIN": "JOIN #channel[,#channel] [key[,key]]: enter channels. JOIN 0 leaves all of them.",
    "KICK": "KICK #channel nick[,nick] [reason]: put somebody out.",
    "LIST": "LIST [mask|!mask|<n|>n|C<min|C>min|T<min|T>min,...]: the channels, by name, members, age or topic age.",
    "MODE": "MODE #channel [changes] or MODE nick [changes]: see or change modes.",
    "MONITOR": "MONITOR + nick,nick | - nick,nick | C | L | S: be told when somebody comes and goes.",
    "NICK": "NICK name: change your nickname.",
    "NOTICE": "NOTICE target text: like PRIVMSG, but nothing ever answers by itself.",
    "OPER": "OPER name password: become an operator of this server.",
    "PART": "PART #channel[,#channel] [reason]: leave channels.",
    "PRIVMSG": "PRIVMSG target[,target] text: say something to a channel, to its ranks (@#channel) or to somebody.",
    "REGISTER": "REGISTER * * password: make an account of your nickname.",
    "TOPIC": "TOPIC #channel [text]: see or set what a channel is about.",
    "WHO": "WHO mask|#channel [%fields,token]: who is there.",
    "WHOIS": "WHOIS nick: who somebody is.",
    "WHOWAS": "WHOWAS nick [count]: who had a nickname before.",
}


def cmd_help(net: Network, client: Client, message: Message) -> None:
    subject = message.get(0)
    text = _HELP.get(subject.upper())
    if text is None:
        client.reply(n.ERR_HELPNOTFOUND, subject)
        return
    shown = subject.upper() or "index"
    client.reply(n.RPL_HELPSTART, shown, text=f"Help on {shown}")
    client.reply(n.RPL_HELPTXT, shown, text=text)
    client.reply(n.RPL_ENDOFHELP, shown, text="End of /HELP")


def cmd_helpop(net: Network, client: Client, message: Message) -> None:
    cmd_help(net, client, message)
