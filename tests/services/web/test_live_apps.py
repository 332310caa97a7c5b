"""Applications of the well-known frameworks, edited while they answer."""

import asyncio
import contextlib
import importlib
import sys
import textwrap

import pytest
from web_server import client_of, running
from websockets.asyncio.client import connect as connect_websocket

from midair.runtime import rebuild
from midair.runtime.testing import edit
from midair.services.web import AppMount, Web


class Project:
    """A folder of modules, imported and edited."""

    def __init__(self, folder):
        self.folder = folder
        self.names = []

    def write(self, **modules):
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text).lstrip())
            self.names.append(name)

    def edit(self, name, *change):
        """Save, and bring the running code up to date."""
        edit(self.folder / f"{name}.py", *change)
        return rebuild.rebuild()

    def forget(self):
        for name in self.names:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = Project(tmp_path)
    yield made
    made.forget()


@contextlib.asynccontextmanager
async def site(target, project, kind="asgi"):
    async with running(Web(AppMount(target, kind=kind, folder=str(project.folder)), port=0)) as web:
        client = await client_of(web)

        async def get(path):
            status, _, body = await client.get(path)
            return status, body.decode()

        try:
            yield web, get
        finally:
            client.close()


async def taken_up(web):
    """Wait until what the last edit made has taken over."""
    await asyncio.sleep(0)
    while web.site.root._renewal._tasks:
        await asyncio.gather(*web.site.root._renewal._tasks)


FASTAPI = """
    from contextlib import asynccontextmanager
    from fastapi import FastAPI, WebSocket

    events = []
    count = 0

    @asynccontextmanager
    async def lifespan(app):
        events.append("start")
        yield
        events.append("stop")

    app = FastAPI(lifespan=lifespan)

    @app.get("/a")
    async def a():
        global count
        count += 1
        return f"one {count}"

    @app.get("/b")
    async def b(n: int = 1):
        return n

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        while True:
            await socket.send_text("old " + await socket.receive_text())
"""


async def test_fastapi_routes_are_added_moved_changed_and_removed_while_a_websocket_stays_open(project):
    project.write(fast_site=FASTAPI)
    async with site("fast_site:app", project) as (web, get):
        module = sys.modules["fast_site"]
        first = module.app
        a = module.a
        assert await get("/a") == (200, '"one 1"')
        async with connect_websocket(f"ws://{web.addresses[0]}/ws") as socket:
            await socket.send("x")
            assert await socket.recv() == "old x"

            project.edit("fast_site", '"one {', '"two {')
            assert await get("/a") == (200, '"two 2"')
            assert module.app is first, "a new body needs no new application"
            assert module.events == ["start"]

            project.edit("fast_site", '@app.get("/b")', '@app.get("/moved")')
            await taken_up(web)
            assert (await get("/b"))[0] == 404
            assert await get("/moved?n=5") == (200, "5")
            assert await get("/a") == (200, '"two 3"'), "the state of the module stayed"
            assert module.app is not first
            assert web.site.root.app is module.app
            assert module.a is a
            assert module.events == ["start", "start"], "the old one ends after its websocket"

            project.edit("fast_site", "n: int = 1", "n: int = 7")
            await taken_up(web)
            assert await get("/moved") == (200, "7")

            await socket.send("y")
            assert await socket.recv() == "old y"
        project.edit("fast_site", "async def a():", 'async def a(k: str = "k"):')
        await taken_up(web)
        project.edit("fast_site", 'return f"two {count}"', 'return f"{k} {count}"')
        assert await get("/a?k=z") == (200, '"z 4"')
        text = (project.folder / "fast_site.py").read_text()
        project.edit("fast_site", text + '\n@app.get("/new")\nasync def new():\n    return "new"\n')
        await taken_up(web)
        assert await get("/new") == (200, '"new"')
        project.edit("fast_site", text)
        await taken_up(web)
        assert (await get("/new"))[0] == 404
        await taken_up(web)
        await asyncio.gather(*web.site.root._retiring)
        assert module.events.count("start") - module.events.count("stop") == 1


async def test_an_edit_whose_application_cannot_be_made_is_refused_whole(project):
    project.write(bad_site=FASTAPI)
    async with site("bad_site:app", project) as (web, get):
        module = sys.modules["bad_site"]
        with pytest.raises(rebuild.RebuildError):
            project.edit("bad_site", '@app.get("/b")', '@app.get("no slash", response_model=3)')
        assert (await get("/b"))[0] == 200
        assert web.site.root.app is module.app
        project.edit("bad_site", '@app.get("no slash", response_model=3)', '@app.get("/c")')
        await taken_up(web)
        assert (await get("/c"))[0] == 200


