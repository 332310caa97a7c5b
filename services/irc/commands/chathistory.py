"""What was said before: CHATHISTORY and MARKREAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client import Outgoing, middle
from ..history import PAGE_LIMIT, History, Item, Point, milliseconds, parse_point, parse_timestamp, timestamp
from ..message import format_line
from ..names import fold, is_channel
from ..network import STRANGER

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

MARKERS_KEPT = 1000

#: Subcommand -> how many points it takes between target and limit.
_POINTS = {"LATEST": 1, "BEFORE": 1, "AFTER": 1, "AROUND": 1, "BETWEEN": 2}


def cmd_chathistory(net: Network, client: Client, message: Message) -> None:
    action = message.params[0].upper()
    if action == "TARGETS":
        _targets(net, client, message.params[1:])
    elif action not in _POINTS:
        client.fail("CHATHISTORY", "INVALID_PARAMS", action, text="Unknown subcommand")
    elif len(message.params) < 3 + _POINTS[action]:
        client.fail("CHATHISTORY", "NEED_MORE_PARAMS", action, text="Missing parameters")
    else:
        _page(net, client, action, message.params[1], message.params[2:])


def _page(net: Network, client: Client, action: str, target: str, words: list[str]) -> None:
    history = _history(net, client, target)
    if history is None:
        text = "Messages could not be retrieved: there is no such channel, or you are not in it"
        client.fail("CHATHISTORY", "INVALID_TARGET", action, target, text=text)
        return
    count = _POINTS[action]
    points = [parse_point(word) for word in words[:count]]
    limit = _limit(words[count])
    if limit is None or any(point is None and word != "*" for point, word in zip(points, words, strict=False)):
        client.fail("CHATHISTORY", "INVALID_PARAMS", action, target, text="Malformed point or limit")
        return
    items = _select(history, action, points, limit, events="draft/event-playback" in client.caps)
    send_items(net, client, "chathistory", target, items)


def _limit(word: str) -> int | None:
    if not (word.isascii() and word.isdigit()):
        return None
    return min(int(word[:9]) or PAGE_LIMIT, PAGE_LIMIT)


def _select(history: History, action: str, points: list[Point | None], limit: int, *, events: bool) -> list[Item]:
    first = points[0]
    if action == "LATEST":
        return history.latest(limit, after=first, events=events)
    if first is None:
        return []
    if action == "BEFORE":
        return history.before(first, limit, events=events)
    if action == "AFTER":
        return history.after(first, limit, events=events)
    if action == "AROUND":
        return history.around(first, limit, events=events)
    second = points[1]
    return history.between(first, second, limit, events=events) if second else []


def _history(net: Network, client: Client, target: str) -> History | None:
    """Return what was said in a channel or between two people, or None where this client may not look."""
    if is_channel(target):
        channel = net.channel(target)
        return channel.history if channel and client in channel.members else None
    return net.conversation(client, fold(target))


def send_items(net: Network, client: Client, kind: str, target: str, items: list[Item]) -> None:
    """Send messages as they were sent, in a batch for those who know batches."""
    batched = "batch" in client.caps
    batch = net.new_id() if batched else ""
    if batched:
        client.send(net.name, "BATCH", f"+{batch}", kind, target)
    for item in items:
        line = format_line(item.source, item.command, (item.target, *item.params), item.text)
        client.deliver(
            Outgoing(
                line,
                account=item.account,
                msgid=item.msgid,
                tags=item.tags,
                bot=item.bot,
                at=item.time,
                extra={"batch": batch} if batched else None,
            )
        )
    if batched:
        client.send(net.name, "BATCH", f"-{batch}")


def _targets(net: Network, client: Client, words: list[str]) -> None:
    """List the conversations with something said between two moments, the latest last."""
    points = [parse_point(word) for word in words[:2]]
    limit = _limit(words[2]) if len(words) > 2 else None
    if len(points) < 2 or points[0] is None or points[1] is None or limit is None:
        client.fail("CHATHISTORY", "INVALID_PARAMS", "TARGETS", text="It takes two timestamps and a limit")
        return
    low, high = sorted((milliseconds(points[0].time), milliseconds(points[1].time)))
    found = [(channel.history.last_time, channel.name) for channel in client.channels]
    if client.account:
        mine = client.folded_account
        for key, history in net.conversations.items():
            names = key.split(" ")
            if mine in names:
                other = names[0] if names[1] == mine else names[1]
                found.append((history.last_time, other.removeprefix(STRANGER)))
    chosen = sorted((at, name) for at, name in found if low < milliseconds(at) < high)
    chosen = chosen[:limit] if points[0].time <= points[1].time else chosen[-limit:]
    batch = net.new_id()
    client.send(net.name, "BATCH", f"+{batch}", "draft/chathistory-targets")
    for at, name in chosen:
        client.send(net.name, "CHATHISTORY", "TARGETS", name, timestamp(at), batch=batch)
    client.send(net.name, "BATCH", f"-{batch}")


# --- read markers


def cmd_markread(net: Network, client: Client, message: Message) -> None:
    if not message.params or not message.params[0]:
        client.fail("MARKREAD", "NEED_MORE_PARAMS", text="Missing parameters")
        return
    target = message.params[0]
    if len(message.params) > 1:
        kind, _, value = message.params[1].partition("=")
        at = parse_timestamp(value) if kind == "timestamp" else None
        if at is None:
            client.fail("MARKREAD", "INVALID_PARAMS", target, text="Malformed timestamp")
            return
        if _set_marker(net, client, target, timestamp(at)):
            for session in net.logged_in(client.account) if client.account else []:
                if session is not client and "draft/read-marker" in session.caps:
                    send_marker(net, session, target)
    send_marker(net, client, target)


def _markers(net: Network, client: Client) -> dict[str, str]:
    account = net.accounts.get(client.account) if client.account else None
    return account.read if account else client.read


def _set_marker(net: Network, client: Client, target: str, at: str) -> bool:
    """Move a marker forward; tell whether it moved."""
    markers = _markers(net, client)
    if at <= markers.get(fold(target), ""):
        return False
    markers.pop(fold(target), None)
    markers[fold(target)] = at
    while len(markers) > MARKERS_KEPT:
        del markers[next(iter(markers))]
    return True


def send_marker(net: Network, client: Client, target: str) -> None:
    at = _markers(net, client).get(fold(target))
    client.send(net.name, "MARKREAD", middle(target), f"timestamp={at}" if at else "*")
