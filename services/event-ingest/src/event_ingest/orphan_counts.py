"""Brings the counts of visits to codes without a link from the bus into PostgreSQL."""

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta
from typing import cast

from redis.asyncio import Redis

from event_ingest import click_repository
from shared import streams
from shared.errors import OPERATIONAL_ERRORS, REDIS_ERRORS
from shared.events import DEFAULT_DOMAIN
from shared.postgres import Pool

log = logging.getLogger(__name__)

READ_SECONDS = 5.0
TURN_KEY = "ingest:orphans"
TURN_MS = 4_000  # below READ_SECONDS: whoever comes first in a round has the turn


class OrphanCounts:
    """Copies the counts as they stand, not what was added: copying them twice adds nothing."""

    def __init__(self, bus: Redis, pool: Pool) -> None:
        self._bus = bus
        self._pool = pool
        self._stored: dict[date, dict[str, int]] = {}

    async def run(self) -> None:
        """Copy every few seconds, one process at a time."""
        while True:
            await asyncio.sleep(READ_SECONDS)
            try:
                if await self._bus.set(TURN_KEY, 1, nx=True, px=TURN_MS):
                    await self.copy()
            except (*REDIS_ERRORS, *OPERATIONAL_ERRORS) as error:
                log.warning("orphans.retry", extra={"error": error})

    async def copy(self) -> None:
        """Store what changed of today's and yesterday's counts, and forget what is too old."""
        today = datetime.now(UTC).date()
        days = [today - timedelta(days=1), today]
        if today not in self._stored:
            await click_repository.forget_old_orphans(self._pool)
        self._stored = {day: self._stored.get(day, {}) for day in days}
        for day in days:
            key = streams.orphans_key(DEFAULT_DOMAIN, day)
            found = cast("dict[bytes, bytes]", await self._bus.hgetall(key))
            counts = {code.decode(): int(visits) for code, visits in found.items()}
            stored = self._stored[day]
            changed = {code: n for code, n in counts.items() if stored.get(code) != n}
            if changed:
                await click_repository.note_orphans(self._pool, day, changed)
                self._stored[day] = counts
