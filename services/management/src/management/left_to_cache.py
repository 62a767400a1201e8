"""Changes that are announced and that the cache, or a node of it, has yet to take."""

import asyncio
import logging
import time
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from redis.asyncio import Redis

from management import announcer, metrics
from management.outbox_repository import OutboxRow
from shared import link_cache
from shared.errors import REDIS_ERRORS
from shared.events import LinkChanged

log = logging.getLogger(__name__)

APPLY_SECONDS = 0.1  # for one change: announcements wait for it
AWAY_SECONDS = 1.0  # for so long what failed is not asked again
TURN_ROWS = 100  # tried again at once; well within the time in which the lead is lost


class LeftToCache:
    """Which rows of the outbox these are, and how to try them again.

    Their number is bounded by nothing but the changes made while a cache is away; each is some
    100 bytes here.
    """

    def __init__(self, cache: Redis) -> None:
        self._cache = cache
        self._committed_at: dict[int, float] = {}  # by row; the next to be tried come first
        self._ask_again_at: WeakKeyDictionary[Redis, float] = WeakKeyDictionary()

    @property
    def ids(self) -> Sequence[int]:
        """The rows."""
        return list(self._committed_at)

    def oldest(self) -> list[float]:
        """Return the earliest commit's Unix time, or nothing."""
        return [min(self._committed_at.values())] if self._committed_at else []

    def add(self, row: OutboxRow) -> None:
        """Leave a row to the cache."""
        self._committed_at[row.id] = row.change.committed_at

    def take_turn(self) -> Sequence[int]:
        """Return the rows whose turn it is; they come last from now on.

        One after the other, so that a node that is back gets its rows while another is away.
        """
        turn = self.ids[:TURN_ROWS]
        for row_id in turn:
            self._committed_at[row_id] = self._committed_at.pop(row_id)
        return turn

    def remove(self, ids: Sequence[int]) -> None:
        """Forget rows."""
        for row_id in ids:
            del self._committed_at[row_id]

    async def try_apply(self, change: LinkChanged) -> bool:
        """Tell whether the cache took a change; nothing is asked that was away a moment ago."""
        part = link_cache.part_of(self._cache, change.domain, change.code)
        if time.monotonic() < self._ask_again_at.get(part, 0.0):
            return False
        try:
            async with asyncio.timeout(APPLY_SECONDS):
                await announcer.apply(self._cache, change)
        except REDIS_ERRORS as error:
            self._ask_again_at[part] = time.monotonic() + AWAY_SECONDS
            metrics.RELAY_FAILURES.inc()
            log.warning("relay.cache_away", extra={"error": error})
            return False
        return True
