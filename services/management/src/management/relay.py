"""Announces what the outbox holds: the guarantee behind each request's own try."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import asyncpg
from redis.asyncio import Redis

from management import announcer, metrics, outbox_repository
from management.left_to_cache import LeftToCache
from management.outbox_repository import OutboxRow
from shared import checkpoints, streams
from shared.checkpoints import Journey
from shared.errors import OPERATIONAL_ERRORS, REDIS_ERRORS
from shared.events import LinkChanged, RelayHeartbeat, encoder
from shared.postgres import Connection
from shared.telemetry import Tracing

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # the net under LISTEN
LEADER_RETRY_SECONDS = 0.3
HEARTBEAT_SECONDS = 1.0
# PostgreSQL ends a leader's session that has been silent for so long: one that was stopped, or
# cut off, must not keep the lock. Three polls.
LEASE_MS = 1_500
COMMAND_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 2.0
RETRY_MIN_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0


class Relay:
    """The relay of one management process; over all of them one at a time is active."""

    def __init__(self, dsn: str, cache: Redis, bus: Redis, tracing: Tracing) -> None:
        self._dsn = dsn
        self._tracing = tracing
        self._cache = cache
        self._bus = bus
        self._wake = asyncio.Event()
        self._left = LeftToCache(cache)
        self._beat_at = 0.0

    async def run(self) -> None:
        """Lead, or wait for the lead, until cancelled; stores may come and go."""
        pause = RETRY_MIN_SECONDS
        while True:
            try:
                async with self._session() as connection:
                    await self._until_leader(connection)
                    pause = RETRY_MIN_SECONDS
                    await self._lead(connection)
            except OPERATIONAL_ERRORS as error:
                log.warning("relay.retry", extra={"error": error, "seconds": pause})
            finally:
                metrics.RELAY_LEADER.set(0)
                self._left = LeftToCache(self._cache)
                self._measure([])  # the next leader tells
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_SECONDS)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection]:
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=COMMAND_TIMEOUT_SECONDS,
            server_settings={
                "application_name": "management-relay",
                "idle_session_timeout": str(LEASE_MS),
            },
        )
        try:
            yield connection
        finally:
            with suppress(*OPERATIONAL_ERRORS):
                await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)

    async def _until_leader(self, connection: Connection) -> None:
        while not await outbox_repository.try_lead(connection):  # noqa: ASYNC110
            await asyncio.sleep(LEADER_RETRY_SECONDS)  # another session ends
        await connection.add_listener("outbox", lambda *_: self._wake.set())
        metrics.RELAY_LEADER.set(1)
        log.info("relay.leading")

    async def _lead(self, connection: Connection) -> None:
        pause = RETRY_MIN_SECONDS
        while True:
            self._wake.clear()
            rows = await outbox_repository.read(connection, self._left.ids)
            self._measure(rows)
            try:
                await self._beat(rows)
                done = await self._relay(rows)
            except REDIS_ERRORS as error:
                metrics.RELAY_FAILURES.inc()
                log.warning("relay.bus_away", extra={"error": error, "rows": len(rows)})
                await asyncio.sleep(pause)
                pause = min(pause * 2, POLL_SECONDS)  # below LEASE_MS, or the lead is lost
                continue
            pause = RETRY_MIN_SECONDS
            taken = await self._apply_again(connection)
            if done or taken:
                await outbox_repository.delete(connection, done + taken)
            if len(rows) < outbox_repository.BATCH_ROWS and not taken:
                await self._wait()

    async def _relay(self, rows: list[OutboxRow]) -> list[int]:
        """Apply and announce in order; return the rows that need nothing more.

        A cache that is away does not hold the announcement back: redirectors correct their own
        copies by it. The row stays until the cache has taken it, too; a cache that comes back
        empty takes it at once.
        """
        done = []
        for row in rows:
            with self._traced(row.change):
                is_applied = await self._left.try_apply(row.change)
                await announcer.announce(self._bus, row.change)
            seconds = time.time() - row.change.committed_at
            metrics.PROPAGATION_SECONDS.observe(max(0.0, seconds))
            if is_applied:
                done.append(row.id)
            else:
                self._left.add(row)
        return done

    async def _apply_again(self, connection: Connection) -> list[int]:
        """Return those of some rows left to the cache that it has taken now."""
        turn = self._left.take_turn()
        if not turn:
            return []
        rows = await outbox_repository.read_these(connection, turn)
        gone = set(turn).difference(row.id for row in rows)  # by a leader before us
        taken = [row.id for row in rows if await self._left.try_apply(row.change)]
        self._left.remove([*taken, *gone])
        return taken

    @contextmanager
    def _traced(self, change: LinkChanged) -> Iterator[None]:
        """Put what the block does into the trace of the request that made the change."""
        with (
            self._tracing.child("relay", "internal", {}, change.traceparent) as span,
            checkpoints.during(Journey(self._tracing, span)),
        ):
            yield

    async def _beat(self, rows: list[OutboxRow]) -> None:
        now = time.monotonic()
        if now < self._beat_at:
            return
        age = max(0.0, time.time() - rows[0].change.committed_at) if rows else 0.0
        beat = encoder.encode(RelayHeartbeat(at=time.time(), outbox_age=age))
        await self._bus.xadd(
            streams.LINKS,
            {streams.LINKS_MESSAGE: beat},
            maxlen=streams.LINKS_MAXLEN,
            approximate=True,
        )
        self._beat_at = now + HEARTBEAT_SECONDS

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    def _measure(self, rows: list[OutboxRow]) -> None:
        moments = [row.change.committed_at for row in rows[:1]] + self._left.oldest()
        metrics.OUTBOX_ROWS.set(len(rows) + len(self._left.ids))
        metrics.OUTBOX_AGE_SECONDS.set(max(0.0, time.time() - min(moments)) if moments else 0.0)
