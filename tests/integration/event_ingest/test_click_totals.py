"""The process that stores clicks also adds them up, with the rights that it has."""

import logging

import pytest
from redis.asyncio import Redis

from event_ingest import click_totals
from shared.postgres import Pool
from shared.tasks import background
from tests.integration.event_ingest.conftest import Consumers, click, publish
from tests.waiting import eventually, is_waiting


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click_totals, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(click_totals, "LEAST_AGE_SECONDS", 0.05)


async def totals(pool: Pool) -> dict[int, int]:
    rows = await pool.fetch("SELECT url_id, clicks FROM url_clicks")
    return {row["url_id"]: row["clicks"] for row in rows}


async def of_all_links(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT coalesce(sum(clicks), 0) FROM all_links_hourly"))


async def test_stored_clicks_come_to_be_in_the_totals_though_they_are_delivered_twice(
    bus: Redis, consumers: Consumers, ingest_pool: Pool, pool: Pool
):
    clicks = [click(url_id=number) for number in (1, 1, 2)]
    async with background(click_totals.keep_totals(ingest_pool), name="totals"):
        for _ in range(2):
            await publish(bus, clicks)
            await consumers.drain()

        async def added() -> bool:
            return await totals(pool) == {1: 2, 2: 1} and await of_all_links(pool) == 3

        await eventually(added)
        await publish(bus, [click(url_id=2)])
        await consumers.drain()

        async def added_again() -> bool:
            return await totals(pool) == {1: 2, 2: 2} and await of_all_links(pool) == 4

        await eventually(added_again)
    assert await pool.fetchval("SELECT count(*) FROM click_notes") == 0
    assert await pool.fetchval("SELECT count(*) FROM hour_notes") == 0


async def test_a_database_that_is_away_for_a_while_only_delays_them(
    bus: Redis,
    consumers: Consumers,
    ingest_pool: Pool,
    pool: Pool,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.WARNING)
    await publish(bus, [click(url_id=1)])
    await consumers.drain()
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE click_notes")
        async with background(click_totals.keep_totals(ingest_pool), name="totals"):
            await eventually(lambda: is_waiting(holder))
            await holder.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = 'shortwire_ingest' AND datname = current_database()"
            )

            async def is_noticed() -> bool:
                return "totals.retry" in caplog.text

            await eventually(is_noticed)
            await holder.execute("ROLLBACK AND CHAIN")

            async def added() -> bool:
                return await totals(pool) == {1: 1}

            await eventually(added)
