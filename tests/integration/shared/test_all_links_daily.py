"""What all links' clicks tell is the sum of theirs, whichever days are summed up."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import pytest

from management.stats_repository import ALL, DIMENSIONS, Days, Known, Share, find_known
from shared import migrate
from shared.postgres import Connection, Pool
from tests.integration.shared.test_all_links_hourly import before_migration
from tests.integration.shared.test_roll_ups import CORRECT, INSERT, LINKS, NOW, an_event
from tests.waiting import eventually, is_waiting

TODAY = NOW.date()
MOMENTS = [NOW + timedelta(days=days) for days in (-3, -2, -1, 0, 1)]
YESTERDAY = TODAY - timedelta(days=1)
AS_IF_OVER = timedelta(days=-2)  # today and tomorrow, too
ALL_DAYS = (TODAY - timedelta(days=4), TODAY + timedelta(days=3))

Range = tuple[date, date]
MANY = 1_000


@pytest.fixture(autouse=True)
async def partitions(pool: Pool) -> None:
    for moment in MOMENTS:
        await pool.execute("SELECT ensure_events_partition($1)", moment)


def events_at(chance: random.Random, moments: list[datetime], count: int) -> list[Any]:
    return [
        (chance.choice(moments), *an_event(chance, chance.choice(LINKS))[1:]) for _ in range(count)
    ]


def is_click(event: Any) -> bool:
    _, _, kind, link, _ = event
    return kind == "redirect" and link is not None


async def store(connection: Any, events: list[Any]) -> None:
    await connection.execute(INSERT, *map(list, zip(*events, strict=True)))


async def click(connection: Any, at: datetime, country: str = "AT") -> None:
    await connection.execute(
        "INSERT INTO events (at, event_type, url_id, details) "
        "VALUES ($1, 'redirect', 1, jsonb_build_object('country', $2::text))",
        at,
        country,
    )


async def sum_up(connection: Any, least_age: timedelta = timedelta(0)) -> date | None:
    day: date | None = await connection.fetchval("SELECT sum_up_day($1)", least_age)
    return day


async def sum_up_all(connection: Any, least_age: timedelta = timedelta(0)) -> list[date]:
    days = []
    while day := await sum_up(connection, least_age):
        days.append(day)
    return days


async def begin_at(pool: Pool, day: date) -> None:
    await pool.execute("UPDATE summed_until SET day = $1", day)


async def marks(connection: Any) -> list[date]:
    return [row["day"] for row in await connection.fetch("SELECT day FROM late_days ORDER BY 1")]


async def told(connection: Any, days: Range = ALL_DAYS) -> dict[str, Known]:
    midnights = [datetime.combine(day, time(), UTC) for day in days]
    return {
        dimension: await find_known(connection, ALL, Days(*midnights), dimension, MANY)
        for dimension in DIMENSIONS
    }


async def counted(connection: Any, days: Range = ALL_DAYS) -> dict[str, Known]:
    """The same from the roll-ups' rows, one by one."""
    found = {}
    for dimension, table in DIMENSIONS.items():
        clicks, people = Counter[str](), Counter[str]()
        query = f"SELECT {dimension} AS value, clicks, people FROM {table} "
        for row in await connection.fetch(f"{query} WHERE day >= $1 AND day < $2", *days):
            clicks[row["value"]] += row["clicks"]
            people[row["value"]] += row["people"]
        del clicks[""], people[""]
        shares = [Share(value, clicks[value], people[value]) for value in clicks if clicks[value]]
        shares.sort(key=lambda share: (-share.clicks, share.value))
        found[dimension] = Known(shares, clicks.total(), people.total())
    return found


