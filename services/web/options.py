"""The options of `midair make web`, and what they make."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...runtime import kinds
from ...runtime.errors import NotAPort, ServiceError
from ...runtime.sockets import port as port_number
from .apps import AppMount
from .apps.loading import is_there, split
from .cgi import CGI
from .far import DEFAULT_PORT
from .loaded import Loaded
from .ratelimit import RateLimit
from .resource import NameVirtualHost, Over, Resource
from .scripts import Scripts
from .static import Static
from .templates import Templates, engines
from .tls import Certificate
from .users import RENDEZVOUS, admitted

if TYPE_CHECKING:
    from .service import Offering, Web

W = TypeVar("W", bound="Web")

_TARGETS = """
A TARGET, for --mount and --vhost, is a folder or file, asgi:PACKAGE:APP, wsgi:PACKAGE:APP, FILE.py:CLASS,
http://HOST[:PORT]/, https://HOST[:PORT]/, http+unix:SOCKET, or midair://HOST[:PORT]/NAME, which is what another
midair server with --offer says it is called.

example: midair make web --static ./public --port 8080
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _TARGETS
    add = parser.add_argument
    add("-p", "--port", default="8080", metavar="PORT", help="TCP port, or ./PATH of a Unix socket (default 8080)")
    add("--host", default="127.0.0.1", help="address to listen on; '' is every one of the machine (default loopback)")
    add("--tls", nargs=2, metavar=("CERT", "KEY"), help="serve HTTPS; renewed files are taken up without a restart")
    _add_roots(parser.add_argument_group("what to serve at /").add_mutually_exclusive_group().add_argument)
    _add_relays(parser.add_argument_group("your own site, below another server's").add_argument)
    _add_more(parser.add_argument_group("more of it").add_argument)
    _add_operating(parser.add_argument_group("operating it").add_argument)


def _add_roots(add: Callable[..., Any]) -> None:
    add("-s", "--static", metavar="PATH", help="a folder of files, or one file")
    add("-m", "--module", metavar="FILE:CLASS", help="an instance of a Resource class in a file")
    add("--asgi", metavar="PACKAGE:APP", help="an ASGI application")
    add("--wsgi", metavar="PACKAGE:APP", help="a WSGI application")
    add("--user", action="store_true", help="people: ~NAME/public_html and their own servers, by name")


def _add_relays(add: Callable[..., Any]) -> None:
    offer = f"let other midair servers mount this site, from this port (default {DEFAULT_PORT}); prints its address"
    add("--personal", action="store_true", help="listen for it; served is ~/public_html or what is said above")
    add("--central", action="append", default=[], metavar="USER", help="who may ask, beside you and root")
    add("--offer", type=port_number, nargs="?", const=DEFAULT_PORT, metavar="PORT", help=offer)
    add("--rendezvous", default=RENDEZVOUS, metavar="DIR", help=f"where they meet (default {RENDEZVOUS})")


def _add_more(add: Callable[..., Any]) -> None:
    vhost = "another site for a name, such as *.example.org"
    cache = "Cache-Control of files, such as *.css=max-age=60"
    scripts = "run .epy, .cgi and template files that nobody but the server's user could have written (default: yes)"
    add("--mount", action="append", default=[], metavar="/PATH=TARGET", help="something else below a path")
    add("--vhost", action="append", default=[], metavar="NAME=TARGET", help=vhost)
    add("-i", "--index", action="append", metavar="NAME", help="file that stands for its folder (default index.html)")
    add("--no-listing", action="store_true", help="do not list folders without one")
    add("--cache", action="append", default=[], metavar="PATTERN=VALUE", help=cache)
    add("--scripts", action=argparse.BooleanOptionalAction, default=True, help=scripts)


def _add_operating(add: Callable[..., Any]) -> None:
    telnet = "a console over telnet; prints its password once"
    add("-t", "--telnet", type=port_number, metavar="PORT", help=telnet)
    add("--access-log", metavar="FILE", help="Combined log; '-' is standard output")
    add("--rate", type=float, metavar="N", help="requests a second that one client may make")
    add("--status", action="store_true", help="a live page for you at /-/status; prints its password once")
    add("--metrics", action="store_true", help="numbers for Prometheus at /-/metrics, from this machine only")
    add("--show-errors", choices=("local", "never", "always"), default="local", help="who sees tracebacks")


