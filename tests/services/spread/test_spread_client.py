"""The client and the service over real sockets: addresses, TLS, logins, URLs, a link that is lost and comes back."""

import asyncio
import contextlib
import pickle
import socket
from pathlib import Path

import pytest
from spread_running import at, port_of, running, stopped

from midair import Service
from midair.runtime.errors import LimitExceeded, ServiceError
from midair.services import spread
from midair.services.spread import address, client
from midair.services.spread.broker import Broker
from midair.services.spread.portal import TRIES

CERTIFICATE = str(Path(__file__).parents[2] / "data" / "spread" / "localhost.pem")


class Api(spread.Referenceable):
    def __init__(self):
        self.ended = asyncio.Event()
        self.notes = []

    @spread.remote
    def add(self, a, b):
        return a + b

    @spread.remote
    def note(self, what):
        self.notes.append(what)

    @spread.remote
    def room(self):
        return Room()

    @spread.remote
    async def hang(self):
        try:
            await asyncio.sleep(1000)
        finally:
            self.ended.set()

    @spread.remote
    async def chunks(self, count, size):
        for _ in range(count):
            yield bytes(size)

    @spread.remote
    async def total(self, items):
        return sum([len(item) async for item in items])


class Room(spread.Referenceable):
    @spread.remote
    def describe(self):
        return "a room"


class User(spread.Avatar):
    def __init__(self, visitor):
        self.visitor = visitor
        self.logouts = 0

    @spread.remote
    def name(self):
        return self.visitor.user

    @spread.remote
    def uid(self):
        return self.visitor.credentials.uid if self.visitor.credentials else None

    @spread.remote
    async def ask_mind(self):
        return await self.visitor.mind.describe()

    def logout(self):
        self.logouts += 1


class Realm:
    def __init__(self):
        self.avatars = []

    def avatar(self, visitor):
        if visitor.user == "banned":
            raise spread.Unauthorized("banned until noon")
        self.avatars.append(User(visitor))
        return self.avatars[-1]


async def test_a_client_calls_a_service_in_a_space():
    service = spread.Spread(Api(), port=0)
    async with running(service), await spread.connect(at(service)) as peer:
        assert peer.dialect == "midair-1"
        assert await peer.root.add(1, 2) == 3
        assert await peer.root.call("add", "a", "b") == "ab"
        assert await peer.root.room().describe() == "a room"
        results = await asyncio.gather(*(peer.root.add(number, 1) for number in range(100)))
        assert results == list(range(1, 101))


@pytest.mark.parametrize("dialect", ["midair-1", "pb", "none"])
async def test_streams_go_both_ways_in_every_encoding(dialect):
    service = spread.Spread(Api(), port=0)
    async with running(service), await spread.connect(at(service), dialects=(dialect,)) as peer:
        assert peer.dialect == dialect
        sizes = [len(chunk) async for chunk in peer.root.chunks(50, 50_000)]
        assert sizes == [50_000] * 50

        async def chunks():
            for _ in range(50):
                yield bytes(50_000)

        assert await peer.root.total(chunks()) == 2_500_000


async def test_a_unix_socket_tells_who_is_calling(tmp_path):
    import os

    path = str(tmp_path / "api.sock")
    service = spread.Spread(port=None, path=path, realm=Realm(), anonymous=True)
    async with running(service), await spread.connect(path) as peer:
        avatar = await peer.login_anonymous()
        assert await avatar.uid() == os.getuid()
        assert await avatar.name() is None


