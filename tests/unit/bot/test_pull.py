"""Downloading from a hub on the loopback, with the real client in a process of its own."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from tests.fakes.hub import serving

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.process

FILES = {"config.json": b"{}", "model.safetensors": b"w" * 100_000, "README.md": b"---\n---\n"}
PULL = "from bot.cli.parser import main; import sys; sys.exit(main(['models', 'pull', 'opensora']))"


async def pull(endpoint, tmp_path, **environment):
    process = await started(endpoint, tmp_path, **environment)
    out, err = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, out.decode(), err.decode()


async def started(endpoint, tmp_path, **environment):
    return await asyncio.create_subprocess_exec(
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
            **environment,
        },
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.fixture
async def hub():
    async with serving(FILES) as served:
        yield served


@pytest.mark.slow
async def test_all_checkpoints_are_pulled_once(hub, tmp_path):
    code, out, err = await pull(hub.endpoint, tmp_path)
    assert code == 0, err
    *folders, following = out.splitlines()
    assert len(folders) == 5
    assert 'installed = ["opensora", "nano"]' in following
    weights = tmp_path / "weights"
    for name in ("OpenSora-STDiT-v4", "OpenSora-VAE-v1.3", "t5-v1_1-xxl"):
        assert (weights / name / "model.safetensors").read_bytes() == FILES["model.safetensors"]

    hub.asked.clear()
    code, out, _ = await pull(hub.endpoint, tmp_path, RUSHES_MODELS__INSTALLED="opensora")
    assert code == 0
    assert len(out.splitlines()) == 5
    assert not [path for method, path in hub.asked if method == "GET"]


async def test_without_a_network_one_sentence_says_what_to_do(tmp_path):
    code, _, err = await pull("http://127.0.0.1:1", tmp_path)
    assert code == 1
    assert "is incomplete" in err
    assert "Traceback" not in err


TOKEN = "hf_stale0123456789"  # noqa: S105 - of nobody


def answer(status, code="", message=""):
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    return web.Response(status=status, headers={k: v for k, v in headers.items() if v})


@pytest.mark.slow
async def test_a_stale_token_does_not_keep_public_weights_away(hub, tmp_path):
    refused = "Invalid credentials in Authorization header"
    hub.refuse = lambda request: (
        answer(401, message=refused) if "Authorization" in request.headers else None
    )

    code, out, err = await pull(hub.endpoint, tmp_path, HF_TOKEN=TOKEN)

    assert code == 0, err
    assert len(out.splitlines()) == 6
    assert {f"Bearer {TOKEN}", None} == set(hub.tokens)


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("status", "code", "message", "said"),
    [
        (401, "", "Invalid credentials in Authorization header", "rejected this machine's token"),
        (403, "", "Forbidden", "rejected this machine's token"),
        (401, "RepoNotFound", "Invalid username or password.", "is not on the hub"),
        (403, "GatedRepo", "Access is restricted", "/hpcai-tech/OpenSora-STDiT-v4-360p"),
        (401, "GatedRepo", "Access is restricted", "Ask for access at http://127.0.0.1"),
        (404, "RepoNotFound", "Repository not found", "is not on the hub"),
        (429, "", "", "rate limit is reached"),
        (500, "", "", "does not work at the moment (status 500)"),
        (503, "", "", "does not work at the moment (status 503)"),
    ],
)
@pytest.mark.parametrize("token", [TOKEN, ""])
async def test_what_the_hub_refuses_is_said_with_its_cause(  # noqa: PLR0917 - a table
    hub, tmp_path, status, code, message, said, token
):
    hub.refuse = lambda _request: answer(status, code, message)

    ended, _, err = await pull(hub.endpoint, tmp_path, HF_TOKEN=token)

    assert ended == 1
    assert said in err
    assert "connection" not in err
    assert "Traceback" not in err
    assert TOKEN not in err


@pytest.mark.slow
async def test_a_cause_is_told_also_when_a_part_is_here_already(hub, tmp_path):
    folder = tmp_path / "weights" / "OpenSora-STDiT-v4-360p"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    hub.refuse = lambda _request: answer(403, "GatedRepo", "Access is restricted")

    _, _, err = await pull(hub.endpoint, tmp_path)

    assert "Ask for access at" in err


@pytest.mark.slow
async def test_a_download_that_is_cut_off_says_that_it_goes_on(hub, tmp_path):
    hub.cut_off = True
    code, _, err = await pull(hub.endpoint, tmp_path)
    assert code == 1
    assert "was interrupted" in err or "is incomplete" in err
    assert "Traceback" not in err
    hub.cut_off = False
    assert (await pull(hub.endpoint, tmp_path))[0] == 0


@pytest.mark.slow
async def test_a_file_of_other_content_than_the_hub_promised_is_thrown_away(hub, tmp_path):
    hub.body = lambda data: data[:-1] + b"?"
    code, _, err = await pull(hub.endpoint, tmp_path)
    assert code == 1
    assert "does not match its checksum" in err
    hub.body = lambda data: data
    assert (await pull(hub.endpoint, tmp_path))[0] == 0


@pytest.mark.slow
async def test_a_full_disk_is_no_matter_of_the_connection(hub, tmp_path):
    full = tmp_path / "sitecustomize.py"
    full.write_text(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    )
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[3])))

    code, _, err = await pull(hub.endpoint, tmp_path, PYTHONPATH=path)

    assert code == 1
    assert "The disk is full" in err


@pytest.mark.slow
async def test_a_host_that_is_not_known_is_named(tmp_path):
    code, _, err = await pull("http://hub.invalid", tmp_path)
    assert code == 1
    assert "The address http://hub.invalid was not found" in err


async def test_a_proxy_that_refuses_is_named(tmp_path):
    code, _, err = await pull("http://hub.invalid", tmp_path, HTTP_PROXY="http://127.0.0.1:1")
    assert code == 1
    assert "proxy" in err.casefold()


@pytest.mark.slow
async def test_a_weights_folder_that_may_not_be_written_is_named(hub, tmp_path):
    (tmp_path / "weights").write_text("a file in its place")
    code, _, err = await pull(hub.endpoint, tmp_path)
    assert code == 1
    assert str(tmp_path / "weights") in err
    assert "connection" not in err
    assert "Traceback" not in err


@pytest.mark.slow
async def test_offline_mode_is_named(hub, tmp_path):
    code, _, err = await pull(hub.endpoint, tmp_path, HF_HUB_OFFLINE="1")
    assert code == 1
    assert "HF_HUB_OFFLINE" in err


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["in a folder", "in the hub's cache"])
async def test_a_download_that_is_killed_goes_on_within_the_file(tmp_path, kept):
    chunk = 10 * 2**20  # what the client writes at a time
    files = FILES | {"model.safetensors": os.urandom(3 * chunk)}
    environment = {} if kept == "in a folder" else {"RUSHES_MODELS__DIRECTORY": ""}
    async with serving(files) as hub:
        hub.stops_after = 2 * chunk + 1000
        process = await started(hub.endpoint, tmp_path, **environment)
        await asyncio.wait_for(hub.halfway.wait(), 180)
        await asyncio.to_thread(parts_of, tmp_path, chunk)
        process.kill()
        await process.wait()

        hub.stops_after = None
        code, _, err = await pull(hub.endpoint, tmp_path, **environment)

    assert code == 0, err
    [(name, begun)] = hub.ranges
    assert name == "model.safetensors"
    assert begun >= chunk
    found = [path for path in tmp_path.rglob("model.safetensors") if path.is_file()]
    assert len(found) == 5
    assert {path.read_bytes() for path in found} == {files["model.safetensors"]}
    assert not list(tmp_path.rglob("*.part"))


def parts_of(folder, size):
    """Wait until so much of a file is here."""
    while not any(path.stat().st_size >= size for path in folder.rglob("*.part")):
        time.sleep(0.02)
