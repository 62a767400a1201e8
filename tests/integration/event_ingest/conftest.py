"""A consumer in this process, before real stores, with the rights it has in production."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from event_ingest.consumer import Consumer, Turns
from event_ingest.consumer_group import ConsumerGroup
from event_ingest.enrichment import Enrichment
from event_ingest.visitors import VisitorNumbers
from shared import request_log, streams
from shared.countries import Countries
from shared.events import Click, encoder
from shared.postgres import Pool
from shared.request_log import RequestLog
from tests import tracing
from tests.conftest import database_url


def click(**changes: Any) -> Click:
    values = {"id": uuid4(), "at": datetime.now(UTC), "code": "abc123", "url_id": 1, **changes}
    return Click(**values)


async def publish(
    bus: Redis, clicks: list[Click], *, frames: int = 1, stream: str = streams.CLICKS
) -> None:
    size = -(-len(clicks) // frames)
    for start in range(0, len(clicks), size):
        await add(bus, encoder.encode(clicks[start : start + size]), stream)


async def add(bus: Redis, batch: bytes, stream: str = streams.CLICKS) -> bytes:
    fields: Any = {streams.CLICKS_SCHEMA: 1, streams.CLICKS_BATCH: batch}
    return cast("bytes", await bus.xadd(stream, fields))


async def pending(bus: Redis, stream: str = streams.CLICKS) -> int:
    return int((await bus.xpending(stream, streams.INGEST_GROUP))["pending"])


SUMS = """
    SELECT (SELECT count(*) FROM events WHERE event_type = 'redirect') AS rows,
           (SELECT coalesce(sum(clicks), 0)::bigint FROM clicks_hourly) AS rolled_up,
           (SELECT coalesce(sum(clicks), 0)::bigint FROM url_clicks)
           + (SELECT coalesce(sum(number), 0) FROM click_notes, unnest(numbers) AS number)
               AS in_totals,
           (SELECT coalesce(sum(clicks), 0)::bigint FROM all_links_hourly)
           + (SELECT coalesce(sum(clicks), 0)::bigint FROM hour_notes) AS of_all_links
"""


async def stored(pool: Pool) -> tuple[int, int]:
    """Rows, and the sum of the roll-ups: they must always agree, and with all totals, too."""
    sums = await pool.fetchrow(SUMS)
    assert sums is not None
    assert sums["rolled_up"] == sums["in_totals"] == sums["of_all_links"]
    return sums["rows"], sums["rolled_up"]


@pytest.fixture
async def ingest_pool(database: str) -> AsyncIterator[Pool]:
    """Connections with the rights of the role `shortwire_ingest` only."""
    server, _, name = database.rpartition("/")
    dsn = database_url(f"{server}/postgres", name, "shortwire_ingest")
    async with asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        yield pool


class Consumers:
    def __init__(self, bus: Redis, pool: Pool) -> None:
        self._bus = bus
        self._pool = pool

    def group(self, name: str, stream: str = streams.CLICKS) -> ConsumerGroup:
        return ConsumerGroup(self._bus, stream, name)

    def make(
        self,
        name: str = "ingest-1",
        stream: str = streams.CLICKS,
        *,
        claim_idle_seconds: float = 60.0,
    ) -> Consumer:
        return Consumer(
            self.group(name, stream),
            self._pool,
            asyncio.Event(),
            Enrichment(Countries(None), VisitorNumbers(self._bus), keep_addresses=False),
            Turns(),
            batch_events=2000,
            claim_idle_seconds=claim_idle_seconds,
            tracing=tracing.off(),
            request_log=RequestLog(request_log.Settings()),
        )

    async def drain(self, name: str = "ingest-1", stream: str = streams.CLICKS) -> int:
        """Take what is new until nothing is; return the clicks."""
        consumer, group = self.make(name, stream), self.group(name, stream)
        await group.ensure()
        total = 0
        while entries := await group._read(b">", 100, block=None):
            total += await consumer.process(entries)
        return total


@pytest.fixture
def consumers(bus: Redis, ingest_pool: Pool) -> Consumers:
    return Consumers(bus, ingest_pool)
