"""Twisted's perspective broker as a peer, both ways round: its code drives ours, byte for byte.

What Twisted's own tests of pb, banana and jelly check is a subset of what stands here and in test_banana, test_jelly and
test_broker. Left out, and why: Python 2 and old-style classes, `instance`, `class`, `function`, `module`, `method` and
persistent-id expressions and SecurityOptions (we refuse them all; see test_jelly), `publish` (obsolete), paging from
files (a page is bytes), failures thrown into generators, printed or jellied twice (Twisted's Failure class), pbcallback
keywords, factories for copies and copies with slots (a registered class's own `__new__` and `set_copy_state` do that),
avatars and roots that only adapt to their interface, several checkers behind one portal, `callRemote` on a local object,
and the reactor's own ways to fail to connect (see test_spread_client).
"""

import asyncio
import gc

import pytest
from spread_pair import Picture
from spread_twisted import TwistedFailure, TwistedPair, pb, twisted_root
from twisted.cred import checkers, credentials
from twisted.cred import portal as cred
from twisted.internet.defer import Deferred
from twisted.spread import jelly as twisted_jelly
from twisted.spread.banana import SIZE_LIMIT
from twisted.spread.util import StringPager, getAllPages
from zope.interface import implementer

from midair.runtime.errors import LimitExceeded
from midair.services.spread import (
    Avatar,
    Copyable,
    DeadReference,
    Error,
    Limits,
    NotSendable,
    Portal,
    Referenceable,
    RemoteCache,
    RemoteCopy,
    RemoteError,
    RemoteReference,
    Unauthorized,
    Users,
    Viewable,
    pages,
    register,
    send_pages,
)
from midair.services.spread.banana import MAX_LENGTH, encode
from midair.services.spread.client import _login_md5
from midair.services.spread.errors import BadMessage

VALUES = [
    (1, "two", 3.0),
    [1, [2, b"three"], {"four": 5, 6: None}],
    {"set": {1, 2}, "frozen": frozenset({3})},
    True,
    None,
    2**31,
    -(2**100),
    b"\x00\xff" * 500,
    "ünï",
    (),
]


# --- what both sides offer; `Their…` is Twisted's


class Room(Referenceable):
    def __init__(self):
        self.gone = 0

    def remote_describe(self):
        return "our room"

    def released(self):
        self.gone += 1


class TheirRoom(pb.Referenceable):
    def remote_describe(self):
        return "their room"


class Point(Copyable):
    wire_name = "test.OurPoint"

    def __init__(self, x):
        self.x = x


class TheirPoint(pb.Copyable):
    def __init__(self, x):
        self.x = x


@register
class Here(RemoteCopy):
    wire_name = f"{__name__}.TheirPoint"


class There(pb.RemoteCopy):
    pass


pb.setUnjellyableForClass("test.OurPoint", There)


class OurPicture(Picture):
    wire_name = "test.OurPicture"


class PictureThere(pb.RemoteCache):
    def observe_add(self, dot):
        self.dots.append(dot)


pb.setUnjellyableForClass("test.OurPicture", PictureThere)


class TheirPicture(pb.Cacheable):
    def __init__(self):
        self.dots = [1]
        self.observers = []
        self.stopped = 0

    def getStateToCacheAndObserveFor(self, perspective, observer):
        self.observers.append(observer)
        return {"dots": list(self.dots)}

    def stoppedObserving(self, perspective, observer):
        self.observers.clear()
        self.stopped += 1

    def add(self, dot):
        self.dots.append(dot)
        for observer in self.observers:
            observer.callRemote("add", dot)


@register
class PictureHere(RemoteCache):
    wire_name = f"{__name__}.TheirPicture"

    def observe_add(self, dot):
        self.dots.append(dot)


class Offers:
    """What both sides' roots answer alike."""

    def __init__(self, room, picture):
        self.room, self.picture = room, picture
        self.notes = []

    def remote_echo(self, value=None, **names):
        return names or value

    def remote_room(self):
        return self.room

    def remote_is_room(self, room):
        return room is self.room

    def remote_picture(self):
        return self.picture

    def remote_is_picture(self, picture):
        return picture is self.picture

    def remote_note(self, what):
        self.notes.append(what)


