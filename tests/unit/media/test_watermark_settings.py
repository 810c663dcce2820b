import json
from dataclasses import asdict
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from inference.domain.watermark import Corner, WatermarkSettings


@pytest.mark.parametrize(
    "settings",
    [
        WatermarkSettings(),
        WatermarkSettings(text="러쉬", corner=Corner.TOP_LEFT, opacity=0.5),
        WatermarkSettings(logo=Path("/srv/logo.png")),
        WatermarkSettings(logo=Path("/srv/\udcff.png")),
    ],
)
def test_settings_survive_json(settings):
    data = json.loads(json.dumps(asdict(settings), default=str))
    assert TypeAdapter(WatermarkSettings).validate_python(data, extra="forbid") == settings


@pytest.mark.parametrize(
    "values", [{"text": " "}, {"text": "x" * 41}, {"opacity": 0.1}, {"opacity": 1.01}]
)
def test_a_mark_that_would_not_be_seen_is_refused(values):
    with pytest.raises(ValueError, match="watermark"):
        WatermarkSettings(**values)


def test_a_logo_needs_no_text():
    assert WatermarkSettings(text="", logo=Path("logo.png")).logo == Path("logo.png")
