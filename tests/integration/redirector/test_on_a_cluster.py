"""What a redirector promises, with a Redis Cluster as its cache; and with a node of it away."""

import time
from collections.abc import Sequence
from functools import partial

import pytest
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from redirector import cache_sampler, metrics, resolver
from redirector.breaker import FAILURES_IN_A_ROW
from redirector.cache_sampler import CacheSampler
from shared import link_cache, pool_metrics
from tests.integration.redirector.conftest import Links, Redirector, Start
from tests.integration.redirector.test_freshness import (
    test_a_change_reaches_a_worker_that_remembers_the_link,
    test_a_change_replaces_a_cached_entry_in_place_and_never_by_an_older,
    test_a_created_code_answers_although_it_was_asked_for_before,
    test_a_scripts_loss_is_noticed_and_mended,
    test_a_slow_reader_never_puts_an_old_row_over_a_newer_one,
    test_a_worker_that_hears_no_heartbeat_checks_the_shared_cache,
    test_cached_links_redirect_without_postgresql,
    test_only_one_reader_of_a_code_fills,
)
from tests.integration.redirector.test_options import locked, test_who_guesses_has_to_wait
from tests.redis_cluster import NODES, LocalCluster
from tests.waiting import eventually

__all__ = [
    "locked",
    "test_a_change_reaches_a_worker_that_remembers_the_link",
    "test_a_change_replaces_a_cached_entry_in_place_and_never_by_an_older",
    "test_a_created_code_answers_although_it_was_asked_for_before",
    "test_a_scripts_loss_is_noticed_and_mended",
    "test_a_slow_reader_never_puts_an_old_row_over_a_newer_one",
    "test_a_worker_that_hears_no_heartbeat_checks_the_shared_cache",
    "test_cached_links_redirect_without_postgresql",
    "test_only_one_reader_of_a_code_fills",
    "test_who_guesses_has_to_wait",
]

CODES = [f"code{number}" for number in range(60)]
OLD = "https://example.com/old"
NEW = "https://example.com/new"


@pytest.fixture
async def cache_url(cluster: LocalCluster) -> str:
    """The cache of every test here, empty."""
    return cluster.url


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that on a busy machine only the node that is away is slow."""
    monkeypatch.setattr(resolver, "CACHE_TIMEOUT_SECONDS", 0.3)


@pytest.mark.usefixtures("patient")
async def test_with_a_node_away_its_links_come_from_postgresql_and_the_others_as_ever(
    start: Start, links: Links, cluster: LocalCluster
):
    lost = [code for code in CODES if owner(cluster, code) == 1]
    for code in CODES:
        await links.put(code, OLD)
    async with start(near_cache_links=1) as redirector, links.beating():
        assert await answers(redirector) == [OLD] * len(CODES)
        before = [hits("cache"), hits("database")]
        cluster.kill(1)
        try:
            assert await answers(redirector) == [OLD] * len(CODES)
            assert hits("cache") - before[0] == len(CODES) - len(lost)
            assert hits("database") - before[1] == len(lost)

            for code in lost:
                await links.announce(code, await links.put(code, NEW))
            kept = [await links.change(code, NEW) for code in CODES if code not in lost]
            assert len(kept) + len(lost) == len(CODES)
            assert await answers(redirector) == [NEW] * len(CODES)
            assert sample(metrics.BREAKER, dependency="cache") > 0
        finally:
            await cluster.revive(1)

        await eventually(partial(all_are_cached, redirector, links))
        assert await answers(redirector) == [NEW] * len(CODES)


def owner(cluster: LocalCluster, code: str) -> int:
    return cluster.owner_of(link_cache._entry_key(1, code))


async def answers(redirector: Redirector) -> Sequence[str]:
    return [(await redirector.ask(f"/{code}")).headers["location"] for code in CODES]


def hits(tier: str) -> float:
    return sample(metrics.LOOKUPS, tier=tier, result="hit")


def sample(metric: Counter | Gauge, **labels: str) -> float:
    samples = [sample for family in metric.collect() for sample in family.samples]
    return next(sample.value for sample in samples if sample.labels == labels)


async def all_are_cached(redirector: Redirector, links: Links) -> bool:
    await answers(redirector)
    return all([await link_cache.get(links.cache, 1, code) for code in CODES])


@pytest.mark.usefixtures("patient")
async def test_a_silent_node_costs_little_until_it_is_not_asked_and_then_nothing(
    start: Start, links: Links, cluster: LocalCluster
):
    lost = [code for code in CODES if owner(cluster, code) == 1]
    for code in CODES:
        await links.put(code, OLD)
    async with start(near_cache_links=1) as redirector, links.beating():
        assert await answers(redirector) == [OLD] * len(CODES)
        cluster.stop_answering(1)
        try:
            before = [hits("cache"), hits("database")]
            took = {code: await timed(redirector, code) for code in CODES}

            assert hits("cache") - before[0] == len(CODES) - len(lost)
            assert hits("database") - before[1] == len(lost)
            slow = [
                code for code, second in took.items() if second > resolver.CACHE_TIMEOUT_SECONDS
            ]
            assert len(set(slow) & set(lost)) <= FAILURES_IN_A_ROW < len(lost)
        finally:
            await cluster.answer_again(1)

        await eventually(partial(all_are_cached, redirector, links))


async def timed(redirector: Redirector, code: str) -> float:
    began = time.monotonic()
    assert (await redirector.ask(f"/{code}")).headers["location"] == OLD
    return time.monotonic() - began


async def test_a_redirector_starts_while_a_node_is_away(
    start: Start, links: Links, cluster: LocalCluster
):
    for code in CODES:
        await links.put(code, OLD)
    cluster.kill(0)
    try:
        async with start() as redirector:
            assert await answers(redirector) == [OLD] * len(CODES)
            assert (await redirector.ask("/health/ready")).status == 200
    finally:
        await cluster.revive(0)


async def test_the_sampler_looks_at_every_node(
    links: Links, monkeypatch: pytest.MonkeyPatch, cluster: LocalCluster
):
    monkeypatch.setattr(cache_sampler, "ON_ITS_WAY_SECONDS", 0.01)
    wrong = [next(code for code in CODES if owner(cluster, code) == n) for n in range(NODES)]
    for code in wrong:
        record = await links.put(code, OLD)
        token = await link_cache.take_lease(links.cache, 1, code)
        assert token is not None
        await link_cache.fill(links.cache, 1, code, token, record)
        await links.put(code, NEW)
    sampler = CacheSampler(links.cache, links.pool)

    async def are_gone() -> bool:
        await sampler.sample()
        return not any([await link_cache.get(links.cache, 1, code) for code in wrong])

    await eventually(are_gone)


async def test_connections_to_all_nodes_are_counted(cache: Redis, cluster: LocalCluster):
    pool_metrics.watch_redis("cache", cache)
    for number in range(NODES):
        await cache.get(cluster.key_of(number))

    assert sample(pool_metrics.CONNECTIONS, pool="cache", state="idle") == NODES
