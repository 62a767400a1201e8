from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest

from shared import partition_repository, retention
from shared.postgres import Pool

TODAY = datetime.now(UTC).date()


async def days_left(pool: Pool) -> list[date]:
    rows = await pool.fetch("SELECT (at AT TIME ZONE 'UTC')::date AS day FROM events ORDER BY at")
    return [row["day"] for row in rows]


async def clicks_on(pool: Pool, *days: date) -> None:
    for day in days:
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        await pool.execute("SELECT ensure_events_partition($1)", at)
        await pool.execute(
            "INSERT INTO events (at, event_type, url_id) VALUES ($1, 'redirect', 1)", at
        )


async def test_old_events_go_and_their_sums_stay(database: str, pool: Pool):
    kept = [TODAY - timedelta(days=days) for days in (2, 1, 0)]
    await clicks_on(pool, date(2025, 3, 31), TODAY - timedelta(days=3), *kept)
    connection = await asyncpg.connect(database)

    removed = await retention.remove_old(connection, 2, TODAY)
    again = await retention.remove_old(connection, 2, TODAY)
    await connection.close()

    assert removed == ["events_202503", f"events_{TODAY - timedelta(days=3):%Y%m%d}"]
    assert again == []
    assert await days_left(pool) == kept
    assert await pool.fetchval("SELECT sum(clicks) FROM clicks_hourly") == 5


async def test_a_removal_that_was_cut_off_is_finished(database: str, pool: Pool):
    old = TODAY - timedelta(days=9), TODAY - timedelta(days=8)
    await clicks_on(pool, *old, TODAY)
    first, second = (f"events_{day:%Y%m%d}" for day in old)
    await pool.execute(f"ALTER TABLE events DETACH PARTITION {first}")
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch(f"SELECT FROM {second}")  # it has to wait for this one
        await reader.fetch("SELECT FROM events")
        connection = await asyncpg.connect(database)
        with pytest.raises(TimeoutError):
            await connection.execute(partition_repository.DETACH.format(name=second), timeout=0.5)
        await connection.close()
    connection = await asyncpg.connect(database)
    states = {each.name: each.state for each in await partition_repository.find(connection)}
    assert (states[first], states[second]) == ("detached", "pending")

    removed = await retention.remove_old(connection, 7, TODAY)
    await connection.close()

    assert removed == [first, second]
    assert await days_left(pool) == [TODAY]


async def test_clicks_go_on_while_a_partition_waits_for_its_reader(database: str, pool: Pool):
    old = TODAY - timedelta(days=9)
    await clicks_on(pool, old)
    connection = await asyncpg.connect(database)
    async with pool.acquire() as reader, reader.transaction():
        await reader.fetch("SELECT FROM events")
        with pytest.raises(TimeoutError):
            await connection.execute(
                partition_repository.DETACH.format(name=f"events_{old:%Y%m%d}"), timeout=0.5
            )

        await clicks_on(pool, TODAY)

    await connection.close()
    assert TODAY in await days_left(pool)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("events_202503", date(2025, 4, 1)),
        ("events_202512", date(2026, 1, 1)),
        ("events_20251231", date(2026, 1, 1)),
        ("events_20240228", date(2024, 2, 29)),
    ],
)
def test_a_partition_s_name_tells_its_end(name: str, end: date):
    assert retention.end_of(name) == end
