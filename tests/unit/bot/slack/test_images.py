from __future__ import annotations

import contextlib
from dataclasses import asdict

import pytest
from aiohttp import web
from yarl import URL

from bot.slack.address import Address
from bot.slack.api.calls import Calls
from bot.slack.api.clients import Clients, Credentials
from bot.slack.api.rate_limits import Limiter
from bot.slack.hosts import is_slacks
from bot.slack.inbound.images import TRIES, ImageFetcher
from inference.domain.errors import UserError
from inference.media.results import ImageLimits
from inference.store.sqlite.database import open_database
from tests.fakes.clock import ManualClock
from tests.fakes.orders import a_job, a_spec

TOKEN = "xoxb-ours"  # noqa: S105 - of a server that exists for one test
LIMITS = ImageLimits(file_bytes=2000)
PNG = b"\x89PNG" + bytes(1000)


class Hurried(ManualClock):
    """A clock on which every wait is over at once."""

    async def sleep(self, seconds):
        self.advance(seconds)


class FilePlace:
    """The few calls behind a download, and everything that was sent along with them."""

    def __init__(self):
        self.url = URL()
        self.file = {"size": len(PNG)}
        self.infos = []
        """What `files.info` answers before it tells of the file."""
        self.downloads = {}
        self.tokens = []

    def application(self):
        app = web.Application()
        app.router.add_post("/api/auth.test", self._auth)
        app.router.add_get("/api/files.info", self._info)
        app.router.add_get("/files/{name}", self._download)
        return app

    async def _auth(self, _):
        return web.json_response({"ok": True, "team_id": "T1", "user_id": "UBOT"})

    async def _info(self, request):
        assert request.query["file"] == "F1"
        error = self.infos.pop(0) if self.infos else None
        if error is not None:
            return web.json_response({"ok": False, "error": error})
        return web.json_response({"ok": True, "file": self.file})

    async def _download(self, request):
        self.tokens.append(request.headers.get("Authorization"))
        return self.downloads[request.match_info["name"]]()

    def offers(self, answer, **file):
        """Answer a download with what `answer` makes."""
        self.downloads["fox.png"] = answer
        self.file = {"url_private_download": str(self.url / "files/fox.png"), **file}


