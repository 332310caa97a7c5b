"""METADATA (draft/metadata-3): what people and channels say about themselves, key by key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .. import modes
from .. import numerics as n
from ..channel import Channel
from ..names import is_channel

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

KEY_LIMIT = 20  # keys a target
SUB_LIMIT = 50  # keys a client follows
VALUE_LIMIT = 300  # bytes

_KEY = re.compile(r"[a-z0-9_./-]{1,60}")


def has(client: Client) -> bool:
    """Tell whether a client knows metadata, under its name of today or of yesterday."""
    return "draft/metadata-3" in client.caps or "draft/metadata-2" in client.caps


def cmd_metadata(net: Network, client: Client, message: Message) -> None:
    if not has(client):
        client.reply(n.ERR_UNKNOWNCOMMAND, "METADATA")
        return
    name, action, words = message.params[0], message.params[1].upper(), message.params[2:]
    if action in {"SUB", "UNSUB", "SUBS"}:
        _subscriptions(net, client, action, words)
        return
    target = _find(net, client, name)
    if target is None or (isinstance(target, Channel) and not _readable(client, target)):
        client.fail("METADATA", "INVALID_TARGET", name, text="There is no such target, or you may not look")
        return
    if action == "GET":
        values = values_of(net, target)
        _in_batch(net, client, target, [(key, values.get(key)) for key in words])
    elif action == "LIST":
        _in_batch(net, client, target, list(values_of(net, target).items()))
    elif action == "SYNC":
        sync(net, client, [target])
        client.reply(n.RPL_METADATAEND, text="End of metadata")
    elif action == "SET":
        _set(net, client, target, words)
    elif action == "CLEAR":
        _clear(net, client, target)
    else:
        client.fail("METADATA", "SUBCOMMAND_INVALID", action, text="Unknown subcommand")


def _find(net: Network, client: Client, name: str) -> Client | Channel | None:
    if name == "*":
        return client
    if is_channel(name):
        return net.channel(name)
    return client if client.nick == name else net.find(name)


def _readable(client: Client, channel: Channel) -> bool:
    return client in channel.members or not (channel.hidden or "i" in channel.flags or channel.key)


def _writable(client: Client, target: Client | Channel) -> bool:
    if isinstance(target, Channel):
        return target.rank(client) >= modes.OP
    return target is client


def _name(client: Client, target: Client | Channel) -> str:
    return target.name if isinstance(target, Channel) else target.nick or "*"


def values_of(net: Network, target: Client | Channel) -> dict[str, str]:
    """Return the keys and values of a target; with an account they are the account's, and last."""
    if isinstance(target, Channel):
        return target.metadata
    account = net.accounts.get(target.account) if target.account else None
    return account.metadata if account else target.metadata


# --- telling


def _tell(client: Client, name: str, key: str, value: str | None, **tags: str) -> None:
    if value is None:
        client.reply(n.RPL_KEYNOTSET, name, key, text="key not set", **tags)
    else:
        client.reply(n.RPL_KEYVALUE, name, key, "*", text=value, **tags)


def _in_batch(net: Network, client: Client, target: Client | Channel, pairs: Iterable[tuple[str, str | None]]) -> None:
    name = _name(client, target)
    tags: dict[str, str] = {}
    if "batch" in client.caps:
        tags["batch"] = net.new_id()
        client.send(net.name, "BATCH", f"+{tags['batch']}", "metadata", name)
    for key, value in pairs:
        if _KEY.fullmatch(key):
            _tell(client, name, key, value, **tags)
        else:
            client.fail("METADATA", "KEY_INVALID", key, text="A key has small letters, digits and _ . / -")
    if tags:
        client.send(net.name, "BATCH", f"-{tags['batch']}")


