"""Addresses and URLs of peers and their objects, as people write them. No I/O.

    host:port  [::1]:port          TCP                     /run/app.sock  unix:/run/app.sock    a Unix socket
    midair://host:port/NAME        TLS, checked against the machine's authorities
    midair://PRINT@host:port/NAME  TLS, checked against the SHA-256 of the server's own certificate, in hex
    midair+unix:///run/app.sock#NAME                       midair+tcp://127.0.0.1:port/NAME     in the clear

NAME is the object's unguessable name, or nothing for the root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from .errors import BadAddress


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer is, and what to call there."""

    host: str = ""
    port: int = 0
    path: str = ""
    name: str = "root"
    tls: bool = False
    print: str = ""

    def __str__(self) -> str:
        name = quote(self.name, safe="") if self.name != "root" else ""
        if self.path:
            return f"midair+unix://{quote(self.path)}" + (f"#{name}" if name else "")
        pin = f"{self.print}@" if self.print else ""
        return f"midair{'' if self.tls else '+tcp'}://{pin}{self.place}/{name}"

    @property
    def place(self) -> str:
        """The address without the object, as people write it."""
        if self.path:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def named(self, name: str) -> Address:
        """The address of another object of the same peer."""
        return replace(self, name=name)


def parse(text: str) -> Address:
    """Read an address or a URL.

    Raises:
        BadAddress: it is neither.
    """
    if text.startswith("/"):
        return Address(path=text)
    if text.startswith("unix:"):
        return Address(path=text.removeprefix("unix:"))
    scheme = re.match(r"(midair(?:\+tcp|\+unix)?)://", text)
    try:
        parts = urlsplit(text if scheme else f"//{text}")
        port = parts.port
    except ValueError as error:
        raise BadAddress(f"{text!r} is no address: {error}") from None
    if scheme and scheme[1] == "midair+unix":
        if not parts.path or parts.netloc:
            raise BadAddress(f"{text!r} has no path; a Unix socket is written midair+unix:///run/app.sock#NAME")
        return Address(path=unquote(parts.path), name=unquote(parts.fragment) or "root")
    if not parts.hostname or port is None or (not scheme and parts.path):
        raise BadAddress(
            f"{text!r} is no address; write host:port, a path that begins with '/', or midair://host:port/NAME"
        )
    pin = (parts.username or "").lower()
    if pin and not re.fullmatch(r"[0-9a-f]{64}", pin):
        raise BadAddress(f"{text!r}: before the '@' stands the SHA-256 of a certificate, 64 hexadecimal digits")
    return Address(
        host=parts.hostname,
        port=port,
        name=unquote(parts.path.strip("/")) or "root",
        tls=bool(scheme) and scheme[1] == "midair",  # type: ignore[index] # a match, as was just asked
        print=pin,
    )
