"""What every consumer group of the bus needs."""

from typing import cast

from redis.asyncio import Redis

from shared import streams

GONE_MS = 600_000  # a consumer silent for so long, with nothing pending, is gone

# One step, or the consumer could be given entries between the look and the removal, and
# XGROUP DELCONSUMER throws what is pending away.
_REMOVE = """
local removed = 0
for _, raw in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local info = {}
  for i = 1, #raw, 2 do info[raw[i]] = raw[i + 1] end
  if info.pending == 0 and info.idle > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info.name)
    removed = removed + 1
  end
end
return removed
"""


async def read(
    bus: Redis,
    stream: str,
    group: str,
    consumer: str,
    after: bytes | str,
    *,
    count: int,
    block: int | None,
) -> streams.Entries:
    """Return entries of `stream` for a consumer of `group`, waiting up to `block` ms for one."""
    reply = cast(
        "list[tuple[bytes, streams.Entries]]",
        await bus.xreadgroup(group, consumer, {stream: after}, count=count, block=block),
    )
    return reply[0][1] if reply else []


async def remove_gone(bus: Redis, stream: str, group: str) -> None:
    """Remove consumers that have been silent for so long and hold nothing."""
    await bus.eval(_REMOVE, 1, stream, group, str(GONE_MS))
