"""Posted forms, cut anywhere."""

import contextlib

import pytest
from asgi_client import ask
from hypothesis import given
from hypothesis import strategies as st

from midair.services.web import forms
from midair.services.web.errors import WebError
from midair.services.web.resource import Resource
from midair.services.web.site import Site

BODY = (
    b'preamble\r\n--xyz\r\nContent-Disposition: form-data; name="a"\r\n\r\nfirst\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n'
    b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="..\\\\..\\\\x.bin"\r\n'
    b"Content-Type: application/x-thing\r\n\r\n--xy\r\n--xy zz is not it\r\n \r\n"
    b"--xyz--\r\nepilogue"
)


def gathered(pieces, boundary=b"xyz"):
    parser, found = forms.Multipart(boundary), []
    for piece in pieces:
        for event in parser.receive(piece):
            match event:
                case forms.PartBegins():
                    found.append([event.name, event.filename, event.type, b""])
                case forms.PartData(data):
                    found[-1][3] += data
                case forms.PartEnds():
                    found[-1] = tuple(found[-1])
    return parser.complete, found


def test_parts_are_found():
    complete, parts = gathered([BODY])
    assert complete
    assert parts[:2] == [("a", None, "text/plain", b"first"), ("empty", None, "text/plain", b"")]
    assert parts[2][1:] == ("..\\..\\x.bin", "application/x-thing", b"--xy\r\n--xy zz is not it\r\n ")


def test_every_cut_gives_the_same():
    whole = gathered([BODY])
    for cut in range(len(BODY)):
        assert gathered([BODY[:cut], BODY[cut:]]) == whole
    assert gathered(BODY[i : i + 1] for i in range(len(BODY))) == whole


@given(st.binary(max_size=200))
def test_noise_is_refused_or_ignored_in_our_own_words(data):
    with contextlib.suppress(WebError):
        gathered([b"--xyz", data])


@pytest.mark.parametrize(
    "body",
    [
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xyz--",
        b"--xyz\r\nX: " + b"y" * 9000,
        b"--xyzNOT",
    ],
)
def test_broken_forms_get_400(body):
    with pytest.raises(WebError) as caught:
        gathered([body])
    assert caught.value.code == 400


class Upload(Resource):
    def __init__(self):
        self.kept = []

    async def render_POST(self, request):
        form = await request.form()
        self.kept += form.files
        files = [(f.name, f.filename, f.type, f.size, f.file.read()[:5]) for f in form.files]
        return repr((form.fields, files, request.args))


async def test_a_form_with_files_is_read_and_its_files_are_gone_afterwards():
    page = Upload()
    body = BODY.replace(b"--xy zz is not it", b"x" * 200_000)
    got = await ask(
        Site(page),
        "/?q=1",
        "POST",
        body=[body[:50_000], body[50_000:]],
        content_type='multipart/form-data; boundary="xyz"',
    )
    fields = {"a": ["first"], "empty": [""]}
    assert got.text == repr(
        (fields, [("f", "x.bin", "application/x-thing", 200_009, b"--xy\r")], {"q": ["1"], **fields})
    )
    assert page.kept[0].file.closed


async def test_a_plain_form_is_read():
    got = await ask(
        Site(Upload()), "/", "POST", body=b"a=1&b=%C3%A9&a=2", content_type="application/x-www-form-urlencoded"
    )
    assert got.text.startswith(repr(({"a": ["1", "2"], "b": ["é"]}, []))[:-1])


async def test_forms_that_are_cut_too_large_or_something_else_are_refused(monkeypatch):
    site = Site(Upload())
    multipart = 'multipart/form-data; boundary="xyz"'
    assert (await ask(site, "/", "POST", body=BODY[:-20], content_type=multipart)).status == 400
    assert (await ask(site, "/", "POST", body=b"{}", content_type="application/json")).status == 415
    many = b"&".join(b"a%d=1" % n for n in range(1001))
    assert (await ask(site, "/", "POST", body=many, content_type="application/x-www-form-urlencoded")).status == 413
    monkeypatch.setattr(forms, "MAX_FIELD", 3)
    assert (await ask(site, "/", "POST", body=BODY, content_type=multipart)).status == 413
