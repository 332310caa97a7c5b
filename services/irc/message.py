"""IRC lines: bytes in, messages out, and back. No I/O.

    [@tags SPACE] [:source SPACE] COMMAND {SPACE middle} [SPACE :trailing] CR LF

Text is UTF-8 only; a line that is not is refused by name, never guessed at.
"""

from ...runtime.errors import ProtocolError

MAX_BODY = 510  # bytes of a line after its tags, without CR LF
MAX_CLIENT_TAGS = 4094  # bytes between @ and the space, as a client may send them
MAX_PARAMS = 32  # more than the 15 of the old grammar: MODE and MONITOR lists are long
MAX_RECEIVED = MAX_CLIENT_TAGS + 2 + MAX_BODY

_UNESCAPE = {":": ";", "s": " ", "\\": "\\", "r": "\r", "n": "\n"}
_ESCAPE = str.maketrans({";": "\\:", " ": "\\s", "\\": "\\\\", "\r": "\\r", "\n": "\\n"})
_FORBIDDEN = ("\r", "\n", "\0")


class BadLine(ProtocolError):
    """A line from a client that cannot become a message. It is dropped; the connection goes on.

    Args:
        kind: "too-long", "not-utf8" or "bad-character".
        command: what is readable of its command, or "*".
        tags: its tags, where those could be read.
    """

    def __init__(self, kind: str, command: str = "*", tags: dict[str, str] | None = None) -> None:
        super().__init__(f"line dropped ({kind}), command {command!r}")
        self.kind, self.command, self.tags = kind, command, tags or {}


class Message:
    """One parsed line. The command is upper case; tag values are unescaped."""

    __slots__ = ("command", "params", "source", "tags")

    def __init__(self, command: str, params: list[str], tags: dict[str, str] | None = None, source: str = "") -> None:
        self.command = command
        self.params = params
        self.tags = tags or {}
        self.source = source

    def get(self, index: int, default: str = "") -> str:
        """Return the parameter at index, or default where the client sent fewer."""
        return self.params[index] if index < len(self.params) else default

    def __repr__(self) -> str:
        return f"Message({self.command!r}, {self.params!r}, tags={self.tags!r}, source={self.source!r})"


def parse(line: bytes) -> Message | None:
    """Return the message on one line without its line ending, or None for an empty one.

    Raises:
        BadLine: too long, not UTF-8, or NUL or CR inside.
    """
    tags: dict[str, str] = {}
    if line[:1] == b"@":
        raw, _, line = line.partition(b" ")
        if len(raw) - 1 > MAX_CLIENT_TAGS:
            raise BadLine("too-long", _command_of(line))
        try:
            tags = parse_tags(raw[1:].decode())
        except UnicodeDecodeError:
            raise BadLine("not-utf8", _command_of(line)) from None
    if len(line) > MAX_BODY:
        raise BadLine("too-long", _command_of(line), tags)
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise BadLine("not-utf8", _command_of(line), tags) from None
    if "\0" in text or "\r" in text:
        raise BadLine("bad-character", _command_of(line), tags)
    return _parse_text(text, tags)


def _parse_text(text: str, tags: dict[str, str]) -> Message | None:
    source = ""
    text = text.lstrip(" ")
    if text.startswith(":"):
        source, _, text = text[1:].partition(" ")
        text = text.lstrip(" ")
    head, colon, trailing = (text + " ").partition(" :")
    params = head.split(" ") if "  " not in head else head.split()
    params = [param for param in params if param] if "" in params else params
    if not params:
        return None
    if len(params) > MAX_PARAMS:
        params = params[:MAX_PARAMS]
    command = params.pop(0).upper()
    if colon:
        params.append(trailing[:-1])
    return Message(command, params, tags, source)


def _command_of(line: bytes) -> str:
    """Name the command of a line that could not be parsed, for the reply."""
    for word in line.split(b" ", 3):
        if word and word[:1] != b":":
            return word.decode().upper() if word.isalnum() and word.isascii() else "*"
    return "*"


def parse_tags(text: str) -> dict[str, str]:
    """Return name -> unescaped value; a missing value is empty, of repeated names the last wins."""
    tags: dict[str, str] = {}
    for item in text.split(";"):
        name, _, value = item.partition("=")
        if name:
            tags[name] = unescape(value) if "\\" in value else value
    return tags


def unescape(value: str) -> str:
    """Undo the escaping of a tag value; a lone backslash is dropped, as is one before any other letter."""
    parts = value.split("\\")
    out = [parts[0]]
    position = 1
    while position < len(parts):
        part = parts[position]
        if part:
            out.append(_UNESCAPE.get(part[0], part[0]) + part[1:])
        elif position + 1 < len(parts):  # two in a row stand for one
            position += 1
            out.append("\\" + parts[position])
        position += 1
    return "".join(out)


def format_tags(tags: dict[str, str]) -> str:
    """Return "@name=value;flag " ready to stand before a line, or "" without tags."""
    if not tags:
        return ""
    items = (f"{name}={value.translate(_ESCAPE)}" if value else name for name, value in tags.items())
    return f"@{';'.join(items)} "


def format_line(source: str, command: str, params: tuple[str, ...] | list[str], text: str | None = None) -> str:
    """Return a line without tags and line ending, cut to 510 bytes of whole characters.

    Args:
        source: who says it, or "".
        params: middle parameters; the last gets a colon when it needs one.
        text: a last parameter that always gets a colon.

    Raises:
        ValueError: a part holds CR, LF or NUL, or a middle parameter could be read as two.
    """
    words = [f":{source}", command] if source else [command]
    words.extend(params)
    if params and text is None:
        last = words[-1]
        if not last or last[0] == ":" or " " in last:
            words[-1] = f":{last}"
    elif text is not None:
        words.append(f":{text}")
    line = " ".join(words)
    if any(mark in line for mark in _FORBIDDEN):
        raise ValueError(f"IRC {command} not sent: a parameter holds CR, LF or NUL")
    for param in params if text is not None else params[:-1]:
        if not param or param[0] == ":" or " " in param:
            raise ValueError(f"IRC {command} not sent: {param!r} can only stand last")
    if len(line) * 4 > MAX_BODY and len(raw := line.encode()) > MAX_BODY:
        line = raw[:MAX_BODY].decode(errors="ignore")
    return line
