"""A Rushes that serves HTTP in this process, and clients with tokens of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import openai
import pytest

from bot.app import open_app
from bot.config.sources import load_config
from bot.http.access.tokens import open_tokens

SECONDS = 180.0
"""Patience with a busy machine."""

SMALL = {"resolution": "360p", "frames": 49}

NODE_MODULES = Path(sys.prefix) / "node" / "node_modules"
"""Where the Makefile puts what `tests/node/package.json` names."""

needs_node = pytest.mark.skipif(
    not shutil.which("node") or not (NODE_MODULES / "openai").is_dir(),
    reason="`make .venv/.node` found no npm, or it could not install OpenAI's client",
)


def http_config(directory, *, step_seconds=0.01, **sections):
    return load_config(
        None,
        overrides={
            "bot": {"data_dir": directory, "platforms": ["http"]},
            "http": {"port": 0},
            "models": {"installed": ["testcard"], "testcard": {"step_seconds": step_seconds}},
            **sections,
        },
    )


def make_token(directory, *, guild="api", name="ci", **given):
    with open_tokens(directory) as table:
        given = {"person": None, "roles": frozenset(), "expires": None, **given}
        return table.create(guild=guild, name=name, now=time.time(), **given)


@dataclass
class Serving:
    """The app, where it listens, and who may ask."""

    app: object
    directory: object
    url: str

    def token(self, **given) -> str:
        return make_token(self.directory, **given)

    async def run(self, folder, *command: str) -> str:
        """Run a command with a token of its own; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={
                **os.environ,
                "RUSHES_URL": self.url,
                "RUSHES_API_TOKEN": self.token(),
                "NODE_PATH": str(NODE_MODULES),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    def client(self, token: str, **options) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=token, max_retries=0, **options
        )

    @contextlib.asynccontextmanager
    async def session(self, token: str | None = None):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            yield session


@contextlib.asynccontextmanager
async def serving(config):
    async with open_app(config) as app:
        platform = app.platforms["http"]
        async with asyncio.timeout(SECONDS):
            while not platform.connected:  # noqa: ASYNC110 - that of a platform
                await asyncio.sleep(0.01)
        app.services.health.started = True
        yield Serving(
            app=app, directory=config.bot.data_dir, url=f"http://127.0.0.1:{platform.port}"
        )


async def ended(session, video: str) -> dict:
    """Wait until a video has ended, by its events."""
    newest = {}
    async with asyncio.timeout(SECONDS), session.get(f"/v1/videos/{video}/events") as response:
        async for line in response.content:
            if line.startswith(b"data: "):
                newest = json.loads(line.removeprefix(b"data: "))
    return newest
