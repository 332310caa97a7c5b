"""Remote objects: call the objects of another program, and let it call yours.

    server    class Api(spread.Referenceable):              space["api"] = spread.Spread(Api(), port=8787)
                  @spread.remote
                  def add(self, a, b): return a + b
    client    async with await spread.connect("localhost:8787") as peer:
                  total = await peer.root.add(1, 2)

Programs of this package speak a compact encoding with one another, and Twisted's perspective broker with everybody
else; neither side has to know.

    flavors, errors        what crosses, and how it can fail          users, portal     logins
    references, stream     what the caller holds                      client, service   asyncio's side
    broker, calls, holding the object layer of one connection         link, turn, watch a broker on a Connection, its loop
    packed | jelly, banana, jellywire   the two encodings             negotiation       which of them
"""

from .client import How, NamedReference, Peer, connect, reference
from .errors import (
    BadAddress,
    BadMessage,
    DeadReference,
    NoSuchMethod,
    NotAllowed,
    NotSendable,
    RemoteError,
    SpreadError,
    Unauthorized,
)
from .flavors import (
    Avatar,
    Cacheable,
    Copyable,
    Error,
    Referenceable,
    RemoteCache,
    RemoteCopy,
    Viewable,
    ViewPoint,
    register,
    remote,
)
from .limits import FRIEND, STRANGER, Limits
from .link import Credentials, Link
from .portal import Portal, Published, Realm, Visitor
from .references import Promise, RemoteReference
from .service import Spread, serve
from .stream import Source, pages, send_pages
from .users import Users

__all__ = [
    "FRIEND",
    "STRANGER",
    "Avatar",
    "BadAddress",
    "BadMessage",
    "Cacheable",
    "Copyable",
    "Credentials",
    "DeadReference",
    "Error",
    "How",
    "Limits",
    "Link",
    "NamedReference",
    "NoSuchMethod",
    "NotAllowed",
    "NotSendable",
    "Peer",
    "Portal",
    "Promise",
    "Published",
    "Realm",
    "Referenceable",
    "RemoteCache",
    "RemoteCopy",
    "RemoteError",
    "RemoteReference",
    "Source",
    "Spread",
    "SpreadError",
    "Unauthorized",
    "Users",
    "ViewPoint",
    "Viewable",
    "Visitor",
    "connect",
    "pages",
    "reference",
    "register",
    "remote",
    "send_pages",
    "serve",
]
