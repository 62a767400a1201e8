"""Read a batch, commit it, acknowledge it; whatever is killed in between, nothing is lost."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.exceptions import ResponseError

from event_ingest import click_repository, metrics, storage
from event_ingest.batch_size import BatchSize
from event_ingest.consumer_group import ConsumerGroup
from event_ingest.enrichment import Enrichment
from event_ingest.frames import DeadLetter, decode, utc_now
from event_ingest.in_hand import InHand
from event_ingest.storage import STORED_AT_ONCE, Storable
from shared import checkpoints, streams, telemetry
from shared.checkpoints import Journey, checkpoint
from shared.errors import DATABASE_UNAVAILABLE, REDIS_UNAVAILABLE, TRANSACTION_CONFLICT
from shared.postgres import Pool
from shared.request_log import RequestLog, milliseconds
from shared.tasks import sleep_unless
from shared.telemetry import Tracing

log = logging.getLogger(__name__)

BATCHES_IN_HAND = 2  # of a process; one is stored while the next is read and enriched
MAX_DELIVERIES = 5  # an entry given out more often has ended its consumers: put it aside
CLAIM_SECONDS = 15.0
RETRY_MIN_SECONDS = 0.1
RETRY_MAX_SECONDS = 5.0
JUDGED_EVENTS = 1_000  # the share of dead letters is judged over at least so many events
MAX_DEAD_SHARE = 0.01  # beyond, the fault is in a release, not in a click: stop
MAX_DEAD_LETTERS = 100_000  # waiting for a decision; beyond, stop

DATABASE_ERRORS = (*DATABASE_UNAVAILABLE, *TRANSACTION_CONFLICT)
Answer = TypeVar("Answer")


class TooManyDeadLetters(Exception):
    """So much is bad that diverting it would hide a fault of ours."""


class Stopped(Exception):
    """Told to stop while a store was away."""


class DeadShare:
    """The share of dead letters among the last events."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, int]] = deque()
        self._events = 0
        self._dead = 0

    def add(self, events: int, dead: int) -> None:
        """Take in a batch; raises `TooManyDeadLetters`."""
        self._batches.append((events, dead))
        self._events += events
        self._dead += dead
        while self._events - self._batches[0][0] >= JUDGED_EVENTS:
            old_events, old_dead = self._batches.popleft()
            self._events -= old_events
            self._dead -= old_dead
        if self._events >= JUDGED_EVENTS and self._dead > self._events * MAX_DEAD_SHARE:
            raise TooManyDeadLetters(f"{self._dead} of the last {self._events} events are bad")


class Turns:
    """What the consumers of a process, one for each stream, take turns at."""

    def __init__(self) -> None:
        self.in_hand = asyncio.Semaphore(BATCHES_IN_HAND)  # memory holds so many
        self.storing = asyncio.Lock()  # two batches at once would wait for each other's roll-ups


