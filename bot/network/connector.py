"""An aiohttp connector that goes through the proxy that the environment names for each address.

aiohttp's own `trust_env` finds none for WebSockets and reads no ports in NO_PROXY, discord.py takes
one proxy for all hosts, and slack_sdk ignores NO_PROXY. A connector sees all requests of a session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import structlog
import yarl
from aiohttp import hdrs

from inference.proxies import find_proxy

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

REFUSED = 407
"""Status of a proxy that wants another user or password."""

_log = structlog.get_logger(__name__)


class ProxyError(aiohttp.ClientConnectionError):
    """A proxy did not let us through. `status` is 407 where it wants another password."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


class Connector(aiohttp.TCPConnector):
    """Connector for requests to chats, direct or through the proxy of the environment."""

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the library's signature
    ) -> Connection:
        """Return a connection for a request.

        Raises:
            ProxyError: The proxy refused to connect.
        """
        proxy = find_proxy(str(req.url), stand_in=True)
        credentials = {}
        if proxy is not None and proxy.user is not None:
            login = aiohttp.encode_basic_auth(proxy.user, proxy.password, encoding="utf-8")
            credentials = {hdrs.PROXY_AUTHORIZATION: login}
            if not req.is_ssl():  # there is no tunnel: the request itself goes to the proxy
                req.headers.update(credentials)
        address = None if proxy is None else yarl.URL(proxy.url)
        req.update_proxy(address, None, credentials or None)
        try:
            return await super().connect(req, traces, timeout)
        except aiohttp.ClientHttpProxyError as error:
            # The original has the headers of the request, and with them the password.
            _log.error("proxy.refused", status=error.status)
            raise ProxyError(error.status) from None


def open_session(*, force_close: bool = False, **options: Any) -> aiohttp.ClientSession:
    """Return a session that honours the environment's proxies.

    Args:
        force_close: Whether each request gets a separate connection.
        options: As `aiohttp.ClientSession` takes them.
    """
    return aiohttp.ClientSession(connector=Connector(force_close=force_close), **options)
