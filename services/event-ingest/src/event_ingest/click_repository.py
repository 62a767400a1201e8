"""The `events` table, as event-ingest writes it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg
import msgspec

from event_ingest import metrics
from shared.events import DEFAULT_DOMAIN, Click
from shared.postgres import Pool, lend

ACQUIRE_TIMEOUT_SECONDS = 2.0

# Without a conflict target the statement needs no right to read the table.
INSERT_CLICKS = """
    INSERT INTO events (at, event_id, event_type, url_id, user_id, details)
    SELECT at, event_id, 'redirect', url_id, user_id, details::jsonb
      FROM unnest($1::timestamptz[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])
        AS click (at, event_id, url_id, user_id, details)
        ON CONFLICT DO NOTHING
"""
ENSURE_PARTITION = "SELECT ensure_events_partition($1)"
ENSURE_WEEK = """
    SELECT ensure_events_partition(now() + day * interval '1 day') FROM generate_series(0, 7) AS day
"""
PING = "SELECT 1"


async def insert(pool: Pool, clicks: Sequence[Click]) -> int:
    """Insert, in one transaction, the clicks that are not there yet; return how many were new.

    Raises `asyncpg.DataError` where PostgreSQL refuses a value; missing partitions are made.
    """
    ordered = sorted(clicks, key=lambda click: (click.at, click.id))  # one order of locks for all
    try:
        return await _insert(pool, ordered)
    except asyncpg.CheckViolationError:  # no partition of relation "events" found for row
        await _ensure_partitions(pool, {click.at.date(): click.at for click in ordered}.values())
        return await _insert(pool, ordered)


async def ensure_week(pool: Pool) -> None:
    """Make the partitions of today and the seven days to come."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(ENSURE_WEEK)


async def ping(pool: Pool) -> None:
    """Raise unless PostgreSQL answers."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(PING)


async def _insert(pool: Pool, clicks: Sequence[Click]) -> int:
    columns = (
        [click.at for click in clicks],
        [click.id for click in clicks],
        [click.url_id for click in clicks],
        [click.user_id for click in clicks],
        [_details(click) for click in clicks],
    )
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        status = await connection.execute(INSERT_CLICKS, *columns)
    return int(status.rpartition(" ")[2])


async def _ensure_partitions(pool: Pool, moments: Iterable[datetime]) -> None:
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        for moment in moments:
            await connection.execute(ENSURE_PARTITION, moment)
            metrics.PARTITIONS.inc()


def _details(click: Click) -> str:
    details: dict[str, object] = {"short_code": click.code}
    if click.domain != DEFAULT_DOMAIN:
        details["domain"] = click.domain
    for name in ("referrer", "user_agent", "request_id"):
        if value := getattr(click, name):
            details[name] = value
    return msgspec.json.encode(details).decode()
