"""Shares a file exactly once, also after crashes and lost answers.

The id of the file is kept before the call that shares it; afterwards Slack is asked whether the
file is there. A try that was interrupted is taken up where its trace says that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from bot.platform import Remember
from bot.slack.address import Address
from bot.slack.api.calls import slack_code
from bot.slack.outbound.files import Destination, Files
from commands.text.card import Attachment
from inference import crash_points
from inference.domain.errors import DeliveryError

MOST_COMPLETIONS = 2
"""A file that was not shared is completed once again; after that only its link is of use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A file that Slack has."""

    file_id: str
    ts: str | None
    """Of the message that shows it, `files.UNSEEN` where Slack lets nobody look; None: no message
    does, and people need the link."""
    link: str | None = None


class FileShares:
    """Shares files in threads."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def share(
        self,
        address: Address,
        target: Destination,
        attachment: Attachment,
        comment: str,
        *,
        trace: Mapping[str, Any],
        remember: Remember,
    ) -> Shared:
        """Share a file with a comment, and see that it is there.

        Args:
            address: Whose workspace it is.
            target: Where to.
            attachment: The file.
            comment: Shown with it; markup.
            trace: What earlier tries remembered: `file_id`, how often completing it was `asked`
                for and may have worked, and once it was seen the `shared_ts` of its message.
            remember: Commits the trace.

        Raises:
            DeliveryError: To be called again with what was remembered, if `transient`.
        """
        file_id: str | None = trace.get("file_id")
        if file_id is not None and trace.get("shared_ts") is not None:
            return Shared(file_id=file_id, ts=trace["shared_ts"])
        asked: int = trace.get("asked", 0)
        if file_id is None:
            file_id, asked = await self._files.upload(address, attachment), 0
            crash_points.point("after:slack_upload")
        completed = False
        for count in range(asked, MOST_COMPLETIONS + 1):
            ts = None
            if count:
                ts = await self._files.shared(address, file_id, target.channel, completed=completed)
            if ts is not None:
                await remember({"file_id": file_id, "asked": count, "shared_ts": ts})
                return Shared(file_id=file_id, ts=ts)
            if count == MOST_COMPLETIONS:
                break
            await remember({"file_id": file_id, "asked": count + 1})
            crash_points.point("before:slack_complete")
            try:
                await self._files.complete(
                    address, file_id, title=attachment.description, target=target, comment=comment
                )
            except DeliveryError as error:
                if count and not error.transient:  # the reservation was good for once
                    break
                await self._stopped(file_id, count, error, remember)
            completed = True
            crash_points.point("after:slack_complete")
        try:
            link = await self._files.permalink(address, file_id)
        except DeliveryError as error:
            await self._stopped(file_id, MOST_COMPLETIONS, error, remember)
        return Shared(file_id=file_id, ts=None, link=link)

    async def _stopped(
        self, file_id: str, asked: int, error: DeliveryError, remember: Remember
    ) -> NoReturn:
        """Note how many completions may have worked, and raise what stopped it."""
        if error.code == "slack.unreachable":  # it may have: that is what is noted already
            raise error
        if slack_code(error) == "file_not_found":  # the reservation ran out: start again
            await remember({"file_id": None, "asked": 0})
            raise DeliveryError("slack.upload_lost", transient=True) from error
        await remember({"file_id": file_id, "asked": asked})
        raise error
