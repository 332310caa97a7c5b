"""Sessions: cookies, expiry, and what is left of them in a snapshot."""

from asgi_client import ask

from midair.services.web.resource import Resource
from midair.services.web.sessions import COOKIE, Sessions
from midair.services.web.site import Site


class Count(Resource):
    def render_GET(self, request):
        session = request.getSession()
        session["n"] = session.get("n", 0) + 1
        if request.arg("expire"):
            session.expire()
        return str(session.get("n"))


def cookie(got):
    return got["set-cookie"].partition(";")[0]


async def test_a_session_is_found_again_by_its_cookie():
    site = Site(Count())
    first = await ask(site, "/")
    assert first.text == "1"
    assert "HttpOnly; SameSite=Lax" in first["set-cookie"]
    assert "Secure" not in first["set-cookie"]
    again = await ask(site, "/", cookie=f"other=x; {cookie(first)}")
    assert (again.text, again["set-cookie"]) == ("2", "")
    assert (await ask(site, "/", cookie=f"{COOKIE}=guess")).text == "1"
    assert "; Secure" in (await ask(site, "/", scheme="https"))["set-cookie"]


async def test_a_session_ends_by_itself_or_when_told():
    site, now = Site(Count()), [1000.0]
    site.sessions.clock = lambda: now[0]
    mine = cookie(await ask(site, "/"))
    now[0] += site.sessions.lifetime - 1
    assert (await ask(site, "/", cookie=mine)).text == "2"
    now[0] += site.sessions.lifetime + 1
    fresh = await ask(site, "/", cookie=mine)
    assert (fresh.text, len(site.sessions)) == ("1", 1)
    await ask(site, "/?expire=1", cookie=cookie(fresh))
    assert (await ask(site, "/", cookie=cookie(fresh))).text == "1"


async def test_there_are_never_more_than_the_limit():
    site = Site(Count())
    site.sessions = Sessions(limit=5)
    for _ in range(20):
        await ask(site, "/")
    assert len(site.sessions) <= 5


async def test_what_is_stored_opens_no_session():
    site = Site(Count())
    token = cookie(await ask(site, "/")).partition("=")[2]
    (key,) = site.sessions._kept
    assert token.encode() not in key
    assert (await ask(site, "/", cookie=f"{COOKIE}={key.hex()}")).text == "1"


async def test_a_bad_cookie_of_somebody_else_hides_nothing():
    site = Site(Count())
    mine = cookie(await ask(site, "/"))
    assert (await ask(site, "/", cookie=f"b[a]d=1; {mine}; also bad")).text == "2"
