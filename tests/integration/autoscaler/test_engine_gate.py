"""The gate before a fake engine, asked by the client that the autoscaler has."""

import asyncio
import http.client
import threading
from collections.abc import Iterator

import pytest

from autoscaler.engine_client import EngineClient
from autoscaler.engine_gate import Gate
from autoscaler.replicas import Replica, Replicas, ReplicasUnavailable
from shortwire.servers import LOOPBACK, free_port

REDIRECTOR = Replica(id="a", number=1, state="ready", cpus=0.75, cpu_seconds=1.5, read_at=2.0)


class FakeEngine:
    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.is_away = False
        self.may_finish = threading.Event()
        self.may_finish.set()

    def ping(self) -> None:
        if self.is_away:
            raise ReplicasUnavailable("no engine")

    def tidy(self) -> None:
        self.ping()

    def replicas(self) -> Replicas:
        self.ping()
        return {"redirector": [REDIRECTOR], "management": [], "event-ingest": []}

    def set_count(self, service: str, count: int) -> None:
        self.ping()
        self.asked.append((service, count))
        assert self.may_finish.wait(10)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def gate(engine: FakeEngine) -> Iterator[Gate]:
    made = Gate(engine, LOOPBACK, free_port())
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    engine.may_finish.set()
    made.server_close()


@pytest.fixture
def client(gate: Gate) -> EngineClient:
    return EngineClient(f"http://{LOOPBACK}:{gate.server_port}")


def status(gate: Gate, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(LOOPBACK, gate.server_port, timeout=10)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


async def test_replicas_are_told_as_the_engine_sees_them(client: EngineClient):
    assert (await client.replicas())["redirector"] == [REDIRECTOR]


async def test_a_count_reaches_the_engine(client: EngineClient, engine: FakeEngine):
    await client.set_count("event-ingest", 4)

    assert engine.asked == [("event-ingest", 4)]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/replicas/redirector/6"),
        ("PUT", "/replicas/redirector/1"),
        ("PUT", "/replicas/postgres/2"),
        ("PUT", "/replicas/engine-gate/2"),
        ("PUT", "/replicas/redirector/-1"),
        ("PUT", "/replicas/redirector/3/x"),
        ("PUT", "/replicas"),
        ("GET", "/containers/json"),
        ("GET", "/replicas/../containers/json"),
    ],
)
def test_nothing_else_can_be_asked_for(gate: Gate, engine: FakeEngine, method: str, path: str):
    assert status(gate, method, path) == 404
    assert engine.asked == []


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
def test_no_other_method_is_known(gate: Gate, method: str):
    assert status(gate, method, "/replicas/redirector/3") == 501


async def test_an_engine_that_is_away_is_told(client: EngineClient, engine: FakeEngine, gate: Gate):
    engine.is_away = True

    with pytest.raises(ReplicasUnavailable, match="no engine"):
        await client.replicas()
    with pytest.raises(ReplicasUnavailable, match="no engine"):
        await client.set_count("redirector", 3)
    assert status(gate, "GET", "/health") == 503
    engine.is_away = False
    assert status(gate, "GET", "/health") == 200


async def test_a_gate_that_is_away_is_told():
    with pytest.raises(ReplicasUnavailable, match="ConnectionRefusedError"):
        await EngineClient(f"http://{LOOPBACK}:{free_port()}").replicas()


async def test_a_service_is_changed_by_one_at_a_time(
    client: EngineClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autoscaler.engine_gate.BUSY_SECONDS", 0.1)
    engine.may_finish.clear()
    slow = threading.Thread(target=client._ask, args=("PUT", "/replicas/redirector/3", 10.0))
    slow.start()
    while not engine.asked:
        pass

    with pytest.raises(ReplicasUnavailable, match="409"):
        await client.set_count("redirector", 4)

    engine.may_finish.set()
    slow.join()
    assert engine.asked == [("redirector", 3)]


async def test_a_gate_that_leaves_finishes_the_change_under_way(
    client: EngineClient, engine: FakeEngine, gate: Gate
):
    engine.may_finish.clear()
    change = asyncio.create_task(client.set_count("redirector", 2))
    while not engine.asked:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(gate.shutdown)
    closed = asyncio.create_task(asyncio.to_thread(gate.server_close))
    await asyncio.sleep(0.1)

    waited = not closed.done()
    engine.may_finish.set()
    await asyncio.gather(closed, change)

    assert waited