def make(cls: type[W], options: argparse.Namespace) -> W:
    """The web server that the options ask for.

    Raises:
        ServiceError: something named in them is not there.
    """
    from .service import Personal, Settings

    root = _root(options)
    if options.mount:
        root = _with_mounts(root, options)
    if options.vhost:
        hosts = NameVirtualHost(root)
        for name, target in (_pair(text, "--vhost NAME=TARGET") for text in options.vhost):
            hosts.addHost(name, resource_of(target, options))
        root = hosts
    settings = Settings(access_log=_path(options.access_log), rate=RateLimit(options.rate) if options.rate else None)
    certificate = Certificate(*options.tls) if options.tls else None
    if certificate is not None:
        certificate.open()  # now, when somebody is there to read what is wrong with it
    web = cls(root, port=_place(options.port), host=options.host, certificate=certificate, settings=settings)
    if options.personal:
        admitted(options.central)  # now, when somebody is there to read that a user is unknown
        web.addresses_wanted = [Personal(options.rendezvous, tuple(options.central))]
    if options.offer is not None:
        web.addresses_wanted.append(_offering(options))
    web.site.show_errors = options.show_errors
    if options.telnet is not None:
        # The console is not ours to import: it is a kind like any other.
        wanted = argparse.Namespace(port=options.telnet, user=getpass.getuser(), password=None)
        web.beside["telnet"] = kinds.load("telnet").make(wanted)
    if options.status or options.metrics:
        from .operator import Operator

        web.site.operator = Operator(metrics=options.metrics)
        if options.status:
            password = web.site.operator.set_password()
            print(f"/-/status is for 'operator' with the password {password}")  # noqa: T201 - shown once, kept nowhere
    return web


def _place(text: str) -> int | str:
    if "/" in text:
        return os.path.abspath(text)
    try:
        return port_number(text)
    except NotAPort as error:
        raise ServiceError(
            f"--port: {error}, and the path of a Unix socket has a '/', as ./web.sock has; nothing was made"
        ) from None


def _offering(options: argparse.Namespace) -> Offering:
    from .service import Offering

    if not options.tls and options.host not in {"127.0.0.1", "localhost", "::1"}:
        raise ServiceError(
            f"--offer on {options.host or 'every address'} needs --tls CERT KEY: whoever overhears the address may ask"
        )
    offering = Offering(options.offer, options.host, Certificate(*options.tls) if options.tls else None)
    print(f"other midair servers mount this site by --mount /PATH={offering.address()}")  # noqa: T201 - for who made it
    return offering


def _root(options: argparse.Namespace) -> Resource:
    if options.user:
        from .users import Users

        return Users(options.rendezvous)
    if options.static:
        return static_of(options.static, options)
    if options.module:
        return Loaded(options.module)
    if options.asgi or options.wsgi:
        return _application("asgi" if options.asgi else "wsgi", options.asgi or options.wsgi)
    home = os.path.expanduser("~/public_html")
    if options.personal and os.path.isdir(home):
        return static_of(home, options)
    from .demo import Demo

    return Demo()


def _application(kind: str, target: str) -> AppMount:
    """Looked for now, when somebody is there to read that it is missing, and imported when the server runs."""
    name, folder = split(target)[0], os.getcwd()
    if not is_there(name, folder):
        raise ServiceError(f"there is no module {name!r} for {kind}:{target} in {folder} or among the installed ones")
    return AppMount(target, kind=kind, folder=folder)


def static_of(path: str, options: argparse.Namespace) -> Static:
    if not os.path.exists(path):
        raise ServiceError(f"there is no file or folder {path}; nothing is served")
    index = options.index or ["index.html", "index.htm", *(["index.epy"] if options.scripts else ())]
    cache = [_pair(text, "--cache PATTERN=VALUE") for text in options.cache]
    static = Static(path, index=index, listing=not options.no_listing, cache=cache)
    if options.scripts:
        static.processors = {".epy": Scripts(), ".cgi": CGI(), **dict.fromkeys(engines(), Templates())}
    return static


def resource_of(target: str, options: argparse.Namespace) -> Resource:
    """What a TARGET names.

    Raises:
        ServiceError: nothing.
    """
    kind, _, rest = target.partition(":")
    if kind in {"asgi", "wsgi"} and rest:
        return _application(kind, rest)
    if kind in {"http", "https", "http+unix"}:
        from .upstream import Upstream

        return Upstream(target)
    if kind in {"midair", "midair+tcp", "midair+unix"}:
        from .far import FarSite

        return FarSite(target)
    if ".py:" in target:
        return Loaded(target)
    return static_of(target, options)


def _with_mounts(root: Resource, options: argparse.Namespace) -> Resource:
    if root.isLeaf:
        # The mounts come first, and whatever is not theirs goes to what was at the root.
        root = Over(root)
    for path, target in (_pair(text, "--mount /PATH=TARGET") for text in options.mount):
        node = root
        *way, last = [part for part in path.split("/") if part] or [""]
        if not last:
            raise ServiceError(
                f"--mount {path}={target}: a mount has a path below /; for / itself there are other options"
            )
        for part in way:
            below = (node.children or {}).get(part)
            if below is None:
                node.putChild(part, below := Resource())
            node = below
        node.putChild(last, resource_of(target, options))
    return root


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, target = text.partition("=")
    if not (name and equals and target):
        raise ServiceError(f"{text!r} is not of the form {form}")
    return name, target


def _path(text: str | None) -> str | None:
    return text if text in {None, "-"} else os.path.abspath(str(text))
