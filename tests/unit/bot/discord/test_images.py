from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.discord.inbound.images import check_image_url
from inference.domain.errors import UserError

HOSTS = {
    *("cdn.discordapp.com", "127.0.0.1:8080", "cdn.example.org:444"),
    "images-ext-*.discordapp.net",
}


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.discordapp.com/attachments/1/2/fox.png?ex=6&is=5&hm=ab%2Fc",
        "http://127.0.0.1:8080/attachments/1/2/fox.png",
        "https://cdn.example.org:444/fox.png",
        "https://images-ext-1.discordapp.net/external/aB-_/https/example.org/fox.png",
        "https://IMAGES-EXT-22.discordapp.net/external/aB-_/https/example.org/fox.png",
    ],
)
def test_attachments_are_fetched_from_where_they_are(url):
    assert str(check_image_url(url, HOSTS)) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fox.png",
        "http://cdn.discordapp.com/fox.png",
        "https://cdn.discordapp.com.evil.example/fox.png",
        "https://cdn.discordapp.com@evil.example/fox.png",
        "https://evil.example/#https://cdn.discordapp.com/",
        "https://user:word@cdn.discordapp.com/fox.png",
        "https://cdn.discordapp.com:8443/fox.png",
        "https://cdn.example.org/fox.png",
        "https://images-ext-1.discordapp.net.evil.example/fox.png",
        "https://images-ext-evil.example/.discordapp.net/fox.png",
        "https://images-ext-1.evil.discordapp.net/fox.png",
        "https://cdn-discordapp.com/fox.png",
        "https://cdnxdiscordapp.com/fox.png",
        "http://127.0.0.1:9/fox.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ftp://cdn.discordapp.com/fox.png",
        "https://[::1/fox.png",
        "https://cdn.discordapp.com:port/fox.png",
    ],
)
def test_nothing_else_is_fetched(url):
    with pytest.raises(UserError, match=r"image\.foreign"):
        check_image_url(url, HOSTS)


@given(st.text(max_size=80) | st.text(max_size=40).map("https://cdn.discordapp.com".__add__))
def test_whatever_is_typed_leads_to_a_known_host_or_nowhere(text):
    with contextlib.suppress(UserError):
        assert check_image_url(text, HOSTS).host in {
            "cdn.discordapp.com",
            "127.0.0.1",
            "cdn.example.org",
        }
