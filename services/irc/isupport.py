"""RPL_ISUPPORT: what this server can do, in the words that clients understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import modes, names
from .channel import EXTBAN_PREFIX, EXTBANS
from .history import PAGE_LIMIT

if TYPE_CHECKING:
    from .network import Network

TOPIC_LIMIT = 390
KICK_LIMIT = 390
AWAY_LIMIT = 390
REALNAME_LIMIT = 150
TARGETS = {"JOIN": 0, "KICK": 4, "NAMES": 4, "NOTICE": 4, "PART": 0, "PRIVMSG": 4, "TAGMSG": 4, "WHOIS": 1, "WHOWAS": 4}


def tokens(net: Network) -> list[str]:
    """Return the tokens, alphabetically; a limit that is 0 is said as none."""
    settings = net.settings
    targets = ",".join(f"{command}:{limit or ''}" for command, limit in TARGETS.items())
    return [
        "ACCOUNTEXTBAN=a",
        f"AWAYLEN={AWAY_LIMIT}",
        "BOT=B",
        "CASEMAPPING=rfc1459",
        "CHANLIMIT=" + ",".join(f"{kind}:{settings.max_channels}" for kind in names.CHANNEL_TYPES),
        f"CHANMODES={modes.CHANNEL_MODES}",
        f"CHANNELLEN={names.CHANNEL_LIMIT}",
        f"CHANTYPES={names.CHANNEL_TYPES}",
        f"CHATHISTORY={PAGE_LIMIT}",
        "ELIST=CMNTU",
        "EXCEPTS=e",
        f"EXTBAN={EXTBAN_PREFIX},{EXTBANS}",
        f"HOSTLEN={names.HOST_LIMIT}",
        "INVEX=I",
        f"KEYLEN={modes.KEY_LIMIT}",
        f"KICKLEN={KICK_LIMIT}",
        f"MAXLIST={modes.LIST_MODES}:{modes.LIST_LIMIT}",
        f"MODES={modes.MODES_PER_LINE}",
        f"MONITOR={settings.monitor_limit}",
        "MSGREFTYPES=msgid,timestamp",
        f"NAMELEN={REALNAME_LIMIT}",
        f"NETWORK={net.title.replace(' ', '_')}",
        f"NICKLEN={names.NICK_LIMIT}",
        f"PREFIX=({modes.MEMBER_MODES}){modes.MEMBER_SIGNS}",
        "SAFELIST",
        f"STATUSMSG={modes.MEMBER_SIGNS}",
        f"TARGMAX={targets}",
        f"TOPICLEN={TOPIC_LIMIT}",
        f"USERLEN={names.USER_LIMIT}",
        "UTF8ONLY",
        "WHOX",
    ]