async def assert_exact(connection: Any, days: Range = ALL_DAYS) -> None:
    assert await told(connection, days) == await counted(connection, days)


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_told_is_the_sum_of_the_roll_ups_at_every_moment(pool: Pool, seed: int):
    chance = random.Random(seed)
    known: list[Any] = []
    await begin_at(pool, MOMENTS[chance.randrange(4)].date())
    for _ in range(8):
        fresh = events_at(chance, MOMENTS, chance.randrange(1, 40))
        known += fresh
        await store(pool, [*fresh, *chance.choices(known, k=chance.randrange(20))])
        await assert_exact(pool)
        corrected = [event[1] for event in chance.sample(known, k=min(len(known), 3))]
        (changed,) = events_at(chance, MOMENTS, 1)
        await pool.execute(CORRECT, corrected[:1], changed[0], *changed[2:])
        await assert_exact(pool)
        for _ in range(chance.randrange(4)):
            await sum_up(pool, chance.choice([timedelta(0), AS_IF_OVER]))
            first = chance.randrange(6)
            await assert_exact(pool)
            await assert_exact(pool, (_day(first), _day(chance.randrange(first, 6) + 1)))

    await sum_up_all(pool, AS_IF_OVER)

    await assert_exact(pool)
    assert await marks(pool) == []
    assert all(known.clicks > known.people > 0 for known in (await told(pool)).values())
    for table in set(DIMENSIONS.values()):  # nothing is read from there
        await pool.execute(f"TRUNCATE {table}")
    assert all(known.clicks for known in (await told(pool)).values())


def _day(number: int) -> date:
    return ALL_DAYS[0] + timedelta(days=number)


async def test_days_are_summed_up_in_their_order_once_they_are_over(pool: Pool):
    await begin_at(pool, TODAY - timedelta(days=3))
    await store(pool, events_at(random.Random(1), MOMENTS, 200))
    await pool.execute("TRUNCATE late_days")

    assert await sum_up(pool, timedelta(days=5)) is None
    assert await sum_up_all(pool) == [moment.date() for moment in MOMENTS[:3]]

    days = await pool.fetch("SELECT DISTINCT day FROM all_links_daily ORDER BY 1")
    assert [row["day"] for row in days] == [moment.date() for moment in MOMENTS[:3]]
    await assert_exact(pool)


async def test_a_statement_marks_each_day_that_was_over_and_nothing_without_a_click(pool: Pool):
    chance = random.Random(1)
    events = events_at(chance, MOMENTS, 300)
    await store(pool, events)
    over = [moment.date() for moment in MOMENTS[:3]]
    assert await marks(pool) == over

    await store(pool, events)
    await store(pool, [event for event in events_at(chance, MOMENTS, 300) if not is_click(event)])
    assert await marks(pool) == over

    await pool.execute("TRUNCATE late_days")
    moved = [event[1] for event in events if event[0] == MOMENTS[2] and is_click(event)]
    await pool.execute(CORRECT, moved, MOMENTS[3], "redirect", 1, "{}")
    assert await marks(pool) == [YESTERDAY]
    await pool.execute(CORRECT, moved, MOMENTS[1], "redirect", 1, "{}")
    assert await marks(pool) == [MOMENTS[1].date(), YESTERDAY]


async def test_a_day_is_summed_up_again_once_late_clicks_have_waited(pool: Pool):
    await click(pool, MOMENTS[2])
    await sum_up_all(pool)
    await click(pool, MOMENTS[2], "DE")
    await click(pool, MOMENTS[1], "DE")
    await assert_exact(pool)

    assert await sum_up(pool, timedelta(minutes=1)) is None
    await pool.execute("UPDATE late_days SET noted_at = now() - interval '2 minutes'")
    await click(pool, MOMENTS[1], "FR")

    assert await sum_up(pool, timedelta(minutes=1)) == YESTERDAY
    assert await sum_up(pool, timedelta(minutes=1)) == MOMENTS[1].date()
    assert await sum_up(pool, timedelta(minutes=1)) is None
    assert await marks(pool) == []
    await assert_exact(pool)


