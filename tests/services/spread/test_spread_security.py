"""What must never happen, whoever asks: see also the bombs of test_spread_fuzz and the logins of test_spread_client."""

import ast
import os
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest
from spread_pair import Pair, settled

from midair import Space
from midair.runtime import snapshot
from midair.runtime.errors import LimitExceeded
from midair.runtime.testing import connected, resaved
from midair.services import spread
from midair.services.spread import flavors
from midair.services.spread.banana import encode
from midair.services.spread.broker import Broker
from midair.services.spread.link import Link
from midair.services.spread.negotiation import DIALECTS
from midair.services.spread.portal import LOGIN_TIME, Failures

FOLDER = Path(flavors.__file__).parent


class Root(spread.Referenceable):
    secret = "class attribute"

    def __init__(self):
        self.attribute = "instance attribute"
        self.remote_trap = "not a method"

    def remote_fine(self):
        return "fine"

    @property
    def remote_looked(self):
        raise RuntimeError("a property is looked at when it is called")


def test_nothing_that_runs_what_it_reads_is_imported():
    """No pickle, marshal, shelve, eval or exec anywhere between the socket and the objects."""
    for file in FOLDER.glob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & {
                "pickle",
                "marshal",
                "shelve",
                "zodbpickle",
                "dill",
            }, file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), file


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_attributes_are_not_reached_only_methods_that_were_declared(dialect):
    pair = Pair(Root(), dialect=dialect)
    for name in (
        "secret",
        "attribute",
        "__dict__",
        "__class__",
        "__reduce__",
        "__getattribute__",
        "remote_fine",
        "find_remote",
    ):
        with pytest.raises(spread.NoSuchMethod):
            await pair.root.call(name)
    with pytest.raises(TypeError, match="not callable"):
        await pair.root.call("trap")
    with pytest.raises(spread.RemoteError, match="looked at"):
        await pair.root.call("looked")
    assert await pair.root.fine() == "fine"


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_an_object_that_was_not_sent_cannot_be_called_by_guessing_its_number(dialect):
    pair = Pair(Root(), dialect=dialect)
    other = Pair(Root(), dialect=dialect)
    other.server.exports.add(Root(), most=10)
    for number in (0, 1, 2, -1, 2**40):
        with pytest.raises(spread.DeadReference, match="is held by you"):
            await pair.client.call(number, "fine", (), {}, None)


def test_only_copies_and_caches_can_be_registered():
    for kind in (object, dict, Root, os.PathLike, "name"):
        with pytest.raises(TypeError):
            register = spread.register(kind)
            register(Root)


async def test_a_stranger_cannot_reach_past_the_login():
    class Realm:
        def avatar(self, visitor):
            raise AssertionError("nobody logged in")

    portal = spread.Portal(realm=Realm(), users=spread.Users())
    link, transport = connected(portal.link())
    client = Broker(DIALECTS["midair-1"])
    root = client.proxy("root")
    inbox = bytearray()
    link.data_received(b"\x08\x82midair-1")
    assert link.broker is not None
    transport.sent.clear()

    async def ask(promise):
        link.data_received(client.take())
        await settled()
        inbox.extend(transport.sent)
        transport.sent.clear()
        client.received(inbox)
        return await promise

    for call in (
        root.loginAnonymous(None),
        root.login("x"),
        root.avatar(),
        root.enter("root", None),
        root.deny(),
        root.portal(),
    ):
        with pytest.raises((spread.Unauthorized, spread.NoSuchMethod)):
            await ask(call)
    nonce, (salt, *_), prover = await ask(root.authenticate("root", b"n" * 24))
    assert len(nonce) == 24
    assert len(salt) == 16
    for proof in (b"", b"\0" * 32, "text", None):
        with pytest.raises(spread.Unauthorized):
            await ask(prover.prove(proof))
    transport.close()


