"""What the parts of the loopback Slack share: the world, its rules, its faults and its wires."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack.application import Application
from tests.fakes.slack.contract import Contract
from tests.fakes.slack.faults import Faults
from tests.fakes.slack.limits import Meter
from tests.fakes.slack.mail import Mail
from tests.fakes.slack.model import Installation, Json
from tests.fakes.slack.records import Trouble
from tests.fakes.slack.world import World


@dataclass(kw_only=True)
class Hub:
    """One loopback Slack."""

    world: World
    faults: Faults
    contract: Contract
    application: Application
    mail: Mail
    share_seconds: float
    """Between the completion of an upload and its message."""
    meter: Meter = field(default_factory=Meter)
    troubles: list[Trouble] = field(default_factory=list)
    file_bytes: int = 10**9
    """Largest file that is taken."""
    url: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def trouble_for(self, method: str) -> Trouble | None:
        """Return what goes wrong with one call: what a test says, else what chance says."""
        for trouble in self.troubles:
            if trouble.left > 0 and trouble.pattern.search(method):
                trouble.left -= 1
                return trouble
        return self.faults.trouble(method)

    def trouble(self, pattern: str, *, times: float = 1, **what: Any) -> Trouble:
        """Make matching calls go wrong, `times` times; see `Trouble`."""
        trouble = Trouble(pattern=re.compile(pattern), left=times, **what)
        self.troubles.append(trouble)
        return trouble

    def event(self, installation: Installation, event: Json, *, shared: bool = False) -> None:
        """Tell the app what happened, if it subscribed to that."""
        name = event["type"]
        if name == "message":
            name = f"message.{event['channel_type']}"
        if name in self.application.events:
            self.spawn(self.mail.event(installation, event, name=name, shared=shared))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something happen meanwhile, until the server closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after a while."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            act()

        self.spawn(wait())

    async def close(self) -> None:
        """End what still happens."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
