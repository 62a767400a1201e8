"""Compares random entries of the shared cache with their rows, and counts what disagrees.

The measure of whether the protocol holds in production, after Meta's Polaris ("Cache made
consistent", Engineering at Meta, 2022): a disagreement counts only if it outlasts the time in
which a change may be on its way.
"""

import asyncio
import logging

from redis.asyncio import Redis

from redirector import link_repository, metrics
from shared import link_cache
from shared.errors import DATABASE_UNAVAILABLE, REDIS_ERRORS
from shared.postgres import Pool

log = logging.getLogger(__name__)

SAMPLE_SECONDS = 1.0
ON_ITS_WAY_SECONDS = 2.0  # the bound for a change whose writer was killed before announcing it


class CacheSampler:
    """One worker's sampler; an inconsistent entry is removed, so that it heals at its next use."""

    def __init__(self, cache: Redis, pool: Pool) -> None:
        self._cache = cache
        self._pool = pool

    async def run(self) -> None:
        """Take a sample every second until cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            try:
                await self.sample()
            except (*REDIS_ERRORS, *DATABASE_UNAVAILABLE) as error:
                log.info("sampler.skipped", extra={"error": error})

    async def sample(self) -> None:
        """Check one random entry."""
        key = await link_cache.random_link(self._cache)
        if key is None:
            return
        metrics.CACHE_SAMPLES.inc()
        if await self._disagrees(*key):
            await asyncio.sleep(ON_ITS_WAY_SECONDS)
            if await self._disagrees(*key):
                domain, code = key
                metrics.CACHE_INCONSISTENT.inc()
                log.error("cache.inconsistent", extra={"domain": domain, "code": code})
                await link_cache.remove(self._cache, domain, code)

    async def _disagrees(self, domain: int, code: str) -> bool:
        cached = await link_cache.get(self._cache, domain, code)
        if cached is None:
            return False
        row = await link_repository.find(self._pool, domain, code)
        # Of a code that was purged or taken from a link, the cache may keep that it is gone.
        is_gone = cached.state in {"deleted", "unknown"} and row.state == "unknown"
        return cached.version != row.version and not is_gone
