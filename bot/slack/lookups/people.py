"""Looks up who a person is: name, language, admin or not, and of which company."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bot.platform import Services
from bot.slack.address import NAME, person_id
from bot.slack.api.clients import Clients, problem
from bot.slack.api.errors import WIRE_ERRORS
from bot.slack.installations import WorkspaceInstallation
from bot.slack.origin import Origin
from commands.caller import Caller
from commands.text.messages import language
from inference.clock import Clock
from inference.domain.errors import DeliveryError

KEPT_SECONDS = 300.0
"""How long a profile is cached: a former admin still counts as one for this long."""

RETRY_SECONDS = 15.0
"""How long one that could not be read is not asked for again."""

LOOKUP_SECONDS = 5.0

MAX_KEPT = 10_000
"""Profiles."""

GROUPS_SCOPE = "usergroups:read"
"""Optional: with it, user groups are the roles that settings name."""

Groups = Mapping[str, frozenset[str]]
"""User groups by the people in them."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A person's profile as Slack has it."""

    name: str = ""
    locale: str | None = None
    admin: bool = False
    team: str | None = None
    enterprise: str | None = None
    stranger: bool = False
    """Met in shared channels only."""
    guest: bool = False
    """A guest of the workspace, who sees only the channels they were invited to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A person with a request."""

    caller: Caller
    locale: str
    external: bool
    """Whether they belong to another company."""


class People:
    """Cached profiles and user groups."""

    def __init__(self, clients: Clients, services: Services, clock: Clock) -> None:
        self._clients = clients
        self._services = services
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, Profile]] = {}
        self._groups: dict[str, tuple[float, Groups]] = {}

    async def identify(self, origin: Origin) -> Member:
        """Return the person behind a request; unknown facts count against them."""
        profile, groups = await asyncio.gather(
            self.profile(origin.installation, origin.team, origin.user),
            self._groups_of(origin.installation, origin.team),
        )
        external = _external(origin, profile)
        home = (origin.home or profile.team or profile.enterprise or "?") if external else None
        operator = self._services.is_operator(NAME, f"{origin.home or origin.team}:{origin.user}")
        return Member(
            caller=Caller(
                id=person_id(origin.user, home),
                name=profile.name or origin.user_name or origin.user,
                person=f"{NAME}:{home or origin.installation.workspace}:{origin.user}",
                roles=frozenset() if external else groups.get(origin.user, frozenset()),
                admin=profile.admin and not external,
                operator=operator,
                guest=external or profile.guest,
            ),
            locale=language(profile.locale or self._services.language),
            external=external,
        )

    async def profile(self, installation: WorkspaceInstallation, team: str, user: str) -> Profile:
        """Return a person's profile, as the installing workspace sees it."""
        key = (installation.workspace, user)
        until, kept = self._kept.get(key, (0.0, Profile()))
        now = self._clock.monotonic()
        if now < until:
            return kept
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.connect_with_retries(team, installation.enterprise)
                told = await client.users_info(user=user, include_locale=True)
            found, seconds = _profile(told["user"]), KEPT_SECONDS
        except (*WIRE_ERRORS, DeliveryError) as error:
            _log.info("slack.profile_unknown", error=problem(error))
            # Rights are not kept beyond their time; a name and a language do no harm.
            found, seconds = replace(kept, admin=False), RETRY_SECONDS
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (now + seconds, found)
        return found

    async def _groups_of(self, installation: WorkspaceInstallation, team: str) -> Groups:
        """Return the user groups of people, if the app may read them."""
        if GROUPS_SCOPE not in installation.scopes:
            return {}
        until, kept = self._groups.get(installation.workspace, (0.0, {}))
        now = self._clock.monotonic()
        if now < until:
            return kept
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                client = await self._clients.connect_with_retries(team, installation.enterprise)
                told = await client.usergroups_list(include_users=True)
            found, seconds = _groups(told["usergroups"]), KEPT_SECONDS
        except (*WIRE_ERRORS, DeliveryError) as error:
            _log.info("slack.groups_unknown", error=problem(error))
            found, seconds = {}, RETRY_SECONDS
        self._groups[installation.workspace] = (now + seconds, found)
        return found


def _profile(user: Mapping[str, Any]) -> Profile:
    shown = user.get("profile") or {}
    enterprise = user.get("enterprise_user") or {}
    names = (shown.get("display_name"), user.get("real_name"), shown.get("real_name"))
    return Profile(
        name=next((name for name in names if name), user.get("name") or ""),
        locale=user.get("locale"),
        admin=any(user.get(right) for right in ("is_admin", "is_owner", "is_primary_owner")),
        team=user.get("team_id"),
        enterprise=enterprise.get("enterprise_id") or user.get("enterprise_id"),
        stranger=bool(user.get("is_stranger")),
        guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
    )


def _groups(told: Iterable[Mapping[str, Any]]) -> Groups:
    by_person: dict[str, set[str]] = {}
    for group in told:
        for user in group.get("users") or ():
            by_person.setdefault(user, set()).add(group["id"])
    return {user: frozenset(groups) for user, groups in by_person.items()}


def _external(origin: Origin, profile: Profile) -> bool:
    installation = origin.installation
    same_company = (
        installation.enterprise is not None
        and profile.enterprise == installation.enterprise
        and not profile.stranger
    )
    if same_company:
        return False
    elsewhere = bool(installation.team and profile.team and profile.team != installation.team)
    return origin.foreign or profile.stranger or elsewhere
