"""Medians with their spread, and ratios of what was measured side by side. No I/O."""

import statistics
from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of several rounds."""

    median: float
    lowest: float
    highest: float


def figure(values: Sequence[float]) -> Figure:
    """Return the median of `values` and how far they lie apart; at least one is needed."""
    return Figure(median=statistics.median(values), lowest=min(values), highest=max(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Figure:
    """Return the ratio, taken round by round: what slows a whole round down cancels out."""
    return figure([n / d for n, d in zip(numerators, denominators, strict=True)])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the `ordered` values that `share` of them do not exceed."""
    if not 0 < share <= 1:
        raise ValueError(f"{share} is no share above 0")
    rank = -(-len(ordered) * share // 1)  # rounded up
    return ordered[int(rank) - 1]


def recorded_share(rows: int, answers: int, connections: int) -> float:
    """Return how many clicks were stored per answered redirect; 1 is what is promised.

    A client that stops leaves up to one request on each of its connections answered and not
    counted: so many rows more than `answers` are right.
    """
    if not answers:
        return 0.0
    unseen = min(max(rows - answers, 0), connections)
    return rows / (answers + unseen)