async def test_late_clicks_that_are_not_committed_when_their_day_is_summed_up_are_told(pool: Pool):
    await click(pool, MOMENTS[2])
    async with pool.acquire() as writer:
        transaction = writer.transaction()
        await transaction.start()
        await click(writer, MOMENTS[2], "DE")
        assert await sum_up_all(pool) == [YESTERDAY]
        assert (await told(pool))["country"].clicks == 1
        await transaction.commit()

    assert (await told(pool))["country"].clicks == 2
    assert await sum_up_all(pool) == [YESTERDAY]
    assert (await told(pool))["country"].clicks == 2


@pytest.mark.parametrize("written", [[MOMENTS[3]], [MOMENTS[4], MOMENTS[3]]])
async def test_no_day_is_summed_up_while_who_leaves_no_mark_has_it(
    pool: Pool, written: list[datetime]
):
    await begin_at(pool, TODAY)
    async with pool.acquire() as writer, writer.transaction():
        for moment in written:
            await click(writer, moment)
        await click(pool, MOMENTS[2])

        assert await sum_up_all(pool, AS_IF_OVER) == [YESTERDAY]
        assert await marks(pool) == []

    assert (await sum_up_all(pool, AS_IF_OVER))[0] == TODAY
    await assert_exact(pool)


async def test_a_later_day_waits_for_who_has_it_together_with_an_earlier_one(pool: Pool):
    """The days' order keeps it: of a statement only the first that is not over has a lock."""
    await begin_at(pool, TODAY)
    async with pool.acquire() as writer, writer.transaction():
        events = [(moment, *_a_click(number)) for number, moment in enumerate(MOMENTS[3:])]
        await store(writer, events)

        assert await sum_up_all(pool, AS_IF_OVER) == []

    assert TODAY + timedelta(days=1) in await sum_up_all(pool, AS_IF_OVER)
    await assert_exact(pool)


def _a_click(number: int) -> tuple[Any, ...]:
    return f"018f0000-0000-7000-8000-00000000000{number}", "redirect", 1, '{"country": "AT"}'


async def test_a_day_that_is_summed_up_though_the_clock_says_it_lasts_is_marked(pool: Pool):
    """So it is where the clock went back."""
    await sum_up_all(pool, AS_IF_OVER)

    await click(pool, MOMENTS[3])

    assert await marks(pool) == [TODAY]
    await assert_exact(pool)


async def test_a_mark_made_while_the_day_is_summed_up_stays(pool: Pool):
    await click(pool, MOMENTS[2])
    async with pool.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("LOCK TABLE all_links_daily IN EXCLUSIVE MODE")
        summing = asyncio.create_task(sum_up(pool))
        await eventually(lambda: is_waiting(holder))
        await click(pool, MOMENTS[2], "DE")
        await transaction.commit()
    assert await summing == YESTERDAY

    assert await marks(pool) == [YESTERDAY]
    assert await sum_up_all(pool) == [YESTERDAY]
    assert await marks(pool) == []
    await assert_exact(pool)


async def test_one_sums_up_while_others_are_told_that_there_is_nothing(pool: Pool):
    await click(pool, MOMENTS[1])
    await click(pool, MOMENTS[2])
    async with pool.acquire() as first, first.transaction():
        assert await sum_up(first) == YESTERDAY

        assert await asyncio.wait_for(sum_up(pool), timeout=5) is None

    assert await sum_up(pool) == MOMENTS[1].date()


async def test_what_is_undone_is_summed_up_another_time(pool: Pool):
    await begin_at(pool, YESTERDAY)
    await click(pool, MOMENTS[2])
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        assert await sum_up_all(connection) == [YESTERDAY]
        await transaction.rollback()

    await assert_exact(pool)
    assert await sum_up_all(pool) == [YESTERDAY]
    await assert_exact(pool)


