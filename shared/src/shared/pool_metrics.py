"""How full this process's connection pools are, and how long is waited for a connection."""

from collections.abc import Callable
from typing import Literal

from prometheus_client import Gauge
from redis.asyncio import Redis

from shared.postgres import Pool

PoolName = Literal["postgres", "cache", "bus", "links"]

CONNECTIONS = Gauge("shortwire_pool_connections", "Open connections.", ["pool", "state"])
MAX_CONNECTIONS = Gauge("shortwire_pool_max_connections", "The pool's limit.", ["pool"])


def watch_postgres(pool: Pool) -> None:
    """Export the state of `pool`."""
    _watch(
        "postgres",
        limit=pool.get_max_size(),
        idle=pool.get_idle_size,
        busy=lambda: pool.get_size() - pool.get_idle_size(),
    )


def watch_redis(name: PoolName, client: Redis) -> None:
    """Export the state of the pool behind `client`."""
    pool = client.connection_pool
    _watch(
        name,
        limit=pool.max_connections,
        idle=lambda: pool.get_connection_count()[0][0],
        busy=lambda: pool.get_connection_count()[1][0],
    )


def _watch(name: PoolName, *, limit: int, idle: Callable[[], int], busy: Callable[[], int]) -> None:
    MAX_CONNECTIONS.labels(name).set(limit)
    CONNECTIONS.labels(name, "idle").set_function(idle)
    CONNECTIONS.labels(name, "busy").set_function(busy)