async def test_a_password_is_proven_and_does_not_cross_the_wire(monkeypatch):
    users, realm = spread.Users(), Realm()
    users.add("alice", "secret of alice")
    service = spread.Spread(port=0, realm=realm, users=users)
    said = bytearray()
    say = Broker.say
    monkeypatch.setattr(Broker, "say", lambda broker, data, **how: (said.extend(data), say(broker, data, **how))[1])
    async with running(service), await spread.connect(at(service)) as peer:
        avatar = await peer.login("alice", "secret of alice", Room())
        assert await avatar.name() == "alice"
        assert await avatar.ask_mind() == "a room"
        with pytest.raises(spread.Unauthorized):
            await peer.login("alice", "secret of bob")
        with pytest.raises(spread.Unauthorized):
            await peer.login("nobody", "secret of alice")
    assert b"alice" in said
    assert b"secret" not in said
    assert [avatar.logouts for avatar in realm.avatars] == [1]


async def test_a_realm_may_refuse_a_user_who_proved_the_password():
    users = spread.Users()
    users.add("banned", "x")
    service = spread.Spread(port=0, realm=Realm(), users=users)
    async with running(service), await spread.connect(at(service)) as peer:
        with pytest.raises(spread.Unauthorized, match="banned until noon"):
            await peer.login("banned", "x")


async def test_a_server_that_does_not_know_the_password_is_found_out():
    class Impostor(spread.Referenceable):
        @spread.remote
        def authenticate(self, user, nonce):
            return b"n" * 24, (b"s" * 16, 1 << 14, 8, 1), self

        @spread.remote
        def prove(self, proof, mind):
            return b"x" * 32, Room()

    service = spread.Spread(Impostor(), port=0)
    async with running(service), await spread.connect(at(service)) as peer:
        with pytest.raises(spread.Unauthorized, match="without knowing the password"):
            await peer.login("alice", "secret")


@pytest.mark.parametrize(
    "cost", [(1 << 10, 8, 1), (1 << 30, 8, 1), (1 << 14, 1, 1), (1 << 14, 8, 1000), (20_000, 8, 1)]
)
async def test_a_server_cannot_ask_for_a_proof_that_is_cheap_to_guess_or_dear_to_make(cost):
    class Greedy(spread.Referenceable):
        @spread.remote
        def authenticate(self, user, nonce):
            return b"n" * 24, (b"s" * 16, *cost), Room()

    service = spread.Spread(Greedy(), port=0)
    async with running(service), await spread.connect(at(service)) as peer:
        with pytest.raises(spread.Unauthorized, match="out of bounds"):
            await peer.login("alice", "secret")


async def test_guessing_is_cut_off_after_some_tries():
    service = spread.Spread(port=0, realm=Realm(), users=_users(alice="secret"), md5=True)
    async with running(service):
        for _ in range(TRIES):
            async with await spread.connect(at(service)) as peer:
                with pytest.raises(spread.Unauthorized, match="no such user"):
                    await peer.login("alice", "guess", md5=True)
        async with await spread.connect(at(service)) as peer:
            with pytest.raises(spread.Unauthorized, match="within a minute"):
                await peer.login("alice", "secret")


def _users(**passwords):
    users = spread.Users()
    for name, password in passwords.items():
        users.add(name, password)
    return users


async def test_an_object_is_called_by_its_url_without_a_login():
    realm, room = Realm(), Room()
    service = spread.Spread(port=0, realm=realm, users=_users(alice="x"))
    async with running(service):
        url = service.publish(room)
        assert service.publish(room) == url
        assert url.startswith("midair+tcp://127.0.0.1:")
        assert len(url.rpartition("/")[2]) == 32
        async with await spread.connect(url) as peer:
            assert await peer.root.describe() == "a room"
        async with await spread.connect(url[:-1] + ("A" if url[-1] != "A" else "B")) as peer:
            with pytest.raises(spread.DeadReference, match="nothing here has the name"):
                await peer.root.describe()
        service.withdraw(room)
        async with await spread.connect(url) as peer:
            with pytest.raises(spread.DeadReference, match="nothing here has the name"):
                await peer.root.describe()


