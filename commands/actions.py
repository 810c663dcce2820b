"""Actions of buttons, and their encoding in the button ids that platforms keep."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from inference.domain.errors import NotFound

MAX_LENGTH = 100
"""Characters that Discord keeps for a button; Slack keeps more."""

_FORM = re.compile(r"v1:(?P<action>[a-z_]{1,20}):(?P<job>[0-9A-Z]{8,26})(?::(?P<choice>[0-9]))?")


class Action(StrEnum):
    """Action of a button."""

    CANCEL = "cancel"
    REROLL = "reroll"
    """The same again with another seed."""
    RETRY = "retry"
    """The very same again, after a failure."""
    EXTEND = "extend"
    """The clip, and what comes after it."""
    LARGER = "larger"
    """The same at the model's highest resolution."""
    FINISH = "finish"
    """The full version of a draft."""
    EDIT = "edit"
    """Change what was asked for: opens a form."""
    ACCEPT = "accept"
    """In review: render what the assistant made of the prompt."""
    REWORD = "reword"
    """In review: change what the assistant made of it; opens a form."""
    KEEP = "keep"
    """In review: render the requester's own words."""
    ANIMATE = "animate"
    """A clip that begins with this still."""
    INFO = "info"
    DELETE = "delete"
    """Take the finished file back."""
    CHANGE = "change"
    """Ask for what was refused again, with a change that works."""

    @property
    def opens_form(self) -> bool:
        """Whether the answer is a form, which a chat must open at once."""
        return self in {Action.EDIT, Action.REWORD}

    @property
    def about_job(self) -> bool:
        """Whether it is about a job; only `CHANGE` is about a refused request."""
        return self is not Action.CHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ButtonId:
    """The id of a button: its action and what it is about."""

    action: Action
    job: str
    """Id of the job; for `Action.CHANGE`, that of the refused request."""
    choice: int | None = None
    """The number of the refused request's change, for `Action.CHANGE` only."""

    def encode(self) -> str:
        """Return the button's id; `decode` is the inverse."""
        choice = "" if self.choice is None else f":{self.choice}"
        return f"v1:{self.action}:{self.job}{choice}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a button's id as `decode` does; None where that raises."""
        try:
            return cls.decode(text)
        except NotFound:
            return None

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a button's id, which anybody may have forged.

        Raises:
            NotFound: It is not one of ours, or not of a version we know.
        """
        match = _FORM.fullmatch(text)
        if match is None or match["action"] not in set(Action):
            raise NotFound("action.unknown")
        action, choice = Action(match["action"]), match["choice"]
        if (choice is None) is not action.about_job:
            raise NotFound("action.unknown")
        return cls(action=action, job=match["job"], choice=None if choice is None else int(choice))
