"""Templates, by engines that are entry points."""

import pytest
from asgi_client import ask

from midair.services.web import templates
from midair.services.web.site import Site
from midair.services.web.static import Static


class Point:
    """An entry point of a package that is not here."""

    name = "shout"

    def load(self):
        return lambda path, names: f"{path.rpartition('/')[2]} {names['word'].upper()}!"


async def test_a_template_is_filled_in_and_an_edit_of_it_is_live(tmp_path):
    page = tmp_path / "page.tmpl"
    page.write_text("<p>$word costs $$1")
    static = Static(tmp_path)
    static.processors = dict.fromkeys(templates.engines(), templates.Templates())
    site = Site(static)
    got = await ask(site, "/page.tmpl?word=%3Cb%3E")
    assert (got.status, got.text) == (200, "<p>&lt;b&gt; costs $1")
    assert got["content-type"] == "text/html; charset=utf-8"
    page.write_text("other $word")
    assert (await ask(site, "/page.tmpl?word=x")).text == "other x"
    assert (await ask(site, "/page.tmpl")).status == 500, "a name that is not given"


def test_another_package_brings_an_engine(monkeypatch):
    monkeypatch.setattr(templates.metadata, "entry_points", lambda group: [Point()] if group == templates.GROUP else [])
    templates.engines.cache_clear()
    assert templates.render("/x/a.shout", word="loud") == "a.shout LOUD!"
    with pytest.raises(LookupError, match=r"no template engine for '.nope' is installed .*; there are .shout"):
        templates.render("/x/a.nope")
    templates.engines.cache_clear()