async def test_a_url_names_the_certificate_that_the_server_has_to_show():
    service = spread.Spread(Api(), port=0, certificate=CERTIFICATE)
    async with running(service):
        url = service.publish(Room())
        assert url.startswith("midair://")
        async with await spread.connect(url) as peer:
            assert await peer.root.describe() == "a room"
        scheme, _, rest = url.partition("://")
        with pytest.raises(spread.Unauthorized, match="another certificate"):
            await spread.connect(f"{scheme}://{'0' * 64}@{rest.partition('@')[2]}")
        with pytest.raises(OSError, match="certificate"):
            await spread.connect(at(service), ssl=True)


async def test_a_url_leads_to_a_unix_socket(tmp_path):
    service = spread.Spread(Api(), port=None, path=str(tmp_path / "api.sock"))
    async with running(service):
        url = service.publish(Room(), "hall")
        assert url == f"midair+unix://{tmp_path}/api.sock#hall"
        async with await spread.connect(url) as peer:
            assert await peer.root.describe() == "a room"


async def test_a_url_is_not_given_out_where_it_could_be_overheard():
    service = spread.Spread(Api(), port=0, host="0.0.0.0")
    with pytest.raises(ServiceError, match="not running"):
        service.publish(Room())
    async with running(service):
        with pytest.raises(ServiceError, match="in the clear"):
            service.publish(Room())


async def test_a_lost_link_comes_back_with_its_login_and_its_subscriptions():
    realm = Realm()
    service = spread.Spread(port=0, realm=realm, users=_users(alice="secret"))
    async with running(service), await spread.connect(at(service), reconnect=True) as peer:
        avatar = await peer.login("alice", "secret")
        old = await avatar._found.call("name")
        welcomed = asyncio.Event()

        async def welcome(peer):
            assert await avatar.name() == "alice"
            welcomed.set()

        peer.on_connect(welcome)
        for connection in service.connections:
            connection.abort()
        await peer.lost()
        assert old == await avatar.name() == "alice"
        await welcomed.wait()
        assert [avatar.logouts for avatar in realm.avatars] == [1, 0]


async def test_a_login_that_is_refused_after_a_reconnection_ends_the_attempts():
    users = _users(alice="secret")
    service = spread.Spread(port=0, realm=Realm(), users=users)
    async with running(service), await spread.connect(at(service), reconnect=True) as peer:
        avatar = await peer.login("alice", "secret")
        users.add("alice", "changed")
        for connection in service.connections:
            connection.abort()
        await peer.lost()
        with pytest.raises((spread.Unauthorized, spread.DeadReference), match="no such user"):
            await avatar.name()
        with pytest.raises(spread.DeadReference, match="was given up: .*no such user"):
            await avatar.name()


async def test_a_server_that_is_away_for_a_while_is_found_again(monkeypatch):
    monkeypatch.setattr("midair.services.spread.client.FIRST_PAUSE", 0.01)
    service = spread.Spread(Api(), port=0)
    async with running(service):
        peer = await spread.connect(at(service), reconnect=True)
        service.port = port_of(service)
    await peer.lost()
    calls = [asyncio.ensure_future(peer.root.add(number, 1)) for number in range(3)]
    with pytest.raises(TimeoutError):
        await peer.root.within(0.05).add(1, 1)
    async with running(service):
        assert await asyncio.gather(*calls) == [1, 2, 3]
        assert await peer.root.add(2, 2) == 4
        await peer.close()


async def test_a_call_under_way_fails_when_the_link_is_lost_and_the_next_one_waits():
    api = Api()
    service = spread.Spread(api, port=0)
    async with running(service), await spread.connect(at(service), reconnect=True) as peer:
        room = await peer.root.room()
        waiting = peer.root.hang()
        await peer.root.add(1, 1)
        for connection in service.connections:
            connection.abort()
        with pytest.raises(spread.DeadReference):
            await waiting
        with pytest.raises(spread.DeadReference):
            await room.describe()
        assert await peer.root.add(1, 2) == 3