def sync(net: Network, client: Client, targets: Iterable[Client | Channel], keys: Iterable[str] | None = None) -> None:
    """Tell a client what it follows about these targets: all of it, or only these keys."""
    wanted = client.subscribed if keys is None else client.subscribed.intersection(keys)
    for target in targets if wanted else ():
        values = values_of(net, target)
        for key in sorted(wanted & values.keys()):
            _tell(client, _name(client, target), key, values[key])


def joined(net: Network, client: Client, channel: Channel) -> None:
    """Tell newcomer and members of one another, as far as they follow it."""
    if client.subscribed and has(client):
        sync(net, client, [channel, *(member for member in channel.members if member is not client)])
    if values_of(net, client):
        for member in channel.members:
            if member is not client and member.subscribed:
                sync(net, member, [client])


def welcome(net: Network, client: Client) -> None:
    """Repeat to a new user what it has set before it was one."""
    if has(client) and (values := values_of(net, client)):
        _in_batch(net, client, client, list(values.items()))


def _changed(net: Network, client: Client, target: Client | Channel, key: str, value: str | None) -> None:
    watchers = set(target.members) if isinstance(target, Channel) else net.peers(target)
    if not isinstance(target, Channel):
        watchers.update(net.monitors.get(target.folded, ()))
    watchers.discard(client)
    for watcher in watchers:
        if key in watcher.subscribed and has(watcher):
            _tell(watcher, _name(watcher, target), key, value)


# --- changing


def _set(net: Network, client: Client, target: Client | Channel, words: list[str]) -> None:
    name, key = _name(client, target), words[0] if words else ""
    value = words[1] if len(words) > 1 else None
    values = values_of(net, target)
    if not _KEY.fullmatch(key):
        client.fail("METADATA", "KEY_INVALID", key or "*", text="A key has small letters, digits and _ . / -")
    elif not _writable(client, target):
        client.fail("METADATA", "KEY_NO_PERMISSION", name, key, text="That is not yours to set")
    elif value is not None and len(value.encode()) > VALUE_LIMIT:
        client.fail("METADATA", "INVALID_VALUE", key, text=f"A value has at most {VALUE_LIMIT} bytes")
    elif value is not None and key not in values and len(values) >= KEY_LIMIT:
        client.fail("METADATA", "LIMIT_REACHED", name, text=f"At most {KEY_LIMIT} keys can be set")
    else:
        value = value or None
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
        _tell(client, name, key, value)
        if client.registered:
            _changed(net, client, target, key, value)


def _clear(net: Network, client: Client, target: Client | Channel) -> None:
    if not _writable(client, target):
        client.fail("METADATA", "KEY_NO_PERMISSION", _name(client, target), "*", text="That is not yours to clear")
        return
    values = values_of(net, target)
    keys = list(values)
    values.clear()
    _in_batch(net, client, target, [(key, None) for key in keys])
    for key in keys:
        _changed(net, client, target, key, None)


def _subscriptions(net: Network, client: Client, action: str, keys: list[str]) -> None:
    if action == "SUBS":
        if client.subscribed:
            client.reply(n.RPL_METADATASUBS, *sorted(client.subscribed))
        return
    good = [key for key in dict.fromkeys(keys) if _KEY.fullmatch(key)]
    for key in keys:
        if key not in good:
            client.fail("METADATA", "KEY_INVALID", key, text="A key has small letters, digits and _ . / -")
    if action == "UNSUB":
        client.subscribed.difference_update(good)
        if good:
            client.reply(n.RPL_METADATAUNSUBOK, *good)
        return
    room = SUB_LIMIT - len(client.subscribed)
    fresh = [key for key in good if key not in client.subscribed]
    if len(fresh) > room:
        client.fail("METADATA", "TOO_MANY_SUBS", fresh[room], text=f"At most {SUB_LIMIT} keys can be followed")
        good = [key for key in good if key in client.subscribed or key in fresh[:room]]
    client.subscribed.update(good)
    if good:
        client.reply(n.RPL_METADATASUBOK, *good)
    if client.registered:
        sync(net, client, [*client.channels, *net.peers(client)], fresh)
