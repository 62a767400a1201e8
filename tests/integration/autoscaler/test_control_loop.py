"""The loop before a fake engine and a real bus."""

import asyncio
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from autoscaler.control_loop import ControlLoop
from autoscaler.leader import KEY, Lease
from autoscaler.policies import FULL_LAG_ENTRIES, policies
from autoscaler.replicas import Replica, Replicas, ReplicasUnavailable, State
from autoscaler.settings import ScalingSettings
from autoscaler.signals import read_lag
from shared import streams

POLL_SECONDS = 10.0


class FakeGate:
    """Replicas that are busy as they are told, on a clock of their own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.counts = {"redirector": 2, "management": 2, "event-ingest": 1}
        self.loads = dict.fromkeys(self.counts, 0.5)
        self.used = dict.fromkeys(self.counts, 0.0)
        self.state: State = "ready"
        self.is_away = False
        self.changes: list[tuple[str, int]] = []

    def clock(self) -> float:
        return self.now

    async def replicas(self) -> Replicas:
        if self.is_away:
            raise ReplicasUnavailable("away")
        return {
            service: [
                Replica(
                    id=f"{service}-{number}",
                    number=number,
                    state=self.state,
                    cpus=1.0,
                    cpu_seconds=self.used[service],
                    read_at=self.now,
                )
                for number in range(1, count + 1)
            ]
            for service, count in self.counts.items()
        }

    async def set_count(self, service: str, count: int) -> None:
        if self.is_away:
            raise ReplicasUnavailable("away")
        self.changes.append((service, count))
        self.counts[service] = count

    async def polls(self, loop: ControlLoop, count: int) -> None:
        for _ in range(count):
            await loop.poll()
            self.now += POLL_SECONDS
            for service, load in self.loads.items():
                self.used[service] += load * POLL_SECONDS


@pytest.fixture
def gate() -> FakeGate:
    return FakeGate()


def loop_on(gate: FakeGate, bus: Redis, *, dry_run: bool = False) -> ControlLoop:
    return ControlLoop(gate, bus, policies(ScalingSettings()), dry_run=dry_run, clock=gate.clock)


def decisions(service: str, action: str, reason: str) -> float:
    labels = {"service": service, "action": action, "reason": reason}
    return REGISTRY.get_sample_value("shortwire_autoscaler_decisions_total", labels) or 0.0


async def consume(bus: Redis, count: int, stream: str = streams.CLICKS) -> None:
    """A stream of so many entries and a group that has read none."""
    with suppress(Exception):
        await bus.xgroup_create(stream, streams.INGEST_GROUP, id="0", mkstream=True)
    for _ in range(count):
        await bus.xadd(stream, {"batch": b"[]"})


@pytest.fixture
async def tells_lag(bus: Redis) -> bool:
    """Redis before 7 does not tell a group's lag."""
    version = (await bus.info("server"))["redis_version"]
    return int(str(version).partition(".")[0]) >= 7


async def test_a_busy_service_grows_and_an_idle_one_shrinks_again(gate: FakeGate, bus: Redis):
    loop = loop_on(gate, bus)
    before = decisions("redirector", "up", "high_load")
    gate.loads["redirector"] = 0.9

    await gate.polls(loop, 4)
    grown = list(gate.changes)
    gate.loads["redirector"] = 0.05
    await gate.polls(loop, 60)

    assert grown == [("redirector", 4)]
    assert gate.changes[1:] == [("redirector", 3), ("redirector", 2)]
    assert decisions("redirector", "up", "high_load") == before + 1


async def test_ingest_grows_with_the_lag_of_its_stream(gate: FakeGate, bus: Redis, tells_lag: bool):
    loop = loop_on(gate, bus)
    await consume(bus, FULL_LAG_ENTRIES)

    await gate.polls(loop, 3)

    assert gate.changes == ([("event-ingest", 2)] if tells_lag else [])


async def test_lag_counts_what_is_read_and_not_finished(bus: Redis, tells_lag: bool):
    await consume(bus, 10)
    await bus.xreadgroup(streams.INGEST_GROUP, "one", {streams.CLICKS: ">"}, count=4)

    lag = await read_lag(bus, 5.0)

    assert (lag and lag.entries) == (10 if tells_lag else None)


async def test_lag_is_that_of_all_streams(bus: Redis, tells_lag: bool):
    for number, stream in enumerate((streams.CLICKS, *streams.click_streams(2)), 1):
        await consume(bus, number, stream)

    lag = await read_lag(bus, 5.0)

    assert (lag and lag.entries) == (6 if tells_lag else None)


async def test_lag_is_not_known_where_that_of_a_stream_is_not(bus: Redis):
    await consume(bus, 4)
    await bus.xadd("clicks:{0}", {"batch": b"[]"})

    assert await read_lag(bus, 5.0) is None


async def test_a_dry_run_decides_and_changes_nothing(gate: FakeGate, bus: Redis):
    gate.loads["redirector"] = 0.9
    before = decisions("redirector", "up", "high_load")

    await gate.polls(loop_on(gate, bus, dry_run=True), 4)

    assert gate.changes == []
    assert decisions("redirector", "up", "high_load") > before


async def test_one_that_is_gone_is_replaced_though_its_load_is_not_known(
    gate: FakeGate, bus: Redis
):
    gate.counts["management"] = 1

    await gate.polls(loop_on(gate, bus), 1)

    assert gate.changes == [("management", 2)]


async def test_what_an_operator_stopped_stays_so(gate: FakeGate, bus: Redis):
    gate.state = "stopped"

    await gate.polls(loop_on(gate, bus), 5)

    assert gate.changes == []


async def test_an_engine_that_is_away_changes_nothing_and_ends_nothing(gate: FakeGate, bus: Redis):
    loop = loop_on(gate, bus)
    gate.loads["redirector"] = 0.9
    gate.is_away = True
    await gate.polls(loop, 5)
    gate.is_away = False

    await gate.polls(loop, 3)

    assert gate.changes == [("redirector", 4)]


async def run_two(gate: FakeGate, bus: Redis, seconds: float) -> list[Lease]:
    """Two autoscalers on one bus; the look of each is counted by the gate's clock."""
    leases, stop = [Lease(bus), Lease(bus)], asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for lease in leases:
            tasks.create_task(loop_on(gate, bus).run(lease, stop, 0.01))
        await asyncio.sleep(seconds)
        held = [lease for lease in leases if lease.is_held]
        stop.set()
    return held


async def test_of_two_autoscalers_one_acts(gate: FakeGate, bus: Redis):
    gate.counts["management"] = 1

    held = await run_two(gate, bus, 0.5)

    assert len(held) == 1
    assert gate.changes == [("management", 2)]
    assert await bus.get(KEY) is None  # given back at the end


async def test_a_lease_is_taken_over_when_its_holder_is_gone(
    bus: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autoscaler.leader.LEASE_SECONDS", 0.3)
    first, second = Lease(bus), Lease(bus)
    await first.renew()
    await second.renew()
    assert (first.is_held, second.is_held) == (True, False)

    async with asyncio.timeout(10):
        while not second.is_held:
            await second.renew()
            await asyncio.sleep(0.05)

    assert not first.is_held


async def test_without_the_bus_a_lease_ends_by_itself():
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    now = iter(range(0, 1_000, 10))
    lease = Lease(nowhere, clock=lambda: float(next(now)))

    await lease.renew()

    assert not lease.is_held
    await nowhere.aclose()
