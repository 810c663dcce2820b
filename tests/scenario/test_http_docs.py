"""What docs/http.md shows is run as it stands, and what /openapi.json says is true."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
from PIL import Image

from tests.scenario.http_client import SMALL, ended, http_config, needs_node, serving

pytestmark = pytest.mark.process

PAGE = Path(__file__).parents[2] / "docs" / "http.md"


@pytest.fixture
async def house(tmp_path):
    async with serving(http_config(tmp_path / "data")) as house:
        yield house


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


async def test_the_python_of_the_page_makes_clips(house, tmp_path):
    code = "\n".join(blocks("python"))
    said = await house.run(tmp_path, sys.executable, "-c", code)
    first, second = said.split()
    assert first == second != "None"
    assert (tmp_path / "fox.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.slow
async def test_the_shell_of_the_page_makes_clips(house, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "first.png")
    said = await house.run(tmp_path, "sh", "-euc", "\n".join(blocks("sh")))
    assert "event: video.completed" in said
    assert '"status": "queued"' in said.splitlines()[-1]
    assert (tmp_path / "fox.mp4").read_bytes()[4:8] == b"ftyp"


@needs_node
@pytest.mark.slow
async def test_the_node_of_the_page_makes_a_clip(house, tmp_path):
    [code] = blocks("js")
    await house.run(tmp_path, "node", "-e", code)
    assert (tmp_path / "fox.mp4").read_bytes()[4:8] == b"ftyp"


async def test_answers_are_what_the_document_says(house):
    async with house.session(house.token()) as session:
        async with session.get("/openapi.json") as answer:
            document = await answer.json()

        def check(name, data):
            jsonschema.validate(data, {"$ref": f"#/components/schemas/{name}", **document})

        body = {"prompt": "a fox", "rushes": {**SMALL, "camera": "pan left"}}
        check("CreateRequest", body)
        async with session.post("/v1/videos", json=body) as answer:
            video = await answer.json()
        check("Video", video)
        check("Video", await ended(session, video["id"]))
        for path, name, given in (
            ("/v1/images/generations", "Images", {"prompt": "a fox", "size": video["size"]}),
            ("/v1/moderations", "Moderation", {"input": ["a fox"]}),
        ):
            check(f"{name.removesuffix('s')}Request", given)
            async with session.post(path, json=given) as answer:
                check(name, await answer.json())
        for path, name in (
            ("/v1/videos", "VideoList"),
            ("/v1/models", "ModelList"),
            ("/v1/models/testcard", "Model"),
            ("/v1/models/sora", "Error"),
            ("/nowhere", "Error"),
            ("/readyz", "Health"),
        ):
            async with session.get(path) as answer:
                check(name, await answer.json())
        with pytest.raises(jsonschema.ValidationError):
            check("CreateRequest", {"prompt": "a", "rushes": {"camra": "pan left"}})
        for path, methods in document["paths"].items():
            for method in methods:
                asked = path.format(video="7Q2FK9XDAB", model="nothing")
                async with session.request(method, asked) as answer:
                    assert (await answer.text()).find("http.no_route") < 0
                    assert answer.status != 405
