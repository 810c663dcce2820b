"""Slack's own hosts: the only places that get tokens or answers."""

from __future__ import annotations

from yarl import URL

DOMAINS = ("slack.com", "slack-gov.com")

HTTPS = 443


def is_slacks(url: URL, api_base_url: str | None) -> bool:
    """Whether a token may be sent to a URL: Slack's own hosts, or only the origin that replaces it.

    Args:
        url: Where a file is said to be.
        api_base_url: What stands in for Slack, if anything does.
    """
    if api_base_url is not None:
        return url.absolute and url.origin() == URL(api_base_url).origin()
    host = url.host or ""
    own = any(host == domain or host.endswith(f".{domain}") for domain in DOMAINS)
    return url.scheme == "https" and url.port == HTTPS and own


def is_response_url(url: str, api_base_url: str | None) -> bool:
    """Whether an answer may be posted to the `response_url` that a request names."""
    try:
        return is_slacks(URL(url), api_base_url)
    except ValueError:
        return False
