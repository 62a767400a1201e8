"""How far event-ingest is with the stream of clicks."""

import asyncio

from redis.asyncio import Redis

from shared import redis_client, streams

STORED_SECONDS = 240.0
POLL_SECONDS = 0.02
SEND_SECONDS = 0.3  # until a redirector's last clicks are in the stream, at the latest


async def is_acknowledged(bus: Redis) -> bool:
    """Tell whether nothing of the stream is left; an entry is acknowledged after its commit."""
    groups = await bus.xinfo_groups(streams.CLICKS)
    stream = await bus.xinfo_stream(streams.CLICKS)
    [group] = [each for each in groups if each["name"] == streams.INGEST_GROUP.encode()]
    is_read = group["last-delivered-id"] == stream["last-generated-id"]
    return bool(is_read and group["pending"] == 0)


async def wait_until_acknowledged(bus: Redis) -> None:
    """Return once nothing of the stream is left."""
    async with asyncio.timeout(STORED_SECONDS):
        while not await is_acknowledged(bus):
            await asyncio.sleep(POLL_SECONDS)


async def wait_until_stored(url: str) -> None:
    """Return once the clicks that redirectors have answered are rows."""
    await asyncio.sleep(SEND_SECONDS)
    async with redis_client.connect(url, name="bench", max_connections=1, timeout=10.0) as bus:
        await wait_until_acknowledged(bus)
