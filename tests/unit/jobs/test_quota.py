from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.domain.errors import UserError
from inference.domain.quota import Quota, Usage, admit_cost, milliseconds
from tests.fakes.orders import JOB_SECONDS, an_order

NOW = 1_790_000_000.0
DAY = {"since": NOW - 3600, "until": NOW + 7200}

amounts = st.integers(min_value=0, max_value=10_000_000)
limits = st.none() | st.integers(min_value=0, max_value=10_000)
costs = st.floats(min_value=0.01, max_value=20_000)


@pytest.mark.parametrize(
    ("usage", "quota", "code"),
    [
        (Usage(), Quota(requester_seconds=10, **DAY), None),
        (Usage(), Quota(requester_seconds=9, **DAY), "quota.requester"),
        (Usage(requester_spent=1), Quota(requester_seconds=10, **DAY), "quota.requester"),
        (Usage(requester_reserved=1), Quota(requester_seconds=10, **DAY), "quota.requester"),
        (Usage(tenant_spent=9_999), Quota(requester_seconds=10, **DAY), None),
        (
            Usage(tenant_spent=5_000, tenant_reserved=5_001),
            Quota(tenant_seconds=20, **DAY),
            "quota.tenant",
        ),
        (Usage(tenant_spent=5_000, tenant_reserved=5_000), Quota(tenant_seconds=20, **DAY), None),
        (Usage(requester_spent=10**9), Quota(**DAY), None),
    ],
)
def test_ten_seconds_are_let_in_only_where_they_still_fit(usage, quota, code):
    if code is None:
        admit_cost(usage, quota, 10.0, now=NOW)
        return
    with pytest.raises(UserError) as refusal:
        admit_cost(usage, quota, 10.0, now=NOW)
    assert refusal.value.code == code
    assert refusal.value.params["seconds"] == 7200
    assert refusal.value.params["cost"] == 10


@given(
    st.builds(
        Usage,
        requester_spent=amounts,
        requester_reserved=amounts,
        tenant_spent=amounts,
        tenant_reserved=amounts,
    ),
    limits,
    limits,
    costs,
)
def test_what_is_left_is_exactly_what_is_let_in(usage, requester, tenant, cost):
    quota = Quota(requester_seconds=requester, tenant_seconds=tenant, **DAY)
    left = usage.remaining(quota)
    assert left is None or left >= 0
    try:
        admit_cost(usage, quota, cost, now=NOW)
    except UserError:
        assert left is not None
        assert milliseconds(cost) > left
    else:
        assert left is None or milliseconds(cost) <= left


async def test_ten_submits_at_once_get_no_more_than_the_quota(core):
    now = core.jobs._clock.now()
    quota = Quota(requester_seconds=int(3 * JOB_SECONDS), since=now - 1, until=now + 60)
    answers = await asyncio.gather(
        *(core.jobs.submit(replace(an_order(), quota=quota)) for _ in range(10)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, UserError)]
    assert [error.code for error in refused] == ["quota.requester"] * 7
    usage = await core.jobs.usage("guild:a", "ada", since=quota.since)
    assert usage.requester_reserved == 3 * milliseconds(JOB_SECONDS)


async def test_a_repeated_click_is_answered_although_the_quota_is_used_up(core):
    now = core.jobs._clock.now()
    quota = Quota(requester_seconds=int(JOB_SECONDS), since=now - 1, until=now + 60)
    order = replace(an_order(key="click-1"), quota=quota)
    first = await core.jobs.submit(order)
    assert (await core.jobs.submit(order)).id == first.id


async def test_the_service_finds_a_persons_jobs_by_their_words(core):
    await core.jobs.pause()
    await core.jobs.submit(an_order(prompt="a fox"))
    await core.jobs.submit(an_order(prompt="an owl"))
    found = await core.jobs.history("guild:a", "ada", words="owl", limit=5)
    assert [job.spec.prompt for job in found] == ["an owl"]
    assert await core.jobs.history("guild:b", "ada", limit=5) == []
