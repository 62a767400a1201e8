"""The process that stores clicks also sums up the days that are over, with the rights it has."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from event_ingest import click_repository, day_sums
from shared import postgres
from shared.errors import OPERATIONAL_ERRORS
from shared.postgres import Pool
from shared.tasks import background
from tests.conftest import database_url
from tests.integration.event_ingest.conftest import Consumers, click, publish
from tests.waiting import eventually, is_waiting

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_sums, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(day_sums, "LEAST_AGE_SECONDS", 0.0)


async def sums(pool: Pool) -> dict[str, int]:
    """What is known of systems, by day."""
    rows = await pool.fetch(
        "SELECT day::text AS day, clicks FROM all_links_daily WHERE dimension = 'system'"
    )
    return {row["day"]: row["clicks"] for row in rows}


async def store(bus: Redis, consumers: Consumers, days_ago: list[int]) -> None:
    moments = [NOW - timedelta(days=days) for days in days_ago]
    await publish(bus, [click(at=at, user_agent="Mozilla/5.0 (X11; Linux)") for at in moments])
    await consumers.drain()


def ago(days: int) -> str:
    return str((NOW - timedelta(days=days)).date())


async def test_days_that_are_over_are_summed_up_and_late_clicks_come_to_be_in_them(
    bus: Redis,
    consumers: Consumers,
    ingest_pool: Pool,
    pool: Pool,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    await store(bus, consumers, [2, 1, 1, 0])
    async with background(day_sums.keep_days(ingest_pool), name="days"):

        async def summed_up() -> bool:
            return await sums(pool) == {ago(2): 1, ago(1): 2}

        await eventually(summed_up)
        await store(bus, consumers, [1, 0])

        async def summed_up_again() -> bool:
            return await sums(pool) == {ago(2): 1, ago(1): 3}

        await eventually(summed_up_again)
    told = [record for record in caplog.records if record.msg == "days.summed"]
    assert sum(vars(record)["days"] for record in told) == 3
    assert await pool.fetchval("SELECT count(*) FROM late_days") == 0


async def test_a_database_that_is_away_for_a_while_only_delays_it(
    bus: Redis,
    consumers: Consumers,
    ingest_pool: Pool,
    pool: Pool,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.WARNING)
    await store(bus, consumers, [1])
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE all_links_daily")
        async with background(day_sums.keep_days(ingest_pool), name="days"):
            await eventually(lambda: is_waiting(holder))
            await holder.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'shortwire_ingest' AND datname = current_database()"
            )

            async def is_noticed() -> bool:
                return "days.retry" in caplog.text

            await eventually(is_noticed)
            await holder.execute("ROLLBACK AND CHAIN")

            async def summed_up() -> bool:
                return await sums(pool) == {ago(1): 1}

            await eventually(summed_up)


async def test_a_day_may_take_longer_than_other_statements_but_not_for_ever(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    server, _, name = database.rpartition("/")
    dsn = database_url(f"{server}/postgres", name, "shortwire_ingest")
    await pool.execute("UPDATE summed_until SET day = $1", NOW.date() - timedelta(days=1))
    async with (
        await postgres.create_pool(dsn, name="ingest", max_size=1, command_timeout=0.2) as hasty,
        pool.acquire() as holder,
    ):
        async with holder.transaction():
            await holder.execute("LOCK TABLE summed_until")
            summing = asyncio.create_task(click_repository.sum_up_day(hasty, 0.0))
            await asyncio.sleep(0.5)
        assert await summing == NOW.date() - timedelta(days=1)

        monkeypatch.setattr(click_repository, "DAY_TIMEOUT_SECONDS", 1.0)
        async with holder.transaction():
            await holder.execute("LOCK TABLE summed_until")
            with pytest.raises(OPERATIONAL_ERRORS):
                await click_repository.sum_up_day(hasty, 0.0)
