import pytest

from inference.engines.meter import Meter


def test_the_time_of_an_inner_stage_counts_for_that_stage_only(monkeypatch):
    moments = iter([0.0, 1.0, 4.0, 10.0])
    monkeypatch.setattr("inference.engines.meter.time.monotonic", lambda: next(moments))
    meter = Meter()
    with meter.stage("sample"), meter.stage("swap"):
        pass
    assert meter.seconds == {"swap": pytest.approx(3), "sample": pytest.approx(7)}
