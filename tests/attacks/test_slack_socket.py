"""What may come over the socket that Slack delivers on: somebody may stand in between, or a bug."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.attacks.test_slack_http import COMMAND, WHOLE, mutations
from tests.scenario.slack_house import card_of, clip_below

KIND = "slack-socket"


def attack(what, *values, marks=()):
    return pytest.param(*values, id=what, marks=[pytest.mark.attack(KIND, what), *marks])


@pytest.fixture
async def wire(slack, house, capfd):
    """The socket, from Slack's side."""
    capfd.readouterr()

    class Wire:
        async def text(self, raw):
            await slack.socket.connections[0].socket.send_str(raw)

        async def deliver(self, kind, payload):
            """Deliver, and return whether it was acknowledged."""
            return await slack.socket.send(kind, payload, attempt=0, reason=None) is not None

        def logged(self):
            written = capfd.readouterr()
            return written.out + written.err

    return Wire()


ENVELOPES = [
    attack("an empty text", ""),
    attack("text that is no JSON", "{nope"),
    attack("JSON that is a list", "[]"),
    attack("JSON that is a number", "5"),
    attack("JSON nested a hundred thousand times", '{"type":' + "[" * 100_000),
    attack("JSON with NaN", '{"type": NaN}'),
    attack("an envelope without a type", "{}"),
    attack("a type that is a list", '{"type": [], "envelope_id": "a", "payload": {}}'),
    attack("an envelope without an id", '{"type": "events_api", "payload": {}}'),
    attack("an id that is a list", '{"type": "events_api", "envelope_id": [], "payload": {}}'),
    attack("a hello that counts words", '{"type": "hello", "num_connections": "x"}'),
]


@pytest.mark.parametrize("raw", ENVELOPES)
async def test_what_is_no_envelope_is_passed_over(wire, house, alice, general, raw):
    for _ in range(20):
        await wire.text(raw)
    await alice.command(general, "/generate", "a fox")
    await alice.wait_for(general, card_of("a fox"))
    said = wire.logged()
    assert "raceback" not in said
    assert "slack.bug" not in said
    assert said.count("slack.delivery.refused") <= 1
    assert len(await house.jobs()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        attack("a payload that is missing", None),
        attack("a payload that is a list", [1]),
        attack("a payload that is a word", "x"),
        attack("a payload that is empty", {}),
        attack("half a surrogate pair", {"type": "event_callback", "event": {"type": "\ud800"}}),
        attack("a null byte", {"type": "event_callback", "event": {"type": "a\0"}}),
    ],
)
@pytest.mark.parametrize("kind", ["events_api", "interactive", "slash_commands", "something_new"])
async def test_what_holds_no_payload_is_acknowledged(wire, kind, payload):
    assert await wire.deliver(kind, payload)
    said = wire.logged()
    assert "raceback" not in said
    assert "slack.bug" not in said


BODIES = {**WHOLE, "command": {**COMMAND, "team_id": "T1", "is_enterprise_install": "false"}}


@pytest.mark.parametrize(
    "whole",
    [
        attack(
            f"every part of a {name} left out or made something else",
            name,
            marks=[pytest.mark.slow] if name == "form" else [],  # it has the most parts
        )
        for name in BODIES
    ],
)
async def test_no_part_of_a_payload_can_break_an_answer(wire, house, slack, acme, whole):
    body = BODIES[whole]
    kind = {"event_callback": "events_api", None: "slash_commands"}.get(
        body.get("type"), "interactive"
    )
    place = slack.hub.url.rstrip("/")
    sent = [json.dumps(changed) for changed in mutations(body)]
    bodies = [
        json.loads(raw.replace("T1", acme.id).replace("https://hooks.slack.com", place))
        for raw in sent
    ]
    for begin in range(0, len(bodies), 50):
        heard = await asyncio.gather(*(wire.deliver(kind, b) for b in bodies[begin : begin + 50]))
        written = wire.logged()
        assert "slack.bug" not in written, written
        assert "raceback" not in written, written
        assert all(heard), [b for b, h in zip(bodies[begin:], heard, strict=False) if not h]
    house.running.cancel()
    await asyncio.wait({house.running})
    slack.world.violations.clear()  # it also asked for made-up people and channels


@pytest.mark.attack(KIND, "an answer without an address where to connect")
@pytest.mark.parametrize("url", [None, 5, "nope", "https://127.0.0.1:1/", "wss://127.0.0.1:1/"])
async def test_an_address_that_is_none_is_asked_for_again(slack, make_house, alice, general, url):
    slack.trouble(r"apps\.connections\.open", times=1, answer={"url": url})
    async with make_house().open(connected=False) as house:
        await slack.connected()
        await alice.until_heard(general, "/rushes", "help")
        assert not house.running.done()


async def test_a_harmless_fox_still_comes(slack, wire, alice, general):
    message = alice.mention_app(general, "a fox 🦊\nwith a \ttab and עברית")
    card = await alice.wait_for(general, card_of("a fox"))
    await clip_below(slack, card)
    assert message
