"""event-ingest with a Redis Cluster as its bus, nodes and processes of which are killed."""

import asyncio
import random
from datetime import UTC, datetime
from functools import partial

import pytest
from redis.asyncio import Redis

from autoscaler.signals import read_lag
from event_ingest import visitors
from event_ingest.replay_dead import replay
from shared import click_streams, streams
from shared.errors import REDIS_ERRORS
from shared.postgres import Pool
from tests.faults.test_ingest import Run, dsn, run, send_to_the_killed, until
from tests.integration.event_ingest.conftest import (
    add,
    click,
    consumers,
    ingest_pool,
    pending,
    publish,
    stored,
)
from tests.integration.event_ingest.test_consumer import (
    test_a_full_replay_of_the_stream_changes_nothing,
    test_a_silent_consumer_is_removed_only_with_nothing_pending,
    test_an_entry_that_ends_its_consumers_is_put_aside,
    test_dead_letters_of_any_stream_lie_together_and_go_back_to_their_own,
    test_lag_is_measured_of_each_stream,
    test_trimming_leaves_what_any_group_has_not_acknowledged,
    test_what_a_lost_consumer_holds_is_taken_over_and_stored_once,
)
from tests.integration.shared.test_click_streams import (
    test_a_stream_is_told_once_and_soon_after_it_begins,
    test_all_that_there_are_are_found_whatever_their_number_was,
)
from tests.redis_cluster import NODES, LocalCluster
from tests.waiting import eventually

__all__ = [  # fixtures, and what is to hold on a cluster as well
    "consumers",
    "dsn",
    "ingest_pool",
    "run",
    "test_a_full_replay_of_the_stream_changes_nothing",
    "test_a_silent_consumer_is_removed_only_with_nothing_pending",
    "test_a_stream_is_told_once_and_soon_after_it_begins",
    "test_all_that_there_are_are_found_whatever_their_number_was",
    "test_an_entry_that_ends_its_consumers_is_put_aside",
    "test_dead_letters_of_any_stream_lie_together_and_go_back_to_their_own",
    "test_lag_is_measured_of_each_stream",
    "test_trimming_leaves_what_any_group_has_not_acknowledged",
    "test_what_a_lost_consumer_holds_is_taken_over_and_stored_once",
]

NAMES = streams.click_streams(4)
CLICKS = 20  # of an entry


@pytest.fixture
async def bus_url(bus_cluster: LocalCluster) -> str:
    """The bus of every test here, empty."""
    return bus_cluster.url


async def is_all_stored(pool: Pool, bus: Redis, count: int) -> bool:
    try:
        left = [await pending(bus, name) for name in NAMES if await bus.exists(name)]
    except REDIS_ERRORS:  # a connection to a node that was killed
        return False
    return await stored(pool) == (count, count) and not any(left)


async def send(bus: Redis, chance: random.Random) -> int:
    """Send clicks as redirectors do: until acknowledged, to one stream or another."""
    clicks = [click() for _ in range(CLICKS)]
    while True:
        try:
            async with asyncio.timeout(0.5):
                await publish(bus, clicks, stream=chance.choice(NAMES))
        except REDIS_ERRORS:
            await asyncio.sleep(0.05)
        else:
            return len(clicks)


async def test_nodes_and_consumers_are_killed_in_turn_and_each_click_is_stored_once(
    run: Run, bus: Redis, pool: Pool, bus_cluster: LocalCluster
):
    async def kill_nodes() -> None:
        for number in range(NODES):
            await asyncio.sleep(1)
            bus_cluster.kill(number)
            await asyncio.sleep(1)
            await bus_cluster.revive(number)

    await send_to_the_killed(run, bus, pool, partial(send, bus), kill_nodes())


async def test_while_a_node_is_away_clicks_on_the_others_are_stored(
    run: Run, bus: Redis, pool: Pool, bus_cluster: LocalCluster
):
    key = visitors.key_name(datetime.now(UTC).date())  # without it nobody can begin to count
    away = next(n for n in range(NODES) if n != bus_cluster.owner_of(key))
    there = [name for name in NAMES if bus_cluster.owner_of(name) != away]
    async with run("before"):
        bus_cluster.kill(away)
        try:
            async with run("after"):
                await publish(bus, [click()], stream=there[0])
                await until(partial(is_stored, pool, 1))
                for name in there:
                    await publish(bus, [click() for _ in range(10)], frames=10, stream=name)
                await until(partial(is_stored, pool, 1 + 10 * len(there)))
        finally:
            await bus_cluster.revive(away)
        for name in NAMES:
            await eventually(partial(is_published, bus, name))
        await until(partial(is_all_stored, pool, bus, 1 + 10 * len(there) + len(NAMES)))


async def is_stored(pool: Pool, count: int) -> bool:
    return await stored(pool) == (count, count)


async def is_published(bus: Redis, name: str) -> bool:
    try:
        await publish(bus, [click()], stream=name)
    except REDIS_ERRORS:  # a connection to a node that was killed: nothing was sent
        return False
    return True


async def test_dead_letters_come_from_all_nodes_and_go_back(run: Run, bus: Redis, pool: Pool):
    for name in NAMES:
        await publish(bus, [click()], stream=name)
        await add(bus, b"garbage", name)
    async with run():

        async def are_put_aside() -> bool:
            return await bus.xlen(streams.CLICKS_DEAD) == 4

        await until(are_put_aside)
        await until(partial(is_all_stored, pool, bus, 4))

    assert await replay(bus, 10, dry_run=False) == 4

    assert await bus.xlen(streams.CLICKS_DEAD) == 0
    assert [await bus.xlen(name) for name in NAMES] == [3, 3, 3, 3]


async def test_lag_of_all_nodes_is_summed(bus: Redis):
    for name in NAMES:
        await bus.xgroup_create(name, streams.INGEST_GROUP, id="0", mkstream=True)
        await publish(bus, [click(), click()], frames=2, stream=name)

    lag = await read_lag(bus, 5.0)

    tells = "lag" in (await bus.xinfo_groups(NAMES[0]))[0]  # from Redis 7 on
    assert (lag and lag.entries) == (8 if tells else None)
    assert await click_streams.found(bus) == NAMES
