from __future__ import annotations

import pytest

from inference.domain.errors import UserError
from inference.proxies import check_proxies, find_proxy


@pytest.fixture
def environ(monkeypatch):
    def setenv(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return setenv


def test_without_variables_everything_is_reached_directly():
    assert find_proxy("https://discord.com/api") is None
    check_proxies()


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://discord.com/", "http://p:1"),
        ({"https_proxy": "http://p:1"}, "https://discord.com/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://gateway.discord.gg/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://discord.com/", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://127.0.0.1:8/gateway", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://discord.com/", None),
        ({"ALL_PROXY": "http://p:1"}, "wss://discord.com/", "http://p:1"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://p:1"}, "https://x.y/", "http://p:1"),
        ({"HTTPS_PROXY": "p:3128"}, "https://discord.com/", "http://p:3128"),
        ({"HTTPS_PROXY": "p"}, "https://discord.com/", "http://p"),
        ({"HTTPS_PROXY": "https://p:1/"}, "https://discord.com/", "https://p:1"),
        ({"HTTPS_PROXY": "http://[::1]:1"}, "https://discord.com/", "http://[::1]:1"),
        ({"HTTPS_PROXY": ""}, "https://discord.com/", None),
    ],
)
def test_the_variable_of_the_scheme_counts(environ, variables, url, proxy):
    environ(**variables)
    check_proxies()
    found = find_proxy(url)
    assert (found and found.url) == proxy


def test_a_stand_in_without_tls_takes_the_proxy_of_what_it_stands_for(environ):
    environ(HTTPS_PROXY="http://p:1", ALL_PROXY="http://a:1")
    assert find_proxy("ws://chat.local:8/", stand_in=True).url == "http://p:1"
    assert find_proxy("http://llm.local/").url == "http://a:1"
    environ(HTTP_PROXY="http://h:1")
    assert find_proxy("http://chat.local/", stand_in=True).url == "http://h:1"


def test_user_and_password_are_decoded_and_not_shown(environ):
    environ(HTTPS_PROXY="http://us%40er:p%3A%2Fss@p:1")
    found = find_proxy("https://discord.com/")
    assert (found.url, found.user, found.password) == ("http://p:1", "us@er", "p:/ss")
    assert "p:/ss" not in repr(found)


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("discord.com", "https://discord.com/api", True),
        ("discord.com", "https://cdn.discord.com/", True),
        (".discord.com", "https://cdn.discord.com/", True),
        ("*.discord.com", "https://cdn.discord.com/", True),
        ("discord.com", "https://notdiscord.com/", False),
        ("DISCORD.com", "https://discord.COM/", True),
        ("discord.com:443", "https://discord.com/", True),
        ("discord.com:443", "wss://discord.com/", True),
        ("discord.com:8443", "https://discord.com/", False),
        ("a.b, discord.com", "https://discord.com/", True),
        ("a.b discord.com", "https://discord.com/", True),
        ("*", "https://discord.com/", True),
        ("a.b,*", "https://discord.com/", True),
        ("", "https://discord.com/", False),
        ("127.0.0.1", "https://127.0.0.1:8080/", True),
        ("127.0.0.1:8080", "https://127.0.0.1:8080/", True),
        ("127.0.0.1:8081", "https://127.0.0.1:8080/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("::1", "https://[::1]:8080/", True),
        ("[::1]:8080", "https://[::1]:8080/", True),
        ("[::1]:8081", "https://[::1]:8080/", False),
        ("fd00::/8", "https://[fd00::1]/", True),
        (":,/,[", "https://127.0.0.1/", False),
        ("localhost", "https://127.0.0.1/", False),
    ],
)
def test_no_proxy_exempts_hosts_suffixes_ports_and_networks(environ, no_proxy, url, direct):
    environ(HTTPS_PROXY="http://p:1", NO_PROXY=no_proxy)
    assert (find_proxy(url) is None) is direct


@pytest.mark.parametrize("entry", ["10.0.0.0/99", "10.0.0/8", "https://example.com", "a.b/"])
def test_an_entry_of_no_proxy_that_exempts_nothing_is_told(environ, entry):
    environ(NO_PROXY=f"localhost,.example.com,10.0.0.0/8,[fd00::/8]:80,{entry}")
    with pytest.raises(UserError) as caught:
        check_proxies()
    assert (caught.value.code, caught.value.params) == ("config.proxy_exception", {"entry": entry})


@pytest.mark.parametrize(
    "value",
    [
        "socks5://p:1",
        "http://p:port",
        "http://p:99999",
        "http://",
        "http://user:se/cret@p:1",
        "http://user:se#cret@p:1",
        "http://us%3Aer:secret@p:1",
        "http://[p:1",
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"])
def test_a_value_that_is_no_proxy_is_named_without_the_password(environ, variable, value):
    environ(**{variable: value})
    with pytest.raises(UserError) as caught:
        check_proxies()
    assert caught.value.code == "config.proxy"
    assert caught.value.params == {"variable": variable}
