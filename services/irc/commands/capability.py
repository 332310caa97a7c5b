"""CAP: what a client and this server agree on beyond the old protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import numerics as n
from .session import try_register

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

MULTILINE_BYTES, MULTILINE_LINES = 4096, 32

#: Capabilities and their values, as CAP LS shows them.
CAPABILITIES = {
    "account-notify": "",
    "account-tag": "",
    "away-notify": "",
    "batch": "",
    "chghost": "",
    "draft/account-registration": "before-connect",
    "draft/channel-rename": "",
    "draft/chathistory": "",
    "draft/event-playback": "",
    "draft/message-redaction": "",
    "draft/metadata-3": "before-connect,max-subs=50,max-keys=20",
    "draft/multiline": f"max-bytes={MULTILINE_BYTES}",
    "draft/read-marker": "",
    "echo-message": "",
    "extended-join": "",
    "extended-monitor": "",
    "invite-notify": "",
    "labeled-response": "",
    "message-tags": "",
    "multi-prefix": "",
    "sasl": "PLAIN,SCRAM-SHA-256",
    "server-time": "",
    "setname": "",
    "standard-replies": "",
    "userhost-in-names": "",
}

#: Granted to who asks, but not listed: implied by CAP LS 302, or by an older name.
UNLISTED = {"cap-notify", "draft/extended-monitor", "draft/metadata-2", "draft/no-implicit-names", "draft/pre-away"}

#: What one capability is no use without.
_NEEDS = {"labeled-response": "batch", "draft/multiline": "batch"}


def offered(net: Network, client: Client) -> dict[str, str]:
    """Return the capabilities that this client may have, with values."""
    caps = dict(CAPABILITIES)
    if client.certfp:
        caps["sasl"] += ",EXTERNAL"
    settings = net.settings
    if settings.sts_duration and settings.sts_port:
        caps["sts"] = f"duration={settings.sts_duration}" if client.secure else f"port={settings.sts_port}"
    return caps


def cmd_cap(net: Network, client: Client, message: Message) -> None:
    action = message.params[0].upper()
    if action in {"LS", "REQ"} and not client.registered:
        client.negotiating = True
    if action == "LS":
        if message.get(1).isdigit():
            client.cap_version = max(client.cap_version, int(message.params[1][:6]))
            if client.cap_version >= 302:
                client.set_caps(client.caps | {"cap-notify"})
        _list(net, client, "LS", offered(net, client))
    elif action == "LIST":
        _list(net, client, "LIST", dict.fromkeys(sorted(client.caps), ""))
    elif action == "REQ":
        _request(net, client, message.get(1))
    elif action == "END":
        client.negotiating = False
        try_register(net, client)
    else:
        client.reply(n.ERR_INVALIDCAPCMD, message.params[0])


def _list(net: Network, client: Client, action: str, caps: dict[str, str]) -> None:
    """Send a list of capabilities; an old client gets one line without values."""
    nick = client.nick or "*"
    modern = client.cap_version >= 302
    if not modern and action == "LS":
        # One line is all that it can read, and drafts are younger than it is.
        caps = {name: "" for name in caps if not name.startswith("draft/") and name != "sts"}
    words = [f"{name}={value}" if value and modern else name for name, value in caps.items()]
    lines: list[list[str]] = [[]]
    room = 500 - len(net.name) - len(nick) - 16
    for word in words:
        if lines[-1] and sum(map(len, lines[-1])) + len(lines[-1]) + len(word) > room and modern:
            lines.append([])
        lines[-1].append(word)
    for line in lines[:-1]:
        client.send(net.name, "CAP", nick, action, "*", text=" ".join(line))
    client.send(net.name, "CAP", nick, action, text=" ".join(lines[-1]))


def _request(net: Network, client: Client, asked: str) -> None:
    """Change capabilities as asked, all of it or nothing."""
    known = offered(net, client)
    wanted = set(client.caps)
    good = True
    for word in asked.split():
        name = word.removeprefix("-")
        if (name not in known and name not in UNLISTED) or name == "sts":
            good = False
        elif word.startswith("-"):
            wanted.discard(name)
        else:
            wanted.add(name)
    if client.cap_version >= 302 and "cap-notify" in client.caps and "cap-notify" not in wanted:
        good = False
    if good:
        client.set_caps(wanted)
    client.send(net.name, "CAP", client.nick or "*", "ACK" if good else "NAK", text=asked)


def has(client: Client, name: str) -> bool:
    """Tell whether a client may use something: it has the capability and what that needs."""
    needed = _NEEDS.get(name)
    return name in client.caps and (needed is None or needed in client.caps)


def renew(net: Network) -> None:
    """Tell those with cap-notify what an edit has added or taken away since the last look."""
    now = set(CAPABILITIES)
    new, gone = sorted(now - net.offered), sorted(net.offered - now)
    net.offered = now
    for client in net.connections if new or gone else ():
        client.set_caps(client.caps.difference(gone))
        if "cap-notify" in client.caps:
            for action, names in (("NEW", new), ("DEL", gone)):
                if names:
                    client.send(net.name, "CAP", client.nick or "*", action, text=" ".join(names))
