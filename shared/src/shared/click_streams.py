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

LOOK_SECONDS = 2.0

NAMES = [streams.CLICKS, *streams.click_streams(streams.MAX_CLICK_STREAMS)]


async def found(bus: Redis) -> list[str]:
    """Return the streams of clicks that there are; raises Redis's errors."""
    return [name for name in NAMES if await bus.exists(name)]


async def as_found(bus: Redis, stop: asyncio.Event) -> AsyncIterator[str]:
    """Yield each stream of clicks once, new ones soon after they begin, until `stop` is set.

    `clicks` comes at once, whether it is there or not; the bus may come and go.
    """
    unseen = NAMES[1:]
    yield streams.CLICKS
    while not stop.is_set():
        for name in await _look(bus, unseen, stop):
            unseen = [each for each in unseen if each != name]
            log.info("click_streams.found", extra={"stream": name})
            yield name
        await sleep_unless(stop, LOOK_SECONDS)


async def _look(bus: Redis, names: list[str], stop: asyncio.Event) -> list[str]:
    """Return which of these there are; of a cluster's nodes one may be away.

    A bus that says nothing takes a time-out for each name: `stop` does not wait for all of them.
    """
    there = []
    failure: Exception | None = None
    for name in names:
        if stop.is_set():
            break
        try:
            if await bus.exists(name):
                there.append(name)
        except REDIS_ERRORS as error:
            failure = error
    if failure is not None:
        log.warning("click_streams.retry", extra={"error": repr(failure)})
    return there
