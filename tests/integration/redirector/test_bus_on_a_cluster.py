"""What a redirector promises, with a Redis Cluster as its bus; and with a node of it away."""

import asyncio
from functools import partial

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from redirector import click_sender
from shared import link_cache, streams
from shared.errors import REDIS_ERRORS
from tests.integration.redirector.conftest import Links, Start, clicks_on
from tests.integration.redirector.test_follow import (
    test_visits_to_unknown_codes_are_counted_and_no_clicks,
)
from tests.integration.redirector.test_freshness import (
    is_near,
    target,
    test_a_change_reaches_a_worker_that_remembers_the_link,
    test_a_created_code_answers_although_it_was_asked_for_before,
    test_a_worker_that_hears_no_heartbeat_checks_the_shared_cache,
    test_an_unreadable_message_makes_the_worker_trust_nothing,
)
from tests.integration.redirector.test_options import (
    test_of_many_visitors_at_once_only_so_many_pass,
)
from tests.redis_cluster import NODES, LocalCluster
from tests.waiting import eventually

__all__ = [
    "test_a_change_reaches_a_worker_that_remembers_the_link",
    "test_a_created_code_answers_although_it_was_asked_for_before",
    "test_a_worker_that_hears_no_heartbeat_checks_the_shared_cache",
    "test_an_unreadable_message_makes_the_worker_trust_nothing",
    "test_of_many_visitors_at_once_only_so_many_pass",
    "test_visits_to_unknown_codes_are_counted_and_no_clicks",
]

OLD = "https://example.com/old"
NEW = "https://example.com/new"
NAMES = streams.click_streams(4)


@pytest.fixture
async def bus_url(bus_cluster: LocalCluster) -> str:
    """The bus of every test here, empty."""
    return bus_cluster.url


async def has_clicks(bus: Redis, count: int, names: list[str] = NAMES) -> bool:
    try:
        return len({click.id for click in await clicks_on(bus, *names)}) >= count
    except REDIS_ERRORS:  # a connection to a node that was killed
        return False


async def is_there(bus: Redis, name: str) -> bool:
    try:
        return bool(await bus.exists(name))
    except REDIS_ERRORS:
        return False


async def test_clicks_are_on_all_nodes(
    start: Start, links: Links, bus: Redis, bus_cluster: LocalCluster
):
    await links.put("abc123", OLD)
    async with start(click_streams=4) as redirector:
        for number in range(1, 5):
            await redirector.ask("/abc123")
            await eventually(partial(has_clicks, bus, number))

    assert [await bus.xlen(name) for name in NAMES] == [1, 1, 1, 1]
    assert {bus_cluster.owner_of(name) for name in NAMES} == set(range(NODES))


async def test_while_a_node_is_away_clicks_go_to_the_others(
    start: Start, links: Links, bus: Redis, bus_cluster: LocalCluster
):
    away = bus_cluster.owner_of(NAMES[0])
    there = [name for name in NAMES if bus_cluster.owner_of(name) != away]
    await links.put("abc123", OLD)
    async with start(click_streams=4) as redirector:
        await redirector.ask("/abc123")
        await eventually(partial(has_clicks, bus, 1))
        bus_cluster.kill(away)
        try:
            for _ in range(10):
                assert (await redirector.ask("/abc123")).status == 302
                await asyncio.sleep(0.05)
            await eventually(partial(has_clicks, bus, 10, there))
        finally:
            await bus_cluster.revive(away)
        await eventually(partial(has_clicks, bus, 11))


async def test_what_a_node_may_have_forgotten_is_sent_again(
    start: Start, links: Links, bus: Redis, bus_cluster: LocalCluster
):
    await links.put("abc123", OLD)
    async with start(click_streams=4) as redirector:
        for number in range(1, 5):
            await redirector.ask("/abc123")
            await eventually(partial(has_clicks, bus, number))
        await asyncio.sleep(click_sender.RESEND_SECONDS / 4)  # run ids are noted each second
        lost = bus_cluster.owner_of(NAMES[3])
        async with bus_cluster.node(lost) as node:
            await node.flushall()  # a power cut takes the last second of the log: here all of it
        assert not await has_clicks(bus, 4)
        bus_cluster.kill(lost)
        await bus_cluster.revive(lost)

        await eventually(partial(has_clicks, bus, 4))


async def test_a_worker_starts_afresh_where_another_node_takes_over_without_what_was_announced(
    start: Start, links: Links, bus: Redis, bus_cluster: LocalCluster
):
    slot, holder = key_slot(streams.LINKS.encode()), bus_cluster.owner_of(streams.LINKS)
    other = (holder + 1) % NODES
    await links.put("abc123", OLD)
    async with start() as redirector:
        async with links.beating():
            await eventually(lambda: is_near(redirector, links))
        record = await links.put("abc123", NEW)
        await link_cache.apply(links.cache, 1, "abc123", record)  # the announcement is lost
        await bus.delete(streams.LINKS)
        await bus_cluster.move(slot, holder, other)
        try:
            async with links.beating(), asyncio.timeout(2.5):  # before silence would be noticed
                while await target(redirector) != NEW:
                    await asyncio.sleep(0.02)
        finally:
            await bus.delete(streams.LINKS)
            await bus_cluster.move(slot, other, holder)
            await bus_cluster.whole()


async def test_a_worker_starts_afresh_where_the_node_of_changes_comes_back_without_the_last(
    start: Start, links: Links, bus: Redis, bus_cluster: LocalCluster
):
    holder = bus_cluster.owner_of(streams.LINKS)
    await links.put("abc123", OLD)
    async with start() as redirector:
        async with links.beating():
            await eventually(lambda: is_near(redirector, links))
        record = await links.put("abc123", NEW)
        await link_cache.apply(links.cache, 1, "abc123", record)  # the announcement is lost
        bus_cluster.kill(holder)
        await bus_cluster.revive(holder)
        await eventually(partial(is_there, bus, streams.LINKS))

        async with links.beating(), asyncio.timeout(10):
            while await target(redirector) != NEW:
                await asyncio.sleep(0.02)
