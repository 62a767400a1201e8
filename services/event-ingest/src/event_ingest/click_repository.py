"""The `events` table, as event-ingest writes it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import asyncpg

from event_ingest import metrics
from event_ingest.copy_rows import COLUMNS, copy_rows
from event_ingest.enrichment import Enriched
from shared.events import DEFAULT_DOMAIN
from shared.postgres import Connection, Pool, lend

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
COUNT_VISITORS = "SELECT count_visitors($1, $2, $3)"
KEEP_VISITOR_DAYS = "SELECT keep_visitor_days()"
PING = "SELECT 1"


async def insert(pool: Pool, clicks: Sequence[Enriched]) -> int:
    """Insert, in one transaction, the clicks that are not there yet; return how many were new.

    Raises `asyncpg.DataError` where PostgreSQL refuses a value; missing partitions are made.
    """
    # One order of locks for all.
    ordered = sorted(clicks, key=lambda each: (each.click.at, each.click.id.int))
    try:
        return await _insert(pool, ordered)
    except asyncpg.CheckViolationError:  # no partition of relation "…" found for row
        moments = {each.click.at.date(): each.click.at for each in ordered}.values()
        await _ensure_partitions(pool, moments)
        return await _insert(pool, ordered)


async def keep_partitions(pool: Pool) -> None:
    """Make the partitions of the days to come; drop those that tell visitors of days gone by."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(ENSURE_WEEK)
        await connection.execute(KEEP_VISITOR_DAYS)


ADD_UP_CLICKS = "SELECT add_up_clicks($1, $2)"
ADD_UP_HOURS = "SELECT add_up_hours($1, $2)"


async def add_up_clicks(pool: Pool, least_age_seconds: float, most: int) -> int:
    """Add up to `most` notes of clicks to the totals of links; return how many were added.

    None are before the oldest has waited for `least_age_seconds`, nor while another does it.
    """
    return await _add_up(pool, ADD_UP_CLICKS, least_age_seconds, most)


async def add_up_hours(pool: Pool, least_age_seconds: float, most: int) -> int:
    """Add up to `most` notes of hours to the sums of all links, in the same way."""
    return await _add_up(pool, ADD_UP_HOURS, least_age_seconds, most)


async def _add_up(pool: Pool, query: str, least_age_seconds: float, most: int) -> int:
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        return int(await connection.fetchval(query, timedelta(seconds=least_age_seconds), most))


DAY_TIMEOUT_SECONDS = 60.0  # a day as large as this is not asked for in a moment either
ALLOW_A_DAY = "SELECT set_config('statement_timeout', $1, true)"
SUM_UP_DAY = "SELECT sum_up_day($1)"


async def sum_up_day(pool: Pool, least_age_seconds: float) -> date | None:
    """Sum up what all links' clicks of one day tell; return which day, or None if none is left.

    It has been over, or had late clicks, for `least_age_seconds`; None, too, while another does it.
    """
    async with (
        lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection,
        connection.transaction(),
    ):
        await connection.execute(ALLOW_A_DAY, f"{DAY_TIMEOUT_SECONDS:.0f}s")
        least_age = timedelta(seconds=least_age_seconds)
        day: date | None = await connection.fetchval(
            SUM_UP_DAY, least_age, timeout=DAY_TIMEOUT_SECONDS
        )
    return day


NOTE_ORPHANS = "SELECT note_orphans($1, $2, $3, $4)"


async def note_orphans(pool: Pool, day: date, visits: Mapping[str, int]) -> None:
    """Store how often codes without a link were visited on a day; repeating it is harmless."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(
            NOTE_ORPHANS, day, DEFAULT_DOMAIN, list(visits), list(visits.values())
        )


FORGET_OLD_ORPHANS = "SELECT forget_old_orphans()"


async def forget_old_orphans(pool: Pool) -> None:
    """Remove what is told of codes without a link beyond its time."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(FORGET_OLD_ORPHANS)


async def ping(pool: Pool) -> None:
    """Raise unless PostgreSQL answers."""
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        await connection.execute(PING)


async def _insert(pool: Pool, clicks: Sequence[Enriched]) -> int:
    try:
        return await _in_one_transaction(pool, clicks, _copy)
    except asyncpg.UniqueViolationError:  # some were stored before, and COPY can't leave them out
        return await _in_one_transaction(pool, clicks, _insert_new)


async def _in_one_transaction(
    pool: Pool,
    clicks: Sequence[Enriched],
    add: Callable[[Connection, Sequence[Enriched]], Awaitable[str]],
) -> int:
    async with (
        lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection,
        connection.transaction(),
    ):
        status = await add(connection, clicks)
        await _count_visitors(connection, clicks)
    return int(status.rpartition(" ")[2])


async def _copy(connection: Connection, clicks: Sequence[Enriched]) -> str:
    async def rows() -> AsyncIterator[bytes]:  # bytes themselves would be taken for a path
        yield copy_rows(clicks)

    return await connection.copy_to_table("events", source=rows(), columns=COLUMNS, format="binary")


async def _insert_new(connection: Connection, clicks: Sequence[Enriched]) -> str:
    columns = (
        [each.click.at for each in clicks],
        [each.click.id for each in clicks],
        [each.click.url_id for each in clicks],
        [each.click.user_id for each in clicks],
        [each.details.decode() for each in clicks],
    )
    return await connection.execute(INSERT_CLICKS, *columns)


async def _count_visitors(connection: Connection, clicks: Sequence[Enriched]) -> None:
    visits = [each for each in clicks if each.visitor is not None]
    if visits:
        await connection.execute(
            COUNT_VISITORS,
            [each.click.url_id for each in visits],
            [each.click.at for each in visits],
            [each.visitor for each in visits],
        )


async def _ensure_partitions(pool: Pool, moments: Iterable[datetime]) -> None:
    async with lend(pool, timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
        for moment in moments:
            await connection.execute(ENSURE_PARTITION, moment)
            metrics.PARTITIONS.inc()
        await connection.execute(KEEP_VISITOR_DAYS)