@contextlib.asynccontextmanager
async def serving(place):
    runner = web.AppRunner(place.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place.url = URL(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        yield place
    finally:
        await runner.cleanup()


@pytest.fixture
async def place():
    async with serving(FilePlace()) as place:
        yield place


@pytest.fixture
async def images(place, tmp_path):
    clock = Hurried()
    clients = Clients(Credentials(bot_token=TOKEN), api_base_url=str(place.url / "api/"))
    async with open_database(tmp_path / "rushes.db") as database, clients.connect(database):
        yield ImageFetcher(Calls(clients, Limiter(clock)), clock, limits=LIMITS)


def moved_to(url):
    return web.Response(status=302, headers={"Location": url})


def job(image="F1"):
    address = Address(team="T1", channel="C1", user="U1")
    return a_job(address=asdict(address), spec=a_spec(image=image))


async def refusal(images, tmp_path, **kwargs):
    with pytest.raises(UserError) as caught:
        await images.fetch(job(), kwargs.get("image", "F1"), tmp_path / "source")
    return caught.value


async def test_an_image_is_downloaded_with_the_workspaces_token(place, images, tmp_path):
    place.offers(lambda: web.Response(body=PNG), size=len(PNG))
    await images.fetch(job(), "F1", tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == PNG
    assert place.tokens == [f"Bearer {TOKEN}"]


async def test_slack_is_asked_again_while_it_is_in_trouble(place, images, tmp_path):
    place.offers(lambda: web.Response(body=PNG))
    place.infos = ["internal_error", "service_unavailable"]
    await images.fetch(job(), "F1", tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == PNG


async def test_slack_is_not_asked_for_ever(place, images, tmp_path):
    place.infos = ["internal_error"] * 20
    assert (await refusal(images, tmp_path)).code == "image.fetch_failed"
    assert len(place.infos) == 20 - TRIES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("file_not_found", "image.not_visible"),
        ("access_denied", "image.not_visible"),
        ("not_visible", "image.not_visible"),
        ("file_deleted", "image.deleted"),
        ("missing_scope", "image.fetch_failed"),
    ],
)
async def test_a_file_that_may_not_be_seen_is_refused_at_once(place, images, tmp_path, error, code):
    place.infos = [error, "must not be asked"]
    assert (await refusal(images, tmp_path)).code == code
    assert place.infos == ["must not be asked"]


async def test_a_stub_that_stays_a_stub_is_refused(place, images, tmp_path):
    place.file = {"mode": "file_access", "file_access": "check_file_info"}
    assert (await refusal(images, tmp_path)).code == "image.not_visible"


async def test_a_file_that_is_still_uploaded_is_waited_for_and_not_for_ever(
    place, images, tmp_path
):
    place.file = {"mode": "hosted"}
    assert (await refusal(images, tmp_path)).code == "image.uploading"


async def test_a_login_page_is_no_image(place, images, tmp_path):
    place.offers(lambda: web.Response(text="<html>Sign in</html>", content_type="text/html"))
    assert (await refusal(images, tmp_path)).code == "image.fetch_failed"


async def test_a_large_file_is_not_even_downloaded(place, images, tmp_path):
    place.offers(lambda: web.Response(body=PNG), size=2001)
    assert (await refusal(images, tmp_path)).code == "image.too_large"
    assert place.tokens == []


async def test_a_file_that_is_larger_than_it_said_is_dropped_on_the_way(place, images, tmp_path):
    place.offers(lambda: web.Response(body=bytes(500_000)), size=100)
    assert (await refusal(images, tmp_path)).code == "image.too_large"
    assert (tmp_path / "source").stat().st_size <= LIMITS.file_bytes


async def test_a_redirect_within_slack_is_followed(place, images, tmp_path):
    place.offers(lambda: moved_to("/files/moved.png"))
    place.downloads["moved.png"] = lambda: web.Response(body=PNG)
    await images.fetch(job(), "F1", tmp_path / "source")
    assert (tmp_path / "source").read_bytes() == PNG


async def test_redirects_in_a_circle_end(place, images, tmp_path):
    place.offers(lambda: moved_to("/files/fox.png"))
    assert (await refusal(images, tmp_path)).code == "image.fetch_failed"


async def test_the_token_never_reaches_another_host(place, images, tmp_path):
    async with serving(FilePlace()) as elsewhere:
        elsewhere.offers(lambda: web.Response(body=PNG))
        place.offers(lambda: moved_to(str(elsewhere.url / "files/fox.png")))
        assert (await refusal(images, tmp_path)).code == "image.fetch_failed"
        place.file = elsewhere.file
        assert (await refusal(images, tmp_path)).code == "image.fetch_failed"
        assert elsewhere.tokens == []


@pytest.mark.parametrize("image", ["", "../F1", "https://files.slack.com/F1", "F1&team=T2"])
async def test_only_ids_of_files_are_asked_for(images, tmp_path, image):
    assert (await refusal(images, tmp_path, image=image)).code == "image.fetch_failed"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://files.slack.com/files-pri/T1-F1/fox.png", True),
        ("https://acme.enterprise.slack.com/files-pri/T1-F1/fox.png", True),
        ("http://files.slack.com/files-pri/T1-F1/fox.png", False),
        ("https://files.slack.com.evil.example/fox.png", False),
        ("https://evilslack.com/fox.png", False),
        ("https://files.slack.com@evil.example/fox.png", False),
        ("/files-pri/T1-F1/fox.png", False),
    ],
)
def test_tokens_go_to_slacks_own_hosts_only(url, ours):
    assert is_slacks(URL(url), None) is ours


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8000/files/fox.png", True),
        ("http://127.0.0.1:8001/files/fox.png", False),
        ("https://files.slack.com/fox.png", False),
        ("files/fox.png", False),
    ],
)
def test_what_stands_in_for_slack_is_one_origin(url, ours):
    assert is_slacks(URL(url), "http://127.0.0.1:8000/api/") is ours
