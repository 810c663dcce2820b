"""Workspaces as their administrators handle them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from tests.fakes.slack.acts import now
from tests.fakes.slack.hub import Hub
from tests.fakes.slack.model import Channel, Installation, Json, Team, User
from tests.fakes.slack.people import Person
from tests.fakes.slack.records import Refused


class Workspace:
    """A team, as its administrator handles it."""

    def __init__(
        self,
        hub: Hub,
        team: Team,
        install: Callable[[Team, frozenset[str]], Installation],
    ) -> None:
        self.team = team
        self._hub = hub
        self._install = install

    @property
    def id(self) -> str:
        """The team id."""
        return self.team.id

    @property
    def installation(self) -> Installation:
        """The app in this workspace.

        Raises:
            Refused: It is not there.
        """
        installation = self._hub.world.installation(self.team)
        if installation is None:
            raise Refused(f"{self.team.name} has no such app")
        return installation

    def install(self, *, scopes: frozenset[str] | None = None) -> Installation:
        """Install the app without asking anybody; its token is in the result."""
        return self._install(self.team, scopes or self._hub.application.scopes)

    def uninstall(self, *, reason: Literal["account_inactive", "token_revoked"]) -> None:
        """Take the app's token away and tell it."""
        installation = self.installation
        if reason == "token_revoked":
            tokens = {"bot": [installation.bot.id]}
            self._hub.event(installation, {"type": "tokens_revoked", "tokens": tokens})
        else:
            self._hub.event(installation, {"type": "app_uninstalled"})
        installation.revoked = reason

    def add_user(self, name: str, *, locale: str = "en-US") -> Person:
        """Let somebody in."""
        user = User(id=self._hub.world.identity("U"), name=name, team=self.team, locale=locale)
        self._hub.world.users[user.id] = user
        return Person(self._hub, user)

    def add_channel(
        self,
        name: str,
        *people: Person,
        kind: Literal["public", "private"] = "public",
        bot: bool = True,
        shared_with: Iterable[Workspace] = (),
    ) -> Channel:
        """Open a channel with people in it, and with the bots of its workspaces unless told not."""
        workspaces = [self, *shared_with]
        channel = Channel(
            id=self._hub.world.identity("C"),
            name=name,
            kind=kind,
            teams=[workspace.team for workspace in workspaces],
            members={person.id for person in people},
        )
        self._hub.world.channels[channel.id] = channel
        for installation in self._hub.world.installations:
            if bot and installation.team in channel.teams:
                channel.members.add(installation.bot.id)
        return channel

    def share(self, channel: Channel, other: Workspace, *people: Person) -> None:
        """Let another company into a channel, and tell the app on both sides."""
        channel.teams.append(other.team)
        channel.members |= {person.id for person in people}
        for installation in self._hub.world.installations:
            if installation.team is other.team:
                channel.members.add(installation.bot.id)
        self._tell_shared(channel, "channel_shared", {"connected_team_id": other.id})

    def unshare(self, channel: Channel, other: Workspace) -> None:
        """Show another company the door, and tell the app on both sides."""
        self._tell_shared(channel, "channel_unshared", {"previously_connected_team_id": other.id})
        channel.teams.remove(other.team)
        users = self._hub.world.users
        channel.members = {user for user in channel.members if users[user].team is not other.team}

    def _tell_shared(self, channel: Channel, kind: str, more: Json) -> None:
        for team in channel.teams:
            installation = self._hub.world.installation(team)
            if installation is not None:
                event = {"type": kind, "channel": channel.id, "event_ts": now(), **more}
                self._hub.event(installation, event, shared=channel.shared)
