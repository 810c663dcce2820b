import pytest

from tests.scenario.discord_day import Plan, report, run

pytestmark = [pytest.mark.process, pytest.mark.slow]


async def test_a_bad_day_loses_and_repeats_nothing(tmp_path):
    plan = Plan(guilds=4, people=10, commands=40, drops=3, kills=1)
    day, verdict = await run(plan, tmp_path)
    assert verdict.problems == [], report(day, verdict)
    assert verdict.accepted == verdict.delivered + verdict.cancelled > 20
    assert day.discord.gateway.resumes > 0
    assert day.discord.gateway.identifies > 1
