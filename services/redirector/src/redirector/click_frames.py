"""Puts frames of clicks on the bus: one stream entry each, on its streams in turn."""

import re
from collections.abc import Sequence
from itertools import cycle

from redis.asyncio import Redis

from redirector import metrics
from redirector.journal_lines import Line
from shared import redis_client, streams, telemetry
from shared.telemetry import Tracing

_TRACEPARENT = re.compile(rb'"traceparent":"([0-9a-f-]{55})"')  # within a string quotes are escaped


class ClickFrames:
    """The streams `names` of the bus, as one worker writes them."""

    def __init__(self, bus: Redis, names: Sequence[str], tracing: Tracing) -> None:
        self._bus = bus
        self._names = names
        self._turns = cycle(names)
        self._tracing = tracing

    async def send(self, lines: Sequence[Line]) -> None:
        """Add one entry that carries all `lines`; never with MAXLEN, which drops unread ones.

        Raises Redis's errors; the next try goes to the next stream, where another node may be.
        """
        stream = next(self._turns)
        count = sum(line.count for line in lines)
        clicks = b",".join([line.payload for line in lines])
        batch = b"".join((b"[", clicks, b"]"))  # formatting takes ten times as long to copy it
        attributes = {
            **telemetry.messaging(stream, "send"),
            "messaging.batch.message_count": count,
        }
        links = self._tracing.links(_traceparents(batch)) if self._tracing.is_on else []
        with self._tracing.linked("send clicks", "producer", attributes, links):
            await self._bus.xadd(
                stream,
                {
                    streams.CLICKS_SCHEMA: streams.CLICKS_SCHEMA_VERSION,
                    streams.CLICKS_COUNT: count,
                    streams.CLICKS_BATCH: batch,
                },
            )
        metrics.CLICKS_SENT.inc(count)
        metrics.FRAMES_SENT.inc()

    async def run_ids(self) -> set[str]:
        """Return what changes when a server of the streams starts again; raises Redis's errors."""
        servers = {await redis_client.node_of(self._bus, name) for name in self._names}
        return {(await server.info("server"))["run_id"] for server in servers}


def _traceparents(batch: bytes) -> list[str]:
    """Return the requests among a frame's clicks that are traced."""
    return [found.decode() for found in _TRACEPARENT.findall(batch)]
