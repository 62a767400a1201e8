"""Counts visits to codes without a link: in memory first, then in the bus, bounded in both.

A miss costs an addition. Whoever tries codes in great numbers fills neither memory nor the bus:
beyond the limits visits are counted together. What a killed process had not sent is lost, at most
the visits of `SEND_SECONDS`.
"""

import asyncio
import logging
from datetime import UTC, datetime

from redis.asyncio import Redis

from redirector import metrics
from shared import streams
from shared.errors import REDIS_ERRORS

log = logging.getLogger(__name__)

SEND_SECONDS = 5.0
SEND_TIMEOUT_SECONDS = 0.5
MAX_CODES = 1_000  # in memory, of one worker
MAX_CODES_A_DAY = 10_000  # in the bus, of all of them
KEPT_SECONDS = 3 * 24 * 3600

# KEYS: the hash of the day. ARGV: the most codes it may hold, seconds to keep it, the name of
# the rest, then codes, each with its visits.
ADD = """
for i = 4, #ARGV, 2 do
  local code = ARGV[i]
  if redis.call('HEXISTS', KEYS[1], code) == 0
      and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[1]) then
    code = ARGV[3]
  end
  redis.call('HINCRBY', KEYS[1], code, ARGV[i + 1])
end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
"""


class OrphanCounts:
    """One worker's counts."""

    def __init__(self, bus: Redis, domain: int) -> None:
        self._bus = bus
        self._domain = domain
        self._visits: dict[str, int] = {}

    def count(self, code: str) -> None:
        """Count a visit; never waits and never fails."""
        metrics.ORPHANS.inc()
        self._add(code, 1)

    async def run(self) -> None:
        """Send the counts every few seconds; what could not be sent is kept."""
        while True:
            await asyncio.sleep(SEND_SECONDS)
            await self.send()

    async def send(self) -> None:
        """Send the counts; without an answer they may have been added, and are added again."""
        sent, self._visits = self._visits, {}
        if not sent:
            return
        key = streams.orphans_key(self._domain, datetime.now(UTC).date())
        limits = [str(MAX_CODES_A_DAY), str(KEPT_SECONDS), streams.ORPHANS_REST]
        pairs = [text for code, visits in sent.items() for text in (code, str(visits))]
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._bus.eval(ADD, 1, key, *limits, *pairs)
        except REDIS_ERRORS as error:
            self._take_back(sent)
            log.warning("orphans.retry", extra={"error": error})
        except asyncio.CancelledError:
            self._take_back(sent)
            raise

    def _take_back(self, sent: dict[str, int]) -> None:
        newer, self._visits = self._visits, sent
        for code, visits in newer.items():
            self._add(code, visits)

    def _add(self, code: str, visits: int) -> None:
        if code not in self._visits and len(self._visits) >= MAX_CODES:
            code = streams.ORPHANS_REST
        self._visits[code] = self._visits.get(code, 0) + visits
