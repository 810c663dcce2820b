"""Who may do what: (role, channel, settings, what is asked) -> allowed, or a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.caller import Caller, Channel
from commands.policy.permissions import apply_caps, check_caps, check_may_render, check_press
from commands.policy.settings import CAPS, Rules
from commands.specs.layers import Layer
from commands.specs.resolve import resolve
from commands.text.messages import error_text
from inference.domain.errors import UserError
from inference.domain.job import TYPED
from inference.domain.spec import Mode
from inference.engines.geometry import LENGTHS
from tests.fakes.orders import a_job, a_spec
from tests.fakes.readable import readable

MEMBER = Caller(id="u1", name="ada")
EDITOR = Caller(id="u2", name="bob", roles=frozenset({"editors", "everyone"}))
ADMIN = Caller(id="u3", name="eve", admin=True)
OPERATOR = Caller(id="u4", name="kim", operator=True)

NOT_HERE = (
    "Rushes is not enabled in this channel. Use another channel, or ask an admin for:"
    " /rushes-admin settings set channels"
)
NO_ROLE = "You need another role to make things here. Ask an admin."
NOT_YOURS = "Only Ada or an admin can use the buttons of this job. Use /generate to make your own."
NOT_FOR_MEMBERS = "Only admins can use these buttons here. Use /generate to make your own."


def over(asked, limit):
    """Return the sentence for somebody who asks for more than the cap."""
    option = asked.partition(" ")[0]
    return f"Your limit for {option} is {limit}. Choose that, or ask an admin for more."


FILM_ONLY = Rules(guild={"channels": ["film", "fun"]})
EDITORS_ONLY = Rules(guild={"roles": ["editors"]})
OPEN_HERE = Rules(guild={"roles": ["editors"]}, channel={"roles": ["members", "everyone"]})
BOTH = Rules(guild={"channels": ["film"], "roles": ["editors"]})


@pytest.mark.parametrize(
    ("caller", "channel", "rules", "refusal"),
    [
        (MEMBER, "film", Rules(), None),
        (MEMBER, "", Rules(), None),
        (MEMBER, "film", FILM_ONLY, None),
        (MEMBER, "general", FILM_ONLY, NOT_HERE),
        (MEMBER, "", FILM_ONLY, NOT_HERE),
        (EDITOR, "general", FILM_ONLY, NOT_HERE),
        (ADMIN, "general", FILM_ONLY, None),
        (OPERATOR, "general", FILM_ONLY, None),
        (MEMBER, "film", EDITORS_ONLY, NO_ROLE),
        (EDITOR, "film", EDITORS_ONLY, None),
        (ADMIN, "film", EDITORS_ONLY, None),
        (MEMBER, "film", OPEN_HERE, NO_ROLE),
        (EDITOR, "film", OPEN_HERE, None),
        (EDITOR, "film", BOTH, None),
        (EDITOR, "fun", BOTH, NOT_HERE),
        (MEMBER, "film", BOTH, NO_ROLE),
    ],
)
def test_making_things_takes_the_right_channel_and_role(caller, channel, rules, refusal):
    place = Channel(platform="test", tenant="test:g1", address={}, id=channel)
    assert sentence(check_may_render, caller, place, rules) == refusal


@pytest.mark.parametrize(
    ("caller", "buttons", "refusal"),
    [
        (MEMBER, None, None),
        (MEMBER, "everyone", None),
        (MEMBER, "requester", NOT_YOURS),
        (MEMBER, "admins", NOT_FOR_MEMBERS),
        (Caller(id="ada", name="renamed"), "requester", None),
        (Caller(id="ada", name="renamed"), "admins", NOT_FOR_MEMBERS),
        (ADMIN, "requester", None),
        (ADMIN, "admins", None),
        (OPERATOR, "admins", None),
    ],
)
def test_buttons_are_for_whom_the_guild_says(caller, buttons, refusal):
    rules = Rules(guild={} if buttons is None else {"buttons": buttons})
    assert sentence(check_press, caller, a_job(requester="ada"), rules) == refusal


CAPPED_360 = {"cap.resolution": "360p", "cap.resolution.except": ["editors"]}


@pytest.mark.parametrize(
    ("caller", "rules", "asked", "refusal"),
    [
        (MEMBER, Rules(), {"resolution": "720p"}, None),
        (
            MEMBER,
            Rules(guild=CAPPED_360),
            {"resolution": "720p"},
            over("--resolution 720p", "360p"),
        ),
        (MEMBER, Rules(guild=CAPPED_360), {"resolution": "360p"}, None),
        (EDITOR, Rules(guild=CAPPED_360), {"resolution": "720p"}, None),
        (ADMIN, Rules(guild=CAPPED_360), {"resolution": "720p"}, None),
        (
            EDITOR,
            Rules(guild=CAPPED_360, channel={"cap.resolution.except": ["chiefs"]}),
            {"resolution": "720p"},
            over("--resolution 720p", "360p"),
        ),
        (
            MEMBER,
            Rules(guild={"cap.frames": 65}),
            {"frames": 97},
            over("--frames 97", "65"),
        ),
        (
            MEMBER,
            Rules(guild={"cap.frames": 65}, channel={"cap.frames": 113}),
            {"frames": 97},
            None,
        ),
        (
            MEMBER,
            Rules(guild={"cap.loops": 1}),
            {"loops": 2},
            over("--loops 2", "1"),
        ),
        (
            MEMBER,
            Rules(guild={"cap.steps": 20}),
            {"steps": 21},
            over("--steps 21", "20"),
        ),
    ],
)
def test_what_is_asked_for_beyond_a_cap_is_refused(installation, caller, rules, asked, refusal):
    resolved = resolve("x", [Layer(name=TYPED, values=asked, asked=True)], installation)
    assert sentence(apply_caps, resolved, caller, rules) == refusal


def test_what_nobody_asked_for_is_lowered_and_info_says_so(installation):
    rules = Rules(
        guild={"cap.resolution": "360p", "cap.frames": 70, "default.loops": 3, "cap.loops": 2}
    )
    resolved = apply_caps(resolve("x", rules.layers(), installation), MEMBER, rules)
    spec, origins = resolved.spec, resolved.origins
    assert (spec.resolution, spec.frames, spec.loops) == ("360p", 65, 2)
    assert (origins["resolution"], origins["frames"], origins["loops"]) == ("cap", "cap", "cap")
    assert origins["aspect"] == "built-in"


def test_a_clip_is_never_lowered_to_an_image(installation):
    rules = Rules(guild={"cap.frames": 1})
    assert "is 1." in sentence(apply_caps, resolve("x", [], installation), MEMBER, rules)
    still = Layer(name=TYPED, values={"frames": 1}, asked=True)
    assert apply_caps(resolve("x", [still], installation), MEMBER, rules).spec.frames == 1


def test_making_somebody_elses_job_again_does_not_lift_the_cap(big):
    rules = Rules(guild=CAPPED_360)
    assert "is 360p" in sentence(check_caps, a_spec(resolution="720p"), big, MEMBER, rules)
    assert sentence(check_caps, a_spec(resolution="720p"), big, EDITOR, rules) is None


options = st.fixed_dictionaries(
    {},
    optional={
        "resolution": st.sampled_from(["360p", "720p"]),
        "frames": st.sampled_from(LENGTHS.values),
        "steps": st.integers(1, 200),
        "loops": st.integers(1, 20),
    },
)


@given(caps=options, defaults=options, typed=options)
def test_nothing_ever_passes_a_cap_and_nothing_else_is_changed(installation, caps, defaults, typed):
    rules = Rules(
        guild={f"cap.{name}": value for name, value in caps.items()},
        user={f"default.{name}": value for name, value in defaults.items()},
    )
    typed = Layer(name=TYPED, values=typed, asked=True)
    try:
        free = resolve("x", [*rules.layers(), typed], installation)
    except UserError:
        return  # loops of an image
    beyond = [
        cap
        for cap in CAPS
        if cap.option.name in caps
        and cap.rank(getattr(free.spec, cap.option.name)) > cap.rank(caps[cap.option.name])
    ]
    try:
        held = apply_caps(free, MEMBER, rules)
    except UserError:
        asked = any(cap.option.name in typed.values for cap in beyond)
        only_images = caps.get("frames") == 1 and free.spec.mode is Mode.TEXT_TO_VIDEO
        assert asked or only_images
        return
    for cap in CAPS:
        name = cap.option.name
        if cap in beyond:
            assert cap.rank(getattr(held.spec, name)) <= cap.rank(caps[name])
            assert held.origins[name] == "cap"
        else:
            assert getattr(held.spec, name) == getattr(free.spec, name)
            assert held.origins[name] == free.origins[name]
    assert held.spec.mode is free.spec.mode
    check_caps(held.spec, held.capabilities, MEMBER, rules)


def sentence(check, *arguments):
    """Return what the person would be told, or None where they are let through."""
    try:
        check(*arguments)
    except UserError as refusal:
        return readable(error_text(refusal, "en"))
    return None
