"""Look, decide, act: one round every few seconds, by the one that leads."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, get_args

from redis.asyncio import Redis

from autoscaler import metrics, signals
from autoscaler.leader import Lease
from autoscaler.policies import FULL_LAG_ENTRIES, SIGNALS
from autoscaler.policy import Decision, Memory, Policy, decide
from autoscaler.replicas import Replica, Replicas, ReplicasUnavailable, State, seen
from autoscaler.signals import Lag
from shared.errors import REDIS_ERRORS
from shared.tasks import background, sleep_unless

log = logging.getLogger(__name__)


class Gate(Protocol):
    """How the loop reaches the engine; both raise `ReplicasUnavailable`."""

    async def replicas(self) -> Replicas:
        """Return what there is of each service."""

    async def set_count(self, service: str, count: int) -> None:
        """Start or drain replicas until `count` run."""


class ControlLoop:
    """Keeps each policy's service; remembers the look before, and what was decided."""

    def __init__(
        self,
        gate: Gate,
        bus: Redis,
        policies: Sequence[Policy],
        *,
        dry_run: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._bus = bus
        self._policies = policies
        self._dry_run = dry_run
        self._clock = clock
        self._before: Replicas = {}
        self._lag_before: Lag | None = None
        self._memories: dict[str, Memory] = {}

    async def run(self, lease: Lease, stop: asyncio.Event, poll_seconds: float) -> None:
        """Poll while the lease is ours, until `stop` is set."""
        if self._dry_run:  # no lease for who only watches: it would keep the acting one from it
            await self._run_while(lambda: True, stop, poll_seconds)
            return
        await lease.renew()
        async with background(lease.keep(), name="lease"):
            await self._run_while(lambda: lease.is_held, stop, poll_seconds)
        await lease.give_back()

    async def _run_while(
        self, leads: Callable[[], bool], stop: asyncio.Event, poll_seconds: float
    ) -> None:
        while not stop.is_set():
            metrics.LEADER.set(leads() and not self._dry_run)
            if leads():
                await self.poll()
            else:
                self.forget()
            await sleep_unless(stop, poll_seconds)

    def forget(self) -> None:
        """Start afresh: what was seen before another one led says nothing."""
        self._before, self._lag_before, self._memories = {}, None, {}

    async def poll(self) -> None:
        """Look once, and act on it."""
        try:
            replicas = await self._gate.replicas()
        except ReplicasUnavailable as error:
            metrics.FAILURES.labels("look").inc()
            log.warning("autoscaler.blind", extra={"error": str(error)})
            return
        lag = await self._look_at_lag()
        async with asyncio.TaskGroup() as changes:
            for policy in self._policies:
                loads = self._loads(policy.service, replicas.get(policy.service, ()), lag)
                change = self._decide(policy, replicas.get(policy.service, ()), loads)
                if change is not None:
                    changes.create_task(_awaited(change))
        self._before, self._lag_before = replicas, lag
        metrics.POLLED_AT.set_to_current_time()

    async def _look_at_lag(self) -> Lag | None:
        try:
            return await signals.read_lag(self._bus, self._clock())
        except REDIS_ERRORS as error:
            metrics.FAILURES.labels("lag").inc()
            log.warning("autoscaler.bus_away", extra={"error": error})
            return None

    def _loads(
        self, service: str, replicas: Sequence[Replica], lag: Lag | None
    ) -> Mapping[str, float | None]:
        known = {
            "cpu": signals.cpu_load(self._before.get(service, ()), replicas),
            "lag": None
            if lag is None
            else signals.lag_load(self._lag_before, lag, FULL_LAG_ENTRIES),
        }
        return {name: known[name] for name in SIGNALS[service]}

    def _decide(
        self, policy: Policy, replicas: Sequence[Replica], loads: Mapping[str, float | None]
    ) -> Awaitable[None] | None:
        """Decide, tell it, and return the change to make."""
        look = seen(replicas, _greatest(loads, policy.up_load))
        memory = self._memories.get(policy.service, Memory())
        decision = decide(policy, memory, look, self._clock())
        self._memories[policy.service] = decision.memory
        _measure(policy.service, replicas, loads, decision, look.count)
        if decision.wanted == look.count:
            return None
        log.info(
            "autoscaler.decided",
            extra={
                "scaled": policy.service,
                "replicas": look.count,
                "wanted": decision.wanted,
                "reason": decision.reason,
                "loads": dict(loads),
                "dry_run": self._dry_run,
            },
        )
        return None if self._dry_run else self._change(policy.service, decision.wanted)

    async def _change(self, service: str, wanted: int) -> None:
        try:
            await self._gate.set_count(service, wanted)
        except ReplicasUnavailable as error:
            metrics.FAILURES.labels("change").inc()
            log.warning("autoscaler.change_failed", extra={"scaled": service, "error": str(error)})
            # Nothing changed: nothing cools down, the next poll decides again.
            self._memories.pop(service, None)


async def _awaited(change: Awaitable[None]) -> None:
    await change


def _greatest(loads: Mapping[str, float | None], up_load: float) -> float | None:
    """Return the load that counts: the greatest.

    Where one is not known it may be the greatest: enough to grow by another one, not to shrink.
    """
    known = [load for load in loads.values() if load is not None]
    if known and (len(known) == len(loads) or max(known) >= up_load):
        return max(known)
    return None


def _measure(
    service: str,
    replicas: Sequence[Replica],
    loads: Mapping[str, float | None],
    decision: Decision,
    count: int,
) -> None:
    for signal, load in loads.items():
        metrics.LOAD.labels(service, signal).set(math.nan if load is None else load)
    for state in get_args(State):
        metrics.REPLICAS.labels(service, state).set(sum(r.state == state for r in replicas))
    metrics.WANTED.labels(service).set(decision.wanted)
    action = "hold"
    if decision.wanted != count:
        action = "up" if decision.wanted > count else "down"
    metrics.DECISIONS.labels(service, action, decision.reason).inc()
