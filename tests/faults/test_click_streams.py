"""Several streams of clicks: event-ingest killed, stopped, and met by streams it did not know."""

import asyncio
import random
import signal
from functools import partial
from typing import cast

from redis.asyncio import Redis

from event_ingest.replay_dead import replay
from shared import streams
from shared.postgres import Pool
from tests.faults.test_ingest import SECONDS, Run, dsn, run, send_to_the_killed, until
from tests.integration.event_ingest.conftest import add, click, pending, publish, stored

__all__ = ["dsn", "run"]  # fixtures

NAMES = streams.click_streams(3)


async def is_all_stored(pool: Pool, bus: Redis, count: int) -> bool:
    return await stored(pool) == (count, count) and not await left(bus)


async def is_being_read(bus: Redis, name: str) -> bool:
    return bool(await bus.xinfo_groups(name))


async def left(bus: Redis) -> int:
    return sum([await pending(bus, name) for name in NAMES if await bus.exists(name)])


async def test_killed_again_and_again_under_load_it_stores_each_click_of_every_stream_once(
    run: Run, bus: Redis, pool: Pool
):
    async def send(chance: random.Random) -> int:
        clicks = [click() for _ in range(20)]
        await publish(bus, clicks, stream=chance.choice(NAMES))
        if chance.random() < 0.1:  # its outcome was unknown: it went to another one, too
            await publish(bus, clicks, stream=chance.choice(NAMES))
        return len(clicks)

    await send_to_the_killed(run, bus, pool, send, asyncio.sleep(SECONDS))


async def test_what_a_killed_consumer_holds_of_each_stream_is_stored_by_another(
    run: Run, bus: Redis, pool: Pool
):
    for name in NAMES:
        await bus.xgroup_create(name, streams.INGEST_GROUP, id="0", mkstream=True)
        await publish(bus, [click() for _ in range(10)], stream=name)
        await bus.xreadgroup(streams.INGEST_GROUP, "killed", {name: ">"})
    assert await left(bus) == 3

    async with run("other", CLAIM_IDLE_SECONDS="0.1"):
        await until(lambda: is_all_stored(pool, bus, 30))


async def test_streams_that_begin_later_are_found_and_shared(run: Run, bus: Redis, pool: Pool):
    async with run("one"), run("two"):
        for number, name in enumerate([streams.CLICKS, *NAMES], 1):
            await publish(bus, [click() for _ in range(10)], stream=name)
            await until(lambda: is_all_stored(pool, bus, 10 * number))  # noqa: B023 - awaited here

        async def are_shared() -> bool:
            found = [await bus.xinfo_consumers(each, streams.INGEST_GROUP) for each in NAMES]
            return all(len(consumers) == 2 for consumers in found)

        await until(are_shared)


async def test_dead_letters_of_every_stream_are_put_aside_and_sent_back(
    run: Run, bus: Redis, pool: Pool
):
    async with run():
        for name in NAMES:
            await publish(bus, [click(url_id=-1), click()], stream=name)

        async def are_put_aside() -> bool:
            return await bus.xlen(streams.CLICKS_DEAD) == 3 and not await left(bus)

        await until(are_put_aside)
        last = (await bus.xinfo_stream(streams.CLICKS_DEAD))["last-generated-id"]
        assert await replay(bus, 10, dry_run=False) == 3

        async def are_back() -> bool:
            found = await bus.xrange(streams.CLICKS_DEAD, min=b"(" + last)
            letters = cast("streams.Entries", found)
            return sorted(fields[b"stream"].decode() for _, fields in letters) == NAMES

        await until(are_back)  # no better than before
    assert await stored(pool) == (3, 3)


async def test_told_to_stop_it_finishes_the_batches_of_all_streams(
    run: Run, bus: Redis, pool: Pool
):
    async with run() as process:
        for name in NAMES:
            await publish(bus, [click() for _ in range(2000)], frames=100, stream=name)
        for name in NAMES:
            await until(partial(is_being_read, bus, name))
        await until(lambda: pool.fetchval("SELECT count(*) > 0 FROM events"))

        process.send_signal(signal.SIGTERM)

        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await left(bus) == 0
    async with run():
        await until(lambda: is_all_stored(pool, bus, 6000))


async def test_a_flood_of_garbage_on_one_stream_ends_the_process_with_an_error(
    run: Run, bus: Redis
):
    bad = NAMES[1]
    await publish(bus, [click() for _ in range(1000)], stream=bad)
    for _ in range(30):
        await add(bus, b"garbage", bad)

    async with run(BATCH_EVENTS="5000") as process:
        code = await asyncio.wait_for(process.wait(), 30)

    assert code not in {0, None}
    assert int(await bus.xlen(bad)) == 31, "the stream keeps everything"
