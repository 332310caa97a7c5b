"""The web server.

    service.py    Web: where it listens, its life, a kind of service
    site.py       the tree of resources as one ASGI application; errors
    resource.py   Resource, the nodes of the tree; virtual hosts
    request.py    one request and its answer; forms.py, sessions.py
    static.py     files and folders
    scripts.py    live Python pages; cgi.py, templates.py; trust.py says which are run
    apps/         ASGI and WSGI applications by path
    upstream.py   other HTTP servers by path
    far.py        other midair servers by path, over services/spread; offered.py is their end of it
    users.py      people's files and their own servers
    operator.py   the status page and numbers below /-/
    engine/       uvicorn's protocols on our own sockets
    rules.py      what HTTP asks for, without I/O

A request: engine (limits) -> Web.answer -> Site -> along the tree -> Resource.respond -> engine (one write, or sendfile).
"""

from .apps import AppMount
from .errors import NotFound, WebError
from .far import FarSite
from .request import Request
from .resource import NameVirtualHost, Resource, Text
from .service import Address, Settings, Web
from .sessions import Session
from .site import Site
from .static import Static
from .upstream import Upstream

__all__ = [
    "Address",
    "AppMount",
    "FarSite",
    "NameVirtualHost",
    "NotFound",
    "Request",
    "Resource",
    "Session",
    "Settings",
    "Site",
    "Static",
    "Text",
    "Upstream",
    "Web",
    "WebError",
]
