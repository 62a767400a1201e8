"""The totals of links are the sums of their roll-ups, whatever came in which way."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from shared import migrate
from shared.postgres import Pool
from tests.integration.shared.test_roll_ups import CORRECT, INSERT, LINKS, NOW, an_event


async def add_up(pool: Any, most: int = 50) -> int:
    return int(await pool.fetchval("SELECT add_up_clicks('0', $1)", most))


async def totals(pool: Pool) -> dict[int, int]:
    rows = await pool.fetch("SELECT url_id, clicks FROM url_clicks WHERE clicks <> 0")
    return {row["url_id"]: row["clicks"] for row in rows}


async def rolled_up(pool: Pool) -> dict[int, int]:
    rows = await pool.fetch("SELECT url_id, sum(clicks) AS clicks FROM clicks_hourly GROUP BY 1")
    return {row["url_id"]: int(row["clicks"]) for row in rows if row["clicks"]}


async def last_click(pool: Pool, url_id: int) -> datetime | None:
    query = """
        SELECT nullif(last_click_at, '-infinity') AS at FROM url_clicks WHERE url_id = $1
    """
    found: datetime | None = await pool.fetchval(query, url_id)
    return found


async def click(pool: Pool, url_id: int, at: datetime) -> None:
    await pool.execute(
        "INSERT INTO events (at, event_type, url_id) VALUES ($1, 'redirect', $2)", at, url_id
    )


@pytest.mark.parametrize("seed", range(8))
async def test_totals_are_the_sums_of_the_roll_ups(pool: Pool, seed: int):
    chance = random.Random(seed)
    known: list[tuple[Any, ...]] = []
    for _ in range(8):
        fresh = [an_event(chance, chance.choice(LINKS)) for _ in range(chance.randrange(1, 60))]
        known += fresh
        again = chance.choices(known, k=chance.randrange(20))
        await pool.execute(INSERT, *map(list, zip(*fresh, *again, strict=True)))
        corrected = [event[1] for event in chance.sample(known, k=min(len(known), 3))]
        at, _, kind, link, details = an_event(chance, chance.choice(LINKS))
        for event_id in corrected[:1]:  # one: event ids are unique for their time only
            await pool.execute(CORRECT, [event_id], at, kind, link, details)
        if chance.random() < 0.5:
            await add_up(pool, most=chance.randrange(1, 3))
    while await add_up(pool):
        pass

    assert await totals(pool) == await rolled_up(pool) != {}
    truth = await pool.fetch(
        "SELECT url_id, max(at) AS at FROM events "
        "WHERE event_type = 'redirect' AND url_id IS NOT NULL GROUP BY url_id"
    )
    for row in truth:
        latest = row["at"]
        known_as = await last_click(pool, row["url_id"])
        assert known_as is not None
        assert latest.replace(minute=0, second=0, microsecond=0) <= known_as <= latest


async def test_a_late_click_is_added_and_is_not_the_last(pool: Pool):
    await click(pool, 1, NOW)
    await add_up(pool)
    await click(pool, 1, NOW - timedelta(minutes=20))
    await add_up(pool)

    assert await totals(pool) == {1: 2}
    assert await last_click(pool, 1) == NOW


async def test_where_the_last_click_is_taken_back_the_one_before_is_known_by_the_hour(pool: Pool):
    early, late = NOW, NOW + timedelta(hours=1)
    for at in (early, late):
        await click(pool, 1, at)
    await pool.execute("UPDATE events SET url_id = 2 WHERE at = $1", late)

    await add_up(pool)

    assert await totals(pool) == {1: 1, 2: 1}
    assert await last_click(pool, 1) == early.replace(minute=0, second=0, microsecond=0)
    assert await last_click(pool, 2) == late
    await pool.execute("UPDATE events SET event_type = 'other'")
    await add_up(pool)
    assert await totals(pool) == {}
    assert await last_click(pool, 1) is None


async def test_what_is_undone_is_added_up_another_time(pool: Pool):
    await click(pool, 1, NOW)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await add_up(connection) == 1
        await click(connection, 1, NOW)  # type: ignore[arg-type]
        await transaction.rollback()

    assert await add_up(pool) == 1
    assert await add_up(pool) == 0
    assert await totals(pool) == {1: 1}


async def test_one_adds_up_while_others_are_told_that_there_is_nothing(pool: Pool):
    await click(pool, 1, NOW)
    async with pool.acquire() as first, first.transaction():
        assert await add_up(first) == 1

        assert await asyncio.wait_for(add_up(pool), timeout=5) == 0

    assert await totals(pool) == {1: 1}


async def test_notes_wait_until_the_oldest_is_old_enough_and_are_of_a_bounded_size(pool: Pool):
    await pool.execute(
        "INSERT INTO events (at, event_type, url_id) "
        "SELECT $1, 'redirect', 1 + n % 2500 FROM generate_series(0, 4999) AS n",
        NOW,
    )

    sizes = await pool.fetch("SELECT cardinality(url_ids) AS size FROM click_notes")
    assert sum(row["size"] for row in sizes) == 2500
    assert max(row["size"] for row in sizes) <= 1000
    assert await pool.fetchval("SELECT add_up_clicks('1 minute', 50)") == 0
    await pool.execute(
        "UPDATE click_notes SET noted_at = now() - interval '2 minutes' WHERE id = 1"
    )
    assert await pool.fetchval("SELECT add_up_clicks('1 minute', 2)") == 2
    assert await add_up(pool, most=2) == len(sizes) - 2
    assert await totals(pool) == dict.fromkeys(range(1, 2501), 2)


async def test_writers_and_those_who_add_up_are_not_in_each_others_way(pool: Pool):
    chance = random.Random(1)

    async def write() -> None:
        for _ in range(15):
            batch = [an_event(chance, chance.randrange(500)) for _ in range(400)]
            batch.sort(key=lambda event: event[:2])
            await pool.execute(INSERT, *map(list, zip(*batch, strict=True)))

    async def sum_up() -> None:
        for _ in range(30):
            await add_up(pool, most=3)

    await asyncio.gather(write(), write(), sum_up(), sum_up())
    while await add_up(pool):
        pass

    assert await totals(pool) == await rolled_up(pool)


async def test_clicks_from_before_the_totals_are_in_them(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    name = "before_totals"
    await pool.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await pool.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    before = await asyncpg.connect(database.rpartition("/")[0] + f"/{name}")
    every = migrate.migrations()
    older = [each for each in every if each.name < "0017"]
    monkeypatch.setattr(migrate, "migrations", lambda: older)
    await migrate.migrate(before)
    await before.execute("INSERT INTO users (id, username, email) VALUES (1, 'ada', 'a@b.cd')")
    await before.execute(
        "INSERT INTO urls (id, user_id, short_code, original_url) "
        "VALUES (1, 1, 'one', ''), (2, 1, 'two', '')"
    )
    for url_id, minutes in ((1, 0), (1, 5), (7, 0)):
        await click(before, url_id, NOW + timedelta(minutes=minutes))  # type: ignore[arg-type]

    monkeypatch.setattr(migrate, "migrations", lambda: every)
    await migrate.migrate(before)
    await click(before, 1, NOW)  # type: ignore[arg-type]
    await add_up(before)

    rows = await before.fetch("SELECT url_id, clicks FROM url_clicks ORDER BY url_id")
    assert [tuple(row) for row in rows] == [(1, 3), (2, 0), (7, 1)]
    await before.close()
    await pool.execute(f"DROP DATABASE {name} WITH (FORCE)")
