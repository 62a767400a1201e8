import asyncpg
import pytest

from shared import migrate
from shared.postgres import Pool


async def test_migrating_twice_changes_nothing(database: str):
    connection = await asyncpg.connect(database)

    assert await migrate.migrate(connection) == []

    await connection.close()


async def test_an_edited_migration_is_refused(database: str, monkeypatch: pytest.MonkeyPatch):
    first, *rest = migrate.migrations()
    edited = migrate.Migration(first.name, first.sql + "-- edited")
    monkeypatch.setattr(migrate, "migrations", lambda: [edited, *rest])
    connection = await asyncpg.connect(database)

    with pytest.raises(SystemExit, match=r"0001.*edited"):
        await migrate.migrate(connection)

    await connection.close()


async def test_partitions_reach_a_week_ahead(pool: Pool):
    made = await pool.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
    )

    assert made == 8


async def test_old_months_are_one_partition_and_recent_days_one_each(pool: Pool):
    old = [
        await pool.fetchval("SELECT ensure_events_partition($1::text::timestamptz)", day)
        for day in ("2025-03-01T00:00Z", "2025-03-31T23:59:59Z", "2025-04-01T00:00Z")
    ]
    recent = await pool.fetchval("SELECT ensure_events_partition(now() - interval '1 day')")

    assert old == ["events_202503", "events_202503", "events_202504"]
    assert len(recent) == len("events_20250301")


async def test_clicks_are_rolled_up_by_the_rows_really_inserted(pool: Pool):
    insert = """
        INSERT INTO events (at, event_id, event_type, url_id)
        VALUES (now(), $1, 'redirect', 7), (now(), gen_random_uuid(), 'created', 7)
        ON CONFLICT DO NOTHING
    """
    event_id = "018f0000-0000-7000-8000-000000000001"
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(insert, event_id)
        await connection.execute(insert, event_id)

    assert await pool.fetchval("SELECT sum(clicks) FROM clicks_hourly WHERE url_id = 7") == 1

    await pool.execute("UPDATE events SET url_id = 8 WHERE event_type = 'redirect'")

    rows = await pool.fetch("SELECT url_id, clicks FROM clicks_hourly ORDER BY url_id")
    assert [tuple(row) for row in rows] == [(7, 0), (8, 1)]
