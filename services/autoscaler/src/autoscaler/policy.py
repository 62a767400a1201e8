"""Decide how many replicas a service should have: a pure function of what is seen and remembered.

Load is a share: 1.0 is all that the ready replicas can carry. A higher load never leads to fewer
replicas, the bounds are never left, and a noisy steady load (within 15 %) is never answered by
growing after shrinking: one replica goes only where the others would then be at AIM at most.
"""

import math
from typing import Literal, TypeAlias

import msgspec

Reason: TypeAlias = Literal[
    "above_maximum",  # somebody started more than are allowed
    "at_maximum",  # more are needed than are allowed
    "at_minimum",
    "below_minimum",  # one is gone
    "cooling_down",  # the last change is too recent
    "high_load",
    "low_load",
    "no_signal",  # the load is not known
    "starting",  # those that were added are not ready yet
    "steady",
    "stopped",  # by an operator, all of them: not ours to start
]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How one service is scaled; loads are shares, times are seconds."""

    service: str
    minimum: int
    maximum: int
    up_load: float = 0.70
    down_load: float = 0.30
    aim_load: float = 0.50  # between the two, with room on both sides for what a step changes
    up_polls: int = 2
    down_polls: int = 6
    up_cooldown: float = 60.0
    down_cooldown: float = 120.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A service at one moment. What does not serve for good is unhealthy, and takes its place."""

    ready: int
    starting: int = 0
    unhealthy: int = 0
    load: float | None = None  # of those that are ready; None: not known

    @property
    def count(self) -> int:
        """All that run."""
        return self.ready + self.starting + self.unhealthy


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the decisions before left: polls in a row that were high or low, the last change."""

    high_polls: int = 0
    low_polls: int = 0
    changed_at: float = -math.inf


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas there should be, why, and what to remember for the next time."""

    wanted: int
    reason: Reason
    memory: Memory


def decide(policy: Policy, memory: Memory, seen: Seen, now: float) -> Decision:
    """Return the decision of one poll; `now` is a monotonic time in seconds."""
    memory = _remember(policy, memory, seen)
    wanted, reason = _wanted(policy, memory, seen, now - memory.changed_at)
    if wanted != seen.count:
        memory = Memory(changed_at=now)
    return Decision(wanted=wanted, reason=reason, memory=memory)


def _remember(policy: Policy, memory: Memory, seen: Seen) -> Memory:
    is_high = seen.load is not None and seen.load >= policy.up_load
    return Memory(
        high_polls=memory.high_polls + 1 if is_high else 0,
        low_polls=memory.low_polls + 1 if _is_low(policy, seen) else 0,
        changed_at=memory.changed_at,
    )


def _is_low(policy: Policy, seen: Seen) -> bool:
    """Tell whether one replica could go now."""
    if seen.load is None or seen.load > policy.down_load or seen.ready < 2:
        return False
    return seen.load * seen.ready / (seen.ready - 1) <= policy.aim_load


def _wanted(policy: Policy, memory: Memory, seen: Seen, age: float) -> tuple[int, Reason]:
    if seen.count == 0:
        return 0, "stopped"
    if seen.count < policy.minimum:
        return policy.minimum, "below_minimum"
    if seen.count > policy.maximum:
        return policy.maximum, "above_maximum"
    if seen.load is None:
        return seen.count, "no_signal"
    if memory.high_polls >= policy.up_polls:
        return _grown(policy, seen, seen.load, age)
    if memory.low_polls >= policy.down_polls:
        return _shrunk(policy, seen, age)
    return seen.count, "steady"


def _grown(policy: Policy, seen: Seen, load: float, age: float) -> tuple[int, Reason]:
    if seen.count == policy.maximum:
        return seen.count, "at_maximum"
    if age < policy.up_cooldown:
        return seen.count, "cooling_down"
    # Rounded, or 0.7 * 5 / 0.5 would be a little more than 7.
    needed = math.ceil(round(load * seen.ready / policy.aim_load, 6)) + seen.unhealthy
    if seen.starting and needed <= seen.count:
        return seen.count, "starting"
    return min(max(needed, seen.count + 1), policy.maximum), "high_load"


def _shrunk(policy: Policy, seen: Seen, age: float) -> tuple[int, Reason]:
    if seen.count == policy.minimum:
        return seen.count, "at_minimum"
    if seen.starting:
        return seen.count, "starting"
    if age < policy.down_cooldown:
        return seen.count, "cooling_down"
    return seen.count - 1, "low_load"
