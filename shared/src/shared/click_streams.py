"""Which streams of clicks there are on the bus.

Who reads them is not told how many, but looks: so none is forgotten while CLICK_STREAMS changes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator

from redis.asyncio import Redis

from shared import streams
from shared.errors import REDIS_ERRORS
from shared.tasks import sleep_unless

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

NAMES = [streams.CLICKS, *streams.click_streams(streams.MAX_CLICK_STREAMS)]


async def found(bus: Redis) -> list[str]:
    """Return the streams of clicks that there are; raises Redis's errors."""
    async with bus.pipeline(transaction=False) as pipeline:
        for name in NAMES:
            pipeline.exists(name)
        there = await pipeline.execute()
    return [name for name, is_there in zip(NAMES, there, strict=True) if is_there]


async def as_found(bus: Redis, stop: asyncio.Event) -> AsyncIterator[str]:
    """Yield each stream of clicks once, new ones soon after they begin, until `stop` is set.

    `clicks` comes at once, whether it is there or not; the bus may come and go.
    """
    seen = {streams.CLICKS}
    yield streams.CLICKS
    while not stop.is_set():
        try:
            names = await found(bus)
        except REDIS_ERRORS as error:
            log.warning("click_streams.retry", extra={"error": repr(error)})
            names = []
        for name in names:
            if name not in seen:
                seen.add(name)
                log.info("click_streams.found", extra={"stream": name})
                yield name
        await sleep_unless(stop, LOOK_SECONDS)
