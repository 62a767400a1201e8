"""The load of a service, from two looks at it: CPU time of its replicas, lag of its streams."""

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from autoscaler.replicas import Replica
from shared import click_streams, streams

FORESIGHT_SECONDS = 30.0  # about what a new replica needs until it is ready, and then some
SHORTEST_SECONDS = 0.5  # between two looks; closer ones tell noise


class Lag(msgspec.Struct, frozen=True):
    """Entries that the group has not finished, at a moment of a monotonic clock."""

    entries: int
    read_at: float


def cpu_load(before: Sequence[Replica], after: Sequence[Replica]) -> float | None:
    """Return the share of its CPU limit that a replica used between the looks, on average.

    Only who was ready at both counts: a start takes all the CPU it can get and means nothing.
    """
    earlier = {replica.id: replica for replica in before if replica.state == "ready"}
    shares = [
        share
        for replica in after
        if replica.state == "ready" and replica.id in earlier
        if (share := _share(earlier[replica.id], replica)) is not None
    ]
    return sum(shares) / len(shares) if shares else None


def _share(before: Replica, after: Replica) -> float | None:
    seconds = after.read_at - before.read_at
    if before.cpu_seconds is None or after.cpu_seconds is None or seconds < SHORTEST_SECONDS:
        return None
    used = after.cpu_seconds - before.cpu_seconds
    if used < 0:  # it was restarted
        return None
    return used / (seconds * after.cpus)


def lag_load(before: Lag | None, after: Lag, full_entries: int) -> float:
    """Return the lag that is to be expected soon, as a share of `full_entries`.

    A lag that falls fast enough to be gone by then needs nobody; one that rises needs somebody
    before it is great.
    """
    rise = 0.0
    if before is not None and after.read_at - before.read_at >= SHORTEST_SECONDS:
        rise = (after.entries - before.entries) / (after.read_at - before.read_at)
    return max(0.0, after.entries + rise * FORESIGHT_SECONDS) / full_entries


async def read_lag(bus: Redis, now: float) -> Lag | None:
    """Return how far the group `ingest` is behind, or None where Redis can't tell."""
    lags = [await _lag(bus, stream) for stream in await click_streams.found(bus)]
    known = [lag for lag in lags if lag is not None]
    return Lag(sum(known), now) if known and len(known) == len(lags) else None


async def _lag(bus: Redis, stream: str) -> int | None:
    groups: list[dict[str, Any]] = await bus.xinfo_groups(stream)
    for group in groups:
        if group["name"] == streams.INGEST_GROUP.encode() and group.get("lag") is not None:
            return int(group["lag"] + group["pending"])
    return None
