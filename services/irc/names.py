"""Names: casemapping, what a nickname or channel may be called, and masks. No I/O."""

import re
from ipaddress import ip_address, ip_network

NICK_LIMIT = 30
USER_LIMIT = 12
HOST_LIMIT = 63
CHANNEL_LIMIT = 64
CHANNEL_TYPES = "#&"

# rfc1459: {}|~ are the lower case of []\^ because of where the protocol was born.
_FOLD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ[]\\^", "abcdefghijklmnopqrstuvwxyz{}|~")
_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][-A-Za-z0-9\[\]\\`_^{|}]*")
_CHANNEL = re.compile(r"[#&][^\x00-\x20\x7f,:*?]+")
_USER_JUNK = re.compile(r"[^-A-Za-z0-9_.]")
_HOST = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9./:]*[A-Za-z0-9])?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fold(name: str) -> str:
    """Return the form under which two spellings of a name are the same name (CASEMAPPING=rfc1459)."""
    return name.translate(_FOLD)


def is_channel(name: str) -> bool:
    """Tell whether a target means a channel, well-formed or not."""
    return name[:1] in CHANNEL_TYPES and name != ""


def valid_channel(name: str) -> bool:
    return len(name.encode()) <= CHANNEL_LIMIT and _CHANNEL.fullmatch(name) is not None


def valid_nick(name: str) -> bool:
    return len(name) <= NICK_LIMIT and _NICK.fullmatch(name) is not None


def valid_host(name: str) -> bool:
    return len(name) <= HOST_LIMIT and _HOST.fullmatch(name) is not None


def clean_user(name: str) -> str:
    """Return a username made of safe characters, at most USER_LIMIT long; may be empty."""
    return _USER_JUNK.sub("", name)[:USER_LIMIT]


def printable(text: str) -> str:
    """Return text fit for a log or an administrator's terminal: control characters shown, never sent."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def clip(text: str, limit: int) -> str:
    """Return text cut to at most limit bytes of UTF-8, never inside a character."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[:limit].decode(errors="ignore")


def matches(mask: str, text: str) -> bool:
    """Tell whether a mask with * and ? covers text, both folded."""
    return _match(fold(mask), fold(text))


def _match(mask: str, text: str) -> bool:
    """Match with two cursors: linear in practice and never exponential, whatever the mask."""
    if "*" not in mask and "?" not in mask:
        return mask == text
    m = t = 0
    star, mark = -1, 0
    while t < len(text):
        if m < len(mask) and (mask[m] == "?" or (mask[m] == text[t] and mask[m] != "*")):
            m, t = m + 1, t + 1
        elif m < len(mask) and mask[m] == "*":
            star, mark = m, t
            m += 1
        elif star >= 0:
            mark += 1
            m, t = star + 1, mark
        else:
            return False
    return all(rest == "*" for rest in mask[m:])


def full_mask(mask: str) -> str:
    """Return nick!user@host for a mask that a person typed short: "foo" -> "foo!*@*", "*@host" -> "*!*@host"."""
    if "!" not in mask and "@" not in mask:
        return f"*!*@{mask}" if "." in mask or ":" in mask else f"{mask}!*@*"
    nick, bang, rest = mask.partition("!")
    if not bang:
        nick, rest = "", mask
    user, at, host = rest.partition("@")
    if not at:
        host = ""
    return f"{nick or '*'}!{user or '*'}@{host or '*'}"


def address_matches(mask: str, address: str) -> bool:
    """Tell whether an address is in a network (10.0.0.0/8) or covered by a mask (10.*)."""
    if "/" in mask:
        try:
            return ip_address(address) in ip_network(mask, strict=False)
        except ValueError:
            return False
    return matches(mask, address)
