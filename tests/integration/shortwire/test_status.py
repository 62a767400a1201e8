"""What `shortwire status` makes of stores that are not the launcher's own."""

import asyncio

from shortwire import status
from tests.redis_cluster import LocalCluster


async def test_a_cluster_is_away_when_a_node_is(cluster: LocalCluster):
    assert await asyncio.to_thread(status._redis_answers, cluster.url)
    cluster.kill(2)
    try:
        assert not await asyncio.to_thread(status._redis_answers, cluster.url)
    finally:
        await cluster.revive(2)


async def test_one_redis_answers_or_does_not(cache_url: str):
    assert await asyncio.to_thread(status._redis_answers, cache_url)
    assert not await asyncio.to_thread(status._redis_answers, "redis://127.0.0.1:1")
