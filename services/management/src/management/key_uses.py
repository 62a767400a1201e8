"""When keys were last used: noted in memory, written beside the requests."""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime

from management import key_repository
from management.connections import connection
from shared.errors import OPERATIONAL_ERRORS
from shared.postgres import Pool

log = logging.getLogger(__name__)

WRITE_SECONDS = 5.0
MAX_NOTED = 10_000  # keys within WRITE_SECONDS; further ones are noted at their next use
LAST_WRITE_SECONDS = 0.4  # of a process that stops


class KeyUses:
    """Remembers uses until they are written; at most a minute's precision is kept in the table."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._used_at: dict[int, float] = {}  # Unix time, by the key's id

    def note(self, key_id: int) -> None:
        """Note that a key is used now; no I/O."""
        if key_id in self._used_at or len(self._used_at) < MAX_NOTED:
            self._used_at[key_id] = time.time()

    async def run(self) -> None:
        """Write what was noted, every few seconds, until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(WRITE_SECONDS)
                await self.write()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITE_SECONDS):
                    await self.write()

    async def write(self) -> None:
        """Write what was noted; while the database is away it is kept."""
        used_at, self._used_at = self._used_at, {}
        if not used_at:
            return
        moments = [datetime.fromtimestamp(moment, UTC) for moment in used_at.values()]
        try:
            async with connection(self._pool) as lent:
                await key_repository.note_uses(lent, list(used_at), moments)
        except OPERATIONAL_ERRORS as error:
            log.warning("key_uses.retry", extra={"error": error, "keys": len(used_at)})
            self._used_at = used_at | self._used_at
