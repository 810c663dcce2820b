"""Webhooks: a receiver with TLS on loopback, which OpenAI's client believes."""

from __future__ import annotations

import shutil

import openai
import pytest

from bot.config.sections import HttpSection
from bot.http.webhooks import Webhooks, _PublicOnly, check_url, new_secret, signature
from inference.clock import SystemClock
from inference.domain.errors import DeliveryError, UserError
from inference.domain.job import JobState
from tests.fakes.orders import a_job
from tests.fakes.proxy import LoopbackProxy
from tests.fakes.webhook_receiver import Receiver, make_certificate
from tests.scenario.http_client import SECONDS, SMALL, http_config, make_token, serving

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl"),
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A certificate that is believed, and its key."""
    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return certificate, key


@pytest.mark.tour
async def test_every_end_is_told_until_it_is_taken(tmp_path, files, monkeypatch):
    monkeypatch.setattr("bot.delivery.delivery.FIRST_SECONDS", 0.05)
    async with Receiver(*files, 500, 302) as receiver:
        section = {
            "port": 0,
            "webhook_hosts": [f"localhost:{receiver.port}"],
            "webhook_networks": ["127.0.0.1"],
        }
        secret = new_secret()
        async with serving(http_config(tmp_path / "data", http=section)) as house:
            token = make_token(house.directory, name="told", webhook=(receiver.url, secret))
            async with house.session(token) as session:
                order = {"prompt": "a", "rushes": SMALL}
                async with session.post("/v1/videos", json=order) as answer:
                    video = (await answer.json())["id"]
                await receiver.calls(3, SECONDS)
                async with session.get(f"/v1/videos/{video}") as answer:
                    assert (await answer.json())["status"] == "completed"
    came = receiver.came
    assert len(came) == 3
    assert len({headers["webhook-id"] for headers, _ in came}) == 1
    client = openai.OpenAI(api_key="unused", webhook_secret=secret)
    for headers, body in came:
        client.webhooks.verify_signature(body, headers)
        assert b"video.completed" in body
        assert video.encode() in body
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.verify_signature(body + b" ", headers)


async def test_the_end_of_each_of_several_is_told(tmp_path, files):
    async with Receiver(*files) as receiver:
        section = {
            "port": 0,
            "webhook_hosts": [f"localhost:{receiver.port}"],
            "webhook_networks": ["127.0.0.1"],
        }
        async with serving(http_config(tmp_path / "data", http=section)) as house:
            hook = (receiver.url, new_secret())
            token = make_token(house.directory, name="told", webhook=hook)
            async with house.session(token) as session:
                order = {"prompt": "a", "n": 3, "response_format": "url"}
                async with session.post("/v1/images/generations", json=order) as answer:
                    made = (await answer.json())["data"]
            await receiver.calls(3, SECONDS)
    ids = sorted(headers["webhook-id"] for headers, _ in receiver.came)
    assert ids == sorted(f"msg_{image['rushes']['id']}" for image in made)


def test_the_signature_is_that_of_the_specification():
    # The test vector of the libraries at https://github.com/standard-webhooks/standard-webhooks.
    assert (
        signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(url, marks=pytest.mark.attack("http webhooks", what), id=what)
        for what, url in [
            ("plain HTTP", "http://ci.example.com/"),
            ("a host that nobody named", "https://evil.example/"),
            ("a host that ends like a named one", "https://evil-ci.example.com/"),
            ("another port", "https://ci.example.com:8443/"),
            ("a named host as the user", "https://ci.example.com@evil.example/"),
            ("a password", "https://a:b@ci.example.com/"),
            ("a file", "file:///etc/passwd"),
            ("a port that is none", "https://ci.example.com:99999/"),
            ("a line break", "https://ci.example.com/\r\nX: y"),
        ]
    ],
)
def test_no_other_address_is_told(url):
    with pytest.raises(UserError):
        check_url(url, HttpSection(webhook_hosts=["ci.example.com"]))
    check_url("https://ci.example.com/a?b=c", HttpSection(webhook_hosts=["ci.example.com"]))


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(host, marks=pytest.mark.attack("http webhooks", what), id=what)
        for what, host in [
            ("a name that leads inside", "localhost"),
            ("a private number", "127.0.0.1"),
            ("the address of metadata", "169.254.169.254"),
        ]
    ],
)
async def test_no_private_address_is_called(files, host):
    job = a_job(state=JobState.FAILED)
    async with Receiver(*files) as receiver:
        address = f"{host}:{receiver.port}"
        webhooks = Webhooks(HttpSection(webhook_hosts=[address]), SystemClock())
        with pytest.raises(DeliveryError):
            await webhooks.tell(job, f"https://{address}/hook", new_secret())
    assert receiver.came == []


@pytest.mark.attack("http webhooks", "a name with a public and a private address")
async def test_only_the_checked_addresses_of_a_name_are_connected_to(monkeypatch):
    found = [
        {
            "hostname": "ci.example.com",
            "host": host,
            "port": 443,
            "family": 2,
            "proto": 6,
            "flags": 0,
        }
        for host in ("93.184.215.14", "127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1")
    ]

    async def resolve(*_):
        return found

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    resolver = _PublicOnly(["10.0.0.0/24"])
    allowed = [one["host"] for one in await resolver.resolve("ci.example.com", 443)]
    assert allowed == ["93.184.215.14", "10.0.0.1"]


async def test_a_proxy_may_have_a_name_of_a_private_network(files, monkeypatch):
    job = a_job(state=JobState.FAILED)
    async with LoopbackProxy() as proxy, Receiver(*files) as receiver:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("127.0.0.1", "localhost"))
        section = HttpSection(webhook_hosts=[f"localhost:{receiver.port}"])
        await Webhooks(section, SystemClock()).tell(job, receiver.url, new_secret())
    assert proxy.seen == [f"CONNECT localhost:{receiver.port}"]
    assert len(receiver.came) == 1


async def test_a_receiver_that_is_gone_is_left_alone(files):
    job = a_job(state=JobState.FAILED)
    async with Receiver(*files, 410) as receiver:
        section = HttpSection(
            webhook_hosts=[f"localhost:{receiver.port}"], webhook_networks=["127.0.0.1"]
        )
        await Webhooks(section, SystemClock()).tell(job, receiver.url, new_secret())
    [(_, body)] = receiver.came
    assert b"video.failed" in body
