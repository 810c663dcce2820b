import pytest

from tests.scenario.slack_day import Plan, live

pytestmark = pytest.mark.process


async def test_a_bad_morning_on_slack_loses_and_repeats_nothing(tmp_path):
    verdict = await live(Plan.short(), tmp_path)
    assert not verdict.problems
    assert verdict.accepted == verdict.delivered > 20
