"""What all links were clicked in an hour is the sum of theirs, whatever came in which way."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from shared import migrate
from shared.postgres import Connection, Pool
from tests.integration.shared.test_roll_ups import CORRECT, INSERT, LINKS, NOW, an_event
from tests.waiting import eventually, is_waiting

DIFFERENCES = """
    SELECT hour, sum(clicks) AS clicks, sum(bots) AS bots, sum(previews) AS previews,
           sum(visitors) AS visitors
      FROM (SELECT hour, clicks, bots, previews, visitors FROM all_links_hourly
            UNION ALL
            SELECT hour, clicks, bots, previews, visitors FROM hour_notes
            UNION ALL
            SELECT hour, -clicks, -bots, -previews, 0 FROM clicks_hourly
            UNION ALL
            SELECT hour, 0, 0, 0, -visitors FROM visitors_hourly) AS parts
     GROUP BY hour
    HAVING (sum(clicks), sum(bots), sum(previews), sum(visitors)) <> (0, 0, 0, 0)
"""
COUNT_VISITORS = "SELECT count_visitors($1, $2, $3)"


async def add_up(pool: Any, most: int = 10_000) -> int:
    return int(await pool.fetchval("SELECT add_up_hours('0', $1)", most))


async def sums(pool: Any) -> tuple[int, int, int, int]:
    """What has been added up, without the notes."""
    row = await pool.fetchrow(
        "SELECT coalesce(sum(clicks), 0), coalesce(sum(bots), 0), coalesce(sum(previews), 0), "
        "coalesce(sum(visitors), 0) FROM all_links_hourly"
    )
    return tuple(map(int, row))  # type: ignore[return-value]


async def store(pool: Any, events: list[tuple[Any, ...]]) -> None:
    await pool.execute(INSERT, *map(list, zip(*events, strict=True)))


async def visits(pool: Any, chance: random.Random, count: int) -> None:
    """Visits of a few people to a few links, so that many come again."""
    links = [chance.randrange(1, 4) for _ in range(count)]
    moments = [NOW + timedelta(minutes=chance.randrange(90)) for _ in range(count)]
    people = [chance.randrange(20) for _ in range(count)]
    await pool.execute(COUNT_VISITORS, links, moments, people)


@pytest.mark.parametrize("seed", range(8))
async def test_the_hours_are_the_sums_of_the_roll_ups_at_every_moment(pool: Pool, seed: int):
    chance = random.Random(seed)
    known: list[tuple[Any, ...]] = []
    for _ in range(8):
        fresh = [an_event(chance, chance.choice(LINKS)) for _ in range(chance.randrange(1, 60))]
        known += fresh
        await store(pool, [*fresh, *chance.choices(known, k=chance.randrange(20))])
        assert await pool.fetch(DIFFERENCES) == []
        corrected = [event[1] for event in chance.sample(known, k=min(len(known), 3))]
        at, _, kind, link, details = an_event(chance, chance.choice(LINKS))
        await pool.execute(CORRECT, corrected[:1], at, kind, link, details)
        assert await pool.fetch(DIFFERENCES) == []
        await visits(pool, chance, chance.randrange(1, 10))
        assert await pool.fetch(DIFFERENCES) == []
        if chance.random() < 0.5:
            await add_up(pool, most=chance.randrange(1, 4))
        assert await pool.fetch(DIFFERENCES) == []

    while await add_up(pool, most=5):
        pass

    assert await pool.fetch(DIFFERENCES) == []
    assert await pool.fetchval("SELECT count(*) FROM hour_notes") == 0
    assert 0 not in await sums(pool)


async def test_a_statement_makes_a_note_for_each_of_its_hours_and_none_of_nothing(pool: Pool):
    chance = random.Random(1)
    events = [an_event(chance, 1 + number % 300) for number in range(600)]
    await store(pool, events)
    await store(pool, events)
    await pool.execute("UPDATE events SET user_id = 1")

    notes = await pool.fetch("SELECT hour FROM hour_notes")

    hours = await pool.fetch("SELECT DISTINCT hour FROM clicks_hourly")
    assert sorted(row["hour"] for row in notes) == sorted(row["hour"] for row in hours)
    assert len(notes) == 3


async def test_what_is_undone_is_added_up_another_time(pool: Pool):
    await store(pool, [(NOW, "018f0000-0000-7000-8000-000000000001", "redirect", 1, "{}")])
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await add_up(connection) == 1
        await transaction.rollback()

    assert await add_up(pool) == 1
    assert await add_up(pool) == 0
    assert await sums(pool) == (1, 0, 0, 0)


async def test_one_adds_up_while_others_are_told_that_there_is_nothing(pool: Pool):
    await pool.execute(COUNT_VISITORS, [1, 2], [NOW, NOW], [7, 7])
    async with pool.acquire() as first, first.transaction():
        assert await add_up(first) == 1

        assert await asyncio.wait_for(add_up(pool), timeout=5) == 0

    assert await pool.fetch(DIFFERENCES) == []


async def test_notes_wait_until_the_oldest_is_old_enough(pool: Pool):
    for _ in range(3):
        await pool.execute(COUNT_VISITORS, [1], [NOW], [random.getrandbits(32)])

    assert await pool.fetchval("SELECT add_up_hours('1 minute', 10)") == 0
    await pool.execute(
        "UPDATE hour_notes SET noted_at = now() - interval '2 minutes' "
        "WHERE id = (SELECT min(id) FROM hour_notes)"
    )
    assert await pool.fetchval("SELECT add_up_hours('1 minute', 2)") == 2
    assert await pool.fetchval("SELECT add_up_hours('1 minute', 2)") == 0
    assert await pool.fetch(DIFFERENCES) == []


async def test_readers_see_one_sum_while_writers_write_and_others_add_up(pool: Pool):
    chance = random.Random(1)
    writing = [asyncio.create_task(_write(pool, chance)) for _ in range(2)]
    adding = asyncio.create_task(_add_up_until_done(pool, writing))

    differences = []
    while not all(task.done() for task in writing):
        differences += await pool.fetch(DIFFERENCES)
    await asyncio.gather(*writing, adding)

    assert differences == []
    while await add_up(pool):
        pass
    assert await pool.fetch(DIFFERENCES) == []
    assert 0 not in await sums(pool)


async def _write(pool: Pool, chance: random.Random) -> None:
    for _ in range(15):
        batch = [an_event(chance, chance.randrange(500)) for _ in range(400)]
        batch.sort(key=lambda event: event[:2])
        async with pool.acquire() as connection, connection.transaction():
            await store(connection, batch)
            await visits(connection, chance, 5)


async def _add_up_until_done(pool: Pool, writing: list[asyncio.Task[None]]) -> None:
    while not all(task.done() for task in writing):
        await add_up(pool, most=3)


@asynccontextmanager
async def before_migration(
    number: str, database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The DSN of a database of the schema before; `migrate.migrate` brings it up to date."""
    name = f"before_{number}"
    await pool.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await pool.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    dsn = database.rpartition("/")[0] + f"/{name}"
    connection = await asyncpg.connect(dsn)
    with monkeypatch.context() as patch:
        older = [each for each in migrate.migrations() if each.name < number]
        patch.setattr(migrate, "migrations", lambda: older)
        await migrate.migrate(connection)
    await connection.close()
    yield dsn
    await pool.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_clicks_from_before_and_those_that_wait_for_the_migration_are_counted(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(1)
    (sql,) = [each.sql for each in migrate.migrations() if each.name.startswith("0019")]
    async with before_migration("0019", database, pool, monkeypatch) as dsn:
        migrating, writing = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        for _ in range(2):
            await store(writing, [an_event(chance, 1 + number % 7) for number in range(50)])
            await visits(writing, chance, 10)
        async with migrating.transaction():
            await migrating.execute(sql)
            waiting = asyncio.create_task(_store_and_count(writing, chance))
            await eventually(lambda: is_waiting(migrating))
        await waiting
        await add_up(migrating)

        assert await migrating.fetch(DIFFERENCES) == []
        assert 0 not in await sums(migrating)
        await migrating.close()
        await writing.close()


async def _store_and_count(connection: Connection, chance: random.Random) -> None:
    async with connection.transaction():
        await store(connection, [an_event(chance, 1 + number % 7) for number in range(50)])
        await visits(connection, chance, 10)
