"""Addresses that try to leave the API."""

from __future__ import annotations

import pytest

from tests.attacks.http.target import asked, attacks

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "path",
    attacks(
        "http paths",
        [
            ("dots in an id", "/v1/videos/..%2f..%2frushes.sqlite3"),
            ("dots before content", "/v1/videos/..%2f..%2f/content"),
            ("a zero byte in an id", "/v1/videos/7Q2FK9XDA%00"),
            ("a line break in an id", "/v1/videos/7Q2FK9XDAB%0d%0aSet-Cookie:%20a=b"),
            ("digits of another script in an id", "/v1/videos/7Q2FK9XDA%EF%BC%98"),
            ("broken UTF-8 in an id", "/v1/videos/%ff%fe"),
            ("8 kB of id", "/v1/videos/" + "A" * 7000),
            ("dots in a model", "/v1/models/..%2f..%2fconfig.toml"),
            ("a path beside the API", "/v1/../config.toml"),
            ("somebody's character", "/v1/videos/characters/abc"),
        ],
    ),
)
async def test_no_path_leads_out(served, path):
    raw = served.raw(
        f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {served.mine}\r\n"
        "Connection: close\r\n\r\n".encode(),
        end=False,
    )
    assert raw.split()[1] in {b"404", b"400"}
    assert b"Set-Cookie" not in raw.split(b"\r\n\r\n")[0]
    assert b"Traceback" not in raw


@pytest.mark.parametrize(
    "variant", attacks("http paths", [("a path as a variant", "../../x"), ("a sheet", "sheet.jpg")])
)
async def test_no_variant_names_a_file(served, variant):
    status, _ = await asked(
        served, "GET", f"/v1/videos/{served.video}/content", params={"variant": variant},
        token=served.mine,
    )  # fmt: skip
    assert status == 400
