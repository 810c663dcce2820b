"""The directory of a chat that writes mentions as `<@u1>`, `<@&77>` and `<#123>`."""

from __future__ import annotations

import re

from commands.directory import OpenDirectory, without_sign

_MENTION = re.compile(r"<(?:@&?|#)(?P<id>[A-Za-z0-9]+)>")


class MentionDirectory(OpenDirectory):
    """See the module."""

    def plain_id(self, typed: str) -> str:
        """Return the id in a mention, or what was typed."""
        mention = _MENTION.fullmatch(typed.strip())
        return mention["id"] if mention else without_sign(typed)
