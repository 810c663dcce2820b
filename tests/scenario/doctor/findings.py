"""What tests of the doctor share: configs, and checks of findings."""

from __future__ import annotations

import contextlib
import sqlite3
import ssl
import sys
from pathlib import Path

from aiohttp import web

from bot.config.sections import Config
from bot.doctor.findings import Finding, Level
from inference.store.maintenance import DATABASE_NAME
from inference.store.sqlite.migrate import migrations
from inference.workers.device_report import DeviceReport

ROOT = Path(__file__).parents[3]

CARD = DeviceReport(
    torch="2.13.0",
    cuda="13.0",
    driver="NVRM version: 580",
    name="NVIDIA H100",
    memory_bytes=80 * 10**9,
    free_bytes=79 * 10**9,
)
NO_CARD = DeviceReport(torch="2.13.0", memory_bytes=10**10, free_bytes=10**10)

OF_ADDRESS = "Basic bWU6cGFzcw=="
"""Of `me` with `pass`."""

WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root as anybody else, who may not read what is closed."""

DOCTOR = (sys.executable, "-m", "bot", "doctor", "--offline")

WRONG, WRONG_APP = "wrong", "xapp-wrong"


def config(tmp_path, **sections) -> Config:
    bot = {"data_dir": tmp_path / "data", "platforms": ["terminal"]} | sections.pop("bot", {})
    return Config(**({"bot": bot, "models": {"installed": ["testcard"]}} | sections))


def only(findings, level: Level, code: str) -> Finding:
    """Return the one finding that is not fine, after checking that it is this one."""
    wrong = [finding for finding in findings if finding.level is not Level.OK]
    assert [(finding.level, finding.code) for finding in wrong] == [(level, code)]
    for locale in ("en", "ko"):
        assert wrong[0].text(locale)
    return wrong[0]


def fine(findings) -> None:
    assert {finding.level for finding in findings} <= {Level.OK}


@contextlib.asynccontextmanager
async def answering(address, data):
    """Serve the health of a process."""
    application = web.Application()
    application.router.add_get("/v1/health", answers(data))
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(address)).start()
    yield
    await runner.cleanup()


def answers(data):
    """Return a handler that answers with this."""

    async def handler(_):
        return web.json_response(data)

    return handler


@contextlib.asynccontextmanager
async def serving(handler, tls: ssl.SSLContext | None = None):
    """Serve one answer to everything; yield the address."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    await runner.cleanup()


def needing(tmp_path, url) -> Config:
    """Return a config that needs a host."""
    return config(
        tmp_path,
        bot={"platforms": ["discord"]},
        discord={
            "token": "x",
            "api_base_url": url,
            "gateway_url": url.replace("http", "ws", 1),
        },
    )


def migrated(folder: Path) -> None:
    """Make a database in a folder, as an earlier start did."""
    with contextlib.closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number, sql in migrations():
            connection.executescript(sql)
            connection.execute(f"PRAGMA user_version = {number}")
