"""/rushes history: the caller's own jobs, newest first, by words and page by page."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from commands.context import Call, Command, rushes_command
from commands.handlers.arguments import read_arguments
from commands.options import PAGE, WORDS
from commands.policy.settings import TIMEZONE
from commands.text import replies
from commands.text.card import Card, CardKind, Line
from commands.text.messages import text
from commands.text.summary import isolate_prompt, join_facts

PAGE_LENGTH = 10
"""Jobs on a page."""

LINE_LENGTH = 60
"""Characters of a prompt."""

_OPTIONS = (WORDS, PAGE)


async def history(call: Call) -> Card:
    """List the caller's jobs on one page, and say whether there is another."""
    given = read_arguments(call, _OPTIONS)
    words, page = str(given.get(WORDS.name, "")), int(given.get(PAGE.name, 1))
    jobs = await call.jobs.history(
        call.channel.tenant,
        call.caller.id,
        words=words,
        limit=PAGE_LENGTH + 1,
        offset=(page - 1) * PAGE_LENGTH,
    )
    if not jobs:
        return replies.note("history.none" if page == 1 else "history.no_page", call.locale)
    zone = ZoneInfo((await call.rules()).value(TIMEZONE))
    lines: list[Line] = []
    for job in jobs[:PAGE_LENGTH]:
        shown = [
            datetime.fromtimestamp(job.created_at, zone).strftime("%Y-%m-%d %H:%M"),
            isolate_prompt(job.spec.own_words, LINE_LENGTH),
            text("card.removed" if job.removed_at else f"state.{job.state}", call.locale),
            job.id,
        ]
        lines.append((join_facts(shown, call.locale),))
    if len(jobs) > PAGE_LENGTH:
        typed = f"/rushes history {words}".rstrip() + f" --page {page + 1}"
        lines.append((text("history.more", call.locale, command=typed),))
    return Card(
        kind=CardKind.INFO,
        title=text("history.title", call.locale, page=page, zone=zone.key),
        lines=tuple(lines),
    )


def commands() -> tuple[Command, ...]:
    """Return the commands of this module."""
    return (rushes_command(name="history", handler=history, options=_OPTIONS),)
