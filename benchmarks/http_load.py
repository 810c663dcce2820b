"""Load test of the HTTP API: 200 clients of 10 tenants that create videos as fast as they can.

    python -m benchmarks.http_load [--clients 200] [--tenants 10] [--seconds 60] [--kill]

Runs the real process with the test card; the clients share its cores. Targets on two cores: only
statuses 200 and 429, and 99 % of creates within 300 ms. With `--kill` the process is killed halfway
and restarted: every accepted job must end, deliveries of a webhook must have the same id, and no
idempotency key may have two jobs.

Clients wait for the time in `Retry-After`, as OpenAI's clients do, except with `--rude`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bot.http.access.tokens import open_tokens
from bot.http.webhooks import new_secret
from tests.fakes.webhook_receiver import Receiver, make_certificate

PATIENCE = 180.0
"""Time limit in seconds for a start, and for the end of the last job."""

CLIP = {"resolution": "360p", "frames": 1}


@dataclass
class Told:
    """Responses to the clients."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """Ids of accepted videos by idempotency key."""
    owners: dict[str, str] = field(default_factory=dict)
    """Tokens of owners by id of the video."""


class Server:
    """A `rushes run` process in a temporary folder."""

    def __init__(self, directory: Path, receiver: Receiver, *, roomy: bool) -> None:
        self.directory = directory
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        room = "waiting_per_user = 100\nwaiting_per_guild = 100\nwaiting_total = 1000\n"
        (directory / "config.toml").write_text(
            f'[bot]\nplatforms = ["http"]\n[http]\nport = {self.port}\n'
            f'webhook_hosts = ["localhost:{receiver.port}"]\nwebhook_networks = ["127.0.0.1"]\n'
            f"[queue]\n{room if roomy else ''}"
            '[models]\ninstalled = ["testcard"]\n'
            "[models.testcard]\nstep_seconds = 0.0\nsteps = 1\n"
        )
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SSL_CERT_FILE": str(receiver.certificate),
        }
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start the process and wait until it responds."""
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
            [sys.executable, "-m", "bot", "run"],
            cwd=self.directory, env=self._environment, stdout=log, stderr=log,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(OSError):
                    client = Client(self.port, "")
                    status, _, _ = await client.ask("GET", "/livez")
                    client.close()
                    if status == 200:
                        return
                await asyncio.sleep(0.05)

    def cpu(self) -> float:
        """Return the CPU seconds of the server process, without its workers."""
        assert self.process is not None  # noqa: S101 - it was started
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def end(self, how: signal.Signals) -> None:
        """Send a signal to the process, if it runs, and wait for its exit."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None


class Client:
    """A minimal HTTP client, because it shares the cores with the server."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = f"Host: a\r\nAuthorization: Bearer {token}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: bytes = b"", more: str = ""
    ) -> tuple[int, float, bytes]:
        """Send a request; returns the status, the seconds of `Retry-After`, and the body.

        Raises:
            OSError: There was no response.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        kind = "Content-Type: application/json\r\n" if body else ""
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._head}{kind}{more}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])}
            data = await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, EOFError) as error:
            self.close()
            raise OSError("no answer") from error
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(lines[0].split()[1]), float(headers.get("retry-after", 0)), data

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def crowd_member(
    server: Server, number: int, token: str, until: float, told: Told, *, rude: bool
) -> None:
    """Create one video after another; retry with the same idempotency key without a response."""
    client, chance, count = Client(server.port, token), random.Random(number), 0
    while time.monotonic() < until:
        count += 1
        key = f"{number}-{count}"
        body = json.dumps({"prompt": f"a fox {key}", "rushes": CLIP}).encode()
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                status, wait, data = await client.ask(
                    "POST", "/v1/videos", body, f"Idempotency-Key: {key}\r\n"
                )
            except OSError:
                told.statuses["no answer"] += 1
                await asyncio.sleep(chance.uniform(0.1, 0.5))
                continue
            told.milliseconds.append(1000 * (time.perf_counter() - began))
            told.statuses[str(status)] += 1
            if status == 200:
                video = json.loads(data)["id"]
                told.accepted.setdefault(key, set()).add(video)
                told.owners[video] = token
                break
            if status != 429:
                sys.stdout.write(f"{status}: {data[:300]!r}\n")
            if wait and not rude:
                await asyncio.sleep(min(wait, max(0.0, until - time.monotonic())))
            break
    client.close()


async def endings(server: Server, told: Told) -> Counter[str]:
    """Wait until every accepted video has ended, and count the final states."""
    clients = {token: Client(server.port, token) for token in set(told.owners.values())}
    found: Counter[str] = Counter()
    async with asyncio.timeout(PATIENCE):
        for video, token in told.owners.items():
            while True:
                try:
                    status, wait, data = await clients[token].ask("GET", f"/v1/videos/{video}")
                except OSError:  # the server closes idle connections
                    status, wait, data = await clients[token].ask("GET", f"/v1/videos/{video}")
                if status == 429:
                    await asyncio.sleep(wait)
                    continue
                state = json.loads(data).get("status", "") if status == 200 else str(status)
                if state not in {"queued", "in_progress"}:
                    found[state] += 1
                    break
                await asyncio.sleep(0.1)
    for client in clients.values():
        client.close()
    return found


async def measure(arguments: argparse.Namespace, directory: Path) -> bool:
    """Run the load test and return whether all targets were met."""
    cert = make_certificate(directory)
    async with Receiver(*cert) as receiver:
        server = Server(directory, receiver, roomy=arguments.kill)
        await server.start()
        try:
            return await _measured(arguments, directory, server, receiver)
        finally:
            server.end(signal.SIGKILL)


async def _measured(
    arguments: argparse.Namespace, directory: Path, server: Server, receiver: Receiver
) -> bool:
    secret = new_secret()
    with open_tokens(directory / "data") as table:
        tokens = [
            table.create(
                guild=f"tenant {number}", name="load", person=None, roles=frozenset(),
                expires=None, now=time.time(), webhook=(receiver.url, secret),
            )
            for number in range(arguments.tenants)
        ]  # fmt: skip
    told, until = Told(), time.monotonic() + arguments.seconds
    used = server.cpu()
    async with asyncio.TaskGroup() as tasks:
        for number in range(arguments.clients):
            token = tokens[number % len(tokens)]
            tasks.create_task(crowd_member(server, number, token, until, told, rude=arguments.rude))
        if arguments.kill:
            await asyncio.sleep(arguments.seconds / 2)
            server.end(signal.SIGKILL)
            await server.start()
            used = 0.0
    used = server.cpu() - used
    if told.milliseconds:
        cuts = statistics.quantiles(told.milliseconds, n=100)
        print(f"create, ms: p50 {cuts[49]:.0f}, p95 {cuts[94]:.0f}, p99 {cuts[98]:.0f}")
    answers = sum(told.statuses.values())
    print(f"answers: {dict(told.statuses)}, {answers / arguments.seconds:.0f} a second")
    if not arguments.kill:
        print(f"CPU of the server: {1000 * used / answers:.2f} ms an answer")
    found = await endings(server, told)
    print(f"accepted: {len(told.owners)}, ended: {dict(found)}")
    await receiver.until(set(told.owners), PATIENCE)
    doubled = [key for key, videos in told.accepted.items() if len(videos) > 1]
    wrong = receiver.wrong(secret)
    print(f"webhooks: {len(receiver.came)} for {len(receiver.videos())} videos, {len(wrong)} wrong")
    print(f"keys with more than one video: {len(doubled)}")
    fine = {"200", "429", *(["no answer"] if arguments.kill else [])}
    return set(told.statuses) <= fine and set(found) == {"completed"} and not doubled and not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kill", action="store_true", help="kill the server in the middle")
    parser.add_argument("--rude", action="store_true", help="come back at once after a 429")
    parser.add_argument("--keep", type=Path, help="directory for data and log")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        sys.exit(0 if asyncio.run(measure(arguments, directory)) else 1)


if __name__ == "__main__":
    main()
