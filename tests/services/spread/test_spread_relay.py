"""One service relays to another over a Unix socket, streams both ways: what a web server does for a personal one."""

import asyncio
import contextlib
import os

import pytest
from spread_running import running

from midair.services import spread

CHUNK = bytes(65_536)
MANY = 10_000


class Far(spread.Referenceable):
    """Answers a request with a head and a body, while the body of the request is still coming."""

    def __init__(self):
        self.read = self.made = 0
        self.began, self.left, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @spread.remote
    async def fetch(self, path, body):
        return {"status": 200, "path": path}, self._body(body)

    async def _body(self, body):
        try:
            async for chunk in body:
                self.read += 1
                yield chunk
        finally:
            self.left.set()

    @spread.remote
    async def endless(self):
        try:
            while True:
                self.made += 1
                yield CHUNK
        finally:
            self.left.set()

    @spread.remote
    async def upload(self, body):
        self.began.set()
        try:
            return sum([len(chunk) async for chunk in body])
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class Near(spread.Referenceable):
    """Passes all of it on to the far one."""

    def __init__(self, far):
        self.far = far

    @spread.remote
    async def fetch(self, path, body):
        head, answer = await self.far.root.fetch(path, spread.Source(body))
        return head, spread.Source(answer)

    @spread.remote
    async def endless(self):
        async for chunk in self.far.root.endless():
            yield chunk


class Body:
    """A request's body, which counts how far it was asked for and knows when it was closed."""

    def __init__(self, chunks):
        self.chunks, self.given = chunks, 0
        self.closed = asyncio.Event()

    async def stream(self):
        try:
            for _ in range(self.chunks):
                self.given += 1
                yield CHUNK
        finally:
            self.closed.set()


@contextlib.asynccontextmanager
async def relayed(tmp_path):
    """A browser's view of `far` through `near`: two Unix sockets on the way."""
    far = Far()
    near_path, far_path = str(tmp_path / "near.sock"), str(tmp_path / "far.sock")
    behind = spread.Spread(far, port=None, path=far_path)
    async with running(behind), await spread.connect(f"unix:{far_path}") as inner:
        front = spread.Spread(Near(inner), port=None, path=near_path)
        async with running(front), await spread.connect(f"unix:{near_path}") as peer:
            yield peer, far, behind


async def test_a_body_goes_there_while_the_answer_comes_back(tmp_path):
    async with relayed(tmp_path) as (peer, far, _):
        body = Body(100)
        head, answer = await peer.root.fetch("/upload", body.stream())
        assert head == {"status": 200, "path": "/upload"}
        sizes = [len(chunk) async for chunk in answer]
        assert sizes == [len(CHUNK)] * 100
        assert far.read == 100
        await asyncio.wait_for(body.closed.wait(), 30)


async def test_a_slow_reader_holds_both_ends_back(tmp_path):
    async with relayed(tmp_path) as (peer, far, _):
        answer = peer.root.endless().__aiter__()
        await anext(answer)
        made = -1
        while made != far.made:  # until it stands still
            made = far.made
            await asyncio.sleep(0.05)
        assert made < 64
        await answer.aclose()
        await asyncio.wait_for(far.left.wait(), 30)
        body = Body(MANY)
        _, answer = await peer.root.fetch("/", body.stream())
        answer = answer.__aiter__()
        await anext(answer)
        given = -1
        while given != body.given:
            given = body.given
            await asyncio.sleep(0.05)
        assert given < 128
        await answer.aclose()


async def test_a_reader_that_leaves_closes_everything_behind_it(tmp_path):
    async with relayed(tmp_path) as (peer, far, _):
        body = Body(MANY)
        _, answer = await peer.root.fetch("/", body.stream())
        async for _ in answer:
            break
        del answer
        await asyncio.wait_for(far.left.wait(), 30)
        await asyncio.wait_for(body.closed.wait(), 30)
        assert far.read < 128


async def test_cancelling_an_upload_cancels_it_there_and_closes_its_body_here(tmp_path):
    async with relayed(tmp_path) as (_, far, _), await spread.connect(str(tmp_path / "far.sock")) as peer:
        closed = asyncio.Event()

        async def body():
            try:
                yield CHUNK
                await asyncio.Event().wait()
            finally:
                closed.set()

        upload = asyncio.ensure_future(peer.root.upload(body()))
        await asyncio.wait_for(far.began.wait(), 30)
        upload.cancel()
        await asyncio.wait_for(far.cancelled.wait(), 30)
        await asyncio.wait_for(closed.wait(), 30)


async def test_a_far_server_that_goes_away_ends_the_reader_and_the_body_at_once(tmp_path):
    async with relayed(tmp_path) as (peer, far, behind):
        body = Body(MANY)
        _, answer = await peer.root.fetch("/", body.stream())
        read = 0
        with pytest.raises(spread.RemoteError) as caught:
            async for _ in answer:
                read += 1
                if read == 20:
                    for link in list(behind.connections):
                        link.abort()
        assert caught.value.type.endswith("DeadReference")
        await asyncio.wait_for(body.closed.wait(), 30)
        await asyncio.wait_for(far.left.wait(), 30)


async def test_a_far_server_that_is_not_there_is_said_within_the_time(tmp_path):
    path = str(tmp_path / "far.sock")
    with pytest.raises(OSError, match=r"far\.sock|No such file"):
        await spread.connect(f"unix:{path}", timeout=5)
    far = Far()
    far_service = spread.Spread(far, port=None, path=path)
    async with running(far_service):
        peer = await spread.connect(f"unix:{path}", reconnect=True)
        await peer.wait_connected(5)
    await peer.lost()
    with pytest.raises(TimeoutError, match=r"far\.sock could not be reached within 0\.1 s"):
        await peer.wait_connected(0.1)
    async with running(far_service):
        await peer.wait_connected(30)
        assert [len(chunk) async for chunk in (await peer.root.fetch("/", Body(2).stream()))[1]] == [len(CHUNK)] * 2
        await peer.close()
    with pytest.raises(spread.DeadReference):
        await peer.wait_connected(5)


async def test_both_ends_of_a_unix_socket_know_whose_process_is_at_the_other(tmp_path):
    path = str(tmp_path / "far.sock")
    async with running(spread.Spread(Far(), port=None, path=path)):
        peer = await spread.connect(path)
        assert peer.credentials is not None
        assert (peer.credentials.pid, peer.credentials.uid) == (os.getpid(), os.getuid())
        await peer.close()
        assert peer.credentials is None
