"""Metrics for Prometheus. Labels have few values: no prompts, names or ids."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.health import Health
from bot.platform import Services
from bot.readiness import unready
from inference.domain.job import JobState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})

TENANT_CLASSES = frozenset({"discord", "slack", "terminal"})
"""Where tenants live, whichever platform their jobs came by: a token may belong to any."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0, 60.0)
_STAGES = frozenset({"load", "text", "sample", "decode", "encode", "finish", "total"})

_JOBS = """
    SELECT platform, substr(tenant, 1, instr(tenant || ':', ':') - 1) AS class, state,
    count(*) AS jobs FROM jobs GROUP BY 1, 2, 3
"""
_OUTBOX = """
    SELECT platform, count(*) AS acts, coalesce(sum(attempts), 0) AS tries FROM outbox
    WHERE shown < wanted AND dead = 0 GROUP BY platform
"""
_RECENT = """
    SELECT platform, avg(started_at - queued_at) AS wait FROM jobs
    WHERE started_at > ? AND queued_at IS NOT NULL GROUP BY platform
"""
_RENDERED = """
    SELECT device, count(*) AS jobs, sum(manifest ->> '$.timings.total') AS seconds FROM jobs
    WHERE manifest IS NOT NULL GROUP BY device
"""
_LOSSES = "SELECT coalesce(sum(losses), 0) AS losses FROM jobs"
_LAST_STAGES = """
    SELECT manifest ->> '$.timings' AS timings FROM jobs
    WHERE state = 'done' AND manifest IS NOT NULL ORDER BY ended_at DESC LIMIT 50
"""
RECENT_SECONDS = 3600.0


class Metrics:
    """Counters of this process, and gauges that are read from the database at each scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Histogram(
            "rushes_http_request_seconds",
            "Time of HTTP requests",
            ("route", "method", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"rushes_{name}", what, labels, registry=self._registry)

        self._jobs = gauge("jobs", "Jobs by state", "platform", "tenant_class", "state")
        self._queue = gauge("queue_length", "Jobs that wait for the GPU")
        self._wait = gauge("queue_wait_seconds", "Mean wait of the last hour", "platform")
        self._gpu = gauge("gpu_seconds", "Seconds of renders whose files are known", "device")
        self._stages = gauge("render_stage_seconds", "Mean of the last 50 clips", "stage")
        self._outbox = gauge("outbox_pending", "Messages that are due", "platform")
        self._tries = gauge("outbox_retries", "Failed tries of these messages", "platform")
        self._restarts = gauge("worker_restarts", "Workers started again since the start")
        self._reconnects = gauge(
            "platform_reconnects", "Connections that came back since the start", "platform"
        )
        self._memory = gauge("children_resident_memory_bytes", "Of workers and the media process")
        self._losses = gauge("worker_losses", "Times that a worker was lost with a job it had")
        self._problems = gauge("problems", "Problems that are known right now", "area")
        self._ready = gauge("ready", "Whether /readyz says so")
        self._draining = gauge("draining", "Whether no new job is accepted")
        self._without_worker = gauge("without_worker", "Whether no worker starts")

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            route: As it is registered, never the path that was asked for.
            method: Anybody's word; unusual ones are one.
            status: Of the answer.
            seconds: It took.
        """
        method = method if method in METHODS else "other"
        self._requests.labels(route, method, str(status)).observe(seconds)

    async def page(self, services: Services) -> bytes:
        """Return the page of all metrics in Prometheus's text format.

        Raises:
            StoreError: The database cannot be read.
        """
        await self._read(services)
        self._read_health(services.health)
        self._ready.set(not await unready(services, services.language))
        self._draining.set(services.jobs.draining)
        self._without_worker.set(services.jobs.without_worker)
        self._restarts.set(services.jobs.worker_restarts)
        self._memory.set(await asyncio.to_thread(_children_bytes))
        self._queue.set(len(services.jobs.list_queued()))
        return generate_latest(self._registry)

    def _read_health(self, health: Health) -> None:
        self._problems.clear()
        for key in health.problems:
            self._problems.labels(key.partition(".")[0]).inc()
        for platform, count in health.reconnects.items():
            self._reconnects.labels(platform).set(count)

    async def _read(self, services: Services) -> None:
        read = services.database.read
        states = {state.value for state in JobState}
        for gauge in (self._jobs, self._wait, self._gpu, self._stages, self._outbox, self._tries):
            gauge.clear()
        for row in await read(_JOBS):
            state = row["state"] if row["state"] in states else "unknown"
            known = row["class"] in TENANT_CLASSES
            self._jobs.labels(row["platform"], row["class"] if known else "other", state).inc(
                row["jobs"]
            )
        for row in await read(_RECENT, (time.time() - RECENT_SECONDS,)):
            self._wait.labels(row["platform"]).set(row["wait"] or 0)
        for row in await read(_RENDERED):
            self._gpu.labels(row["device"] or "unknown").set(row["seconds"] or 0)
        for row in await read(_LOSSES):
            self._losses.set(row["losses"])
        for row in await read(_OUTBOX):
            self._outbox.labels(row["platform"]).set(row["acts"])
            self._tries.labels(row["platform"]).set(row["tries"])
        await self._read_stages(services)

    async def _read_stages(self, services: Services) -> None:
        sums: dict[str, list[float]] = {}
        for row in await services.database.read(_LAST_STAGES):
            for stage, seconds in json.loads(row["timings"] or "{}").items():
                if stage in _STAGES:
                    sums.setdefault(stage, []).append(float(seconds))
        for stage, values in sums.items():
            self._stages.labels(stage).set(sum(values) / len(values))


def _children_bytes() -> int:
    """Return the resident memory of the processes that this one started; 0 without /proc."""
    pages = 0
    try:
        children = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    except OSError:
        return 0
    for child in children.split():
        try:
            pages += int(Path(f"/proc/{child}/statm").read_text().split()[1])
        except (OSError, IndexError):  # it has just ended
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")