class Root(Offers, Referenceable):
    def __init__(self):
        super().__init__(Room(), OurPicture(1))

    async def remote_ask(self, other):
        return await other.call("describe")

    def remote_fail(self, text):
        raise KeyError(text)

    def remote_point(self, x):
        return Point(x)

    async def remote_pages(self, collector, count):
        await send_pages(collector, (bytes([number]) * 8192 for number in range(count)))

    async def remote_count(self, n):
        for number in range(n):
            yield number


class TheirRoot(Offers, pb.Root):
    def __init__(self):
        super().__init__(TheirRoom(), TheirPicture())
        self.waiting: Deferred = Deferred()

    def remote_ask(self, other):
        return other.callRemote("describe")

    def remote_fail(self, text):
        raise pb.Error(text)

    def remote_point(self, x):
        return TheirPoint(x)

    def remote_x_of(self, point):
        return point.x

    def remote_pages(self, collector):
        StringPager(collector, bytes(range(256)) * 100, 1000)

    def remote_much(self):
        return [b"x" * 1000] * 100

    def remote_wait(self):
        return self.waiting


def our_server(root=None, **options):
    return TwistedPair(pb.PBClientFactory(), Portal(root or Root(), **options))


def their_server(root=None, **options):
    return TwistedPair(pb.PBServerFactory(root or TheirRoot()), **options)


# --- Twisted calls us


async def test_twisted_gets_our_root_and_calls_it():
    pair = our_server()
    root = await twisted_root(pair)
    assert pair.broker.wire.name == "pb"
    for value in VALUES:
        result = await pair.wait(root.callRemote("echo", value))
        assert result == value
        assert type(result) is type(value)
    assert await pair.wait(root.callRemote("echo", a=1)) == {"a": 1}


async def test_twisted_may_prefer_the_plain_dialect():
    factory = pb.PBClientFactory()
    factory.protocol = type("Plain", (pb.Broker,), {"knownDialects": [b"none"]})
    pair = TwistedPair(factory, Portal(Root()))
    root = await twisted_root(pair)
    assert pair.broker.wire.name == "none"
    assert await pair.wait(root.callRemote("echo", VALUES)) == VALUES


async def test_names_of_arguments_sent_as_bytes_are_understood():
    pair = our_server()
    await twisted_root(pair)
    args, names = [b"tuple"], [b"dictionary", [b"a", 1]]
    answer = pair.twisted.waitingForAnswers[77] = Deferred()
    pair.link.data_received(encode([b"message", 77, b"root", b"echo", 1, args, names], vocabulary=True))
    assert await pair.wait(answer) == {"a": 1}


async def test_twisted_holds_our_object_until_it_lets_go():
    root = Root()
    pair = our_server(root)
    theirs = await twisted_root(pair)
    room = await pair.wait(theirs.callRemote("room"))
    assert await pair.wait(room.callRemote("describe")) == "our room"
    assert await pair.wait(theirs.callRemote("is_room", room)) is True
    del room
    gc.collect()
    await pair.settle()
    assert root.room.gone == 1
    assert len(pair.broker.exports) == 0


async def test_our_server_calls_twisteds_object():
    pair = our_server()
    theirs = await twisted_root(pair)
    assert await pair.wait(theirs.callRemote("ask", TheirRoom())) == "their room"


async def test_our_errors_arrive_at_twisted_with_type_and_text():
    pair = our_server(tracebacks=True)
    theirs = await twisted_root(pair)
    with pytest.raises(TwistedFailure) as caught:
        await pair.wait(theirs.callRemote("fail", "nothing"))
    assert caught.value.type == "builtins.KeyError"
    assert caught.value.failure.check(LookupError)
    assert "remote_fail" in caught.value.failure.traceback
    with pytest.raises(TwistedFailure) as caught:
        await pair.wait(theirs.callRemote("missing"))
    assert caught.value.failure.check("twisted.spread.flavors.NoSuchMethod")


