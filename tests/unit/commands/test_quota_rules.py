from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.caller import Caller
from commands.handlers.advice import find_largest_fit
from commands.policy.quota import compute_tenant_quota, day_of
from commands.policy.settings import Rules
from inference.domain.quota import milliseconds
from tests.fakes.orders import a_spec

NOW = 1_790_000_000.0
ZONES = ["UTC", "Europe/Berlin", "Asia/Seoul", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia"]
MEMBER = Caller(id="ann", name="Ann", roles=frozenset({"staff", "editors"}))


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("now", "zone", "since", "until"),
    [
        ("2026-06-01 12:00", "UTC", "2026-06-01 00:00", "2026-06-02 00:00"),
        ("2026-06-01 23:30", "Europe/Berlin", "2026-06-01 22:00", "2026-06-02 22:00"),
        ("2026-06-01 14:59", "Asia/Seoul", "2026-05-31 15:00", "2026-06-01 15:00"),
        ("2026-06-01 15:00", "Asia/Seoul", "2026-06-01 15:00", "2026-06-02 15:00"),
        # The clocks go forward: 23 hours. And back: 25.
        ("2026-03-29 12:00", "Europe/Berlin", "2026-03-28 23:00", "2026-03-29 22:00"),
        ("2026-10-25 12:00", "Europe/Berlin", "2026-10-24 22:00", "2026-10-25 23:00"),
    ],
)
def test_a_day_is_from_midnight_to_midnight_where_the_guild_is(now, zone, since, until):
    assert day_of(at(now), zone) == (at(since), at(until))


@given(st.floats(min_value=1e9, max_value=2e9), st.sampled_from(ZONES))
def test_every_moment_lies_in_its_day_and_days_join_without_a_gap(now, zone):
    since, until = day_of(now, zone)
    assert since <= now < until
    assert 20 * 3600 <= until - since <= 28 * 3600
    assert day_of(until, zone)[0] == until
    assert day_of(since, zone) == (since, until)


@pytest.mark.parametrize(
    ("guild", "limits"),
    [
        ({}, None),
        ({"quota.user": 60}, (60, None)),
        ({"quota.guild": 600}, (None, 600)),
        ({"quota.user": 60, "quota.guild": 600}, (60, 600)),
        (
            {"quota.user": 60, "quota.roles": {"staff": 90, "editors": 300, "chiefs": 900}},
            (300, None),
        ),
        ({"quota.user": 60, "quota.roles": {"staff": 30}}, (30, None)),
        ({"quota.user": 60, "quota.roles": {"staff": 90, "editors": None}}, None),
        (
            {"quota.user": 60, "quota.roles": {"editors": None}, "quota.people": {"ann": 5}},
            (5, None),
        ),
        ({"quota.guild": 600, "quota.people": {"ann": None}}, None),
        ({"quota.user": 60, "quota.people": {"bob": None}}, (60, None)),
        ({"quota.user": 0}, (0, None)),
    ],
)
def test_the_most_particular_amount_is_a_persons_limit(guild, limits):
    found = compute_tenant_quota(MEMBER, Rules(guild=guild), NOW)
    assert (found and (found.requester_seconds, found.tenant_seconds)) == limits


def by_size(spec):
    return spec.frames * (4 if spec.resolution == "720p" else 1) / 10


@pytest.mark.parametrize(
    ("left", "fits"),
    [
        (100_000, ("720p", 97)),
        (30_000, ("720p", 65)),
        (12_000, ("360p", 97)),
        (5_000, ("360p", 49)),
        (4_000, None),
        (0, None),
    ],
)
def test_the_largest_that_still_fits_is_offered(big, left, fits):
    found = find_largest_fit(a_spec(resolution="720p", frames=97), big, left, by_size)
    assert (found and (found.resolution, found.frames)) == fits


@given(st.integers(0, 100_000), st.sampled_from([1, 49, 65, 81, 97, 113]))
def test_what_is_offered_fits_and_is_the_same_kind_of_thing(big, left, frames):
    spec = a_spec(resolution="720p", frames=frames)
    found = find_largest_fit(spec, big, left, by_size)
    if found is not None:
        assert milliseconds(by_size(found)) <= left
        assert found.mode is spec.mode
        assert found.frames <= frames
