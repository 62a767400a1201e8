"""Follows the stream of changes, so that the near cache can be trusted."""

import asyncio
import logging
import random
import time
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from redirector import metrics
from redirector.near_cache import NearCache
from shared import redis_client, streams, telemetry
from shared.errors import REDIS_ERRORS, UNDECODABLE
from shared.events import LinkChanged, LinkMessage, link_message_decoder
from shared.telemetry import Tracing

log = logging.getLogger(__name__)

BLOCK_MS = 1_000
SOCKET_TIMEOUT_SECONDS = BLOCK_MS / 1000 + 1.0  # a dead line is noticed within this
READ_COUNT = 500
SILENT_SECONDS = 3.0  # the relay's heartbeat comes every second
FLUSH_SECONDS = 30.0
RETRY_SECONDS = 0.2


class LinkFollower:
    """Reads the stream `links` from where it joined, and corrects the near cache."""

    def __init__(self, bus: Redis, near: NearCache, tracing: Tracing) -> None:
        self._bus = bus
        self._tracing = tracing
        self._near = near
        self._cursor: bytes | None = None
        self._run_id = ""
        self._whole_until = float("-inf")  # monotonic: all changes announced before are known
        metrics.FEED_AGE.set_function(lambda: time.monotonic() - self._whole_until)

    def is_fresh(self) -> bool:
        """Tell whether every change announced until a moment ago is known here."""
        return time.monotonic() - self._whole_until < SILENT_SECONDS

    async def run(self) -> None:
        """Follow until cancelled; the bus may come and go."""
        while True:
            try:
                server = await self._join()
                while redis_client.part_of(self._bus, streams.LINKS) is server:
                    await self._read()
            except REDIS_ERRORS as error:
                log.warning("links.retry", extra={"error": error})
                await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    async def _join(self) -> Redis:
        """Go on from the cursor if nothing can have been missed, else start afresh.

        Return the server that has the stream: another one may not have all of it.
        """
        server = await redis_client.node_of(self._bus, streams.LINKS)
        run_id = (await server.info("server"))["run_id"]
        last, first = await self._bounds()
        if run_id != self._run_id or self._cursor is None or _is_gap(self._cursor, first, last):
            # Note the end first, then forget: what is read from now on is covered by the stream.
            self._cursor = last
            self._flush("joined")
        self._run_id = run_id
        return server

    async def _bounds(self) -> tuple[bytes, bytes | None]:
        """Return the id that was added last and the first that is still there, if any is."""
        try:
            stream = await self._bus.xinfo_stream(streams.LINKS)
        except ResponseError:  # no such key: nothing was ever announced, or all was lost
            return b"0-0", None
        first = stream["first-entry"]
        return stream["last-generated-id"], first[0] if first else None

    async def _read(self) -> None:
        sent_at = time.monotonic()
        assert self._cursor is not None
        reply = cast(
            "list[tuple[bytes, streams.Entries]]",
            await self._bus.xread({streams.LINKS: self._cursor}, count=READ_COUNT, block=BLOCK_MS),
        )
        for _, entries in reply:
            for entry_id, fields in entries:
                self._cursor = entry_id
                self._take(fields, sent_at, is_whole=len(entries) < READ_COUNT)

    def _take(self, fields: dict[bytes, bytes], sent_at: float, *, is_whole: bool) -> None:
        try:
            message: LinkMessage = link_message_decoder.decode(
                fields.get(streams.LINKS_MESSAGE, b"")
            )
        except UNDECODABLE as error:
            # A change we cannot read, perhaps of a newer release: trust nothing remembered.
            log.warning("links.undecodable", extra={"error": str(error)})
            self._flush("undecodable")
            return
        if isinstance(message, LinkChanged):
            self._announce(message)
        elif is_whole:
            self._mark_whole(sent_at)

    def _announce(self, message: LinkChanged) -> None:
        attributes = telemetry.messaging(streams.LINKS, "process")
        with self._tracing.child("process links", "consumer", attributes, message.traceparent):
            if self._near.announce(message.code, message.record):
                seconds = time.time() - message.committed_at
                metrics.PROPAGATION_SECONDS.observe(max(0.0, seconds))

    def _mark_whole(self, sent_at: float) -> None:
        """Note that the relay lives and that we know all it announced before `sent_at`.

        The reply's own time would not do: a worker that was stopped for a while finds an old
        reply in its socket.
        """
        if sent_at - self._whole_until > FLUSH_SECONDS:
            self._flush("silent")
        self._whole_until = sent_at

    def _flush(self, reason: str) -> None:
        self._near.flush()
        metrics.NEAR_FLUSHES.labels(reason).inc()
        log.info("links.flushed", extra={"reason": reason})


def _is_gap(cursor: bytes, first: bytes | None, last: bytes) -> bool:
    """Tell whether messages behind `cursor` may be gone: trimmed, or lost with the stream."""
    if last == cursor:
        return False
    return _key(last) < _key(cursor) or first is None or _key(first) > _key(cursor)


def _key(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
