"""Everything is killed, at random, under load; then the clicks are counted, three times over."""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.end_to_end.launcher import Launcher, eventually, send
from tests.faults.test_propagation import Line

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
CONNECTIONS = 16
PAUSE_SECONDS = 0.02  # between a connection's requests: some 500 a second in all
LINKS = 50
DRAIN_SECONDS = 60.0
PARTS = ["redirector", "ingest", "bus", "cache", "postgres", "management", "gateway"]


@pytest.fixture(scope="module")
def soaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    data = tmp_path_factory.mktemp("soak") / "data"
    launcher = Launcher(data, REDIRECTORS="2", API_RATE="10000", REDIRECT_RATE="100000")
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)


class Load:
    """Visitors, and what they were told."""

    def __init__(self, port: int, codes: list[str]) -> None:
        self._port = port
        self._codes = codes
        self.answered: list[str] = []  # request ids of redirects that arrived whole
        self.statuses: Counter[int] = Counter()
        self.broken = 0

    async def run(self, until: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(self._visit(number, until))

    async def _visit(self, visitor: int, until: float) -> None:
        number = 0
        while time.monotonic() < until:
            try:
                line = await Line(self._port).open()
                while time.monotonic() < until:
                    number += 1
                    request_id = f"visit-{visitor}-{number}"
                    code = self._codes[number % len(self._codes)]
                    async with asyncio.timeout(15):
                        status, _ = await line.ask("GET", f"/{code}", request_id=request_id)
                    self.statuses[status] += 1
                    if status == 302:
                        self.answered.append(request_id)
                    await asyncio.sleep(PAUSE_SECONDS)
                line.close()
            except (OSError, EOFError, IndexError):  # the gateway was killed
                self.broken += 1
                await asyncio.sleep(PAUSE_SECONDS)


async def kill_at_random(system: Launcher, until: float) -> Counter[str]:
    chance = random.Random(11)
    killed: Counter[str] = Counter()
    order: list[str] = []
    while time.monotonic() < until:
        if not order:
            order = chance.sample(PARTS, len(PARTS))
        name = order.pop()
        parts = system.parts()
        if name == "redirector":
            parts[name] = chance.choice(system.stack().redirectors)
        with suppress(ProcessLookupError, TypeError):
            os.kill(parts[name].pid or 0, signal.SIGKILL)
            killed[name] += 1
        await asyncio.sleep(chance.uniform(1.0, 2.5))
    return killed


async def stored_visits(dsn: str) -> Counter[str]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        rows = await connection.fetch(
            "SELECT details->>'request_id' AS id, count(*) AS times FROM events "
            "WHERE event_type = 'redirect' GROUP BY 1"
        )
        rolled_up = await connection.fetchval("SELECT sum(clicks) FROM clicks_hourly")
    finally:
        await connection.close()
    visits = Counter({row["id"]: row["times"] for row in rows})
    assert rolled_up is None or rolled_up == visits.total(), "the roll-ups are what the rows are"
    return visits


def logged_redirects(data: Path) -> set[str]:
    """The gateway's own account: request ids it answered with 302."""
    logged = set()
    for path in data.rglob("access.log*"):
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):  # a line that the kill cut off
                entry: dict[str, Any] = json.loads(line)
                if entry["status"] == 302:
                    logged.add(entry["request_id"])
    return logged


async def test_no_click_is_lost_or_doubled_whatever_is_killed(
    soaking: Launcher, capsys: pytest.CaptureFixture[str]
):
    user = send(soaking.url("/users"), "POST", {"username": "s", "email": "s@example.com"}).json()
    codes = [f"soak{number}" for number in range(LINKS)]
    for code in codes:
        body = {"user_id": user["id"], "original_url": "https://example.com", "short_code": code}
        assert send(soaking.url("/urls"), "POST", body).status == 201
    load = Load(int(soaking.settings["PORT"]), codes)
    until = time.monotonic() + SECONDS

    visiting = asyncio.ensure_future(load.run(until + 1.0))
    killed = await kill_at_random(soaking, until)
    await visiting

    await asyncio.to_thread(eventually, lambda: send(soaking.url("/health/ready")).status == 200)
    dsn = soaking.stack().postgres.url
    acknowledged = set(load.answered)
    visits: Counter[str] = Counter()
    began = time.monotonic()
    while time.monotonic() < began + DRAIN_SECONDS and not acknowledged <= visits.keys():
        await asyncio.sleep(0.2)
        with suppress(OSError, asyncpg.PostgresError):
            visits = await stored_visits(dsn)
    drained = time.monotonic() - began
    lost = acknowledged - visits.keys()
    doubled = [visit for visit, times in visits.items() if times > 1]
    logged = logged_redirects(soaking.data)
    with capsys.disabled():
        print(
            f"\n{killed.total()} kills {dict(killed)} in {SECONDS:.0f} s: "
            f"{len(acknowledged)} redirects answered, {len(lost)} clicks lost, "
            f"{len(doubled)} doubled, {len(logged - visits.keys())} in the gateway's log only; "
            f"other answers {dict(load.statuses - Counter({302: load.statuses[302]}))}, "
            f"{load.broken} broken connections; drained in {drained:.1f} s"
        )
    assert not lost
    assert not doubled
    assert logged
    assert logged <= visits.keys()
    assert len(acknowledged) > 20 * SECONDS
