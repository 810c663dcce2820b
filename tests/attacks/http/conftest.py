"""A server for the attacks of this folder."""

from __future__ import annotations

import pytest

from bot.network import http_limits
from tests.attacks.http.target import Served
from tests.scenario.http_client import SECONDS


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    before, http_limits.PER_MINUTE = http_limits.PER_MINUTE, 10**6
    served = Served(tmp_path_factory.mktemp("http") / "data")
    served.thread.start()
    assert served.ready.wait(SECONDS)
    yield served
    served.loop.call_soon_threadsafe(served.stop.set)
    served.thread.join(SECONDS)
    http_limits.PER_MINUTE = before
