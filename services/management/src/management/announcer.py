"""Tell caches and redirectors of committed changes: the cache first, then the announcement."""

import asyncio
import logging
from collections.abc import Sequence

from redis.asyncio import Redis

from management import metrics
from shared import link_cache, streams
from shared.checkpoints import checkpoint
from shared.errors import REDIS_ERRORS
from shared.events import LinkChanged, encoder

log = logging.getLogger(__name__)

REQUEST_SECONDS = 0.1  # what a request gives to announcing its own change
REQUEST_CHANGES = 100  # of one request; the relay announces the others


async def apply(cache: Redis, change: LinkChanged) -> None:
    """Put a change into the shared cache; repeating it is harmless."""
    with checkpoint("cache_set"):
        await link_cache.apply(cache, change.domain, change.code, change.record)


async def announce(bus: Redis, change: LinkChanged) -> None:
    """Add a change to the stream `links`; repeating it is harmless."""
    with checkpoint("announce"):
        await bus.xadd(
            streams.LINKS,
            {streams.LINKS_MESSAGE: encoder.encode(change)},
            maxlen=streams.LINKS_MAXLEN,
            approximate=True,
        )


async def try_at_once(cache: Redis, bus: Redis, changes: Sequence[LinkChanged]) -> None:
    """Apply and announce within `REQUEST_SECONDS`, or leave it to the relay."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            for change in changes[:REQUEST_CHANGES]:
                await apply(cache, change)
                await announce(bus, change)
    except REDIS_ERRORS as error:
        metrics.LEFT_TO_RELAY.inc()
        log.info("announce.left_to_relay", extra={"error": error})
