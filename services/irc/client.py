"""A person or a bot on the server, as the others see it, and the lines on the way to it. No I/O.

A client collects bytes; whoever carries them (a socket, a websocket, a test) takes them with `take()`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import numerics
from .history import timestamp
from .message import format_line, format_tags
from .names import clip, fold

if TYPE_CHECKING:
    from .channel import Channel
    from .network import Network

# What kinds of tags a client has asked for; a line is encoded once for each mixture.
TIME, ACCOUNT, TAGS = 1, 2, 4
_TAG_CAPS = {"server-time": TIME, "account-tag": ACCOUNT, "message-tags": TAGS}


def middle(param: str) -> str:
    """Return what a client sent in a form that can stand inside a line: its first word, or "*"."""
    word = param.split(" ", 1)[0].lstrip(":")
    return word or "*"


class Outgoing:
    """One line on its way, to one client or to many: encoded once for each mixture of tags.

    Args:
        line: without tags and line ending.
        account: of whoever said it, for account-tag.
        msgid: for message-tags.
        tags: client-only tags that travel along.
        extra: tags for this one receiver: batch, label.
        bare: no other tags than those; somebody else has said them.
    """

    __slots__ = ("_encoded", "account", "at", "bare", "bot", "extra", "line", "msgid", "tags")

    def __init__(
        self,
        line: str,
        *,
        account: str = "",
        msgid: str = "",
        tags: dict[str, str] | None = None,
        bot: bool = False,
        at: float = 0.0,
        extra: dict[str, str] | None = None,
        bare: bool = False,
    ) -> None:
        self.line, self.account, self.msgid, self.tags, self.bot = line, account, msgid, tags, bot
        self.at = at or time.time()
        self.extra, self.bare = extra, bare
        self._encoded: dict[int, bytes] = {}

    def encoded(self, tagset: int) -> bytes:
        """Return the bytes for a client that asked for these kinds of tags, line ending included."""
        try:
            return self._encoded[tagset]
        except KeyError:
            tags = self._tags(tagset) if tagset or self.extra else {}
            data = self._encoded[tagset] = f"{format_tags(tags)}{self.line}\r\n".encode()
            return data

    def _tags(self, tagset: int) -> dict[str, str]:
        tags = dict(self.extra) if self.extra else {}
        if self.bare:
            return tags
        if tagset & TIME:
            tags["time"] = timestamp(self.at)
        if tagset & ACCOUNT and self.account:
            tags["account"] = self.account
        if tagset & TAGS:
            if self.msgid:
                tags["msgid"] = self.msgid
            if self.bot:
                tags["bot"] = tags["draft/bot"] = ""  # the second for clients of before it was settled
            if self.tags:
                tags.update(self.tags)
        return tags

    def marked(self, **extra: str) -> Outgoing:
        """Return the same line with more tags for one receiver."""
        return Outgoing(
            self.line,
            account=self.account,
            msgid=self.msgid,
            tags=self.tags,
            bot=self.bot,
            at=self.at,
            extra={**(self.extra or {}), **extra},
            bare=self.bare,
        )


# What goes along when a client's connection is handed to another process. An exchange under way (SASL, a batch) is
# left behind: the client asks again.
_PACKED = (
    "account",
    "admitted",
    "away",
    "cap_version",
    "caps",
    "connected",
    "folded",
    "host",
    "last_heard",
    "last_spoke",
    "metadata",
    "modes",
    "monitoring",
    "negotiating",
    "nick",
    "oper_name",
    "password",
    "read",
    "real_host",
    "realname",
    "registered",
    "subscribed",
    "user",
)


class Client:
    """Somebody connected.

    Across a rebuild: the same object, nick, channels and unsent lines untouched.
    In a snapshot: never; after a restart nobody is connected, so no nickname is taken by a ghost.
    """

    #: Services and bots of the space are clients too, but do not count as users and do not time out.
    is_bot = False
    #: Whether nothing that is said to it or by it is kept.
    confidential = False

    def __init__(
        self, network: Network, address: str, *, host: str = "", secure: bool = False, certfp: str = ""
    ) -> None:
        now = network.now()
        self.network = network
        self.address = address
        self.real_host = host or address
        self.host = self.real_host
        self.secure, self.certfp = secure, certfp
        self.nick = self.folded = ""
        self.user = self.realname = ""
        self.account = ""
        self.away = ""
        self.modes: set[str] = {"Z"} if secure else set()
        self.oper_name = ""
        self.channels: dict[Channel, None] = {}
        self.invited: dict[Channel, None] = {}
        self.metadata: dict[str, str] = {}

        self.registered = False
        self.negotiating = False  # between CAP LS or REQ and CAP END
        self.password = ""  # as PASS gave it
        self.admitted = False  # gave the server's password, or it has none
        self.cap_version = 301
        self.caps: set[str] = set()
        self.tagset = 0
        self.sasl: Any = None  # the exchange under way, see sasl.py
        self.sasl_buffer = ""

        self.connected = self.last_spoke = self.last_heard = now
        self.pinged = False
        self.monitoring: dict[str, str] = {}  # folded nick -> as typed
        self.subscribed: set[str] = set()  # metadata keys
        self.read: dict[str, str] = {}  # read markers of somebody without an account
        self.busy = False  # waits for work elsewhere; its next line waits with it
        self.closing = ""  # why, once it has been told to go
        self.label = ""
        self.captured: list[Outgoing] | None = None  # replies to a labelled command so far
        self.batches: dict[str, Any] = {}  # batches the client has opened: multiline
        self.out: list[bytes] = []
        self.connection: Any = None  # who carries the bytes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.nick or '*'} from {self.address}>"

    @property
    def prefix(self) -> str:
        """nick!user@host, as the others see it."""
        return f"{self.nick}!{self.user}@{self.host}"

    @property
    def hosts(self) -> set[str]:
        """Every host under which a ban may know this client."""
        return {self.host, self.real_host, self.address}

    @property
    def is_oper(self) -> bool:
        return "o" in self.modes

    @property
    def folded_account(self) -> str:
        return fold(self.account)

    def set_caps(self, caps: set[str]) -> None:
        self.caps = caps
        self.tagset = sum(bit for cap, bit in _TAG_CAPS.items() if cap in caps)

    # --- lines to it

    def deliver(self, out: Outgoing) -> None:
        """Send a line that was made for several."""
        if self.captured is not None and self.network.acting is self:
            self.captured.append(out)
        else:
            self.deliver_apart(out)

    def deliver_apart(self, out: Outgoing) -> None:
        """Send a line that is no part of the reply under way."""
        if not self.out:
            dirty = self.network.dirty
            dirty.append(self)
            if len(dirty) == 1 and self.network.carrier is not None:
                self.network.carrier.wake()
        self.out.append(out.encoded(self.tagset))

    def send(self, source: str, command: str, *params: str, text: str | None = None, **tags: str) -> None:
        """Send one line to this client alone."""
        self.deliver(Outgoing(format_line(source, command, params, text), extra=tags or None))

    def reply(self, numeric: str, *params: str, text: str | None = None, **tags: str) -> None:
        """Send a numeric from the server; the text is the usual one unless given."""
        if text is None:
            text = numerics.TEXTS.get(numeric)
        words = [self.nick or "*", *map(middle, params)]
        if text is None and params:
            words[-1] = params[-1]
        self.deliver(Outgoing(format_line(self.network.name, numeric, words, text), extra=tags or None))

    def fail(self, command: str, code: str, *context: str, text: str, kind: str = "FAIL") -> None:
        """Send a standard reply: FAIL, WARN or NOTE."""
        self.send(self.network.name, kind, middle(command), code, *map(middle, context), text=text)

    def notice(self, text: str, source: str = "") -> None:
        """Send a NOTICE from the server or somebody else, in as many lines as it takes."""
        for line in text.splitlines() or [""]:
            self.send(source or self.network.name, "NOTICE", self.nick or "*", text=clip(line, 400))

    def take(self) -> bytes:
        """Return what is to be written now, and forget it."""
        data = b"".join(self.out)
        self.out.clear()
        return data

    # --- to another process

    def packed(self) -> dict[str, Any]:
        """Return what another process needs to go on with this client: plain values, nothing of this network."""
        state = {name: getattr(self, name) for name in _PACKED}
        state["channels"] = {channel.name: channel.members[self] for channel in self.channels}
        state["invited"] = [channel.name for channel in self.invited]
        return state

    def unpack(self, state: dict[str, Any]) -> None:
        """Become the client that was packed; the network puts it where it belongs."""
        for name in _PACKED:
            setattr(self, name, state[name])
        self.set_caps(set(self.caps))

    # --- labelled replies

    def begin_label(self, label: str) -> None:
        self.label, self.captured = label, []

    def end_label(self) -> None:
        """Send what the labelled command was answered: alone, as a batch, or ACK when there was nothing."""
        captured, label = self.captured or [], self.label
        self.captured, self.label = None, ""
        if not captured:
            self.send(self.network.name, "ACK", label=label)
            return
        if len(captured) == 1:
            self.deliver(captured[0].marked(label=label))
            return
        batch = self.network.new_id()
        self.send(self.network.name, "BATCH", f"+{batch}", "labeled-response", label=label)
        for out in captured:
            inner = out.extra and "batch" in out.extra
            self.deliver(out if inner else out.marked(batch=batch))
        self.send(self.network.name, "BATCH", f"-{batch}")
