"""MONITOR: being told when somebody comes and goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import numerics as n
from ..names import fold, valid_nick

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network


def cmd_monitor(net: Network, client: Client, message: Message) -> None:
    action = message.params[0].upper()
    nicks = [nick for nick in message.get(1).split(",") if nick]
    if action == "+":
        _add(net, client, nicks)
    elif action == "-":
        for nick in nicks:
            forget(net, client, fold(nick))
    elif action == "C":
        for folded in list(client.monitoring):
            forget(net, client, folded)
    elif action == "L":
        for line in _lines(list(client.monitoring.values())):
            client.reply(n.RPL_MONLIST, text=line)
        client.reply(n.RPL_ENDOFMONLIST)
    elif action == "S":
        _tell(net, client, list(client.monitoring.values()))


def _add(net: Network, client: Client, nicks: list[str]) -> None:
    added = []
    for place, nick in enumerate(nicks):
        folded = fold(nick)
        if not valid_nick(nick):
            continue
        if folded not in client.monitoring and len(client.monitoring) >= net.settings.monitor_limit:
            client.reply(n.ERR_MONLISTFULL, str(net.settings.monitor_limit), ",".join(nicks[place:]))
            break
        client.monitoring[folded] = nick
        net.monitors.setdefault(folded, set()).add(client)
        added.append(nick)
    _tell(net, client, added)


def forget(net: Network, client: Client, folded: str) -> None:
    if client.monitoring.pop(folded, None) is not None:
        watchers = net.monitors[folded]
        watchers.discard(client)
        if not watchers:
            del net.monitors[folded]


def _tell(net: Network, client: Client, nicks: list[str]) -> None:
    there = [(person.prefix if (person := net.find(nick)) else "") for nick in nicks]
    for line in _lines([prefix for prefix in there if prefix]):
        client.reply(n.RPL_MONONLINE, text=line)
    for line in _lines([nick for nick, prefix in zip(nicks, there, strict=True) if not prefix]):
        client.reply(n.RPL_MONOFFLINE, text=line)


def _lines(words: list[str], width: int = 400) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) < width:
            lines[-1] += f",{word}"
        else:
            lines.append(word)
    return lines