async def test_without_reconnect_a_lost_link_is_an_error_at_once():
    service = spread.Spread(Api(), port=0)
    async with running(service):
        peer = await spread.connect(at(service))
        for connection in service.connections:
            connection.abort()
        await peer.lost()
        with pytest.raises(spread.DeadReference, match="is gone"):
            await peer.root.add(1, 2)
        with pytest.raises(spread.DeadReference):
            peer.root.send("note", 1)


async def test_the_server_stops_what_a_client_is_waiting_for():
    api = Api()
    service = spread.Spread(api, port=0)
    async with running(service):
        peer = await spread.connect(at(service))
        waiting = peer.root.hang()
        await peer.root.add(1, 1)
        await stopped(service)
        with pytest.raises(spread.RemoteError, match="cancelled by the peer"):
            await waiting
        await api.ended.wait()
        await peer.close()


async def test_a_reference_by_url_survives_being_saved():
    service = spread.Spread(Api(), port=0)
    async with running(service):
        reference = spread.reference(service.publish(Room()))
        again = pickle.loads(pickle.dumps(reference))
        assert repr(again) == repr(reference)
        assert await again.describe() == "a room"
        assert await reference.describe() == "a room"
        for one in (reference, again):
            await one.peer.close()


async def test_after_a_restart_a_url_finds_its_object_again(tmp_path):
    from midair.runtime.testing import resaved

    room = Room()
    service = spread.Spread(Api(), port=None, path=str(tmp_path / "api.sock"))
    async with running(service):
        url = service.publish(room)
        reference = spread.reference(url)
        assert await reference.describe() == "a room"
        space = service.space
    again = resaved(space)["service0"]
    async with running(again):
        assert await reference.describe() == "a room"
        assert await spread.reference(url).describe() == "a room"
    await reference.peer.close()


async def test_a_service_calls_another_and_its_connection_ends_with_it():
    class Caller(Service):
        async def start(self):
            self.peer = await spread.connect(self.where, service=self)
            self.sum = await self.peer.root.add(2, 3)

        __transient__ = ("peer",)

    offering, calling = spread.Spread(Api(), port=0), Caller()
    async with running(offering):
        calling.where = at(offering)
        async with running(calling):
            assert calling.sum == 5
            assert len(calling.connections) == 1
        assert not calling.peer.connected


async def test_an_address_where_nobody_is():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await spread.connect(f"127.0.0.1:{port}")
    with pytest.raises(FileNotFoundError):
        await spread.connect("/nowhere/at/all.sock")


