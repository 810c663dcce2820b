"""The methods `views.*`: modals and home tabs."""

from __future__ import annotations

import secrets
import time

from tests.fakes.slack.asking import Ask, Method
from tests.fakes.slack.blocks import view_problems
from tests.fakes.slack.model import Installation, Json, View
from tests.fakes.slack.payloads import view_json
from tests.fakes.slack.records import SlackError
from tests.fakes.slack.world import Trigger, World

DEPTH = 3
"""Modals that can lie on each other."""


async def views_open(ask: Ask) -> Json:
    """Open a modal for somebody who just did something."""
    trigger = _trigger(ask)
    content = _content(ask, "modal")
    trigger.exchange()
    view = show(ask.world, ask.installation, trigger.user, content)
    view.trigger_id = ask.args["trigger_id"]
    return _answer(ask, view)


async def views_push(ask: Ask) -> Json:
    """Lay a modal on the one in which something was done."""
    trigger = _trigger(ask)
    content = _content(ask, "modal")
    if trigger.parent is None or not trigger.parent.open:
        raise SlackError("not_found")
    trigger.exchange()
    if len(open_modals(ask.world, trigger.user)) >= DEPTH:
        raise SlackError("push_limit_reached")
    view = show(ask.world, ask.installation, trigger.user, content, on=trigger.parent)
    view.trigger_id = ask.args["trigger_id"]
    return _answer(ask, view)


async def views_update(ask: Ask) -> Json:
    """Show something else in a modal that is still open."""
    view = ask.world.views.get(str(ask.args.get("view_id")))
    if external := ask.args.get("external_id"):
        views = ask.world.views.values()
        view = next((v for v in views if v.content.get("external_id") == external), None)
    if view is None or not view.open or view.team is not ask.installation.team:
        raise SlackError("not_found")
    if ask.args.get("hash") not in {None, view.hash}:
        raise SlackError("hash_conflict")
    change(ask.world, view, _content(ask, "modal"))
    return _answer(ask, view)


async def views_publish(ask: Ask) -> Json:
    """Show a person their home tab."""
    user, team = ask.world.users.get(ask.args["user_id"]), ask.installation.team
    if user is None or user.team is not team:
        ask.refuse([f"{ask.args['user_id']} is no member"], "invalid_arguments")
    content, key = _content(ask, "home"), (team.id, ask.args["user_id"])
    if key not in ask.world.homes:
        ask.world.homes[key] = View(
            id=ask.world.identity("V"), user=key[1], team=team, content=content, hash=""
        )
    home = ask.world.homes[key]
    if ask.args.get("hash") not in {None, home.hash}:
        raise SlackError("hash_conflict")
    change(ask.world, home, content)
    return _answer(ask, home)


def show(
    world: World, installation: Installation, user: str, content: Json, *, on: View | None = None
) -> View:
    """Open a modal; one that is not laid on another replaces what was open."""
    if on is None:
        for other in open_modals(world, user):
            other.open = False
    identity = world.identity("V")
    view = View(
        id=identity,
        user=user,
        team=installation.team,
        content=content,
        hash="",
        root_id=on.root_id if on else identity,
    )
    world.views[identity] = view
    change(world, view, content)
    return view


def change(world: World, view: View, content: Json) -> None:
    """Show something else in a view, naming the parts that have no id yet."""
    for block in content["blocks"]:
        block.setdefault("block_id", secrets.token_urlsafe(4))
    view.content = content
    view.hash = f"{int(time.time())}.{secrets.token_hex(4)}"
    view.states.append(content)
    world.touch()


def open_modals(world: World, user: str) -> list[View]:
    """Return what lies open before a person, the topmost last."""
    return [view for view in world.views.values() if view.user == user and view.open]


def _trigger(ask: Ask) -> Trigger:
    trigger = ask.world.triggers.get(str(ask.args.get("trigger_id")))
    if trigger is None:
        raise SlackError("invalid_trigger_id")
    if trigger.installation.team is not ask.installation.team:
        ask.violate(f"the trigger belongs to {trigger.installation.team.name}")
        raise SlackError("invalid_trigger_id")
    return trigger


def _content(ask: Ask, kind: str) -> Json:
    content: Json = ask.args["view"]
    problems = view_problems(content)
    if not problems and content["type"] != kind:
        problems = [f"a {content['type']} does not go here"]
    ask.refuse(problems, "invalid_arguments")
    return content


def _answer(ask: Ask, view: View) -> Json:
    return {"view": view_json(view, ask.installation)}


METHODS = (
    Method(name="views.open", handler=views_open, per_minute=100),
    Method(name="views.push", handler=views_push, per_minute=100),
    Method(name="views.update", handler=views_update, per_minute=100),
    Method(name="views.publish", handler=views_publish, per_minute=100),
)
