"""What an app says of itself in its manifest, and what Slack makes of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack.model import Json

RESERVED = frozenset(
    """
    /? /active /apps /archive /away /call /canvas /collapse /dm /dnd /expand /feed /feedback
    /help /huddle /invite /invite_people /join /keys /kick /leave /list /me /msg /mute /open
    /part /people /prefs /remind /remove /rename /search /shortcuts /shrug /shrink /star /status
    /todo /topic /who
    """.split()  # noqa: SIM905 - a list of many words reads as words
)
"""Commands that Slack keeps for itself."""

BOT_SCOPES = frozenset(
    """
    app_mentions:read channels:join channels:read chat:write commands files:read files:write
    groups:read im:history im:read im:write mpim:read reactions:write team:read users:read
    """.split()  # noqa: SIM905 - a list of many words reads as words
)
"""What an app is granted unless a test says otherwise."""

EVENTS = frozenset(
    """
    app_home_opened app_mention app_uninstalled channel_shared channel_unshared file_shared
    message.im tokens_revoked
    """.split()  # noqa: SIM905 - a list of many words reads as words
)
"""What an app hears unless a test says otherwise."""


@dataclass(kw_only=True, frozen=True)
class Application:
    """An app as its manifest describes it; without one, any command and shortcut is there."""

    commands: frozenset[str] | None = None
    shortcuts: dict[str, str] = field(default_factory=dict)
    """Callback ids by the names that people see."""
    events: frozenset[str] = EVENTS
    scopes: frozenset[str] = BOT_SCOPES

    def __post_init__(self) -> None:
        """Refuse names that Slack keeps.

        Raises:
            ValueError: One of the commands is reserved or not well-formed.
        """
        for command in self.commands or ():
            if command in RESERVED or not command.startswith("/") or len(command) > 32:
                raise ValueError(f"Slack does not take the command {command}")

    @classmethod
    def from_manifest(cls, manifest: Json) -> Application:
        """Read a manifest as one would paste it into Slack."""
        features, settings = manifest["features"], manifest["settings"]
        shortcuts: list[dict[str, Any]] = features.get("shortcuts", [])
        return cls(
            commands=frozenset(c["command"] for c in features.get("slash_commands", [])),
            shortcuts={shortcut["name"]: shortcut["callback_id"] for shortcut in shortcuts},
            events=frozenset(settings.get("event_subscriptions", {}).get("bot_events", ())),
            scopes=frozenset(manifest["oauth_config"]["scopes"]["bot"]),
        )