def test_failed_logins_are_counted_by_address_and_forgotten_with_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("midair.services.spread.portal.time.monotonic", lambda: now[0])
    failures = Failures()
    for port in range(10):
        failures.check("10.0.0.1:1")
        failures.add(f"10.0.0.1:{port}")
    with pytest.raises(spread.Unauthorized, match=r"10 logins from 10\.0\.0\.1 failed"):
        failures.check("10.0.0.1:99")
    failures.check("10.0.0.2:1")
    now[0] += 61
    failures.check("10.0.0.1:99")
    assert LOGIN_TIME > 0


async def test_a_web_browser_that_connects_is_dropped_at_its_first_line():
    link, transport = connected(spread.Portal(Root()).link())
    link.data_received(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert transport.is_closing()
    assert isinstance(link.why, spread.BadMessage)


async def test_who_is_at_a_unix_socket_is_what_the_kernel_says():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    link = Link(server=True, limits=spread.STRANGER)
    link, transport = connected(link)
    transport.get_extra_info = lambda name, default=None: ours if name == "socket" else default
    assert link.credentials == spread.Credentials(os.getpid(), os.getuid(), os.getgid())
    ours.close()
    theirs.close()
    transport.close()


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_what_a_peer_says_in_an_error_does_nothing_to_a_terminal(dialect):
    class Sly(spread.Referenceable):
        def remote_fail(self):
            raise ValueError("\x1b]0;owned\x07\ntwo\u009b lines\r")

    with pytest.raises(ValueError, match=r"^builtins.ValueError: \?]0;owned\?\ntwo\? lines\?$"):
        await Pair(Sly(), dialect=dialect).root.fail()


def test_a_secret_is_in_no_repr():
    users = spread.Users()
    users.add("alice", "open sesame", md5=True)
    assert "sesame" not in f"{users!r} {users.verifier('alice')!r} {vars(users)!r}"


class Picture(spread.Cacheable):
    def __init__(self):
        self.dots = [1]


async def test_what_a_peer_holds_is_not_saved_with_the_space():
    space = Space()
    space["picture"] = Picture()
    pair = Pair(Root())
    space["picture"].cache_state(None, pair)
    space["reference"] = pair.root
    assert not snapshot.check(space).problems
    again = resaved(space)
    assert again["picture"].dots == [1]
    assert not again["picture"].observers
    assert not again["reference"].alive
    with pytest.raises(spread.DeadReference, match="earlier connection"):
        await again["reference"].fine()


@pytest.mark.parametrize("dialect", ["midair-1", "pb", "none"])
async def test_a_stranger_makes_us_hold_no_more_than_it_may(dialect):
    """One message of 48 strings of 640 KiB each, as it would have to be held until it is whole: 30 MB."""
    link, transport = connected(spread.Portal(realm=object(), anonymous=True).link())
    link.data_received(bytes([len(dialect)]) + b"\x82" + dialect.encode())
    string = b"\x00\x00\x28\x82" + bytes(640 * 1024)
    beginning = struct.pack("!I", 48 * 640 * 1024) if dialect == "midair-1" else b"\x30\x80"
    tracemalloc.start()
    try:
        for start in range(0, 48 * len(string), 16 * 1024):
            piece = string[start % len(string) :][: 16 * 1024]
            if link.is_closing:
                break
            link.data_received(beginning + piece)
            beginning = b""
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(link.why, LimitExceeded)
    assert transport.is_closing()
    assert peak < 1 << 20


async def test_a_peer_that_takes_nothing_of_what_we_call_is_dropped_in_the_end(monkeypatch):
    monkeypatch.setattr(spread.Link, "max_unsent", 100_000)
    link, transport = connected(spread.Link(server=False, limits=spread.FRIEND))
    link.data_received(encode([b"midair-1"], vocabulary=False))
    transport.stalled = True
    root = link.broker.proxy("root")
    for _ in range(9):
        root.send("echo", bytes(10_000))
        link.flush()
    assert not transport.is_closing()
    calling = root.echo(bytes(20_000))
    link.flush()
    assert transport.is_closing()
    await settled()
    with pytest.raises(spread.DeadReference):
        await calling