async def test_an_exception_that_is_a_copy_of_ours_does_not_cost_twisted_its_connection():
    class Late(Error):
        wire_name = "test.Late"

    class Refuses(Referenceable):
        def remote_refuse(self):
            raise Late("too late")

    pair = our_server(Refuses())
    theirs = await twisted_root(pair)
    with pytest.raises(TwistedFailure, match="too late") as caught:
        await pair.wait(theirs.callRemote("refuse"))
    assert caught.value.type == "test.Late"


async def test_twisted_gets_a_copy_of_our_copyable():
    pair = our_server()
    theirs = await twisted_root(pair)
    point = await pair.wait(theirs.callRemote("point", 5))
    assert type(point) is There
    assert point.x == 5


async def test_twisteds_cache_of_our_cacheable_follows_it_and_is_given_back():
    root = Root()
    pair = our_server(root)
    theirs = await twisted_root(pair)
    picture = await pair.wait(theirs.callRemote("picture"))
    again = await pair.wait(theirs.callRemote("picture"))
    root.picture.add(2)
    await pair.settle()
    assert picture.dots == again.dots == [1, 2]
    assert await pair.wait(theirs.callRemote("is_picture", picture)) is True
    del picture
    gc.collect()
    await pair.settle()
    assert root.picture.stopped == 0
    del again
    gc.collect()
    await pair.settle()
    assert root.picture.stopped == 1
    assert len(pair.broker.shown) == 0
    assert not pair.twisted.locallyCachedObjects


async def test_twisted_collects_the_pages_we_send():
    pair = our_server()
    theirs = await twisted_root(pair)
    got = await pair.wait(getAllPages(theirs, "pages", 5))
    assert got == [bytes([number]) * 8192 for number in range(5)]


async def test_twisted_reads_a_stream_of_ours_by_asking_for_the_next_items():
    pair = our_server()
    theirs = await twisted_root(pair)
    stream = await pair.wait(theirs.callRemote("count", 3))
    items, more = await pair.wait(stream.callRemote("next", 2))
    while more:
        further, more = await pair.wait(stream.callRemote("next", 2))
        items += further
    assert items == [0, 1, 2]


async def test_twisted_calls_without_an_answer():
    root = Root()
    pair = our_server(root)
    theirs = await twisted_root(pair)
    assert theirs.callRemote("note", "hello", pbanswer=False) is None
    await pair.settle()
    assert root.notes == ["hello"]


async def test_twisted_sends_strings_of_640_kib():
    pair = our_server()
    theirs = await twisted_root(pair)
    assert SIZE_LIMIT == MAX_LENGTH
    assert len(await pair.wait(theirs.callRemote("echo", b"x" * SIZE_LIMIT))) == SIZE_LIMIT


async def test_a_longer_answer_is_an_error_of_that_call():
    class Long(Referenceable):
        def remote_long(self):
            return b"x" * (SIZE_LIMIT + 1)

        def remote_short(self):
            return b"x"

    pair = our_server(Long())
    theirs = await twisted_root(pair)
    with pytest.raises(TwistedFailure, match="at most 655360"):
        await pair.wait(theirs.callRemote("long"))
    assert await pair.wait(theirs.callRemote("short")) == b"x"


async def test_the_loss_of_the_connection_reaches_both_sides():
    root = Root()
    pair = our_server(root)
    theirs = await twisted_root(pair)
    room = await pair.wait(theirs.callRemote("room"))
    picture = await pair.wait(theirs.callRemote("picture"))
    pair.lose()
    with pytest.raises(pb.DeadReferenceError):
        room.callRemote("describe")
    assert root.room.gone == root.picture.stopped == 1
    assert picture.dots == [1]


