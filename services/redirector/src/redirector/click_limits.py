"""Counts the clicks of links that end after some number of them.

The count is in the bus, which keeps it over restarts. Where it is missing, it begins with what
PostgreSQL has counted; clicks that are on their way there then come on top of the limit.
"""

import asyncio

from redis.asyncio import Redis

from redirector import link_repository
from shared.errors import DATABASE_UNAVAILABLE, REDIS_ERRORS, Unavailable
from shared.postgres import Pool

KEPT_SECONDS = 7 * 24 * 3600  # after the last click; then PostgreSQL's count is whole
TIMEOUT_SECONDS = 0.5


class ClickLimits:
    """Takes clicks off the limits of links."""

    def __init__(self, bus: Redis, pool: Pool) -> None:
        self._bus = bus
        self._pool = pool

    async def take(self, url_id: int, limit: int) -> bool:
        """Count a click and return whether it is within `limit`.

        Raises `Unavailable` where nobody can count: a limit that was set is kept.
        """
        key = f"taken:{url_id}"
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                if not await self._bus.exists(key):
                    taken = await link_repository.count_clicks(self._pool, url_id)
                    await self._bus.set(key, taken, nx=True, ex=KEPT_SECONDS)
                async with self._bus.pipeline(transaction=True) as pipeline:
                    pipeline.incr(key)
                    pipeline.expire(key, KEPT_SECONDS)
                    number, _ = await pipeline.execute()
        except (*REDIS_ERRORS, *DATABASE_UNAVAILABLE) as error:
            raise Unavailable from error
        return bool(number <= limit)

    async def is_left(self, url_id: int, limit: int) -> bool:
        """Tell whether a click would be within `limit`, and count none."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                counted = await self._bus.get(f"taken:{url_id}")
                if counted is not None:
                    return int(counted) < limit
                return await link_repository.count_clicks(self._pool, url_id) < limit
        except (*REDIS_ERRORS, *DATABASE_UNAVAILABLE) as error:
            raise Unavailable from error
