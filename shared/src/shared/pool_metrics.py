"""How full this process's connection pools are, and how long is waited for a connection."""

from collections.abc import Callable
from typing import Literal

from prometheus_client import Gauge
from redis.asyncio import Redis

from shared import redis_client
from shared.postgres import Pool

PoolName = Literal["postgres", "replicas", "cache", "bus", "links"]

CONNECTIONS = Gauge("shortwire_pool_connections", "Open connections.", ["pool", "state"])
MAX_CONNECTIONS = Gauge("shortwire_pool_max_connections", "The pool's limit.", ["pool"])


def watch_postgres(pool: Pool, name: PoolName = "postgres") -> None:
    """Export the state of `pool`."""
    _watch(
        name,
        limit=pool.get_max_size(),
        idle=pool.get_idle_size,
        busy=lambda: pool.get_size() - pool.get_idle_size(),
    )


def watch_redis(name: PoolName, client: Redis) -> None:
    """Export the state of the pool behind `client`; the limit is each node's of a cluster."""

    def count(state: Literal[0, 1]) -> int:
        pools = [node.connection_pool for node in redis_client.nodes(client)]
        return sum(pool.get_connection_count()[state][0] for pool in pools)

    _watch(
        name,
        limit=client.connection_pool.max_connections,
        idle=lambda: count(0),
        busy=lambda: count(1),
    )


def _watch(name: PoolName, *, limit: int, idle: Callable[[], int], busy: Callable[[], int]) -> None:
    MAX_CONNECTIONS.labels(name).set(limit)
    CONNECTIONS.labels(name, "idle").set_function(idle)
    CONNECTIONS.labels(name, "busy").set_function(busy)