async def test_twisted_refuses_a_class_of_ours_that_it_did_not_register_and_goes_on():
    class Strange(Copyable):
        pass

    class Offers(Referenceable):
        def remote_strange(self):
            return Strange()

        def remote_fine(self):
            return "fine"

    pair = our_server(Offers())
    theirs = await twisted_root(pair)
    pending = theirs.callRemote("strange")
    with pytest.raises(twisted_jelly.InsecureJelly):
        pair.pump()
        await pair.settle()
    del pending


@pytest.mark.parametrize(
    "expression",
    [
        [b"version", 5],
        [b"version"],
        [b"nonsense", 1],
        [b"didNotUnderstand", b"x"],
        [b"message", 1, b"root", b"echo", 1, [b"tuple"]],
        [b"message", b"one", b"root", b"echo", 1, [b"tuple"], [b"dictionary"]],
        [b"message", 1, b"root", 5, 1, [b"tuple"], [b"dictionary"]],
        [b"decref", 99],
        [b"decref", b"x"],
        [b"uncache", [b"list"]],
        [[b"list"]],
        [],
    ],
    ids=repr,
)
async def test_a_message_that_is_no_message_ends_the_connection(expression):
    pair = our_server()
    await twisted_root(pair)
    pair.link.data_received(encode(expression, vocabulary=True))
    assert pair.link.is_closing
    assert isinstance(pair.link.why, BadMessage)


@pytest.mark.parametrize(
    "failure",
    [
        [b"twisted.spread.pb.CopyableFailure"],
        [b"twisted.spread.pb.CopyableFailure", [b"list"]],
        [b"twisted.spread.pb.CopyableFailure", [b"dictionary"], 5],
        [b"os.system", b"true"],
    ],
    ids=repr,
)
async def test_a_failure_that_cannot_be_read_fails_that_call_alone(failure):
    pair = their_server()
    waiting = pair.root.wait()
    pair.link.data_received(encode([b"error", pair.broker._last, failure], vocabulary=True))
    with pytest.raises(BadMessage):
        await waiting
    assert await pair.wait(pair.root.echo(1)) == 1


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ([b"tuple", [b"os.system", b"true"]], [b"dictionary"]),
        ([b"tuple", [b"unpersistable", b"because"]], [b"dictionary"]),
        ([b"tuple", [b"cached", 5]], [b"dictionary"]),
        ([b"tuple", [b"lcache", 5]], [b"dictionary"]),
        ([b"tuple", [b"local", 5]], [b"dictionary"]),
        ([b"unicode", b"text"], [b"dictionary"]),
        ([b"tuple"], [b"list"]),
        (5, 6),
    ],
    ids=repr,
)
async def test_arguments_that_cannot_be_made_fail_that_call_alone(args, names):
    pair = our_server()
    theirs = await twisted_root(pair)
    answer = pair.twisted.waitingForAnswers[500] = Deferred()
    pair.link.data_received(encode([b"message", 500, b"root", b"echo", 1, args, names], vocabulary=True))
    with pytest.raises(TwistedFailure):
        await pair.wait(answer)
    assert await pair.wait(theirs.callRemote("echo", 1)) == 1


# --- we call Twisted


async def test_we_call_twisteds_root():
    pair = their_server()
    assert pair.broker.wire.name == "pb"
    for value in VALUES:
        result = await pair.wait(pair.root.echo(value))
        assert result == value
        assert type(result) is type(value)
    assert await pair.wait(pair.root.call("echo", a=1)) == {"a": 1}


async def test_we_hold_twisteds_object_until_we_let_go():
    pair = their_server()
    room = await pair.wait(pair.root.room())
    assert isinstance(room, RemoteReference)
    assert await pair.wait(room.describe()) == "their room"
    assert await pair.wait(pair.root.is_room(room)) is True
    assert len(pair.twisted.localObjects) == 2
    del room
    gc.collect()
    await pair.settle()
    assert list(pair.twisted.localObjects) == [b"root"]


async def test_twisteds_server_calls_our_object():
    pair = their_server()
    assert await pair.wait(pair.root.ask(Room())) == "our room"


