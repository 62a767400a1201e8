"""Management with a Redis Cluster as its cache: limits, and the entries it corrects."""

import pytest
from redis.asyncio import Redis

from management.rate_limits import RateLimits
from shared import link_cache
from shared.events import LinkRecord
from tests.integration.management.conftest import Api
from tests.integration.management.test_rate_limits import (
    HOURLY,
    test_a_bucket_fills_again,
    test_a_bucket_holds_its_capacity_and_tells_when_there_is_more,
    test_an_address_has_a_limit_also_without_keys,
    test_many_at_once_take_no_more_than_there_is,
)
from tests.redis_cluster import NODES, LocalCluster

__all__ = [
    "test_a_bucket_fills_again",
    "test_a_bucket_holds_its_capacity_and_tells_when_there_is_more",
    "test_an_address_has_a_limit_also_without_keys",
    "test_many_at_once_take_no_more_than_there_is",
]


@pytest.fixture
async def cache_url(cluster: LocalCluster) -> str:
    """The cache of every test here, empty."""
    return cluster.url


async def test_a_change_is_in_the_cache_once_it_is_acknowledged(
    api: Api, cache: Redis, cluster: LocalCluster
):
    user = await api.user()
    codes = [one_of(cluster, number) for number in range(NODES)]
    urls = [await api.url(user, short_code=code) for code in codes]
    for code in codes:
        token = await link_cache.take_lease(cache, 1, code)
        assert token is not None
        record = LinkRecord(version=1, state="active", cached_at=0.0, target="https://example.com/")
        assert await link_cache.fill(cache, 1, code, token, record)

    for url in urls:
        await api.put(f"/urls/{url['id']}", {"original_url": "https://example.org/new"})

    for code in codes:
        cached = await link_cache.get(cache, 1, code)
        assert cached is not None
        assert cached.target == "https://example.org/new"


def one_of(cluster: LocalCluster, node: int) -> str:
    codes = (f"code{number}" for number in range(100))
    return next(c for c in codes if cluster.owner_of(link_cache._entry_key(1, c)) == node)


async def test_with_a_node_away_the_limits_of_the_others_hold(cache: Redis, cluster: LocalCluster):
    limits = RateLimits(cache)
    there, lost = cluster.key_of(0), cluster.key_of(1)
    assert await limits.take(HOURLY, there) is not None
    cluster.kill(1)
    try:
        assert await limits.take(HOURLY, lost) is None, "unchecked"
        buckets = [await limits.take(HOURLY, there) for _ in range(3)]
    finally:
        await cluster.revive(1)

    assert [bucket is not None and bucket.is_taken for bucket in buckets] == [True, True, False]
