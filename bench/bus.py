"""How far event-ingest is with the streams of clicks."""

import asyncio

from redis.asyncio import Redis

from shared import click_streams, redis_client, streams

STORED_SECONDS = 240.0
POLL_SECONDS = 0.02
SEND_SECONDS = 0.3  # until a redirector's last clicks are in the stream, at the latest


async def is_acknowledged(bus: Redis) -> bool:
    """Tell whether nothing of the streams is left; an entry is acknowledged after its commit."""
    found = await click_streams.found(bus)
    return bool(found) and all([await _is_acknowledged(bus, stream) for stream in found])


async def _is_acknowledged(bus: Redis, name: str) -> bool:
    last = (await bus.xinfo_stream(name))["last-generated-id"]
    return any(
        group["last-delivered-id"] == last and group["pending"] == 0
        for group in await bus.xinfo_groups(name)
        if group["name"] == streams.INGEST_GROUP.encode()
    )


async def wait_until_acknowledged(bus: Redis) -> None:
    """Return once nothing of the streams is left."""
    async with asyncio.timeout(STORED_SECONDS):
        while not await is_acknowledged(bus):
            await asyncio.sleep(POLL_SECONDS)


async def wait_until_stored(url: str) -> None:
    """Return once the clicks that redirectors have answered are rows."""
    await asyncio.sleep(SEND_SECONDS)
    async with redis_client.connect(url, name="bench", max_connections=1, timeout=10.0) as bus:
        await wait_until_acknowledged(bus)
