from __future__ import annotations

import pytest

from inference.domain.errors import UserError
from inference.domain.limits import Counts, QueueLimits, admit

LIMITS = QueueLimits(per_tenant=5, per_requester=3, total=20, cooldown_seconds=60)
NOW = 1_790_000_000.0


def counts(*, total=0, tenant=0, requester=0, newest_at=None):
    return Counts(total=total, tenant=tenant, requester=requester, newest_at=newest_at)


@pytest.mark.parametrize(
    ("waiting", "code", "params"),
    [
        ({"requester": 3}, "queue.full_user", {"limit": 3, "count": 3}),
        ({"tenant": 5}, "queue.full_tenant", {"limit": 5, "count": 5}),
        ({"total": 20, "tenant": 1}, "queue.full_total", {"limit": 20, "count": 20}),
        ({"total": 40}, "queue.full_total", {"limit": 20, "count": 40}),
        ({"requester": 4, "tenant": 9, "total": 99}, "queue.full_user", {"limit": 3, "count": 4}),
        ({"newest_at": NOW - 20}, "queue.cooldown", {"seconds": 40}),
        ({"newest_at": NOW}, "queue.cooldown", {"seconds": 60}),
    ],
)
def test_a_full_line_says_what_is_full(waiting, code, params):
    with pytest.raises(UserError) as refusal:
        admit(counts(**waiting), LIMITS, now=NOW)

    assert (refusal.value.code, refusal.value.params) == (code, params)


@pytest.mark.parametrize(
    "waiting",
    [
        {},
        {"requester": 2, "tenant": 4, "total": 19},
        {"total": 20},
        {"total": 39},
        {"newest_at": NOW - 60},
    ],
)
def test_one_more_is_let_in_below_every_cap(waiting):
    admit(counts(**waiting), LIMITS, now=NOW)


def test_a_clock_that_jumped_back_an_hour_locks_nobody_out():
    admit(counts(newest_at=NOW + 3600), LIMITS, now=NOW)


def test_without_a_cooldown_one_may_ask_again_at_once():
    admit(counts(newest_at=NOW), QueueLimits(), now=NOW)
