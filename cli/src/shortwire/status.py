"""How the system that runs here is doing: from two scrapes of its services to a few numbers."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

import asyncpg
import msgspec

from shared import redis_client
from shared.errors import REDIS_ERRORS
from shortwire import services
from shortwire.scrapes import Scrape, quantile
from shortwire.stack_file import Part, Stack

STORE_TIMEOUT_SECONDS = 2.0

Health = Literal["ok", "away"]


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A part; `address` is without a password, `pid` None where another one runs it."""

    name: str
    health: Health
    address: str
    pid: int | None


class Redirects(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to visitors; ratios are of look-ups, None where there were none."""

    per_second: float
    errors_per_second: float
    stale_per_second: float
    p50_ms: float
    p95_ms: float
    near_hit_ratio: float | None
    cache_hit_ratio: float | None


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to management."""

    per_second: float
    errors_per_second: float
    p95_ms: float


class Clicks(msgspec.Struct, frozen=True, kw_only=True):
    """Clicks, from the journal to the row; `dropped` are since the start."""

    recorded_per_second: float
    stored_per_second: float
    journal_bytes: float
    unsent_bytes: float
    unwritten: float
    waiting_entries: float
    pending_entries: float
    oldest_seconds: float
    dead_letters: float
    dropped: float


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of links on their way to the redirectors."""

    outbox_rows: float
    outbox_age_seconds: float
    relay_leaders: float
    propagation_p95_ms: float


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """Entries read, messages sent: `failed` are tried again, `dead`, since the start, are not."""

    read_per_second: float
    delivered_per_second: float
    failed_per_second: float
    dead: float
    p95_ms: float


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    parts: list[PartStatus]
    replicas: dict[str, int]
    redirects: Redirects
    api: Api
    clicks: Clicks
    changes: Changes
    webhooks: Webhooks

    @property
    def is_healthy(self) -> bool:
        """Tell whether every part answers and no click was lost."""
        return all(part.health == "ok" for part in self.parts) and not self.clicks.dropped


def metrics_urls(stack: Stack) -> list[str]:
    """Return where the services answer Prometheus."""
    parts = [*stack.redirectors, stack.management, stack.webhooks, *stack.ingest]
    return [part.metrics for part in parts if part.metrics is not None]


def status(stack: Stack, before: Scrape, now: Scrape) -> Status:
    """Ask every part for its health, and tell what happened between two scrapes."""
    checks = list(_checks(stack))
    with ThreadPoolExecutor() as threads:
        healths = list(threads.map(lambda check: check[2](), checks))
    parts = [
        PartStatus(
            name=name,
            health="ok" if is_well else "away",
            address=urlsplit(part.url).netloc.rpartition("@")[2],
            pid=part.pid,
        )
        for (name, part, _), is_well in zip(checks, healths, strict=True)
    ]
    return Status(
        parts=parts,
        replicas={"redirectors": len(stack.redirectors), "ingest": len(stack.ingest)},
        redirects=_redirects(before, now),
        api=_api(before, now),
        clicks=_clicks(before, now),
        changes=_changes(before, now),
        webhooks=_webhooks(before, now),
    )


def _checks(stack: Stack) -> Iterator[tuple[str, Part, Callable[[], bool]]]:
    def web(part: Part, path: str) -> Callable[[], bool]:
        return partial(services.answers, f"{part.url}{path}")

    yield "gateway", stack.gateway, web(stack.gateway, "/health")
    for number, part in enumerate(stack.redirectors, 1):
        yield f"redirector-{number}", part, web(part, "/health/ready")
    yield "management", stack.management, web(stack.management, "/health/ready")
    yield "webhooks", stack.webhooks, web(stack.webhooks, "/metrics")
    for number, part in enumerate(stack.ingest, 1):
        yield f"ingest-{number}", part, web(part, "/metrics")
    yield "postgres", stack.postgres, partial(_postgres_answers, stack.postgres.url)
    yield "cache", stack.cache, partial(_redis_answers, stack.cache.url)
    yield "bus", stack.bus, partial(_redis_answers, stack.bus.url)


def _postgres_answers(dsn: str) -> bool:
    async def ask() -> None:
        connection = await asyncpg.connect(dsn, timeout=STORE_TIMEOUT_SECONDS)
        await connection.close(timeout=STORE_TIMEOUT_SECONDS)

    try:
        asyncio.run(ask())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    return True


def _redis_answers(url: str) -> bool:
    """Tell whether Redis answers; of a cluster, every node."""

    async def ask() -> None:
        async with (
            asyncio.timeout(STORE_TIMEOUT_SECONDS),
            redis_client.connect(url, name="status", max_connections=1, timeout=None) as client,
        ):
            await client.ping()  # a cluster tells of its nodes
            for node in redis_client.nodes(client):
                await node.ping()

    try:
        asyncio.run(ask())
    except REDIS_ERRORS:
        return False
    return True


def _rate(before: Scrape, now: Scrape, read: Callable[[Scrape], float]) -> float:
    """Return the growth a second; a restarted process begins at 0, and counts from there."""
    return max(0.0, read(now) - read(before)) / max(now.at - before.at, 1e-9)


def _total(name: str, **labels: str) -> Callable[[Scrape], float]:
    return lambda scrape: scrape.total(name, **labels)


def _p(share: float, name: str, before: Scrape, now: Scrape) -> float:
    return 1000 * quantile(share, before.buckets(name), now.buckets(name))


def _redirects(before: Scrape, now: Scrape) -> Redirects:
    responses = "shortwire_redirector_responses_total"
    seconds = "shortwire_redirector_response_seconds"
    return Redirects(
        per_second=_rate(before, now, _total(responses, route="/{code}")),
        errors_per_second=_rate(before, now, lambda scrape: scrape.errors(responses)),
        stale_per_second=_rate(before, now, _total(responses, source="stale")),
        p50_ms=_p(0.5, seconds, before, now),
        p95_ms=_p(0.95, seconds, before, now),
        near_hit_ratio=_hit_ratio("near", before, now),
        cache_hit_ratio=_hit_ratio("cache", before, now),
    )


def _hit_ratio(tier: str, before: Scrape, now: Scrape) -> float | None:
    """Return the share of look-ups that needed nobody further; a known "no such" is one."""
    lookups = "shortwire_redirector_lookups_total"
    counts = {
        result: _rate(before, now, _total(lookups, tier=tier, result=result))
        for result in ("hit", "negative", "miss", "unavailable")
    }
    asked = sum(counts.values())
    return (counts["hit"] + counts["negative"]) / asked if asked else None


def _api(before: Scrape, now: Scrape) -> Api:
    requests = "shortwire_management_requests_total"
    return Api(
        per_second=_rate(before, now, _total(requests)),
        errors_per_second=_rate(before, now, lambda scrape: scrape.errors(requests)),
        p95_ms=_p(0.95, "shortwire_management_request_seconds", before, now),
    )


def _clicks(before: Scrape, now: Scrape) -> Clicks:
    return Clicks(
        recorded_per_second=_rate(before, now, _total("shortwire_redirector_clicks_total")),
        stored_per_second=_rate(before, now, _total("shortwire_ingest_events_stored_total")),
        journal_bytes=now.total("shortwire_redirector_journal_bytes"),
        unsent_bytes=now.total("shortwire_redirector_journal_unsent_bytes"),
        unwritten=now.total("shortwire_redirector_unwritten_clicks"),
        waiting_entries=now.sum_of_largest("shortwire_ingest_stream_waiting_entries", by="stream"),
        pending_entries=now.sum_of_largest("shortwire_ingest_pending_entries", by="stream"),
        oldest_seconds=max(
            now.largest("shortwire_ingest_oldest_waiting_seconds"),
            now.largest("shortwire_ingest_oldest_pending_seconds"),
        ),
        dead_letters=now.largest("shortwire_ingest_dead_letters_waiting"),
        dropped=now.total("shortwire_redirector_clicks_dropped_total"),
    )


def _changes(before: Scrape, now: Scrape) -> Changes:
    propagation = "shortwire_redirector_link_propagation_seconds"
    return Changes(
        outbox_rows=now.largest("shortwire_management_outbox_rows"),
        outbox_age_seconds=now.largest("shortwire_management_outbox_age_seconds"),
        relay_leaders=now.total("shortwire_management_relay_leader"),
        propagation_p95_ms=_p(0.95, propagation, before, now),
    )


def _webhooks(before: Scrape, now: Scrape) -> Webhooks:
    attempts = "shortwire_webhooks_attempts_total"
    return Webhooks(
        read_per_second=_rate(before, now, _total("shortwire_webhooks_entries_total")),
        delivered_per_second=_rate(before, now, _total(attempts, outcome="delivered")),
        failed_per_second=_rate(before, now, _total(attempts, outcome="failed")),
        dead=now.total(attempts, outcome="dead"),
        p95_ms=_p(0.95, "shortwire_webhooks_attempt_seconds", before, now),
    )