class Consumer:
    """One consumer of a stream of clicks; `stop` ends it after the batches in hand."""

    def __init__(
        self,
        group: ConsumerGroup,
        pool: Pool,
        stop: asyncio.Event,
        enrichment: Enrichment,
        turns: Turns,
        *,
        batch_events: int,
        claim_idle_seconds: float,
        tracing: Tracing,
        request_log: RequestLog,
    ) -> None:
        self._log = request_log
        self._group = group
        self._tracing = tracing
        self._pool = pool
        self._stop = stop
        self._enrichment = enrichment
        self._turns = turns
        self._batch_size = BatchSize(batch_events)
        self._claim_idle_seconds = claim_idle_seconds
        self._claim_at = 0.0
        self._dead_share = DeadShare()
        self._attributes: telemetry.Attributes = {
            **telemetry.messaging(group.stream, "process"),
            "messaging.consumer.group.name": streams.INGEST_GROUP,
        }

    async def run(self) -> None:
        """Consume until stopped; raises `TooManyDeadLetters`. Stores may come and go."""
        with suppress(Stopped):
            await self._until_it_works("bus", REDIS_UNAVAILABLE, self._follow)

    async def _follow(self) -> None:
        """Finish what was left, then take what is new, until stopped or the bus is lost."""
        await self._group.ensure()
        # Reading counts as a delivery: only with PostgreSQL there can it be judged by that.
        await self._with_database(lambda: click_repository.ping(self._pool))
        await self._finish_own()
        async with InHand(BATCHES_IN_HAND) as in_hand:
            while not self._stop.is_set():
                metrics.LOOPED_AT.labels(self._group.stream).set_to_current_time()
                await in_hand.add(self.process(await self._next_of_group()))

    async def _next_of_group(self) -> streams.Entries:
        try:
            return await self._next()
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            log.exception("ingest.group_vanished")  # loud: unread entries may be gone with it
            await self._group.ensure()
            return []

    async def _next(self) -> streams.Entries:
        if time.monotonic() >= self._claim_at:
            self._claim_at = time.monotonic() + CLAIM_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
            claimed = await self._group.claim(self._claim_idle_seconds)
            if claimed:
                metrics.CLAIMED.inc(len(claimed))
                return await self._put_repeated_aside(claimed)
        return await self._group.read_new(self._batch_size.entries())

    async def _finish_own(self) -> None:
        after = b"0"
        while entries := await self._group.read_own(after, self._batch_size.entries()):
            after = entries[-1][0]
            await self.process(await self._put_repeated_aside(entries))

    async def _put_repeated_aside(self, entries: streams.Entries) -> streams.Entries:
        """Dead-letter entries that were delivered too often; return the others."""
        deliveries = await self._group.deliveries(entries)
        repeated = [e for e in entries if deliveries.get(e[0], 0) > MAX_DELIVERIES]
        if repeated:
            letters = [
                DeadLetter(
                    entry_id=entry_id,
                    reason="redelivered",
                    explanation=f"delivered {deliveries[entry_id]} times",
                    payload=fields.get(streams.CLICKS_BATCH, b"") if fields else b"",
                )
                for entry_id, fields in repeated
            ]
            await self._acknowledge(repeated, letters)
        return [entry for entry in entries if entry not in repeated]

    async def process(self, entries: streams.Entries) -> int:
        """Store the clicks of `entries`, then acknowledge these; return how many clicks."""
        if not entries:
            return 0
        async with self._turns.in_hand:
            return await self._process(entries)

    async def _process(self, entries: streams.Entries) -> int:
        began = time.perf_counter()
        decoded = decode(entries, utc_now())
        count = len(decoded.clicks)
        self._batch_size.was(len(entries), count)
        links = self._tracing.links(click.traceparent for click in decoded.clicks)
        attributes = {**self._attributes, "messaging.batch.message_count": count}
        with (
            self._tracing.linked("process clicks", "consumer", attributes, links) as span,
            checkpoints.during(Journey(self._tracing, span)),
        ):
            with checkpoint("enrich"):
                clicks = await self._enrichment.enrich(decoded.clicks)
            refused = await self._store(list(zip(clicks, decoded.entry_of, strict=True)))
            dead = [*decoded.dead, *refused]
            self._dead_share.add(count + len(decoded.dead), len(dead))
            with checkpoint("settle"):
                await self._acknowledge(entries, dead)  # after the commit, never before
            self._write_line(len(entries), count, len(dead), time.perf_counter() - began)
        return count

    async def _store(self, clicks: list[Storable]) -> list[DeadLetter]:
        """Commit `clicks`, one batch after another; return the refused ones."""
        refused: list[DeadLetter] = []

        async def store(part: list[Storable]) -> None:
            refused.extend(await self._with_database(lambda: storage.store(self._pool, part)))

        async with self._turns.storing:
            with checkpoint("insert"):
                async with InHand(STORED_AT_ONCE) as parts:
                    for part in storage.parts(clicks):
                        await parts.add(store(part))
        return refused

    def _write_line(self, entries: int, clicks: int, dead: int, seconds: float) -> None:
        level = self._log.batch_level(seconds)
        if level is not None:
            facts = {
                "entries": entries,
                "clicks": clicks,
                "dead": dead,
                "duration_ms": milliseconds(seconds),
                "timings": checkpoints.timings(),
            }
            self._log.write(level, "batch", facts)

    async def _acknowledge(self, entries: streams.Entries, dead: list[DeadLetter]) -> None:
        if dead:
            dead = await self._not_put_aside(dead)
        await self._group.acknowledge([entry_id for entry_id, _ in entries], dead)
        for letter in dead:
            metrics.DEAD.labels(letter.reason).inc()
            log.error("ingest.dead_letter", extra=_facts(letter))

    async def _not_put_aside(self, dead: list[DeadLetter]) -> list[DeadLetter]:
        """Return those of entries that nobody has acknowledged; raises `TooManyDeadLetters`.

        What is held for long, as while PostgreSQL is away, is claimed by another consumer, or by
        this one once more: who acknowledges it first puts aside what is dead of it.
        """
        if await self._group.dead_letters() >= MAX_DEAD_LETTERS:
            raise TooManyDeadLetters(f"{MAX_DEAD_LETTERS} dead letters wait for a decision")
        pending = await self._group.pending_among({letter.entry_id for letter in dead})
        return [letter for letter in dead if letter.entry_id in pending]

    async def _with_database(self, act: Callable[[], Awaitable[Answer]]) -> Answer:
        return await self._until_it_works("database", DATABASE_ERRORS, act)

    async def _until_it_works(
        self,
        store: str,
        errors: tuple[type[Exception], ...],
        act: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """Repeat `act` with growing pauses while `store` is away, keeping what is in hand.

        Raises `Stopped` if stopped meanwhile: what is not acknowledged comes again.
        """
        pause = RETRY_MIN_SECONDS
        while True:
            began = time.monotonic()
            try:
                return await act()
            except errors as error:
                metrics.RETRIES.labels(store).inc()
                log.warning("ingest.retry", extra={"store": store, "error": error})
            if time.monotonic() - began > RETRY_MAX_SECONDS:
                pause = RETRY_MIN_SECONDS  # it had worked for a while
            await sleep_unless(self._stop, pause * random.uniform(0.5, 1.0))  # noqa: S311
            if self._stop.is_set():
                raise Stopped
            pause = min(pause * 2, RETRY_MAX_SECONDS)


def _facts(letter: DeadLetter) -> dict[str, object]:
    """Return what may be logged: the payload holds what visitors sent."""
    return {
        "entry": letter.entry_id.decode(),
        "reason": letter.reason,
        "explanation": letter.explanation,
    }
