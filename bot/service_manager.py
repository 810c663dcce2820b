"""Notifications to systemd: readiness, stopping and the watchdog.

The protocol is a datagram to the socket that `NOTIFY_SOCKET` names:
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

MICROSECONDS = 1_000_000


def notify(*states: str) -> None:
    """Tell systemd of new states, such as `READY=1`; without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]
    # A service manager that has gone must not stop the service; nor may a full queue block it.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        sending.setblocking(False)  # noqa: FBT003 - the library's signature
        sending.sendto("\n".join(states).encode(), address)


def watchdog_seconds() -> float | None:
    """Return the seconds between pings of systemd's watchdog, or None without one."""
    limit, process = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not limit.isdecimal() or int(limit) == 0 or process not in {None, str(os.getpid())}:
        return None
    return int(limit) / MICROSECONDS / 2


async def notify_watchdog() -> None:
    """Ping systemd's watchdog while the event loop runs, until cancelled."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
