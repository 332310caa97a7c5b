"""Modes: which there are, and how a MODE line is taken apart. No I/O.

Channel    lists with masks    b ban, e ban exception, I invite exception
           with a parameter    k key, l limit
           flags               i invite only, m moderated, n no messages from outside, s secret, t topic for operators,
                               p private, C no CTCP, M only accounts speak, R only accounts join, P persistent,
                               r registered (set by the server)
           of members          q founder ~, a admin &, o operator @, h half-operator %, v voice +
User       i invisible, w wallops, o operator, B bot, R only accounts may write to me, T no CTCP,
           x cloaked, r logged in and Z over TLS (both set by the server)
"""

from collections.abc import Iterator
from dataclasses import dataclass

LIST_MODES = "beI"
KEY_MODES = "k"
LIMIT_MODES = "l"
FLAG_MODES = "CMPRimnprst"
MEMBER_MODES = "qaohv"  # highest first
MEMBER_SIGNS = "~&@%+"
CHANNEL_MODES = f"{LIST_MODES},{KEY_MODES},{LIMIT_MODES},{FLAG_MODES}"

USER_MODES = "BRTiorwxZ"
USER_MODES_OWN = "BRTiwx"  # what a person may set; o only off, r and Z are the server's

SIGN_OF = dict(zip(MEMBER_MODES, MEMBER_SIGNS, strict=True))
MODE_OF = dict(zip(MEMBER_SIGNS, MEMBER_MODES, strict=True))
#: The rank of a member mode: 0 is none, higher is more.
RANK = {mode: len(MEMBER_MODES) - place for place, mode in enumerate(MEMBER_MODES)}
VOICE, HALFOP, OP, ADMIN, FOUNDER = RANK["v"], RANK["h"], RANK["o"], RANK["a"], RANK["q"]
#: The rank that may give or take a member mode.
GRANTED_BY = {"q": FOUNDER, "a": FOUNDER, "o": OP, "h": OP, "v": HALFOP}

LIST_LIMIT = 100
KEY_LIMIT = 32
MODES_PER_LINE = 12


@dataclass(frozen=True)
class Change:
    """One letter of a MODE line. The parameter is "" where the mode takes none or none was given."""

    add: bool
    mode: str
    param: str = ""

    @property
    def sign(self) -> str:
        return "+" if self.add else "-"


def takes_param(mode: str, *, add: bool) -> bool:
    """Tell whether a channel mode consumes a parameter; lists do when one is left."""
    return mode in MEMBER_MODES or mode in LIST_MODES or mode in KEY_MODES or (mode in LIMIT_MODES and add)


def parse_changes(letters: str, params: list[str]) -> Iterator[Change]:
    """Yield the changes of a channel MODE line, unknown letters included."""
    rest = iter(params)
    add = True
    for letter in letters:
        if letter in "+-":
            add = letter == "+"
        else:
            yield Change(add, letter, next(rest, "") if takes_param(letter, add=add) else "")


def parse_user_changes(letters: str) -> Iterator[Change]:
    """Yield the changes of a user MODE line; the same letter twice counts once, the last time."""
    last: dict[str, bool] = {}
    add = True
    for letter in letters:
        if letter in "+-":
            add = letter == "+"
        else:
            last[letter] = add
    for letter, sign in last.items():
        yield Change(sign, letter)


def format_changes(changes: list[Change]) -> list[str]:
    """Return letters and parameters as one MODE line shows them: ["+ov-l", "ann", "bob"]."""
    letters: list[str] = []
    sign = ""
    for change in changes:
        if change.sign != sign:
            sign = change.sign
            letters.append(sign)
        letters.append(change.mode)
    return ["".join(letters), *(change.param for change in changes if change.param)]


def top_rank(modes: str) -> int:
    """Return the rank of a member who holds these modes; 0 without any."""
    return max((RANK[mode] for mode in modes), default=0)


def signs(modes: str, *, every: bool) -> str:
    """Return the prefix of a member as NAMES shows it: all of them with multi-prefix, else the highest."""
    if not modes:
        return ""
    return "".join(SIGN_OF[mode] for mode in modes) if every else SIGN_OF[modes[0]]


def with_mode(modes: str, mode: str, *, add: bool) -> str:
    """Return member modes, highest first, with one added or removed."""
    held = set(modes) | {mode} if add else set(modes) - {mode}
    return "".join(letter for letter in MEMBER_MODES if letter in held)
