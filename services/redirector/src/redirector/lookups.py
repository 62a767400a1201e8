"""Counts what comes of the questions for a code, by who was asked."""

from collections.abc import Awaitable
from typing import TypeVar

from redirector import metrics
from redirector.dependency import DependencyDown
from redirector.metrics import Result, Tier
from shared.checkpoints import checkpoint
from shared.events import LinkRecord

Found = TypeVar("Found", LinkRecord, LinkRecord | None)


async def counted(tier: Tier, lookup: Awaitable[Found]) -> Found:
    """Await a question for a code, and count what came of it."""
    try:
        with checkpoint("cache_get" if tier == "cache" else "db_read"):
            record = await lookup
    except DependencyDown:
        metrics.LOOKUPS.labels(tier, "unavailable").inc()
        raise
    result: Result = (
        "miss" if record is None else "negative" if record.state == "unknown" else "hit"
    )
    metrics.LOOKUPS.labels(tier, result).inc()
    return record