async def test_something_else_that_answers_is_an_error():
    async def answer(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    with pytest.raises(spread.BadMessage):
        await spread.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    server.close()


async def test_something_that_says_nothing_is_given_up():
    left = asyncio.Event()

    async def listen(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    with pytest.raises(TimeoutError):
        await spread.connect(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.05)
    await left.wait()
    server.close()


async def test_no_encoding_in_common_is_an_error():
    service = spread.Spread(Api(), port=0)
    async with running(service):
        with pytest.raises(spread.BadMessage, match="the server offers"):
            await spread.connect(at(service), dialects=("morse",))


@pytest.mark.parametrize("dialect", ["midair-1", "pb", "none"])
async def test_a_stranger_is_kept_small_until_it_logs_in(dialect):
    service = spread.Spread(port=0, realm=Realm(), users=_users(alice="secret"))
    async with running(service):
        async with await spread.connect(at(service), dialects=(dialect,)) as peer:
            with pytest.raises((spread.DeadReference, LimitExceeded)):
                await peer.root.authenticate("alice", [b"x" * 1_000] * 70)
        async with await spread.connect(at(service), dialects=(dialect,)) as peer:
            provers = [await peer.root.authenticate("alice", b"n" * 24) for _ in range(16)]
            with pytest.raises(LimitExceeded, match="16 references"):
                await peer.root.authenticate("alice", b"n" * 24)
            del provers
        async with await spread.connect(at(service), dialects=(dialect,)) as peer:
            avatar = await peer.login("alice", "secret")
            with pytest.raises(TypeError):
                await avatar.name(b"x" * 70_000)


async def test_a_stranger_who_does_not_log_in_is_dropped(monkeypatch):
    service = spread.Spread(port=0, realm=Realm(), anonymous=True)
    async with running(service):
        quick = await spread.connect(at(service))
        await quick.login_anonymous()
        monkeypatch.setattr("midair.services.spread.portal.LOGIN_TIME", 0.05)
        idle = await spread.connect(at(service))
        await idle.lost()
        assert quick.connected
        await quick.close()


async def test_a_peer_that_reads_nothing_is_not_answered_without_end(monkeypatch):
    limits = spread.Limits(unsent=100_000)
    service = spread.Spread(Api(), port=0, limits=limits)
    monkeypatch.setattr("midair.services.spread.link.STALLED", 0.2)
    async with running(service):
        peer = await spread.connect(at(service))
        peer._link.transport.pause_reading()
        for _ in range(3000):
            peer.root.add(b"x" * 10_000, b"y").add_done_callback(lambda promise: promise.exception())
        await peer.lost()
        await peer.close()


async def test_a_peer_that_reads_late_gets_every_answer():
    service = spread.Spread(Api(), port=0, limits=spread.Limits(unsent=100_000))
    async with running(service):
        peer = await spread.connect(at(service))
        peer._link.transport.pause_reading()
        promises = [peer.root.add(bytes([number % 256]) * 10_000, b"") for number in range(2000)]
        (link,) = service.connections
        while not link._held:
            await asyncio.sleep(0)
        assert link.broker.answering < 200_000
        peer._link.transport.resume_reading()
        answers = await asyncio.gather(*promises)
        assert [answer[:1] for answer in answers] == [bytes([number % 256]) for number in range(2000)]
        assert not link._held
        await peer.close()


async def test_two_peers_that_both_send_much_do_not_wait_for_each_other():
    service = spread.Spread(Api(), port=0, limits=spread.Limits(unsent=100_000))
    async with running(service), await spread.connect(at(service), limits=spread.Limits(unsent=100_000)) as peer:
        answers = await asyncio.gather(*(peer.root.add(b"x" * 20_000, b"y") for _ in range(500)))
        assert {len(answer) for answer in answers} == {20_001}
        await peer.drain()


async def test_two_users_on_one_connection_are_told_apart():
    service = spread.Spread(port=0, realm=Realm(), users=_users(alice="a", bob="b"), md5=True)
    async with running(service), await spread.connect(at(service)) as peer:
        alice, bob = await asyncio.gather(peer.login("alice", "a"), peer.login("bob", "b"))
        assert await alice.name() == "alice"
        assert await bob.name() == "bob"


async def test_a_service_of_ones_own_serves_an_object_beside_its_work():
    class Work(Service):
        async def start(self):
            self.listener = await spread.serve(self, Api(), 0)

        __transient__ = ("listener",)

    service = Work()
    async with running(service), await spread.connect(f"127.0.0.1:{service.listener.port}") as peer:
        assert await peer.root.add(1, 2) == 3


TWISTED_SERVER = """
import sys
from twisted.cred import checkers, portal
from twisted.internet import reactor
from twisted.spread import pb
from zope.interface import implementer

@implementer(portal.IRealm)
class Realm:
    def requestAvatar(self, name, mind, *interfaces):
        avatar = User()
        avatar.name, avatar.mind = name, mind
        return pb.IPerspective, avatar, lambda: None

class User(pb.Avatar):
    def perspective_name(self):
        return self.name
    def perspective_ask_mind(self):
        return self.mind.callRemote("describe")
    def perspective_stop(self):
        reactor.callLater(0, reactor.stop)

known = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
port = reactor.listenTCP(0, pb.PBServerFactory(portal.Portal(Realm(), [known])), interface="127.0.0.1")
print(port.getHost().port, flush=True)
reactor.run()
"""


async def test_a_twisted_server_in_a_process_of_its_own():
    import sys

    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TWISTED_SERVER, stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        port = int(await program.stdout.readline())
        async with await spread.connect(f"127.0.0.1:{port}") as peer:
            assert peer.dialect == "pb"
            with pytest.raises(spread.Unauthorized):
                await peer.login("alice", "wrong", md5=True)
            with pytest.raises(spread.NoSuchMethod):
                await peer.login("alice", "secret")
            avatar = await peer.login("alice", "secret", Room(), md5=True)
            assert await avatar.name() == b"alice"
            assert await avatar.ask_mind() == "a room"
            avatar.send("stop")
            await peer.lost()
            with pytest.raises(spread.DeadReference):
                await avatar.name()
        assert await program.wait() == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("localhost:8787", address.Address(host="localhost", port=8787)),
        ("[::1]:8787", address.Address(host="::1", port=8787)),
        ("/run/app.sock", address.Address(path="/run/app.sock")),
        ("unix:/run/app.sock", address.Address(path="/run/app.sock")),
        ("midair://example.org:1/N-_4", address.Address(host="example.org", port=1, name="N-_4", tls=True)),
        (f"midair://{'a' * 64}@h:1/N", address.Address(host="h", port=1, name="N", tls=True, print="a" * 64)),
        ("midair+tcp://127.0.0.1:1/", address.Address(host="127.0.0.1", port=1)),
        ("midair+unix:///run/a%20b.sock#N", address.Address(path="/run/a b.sock", name="N")),
    ],
)
def test_addresses_are_read_and_written_as_urls(text, read):
    assert address.parse(text) == read
    assert address.parse(str(read)) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:port",
        "host:70000",
        "http://host:1/",
        "midair://host/N",
        "midair://x@h:1/N",
        "midair+unix://h/p",
        "h:1/N",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(spread.BadAddress, match="write|no path|SHA-256|no address"):
        address.parse(text)