async def test_fastapi_routers_in_other_modules_follow(project):
    project.write(
        part_users="""
            from fastapi import APIRouter
            router = APIRouter()

            @router.get("/list")
            async def listing():
                return "users"
        """,
        part_main="""
            from fastapi import FastAPI
            import part_users

            app = FastAPI()
            app.include_router(part_users.router, prefix="/users")
        """,
    )
    async with site("part_main", project) as (web, get):
        assert await get("/users/list") == (200, '"users"')
        project.edit("part_users", '"/list"', '"/all"')
        await taken_up(web)
        assert (await get("/users/list"))[0] == 404
        assert await get("/users/all") == (200, '"users"')
        project.edit("part_main", "/users", "/people")
        await taken_up(web)
        assert await get("/people/all") == (200, '"users"')
        assert (await get("/users/all"))[0] == 404


async def test_starlette_routes_in_a_list_follow(project):
    project.write(
        star_site="""
            from starlette.applications import Starlette
            from starlette.responses import PlainTextResponse
            from starlette.routing import Route

            async def home(request):
                return PlainTextResponse("home")

            async def other(request):
                return PlainTextResponse("other")

            routes = [Route("/", home), Route("/other", other)]
            app = Starlette(routes=routes)
        """
    )
    async with site("star_site:app", project) as (web, get):
        assert await get("/other") == (200, "other")
        project.edit("star_site", 'Route("/other", other)', 'Route("/another", other)')
        await taken_up(web)
        assert (await get("/other"))[0] == 404
        assert await get("/another") == (200, "other")
        project.edit("star_site", 'Response("home")', 'Response("house")')
        assert await get("/") == (200, "house")


async def test_flask_routes_are_added_moved_and_removed_after_its_first_request(project):
    project.write(
        flask_parts="""
            from flask import Blueprint

            parts = Blueprint("parts", __name__)

            @parts.route("/part")
            def part():
                return "part"
        """,
        flask_site="""
            from flask import Flask
            from flask_parts import parts

            app = Flask(__name__)
            app.config["NAME"] = "x"
            app.register_blueprint(parts)
            hits = []

            @app.route("/a")
            def a():
                hits.append(1)
                return f"one {len(hits)}"
        """,
    )
    async with site("flask_site:app", project, "wsgi") as (web, get):
        assert await get("/a") == (200, "one 1")
        project.edit("flask_site", "one", "two")
        assert await get("/a") == (200, "two 2")
        project.edit("flask_site", '"/a"', '"/moved"')
        await taken_up(web)
        assert (await get("/a"))[0] == 404
        assert await get("/moved") == (200, "two 3")
        text = (project.folder / "flask_site.py").read_text()
        project.edit(
            "flask_site", text + '\n@app.route("/new/<name>")\ndef new(name):\n    return name + app.config["NAME"]\n'
        )
        await taken_up(web)
        assert await get("/new/me") == (200, "mex")
        project.edit("flask_parts", '"/part"', '"/piece"')
        await taken_up(web)
        assert await get("/piece") == (200, "part")
        assert (await get("/part"))[0] == 404
        project.edit("flask_site", text)
        await taken_up(web)
        assert (await get("/new/me"))[0] == 404
        assert await get("/moved") == (200, "two 4")
        project.edit("flask_site", "two", "three")
        assert await get("/moved") == (200, "three 5")


async def test_a_flask_application_made_by_a_function_follows(project):
    project.write(
        factory_site="""
            from flask import Flask

            def create_app():
                made = Flask(__name__)

                @made.route("/a")
                def a():
                    return "one"

                return made

            app = create_app()
        """
    )
    async with site("factory_site:app", project, "wsgi") as (web, get):
        assert await get("/a") == (200, "one")
        project.edit("factory_site", '"/a"', '"/b"')
        await taken_up(web)
        assert await get("/b") == (200, "one")
        assert (await get("/a"))[0] == 404


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
async def test_django_urls_follow(project, kind):
    name = f"django_site_{kind}"
    project.write(
        **{
            name: f"""
                import django
                from django.conf import settings
                from django.core.{kind} import get_{kind}_application
                from django.http import HttpResponse
                from django.urls import path

                if not settings.configured:
                    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", DEBUG=False)
                settings.ROOT_URLCONF = __name__

                async def home(request):
                    return HttpResponse("home")

                def other(request):
                    return HttpResponse("other " + request.path)

                urlpatterns = [path("", home), path("other", other)]
                app = get_{kind}_application()
            """
        }
    )
    async with site(f"{name}:app", project, kind) as (_web, get):
        assert await get("/") == (200, "home")
        assert await get("/other") == (200, "other /other")
        project.edit(name, 'Response("home")', 'Response("house")')
        assert await get("/") == (200, "house")
        project.edit(name, 'path("other", other)', 'path("another", other)')
        assert await get("/another") == (200, "other /another")
        assert (await get("/other"))[0] == 404
