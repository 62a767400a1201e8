"""A stream of clicks as the group `ingest` reads it: hides redis-py's reply shapes."""

from collections.abc import Collection, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from event_ingest.frames import DeadLetter
from shared import consumer_groups, streams

BLOCK_MS = 1_000
SOCKET_TIMEOUT_SECONDS = BLOCK_MS / 1000 + 4.0  # above BLOCK, or an idle stream looks dead
CLAIM_COUNT = 50


class ConsumerGroup:
    """One consumer of the group on one stream."""

    def __init__(self, bus: Redis, stream: str, consumer: str) -> None:
        self._bus = bus
        self.stream = stream
        self._consumer = consumer

    async def ensure(self) -> None:
        """Make the group, at the stream's beginning, unless it is there."""
        if await self._is_there():  # a full bus refuses even to say that it is
            return
        try:
            # Not at "$": what was published before would never be delivered.
            await self._bus.xgroup_create(self.stream, streams.INGEST_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _is_there(self) -> bool:
        if not await self._bus.exists(self.stream):
            return False
        groups = await self._bus.xinfo_groups(self.stream)
        return streams.INGEST_GROUP.encode() in {group["name"] for group in groups}

    async def read_own(self, after: bytes, count: int) -> streams.Entries:
        """Return entries that this consumer was given before and has not acknowledged."""
        return await self._read(after, count, block=None)

    async def read_new(self, count: int) -> streams.Entries:
        """Return entries nobody has been given, waiting up to BLOCK_MS for one."""
        return await self._read(b">", count, block=BLOCK_MS)

    async def claim(self, idle_seconds: float) -> streams.Entries:
        """Take over entries that some consumer has left unacknowledged for that long."""
        reply = await self._bus.xautoclaim(
            self.stream,
            streams.INGEST_GROUP,
            self._consumer,
            min_idle_time=int(idle_seconds * 1000),
            start_id="0-0",
            count=CLAIM_COUNT,
        )
        # Redis 6.2 returns (None, None) for entries that were trimmed; newer ones leave them out.
        return [(entry_id, fields) for entry_id, fields in reply[1] if entry_id is not None]

    async def deliveries(self, entries: streams.Entries) -> dict[bytes, int]:
        """Return how often each of these pending entries was delivered."""
        if not entries:
            return {}
        ids = [entry_id for entry_id, _ in entries]
        rows = cast(
            "list[dict[str, Any]]",
            await self._bus.xpending_range(
                self.stream,
                streams.INGEST_GROUP,
                min=min(ids, key=order),
                max=max(ids, key=order),
                count=len(ids),
                consumername=self._consumer,
            ),
        )
        return {row["message_id"]: row["times_delivered"] for row in rows}

    async def pending_among(self, ids: Collection[bytes]) -> set[bytes]:
        """Return those of the entries that no consumer has acknowledged."""
        return {each for each in ids if await self._is_pending(each)}

    async def _is_pending(self, entry_id: bytes) -> bool:
        # One by one: in a range there are others' entries, too, and any number of them.
        return bool(
            await self._bus.xpending_range(
                self.stream, streams.INGEST_GROUP, min=entry_id, max=entry_id, count=1
            )
        )

    async def acknowledge(self, ids: Sequence[bytes], dead: Sequence[DeadLetter]) -> None:
        """Put the dead letters aside, then acknowledge the entries.

        Killed in between it puts them aside again later. One step it cannot be: on a cluster the
        two streams are on two nodes, and a full bus refuses whatever is in a transaction.
        """
        for letter in dead:
            await self._bus.xadd(
                streams.CLICKS_DEAD,
                {
                    "stream": self.stream,
                    "entry": letter.entry_id,
                    "reason": letter.reason,
                    "explanation": letter.explanation,
                    "payload": letter.payload,
                },
            )
        if ids:
            await self._bus.xack(self.stream, streams.INGEST_GROUP, *ids)

    async def dead_letters(self) -> int:
        """Return how many dead letters wait for a decision."""
        return int(await self._bus.xlen(streams.CLICKS_DEAD))

    async def _read(self, after: bytes, count: int, *, block: int | None) -> streams.Entries:
        return await consumer_groups.read(
            self._bus,
            self.stream,
            streams.INGEST_GROUP,
            self._consumer,
            after,
            count=count,
            block=block,
        )


def order(entry_id: bytes) -> tuple[int, int]:
    """Return what stream ids are ordered by."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
