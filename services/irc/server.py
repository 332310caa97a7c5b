"""The service: listeners, the clock of the network, slow work in threads, and what `midair make irc` asks."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import secrets
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...runtime import kinds
from ...runtime.service import Service
from ...runtime.sockets import port
from . import accounts, bots, tls
from .bots import Bot
from .chanserv import ChanServ
from .commands import capability
from .connection import IrcConnection
from .names import fold
from .network import Network
from .nickserv import NickServ

if TYPE_CHECKING:
    from .client import Client

OPER_VARIABLE = "MIDAIR_IRC_OPER"
NAME_VARIABLE = "MIDAIR_IRC_NAME"
SWEEP = 5.0  # seconds between looks at who has fallen silent
MOTD_LINES = 200


class Irc(Service):
    """IRC: channels, accounts and history for every client, edited while people talk.

    Across a rebuild: everybody stays connected, in the channels they are in.
    In a snapshot: accounts, channels with topics, modes and lists, history, bots and bans; nobody's connection.
    """

    __transient__ = ("_certificate", "_threads", "_tasks", "_motd_seen", "_next_sweep")

    #: More than `Settings.max_clients`, which says so in words.
    max_connections = 50_000

    #: Pages of these origins may use the websocket, besides those of its own host; "*": all.
    websocket_origins: tuple[str, ...] = ()

    _certificate: tls.Certificate | None = None
    _threads: ThreadPoolExecutor | None = None
    _tasks: set[asyncio.Task[Any]]
    _next_sweep: asyncio.TimerHandle | None = None
    _motd_seen: tuple[int, int] = (0, 0)

    #: A service that is put into the space beside this one at its first start.
    beside: Service | None = None

    def __init__(
        self,
        port: int = 6667,
        *,
        host: str = "127.0.0.1",
        name: str = "irc.localhost",
        title: str = "midair",
        motd: str = "",
        cert: str = "",
        key: str = "",
        tls_port: int = 6697,
        client_ca: str = "",
        ws_host: str = "127.0.0.1",
        ws_port: int | None = None,
    ) -> None:
        """Make a network of one server.

        Args:
            port: where clients connect; 0 for any that is free.
            host: loopback unless said otherwise.
            name: of the server, with a dot in it.
            title: of the network.
            motd: path of a file with the message of the day; read again when it changes.
            cert, key: paths of a certificate and its key, for TLS; read again when they change.
            tls_port: where clients connect over TLS; the same as port: only there.
            client_ca: path of the authorities whose client certificates log in (SASL EXTERNAL).
            ws_host, ws_port: where websocket clients connect; None: nowhere.
        """
        self.port, self.host, self.motd = port, host, motd
        self.cert, self.key, self.tls_port, self.client_ca = cert, key, tls_port, client_ca
        self.ws_host, self.ws_port = ws_host, ws_port
        self.network = Network(name, title)
        for bot in (NickServ(), ChanServ()):
            self.network.bots[fold(bot.nick)] = bot

    # --- life

    async def start(self) -> None:
        if self.beside:
            self.space[f"{self.name}-telnet"], self.beside = self.beside, None
        network = self.network
        network.carrier, network.worker = self, self._work
        self._tasks = set()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="irc-hash")
        self._motd_seen = (0, 0)
        _from_environment(network)
        capability.renew(network)
        self.read_motd()
        for bot in network.bots.values():
            bots.enter(network, bot)
        if self.cert:
            self._certificate = tls.Certificate(self.cert, self.key, self.client_ca)
            await self.listen(self.tls_port, IrcConnection, host=self.host, ssl=self._certificate.context)
        if not self.cert or self.tls_port != self.port or not self.port:
            await self.listen(self.port, IrcConnection, host=self.host)
        if self.ws_port is not None:
            from .websocket import WebSocketConnection

            await self.listen(self.ws_port, WebSocketConnection, host=self.ws_host)
        self._arm()

    async def stop(self) -> None:
        for client in list(self.network.connections):
            self.network.drop(client, "The server is going down")
        for bot in self.network.bots.values():
            bots.leave(self.network, bot, "The server is going down")
        for task in self._tasks:
            task.cancel()
        if self._next_sweep:
            self._next_sweep.cancel()
            self._next_sweep = None
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self.network.worker = self.network.carrier = None

    # --- for those who run it

    def add_bot(self, bot: Bot) -> None:
        """Put a bot on the network, now and after each start; one of the same nickname makes room."""
        if before := self.network.bots.get(fold(bot.nick)):
            bots.leave(self.network, before, "Replaced")
        self.network.bots[fold(bot.nick)] = bot
        if self.network.carrier is self:
            bots.enter(self.network, bot)

    def remove_bot(self, nick: str) -> None:
        """Take a bot off the network for good.

        Raises:
            KeyError: there is none of that nickname.
        """
        bots.leave(self.network, self.network.bots.pop(fold(nick)), "Removed")

    def add_oper(self, name: str, password: str) -> None:
        """Let somebody become an operator by OPER name password. Slow: some tens of milliseconds."""
        self.network.opers[name] = accounts.make(password)

    def rehash(self, client: Client | None = None) -> None:
        """Bring code, message of the day and certificate to what the files say, soon; tell the client how it went."""
        task = asyncio.get_running_loop().create_task(self._rehash(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rehash(self, client: Client | None) -> None:
        from ...runtime import rebuild

        try:
            report = await rebuild.apply()
        except rebuild.RebuildError as error:
            text = f"Nothing was changed: {error}"
        else:
            text = str(report)
        self.read_motd()
        self.refresh_certificate()
        if client is not None and not client.closing:
            client.notice(text)

    def read_motd(self) -> None:
        """Read the message of the day again if its file changed."""
        if not self.motd:
            return
        try:
            info = os.stat(self.motd)
            if (info.st_mtime_ns, info.st_size) == self._motd_seen:
                return
            text = Path(self.motd).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self.log.warning("message of the day not read: %s; the old one stays", error)
            return
        self._motd_seen = (info.st_mtime_ns, info.st_size)
        self.network.motd = [line.rstrip().replace("\0", "")[:400] for line in text.splitlines()][:MOTD_LINES]

    def refresh_certificate(self) -> None:
        """Take up a certificate that was replaced on disk."""
        try:
            if self._certificate and self._certificate.refresh():
                self.log.info("new certificate %s taken up", self.cert)
        except OSError as error:
            self.log.warning("certificate not taken up: %s; the old one stays", error)

    # --- the carrier of the network

    def wake(self) -> None:
        """There is something to write: do it once the work in hand is done."""
        asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what clients have been sent, each client's lines at once."""
        self.network.settle()
        dirty, self.network.dirty = self.network.dirty, []
        for client in dirty:
            if client.connection is not None:
                client.connection.flush()
            else:
                client.out.clear()

    def _work(
        self, client: Client, job: Callable[..., Any], args: tuple[Any, ...], then: str, context: tuple[Any, ...]
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._work_elsewhere(client, job, args, then, context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_elsewhere(
        self, client: Client, job: Callable[..., Any], args: tuple[Any, ...], then: str, context: tuple[Any, ...]
    ) -> None:
        result = await asyncio.get_running_loop().run_in_executor(self._threads, job, *args)
        try:
            self.network.finish(client, result, then, context)
        except Exception:
            self.log.exception("error in %s for %r", then, client)
        if client.connection is not None:
            client.connection.resume()

    # --- the clock of the network

    def _arm(self) -> None:
        # Neither a timer of the space nor a job: those count as work, and a server on which nobody says anything
        # would be saved every minute for nothing.
        self._next_sweep = asyncio.get_running_loop().call_later(SWEEP, self._tick)

    def _tick(self) -> None:
        self._arm()
        self.sweep()

    def sweep(self) -> None:
        """Look after those who fell silent, channels nobody came back to, and files that changed."""
        network, settings = self.network, self.network.settings
        now = network.now()
        for client in list(network.connections):
            silent = now - client.last_heard
            if not client.registered and now - client.connected > settings.register_within:
                network.drop(client, "Registration timed out")
            elif silent > settings.drop_after:
                network.drop(client, f"Ping timeout: {int(silent)} seconds")
            elif silent > settings.ping_after and not client.pinged:
                client.pinged = True
                client.send("", "PING", text=network.name)
        if now - network.started > settings.empty_for:
            for key, channel in list(network.channels.items()):
                if not channel.members and not channel.stays:
                    del network.channels[key]
        capability.renew(network)
        self.read_motd()
        self.refresh_certificate()

    # --- the kind

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=port, default=6667, help="port for clients (default: 6667)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--name", default="", help="of the network; with a dot in it, of the server too")
        parser.add_argument("--server-name", default="", help=f"of the server (or {NAME_VARIABLE})")
        parser.add_argument("--motd", default="", metavar="FILE", help="message of the day")
        parser.add_argument(
            "--oper", default="", metavar="NAME", help=f"an operator (or {OPER_VARIABLE}=name:password)"
        )
        parser.add_argument(
            "--password-file",
            default="",
            metavar="F",
            help="with --oper the operator's password, else the one that clients must give",
        )
        parser.add_argument(
            "--tls", nargs="+", default=[], metavar="FILE", help="TLS: CERT KEY [PORT] (default port: 6697)"
        )
        parser.add_argument("--client-ca", default="", metavar="FILE", help="authorities of client certificates")
        parser.add_argument("--sts", type=int, default=0, metavar="SECONDS", help="have clients insist on TLS from now")
        parser.add_argument("--ws", default="", metavar="HOST:PORT", help="websocket clients")
        parser.add_argument(
            "--telnet", type=port, metavar="PORT", help="a console over telnet; prints its password once"
        )

    @classmethod
    def make(cls, options: argparse.Namespace) -> Irc:
        """Return a service as the command line asks for it.

        Raises:
            ValueError: options that do not fit together, in a sentence.
        """
        title = options.name or "midair"
        name = options.server_name or os.environ.get(NAME_VARIABLE) or (title if "." in title else "irc.localhost")
        cert, key, tls_port = _tls_options(options.tls)
        ws_host, ws_port = _host_and_port(options.ws)
        service = cls(
            options.port,
            host=options.host,
            name=_server_name(name),
            title=title,
            motd=_file("--motd", options.motd),
            cert=cert,
            key=key,
            tls_port=tls_port,
            client_ca=_file("--client-ca", options.client_ca),
            ws_host=ws_host,
            ws_port=ws_port,
        )
        if options.sts:
            if not cert:
                raise ValueError("--sts needs --tls: clients would insist on what is not there")
            service.network.settings.sts_duration, service.network.settings.sts_port = options.sts, tls_port
        _set_passwords(service, options.oper, options.password_file)
        if options.telnet is not None:
            # The console is not ours to import: it is a kind like any other.
            wanted = argparse.Namespace(port=options.telnet, user=getpass.getuser(), password=None)
            service.beside = kinds.load("telnet").make(wanted)
        return service


def _server_name(name: str) -> str:
    if "." not in name or any(mark in name for mark in " :!@*,") or len(name) > 63:
        raise ValueError(f"{name!r} cannot be a server's name: it has a dot and no space, e.g. irc.example.org")
    return name


def _file(option: str, name: str) -> str:
    """The whole path of a file that an option names, which has to be there; "" for none."""
    if name and not Path(name).is_file():
        raise ValueError(f"{option} {name}: there is no such file; nothing was made")
    return str(Path(name).absolute()) if name else ""


def _tls_options(words: list[str]) -> tuple[str, str, int]:
    if not words:
        return "", "", 6697
    if len(words) not in {2, 3} or (len(words) == 3 and not words[2].isdigit()):
        raise ValueError("--tls takes a certificate, a key and perhaps a port")
    number = port(words[2]) if len(words) == 3 else 6697
    cert, key = (_file("--tls", word) for word in words[:2])
    return cert, key, number


def _host_and_port(text: str) -> tuple[str, int | None]:
    if not text:
        return "127.0.0.1", None
    host, _, number = text.rpartition(":")
    if not number.isdigit():
        raise ValueError(f"--ws takes HOST:PORT, such as 127.0.0.1:8097; got {text!r}")
    return host.strip("[]") or "127.0.0.1", port(number)


def _set_passwords(service: Irc, oper: str, file: str) -> None:
    password = ""
    if file:
        password = Path(_file("--password-file", file)).read_text(encoding="utf-8").partition("\n")[0].strip()
        if not password:
            raise ValueError(f"{file} holds no password in its first line")
    known = os.environ.get(OPER_VARIABLE, "").partition(":")[0]
    if oper and oper != known:
        if not password:
            password = secrets.token_urlsafe(12)
            sys.stdout.write(f"operator {oper}, password {password} (shown once)\n")
        service.add_oper(oper, password)
    elif password:
        service.network.password = accounts.make(password)
    _from_environment(service.network)


def _from_environment(network: Network) -> None:
    """Take operator and server name from the environment, where they are set."""
    name, colon, password = os.environ.get(OPER_VARIABLE, "").partition(":")
    if colon and name and password:
        network.opers[name] = accounts.make(password)
    if server := os.environ.get(NAME_VARIABLE):
        network.name = _server_name(server)
