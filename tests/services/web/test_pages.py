"""Our own pages in a real browser."""

import os
from pathlib import Path

import pytest
from browser import CHROMIUM, browser
from web_server import client_of, running

from midair.services.web import Web, demo
from midair.services.web.operator import Operator

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.xdist_group("browser"),
]


def shots(tmp_path):
    """Where pictures go: to SCREENSHOTS when somebody wants to look at them."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


async def test_the_status_page_is_live_behind_its_login(tmp_path):
    web = Web(port=0)
    web.site.operator = Operator()
    password = web.site.operator.set_password()
    async with running(web), browser() as tab:
        client = await client_of(web)
        for path in ("/", "/none", "/", "/error", "/"):
            await client.get(path)
        web.site.operator._note("edit 1: game.world, 3 functions")
        await tab.go(f"http://{web.addresses[0]}/-/status")
        await tab.screenshot(shots(tmp_path) / "login.png")
        await tab.evaluate(
            f"document.querySelector('#p').value = {password!r}; document.querySelector('form').submit()"
        )
        await tab.until("document.querySelector('#said')?.textContent.startsWith('live')")
        assert await tab.evaluate("document.querySelector('#name').textContent") == "web"
        await client.get("/")
        before = await tab.evaluate("document.querySelector('#said').textContent")
        await tab.until(f"document.querySelector('#said').textContent !== {before!r}")
        assert "404" in await tab.evaluate("document.querySelector('#statuses').textContent")
        assert "edit 1" in await tab.evaluate("document.querySelector('#happened').textContent")
        assert web.addresses[0] in await tab.evaluate("document.querySelector('#services').textContent")
        drawn = "(() => {const c = document.querySelector('#rate-plot'); return c.getContext('2d').getImageData(0,0,c.width,c.height).data.some(v => v)})()"
        assert await tab.evaluate(drawn)
        await tab.screenshot(shots(tmp_path) / "status.png")
        assert not tab.errors
        client.close()


async def test_the_demo_page_counts_takes_a_form_and_is_edited_live(tmp_path, monkeypatch):
    async with running(Web(port=0)) as web, browser() as tab:
        await tab.go(f"http://{web.addresses[0]}/")
        assert await tab.evaluate("document.querySelector('#mine').textContent") == "1"
        await tab.go(f"http://{web.addresses[0]}/")
        assert await tab.evaluate("document.querySelector('#mine').textContent") == "2"
        assert await tab.evaluate("document.querySelector('#hits').textContent") == "2"
        await tab.screenshot(shots(tmp_path) / "demo.png")
        monkeypatch.setattr(demo, "GREETING", "It is mine now")
        await tab.go(f"http://{web.addresses[0]}/")
        assert await tab.evaluate("document.querySelector('h1').textContent") == "It is mine now"
        await tab.evaluate("document.querySelector('#text').value = '<b>é'; document.querySelector('form').submit()")
        await tab.until("document.querySelector('dl') !== null")
        assert "<b>é" in await tab.evaluate("document.querySelector('dl').textContent")
        await tab.go(f"http://{web.addresses[0]}/error")
        assert "AttributeError" in await tab.evaluate("document.querySelector('pre').textContent")
        await tab.screenshot(shots(tmp_path) / "error.png")
        assert not tab.errors
