"""Stills of a video whose files are deleted meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

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
