"""Every refusal that Discord's API gives, with its status and its sentence."""

from __future__ import annotations

from typing import Any

KNOWN = {
    10003: (404, "Unknown Channel"),
    10004: (404, "Unknown Guild"),
    10007: (404, "Unknown Member"),
    10008: (404, "Unknown Message"),
    10013: (404, "Unknown User"),
    10015: (404, "Unknown Webhook"),
    10062: (404, "Unknown interaction"),
    10063: (404, "Unknown application command"),
    20009: (403, "Explicit content cannot be sent to the desired recipient(s)"),
    30032: (400, "Maximum number of application commands reached"),
    30046: (429, "Maximum number of edits to messages older than 1 hour reached. Try again later"),
    40001: (401, "Unauthorized"),
    40005: (413, "Request entity too large"),
    40058: (403, "Cannot message this thread until after the post author has sent a message."),
    40060: (400, "Interaction has already been acknowledged."),
    50001: (403, "Missing Access"),
    50005: (403, "Cannot edit a message authored by another user"),
    50006: (400, "Cannot send an empty message"),
    50007: (403, "Cannot send messages to this user"),
    50008: (400, "Cannot send messages in a non-text channel"),
    50013: (403, "Missing Permissions"),
    50021: (403, "Cannot execute action on a system message"),
    50024: (400, "Cannot execute action on this channel type"),
    50027: (401, "Invalid Webhook Token"),
    50035: (400, "Invalid Form Body"),
    50083: (400, "Thread is archived"),
    160002: (400, "Cannot reply without permission to read message history"),
    160004: (400, "A thread has already been created for this message"),
    160005: (400, "Thread is locked"),
    160006: (400, "Maximum number of active threads reached"),
    200000: (400, "Message was blocked by automatic moderation"),
    200001: (400, "Title was blocked by automatic moderation"),
    240000: (400, "Message blocked by harmful links filter"),
}
"""Code -> status and message."""


class Refusal(Exception):
    """An answer that is not what was asked for.

    Args:
        code: One of `KNOWN`, or 0 for a bare HTTP error.
        status: Only for code 0.
        problems: What is wrong with the form, one sentence each.
        field: The field whose words are not taken; the form itself is right.
        retry_after: Seconds, for 429.
    """

    def __init__(
        self,
        code: int,
        *,
        status: int = 400,
        problems: list[str] | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.field = field
        self.retry_after = retry_after
        self.status, self.message = KNOWN.get(code, (status, f"{status}: refused"))
        self.problems = problems or []
        super().__init__(f"{self.status} {code} {self.message} {self.problems or ''}".strip())

    def body(self) -> dict[str, Any]:
        """Return the JSON answer."""
        answer: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.problems:
            told = [{"code": "INVALID", "message": problem} for problem in self.problems]
            answer["errors"] = {"_errors": told}
        if self.field is not None:
            told = [{"code": "CONTENT_REFUSED", "message": "These words are not allowed here."}]
            answer["errors"] = {self.field: {"_errors": told}}
        if self.retry_after is not None:
            answer |= {"retry_after": round(self.retry_after, 3), "global": False}
        return answer
