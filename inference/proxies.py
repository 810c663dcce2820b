"""HTTP proxy lookup by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

The variables are also read in lower case. Passwords stay out of every text made here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]  # left out of the stubs

from inference.domain.errors import UserError

_SCHEMES = {"http": "http", "ws": "http", "https": "https", "wss": "https"}
"""Scheme of an address -> whose proxy it goes through."""

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Address and credentials of a proxy."""

    url: str
    """Without user and password."""
    user: str | None = None
    password: str = field(default="", repr=False)


def find_proxy(url: str, *, stand_in: bool = False) -> Proxy | None:
    """Return the proxy for an address; None where it is reached directly.

    Args:
        url: The address.
        stand_in: Whether a server that speaks plain HTTP stands in for one with TLS. Then
            HTTPS_PROXY holds for it too, where HTTP_PROXY is not set.

    Raises:
        UserError: `config.proxy`: the environment names something that is no HTTP proxy.
    """
    address = urlsplit(url)
    scheme = _SCHEMES.get(address.scheme)
    host = address.hostname
    if scheme is None or host is None:
        return None
    named = getproxies()
    names = [scheme, "https", "all"] if stand_in else [scheme, "all"]
    name = next((name for name in names if named.get(name)), None)
    if name is None:
        return None
    if _is_direct(host, address.port or _PORTS[scheme], named.get("no", "")):
        return None
    return _parse(named[name], f"{name}_proxy".upper())


def check_proxies() -> None:
    """Validate the variables at start.

    Raises:
        UserError: `config.proxy`, or `config.proxy_exception` for an entry of NO_PROXY.
    """
    named = getproxies()
    for entry in _entries(named.get("no", "")):
        if "/" in entry and _network(entry) is None:  # anything else may be the name of a host
            raise UserError("config.proxy_exception", entry=entry)
    for scheme in _PORTS:
        if value := named.get(scheme):
            _parse(value, f"{scheme}_proxy".upper())
        elif value := named.get("all"):
            _parse(value, "ALL_PROXY")


def find_proxy_variables() -> list[str]:
    """Return the variables that name a proxy, as people write them."""
    return [f"{name}_proxy".upper() for name in ("https", "http", "all") if getproxies().get(name)]


def _parse(value: str, variable: str) -> Proxy:
    text = value.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        fine = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        user = None if parts.username is None else unquote(parts.username)
    except ValueError:
        fine = False
    # Without a path: what looks like one is often a password with an unescaped slash.
    if not fine or ":" in (user or "") or parts.path.strip("/") or parts.query or parts.fragment:
        raise UserError("config.proxy", variable=variable)
    return Proxy(
        url=f"{parts.scheme}://{_location(parts)}",
        user=user,
        password=unquote(parts.password or ""),
    )


def _location(parts: SplitResult) -> str:
    """Return host and port, without user and password."""
    return parts.netloc.rpartition("@")[2]


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY exempts a host: by name, suffix, address, network, with a port, or `*`."""
    entries = _entries(no_proxy)
    if "*" in entries:
        return True
    address = _address(host)
    if address is not None:
        return any(_covers(entry, address, port) for entry in entries)
    names = [entry.removeprefix("*") for entry in entries]
    return bool(proxy_bypass_environment(f"{host}:{port}", {"no": ",".join(names)}))


def _covers(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    """Whether an entry of NO_PROXY is an address or a network with this address in it."""
    found = _network(entry)
    return found is not None and address in found[0] and found[1] in {None, str(port)}


def _entries(no_proxy: str) -> list[str]:
    return [entry for entry in re.split(r"[\s,]+", no_proxy) if entry]


def _network(entry: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str | None] | None:
    """Return the network and port of an entry of NO_PROXY; None if it is not an address."""
    found = re.fullmatch(r"(?:\[(?P<v6>[^]]+)\]|(?P<plain>[^:]+))(?::(?P<port>\d+))?", entry)
    network, wanted = entry, None
    if found is not None:
        network, wanted = found["v6"] or found["plain"], found["port"]
    try:
        return ipaddress.ip_network(network, strict=False), wanted
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