def test_the_users_keep_no_password():
    users = _users(alice="open sesame")
    assert b"open sesame" not in pickle.dumps(users)
    assert "alice" in users
    assert list(users) == ["alice"]
    assert repr(users.verifier("alice")) == "<Verifier>"
    assert users.verifier("nobody").salt == users.verifier("nobody").salt
    users.remove("alice")
    assert len(users) == 0
    with pytest.raises(ValueError, match="empty"):
        users.add("alice", "")


def test_a_portal_is_one_thing_or_the_other():
    with pytest.raises(TypeError, match="exactly one"):
        spread.Portal()
    with pytest.raises(TypeError, match="exactly one"):
        spread.Portal(Api(), realm=Realm())
    with pytest.raises(TypeError, match="nobody could log in"):
        spread.Portal(realm=Realm())


async def test_midair_make_spread_offers_a_guest_book():
    import argparse

    parser = argparse.ArgumentParser()
    spread.Spread.add_arguments(parser)
    service = spread.Spread.make(parser.parse_args(["--port", "0"]))
    async with running(service), await spread.connect(at(service)) as peer:
        assert await peer.root.sign("hello") == 1
        ((_, text),) = await peer.root.read()
        assert text == "hello"
    with pytest.raises(ServiceError, match="MODULE:CLASS"):
        spread.Spread.make(parser.parse_args(["--root", "nonsense"]))
    with pytest.raises(ServiceError, match="not a Referenceable"):
        spread.Spread.make(parser.parse_args(["--root", "asyncio:Event"]))
    with pytest.raises(ServiceError, match="^--certificate nofile cannot be used: No such file or directory; nothing"):
        spread.Spread.make(parser.parse_args(["--certificate", "nofile"]))
    assert client.LONGEST_PAUSE > client.FIRST_PAUSE
