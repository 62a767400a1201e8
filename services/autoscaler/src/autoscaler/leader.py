"""One autoscaler acts, however many run: who holds the lease on the bus."""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable

from redis.asyncio import Redis

from shared.errors import REDIS_ERRORS

log = logging.getLogger(__name__)

KEY = "autoscaler:leader"
LEASE_SECONDS = 15.0  # so long nobody acts after the one that did was killed

# KEYS: the lease. ARGV: who asks, milliseconds. Returns 1 where that one holds it now.
TAKE_OR_KEEP = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """Held for LEASE_SECONDS after each renewal; without the bus nobody holds it for long."""

    def __init__(self, bus: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._held_until = -math.inf

    @property
    def is_held(self) -> bool:
        """Tell whether it is ours at this moment."""
        return self._clock() < self._held_until

    async def keep(self) -> None:
        """Renew it for ever, also while a change takes its time."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            await self.renew()

    async def renew(self) -> None:
        """Take the lease where it is free, keep it where it is ours."""
        asked_at = self._clock()  # the lease is never longer here than in Redis
        milliseconds = str(int(LEASE_SECONDS * 1000))
        try:
            taken = await self._bus.eval(TAKE_OR_KEEP, 1, KEY, self._name, milliseconds)
        except REDIS_ERRORS as error:
            log.warning("leader.bus_away", extra={"error": error})
            return
        self._held_until = asked_at + LEASE_SECONDS if taken else -math.inf

    async def give_back(self) -> None:
        """Let another one take it at once."""
        self._held_until = -math.inf
        try:
            await self._bus.eval(GIVE_BACK, 1, KEY, self._name)
        except REDIS_ERRORS as error:
            log.warning("leader.bus_away", extra={"error": error})
