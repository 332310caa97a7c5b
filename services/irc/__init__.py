"""An IRC server that is changed while people talk on it.

message.py names.py modes.py numerics.py   what the protocol is made of; no I/O, no state
channel.py client.py network.py            who and what there is; no I/O
accounts.py history.py sasl.py             who may be who, what was said
dispatch.py commands/                      from a line to what it does, looked up by name each time
bots.py nickserv.py chanserv.py            people made of Python
connection.py websocket.py tls.py          bytes, in and out
server.py                                  the service: `Irc`
"""

from __future__ import annotations

from .bots import Bot, Said
from .server import Irc

__all__ = ["Bot", "Irc", "Said"]
