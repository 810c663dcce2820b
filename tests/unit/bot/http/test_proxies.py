"""Who is believed about where a request came from."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bot.http.access.proxies import Proxies

PROXIES = Proxies(["10.0.0.0/8", "fd00::/8"])


def client(remote, *forwarded):
    return PROXIES.client(remote, CIMultiDict(("x-forwarded-for", one) for one in forwarded))


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),  # it is no proxy of ours
        ("10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        (
            "10.0.0.1",
            ["127.0.0.1, 198.51.100.9"],
            "198.51.100.9",
        ),  # the first one is anybody's word
        ("10.0.0.1", ["127.0.0.1", "198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.9, 10.0.0.2"], "198.51.100.9"),  # two proxies
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.9:4711"], "198.51.100.9"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8::0:1"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.9"], "198.51.100.9"),  # one socket for IPv4 and IPv6
        ("10.0.0.1", ["198.51.100.9, nonsense"], "nonsense"),
        ("10.0.0.1", ["6.6.6.6, unknown, 10.0.0.2"], "unknown"),
        (None, ["198.51.100.9"], ""),
    ],
)
def test_the_list_is_read_as_far_as_trusted_proxies_wrote_it(remote, forwarded, address):
    assert client(remote, *forwarded) == address


@given(st.ip_addresses(), st.lists(st.text(max_size=60), max_size=5))
def test_who_is_no_proxy_cannot_be_somebody_else(remote, forwarded):
    plain = getattr(remote, "ipv4_mapped", None) or remote
    trusted = plain in ipaddress.ip_network("10.0.0.0/8" if plain.version == 4 else "fd00::/8")
    found = client(str(remote), *forwarded)
    assert trusted or found == str(plain)


@pytest.mark.parametrize(
    ("remote", "forwarded", "url"),
    [
        ("10.0.0.1", {"Proto": "https", "Host": "clips.example"}, "https://clips.example"),
        ("10.0.0.1", {"Proto": "http, https", "Host": "evil.example, a:8443"}, "https://a:8443"),
        ("10.0.0.1", {"Host": "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443"),
        ("10.0.0.1", {"Proto": "javascript", "Host": "a/b?c"}, "http://here:8080"),
        ("10.0.0.1", {"Host": "a@evil.example"}, "http://here:8080"),
        ("10.0.0.1", {}, "http://here:8080"),
        ("192.0.2.1", {"Proto": "https", "Host": "evil.example"}, "http://here:8080"),
    ],
)
def test_links_are_those_that_a_trusted_proxy_was_asked_for(remote, forwarded, url):
    headers = CIMultiDict({f"X-Forwarded-{name}": value for name, value in forwarded.items()})
    assert PROXIES.base_url(remote, headers, scheme="http", host="here:8080") == url
