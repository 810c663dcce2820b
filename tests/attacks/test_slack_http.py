"""What anybody on the internet can send to the addresses that Slack delivers to."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from urllib.parse import quote_plus, urlencode

import pytest
from aiohttp import web

from bot.network import http_limits
from bot.slack import web as slack_web
from bot.slack.hosts import is_response_url
from tests.attacks.slack_attacker import FORM, KIND, Attacker, attack
from tests.scenario.slack_house import card_of, listening

pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated")  # slack_sdk's, of aiohttp

JSON = "application/json"


@pytest.fixture
async def attacker(slack, acme, make_house, free_port, capfd):
    section = {"mode": "http", "app_token": None, "port": free_port}
    slack.post_to(f"http://127.0.0.1:{free_port}/slack/events")
    async with make_house(section=section).open(connected=False) as house:
        await listening(free_port)
        capfd.readouterr()
        yield Attacker(slack, house, free_port, capfd)


def form(**fields):
    return urlencode(fields).encode()


def payload(**fields):
    return form(payload=json.dumps(fields))


def event(team="T1", **fields):
    return json.dumps({"type": "event_callback", "team_id": team, "event": fields}).encode()


USER = {"id": "U1", "team_id": "T1"}
COMMAND = {
    "command": "/generate",
    "text": "a fox",
    "user_id": "U1",
    "channel_id": "C1",
    "trigger_id": "1.2.3",
    "response_url": "https://hooks.slack.com/commands/1",
}

MALFORMED = [
    attack("an empty body", b"", FORM),
    attack("a form that is none", b"command", FORM),
    attack("a form with broken percent encoding", b"command=%ff%fe&text=%zz", FORM),
    attack("a form with a field twice", b"command=/rushes&command=/generate&text=a", FORM),
    attack("a form with a thousand fields", b"&".join(b"a%d=1" % n for n in range(1000)), FORM),
    attack("a form that says nothing", b"token=1&team_id=T1", FORM),
    attack("a payload and a command in one form", payload() + b"&command=/generate", FORM),
    attack("a command that calls itself an SSL check", form(**COMMAND, ssl_check="1"), FORM),
    attack("a payload that is no JSON", b"payload={nope", FORM),
    attack("a payload that is a list", b"payload=[1,2]", FORM),
    attack("a payload without a type", payload(user=USER), FORM),
    attack("JSON that breaks off", b'{"type": "event_callback", "event":', JSON),
    attack("JSON that is a list", b"[]", JSON),
    attack("JSON that is a number", b"1" * 5000, JSON),
    attack("JSON with a number of 5000 digits", b'{"type": ' + b"1" * 5000 + b"}", JSON),
    attack("JSON with NaN", b'{"type": "x", "a": NaN}', JSON),
    attack("JSON without a type", b'{"event": {}}', JSON),
    attack("JSON nested a hundred thousand times", b'{"type":' + b"[" * 100_000, JSON),
    attack("JSON nested eighty times", b'{"type":"x","a":' + b"[" * 80 + b"]" * 80 + b"}", JSON),
    attack("a null byte in a form", b"command=/generate&text=a\x00b", FORM),
    attack("an encoded null byte in a form", form(**{**COMMAND, "text": "a\0b"}), FORM),
    attack("a null byte in JSON", event(type="app_mention", user="U1", text="a\0b"), JSON),
    attack("half a surrogate pair in JSON", b'{"type": "x", "a": "\\ud800"}', JSON),
    attack("bytes that are no UTF-8", b'{"type": "\xff\xfe"}', JSON),
    attack("UTF-16", '{"type": "x"}'.encode("utf-16"), JSON),
    attack("a charset that changes the meaning", b'{"type": "x"}', f"{JSON}; charset=utf-7"),
    attack("a charset that nobody knows", b'{"type": "x"}', f"{JSON}; charset=none-such"),
    attack("a content type that is none of Slack's", b'{"type": "x"}', "text/plain"),
    attack("a multipart form", b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    attack("an event that is a list", b'{"type": "event_callback", "event": []}', JSON),
    attack("an event of a person that is a number", event(type="message", user=5), JSON),
    attack("an event with files that are a word", event(type="message", files="x"), JSON),
    attack("an edited message that is a word", event(type="message", message="x"), JSON),
    attack(
        "authorizations that are a word",
        b'{"type": "event_callback", "authorizations": "x", "event": {"type": "message"}}',
        JSON,
    ),
    attack("a press by a person that is a word", payload(type="block_actions", user="U1"), FORM),
    attack(
        "a press of buttons that are a word",
        payload(type="block_actions", user=USER, actions="x"),
        FORM,
    ),
    attack("a form of a view that is a list", payload(type="view_submission", view=[]), FORM),
    attack(
        "a view whose state is a word",
        payload(type="view_submission", user=USER, view={"id": "V1", "state": "x"}),
        FORM,
    ),
    attack(
        "a message that is a word",
        payload(type="message_action", user=USER, message="x"),
        FORM,
    ),
]


@pytest.mark.parametrize(("raw", "content_type"), MALFORMED)
@pytest.mark.parametrize("signed", [True, False])
async def test_a_malformed_body_is_refused_in_a_word(attacker, raw, content_type, signed):
    assert await attacker.post(raw, content_type, signed=signed) == 400
    said = attacker.logged()
    assert "raceback" not in said
    assert "slack.bug" not in said
    assert len(said) < 300
    assert await attacker.jobs() == []


def of_acme(attacker, acme, body):
    """Let a body name the workspace that has the app, and be answered there."""
    place = quote_plus(attacker.slack.hub.url).encode()
    body = body.replace(quote_plus("https://hooks.slack.com/").encode(), place)
    return body.replace(b"T1", acme.id.encode())


INCOMPLETE = [
    *(
        attack(
            f"a command without its {name}",
            form(**{key: value for key, value in COMMAND.items() if key != name}, team_id="T1"),
            FORM,
        )
        for name in ("user_id", "channel_id", "trigger_id", "response_url")
    ),
    attack("a mention without a channel", event(type="app_mention", user="U1", ts="1.1"), JSON),
    attack(
        "a press of no button",
        payload(type="block_actions", user=USER, team={"id": "T1"}, trigger_id="1", actions=[]),
        FORM,
    ),
    attack(
        "a press of a button without a name",
        payload(type="block_actions", user=USER, team={"id": "T1"}, trigger_id="1", actions=[{}]),
        FORM,
    ),
    attack(
        "a press by nobody",
        payload(
            type="block_actions", team={"id": "T1"}, trigger_id="1", actions=[{"action_id": "a"}]
        ),
        FORM,
    ),
    attack(
        "a form of no view", payload(type="view_submission", user=USER, team={"id": "T1"}), FORM
    ),
    attack(
        "a shortcut without a trigger",
        payload(type="shortcut", user=USER, team={"id": "T1"}, callback_id="rushes:generate"),
        FORM,
    ),
]


@pytest.mark.parametrize(("raw", "content_type"), INCOMPLETE)
async def test_a_body_that_lacks_something_is_refused_in_a_word(attacker, acme, raw, content_type):
    assert await attacker.post(of_acme(attacker, acme, raw), content_type) == 400
    said = attacker.logged()
    assert "raceback" not in said
    assert "slack.bug" not in said
    assert await attacker.jobs() == []


SAID = {"user": "U1", "text": "<@U2> a fox", "ts": "1.1", "team": "T1"}
WHOLE = {
    "press": {
        "type": "block_actions",
        "user": USER,
        "team": {"id": "T1", "domain": "acme"},
        "enterprise": None,
        "channel": {"id": "C1", "name": "general"},
        "container": {"type": "message", "message_ts": "1.1", "channel_id": "C1"},
        "message": {**SAID, "bot_id": "B1", "bot_profile": {"team_id": "T1"}},
        "trigger_id": "1.2",
        "response_url": "https://hooks.slack.com/1",
        "actions": [{"action_id": "v1:cancel:AAAAAAAAAA", "type": "button", "value": "1"}],
    },
    "form": {
        "type": "view_submission",
        "user": USER,
        "team": {"id": "T1", "domain": "acme"},
        "view": {
            "id": "V1",
            "type": "modal",
            "callback_id": "rushes:form",
            "private_metadata": '{"command": "generate", "channel": "C1"}',
            "hash": "1.a",
            "app_installed_team_id": "T1",
            "state": {"values": {"prompt": {"prompt": {"type": "plain_text_input"}}}},
            "blocks": [{"type": "input", "block_id": "prompt"}],
        },
        "response_urls": [{"response_url": "https://hooks.slack.com/1"}],
    },
    "shortcut": {
        "type": "message_action",
        "callback_id": "rushes:animate",
        "user": USER,
        "team": {"id": "T1", "domain": "acme"},
        "channel": {"id": "C1", "name": "general"},
        "message": {
            **SAID,
            "files": [{"id": "F1", "mode": "hosted", "mimetype": "text/plain"}],
            "attachments": [{"is_share": True, "files": [{"id": "F2", "mode": "hosted"}]}],
        },
        "trigger_id": "1.2",
        "response_url": "https://hooks.slack.com/1",
    },
    "mention": {
        "type": "event_callback",
        "team_id": "T1",
        "event_id": "Ev1",
        "authorizations": [{"team_id": "T1", "enterprise_id": None, "user_id": "U2"}],
        "event": {**SAID, "type": "app_mention", "channel": "C1", "edited": {"user": "U1"}},
    },
    "edit": {
        "type": "event_callback",
        "team_id": "T1",
        "event": {
            "type": "message",
            "subtype": "message_changed",
            "channel": "D1",
            "channel_type": "im",
            "message": {**SAID, "edited": {"user": "U1", "ts": "2.1"}},
            "previous_message": {**SAID, "text": "a cat"},
        },
    },
    "file": {
        "type": "event_callback",
        "team_id": "T1",
        "event": {"type": "file_shared", "channel_id": "C1", "file_id": "F1", "user_id": "U1"},
    },
    "revoked": {
        "type": "event_callback",
        "team_id": "T1",
        "event": {"type": "tokens_revoked", "tokens": {"oauth": ["U1"]}},
    },
    "shared": {
        "type": "event_callback",
        "team_id": "T1",
        "event": {"type": "channel_shared", "channel": "C1"},
    },
    "home": {
        "type": "event_callback",
        "team_id": "T1",
        "event": {"type": "app_home_opened", "user": "U1", "channel": "D1", "tab": "home"},
    },
}
"""Bodies as Slack sends them."""

WRONG = (None, 5, True, "x", "", [], ["x"], [{}], {}, {"id": 5})


def mutations(body):
    """Yield a body once with each of its parts left out or replaced by something wrong."""
    for key in list(body):
        yield {name: value for name, value in body.items() if name != key}
        for wrong in WRONG:
            yield {**body, key: wrong}
        if isinstance(body[key], dict):
            for changed in mutations(body[key]):
                yield {**body, key: changed}
        elif isinstance(body[key], list) and body[key] and isinstance(body[key][0], dict):
            for changed in mutations(body[key][0]):
                yield {**body, key: [changed]}


@pytest.mark.parametrize(
    "whole",
    [
        attack(
            f"every part of a {name} left out or made something else",
            name,
            marks=[pytest.mark.slow] if name == "form" else [],  # it has the most parts
        )
        for name in WHOLE
    ],
)
async def test_no_part_of_a_body_can_break_an_answer(attacker, acme, whole):
    body = WHOLE[whole]
    as_json = body["type"] == "event_callback"
    for changed in mutations(body):
        said = json.dumps(changed)
        raw = of_acme(attacker, acme, said.encode() if as_json else form(payload=said))
        status = await attacker.post(raw, JSON if as_json else FORM)
        assert status < 500, changed
        written = attacker.logged()
        assert "slack.bug" not in written, (changed, written)
        assert "raceback" not in written, (changed, written)
    attacker.slack.world.violations.clear()  # it also asked for made-up people and channels


@pytest.mark.attack(KIND, "140 bad requests to fill the log")
async def test_many_bad_requests_write_one_line(attacker):
    for number in range(140):
        await attacker.post(b"%d{" % number, JSON, signed=bool(number % 2))
    said = attacker.logged()
    assert "slack.http.refused" in said
    assert len(said) < 300


@pytest.mark.attack(KIND, "bytes that are no HTTP")
async def test_broken_http_writes_no_traceback(attacker):
    port = int(attacker.url.rpartition(":")[2])
    begun = b"POST /slack/events HTTP/1.1\r\nHost: a\r\n"
    for raw in (
        b"CANARY AT ALL\r\n\r\n",
        begun + b"A\x00CANARY: b\r\n\r\n",
        begun + b"X-Slack-Signature: a\r\n CANARY\r\n\r\n",
        begun + b"Expect: CANARY\r\n\r\n",
        begun + b"Transfer-Encoding: chunked\r\n\r\nzzCANARY\r\n",
    ) * 8:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        answer = await reader.read()
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 417 "))
        assert b"CANARY" not in answer
        writer.close()
    said = attacker.logged()
    assert "raceback" not in said
    assert "CANARY" not in said
    assert len(said) < 300


@pytest.mark.attack(KIND, "a body of two megabytes")
async def test_a_huge_body_is_not_read(attacker):
    assert await attacker.post(io.BytesIO(b"a=" + b"x" * 2**21), signed=False) == 413
    assert len(attacker.logged()) < 300


@pytest.mark.attack(KIND, "a body that never ends")
async def test_a_slow_body_is_given_up(attacker, monkeypatch):
    monkeypatch.setattr(slack_web, "READ_SECONDS", 0.1)
    port = int(attacker.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Type: {JSON}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    assert b" 408 " in await reader.read(64)
    writer.close()


# -- signatures ------------------------------------------------------------------------------


def old(attacker, raw):
    return attacker.signature(raw, at=int(time.time()) - 301)


def future(attacker, raw):
    return attacker.signature(raw, at=int(time.time()) + 301)


def of_another_secret(attacker, raw):
    return attacker.signature(raw, secret="guessed")  # noqa: S106 - a wrong one


def of_another_body(attacker, _):
    return attacker.signature(b"command=/rushes")


def changed_time(attacker, raw):
    return {**attacker.signature(raw), "X-Slack-Request-Timestamp": str(int(time.time()) - 1)}


def no_number(attacker, raw):
    return {**attacker.signature(raw), "X-Slack-Request-Timestamp": "now"}


def strange_digits(attacker, raw):
    signed = attacker.signature(raw)
    digits = signed["X-Slack-Request-Timestamp"].translate(
        str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
    )
    return {**signed, "X-Slack-Request-Timestamp": digits}


def strange_letters(attacker, raw):
    return {**attacker.signature(raw), "X-Slack-Signature": "v0=é"}


def none(_, __):
    return {}


def empty(attacker, raw):
    return dict.fromkeys(attacker.signature(raw), "")


def lazy(_, __):
    return {"X-Slack-Bolt-Lazy-Only": "1", "X-Slack-Bolt-Lazy-Function-Name": "_heard"}


@pytest.mark.parametrize(
    "headers",
    [
        attack("a signature that is five minutes old", old),
        attack("a signature from the future", future),
        attack("a signature with a guessed secret", of_another_secret),
        attack("the signature of another body", of_another_body),
        attack("a signature with a newer time", changed_time),
        attack("a time that is no number", no_number),
        attack("a time in digits that Python also reads", strange_digits),
        attack("a signature in letters that cannot be compared", strange_letters),
        attack("no signature", none),
        attack("an empty signature", empty),
        attack("slack-bolt's headers for lazy listeners", lazy),
    ],
)
async def test_what_is_not_signed_is_refused(attacker, headers):
    raw = form(**COMMAND)
    assert await attacker.post(raw, signed=False, headers=headers(attacker, raw)) == 401
    said = attacker.logged()
    assert "raceback" not in said
    assert len(said) < 300
    assert await attacker.jobs() == []


@pytest.mark.attack(KIND, "two signatures, one of them good")
async def test_a_header_that_is_there_twice_is_refused(attacker):
    raw = form(**COMMAND)
    for name, value in attacker.signature(raw).items():
        assert await attacker.post(raw, headers=[(name, value)]) == 400
    assert await attacker.jobs() == []


@pytest.mark.attack(KIND, "a signed command, recorded and sent again")
async def test_a_replayed_command_makes_one_job(attacker, slack, acme, alice, general):
    place = f"{slack.hub.url}actions/x/y"
    fields = {**COMMAND, "user_id": alice.id, "channel_id": general.id, "response_url": place}
    raw = form(**fields, team_id=acme.id)
    signed = attacker.signature(raw)
    for _ in range(5):
        assert await attacker.post(raw, signed=False, headers=signed) == 200
    await alice.wait_for(general, card_of("a fox"))
    assert len(await attacker.jobs()) == 1


# -- response URLs ---------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch, patient):
    """Acknowledge before there is an answer, so that it goes to the response URL."""
    monkeypatch.setattr("bot.slack.inbound.slash_commands.ACK_SECONDS", 0.0)


@contextlib.asynccontextmanager
async def catcher():
    """Serve an address elsewhere, and yield it with what was sent there."""
    caught = []

    async def catch(request):
        caught.append(await request.text())
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", catch)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", caught
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    "installed",
    [
        attack("a response URL of somebody else's", True),
        attack("a response URL of somebody else's, where nobody has the app", False),
    ],
)
@pytest.mark.usefixtures("at_once")
async def test_answers_are_not_posted_elsewhere(attacker, alice, general, installed):
    async with catcher() as (elsewhere, caught):
        fields = {**COMMAND, "user_id": alice.id, "channel_id": general.id, "text": "a --arr 1"}
        team = alice.user.team.id if installed else "T404"
        raw = form(**{**fields, "response_url": elsewhere}, team_id=team)
        assert await attacker.post(raw) == 400
        press = {**WHOLE["press"], "response_url": elsewhere, "team": {"id": team}}
        assert await attacker.post(form(payload=json.dumps(press))) == 400
        view = {**WHOLE["form"], "response_urls": [{"response_url": elsewhere}]}
        assert await attacker.post(form(payload=json.dumps(view))) == 400
        said = attacker.logged()
        assert "slack.response_url.refused" in said
        assert elsewhere not in said
        assert caught == []


@pytest.mark.attack(KIND, "a response URL that leads on to somebody else's")
@pytest.mark.usefixtures("at_once")
async def test_answers_follow_no_redirect(attacker, alice, general):
    slack, acme = attacker.slack, alice.user.team
    async with catcher() as (elsewhere, caught):
        slack.redirect_to = elsewhere
        fields = {**COMMAND, "user_id": alice.id, "channel_id": general.id, "text": "a --arr 1"}
        url = f"{slack.hub.url}redirect"
        assert await attacker.post(form(**{**fields, "response_url": url}, team_id=acme.id)) == 200
        await slack.until(lambda: slack.redirected)
        assert caught == []


@pytest.mark.parametrize(
    "url",
    [
        attack("a response URL without TLS", "http://hooks.slack.com/commands/1"),
        attack("a response URL with Slack's name in front", "https://hooks.slack.com.evil.org/1"),
        attack("a response URL with Slack as the user", "https://hooks.slack.com@evil.org/1"),
        attack("a response URL with a name like Slack's", "https://evilslack.com/1"),
        attack("a response URL of this machine", "https://127.0.0.1/1"),
        attack("a response URL of the cloud's metadata", "http://169.254.169.254/latest"),
        attack("a response URL with another port", "https://hooks.slack.com:8443/1"),
        attack("a response URL of a file", "file:///etc/passwd"),
        attack("a response URL that is none", "hooks.slack.com"),
        attack("a response URL that cannot be read", "https://[::1"),
        attack("a response URL with a backslash", "https://evil.org\\.slack.com/1"),
    ],
)
def test_only_slacks_hosts_are_answered(url):
    assert not is_response_url(url, None)
    assert is_response_url("https://hooks.slack.com/commands/T1/1/x", None)


@pytest.mark.attack(KIND, "a log line for every minute of a flood")
def test_the_log_says_how_many_there_were(clock):
    limiter = http_limits.LogLimiter(clock)
    assert [limiter.count() for _ in range(100)] == [1, *[0] * 99]
    clock.advance(http_limits.LOG_SECONDS)
    assert limiter.count() == 100