async def test_twisteds_errors_arrive_with_their_type():
    pair = their_server()
    with pytest.raises(RemoteError, match="no such luck") as caught:
        await pair.wait(pair.root.fail("no such luck"))
    assert caught.value.is_a("twisted.spread.pb.Error")
    with pytest.raises(AttributeError, match="missing"):
        await pair.wait(pair.root.missing())


async def test_copies_go_both_ways():
    pair = their_server()
    point = await pair.wait(pair.root.point(5))
    assert type(point) is Here
    assert point.x == 5
    assert await pair.wait(pair.root.x_of(Point(7))) == 7


async def test_our_cache_of_twisteds_cacheable_follows_it_and_is_given_back():
    root = TheirRoot()
    pair = their_server(root)
    picture = await pair.wait(pair.root.picture())
    again = await pair.wait(pair.root.picture())
    assert picture is again
    root.picture.add(2)
    await pair.settle()
    assert picture.dots == [1, 2]
    assert await pair.wait(pair.root.is_picture(picture)) is True
    del picture, again
    gc.collect()
    await pair.settle()
    assert root.picture.stopped == 1
    assert not pair.twisted.remotelyCachedObjects
    assert not pair.broker.held


async def test_we_collect_the_pages_that_twisted_sends():
    pair = their_server()

    async def collect():
        return [page async for page in pages(pair.root, "pages")]

    work = asyncio.ensure_future(collect())
    for _ in range(40):
        await pair.settle()
        if pair.theirs.producer is not None:
            pair.theirs.producer.resumeProducing()
        if work.done():
            break
    assert b"".join(await work) == bytes(range(256)) * 100


async def test_our_stream_is_read_by_twisted_with_calls_to_next():
    class Sums(pb.Root):
        def remote_total(self, stream):
            total = []

            def took(answer):
                items, more = answer
                total.extend(items)
                return stream.callRemote("next", 50).addCallback(took) if more else sum(total)

            return stream.callRemote("next", 50).addCallback(took)

    pair = their_server(Sums())
    assert await pair.wait(pair.root.total(number for number in range(200))) == 19900


async def test_a_string_too_long_for_twisted_is_refused_before_it_is_sent():
    pair = their_server()
    with pytest.raises(NotSendable, match="at most 655360"):
        pair.root.echo(b"x" * (SIZE_LIMIT + 1))
    assert len(await pair.wait(pair.root.echo(b"x" * SIZE_LIMIT))) == SIZE_LIMIT


async def test_a_lost_twisted_server_breaks_the_promises():
    pair = their_server()
    room = await pair.wait(pair.root.room())
    waiting = pair.root.wait()
    await pair.settle()
    pair.lose()
    with pytest.raises(DeadReference):
        await waiting
    with pytest.raises(DeadReference):
        await room.describe()


async def test_a_twisted_server_that_sends_too_much_is_dropped():
    pair = their_server(limits=Limits(message=50_000))
    waiting = pair.root.much()
    with pytest.raises((DeadReference, LimitExceeded)):
        await pair.wait(waiting)
    assert isinstance(pair.link.why, LimitExceeded)


# --- logins


class User(Avatar):
    def __init__(self, name, mind):
        self.name, self.mind = name, mind
        self.logouts = 0
        self.board = Board()

    def perspective_name(self):
        return self.name

    def perspective_board(self):
        return self.board

    async def perspective_ask_mind(self):
        return await self.mind.call("describe")

    def logout(self):
        self.logouts += 1


class Board(Viewable):
    def view_who(self, perspective):
        return perspective.name


class Realm:
    def __init__(self):
        self.avatars = []

    async def avatar(self, visitor):
        self.avatars.append(User(visitor.user, visitor.mind))
        return self.avatars[-1]


def our_realm(realm, **options):
    users = Users()
    users.add("alice", "secret", md5=True)
    users.add("bob", "hidden")
    options = {"md5": True, "anonymous": True, **options}
    return TwistedPair(pb.PBClientFactory(), Portal(realm=realm, users=users, **options))


