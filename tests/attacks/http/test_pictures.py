"""Pictures that are none, and references to something elsewhere."""

from __future__ import annotations

import base64
import io
import json

import pytest

from tests.attacks.http.target import FORM, GOOD, PROMPT, asked, attacks, field, form, picture, tool

pytestmark = pytest.mark.process


def uploads(served) -> set[str]:
    folder = served.directory / "uploads"
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()


@pytest.mark.parametrize(
    ("sent", "code"),
    attacks(
        "http pictures",
        [
            ("words as a picture", lambda: b"nothing", "image.not_an_image"),
            ("a page as a picture", lambda: b"<svg onload='x'/>", "image.not_an_image"),
            ("half a picture", lambda: picture(640)[:400], "image.truncated"),
            ("a picture of 400 megapixels", lambda: picture(20_000, "1"), "image.too_many_pixels"),
            ("a picture of one pixel", lambda: picture(1), "image.too_small"),
        ],
    ),
)
async def test_what_is_no_picture_is_refused_at_once(served, sent, code):
    before, left, data = await served.jobs(served.other), uploads(served), sent()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    multipart = form(PROMPT, field("input_reference", data, '; filename="a.png"'))
    asks = [
        {"json": {**GOOD, "input_reference": {"image_url": url}}},
        {"data": io.BytesIO(multipart), "headers": {"Content-Type": FORM}},
    ]
    for ask in asks:
        status, answer = await asked(served, "POST", "/v1/videos", token=served.other, **ask)
        error = json.loads(answer)["error"]
        assert (status, error["code"], error["param"]) == (400, code, "input_reference")
    arguments = {**GOOD["rushes"], "prompt": "a fox", "image": url}
    call = tool("generate", arguments)
    status, answer = await asked(served, "POST", "/mcp", token=served.other, **call)
    assert status == 200
    assert f'\\"{code}\\"' in answer.decode() or f'"{code}"' in answer.decode()
    assert await served.jobs(served.other) == before
    assert uploads(served) <= left


@pytest.mark.attack("http pictures", "pictures of requests that are refused afterwards")
async def test_a_picture_of_a_request_that_is_refused_does_not_stay(served):
    before, left = await served.jobs(served.other), uploads(served)
    url = "data:image/png;base64," + base64.b64encode(picture(64)).decode()
    body = {**GOOD, "input_reference": {"image_url": url}}
    body["rushes"] = {**GOOD["rushes"], "preset": "nowhere"}
    status, answer = await asked(served, "POST", "/v1/videos", token=served.other, json=body)
    assert (status, json.loads(answer)["error"]["code"]) == (400, "preset.unknown")
    call = tool("generate", {**body["rushes"], "prompt": "a fox", "image": url})
    _, answer = await asked(served, "POST", "/mcp", token=served.other, **call)
    assert b"preset.unknown" in answer
    assert await served.jobs(served.other) == before
    assert uploads(served) <= left


@pytest.mark.parametrize(
    "address",
    attacks(
        "http references",
        [
            ("an address inside the network", "http://169.254.169.254/latest/meta-data"),
            ("an address on this machine", "http://127.0.0.1:1/"),
            ("a file of this machine", "file:///etc/passwd"),
            ("a path", "/etc/passwd"),
            ("a name of an upload", "upload:" + "0" * 32),
            ("the file of a parent", "parent:result"),
            ("a page as data", "data:text/html;base64,PGE+"),
            ("no base64", "data:image/png;base64,%%%"),
            ("nothing at all", "data:image/png;base64,"),
        ],
    ),
)
async def test_no_reference_is_fetched_from_anywhere(served, address):
    body = {**GOOD, "input_reference": {"image_url": address}}
    status, answer = await asked(served, "POST", "/v1/videos", token=served.mine, json=body)
    assert (status, json.loads(answer)["error"]["code"]) == (400, "http.reference")
    for name in ("image", "last"):
        body = {**GOOD, "rushes": {name: address}}
        status, _ = await asked(served, "POST", "/v1/videos", token=served.mine, json=body)
        assert status == 400
