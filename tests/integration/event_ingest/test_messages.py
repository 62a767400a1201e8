from datetime import UTC, datetime, timedelta
from typing import cast

from redis.asyncio import Redis

from event_ingest.replay_dead import replay
from shared import streams
from tests import bus_description
from tests.integration.event_ingest.conftest import Consumers, add, click, publish


async def test_dead_letters_and_what_is_sent_back_of_them_are_as_described(
    bus: Redis, consumers: Consumers
):
    await publish(bus, [click(at=datetime.now(UTC) - timedelta(days=500)), click()])
    await add(bus, b"garbage")
    await consumers.drain()
    dead = cast("streams.Entries", await bus.xrange(streams.CLICKS_DEAD))
    await bus.xtrim(streams.CLICKS, maxlen=0)
    await replay(bus, 1, dry_run=False)
    again = cast("streams.Entries", await bus.xrange(streams.CLICKS))

    assert [fields[b"reason"] for _, fields in dead] == [b"out_of_range", b"undecodable"]
    for _, fields in dead:
        bus_description.check("dead", fields)
    assert len(again) == 1
    bus_description.check("clicks", again[0][1])
