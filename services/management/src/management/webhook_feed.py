"""From the bus to the queue of deliveries: a consumer group on each stream, at least once."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from management import webhook_metrics, webhook_repository
from management.connections import connection, transaction
from management.webhook_messages import Message, of_clicks, of_link
from shared import consumer_groups, streams
from shared.errors import (
    DATABASE_UNAVAILABLE,
    REDIS_UNAVAILABLE,
    TRANSACTION_CONFLICT,
    UNDECODABLE,
)
from shared.events import LinkChanged, clicks_decoder, link_message_decoder
from shared.postgres import Pool

log = logging.getLogger(__name__)

GROUP = "webhooks"
BLOCK_MS = 1_000
READ_COUNT = 50  # entries at once
SOCKET_TIMEOUT_SECONDS = BLOCK_MS / 1000 + 4.0  # above BLOCK, or an idle stream looks dead
LINGER_SECONDS = 1.0  # clicks are collected for so long
CLAIM_SECONDS = 15.0
CLAIM_IDLE_MS = 60_000
RETRY_SECONDS = 1.0
EVER = datetime.fromtimestamp(0, UTC)
ERRORS = (*DATABASE_UNAVAILABLE, *TRANSACTION_CONFLICT, *REDIS_UNAVAILABLE)

ToMessages = Callable[[streams.Entries], list[Message]]


def link_messages(entries: streams.Entries) -> list[Message]:
    """Return what webhooks are told of entries of `links`."""
    messages = []
    for entry_id, fields in entries:
        try:
            change = link_message_decoder.decode(fields.get(streams.LINKS_MESSAGE, b""))
        except UNDECODABLE as error:
            log.warning("webhooks.undecodable", extra={"entry": entry_id, "error": str(error)})
            continue
        if isinstance(change, LinkChanged):
            messages += of_link(change)
    return messages


def click_messages(entries: streams.Entries) -> list[Message]:
    """Return what webhooks are told of entries of a stream of clicks."""
    clicks = []
    for entry_id, fields in entries:
        try:
            clicks += clicks_decoder.decode(fields.get(streams.CLICKS_BATCH, b""))
        except UNDECODABLE as error:
            log.warning("webhooks.undecodable", extra={"entry": entry_id, "error": str(error)})
    return of_clicks(clicks)


class Feed:
    """Follows one stream as one consumer of the group, until cancelled."""

    def __init__(
        self, stream: str, to_messages: ToMessages, bus: Redis, pool: Pool, consumer: str
    ) -> None:
        self._stream = stream
        self._to_messages = to_messages
        self._bus = bus
        self._pool = pool
        self._consumer = consumer
        self._claim_at = 0.0

    async def run(self) -> None:
        """Follow; stores may come and go."""
        while True:
            try:
                await self._follow()
            except ERRORS as error:
                log.warning("webhooks.retry", extra={"stream": self._stream, "error": error})
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
                log.warning("webhooks.no_group", extra={"stream": self._stream})
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        since = await self._wanted_since()
        if since is None:
            return
        await self._ensure_group(since)
        while entries := await self._read("0"):
            await self._take_in(entries)
        while await self._wanted_since() is not None:
            await self._take_in(await self._claimed() or await self._read(">"))
            if self._stream != streams.LINKS:
                await asyncio.sleep(LINGER_SECONDS)

    async def _wanted_since(self) -> datetime | None:
        """Return since when to follow; a group that nobody reads would keep all clicks for ever."""
        if self._stream == streams.LINKS:
            return EVER
        async with connection(self._pool) as lent:
            since = await webhook_repository.clicks_wanted_since(lent)
        if since is None and await self._bus.exists(self._stream):
            await self._bus.xgroup_destroy(self._stream, GROUP)
        return since

    async def _ensure_group(self, since: datetime) -> None:
        begin = f"{int(since.timestamp() * 1000)}-0"  # an entry's id begins with its time
        try:
            await self._bus.xgroup_create(self._stream, GROUP, id=begin, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _take_in(self, entries: streams.Entries) -> None:
        if not entries:
            return
        messages = self._to_messages([entry for entry in entries if entry[1]])
        if messages:
            async with transaction(self._pool) as lent:
                await webhook_repository.enqueue(lent, messages)
        ids = [entry_id for entry_id, _ in entries]
        await self._bus.xack(self._stream, GROUP, *ids)  # after the commit, never before
        webhook_metrics.ENTRIES.labels(self._stream).inc(len(ids))

    async def _claimed(self) -> streams.Entries:
        """Return what a consumer that is gone left behind."""
        if time.monotonic() < self._claim_at:
            return []
        self._claim_at = time.monotonic() + CLAIM_SECONDS
        reply = await self._bus.xautoclaim(
            self._stream, GROUP, self._consumer, min_idle_time=CLAIM_IDLE_MS, count=READ_COUNT
        )
        await consumer_groups.remove_gone(self._bus, self._stream, GROUP)
        # Redis 6.2 returns (None, None) for entries that were trimmed; newer ones leave them out.
        return [(entry_id, fields) for entry_id, fields in reply[1] if entry_id is not None]

    async def _read(self, after: str) -> streams.Entries:
        return await consumer_groups.read(
            self._bus, self._stream, GROUP, self._consumer, after, count=READ_COUNT, block=BLOCK_MS
        )
