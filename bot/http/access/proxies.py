"""Client address and URL from the `X-Forwarded-*` headers of trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

Headers = CIMultiDict[str] | CIMultiDictProxy[str]

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[\d.]+))(?::\d{1,5})?")


class Proxies:
    """The proxies of `[http] proxies`."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def client(self, remote: str | None, headers: Headers) -> str:
        """Return the client address: the peer's, or the one that trusted proxies name.

        Each proxy adds the address of who asked it at the end. So the list is read from there,
        and only as far as trusted ones wrote it.
        """
        address = _plain(remote or "")
        named = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        while named and self.trusts(address):
            forwarded = _plain(named.pop())
            if not forwarded:
                break
            address = forwarded
        return address

    def base_url(self, remote: str | None, headers: Headers, *, scheme: str, host: str) -> str:
        """Return scheme and host of the requested URL.

        Args:
            remote: The other end.
            headers: Of the request.
            scheme: How the request came.
            host: What it says itself.
        """
        if self.trusts(remote):
            forwarded = _last(headers, "X-Forwarded-Proto").lower()
            scheme = forwarded if forwarded in {"http", "https"} else scheme
            forwarded = _last(headers, "X-Forwarded-Host")
            host = forwarded if _HOST.fullmatch(forwarded) else host
        return f"{scheme}://{host}"

    def trusts(self, address: str | None) -> bool:
        """Return whether an address is that of a trusted proxy."""
        try:
            found = ipaddress.ip_address(_plain(address or ""))
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def _plain(address: str) -> str:
    """Return an address as networks hold it: without port and brackets, and IPv4 as such."""
    address = address.strip()
    if match := _PORT.fullmatch(address):
        address = match["v6"] or match["v4"]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _last(headers: Headers, name: str) -> str:
    """Return the last value of a header, which the nearest proxy wrote."""
    return ",".join(headers.getall(name, [])).rpartition(",")[2].strip()
