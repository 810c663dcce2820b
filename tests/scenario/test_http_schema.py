"""`/openapi.json` is valid, and schemathesis finds nothing that it does not say."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.scenario.http_client import SMALL, ended, http_config, serving

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOM = {"waiting_per_user": 9999, "waiting_per_guild": 9999, "waiting_total": 9999}

CONFIG = """
[generation]
database = "none"
# Not every combination of options that a schema lets through goes together, and random keys repeat.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 422, 429]
"""


async def test_the_document_is_openapi_3_1(tmp_path):
    config = http_config(
        tmp_path / "data", models={"installed": ["testcard", "nano"], "default": "testcard"}
    )
    async with (
        serving(config) as house,
        house.session() as session,
        session.get("/openapi.json") as answer,
    ):
        document = await answer.json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["components"]["schemas"]["CreateRequest"]["properties"]["model"]["anyOf"][0][
        "enum"
    ] == [
        "testcard",
        "nano",
    ]


async def test_the_document_says_what_is_refused_and_what_is_taken(tmp_path):
    async with (
        serving(http_config(tmp_path / "data")) as house,
        house.session(house.token()) as session,
    ):
        async with session.get("/openapi.json") as answer:
            document = await answer.json()
        create = document["paths"]["/v1/videos"]["post"]
        [key] = create["parameters"]
        bodies = {
            name: {**document, **document["components"]["schemas"][name]}
            for name in ("CreateRequest", "CreateForm", "ImageRequest", "ModerationRequest")
        }

        def legal(body, name="CreateRequest"):
            return jsonschema.Draft202012Validator(bodies[name]).is_valid(body)

        assert not jsonschema.Draft202012Validator(key["schema"]).is_valid("")
        assert not jsonschema.Draft202012Validator(key["schema"]).is_valid("a\x00")
        assert not legal({"prompt": "a", "rushes": {"preset": ""}})
        assert not legal({"input": ["a" * 8001]}, "ModerationRequest")
        assert not legal({"prompt": "a", "input_reference": {"a": 1}}, "CreateForm")
        assert not legal({"prompt": "a", "n": True}, "ImageRequest")
        for body in (
            {"prompt": "a", "rushes": {"seed": 1.0, **SMALL}},
            {"prompt": "a", "seconds": None, "size": None, "rushes": None},
            {"prompt": "a", "input_reference": None},
        ):
            assert legal(body)
            async with session.post("/v1/videos", json=body) as answer:
                assert answer.status == 200, await answer.text()


async def test_schemathesis_finds_nothing(tmp_path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    async with serving(http_config(tmp_path / "data", queue=ROOM)) as house:
        token = house.token()
        async with house.session(token) as session:
            async with session.post("/v1/videos", json={"prompt": "a", "rushes": SMALL}) as answer:
                video = (await answer.json())["id"]
            assert (await ended(session, video))["status"] == "completed"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml",
            "run", f"{house.url}/openapi.json", "--header", f"Authorization: Bearer {token}",
            "--exclude-path-regex", "/events$|/mcp", "--phases", "examples,coverage,fuzzing",
            "--max-examples", "5", "--seed", "7", "--max-time", "90", "--request-timeout", "120",
            "--continue-on-failure",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    report = out.decode()
    assert process.returncode == 0, report[-8000:]
    assert "Tested:" in report, report