async def test_readers_are_told_one_sum_while_writers_write_and_others_sum_up(pool: Pool):
    chance = random.Random(1)
    await begin_at(pool, TODAY - timedelta(days=3))
    writing = [asyncio.create_task(_write(pool, chance)) for _ in range(2)]
    summing = asyncio.create_task(_sum_up_until_done(pool, writing))

    looks = 0
    while not all(task.done() for task in writing):
        async with (
            pool.acquire() as reader,
            reader.transaction(isolation="repeatable_read", readonly=True),
        ):
            await assert_exact(reader)
            looks += 1
    await asyncio.gather(*writing)

    assert looks > 5
    assert await summing > 5
    await sum_up_all(pool, AS_IF_OVER)
    await assert_exact(pool)


async def _write(pool: Pool, chance: random.Random) -> None:
    for _ in range(40):
        batch = events_at(chance, chance.sample(MOMENTS, k=2), 40)
        batch.sort(key=lambda event: event[:2])
        await store(pool, batch)
        await pool.execute(CORRECT, [batch[0][1]], MOMENTS[0], "redirect", 1, "{}")


async def _sum_up_until_done(pool: Pool, writing: list[asyncio.Task[None]]) -> int:
    days = 0
    while not all(task.done() for task in writing):
        days += await sum_up(pool, AS_IF_OVER) is not None
    return days


@pytest.mark.parametrize("table", ["all_links_daily", "summed_until", "late_days"])
async def test_management_reads_and_nobody_else_does_more_than_sum_up(pool: Pool, table: str):
    rows = await pool.fetch(
        """
        SELECT name, has_table_privilege(role, $1, 'SELECT') AS reads,
               has_table_privilege(role, $1, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes,
               has_function_privilege(role, 'sum_up_day(interval)', 'EXECUTE') AS sums_up,
               has_function_privilege(role, 'mark_late_days(date[])', 'EXECUTE') AS marks
          FROM unnest(ARRAY['redirector', 'management', 'ingest']) AS name,
               concat('shortwire_', name) AS role
        """,
        table,
    )

    assert {row["name"]: tuple(row)[1:] for row in rows} == {
        "redirector": (False, False, False, False),
        "management": (True, False, False, False),
        "ingest": (False, False, True, False),
    }


@asynccontextmanager
async def migrating_to_days(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Connection, Connection, str]]:
    (sql,) = [each.sql for each in migrate.migrations() if each.name.startswith("0020")]
    async with before_migration("0020", database, pool, monkeypatch) as dsn:
        migrating, writing = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        for moment in MOMENTS:
            await writing.execute("SELECT ensure_events_partition($1)", moment)
        yield migrating, writing, sql
        await migrating.close()
        await writing.close()


async def test_clicks_from_before_and_those_that_wait_for_the_migration_are_told(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    chance = random.Random(1)
    async with migrating_to_days(database, pool, monkeypatch) as (migrating, writing, sql):
        await store(writing, events_at(chance, MOMENTS[1:], 100))
        async with migrating.transaction():
            await migrating.execute(sql)
            waiting = asyncio.create_task(store(writing, events_at(chance, MOMENTS, 100)))
            await eventually(lambda: is_waiting(migrating))
        await waiting

        await assert_exact(migrating)
        assert await marks(migrating) == [moment.date() for moment in MOMENTS[:3]]
        assert await sum_up_all(migrating) == [
            *(moment.date() for moment in MOMENTS[1:3]),
            MOMENTS[0].date(),
        ]
        await assert_exact(migrating)


async def test_the_migration_waits_for_who_left_no_mark(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    async with migrating_to_days(database, pool, monkeypatch) as (migrating, writing, sql):
        async with writing.transaction():
            await click(writing, MOMENTS[2])
            migration = asyncio.create_task(migrating.execute(sql))
            await eventually(lambda: is_waiting(writing))
        await migration

        assert await sum_up_all(migrating) == [YESTERDAY]
        await assert_exact(migrating)
        assert (await told(migrating))["country"].clicks == 1
