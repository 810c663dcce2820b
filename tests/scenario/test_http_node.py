"""`/v1/videos` and its neighbours with OpenAI's own client for Node, unchanged."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.scenario.http_client import http_config, needs_node, serving

pytestmark = [pytest.mark.process, needs_node]

SCRIPT = Path(__file__).parents[1] / "node" / "videos.js"


@pytest.mark.slow
async def test_the_node_client_makes_polls_and_downloads(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    picture = base64.b64encode(file.getvalue()).decode()
    async with serving(http_config(tmp_path / "data")) as house:
        found = json.loads(await house.run(tmp_path, "node", str(SCRIPT), picture))
    made = found["made"]
    assert [video["status"] for video in made] == ["completed"] * 5, made
    first, pictured, remixed, edited, extended = made
    assert (first["size"], pictured["rushes"]["seed"]) == ("640x360", 7)
    assert [video["remixed_from_video_id"] for video in (remixed, edited, extended)] == [
        first["id"]
    ] * 3
    assert float(extended["seconds"]) > float(first["seconds"]) + 1
    assert set(found["listed"]) >= {video["id"] for video in made}
    assert (found["models"], found["flagged"]) == (["testcard"], False)
    assert found["deleted"] == {"id": remixed["id"], "object": "video.deleted", "deleted": True}
    assert base64.b64decode(found["clip"])[4:8] == b"ftyp"
    for name, form in (("image", "PNG"), ("sheet", "JPEG")):
        assert Image.open(io.BytesIO(base64.b64decode(found[name]))).format == form
    assert found["refused"] == [
        ["NotFoundError", "job.unknown"],
        ["AuthenticationError", "http.unauthorized"],
        ["BadRequestError", "http.field_unknown"],
    ]
