"""Keeps streams and table in order: trims, removes consumers, makes partitions, measures."""

import asyncio
import logging
import time
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from event_ingest import click_repository, metrics
from event_ingest.consumer_group import order
from shared import consumer_groups, streams
from shared.errors import OPERATIONAL_ERRORS, REDIS_ERRORS
from shared.postgres import Pool

log = logging.getLogger(__name__)

KEEP_SECONDS = 5.0
TURN_KEY = "ingest:keeper"
TURN_MS = 4_000  # below KEEP_SECONDS: whoever comes first in a round has the turn
TAIL_SECONDS = 60.0  # acknowledged entries are kept so long for who joins late
PARTITIONS_SECONDS = 3600.0
PARTITIONS_RETRY_SECONDS = 5.0

MEASURED_ENTRIES = 1_000  # Redis 6.2 tells no lag: count up to so many; enough to raise an alarm
# In the server, some at a time: an entry may hold a quarter of a megabyte.
COUNT_UNREAD = """
local after, count = ARGV[1], 0
repeat
  local entries = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', 20)
  count = count + #entries
  if #entries > 0 then after = entries[#entries][1] end
until #entries < 20 or count >= tonumber(ARGV[2])
return count
"""


async def keep_stream(bus: Redis, stream: str) -> None:
    """Every few seconds, one consumer at a time: measure, trim, remove consumers that are gone."""
    while True:
        await asyncio.sleep(KEEP_SECONDS)
        try:
            await measure(bus, stream)
            if await has_turn(bus, stream):
                await trim(bus, stream)
                await consumer_groups.remove_gone(bus, stream, streams.INGEST_GROUP)
        except REDIS_ERRORS as error:
            log.warning("keeper.retry", extra={"stream": stream, "error": error})


async def has_turn(bus: Redis, stream: str) -> bool:
    """Tell whether it is this process that keeps the stream now.

    A full bus takes no turns: then each does, or nobody would trim, and it would stay full.
    """
    try:
        return bool(await bus.set(f"{TURN_KEY}:{stream}", 1, nx=True, px=TURN_MS))
    except OutOfMemoryError:
        return True


async def keep_partitions(pool: Pool) -> None:
    """Every hour, make the partitions of the week to come and drop visitors of days gone by."""
    while True:
        try:
            await click_repository.keep_partitions(pool)
            metrics.PARTITIONS_AT.set_to_current_time()
        except OPERATIONAL_ERRORS as error:
            log.warning("keeper.partitions_retry", extra={"error": error})
            await asyncio.sleep(PARTITIONS_RETRY_SECONDS)
        else:
            await asyncio.sleep(PARTITIONS_SECONDS)


async def trim(bus: Redis, stream: str) -> int:
    """Remove what every group has acknowledged, but for the tail; return how many entries."""
    tail = int((time.time() - TAIL_SECONDS) * 1000)
    groups = await bus.xinfo_groups(stream)
    needed = [order(await _first_needed(bus, stream, group)) for group in groups]
    milliseconds, sequence = min([(tail, 0), *needed])
    return int(await bus.xtrim(stream, minid=f"{milliseconds}-{sequence}", approximate=True))


async def measure(bus: Redis, stream: str) -> None:
    """Export what lies on a stream, how far behind our group is, and how many dead letters wait."""
    metrics.STREAM_ENTRIES.labels(stream).set(await bus.xlen(stream))
    for group in await bus.xinfo_groups(stream):
        if group["name"] == streams.INGEST_GROUP.encode():
            await _measure_group(bus, stream, group)
    metrics.DEAD_WAITING.set(await bus.xlen(streams.CLICKS_DEAD))


async def _measure_group(bus: Redis, stream: str, group: dict[str, Any]) -> None:
    last = group["last-delivered-id"]
    lag = group.get("lag")
    unread = cast("streams.Entries", await bus.xrange(stream, min=b"(" + last, count=1))
    if lag is None:
        lag = await bus.eval(COUNT_UNREAD, 1, stream, last, str(MEASURED_ENTRIES))
    metrics.WAITING.labels(stream).set(lag)
    metrics.OLDEST_WAITING_SECONDS.labels(stream).set(_age(unread[0][0]) if unread else 0.0)
    metrics.PENDING.labels(stream).set(group["pending"])
    oldest = await _first_needed(bus, stream, group) if group["pending"] else None
    metrics.OLDEST_PENDING_SECONDS.labels(stream).set(_age(oldest) if oldest else 0.0)
    metrics.CONSUMERS.labels(stream).set(group["consumers"])


def _age(entry_id: bytes) -> float:
    """Return how many seconds ago an entry was added."""
    return max(0.0, time.time() - order(entry_id)[0] / 1000)


async def _first_needed(bus: Redis, stream: str, group: dict[str, Any]) -> bytes:
    """Return the id below which this group needs nothing any more."""
    if group["pending"]:
        summary = await bus.xpending(stream, group["name"])
        if summary["min"] is not None:
            return cast("bytes", summary["min"])
    return cast("bytes", group["last-delivered-id"])
