"""HTTP client for OpenAI's library, with proxy support."""

from __future__ import annotations

import os
from urllib.parse import quote
from urllib.request import getproxies

from openai import DefaultAsyncHttpxClient

from inference.answer_limit import bound
from inference.proxies import find_proxy

_HOOKS = {"response": [bound]}

OPENAI = "https://api.openai.com/v1"


def http_client(base_url: str | None) -> DefaultAsyncHttpxClient:
    """Return an HTTP client for one server; the caller closes it.

    Args:
        base_url: Of the server; None where OpenAI's library looks it up.
    """
    proxy = find_proxy(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI)
    if proxy is None:
        # httpx must not read the environment itself: its proxy rules differ from ours.
        return DefaultAsyncHttpxClient(trust_env=not getproxies(), event_hooks=_HOOKS)
    url = proxy.url
    if proxy.user is not None:
        scheme, _, place = url.partition("://")
        user, password = quote(proxy.user, safe=""), quote(proxy.password, safe="")
        url = f"{scheme}://{user}:{password}@{place}"
    return DefaultAsyncHttpxClient(proxy=url, event_hooks=_HOOKS)
