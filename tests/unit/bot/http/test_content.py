"""Files of a video that are deleted meanwhile."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bot.http.videos.content import Content, Variant
from inference.domain.errors import EngineError, UserError


@pytest.mark.parametrize(
    ("deleted", "kind", "code"),
    [(True, UserError, "job.files_expired"), (False, EngineError, "file.unreadable")],
)
async def test_a_clip_that_goes_while_its_still_is_made_has_expired(tmp_path, deleted, kind, code):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"clip")

    class Media:
        async def sheet(self, *_):
            if deleted:
                clip.unlink()
            raise EngineError("file.unreadable", path="")

    content = Content(SimpleNamespace(media=Media()))
    with pytest.raises(kind) as caught:
        await content._still(SimpleNamespace(id="ABC"), clip, Variant.THUMBNAIL)
    assert caught.value.code == code


@pytest.mark.parametrize("read", ["read", "size", "response"])
async def test_a_file_that_goes_before_it_is_read_has_expired(tmp_path, monkeypatch, read):
    content = Content(SimpleNamespace())

    async def file(*_):
        return tmp_path / "clip.mp4"

    monkeypatch.setattr(content, "file", file)
    job, call = SimpleNamespace(id="ABC"), SimpleNamespace(locale="en")
    asks = {
        "read": lambda: content.read(call, job, Variant.VIDEO),
        "size": lambda: content.size(call, job),
        "response": lambda: content.response(
            make_mocked_request("GET", "/", headers={"If-Range": '"a"'}), call, job, Variant.VIDEO
        ),
    }
    with pytest.raises(UserError, match=r"job\.files_expired"):
        await asks[read]()


@pytest.mark.parametrize("moment", ["while it is opened", "once it is open"])
async def test_a_file_is_closed_if_the_client_leaves_before_it_is_sent(
    tmp_path, monkeypatch, moment
):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"clip")
    content = Content(SimpleNamespace())

    async def file(*_):
        return clip

    monkeypatch.setattr(content, "file", file)
    opening, gone = threading.Event(), threading.Event()
    opened = []
    make = web.FileResponse._make_response

    def make_response(*arguments):
        if moment == "while it is opened":
            opening.set()
            assert gone.wait(180)
        result = make(*arguments)
        opened.append(result[1])
        opening.set()
        return result

    monkeypatch.setattr(web.FileResponse, "_make_response", make_response)
    job, call = SimpleNamespace(id="ABC"), SimpleNamespace(locale="en")
    request = make_mocked_request("GET", "/")
    response = await content.response(request, call, job, Variant.VIDEO)
    sending = asyncio.create_task(response.prepare(request))
    await asyncio.sleep(0)  # it asks a thread; the loop hears nothing of it before it is cancelled
    assert opening.wait(180)
    sending.cancel()
    gone.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await asyncio.get_running_loop().shutdown_default_executor()
    assert [file.closed for file in opened] == [True]
