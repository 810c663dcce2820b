"""Addresses as they are kept with jobs, also with those of earlier versions."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from bot.slack.address import Address


@pytest.mark.parametrize("thread", [None, "1.2"])
def test_an_address_comes_back_as_it_was_kept(thread):
    address = Address(team="T1", channel="C1", user="U1", thread_ts=thread)
    assert Address(**asdict(address)) == address


def test_an_address_with_a_key_that_is_not_used_any_more_is_read():
    kept = {"team": "T1", "enterprise": None, "channel": "D1", "user": "U1", "dm": True}
    assert Address(**kept) == Address(team="T1", channel="D1", user="U1")
