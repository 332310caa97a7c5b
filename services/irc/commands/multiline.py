"""BATCH from clients (draft/multiline): a message of several lines, sent and shown as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..client import Outgoing
from .capability import MULTILINE_BYTES, MULTILINE_LINES, has
from .messages import client_tags, keep, resolve

if TYPE_CHECKING:
    from ..client import Client
    from ..message import Message
    from ..network import Network

BATCH = "draft/multiline"
CONCAT = "draft/multiline-concat"


@dataclass
class Draft:
    """A message that a client is still sending."""

    name: str
    target: str
    label: str
    tags: dict[str, str] | None
    command: str = ""
    lines: list[tuple[str, bool]] = field(default_factory=list)  # text, and whether it goes on from the line before
    size: int = 0


def cmd_batch(net: Network, client: Client, message: Message) -> None:
    name = message.get(0)
    if not has(client, BATCH) or name[:1] not in {"+", "-"} or len(name) < 2:
        client.fail("BATCH", "INVALID_BATCH", text="Only +name and -name of draft/multiline are understood")
    elif name[0] == "+":
        _open(client, name[1:], message)
    elif name[1:] in client.batches:
        _close(net, client, client.batches.pop(name[1:]))
    else:
        client.fail("BATCH", "INVALID_BATCH", text="There is no such batch")


def _open(client: Client, name: str, message: Message) -> None:
    if message.get(1) != BATCH or not message.get(2) or client.batches:
        client.fail("BATCH", "INVALID_BATCH", text="One draft/multiline batch at a time, with a target")
        return
    client.batches[name] = Draft(name, message.params[2], client.label, client_tags(client, message))
    # The label belongs to the whole message; the opening of it alone is not answered.
    client.captured, client.label = None, ""


def collects(client: Client, message: Message) -> bool:
    """Tell whether a line belongs to a batch that a client has, or thinks it has, opened."""
    return has(client, BATCH) and bool(client.batches) and message.command in {"PRIVMSG", "NOTICE"}


def collect(client: Client, message: Message) -> None:
    """Add one line to the batch that it names."""
    draft: Draft | None = client.batches.get(message.tags["batch"])
    concat, text = CONCAT in message.tags, message.get(1)
    if draft is None or message.get(0) != draft.target or draft.command not in {"", message.command}:
        _reject(client, "MULTILINE_INVALID", text="The line does not belong to the open batch")
    elif concat and (not text or not draft.lines):
        _reject(client, "MULTILINE_INVALID", text="Nothing goes on in an empty line")
    elif len(draft.lines) >= MULTILINE_LINES:
        _reject(client, "MULTILINE_MAX_LINES", str(MULTILINE_LINES), text="Too many lines")
    elif draft.size + len(text.encode()) + (not concat) > MULTILINE_BYTES:
        _reject(client, "MULTILINE_MAX_BYTES", str(MULTILINE_BYTES), text="Too many bytes")
    else:
        draft.command = message.command
        draft.lines.append((text, concat))
        draft.size += len(text.encode()) + (not concat)


def _reject(client: Client, code: str, *context: str, text: str) -> None:
    client.batches.clear()
    client.fail("BATCH", code, *context, text=text)


def _close(net: Network, client: Client, draft: Draft) -> None:
    if not any(text for text, _ in draft.lines):
        client.fail("BATCH", "MULTILINE_INVALID", text="There is no text in the batch")
        return
    route = resolve(net, client, draft.target, draft.command, draft.lines[0][0])
    if route is None:
        return
    msgid, at = net.new_id(), net.now()
    lines = [net.outgoing(client, draft.command, route.shown, text=text, tags=draft.tags) for text, _ in draft.lines]
    for place, line in enumerate(lines):
        line.at, line.msgid = at, f"{msgid}.{place}" if place else msgid
        if draft.lines[place][0]:
            keep(net, client, route, draft.command, line, draft.lines[place][0])
    sent = Sent(draft, route.shown, lines, msgid, at)
    for receiver in route.receivers:
        if receiver is not client or route.person:
            _send(net, client, receiver, sent, label="")
    if "echo-message" in client.caps:
        _send(net, client, client, sent, label=draft.label)
    elif draft.label:
        client.send(net.name, "ACK", label=draft.label)


@dataclass
class Sent:
    """A message on its way."""

    draft: Draft
    shown: str
    lines: list[Outgoing]
    msgid: str
    at: float


def _send(net: Network, client: Client, receiver: Client, sent: Sent, *, label: str) -> None:
    """Send the message to one receiver: as a batch, or line by line to those who know no better."""
    pairs = list(zip(sent.lines, sent.draft.lines, strict=True))
    if not has(receiver, BATCH):
        first = True
        for line, (text, _) in pairs:
            if text:
                plain = line.marked(label=label) if label and first else line.marked()
                plain.msgid = sent.msgid if first else ""
                receiver.deliver_apart(plain)
                first = False
        return
    batch = net.new_id()
    start = net.outgoing(client, "BATCH", f"+{batch}", BATCH, sent.shown, tags=sent.draft.tags)
    start.at, start.msgid = sent.at, sent.msgid
    receiver.deliver_apart(start.marked(label=label) if label else start)
    for line, (_, concat) in pairs:
        # Time, id and client tags are said once, by the batch.
        tags = {"batch": batch, CONCAT: ""} if concat else {"batch": batch}
        receiver.deliver_apart(Outgoing(line.line, extra=tags, bare=True))
    receiver.send(net.name, "BATCH", f"-{batch}")
