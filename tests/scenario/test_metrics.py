"""A real Prometheus asks a running Rushes, and answers every query of the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import aiohttp
import pytest

from tests.fakes import ports
from tests.scenario.http_client import SECONDS, SMALL, ended
from tests.scenario.terminal_process import Shell

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("promtool") is None,
        reason="there is no prometheus (Debian: apt-get install prometheus)",
    ),
]

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana/dashboards/rushes.json"
WORDS = "a heron that nobody else knows"


def queries():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.fixture
def prometheus_port(tmp_path, free_port):
    """Start one with the config that compose.yaml gives it, but for where and how often it asks."""
    port = ports.free_port()
    config = (DEPLOY / "prometheus.yml").read_text()
    config = config.replace("rushes:8080", f"127.0.0.1:{free_port}").replace("30s", "500ms")
    assert str(free_port) in config
    (tmp_path / "prometheus.yml").write_text(config)
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml",
             f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    yield port
    process.terminate()
    process.wait(SECONDS)


async def test_every_query_of_the_dashboard_has_an_answer(
    tmp_path, free_port, prometheus_port, request
):
    (tmp_path / "config.toml").write_text(
        f'[bot]\nplatforms = ["http"]\n[http]\nport = {free_port}\n'
        '[models]\ninstalled = ["testcard"]\n[models.testcard]\nstep_seconds = 0.01\n'
    )
    shell = Shell(directory=tmp_path)
    made = await asyncio.to_thread(
        shell.rushes, "token", "create", "--guild", "secret guild", "--name", "ci"
    )
    process = await asyncio.to_thread(shell.serve)
    request.addfinalizer(process.communicate)
    request.addfinalizer(process.terminate)
    headers = {"Authorization": f"Bearer {made.out.strip()}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{free_port}", headers=headers) as session:
        await reachable(session, "/livez")
        for _ in range(2):
            body = {"prompt": WORDS, "rushes": SMALL}
            async with session.post("/v1/videos", json=body) as answer:
                video = (await answer.json())["id"]
            assert (await ended(session, video))["status"] == "completed"
        async with session.get("/metrics") as answer:
            page = await answer.text()
    check_page(page, video)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{prometheus_port}") as session:
        await reachable(session, "/-/ready")
        for query in queries():
            await has_answer(session, query)
        await has_answer(session, 'rushes_jobs{state="done",tenant_class="terminal"} == 2')
        await has_answer(session, "sum(rushes_gpu_seconds) > 0")


def check_page(page, video):
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    for secret in (WORDS, "heron", "secret guild", video):
        assert secret not in page
    ours = set(re.findall(r"^(rushes_[a-z_]+?)(?:_bucket|_sum|_count)?[ {]", page, re.MULTILINE))
    assert set(re.findall(r"rushes_[a-z_]+", " ".join(queries()))) <= {
        *ours,
        *(f"{name}{end}" for name in ours for end in ("_bucket", "_count", "_sum")),
        "rushes_outbox_pending",  # nothing is due
        "rushes_outbox_retries",
        "rushes_problems",
    }


async def reachable(session, path):
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(path) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def answered(session, query):
    async with session.get("/api/v1/query", params={"query": query}) as answer:
        body = await answer.json()
        assert body["status"] == "success", (query, body)
        return body["data"]["result"]


async def has_answer(session, query):
    """Wait until a query is answered with numbers: rates need two looks, counts the next one."""
    async with asyncio.timeout(SECONDS):
        while True:
            result = await answered(session, query)
            if result and any(row["value"][1] != "NaN" for row in result):
                return
            await asyncio.sleep(0.2)
