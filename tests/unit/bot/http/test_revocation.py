"""Requests that end with their tokens, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from bot.http.access import tokens
from bot.http.access.revocation import Revocation
from inference.clock import SystemClock
from inference.domain.errors import UserError


async def test_a_request_that_takes_long_to_end_does_not_hold_up_others(monkeypatch):
    async def none_valid(*_):
        return set()

    monkeypatch.setattr(tokens, "valid_among", none_valid)
    revocation, release = Revocation(None, SystemClock()), asyncio.Event()
    begun = asyncio.Queue()

    async def ask(key, *, slow):
        async with revocation.watch(SimpleNamespace(id=key)):
            begun.put_nowait(None)
            try:
                await asyncio.Event().wait()
            finally:
                begun.put_nowait(None)
                if slow:
                    await release.wait()

    async with asyncio.timeout(180):
        slow = asyncio.create_task(ask("slow", slow=True))
        await begun.get()
        await revocation._check()
        await begun.get()  # it is ending
        other = asyncio.create_task(ask("other", slow=False))
        await begun.get()
        await revocation._check()
        release.set()
        for task in (slow, other):
            with pytest.raises(UserError, match=r"http\.unauthorized"):
                await task
