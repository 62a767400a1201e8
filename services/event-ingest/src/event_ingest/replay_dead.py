"""Send dead letters back to the streams: `shortwire replay-dead --help`."""

import argparse
import asyncio
import sys
from typing import cast

from redis.asyncio import Redis

from shared import redis_client, settings, streams
from shared.errors import REDIS_ERRORS

PAGE = 100
TIMEOUT_SECONDS = 5.0


class Settings(settings.Settings, frozen=True, kw_only=True):
    """Where the bus is."""

    bus_url: settings.RedisURL


async def replay(bus: Redis, limit: int, *, dry_run: bool) -> int:
    """Send up to `limit` dead letters back, oldest first; return how many were (or would be).

    Each goes to the stream it came from. A click that was stored meanwhile is recognised by its
    id. What cannot be decoded comes back as a dead letter, with a new id: it is sent once here.
    """
    end = await _last(bus)
    done = 0
    after = b"-"
    while done < limit and end is not None:
        page = cast(
            "streams.Entries",
            await bus.xrange(
                streams.CLICKS_DEAD, min=after, max=end, count=min(PAGE, limit - done)
            ),
        )
        if not page:
            break
        for letter_id, fields in page:
            if not dry_run:
                await _send_back(bus, letter_id, fields)
            done += 1
        after = b"(" + page[-1][0]
        sys.stderr.write(f"\r{done} dead letters {'found' if dry_run else 'sent back'}")
    sys.stderr.write("\n" if done else "No dead letters\n")
    return done


async def _send_back(bus: Redis, letter_id: bytes, fields: dict[bytes, bytes]) -> None:
    payload = fields[b"payload"]
    batch = payload if payload.startswith(b"[") else b"[%b]" % payload
    stream = fields.get(b"stream", streams.CLICKS)
    await bus.xadd(
        stream,
        {
            streams.CLICKS_SCHEMA: streams.CLICKS_SCHEMA_VERSION,
            streams.CLICKS_COUNT: 1,
            streams.CLICKS_BATCH: batch,
        },
    )
    await bus.xdel(streams.CLICKS_DEAD, letter_id)  # not before: killed here, it is sent again


async def _last(bus: Redis) -> bytes | None:
    entries = cast("streams.Entries", await bus.xrevrange(streams.CLICKS_DEAD, count=1))
    return entries[0][0] if entries else None


async def _main(arguments: argparse.Namespace) -> None:
    config = settings.load(Settings)
    async with redis_client.connect(
        config.bus_url, name="replay-dead", max_connections=1, timeout=TIMEOUT_SECONDS
    ) as bus:
        await replay(bus, arguments.limit, dry_run=arguments.dry_run)


def main() -> None:
    """Parse the command line and replay."""
    parser = argparse.ArgumentParser(
        prog="shortwire replay-dead",
        description="Send dead letters of `clicks.dead` back to their streams, oldest first. "
        "The bus is named by BUS_URL. Repeating it is harmless: a click is stored once.",
    )
    parser.add_argument("--dry-run", action="store_true", help="only count")
    parser.add_argument("--limit", type=int, default=10_000, help="at most so many (10000)")
    arguments = parser.parse_args()
    try:
        asyncio.run(_main(arguments))
    except REDIS_ERRORS as error:
        sys.exit(f"The bus did not do it: {error}")


if __name__ == "__main__":
    main()