def password(user, secret):
    return credentials.UsernamePassword(user, secret)


async def test_twisted_logs_in_with_a_mind_and_is_told_apart_by_views():
    realm = Realm()
    pair = our_realm(realm)
    avatar = await pair.wait(pair.factory.login(password(b"alice", b"secret"), TheirRoom()))
    assert await pair.wait(avatar.callRemote("name")) == "alice"
    assert await pair.wait(avatar.callRemote("ask_mind")) == "their room"
    board = await pair.wait(avatar.callRemote("board"))
    assert await pair.wait(board.callRemote("who")) == "alice"
    assert realm.avatars[0].logouts == 0
    del avatar
    gc.collect()
    await pair.settle()
    assert realm.avatars[0].logouts == 1
    pair.lose()
    assert realm.avatars[0].logouts == 1


async def test_a_lost_link_logs_out_once():
    realm = Realm()
    pair = our_realm(realm)
    avatar = await pair.wait(pair.factory.login(password(b"alice", b"secret")))
    pair.lose()
    assert realm.avatars[0].logouts == 1
    del avatar


@pytest.mark.parametrize(("user", "secret"), [(b"alice", b"wrong"), (b"nobody", b"secret"), (b"bob", b"hidden")])
async def test_twisted_is_refused_with_a_wrong_password_or_without_an_md5(user, secret):
    realm = Realm()
    pair = our_realm(realm)
    with pytest.raises(TwistedFailure) as caught:
        await pair.wait(pair.factory.login(password(user, secret)))
    assert caught.value.failure.check("twisted.cred.error.UnauthorizedLogin")
    assert not realm.avatars


async def test_the_md5_login_is_refused_unless_it_was_asked_for():
    pair = our_realm(Realm(), md5=False)
    with pytest.raises(TwistedFailure, match="does not offer the MD5 login"):
        await pair.wait(pair.factory.login(password(b"alice", b"secret")))


async def test_twisted_enters_anonymously_where_that_is_allowed():
    realm = Realm()
    pair = our_realm(realm)
    avatar = await pair.wait(pair.factory.login(credentials.Anonymous()))
    assert await pair.wait(avatar.callRemote("name")) is None
    pair = our_realm(realm, anonymous=False)
    with pytest.raises(TwistedFailure, match="nobody in without a login"):
        await pair.wait(pair.factory.login(credentials.Anonymous()))


@implementer(cred.IRealm)
class TheirRealm:
    def __init__(self):
        self.logouts = 0

    def requestAvatar(self, name, mind, *interfaces):
        avatar = TheirUser()
        avatar.name, avatar.mind = name, mind
        return pb.IPerspective, avatar, self._logout

    def _logout(self):
        self.logouts += 1


class TheirUser(pb.Avatar):
    def perspective_name(self):
        return self.name

    def perspective_ask_mind(self):
        return self.mind.callRemote("describe")


def their_realm():
    realm = TheirRealm()
    known = checkers.InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
    portal = cred.Portal(realm, [known, checkers.AllowAnonymousAccess()])
    return realm, TwistedPair(pb.PBServerFactory(portal))


async def test_we_log_in_at_twisted_with_a_mind():
    realm, pair = their_realm()
    avatar = await pair.wait(_task(_login_md5(pair.root, "alice", "secret", Room())))
    assert await pair.wait(avatar.name()) == b"alice"
    assert await pair.wait(avatar.ask_mind()) == "our room"
    del avatar
    gc.collect()
    await pair.settle()
    assert realm.logouts == 1


async def test_we_are_refused_at_twisted_with_a_wrong_password():
    _, pair = their_realm()
    with pytest.raises(Unauthorized):
        await pair.wait(_task(_login_md5(pair.root, "alice", "wrong", None)))


async def test_we_enter_twisted_anonymously():
    _, pair = their_realm()
    avatar = await pair.wait(pair.root.loginAnonymous(None))
    assert await pair.wait(avatar.name()) == ()  # what Twisted calls nobody


def _task(work):
    return asyncio.ensure_future(work)
