"""Store a batch of clicks; what PostgreSQL refuses is found by halving and put aside."""

import time
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import msgspec
from asyncpg.exceptions import _base

from event_ingest import click_repository, metrics
from event_ingest.enrichment import Enriched
from event_ingest.frames import DeadLetter
from shared.postgres import Pool

# The server's refusal of a value, and the client's own, which is no subclass of it.
REFUSED: tuple[type[Exception], ...] = (asyncpg.DataError, _base.DataError)

STORED_AT_ONCE = 2  # transactions of one batch
MIN_PART = 500  # clicks that are worth a transaction of their own

Storable: TypeAlias = tuple[Enriched, bytes]  # a click, and the stream entry that it came in


def parts(clicks: list[Storable]) -> list[list[Storable]]:
    """Split by link: transactions that share no row of a roll-up don't wait for each other."""
    if len(clicks) < STORED_AT_ONCE * MIN_PART:
        return [clicks] if clicks else []
    split: list[list[Storable]] = [[] for _ in range(STORED_AT_ONCE)]
    for each in clicks:
        split[each[0].click.url_id % STORED_AT_ONCE].append(each)
    return [part for part in split if part]


async def store(pool: Pool, clicks: Sequence[Storable]) -> list[DeadLetter]:
    """Commit every click that can be stored; return the refused ones. Repeating is harmless."""
    refused: list[DeadLetter] = []
    await _store(pool, clicks, refused)
    return refused


async def _store(pool: Pool, pairs: Sequence[Storable], refused: list[DeadLetter]) -> None:
    started = time.perf_counter()
    try:
        inserted = await click_repository.insert(pool, [each for each, _ in pairs])
    except REFUSED as error:
        if len(pairs) == 1:
            ((enriched, entry_id),) = pairs
            refused.append(
                DeadLetter(
                    entry_id=entry_id,
                    reason="refused",
                    explanation=str(error),
                    payload=msgspec.json.encode(enriched.click),
                )
            )
            return
        middle = len(pairs) // 2
        await _store(pool, pairs[:middle], refused)
        await _store(pool, pairs[middle:], refused)
        return
    metrics.STORE_SECONDS.observe(time.perf_counter() - started)
    metrics.BATCH_EVENTS.observe(len(pairs))
    metrics.STORED.inc(inserted)
    metrics.DUPLICATES.inc(len(pairs) - inserted)
    oldest = min(each.click.at for each, _ in pairs).timestamp()
    metrics.CLICK_TO_ROW_SECONDS.observe(max(0.0, time.time() - oldest))
