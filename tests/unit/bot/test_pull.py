"""Downloading from a hub on the loopback, with the real client in a process of its own."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest
from aiohttp import web

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.process

COMMIT = "0" * 39 + "1"
FILES = {"config.json": b"{}", "model.safetensors": b"w" * 100_000, "README.md": b"---\n---\n"}
PULL = "from bot.cli import main; import sys; sys.exit(main(['models', 'pull', 'opensora']))"


class Hub:
    """Serves the same files for every repository, and keeps a list of what was asked."""

    def __init__(self):
        self.asked = []

    async def info(self, request):
        files = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
        name = "/".join(request.match_info[part] for part in ("owner", "name"))
        return web.json_response({"id": name, "sha": COMMIT, "siblings": files, "private": False})

    async def tree(self, _request):
        files = [
            {"type": "file", "path": name, "size": len(data), "oid": COMMIT}
            for name, data in FILES.items()
        ]
        return web.json_response(files)

    async def file(self, request):
        data = FILES[request.match_info["path"]]
        headers = {
            "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        self.asked.append((request.method, request.path))
        return web.Response(body=data, headers=headers)


async def pull(endpoint, tmp_path):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PULL,
        env={
            **os.environ,
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RUSHES_MODELS__DIRECTORY": str(tmp_path / "weights"),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        },
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def hub():
    served = Hub()
    app = web.Application()
    app.router.add_get("/api/models/{owner}/{name}/revision/{revision}", served.info)
    app.router.add_get("/api/models/{owner}/{name}", served.info)
    app.router.add_get("/api/models/{owner}/{name}/tree/{revision}", served.tree)
    app.router.add_get("/{owner}/{name}/resolve/{revision}/{path:.*}", served.file)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


async def test_all_checkpoints_are_pulled_once(hub, tmp_path):
    code, out, err = await pull(hub.endpoint, tmp_path)
    assert code == 0, err
    assert len(out.splitlines()) == 5
    weights = tmp_path / "weights"
    for name in ("OpenSora-STDiT-v4", "OpenSora-VAE-v1.3", "t5-v1_1-xxl"):
        assert (weights / name / "model.safetensors").read_bytes() == FILES["model.safetensors"]

    hub.asked.clear()
    assert (await pull(hub.endpoint, tmp_path))[0] == 0
    assert not [path for method, path in hub.asked if method == "GET"]


async def test_without_a_network_one_sentence_says_what_to_do(tmp_path):
    code, _, err = await pull("http://127.0.0.1:1", tmp_path)
    assert code == 1
    assert "could not be downloaded whole" in err
    assert "Traceback" not in err
